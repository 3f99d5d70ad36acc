"""Text with one object a line: YOLO boxes and polygons, Cellpose outlines."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from epistem.core import Mask
from epistem.core.polygon import fill, tight
from epistem.detect.adapters.content import (
    Content,
    Item,
    Shape,
    each,
    need_shape,
    numbers,
    polygon_mask,
    read_text,
    union,
)

# Trainers let polygons reach this far over the image's edge for rounding; beyond it the file is in pixels.
SLACK = 0.01


def read_yolo(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """YOLO labels: `class x y width height [confidence]` or `class x y x y x y… [confidence]`.

    Coordinates are fractions of width and height; box x, y is the centre. An empty file holds no object.

    Raises:
        RecordError: coordinates that are not fractions; no `shape`.
    """
    size = need_shape(shape, path.name, "YOLO text")
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    return Content(size, each(lines, "object", path.name, lambda words: _yolo_item(words, size)))


def _yolo_item(words: list[str], shape: Shape) -> Item:
    name, values = f"class {int(words[0])}", numbers(words[1:])
    is_box = len(values) in (4, 5)
    score = math.nan
    if len(values) % 2:
        score, values = float(values[-1]), values[:-1]
    if (values < -SLACK).any() or (values > 1 + SLACK).any():
        raise ValueError("coordinates are fractions of width and height, 0 to 1")
    rows, cols = shape
    xy = values * np.resize([cols, rows], len(values))
    if not is_box:
        return Item(polygon_mask(xy, shape), None, score, name)
    x, y, width, height = xy.tolist()
    return Item(None, (y - height / 2, x - width / 2, y + height / 2, x + width / 2), score, name)


def read_cellpose_outlines(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """Cellpose's `_cp_outlines.txt`: one line an object, `x,y,x,y…` through its outermost pixels.

    Those pixels belong to the object. A line is empty where Cellpose found an object too small to outline; it is
    left out and counted.

    Raises:
        RecordError: lines that are no outlines; no `shape`.
    """
    size = need_shape(shape, path.name, "an outline file")
    lines = [[word for word in line.split(",") if word.strip()] for line in read_text(path).splitlines()]
    return Content(size, each(lines, "outline", path.name, lambda words: Item(_outlined(words, size))))


def _outlined(words: list[str], shape: Shape) -> Mask | None:
    """What the outline surrounds together with the pixels it runs through."""
    if not words:
        return None
    xy = numbers(words)
    if len(xy) % 2:
        raise ValueError(f"an outline is x, y pairs, not {len(xy)} numbers")
    points = xy.reshape(-1, 2)[:, ::-1]
    pixels = np.floor(points).astype(np.int64)
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    rim = None
    if len(pixels):
        corner = pixels.min(axis=0)
        crop = np.zeros(pixels.max(axis=0) - corner + 1, bool)
        crop[tuple((pixels - corner).T)] = True
        rim = tight(crop, int(corner[0]), int(corner[1]))
    return union([rim, fill([points + 0.5], shape)])
