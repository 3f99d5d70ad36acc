"""The dense network beside torchvision's stock Mask R-CNN on one CPU: main.detect_speed_ratio.

Both begin from random weights, see the same windows of the same simulated fields, and get the threshold that is best
on the same calibration fields. Then F1 of both on the same held-out fields, and in turns the time of one 512² field:
the dense one as `analyze` runs it, by onnxruntime with the shipped weights, the stock one by torch as it was trained.

So few windows teach neither what it can learn, and the stock one least: its 44 million parameters are meant to begin
from ImageNet or COCO weights. The times do not depend on that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.contest import LEARNED, pooled_f1, told
from benchmarks.record import record
from epistem.core import Instances, Micrograph, SettingsError
from epistem.detect import make_detector
from epistem.detect.calibrate import ASKED, LabelledField, best_threshold, collect, counts_at, saved_field
from epistem.imaging.normalize import normalize
from epistem.nets.augment import Augment, FromFields
from epistem.nets.dense import CavityDense, DenseSettings
from epistem.nets.runs import hardware
from epistem.nets.stock import stock
from epistem.nets.train import Schedule, Step, fit
from epistem.synth.fields import Recipe, make_fields
from epistem.synth.sets import SETS

COMMAND = "python -m benchmarks.detect_speed"
FIRST_SEED = 2000  # no training, calibration or other benchmark draws from here on
BATCH, TURNS = 2, 7
RATES = {"dense": 1e-3, "stock": 3e-4}  # the highest; the usual ones for such networks, tried on no score
DENSE = DenseSettings(least_logit=-4.0)


def main(words: Sequence[str] | None = None) -> int:
    """Train both, score both, time both; a run that was cut short goes on."""
    asked = _parser().parse_args(words)
    learn, choose, test = (
        make_fields(asked.folder / name, Recipe(tuple((one, "any", 1.0) for one in SETS), number, seed=seed, empty=0))
        for seed, (name, number) in enumerate((("learn", 60), ("choose", 12), ("test", 24)), FIRST_SEED)
    )
    networks = {}
    for name in RATES:
        torch.manual_seed(0)
        fresh: nn.Module = CavityDense(DENSE) if name == "dense" else stock()
        fresh = fresh.to(memory_format=torch.channels_last)
        networks[name] = _trained(name, fresh, learn, asked.images // BATCH, asked.folder / name)
        counts = _scored(networks[name], choose, test)
        data = f"{asked.images} windows of 256² seen, from random weights; {len(test)} fields of sets A, B and C"
        told(
            f"main.detect_speed.f1_{name}", pooled_f1(counts), target="reported", command=COMMAND, data=data,
            dry=asked.dry,
        )  # fmt: skip
    _timed(test[0], networks["stock"], asked.dry)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="windows each network sees")
    parser.add_argument("--folder", type=Path, default=Path("build/detect_speed"), help="of fields and checkpoints")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    return parser


def _trained(name: str, network: nn.Module, paths: Sequence[Path], steps: int, folder: Path) -> Any:
    def said(step: Step) -> None:
        print(f"{name}: step {step.number} of {steps}, {step.seconds:.1f} s a step", flush=True)

    schedule = Schedule(steps, BATCH, RATES[name], half=True)
    return fit(network, FromFields(paths, Augment()), schedule, folder, save_every=10, word_every=10, told=said)


def _scored(network: Any, choose: Sequence[Path], test: Sequence[Path]) -> np.ndarray:
    """True positives, false positives and false negatives of each test field, (k, 3)."""

    def detector(micrograph: Micrograph) -> Instances:
        found: Instances = network.detect(normalize(micrograph))
        return found

    try:
        least = best_threshold(collect(detector, _fields(choose)))
    except SettingsError as error:
        print(f"nothing is kept: {error}")
        least = np.inf
    return counts_at(collect(detector, _fields(test)), least)


def _fields(paths: Sequence[Path]) -> Iterator[LabelledField]:
    return (saved_field(path, ASKED["any"]) for path in paths)


def _timed(path: Path, slow: Any, dry: bool) -> None:
    """In turns, after a first call of each that does not count."""
    micrograph = saved_field(path, ASKED["any"]).micrograph
    ours = make_detector(LEARNED, engine="onnx")
    calls: list[Callable[[], object]] = [lambda: ours(micrograph), lambda: slow.detect(normalize(micrograph))]
    seconds = np.array([[_seconds(call) for call in calls] for _ in range(TURNS + 1)])[1:]
    ratios = seconds[:, 1] / seconds[:, 0]
    dense, theirs = np.median(seconds, axis=0)
    data = (
        f"one simulated field of 512²: {dense:.3f} s with onnxruntime, {theirs:.2f} s with torch, medians of {TURNS} "
        f"turns; {hardware('cpu')['cpu']}, {torch.get_num_threads()} threads; low and high: least and most of a turn"
    )
    print(data)
    if not dry:
        record(
            "main.detect_speed_ratio", round(float(np.median(ratios)), 1), low=round(float(ratios.min()), 1),
            high=round(float(ratios.max()), 1), target=">= 10", command=COMMAND, data=data,
        )  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
