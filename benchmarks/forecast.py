"""The shipped forecast on images it was not fitted on: photographs, foreign, real and held-out simulated ones.

One set of limits for all, the defaults of `trust.verdict.Limits`; no image here was used to set them. That images are
compared with drawings of other kinds, and F1 is learnt from none of these, followed from earlier numbers of these
very images: they are not blind. Unscored images (nothing found) are counted apart: they are neither accepted nor,
unless foreign, refused.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from benchmarks.contest import Share, mean_share, told
from benchmarks.real_f1 import score
from benchmarks.sim_f1 import groups
from benchmarks.study import labelled_cavities, study_data
from epistem.app.settings import Settings
from epistem.app.trust_card import Watched
from epistem.core import EpistemError, Instances, Interval, Micrograph, Quantity, Verdict
from epistem.detect.calibrate import LabelledField
from epistem.detect.match import match
from epistem.detect.measure import measure
from epistem.detect.population import summarize
from epistem.imaging import read
from epistem.stats.intervals import binomial_interval
from epistem.stats.resample import bootstrap_interval
from epistem.trust.carry import carry
from epistem.trust.result import Forecast
from epistem.trust.verdict import decide

COMMAND = "python -m benchmarks.forecast"
FOREIGN = (
    "loops_316l", "particles_emps", "ebc_oxide_sem", "meltpool_optical", "superalloy_sem", "pt_alumina_haadf",
    "pitting_optical", "pores_xct", "dna_afm", "graphene_si", "stem_mixed_atomsegnet",
)  # fmt: skip
MOST = 20  # images of a folder, so that none outweighs the others
GOOD = 0.7
_PARTS = ("foreign", "real", "simulated", "overhead")
TURNS = 7


class Said(NamedTuple):
    """What the product says of one image."""

    name: str
    forecast: Forecast
    verdict: Verdict | None

    @property
    def flagged(self) -> bool:
        """Refused, or below one half."""
        f1 = self.forecast.f1
        return self.verdict == "refuse" or (f1 is not None and f1.value < 0.5)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shipped", help="shipped, or a fitted forecast")
    parser.add_argument("--fields", type=Path, help="folder that keeps the held-out fields; temporary by default")
    parser.add_argument("--number", type=int, default=40, help="held-out fields of each set and severity")
    parser.add_argument("--part", choices=_PARTS, action="append", help="only this; all unless told")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    looker = Settings(forecast=asked.model).looker()
    if not isinstance(looker, Watched):
        print(f"skipped: {looker.why_no_forecast}")
        return 0
    parts = asked.part or _PARTS
    if "foreign" in parts:
        measure_foreign(looker, dry=asked.dry)
    if "real" in parts:
        measure_real(looker, dry=asked.dry)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.fields or Path(temporary)
        if "simulated" in parts:
            measure_simulated(looker, folder, asked.number, dry=asked.dry)
        if "overhead" in parts:
            _overhead(looker, next(iter(groups(folder, asked.number)[0].fields())).micrograph, dry=asked.dry)
    return 0


def images_in(folder: str) -> Iterator[Micrograph]:
    """The first `MOST` images of a folder by name; those that cannot be read are named."""
    place = study_data(folder)
    if place is None:
        print(f"skipped: EPISTEM_STUDY_DATA does not lead to {folder}")
        return
    inside = place / "images" if (place / "images").is_dir() else place
    suffixes = {".png", ".jpg", ".tif", ".hdf5"}
    paths = sorted(path for path in inside.rglob("*") if path.suffix in suffixes)
    for path in paths if folder == "photos_coco" else paths[:MOST]:
        try:
            image = read(path)
        except EpistemError as error:
            print(f"  {folder}/{path.name}: not read ({error})")
            continue
        yield image if isinstance(image, Micrograph) else image[0]


def said_of(looker: Watched, micrographs: Iterable[Micrograph]) -> list[Said]:
    """Each through detector, forecast and verdict."""
    result = []
    for micrograph in micrographs:
        _, forecast = looker.look(micrograph)
        result.append(Said(micrograph.name, forecast, decide(forecast, looker.limits)[0]))
    return result


def measure_foreign(looker: Watched, *, dry: bool) -> None:
    """Photographs flagged, foreign micrographs accepted."""
    photos = said_of(looker, images_in("photos_coco"))
    if photos:
        _share(
            "forecast.photos_flagged", sum(one.flagged for one in photos), photos, ">= 0.95",
            "photographs (photos_coco) refused or with an expected F1 under 0.5", dry,
        )  # fmt: skip
    foreign = []
    for folder in FOREIGN:
        mine = said_of(looker, images_in(folder))
        if mine:
            print(f"  {folder}: {_verdicts(mine)}")
            foreign += mine
    if foreign:
        data = f"real micrographs without cavities accepted, at most {MOST} of each of {', '.join(FOREIGN)}"
        _share("forecast.foreign_accepted", _accepted(foreign), foreign, "<= 0.10", data, dry)


def measure_real(looker: Watched, *, dry: bool) -> None:
    """Error, coverage and rank on labelled crops."""
    crops = labelled_cavities()
    rows, left_out = [], 0
    for crop in crops:
        found, forecast = looker.look(crop.micrograph)
        one = score(found, crop.annotators["A"])
        print(f"  {crop.name}: F1 {one.f1:.2f} of {one.tp + one.fn}, expected {_words(forecast)}")
        if forecast.f1 is None or not one.tp + one.fn:
            left_out += 1
            continue
        rows.append((one.f1, forecast.f1))
    if not rows:
        print("skipped the real crops: none is here, or none is scored")
        return
    truth, value = (np.array(column) for column in zip(*((f1, span.value) for f1, span in rows), strict=True))
    data = (
        f"cavity_tem_labelled, annotator A, {len(rows)} crops; {left_out} without objects or unscored are left out; "
        "the detector had seen choices made on these crops"
    )
    told(
        "forecast.real_mae", mean_share(np.abs(truth - value)), target="reported", command=COMMAND, data=data, dry=dry
    )
    inside = sum(span.low <= f1 <= span.high for f1, span in rows)
    told(
        "forecast.real_coverage", _binomial(inside, len(rows)), target="reported", command=COMMAND, data=data, dry=dry
    )
    pairs = np.stack([truth, value])

    def rank(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        picked = drawn.astype(int).reshape(-1, len(truth))
        ranks = [spearmanr(*pairs[:, row]).statistic if len(set(row)) > 2 else 0.0 for row in picked]
        return np.array(ranks).reshape(drawn.shape[:-1])

    over = bootstrap_interval(np.arange(len(truth)), rank, draws=1000)
    whole = round(float(spearmanr(truth, value).statistic), 3)
    share = Share(whole, *((round(over.low, 3), round(over.high, 3)) if over else (None, None)))
    told("forecast.real_spearman", share, target="reported", command=COMMAND, data=data, dry=dry)


def measure_simulated(looker: Watched, folder: Path, number: int, *, dry: bool) -> None:
    """Good held-out images accepted, error and coverage there, and what becomes of the quantities."""
    carried: list[Carried] = []
    rows, said = [], []
    for group in groups(folder, number):
        for field in group.fields():
            found, forecast = looker.look(field.micrograph)
            truth = match(found, field.asked, method="score-greedy", ambiguous=field.ambiguous)
            said.append(Said(field.micrograph.name, forecast, decide(forecast, looker.limits)[0]))
            rows.append(truth.f1)
            if group.severity == "hard":  # there all that can be seen is asked for, as where the forecast was fitted
                carried += _carried(found, forecast, field)
    true = np.array(rows)
    scored = np.array([one.forecast.f1 is not None for one in said])
    good = [one for one, f1 in zip(said, true, strict=True) if f1 >= GOOD]
    data = f"held-out simulated images of sets A, B and C with a true F1 of {GOOD} or more accepted"
    _share("forecast.good_accepted", _accepted(good), good, ">= 0.80", data, dry)
    poor = [one for one, f1 in zip(said, true, strict=True) if f1 < 0.5]
    if poor:
        _share("forecast.poor_accepted", _accepted(poor), poor, "reported", "those with a true F1 under 0.5", dry)
    spans: list[Interval] = [one.forecast.f1 for one in said if one.forecast.f1 is not None]
    value = np.array([span.value for span in spans])
    data = f"{scored.sum()} held-out simulated images, {(~scored).sum()} unscored left out; F1"
    told(
        "forecast.sim_mae", mean_share(np.abs(true[scored] - value)), target="reported", command=COMMAND, data=data,
        dry=dry,
    )  # fmt: skip
    inside = sum(span.low <= f1 <= span.high for span, f1 in zip(spans, true[scored], strict=True))
    told(
        "forecast.sim_coverage", _binomial(inside, len(spans)), target="reported", command=COMMAND, data=data, dry=dry
    )
    _measure_carried(carried, dry=dry)


FOIL_NM = 100.0
CARRIED = {"density": "density_per_um2", "diameter": "mean_diameter_nm", "swelling": "swelling_percent"}


class Carried(NamedTuple):
    """One quantity of one image: what it is, as found, and corrected with its interval."""

    name: str
    true: float
    plain: float
    corrected: Quantity


def _carried(found: Instances, forecast: Forecast, field: LabelledField) -> Iterator[Carried]:
    """What the forecast makes of the quantities, beside those of the true objects that are asked for."""
    image = field.micrograph
    measured, true = measure(found, image), summarize(field.asked, image, thickness_nm=FOIL_NM)
    plain = summarize(measured, image, thickness_nm=FOIL_NM)
    corrected = carry(plain, measured, image, forecast, thickness_nm=FOIL_NM)
    for name, key in CARRIED.items():
        ends = (true[key].value, plain[key].value)
        if ends[0] is not None and ends[1] is not None:
            yield Carried(name, float(ends[0]), float(ends[1]), corrected[f"corrected_{key}"])


def _measure_carried(carried: Sequence[Carried], *, dry: bool) -> None:
    """Whether intervals on density, mean diameter and swelling hold what is true of the image."""
    for name in CARRIED:
        mine = [one for one in carried if one.name == name]
        known = [one for one in mine if one.corrected.low is not None and one.corrected.high is not None]
        if not known:
            print(f"skipped forecast.carry_{name}_coverage: no interval")
            continue
        inside = sum(one.corrected.low <= one.true <= one.corrected.high for one in known)  # type: ignore[operator]
        off = [abs(np.log(max(float(one.corrected.value or 0), 1e-9) / one.true)) for one in known if one.true > 0]
        before = [abs(np.log(one.plain / one.true)) for one in known if one.true > 0 and one.plain > 0]
        data = (
            f"{len(known)} held-out simulated images of severity hard, {len(mine) - len(known)} without an interval "
            f"left out; intervals of 90 % of {name}, foil of {FOIL_NM:g} nm; typically off by a factor of "
            f"{np.exp(np.median(off)):.2f} corrected, {np.exp(np.median(before)):.2f} as found"
        )
        told(
            f"forecast.carry_{name}_coverage", _binomial(inside, len(known)), target=">= 0.88", command=COMMAND,
            data=data, dry=dry,
        )  # fmt: skip


def _overhead(looker: Watched, micrograph: Micrograph, *, dry: bool) -> None:
    """What forecast and verdict add to the detector as used, in turns, on the field laid twice by twice."""
    from dataclasses import replace

    from epistem.trust.cases import describe

    image = Micrograph(np.tile(micrograph.pixels, (2, 2)), micrograph.calibration)
    plain = replace(looker.detector, min_score=looker.least)  # type: ignore[type-var]
    ratios, seconds = [], []
    for turn in range(TURNS + 1):
        began = time.perf_counter()
        plain(image)
        alone = time.perf_counter() - began
        began = time.perf_counter()
        everything = looker.detector(image)
        decide(looker.forecaster.predict(describe(everything, image), looker.least), looker.limits)
        both = time.perf_counter() - began
        if turn:  # the first loads and compiles
            ratios.append(both / alone - 1)
            seconds.append(alone)
    share = Share(*(round(float(one), 3) for one in (np.median(ratios), min(ratios), max(ratios))))
    data = f"1024² image, detection {np.median(seconds):.2f} s; median, least and most of {TURNS} turns"
    told("forecast.overhead", share, target="<= 0.10", command=COMMAND, data=data, dry=dry)


def _share(name: str, part: int, said: Sequence[Said], target: str, data: str, dry: bool) -> None:
    told(name, _binomial(part, len(said)), target=target, command=COMMAND, data=f"{data}; {_verdicts(said)}", dry=dry)


def _binomial(part: int, whole: int) -> Share | None:
    span = binomial_interval(part, whole, coverage=0.9)
    return None if span is None else Share(round(span.value, 4), round(span.low, 4), round(span.high, 4))


def _accepted(said: Sequence[Said]) -> int:
    return sum(one.verdict == "accept" for one in said)


def _verdicts(said: Sequence[Said]) -> str:
    counted = Counter(one.verdict or "unscored" for one in said)
    return f"{len(said)} images: " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items()))


def _words(forecast: Forecast) -> str:
    f1 = forecast.f1
    return "nothing (unscored)" if f1 is None else f"{f1.value:.2f} ({f1.low:.2f} to {f1.high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
