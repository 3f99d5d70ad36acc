"""Detectors and people on real cavities: main.real_f1 and its like, main.baseline_real_f1, main.annotator_f1.

Truth is what an annotator was sure of; found objects that match only what he was not sure of count neither way. Box
IoU ≥ 0.1 in the published order, thresholds as they come with the detectors. No threshold was chosen on these images;
`main.real_f1_oracle` tells what one that was would have given. Other choices were made after seeing them (which d′ is
asked for, stronger speckle, enlarged windows, the second look), so the detector is not blind to them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.contest import LEARNED, Contestant, Share, contestant, pooled_f1, pooled_share, told
from benchmarks.pictures import draw_pictures, outside_repository
from benchmarks.study import Crop, Labelled, labelled_cavities
from epistem.core import Instances
from epistem.detect import detect
from epistem.detect.calibrate import LabelledField, Pool, best_threshold, judge
from epistem.detect.match import Match, match

COMMAND = "python -m benchmarks.real_f1"
BASELINES = ("log", "otsu-watershed")
SEEN = ", not blind: it was made after seeing these crops"
BANDS_PX = (0, 10, 20, 40, np.inf)  # of the mean side of the true box


class Teller(NamedTuple):
    """Where the numbers go, and what they have in common."""

    data: str
    dry: bool
    command: str = COMMAND

    def f1(self, name: str, matches: Sequence[Match], target: str = "reported", about: str = "") -> None:
        """Pooled F1 of some crops."""
        counts = [[one.tp, one.fp, one.fn] for one in matches]
        self.share(name, pooled_f1(np.array(counts, int).reshape(-1, 3)), matches, target, about)

    def share(self, name: str, share: Share | None, matches: Sequence[Match], target: str, about: str) -> None:
        """Any share of the same crops."""
        tp, fp, fn = (sum(getattr(one, what) for one in matches) for what in ("tp", "fp", "fn"))
        data = "; ".join(filter(None, (about, f"pooled over tp {tp}, fp {fp}, fn {fn}", self.data)))
        told(name, share, target=target, command=self.command, data=data, dry=self.dry)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record; 0 also where the images are not here, which is said."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("detector", nargs="?", default=LEARNED, help="the learned one: NAME or NAME=WEIGHTS")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each crop, outside the repository")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    if asked.pictures is not None and not outside_repository(asked.pictures):
        parser.error(f"the images are for study only: choose a folder outside the repository, not {asked.pictures}")
    crops = labelled_cavities()
    if not crops:
        print("skipped: EPISTEM_STUDY_DATA does not lead to cavity_tem_labelled")
        return 0
    over = "low and high: 90 % of it over crops drawn with replacement"
    tell = Teller(f"cavity_tem_labelled, {len(crops)} crops; {over}", asked.dry)
    who = contestant(asked.detector)
    if who is not None:
        measure_learned(who, crops, tell, asked.pictures)
    measure_baselines(crops, tell)
    measure_annotators(crops, tell)
    return 0


def score(found: Instances, view: Labelled, iou: float = 0.1) -> Match:
    """Against what an annotator saw, where he looked."""
    return match(view.inside(found), view.sure, iou=iou, ambiguous=view.ambiguous)


def measure_learned(who: Contestant, crops: Sequence[Crop], tell: Teller, pictures: Path | None) -> None:
    """F1 by annotator, focus, IoU and crop, precision, recall by size, and what the best threshold would give."""
    mine = who.is_default
    name = "main.real_f1" if mine else f"main.real_f1.{who.label}"
    tell = tell if mine else tell._replace(command=f"{COMMAND} {who.word}")
    found = [who.as_used(crop.micrograph) for crop in crops]
    first, *others = sorted(crops[0].annotators)
    views = [crop.annotators[first] for crop in crops]
    matches = [score(*pair) for pair in zip(found, views, strict=True)]
    about = f"{who.label} against annotator {first}{SEEN}"
    print_crops(crops, views, matches)
    if pictures is not None:
        draw_pictures(pictures, list(zip(crops, found, views, strict=True)))
    tell.f1(name, matches, ">= 0.80" if mine else "reported", about)
    tell_by_focus(f"{name}_", matches, views, {"over": ">= 0.70"} if mine else {}, tell, about)
    strict = [score(*pair, 0.5) for pair in zip(found, views, strict=True)]
    tell.f1(f"{name}_iou50", strict, about=f"{about}, IoU ≥ 0.5")
    for letter in others:
        theirs = [crop.annotators[letter] for crop in crops]
        against = [score(*pair) for pair in zip(found, theirs, strict=True)]
        tell.f1(f"{name}.{letter}", against, about=(whose := f"{who.label} against annotator {letter}{SEEN}"))
        tell_by_focus(f"{name}.{letter}.", against, theirs, {}, tell, whose)
    if not mine:
        return
    tell_shares(matches, views, tell, about)
    of_one = tell._replace(data="one crop of cavity_tem_labelled, which has no interval")
    for crop, view, one in zip(crops, views, matches, strict=True):
        focus = "focus unclear" if view.focus == "unclear" else f"{view.focus}focus"
        small = f"{focus}, {_recall_small(one, view)}"
        of_one.f1(f"main.real_crop.{crop.name}", [one], about=f"{about}, {small}")
    tell_oracle(who, crops, views, tell, about)


def measure_baselines(crops: Sequence[Crop], tell: Teller) -> None:
    """F1 of each by annotator and focus."""
    letters = sorted(crops[0].annotators)
    for detector in BASELINES:
        found = [detect(crop.micrograph, detector) for crop in crops]
        for letter in letters:
            views = [crop.annotators[letter] for crop in crops]
            matches = [score(one, view) for one, view in zip(found, views, strict=True)]
            name = f"main.baseline_real_f1.{detector}.{letter}"
            tell.f1(name, matches)
            tell_by_focus(f"{name}.", matches, views, {}, tell, "")
            if (detector, letter) == (BASELINES[0], letters[0]):
                tell.f1("main.baseline_real_f1", matches, about=f"{detector} against annotator {letter}")


def measure_annotators(crops: Sequence[Crop], tell: Teller) -> None:
    """Two people who worked with one instruction."""
    first, second = sorted(crops[0].annotators)
    agreed = [score(crop.annotators[first].sure, crop.annotators[second]) for crop in crops]
    tell.f1("main.annotator_f1", agreed, about=f"{first}'s sure objects against {second}")


def tell_by_focus(
    prefix: str,
    matches: Sequence[Match],
    views: Sequence[Labelled],
    targets: dict[str, str],
    tell: Teller,
    about: str,
) -> None:
    """Crops under and over focus apart."""
    for focus in ("under", "over"):
        part = [one for one, view in zip(matches, views, strict=True) if view.focus == focus]
        target = targets.get(focus, "reported")
        tell.f1(f"{prefix}{focus}focus", part, target, f"{about}, {len(part)} of the crops".strip(", "))


def tell_shares(matches: Sequence[Match], views: Sequence[Labelled], tell: Teller, about: str) -> None:
    """Precision, recall, and recall by the size of the true objects."""
    tp, fp, fn = np.array([[one.tp, one.fp, one.fn] for one in matches]).T
    tell.share("main.real_precision", pooled_share(tp, tp + fp), matches, "reported", about)
    tell.share("main.real_recall", pooled_share(tp, tp + fn), matches, "reported", about)
    for low, high in pairwise(BANDS_PX):
        got, there = recalled(matches, views, low, high)
        band = f"{low}_to_{high}_px" if np.isfinite(high) else f"{low}_px_up"
        name = f"main.real_recall.{band}" if low else "main.real_recall_small"
        share = pooled_share(got, there)
        band_px = f"{low} to {high} px (mean side of the box), in {np.count_nonzero(there)} of the crops"
        size = f"{about}, {sum(got)} of {sum(there)} true objects of {band_px}"
        tell.share(name, share, matches, "reported" if low else ">= 0.55", size)


def recalled(
    matches: Sequence[Match], views: Sequence[Labelled], low_px: float, high_px: float
) -> tuple[list[int], list[int]]:
    """True objects of that size found, and there, in each crop."""
    sizes = [(view.sure.boxes[:, 2:] - view.sure.boxes[:, :2]).mean(axis=1) for view in views]
    inside = [(size >= low_px) & (size < high_px) for size in sizes]
    return (
        [int(one.truth_matched[which].sum()) for one, which in zip(matches, inside, strict=True)],
        [int(which.sum()) for which in inside],
    )


def tell_oracle(who: Contestant, crops: Sequence[Crop], views: Sequence[Labelled], tell: Teller, about: str) -> None:
    """With the threshold that is best on these very images: no result, but what a threshold costs."""
    found = [view.inside(who.keeps_all(crop.micrograph)) for crop, view in zip(crops, views, strict=True)]
    fields = [LabelledField(c.micrograph, v.sure, v.ambiguous) for c, v in zip(crops, views, strict=True)]
    judged = judge(zip(found, fields, strict=True))
    if not judged.right.any():
        tell.f1("main.real_f1_oracle", [], about=f"{about}, nothing right was found at any threshold")
        return
    best = best_threshold(judged)
    matches = [score(one[one.score >= best], view) for one, view in zip(found, views, strict=True)]
    chosen = f"threshold {best:.3f} chosen on these images, not {who.min_score:.3f}"
    tell.f1("main.real_f1_oracle", matches, about=f"{about}, {chosen}")


def print_crops(crops: Sequence[Crop], views: Sequence[Labelled], matches: Sequence[Match]) -> None:
    """A line for each crop."""
    width = max(len(crop.name) for crop in crops)
    print(f"{'crop':{width}} focus    tp   fp   fn    F1  precision  recall  under 10 px")
    for crop, view, one in zip(crops, views, matches, strict=True):
        pool = Pool(one.tp, one.fp, one.fn)
        counts = f"{one.tp:5}{one.fp:5}{one.fn:5}"
        known = (pool.f1, pool.precision, pool.recall)
        shares = " ".join("    –   " if value is None else f"{value:8.3f}" for value in known)
        print(f"{crop.name:{width}} {view.focus:5} {counts} {shares}  {_recall_small(one, view)}")


def _recall_small(one: Match, view: Labelled) -> str:
    (got,), (there,) = recalled([one], [view], BANDS_PX[0], BANDS_PX[1])
    return f"{got} of {there} small"


if __name__ == "__main__":
    sys.exit(main())
