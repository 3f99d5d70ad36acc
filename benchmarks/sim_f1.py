"""Detectors on held-out simulation: main.sim_f1 (the worst clear set), main.sim_f1.<set>.<severity>, main.score_ece.

Fields are drawn as those of the training are, from seeds the training does not use. Clear fields ask for cavities of
at least 6 px and contrast-to-noise 3, hard ones for all that can be seen; the rest counts neither way, and what is
found where nothing is only from that size on. Objects are matched in falling score at box IoU ≥ 0.1, at the
detector's own threshold, which was chosen on other fields.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.contest import LEARNED, Contestant, Share, contestant, pooled_f1, told
from epistem.detect.calibrate import ASKED, Judged, LabelledField, Pool, counts_at, judge, saved_field
from epistem.stats.calibration import expected_calibration_error
from epistem.synth.fields import Recipe, make_fields
from epistem.synth.sets import SETS, SEVERITIES, SetName, Severity

COMMAND = "python -m benchmarks.sim_f1"
FIRST_SEED = 1000  # the training draws from folder seeds 2 and 4, its calibration from 3, its card from 500 to 507


class Group(NamedTuple):
    """The fields of one set and severity."""

    name: SetName
    severity: Severity
    paths: list[Path]

    @property
    def key(self) -> str:
        """As it stands in a result's name."""
        return f"{self.name.replace(':', '-')}.{self.severity}"

    def fields(self) -> Iterator[LabelledField]:
        """One after the other."""
        return (saved_field(path, ASKED[self.severity]) for path in self.paths)


class Outcome(NamedTuple):
    """What a detector did in one group.

    Attributes:
        counts: tp, fp and fn of each field.
        of_all_sizes: the same if found objects without partner count however small they are.
    """

    group: Group
    judged: Judged
    counts: np.ndarray
    of_all_sizes: np.ndarray


def groups(folder: Path, number: int, shape: tuple[int, int] = (512, 512)) -> list[Group]:
    """The held-out fields, made where they are not in the folder yet; empty it when the simulation changes."""
    made = []
    for seed, (name, severity) in enumerate(product(SETS, SEVERITIES), FIRST_SEED):
        recipe = Recipe(((name, severity, 1.0),), number, shape, seed)
        place = folder / f"{name.replace(':', '-')}-{severity}-{seed}"
        made.append(Group(name, severity, make_fields(place, recipe)))
    return made


def outcomes(who: Contestant, held_out: Sequence[Group]) -> list[Outcome]:
    """Each group at the detector's own threshold."""
    result = []
    for group in held_out:
        seen = [(who.keeps_all(field.micrograph), field) for field in group.fields()]
        judged = judge(seen)
        of_all_sizes = judge((found, field._replace(smallest_px=0.0)) for found, field in seen)
        counts, more = (counts_at(one, who.min_score) for one in (judged, of_all_sizes))
        result.append(Outcome(group, judged, counts, more))
        print(f"{who.label} {group.key}: {_in_words(result[-1].counts)}")
    return result


def calibration_error(done: Sequence[Outcome], min_score: float) -> tuple[float, int] | None:
    """Expected calibration error of all objects from that score on, and how many these are; None with none."""
    scores = np.concatenate([one.judged.scores for one in done])
    right = np.concatenate([one.judged.right for one in done])
    kept = ~np.concatenate([one.judged.neither for one in done]) & (scores >= min_score)
    error = expected_calibration_error(scores[kept], right[kept])
    return None if error is None else (error, int(kept.sum()))


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record, or with --dry only print."""
    asked = _parser().parse_args(words)
    chosen = [one for one in map(contestant, asked.detectors) if one is not None]
    if not chosen:
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        held_out = groups(asked.fields or Path(temporary), asked.number)
        for who in chosen:
            _tell(who, outcomes(who, held_out), dry=asked.dry)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", default=[LEARNED, "log"], help="NAME or NAME=WEIGHTS")
    parser.add_argument("--fields", type=Path, help="folder that keeps the fields; temporary by default")
    parser.add_argument("--number", type=int, default=40, help="fields of each set and severity")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    return parser


def _tell(who: Contestant, done: Sequence[Outcome], *, dry: bool) -> None:
    """The default's numbers bear no name; those of another bear its name and have no target."""
    mine = who.is_default
    prefix = "main.sim_f1" if mine else f"main.sim_f1.{who.label}"
    command = COMMAND if mine else f"{COMMAND} {who.word}"
    how = f"fields of 512² of seeds {FIRST_SEED} and up; low and high: 90 % of pooled F1 over fields drawn again"
    scored: list[tuple[Outcome, Share]] = []
    for one in done:
        share = pooled_f1(one.counts)
        data = f"{who.label}, {_in_words(one.counts)}; {len(one.counts)} {how}"
        told(f"{prefix}.{one.group.key}", share, target="reported", command=command, data=data, dry=dry)
        if one.group.severity == "clear":
            words = _in_words(one.of_all_sizes)
            data = f"{who.label}, false ones under 6 px count too: {words}; {len(one.counts)} {how}"
            share_all = pooled_f1(one.of_all_sizes)
            name = f"{prefix}.{one.group.key}.all_sizes"
            told(name, share_all, target="reported", command=command, data=data, dry=dry)
        if share is not None and one.group.severity == "clear":
            scored.append((one, share))
    if scored:
        worst, share = min(scored, key=lambda pair: pair[1].value)
        data = f"{who.label}, the worst clear set: {worst.group.name}, {_in_words(worst.counts)}; {how}"
        told(prefix, share, target=">= 0.90" if mine else "reported", command=command, data=data, dry=dry)
    if mine:
        _tell_calibration(who, done, dry=dry)


def _tell_calibration(who: Contestant, done: Sequence[Outcome], *, dry: bool) -> None:
    for name, least in (("main.score_ece", who.min_score), ("main.score_ece.all", 0.0)):
        found = calibration_error(done, least)
        if found is not None:
            error, number = found
            data = (
                f"{who.label}, {number} objects of score ≥ {least:.3f} in all held-out sets, 15 bins; no interval: "
                "drawn again, the error only grows"
            )
            told(name, Share(round(error, 4), None, None), target="reported", command=COMMAND, data=data, dry=dry)


def _in_words(counts: np.ndarray) -> str:
    pool = Pool(*counts.sum(axis=0).tolist())
    shares = ", ".join(
        f"{name} {value:.3f}"
        for name, value in (("F1", pool.f1), ("precision", pool.precision), ("recall", pool.recall))
        if value is not None
    )
    return f"{shares} (tp {pool.tp}, fp {pool.fp}, fn {pool.fn})"


if __name__ == "__main__":
    sys.exit(main())
