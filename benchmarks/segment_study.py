"""The benchmark study of `epistem reproduce bench` in numbers, from the tables that come with epistem.

The tables are what `epistem reproduce bench --budget-minutes N` trained; nothing is trained here. Shrink, groups,
difficulty and the recipe were fixed before the first training; none was changed after a score was seen.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.record import record
from epistem.app.reproduce_bench import kept_study
from epistem.bench.arms import of_arm, shown
from epistem.bench.compare import model_means
from epistem.bench.study import BenchStudy, leads_of, main_arm, study_numbers

COMMAND = "python -m benchmarks.segment_study"
TARGETS = {
    "datasets": (">= 4, of different modality", "data sets on which every network of the arm was trained"),
    "cells": (">= 24 of three seeds", "data set × network of three seeds, in the arm that ranks"),
    "trained": (
        "at most 600 steps on two cores",
        "trainings in all arms that were given all steps; not to convergence",
    ),
    "context_p": ("reported", "that one architecture would be best everywhere, images and seeds drawn again"),
    "context_disagreement": ("reported", "share of pairs of data sets with another winner"),
    "median_lead": ("reported", "IoU by which the first leads the second, median over data sets"),
    "sure_winners": ("reported", "data sets whose first leads its second with p < 0.05 after Holm"),
    "regret_similar": ("reported", "IoU lost by the advice of similar data sets, each left out once"),
    "regret_average": ("reported", "IoU lost by always taking the best on average of the others"),
    "regret_unet": ("reported", "IoU lost by always taking U-Net, on the better encoder"),
}


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    dry = parser.parse_args(words).dry
    study = kept_study()
    data, numbers = _data(study), study_numbers(study) | {"cells": _cells(study)}
    for name, (target, what) in TARGETS.items():
        if (value := numbers[name]) is None:
            print(f"segment.{name}: not known")
        elif dry:
            print(f"segment.{name} = {value:.4g}")
        else:
            record(f"segment.{name}", float(value), target=target, command=COMMAND, data=f"{data}: {what}")
    _ious(study, data, dry)
    return 0


def _cells(study: BenchStudy) -> int:
    arm, _ = main_arm(study)
    seeds = of_arm(study.jobs, arm).groupby(["dataset", "encoder", "decoder"])["seed"].nunique()
    return int((seeds >= 3).sum())


def _ious(study: BenchStudy, data: str, dry: bool) -> None:
    arm, scores = main_arm(study)
    for _, row in model_means(scores).iterrows():
        name = f"segment.iou.{row['dataset']}.{row['model'].replace(' + ', '+')}"
        if dry:
            print(f"{name} = {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f}) {shown(row['model'])}")
            continue
        what = f"test images of {row['dataset']}, {arm.words}, mean of {row['seeds']} seeds; 90 % interval"
        record(name, row["value"], low=row["low"], high=row["high"], target="reported", command=COMMAND, data=what)
    print(leads_of(scores).round(3).to_string(index=False))


def _data(study: BenchStudy) -> str:
    arm, _ = main_arm(study)
    steps = int(of_arm(study.jobs, arm)["steps"].max())
    return f"{', '.join(study.profiles)}, 128² tiles, {steps} steps of 4 tiles, {arm.words}"


if __name__ == "__main__":
    sys.exit(main())
