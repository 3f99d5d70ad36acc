"""Found over true diameter of matched cavities on simulated fields: main.baseline_size_bias.

A ratio of 1 is right. The fields are the scenes of `epistem.synth` at four defocus values and two pixel sizes, seeds
that no threshold was chosen on.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from benchmarks.record import record
from epistem.detect import DETECTORS, detect
from epistem.detect.match import match
from epistem.detect.measure import measure
from epistem.synth.cavities import CavityScene, simulate

COMMAND = "python -m benchmarks.size_bias"
SEEDS = range(100, 103)
SCENES = [
    replace(CavityScene(), defocus_nm=defocus, pixel_nm=pixel, diameter_nm=8 * pixel / 0.3, diameter_sd_nm=2)
    for defocus in (-1500.0, -1000.0, -500.0, 500.0, 1000.0)
    for pixel in (0.3, 0.5)
]


def ratios(detector: str, scene: CavityScene) -> list[float]:
    """Found over true diameter of every pair at box IoU ≥ 0.3, whole objects only."""
    values: list[float] = []
    for seed in SEEDS:
        field = simulate(scene, seed=seed)
        found = measure(detect(field.micrograph, detector), field.micrograph)
        pairs = match(found, field.truth, method="optimal", iou=0.3).pairs
        whole = ~found.columns["touches_edge"][pairs[:, 0]]
        size = found.columns["equivalent_diameter_nm"][pairs[:, 0]] / field.truth.columns["diameter_nm"][pairs[:, 1]]
        values.extend(size[whole].tolist())
    return values


def main() -> int:
    """Measure every detector, by defocus and over all, and record."""
    for detector in DETECTORS:
        everything: list[float] = []
        for scene in SCENES:
            values = ratios(detector, scene)
            everything += values
            spread = np.quantile(values, [0.05, 0.5, 0.95]).round(3) if values else "none"
            where = f"{scene.defocus_nm:g} nm, {scene.pixel_nm} nm/px"
            print(f"{detector} {where}: n {len(values)}, 5 % median 95 % {spread}")
        low, middle, high = np.quantile(everything, [0.05, 0.5, 0.95])
        name = "main.baseline_size_bias" + ("" if detector == "log" else f".{detector}")
        fields = len(SCENES) * len(SEEDS)
        data = f"{detector}, {len(everything)} matched cavities in {fields} simulated fields; 5 % and 95 %"
        record(
            name,
            round(float(middle), 3),
            low=round(float(low), 3),
            high=round(float(high), 3),
            target="1, reported",
            command=COMMAND,
            data=data,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
