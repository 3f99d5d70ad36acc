"""Crops with what was found right, missed and invented drawn on them, for the eye of who builds the detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.record import ROOT
from benchmarks.study import Crop, Labelled
from epistem.core import Instances, Micrograph
from epistem.detect.match import match

RIGHT, MISSED, INVENTED, AMBIGUOUS = (60, 220, 90), (255, 60, 60), (255, 225, 40), (170, 170, 170)
SMALLEST_PX = 1000  # longest side of a picture: boxes of six pixels want to be seen


def outside_repository(folder: Path) -> bool:
    """Whether the folder lies neither in this repository nor in another checkout of one."""
    where = folder.resolve()
    return not where.is_relative_to(ROOT) and not any((one / ".git").exists() for one in (where, *where.parents))


def draw_pictures(folder: Path, seen: Sequence[tuple[Crop, Instances, Labelled]]) -> None:
    """A PNG for each crop with its found objects and an annotator's: green right, red missed, yellow invented, grey
    ambiguous.

    Raises:
        ValueError: the folder lies in a repository; the images are for study only.
    """
    if not outside_repository(folder):
        raise ValueError(f"{folder} lies in a repository; the images are for study only")
    folder.mkdir(parents=True, exist_ok=True)
    for crop, found, view in seen:
        picture(crop.micrograph, view.inside(found), view).save(folder / f"{crop.name}.png")
    print(f"{len(seen)} pictures in {folder}: green right, red missed, yellow invented, grey ambiguous")


def picture(micrograph: Micrograph, found: Instances, view: Labelled) -> Image.Image:
    """One of them."""
    one = match(found, view.sure, ambiguous=view.ambiguous)
    zoom = max(1, -(-SMALLEST_PX // max(micrograph.shape)))
    drawn = _grey(micrograph).resize([zoom * n for n in reversed(micrograph.shape)], Image.Resampling.BICUBIC)
    drawn = drawn.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    layers = (
        (view.ambiguous.boxes, AMBIGUOUS),
        (found.boxes[one.ignored], AMBIGUOUS),
        (view.sure.boxes[~one.truth_matched], MISSED),
        (found.boxes[~one.found_matched & ~one.ignored], INVENTED),
        (found.boxes[one.found_matched], RIGHT),
    )
    for boxes, colour in layers:
        for row0, col0, row1, col1 in boxes * zoom:
            pen.rectangle([col0, row0, max(col1 - 1, col0), max(row1 - 1, row0)], outline=colour, width=1)
    return drawn


def _grey(micrograph: Micrograph) -> Image.Image:
    low, high = np.percentile(micrograph.pixels, [0.35, 99.65])
    unit = np.clip((micrograph.pixels.astype(float) - low) / max(high - low, 1e-9), 0, 1)
    return Image.fromarray(np.rint(255 * unit).astype(np.uint8))
