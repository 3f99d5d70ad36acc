"""Baselines on real cavities, and two people on the same: main.baseline_real_f1, main.annotator_f1.

Truth is what an annotator was sure of; found objects that match only what he was not sure of count neither way. Box
IoU ≥ 0.1 in the published order. No threshold was chosen on these images.
"""

from __future__ import annotations

import sys

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
    data = f"cavity_tem_labelled, {len(crops)} crops; low and high: 90 % bootstrap over crops of the mean F1"
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
    mean = pooled.mean_f1
    counts = f"pooled over tp {pooled.tp}, fp {pooled.fp}, fn {pooled.fn}; {data}"
    record(
        name,
        round(pooled.f1, 4),
        low=None if mean is None else round(mean.low, 4),
        high=None if mean is None else round(mean.high, 4),
        target=target,
        command=COMMAND,
        data=counts,
    )


if __name__ == "__main__":
    sys.exit(main())
