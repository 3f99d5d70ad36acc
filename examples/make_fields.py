"""Labelled fields of simulated cavities, to try out what needs labels of your own.

python examples/make_fields.py FIELDS --number 60

Images lie in FIELDS/images, their labels in FIELDS/labels: one TIFF each, object i as i + 1. Labelled is what an
ideal observer could see (d′ of 5 and more).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tifffile

from epistem.detect.calibrate import asked_in_hard
from epistem.report.export import write_labels
from epistem.synth.fields import Recipe, draw_field


def main() -> None:
    """Write them."""
    options = argparse.ArgumentParser(description="Labelled fields of simulated cavities.")
    options.add_argument("folder", type=Path)
    options.add_argument("--number", type=int, default=20)
    options.add_argument("--set", default="C", help="A, B, C, wide or speckled: how they are taken.")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    for name in ("images", "labels"):
        (asked.folder / name).mkdir(parents=True, exist_ok=True)
    recipe = Recipe(((asked.set, "hard", 1.0),), asked.number, (384, 384), asked.seed)
    for number in range(asked.number):
        made = draw_field(recipe, number)
        scale = made.micrograph.calibration
        assert scale is not None
        file = f"field_{number:03d}.tif"
        tifffile.imwrite(
            asked.folder / "images" / file, made.micrograph.pixels, imagej=True,
            resolution=(1 / scale.col_nm, 1 / scale.row_nm), metadata={"unit": "nm"},
        )  # fmt: skip
        plain = made.truth[asked_in_hard(made.truth, scale.col_nm)]
        write_labels(asked.folder / "labels" / file, plain, calibration=scale)


if __name__ == "__main__":
    main()
