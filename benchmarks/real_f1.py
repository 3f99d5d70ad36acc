"""Baselines on real cavities, and two people on the same: main.baseline_real_f1, main.annotator_f1.

Truth is what an annotator was sure of; found objects that match only what he was not sure of count neither way. Box
IoU ≥ 0.1 in the published order. No threshold was chosen on these images.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.record import record
from benchmarks.study import Labelled, labelled_cavities
from epistem.core import Instances
from epistem.detect import DEFAULT, DETECTORS, detect
from epistem.detect.match import Match, match, pool

COMMAND = "python -m benchmarks.real_f1"


def main() -> int:
    """Measure and record; 0 also where the images are not here, which is said."""
    crops = labelled_cavities()
    if not crops:
        print("skipped: EPISTEM_STUDY_DATA does not lead to cavity_tem_labelled")
        return 0
    data = (
        f"cavity_tem_labelled, {len(crops)} crops; low and high: 90 % of pooled F1 over crops drawn with replacement"
    )
    letters = sorted(crops[0].annotators)
    for detector in DETECTORS:
        found = [detect(crop.micrograph, detector) for crop in crops]
        for letter in letters:
            views = [crop.annotators[letter] for crop in crops]
            matches = [_score(one, view) for one, view in zip(found, views, strict=True)]
            _tell(f"main.baseline_real_f1.{detector}.{letter}", matches, "reported", data)
            for focus in ("under", "over"):
                part = [m for m, view in zip(matches, views, strict=True) if view.focus == focus]
                _tell(f"main.baseline_real_f1.{detector}.{letter}.{focus}focus", part, "reported", data)
            if (detector, letter) == (DEFAULT, letters[0]):
                _tell("main.baseline_real_f1", matches, "reported", f"{detector} against annotator {letter}; {data}")
            for crop, one in zip(crops, matches, strict=True):
                print(f"  {crop.name} {detector} vs {letter}: tp {one.tp} fp {one.fp} fn {one.fn}")
    first, second = letters
    agreed = [_score(crop.annotators[first].sure, crop.annotators[second]) for crop in crops]
    _tell("main.annotator_f1", agreed, "reported", f"{first}'s sure objects against {second}; {data}")
    return 0


def _score(found: Instances, view: Labelled) -> Match:
    return match(view.inside(found), view.sure, ambiguous=view.ambiguous)


def _tell(name: str, matches: list[Match], target: str, data: str) -> None:
    pooled = pool(matches)
    low, high = _interval(matches)
    counts = f"pooled over tp {pooled.tp}, fp {pooled.fp}, fn {pooled.fn}; {data}"
    record(name, round(pooled.f1, 4), low=low, high=high, target=target, command=COMMAND, data=counts)


def _interval(matches: list[Match]) -> tuple[float, float]:
    """90 % of the pooled F1 over crops drawn with replacement."""
    counts = np.array([[one.tp, one.fp, one.fn] for one in matches])
    drawn = np.random.default_rng(0).integers(len(counts), size=(4000, len(counts)))
    tp, fp, fn = counts[drawn].sum(axis=1).T
    low, high = np.quantile(2 * tp / np.maximum(2 * tp + fp + fn, 1), [0.05, 0.95])
    return round(float(low), 4), round(float(high), 4)


if __name__ == "__main__":
    sys.exit(main())
