"""The dense network, our Mask R-CNN and torchvision's stock one on one CPU: main.detect_speed_ratio.

All three begin from random weights, see the same windows of the same simulated fields, and get the threshold that is
best on the same calibration fields. Then F1 of each on the same held-out fields, and in turns the time of one field
of 512²: the dense one as `analyze` runs it, by onnxruntime with the shipped weights, the others by torch as trained.
The F1 of the dense one is that of one look at the image (binnings (1,)), its time that of the two looks as shipped.

So few windows teach none what it can learn, and the stock one least: its 44 million parameters are meant to begin
from ImageNet or COCO weights. Mask heads run once for each object kept, so the times depend on that: how many objects
each network gave in the timed field stands beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.contest import LEARNED, Share, f1_gain, pooled_f1, told
from epistem.core import Instances, Micrograph, SettingsError
from epistem.detect import make_detector
from epistem.detect.calibrate import ASKED, LabelledField, best_threshold, collect, counts_at, saved_field
from epistem.imaging.normalize import normalize
from epistem.nets.augment import Augment, FromFields
from epistem.nets.dense import CavityDense, DenseSettings
from epistem.nets.maskrcnn import CavityMaskRCNN
from epistem.nets.runs import hardware
from epistem.nets.stock import stock
from epistem.nets.train import Schedule, Step, fit
from epistem.synth.fields import Recipe, make_fields
from epistem.synth.sets import SETS

COMMAND = "python -m benchmarks.detect_speed"
FIRST_SEED = 2000  # no training, calibration or other benchmark draws from here on
BATCH, TURNS = 2, 7
# The highest learning rates, usual for such networks; tried on no score.
RATES = {"dense": 1e-3, "maskrcnn": 5e-4, "stock": 3e-4}
DENSE = DenseSettings(least_logit=-4.0)


def main(words: Sequence[str] | None = None) -> int:
    """Train all, score all, time all; a run that was cut short goes on."""
    asked = _parser().parse_args(words)
    learn, choose, test = (
        make_fields(asked.folder / name, Recipe(tuple((one, "any", 1.0) for one in SETS), number, seed=seed, empty=0))
        for seed, (name, number) in enumerate((("learn", 60), ("choose", 12), ("test", 24)), FIRST_SEED)
    )
    networks, counts = {}, {}
    data = f"{asked.images} windows of 256² seen, from random weights; {len(test)} fields of sets A, B and C"
    for name in RATES:
        networks[name] = _trained(name, learn, asked.images // BATCH, asked.folder / name)
        counts[name] = _scored(networks[name], choose, test)
        told(
            f"main.detect_speed.f1_{name}", pooled_f1(counts[name]), target="reported", command=COMMAND, data=data,
            dry=asked.dry,
        )  # fmt: skip
    gain = f1_gain(counts["dense"], counts["stock"])
    told(
        "main.detect_speed.f1_gain",
        gain,
        target=">= 0",
        command=COMMAND,
        data=f"dense − stock, {data}",
        dry=asked.dry,
    )
    _timed(test[0], {name: networks[name] for name in ("maskrcnn", "stock")}, asked.dry)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="windows each network sees")
    parser.add_argument("--folder", type=Path, default=Path("build/detect_speed"), help="of fields and checkpoints")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    return parser


def _fresh(name: str) -> nn.Module:
    torch.manual_seed(0)
    networks: dict[str, Callable[[], nn.Module]] = {
        "dense": lambda: CavityDense(DENSE), "maskrcnn": CavityMaskRCNN, "stock": stock
    }  # fmt: skip
    fresh: nn.Module = networks[name]().to(memory_format=torch.channels_last)
    return fresh


def _trained(name: str, paths: Sequence[Path], steps: int, folder: Path) -> Any:
    def said(step: Step) -> None:
        print(f"{name}: step {step.number} of {steps}, {step.seconds:.1f} s a step", flush=True)

    schedule = Schedule(steps, BATCH, RATES[name], half=True)
    return fit(_fresh(name), FromFields(paths, Augment()), schedule, folder, save_every=10, word_every=10, told=said)


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


def _timed(path: Path, others: Mapping[str, Any], dry: bool) -> None:
    """In turns, after a first call of each that does not count."""
    micrograph = saved_field(path, ASKED["any"]).micrograph
    dense = make_detector(LEARNED, engine="onnx")
    calls: dict[str, Callable[[], Instances]] = {"dense": partial(dense, micrograph)}
    calls |= {name: partial(network.detect, normalize(micrograph)) for name, network in others.items()}
    objects = {name: len(call()) for name, call in calls.items()}
    turns = [{name: _seconds(call) for name, call in calls.items()} for _ in range(TURNS)]
    here = f"{hardware('cpu')['cpu']}, {torch.get_num_threads()} threads"
    for name in others:
        theirs, ours = (np.array([turn[one] for turn in turns]) for one in (name, "dense"))
        ratios = theirs / ours
        data = (
            f"one simulated field of 512²: dense {np.median(ours):.3f} s and {objects['dense']} objects with "
            f"onnxruntime, {name} {np.median(theirs):.2f} s and {objects[name]} objects with torch, "
            f"medians of {TURNS} turns; {here}; low and high: of a turn"
        )
        share = Share(*(round(float(one), 1) for one in (np.median(ratios), ratios.min(), ratios.max())))
        mine = name == "stock"
        told(
            "main.detect_speed_ratio" + ("" if mine else f".{name}"), share, data=data, dry=dry, command=COMMAND,
            target=">= 10" if mine else "reported",
        )  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
