"""Which boxes or masks of two sets overlap, and by how much, without looking at all pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances
from epistem.detect.runs import Runs, row_runs, spread

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Overlaps(NamedTuple):
    """Pairs (a, b) that share some area, each once, and their IoU in (0, 1]."""

    a: Ints
    b: Ints
    iou: Floats


def box_overlaps(a: Instances, b: Instances) -> Overlaps:
    """Boxes that overlap.

    IoU is intersection over union of areas, without adding 1, as pycocotools computes it.

    >>> box_overlaps(*[Instances.from_boxes((4, 9), [[0, c, 4, c + 4]]) for c in (0, 2)]).iou.round(2).tolist()
    [0.33]
    """
    i, j = _box_pairs(a.boxes, b.boxes)
    height = np.minimum(a.boxes[i, 2], b.boxes[j, 2]) - np.maximum(a.boxes[i, 0], b.boxes[j, 0])
    width = np.minimum(a.boxes[i, 3], b.boxes[j, 3]) - np.maximum(a.boxes[i, 1], b.boxes[j, 1])
    shared = height * width
    return Overlaps(i, j, shared / (_areas(a.boxes)[i] + _areas(b.boxes)[j] - shared))


def mask_overlaps(a: Instances, b: Instances) -> Overlaps:
    """Masks that overlap.

    Raises:
        ShapeError: one side has boxes only.
    """
    runs_a, runs_b = row_runs(a), row_runs(b)
    owner, other, shared = _shared_pixels(runs_a, runs_b, len(b), a.shape[1])
    area_a = np.bincount(runs_a.owner, runs_a.stop - runs_a.start, len(a))
    area_b = np.bincount(runs_b.owner, runs_b.stop - runs_b.start, len(b))
    return Overlaps(owner, other, shared / (area_a[owner] + area_b[other] - shared))


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _box_pairs(a: Floats, b: Floats) -> tuple[Ints, Ints]:
    """Indices of all pairs of boxes that share some area, each pair once.

    Boxes meet in the cells of a grid as wide as a typical box. A pair is taken in one cell only, that in which
    its common area begins.
    """
    if not len(a) or not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    size = float(np.sqrt(np.concatenate([_areas(a), _areas(b)]).mean()))
    columns = int(max(a[:, 3].max(), b[:, 3].max()) // size) + 2
    i, cell_a = _cells(a, size, columns)
    j, cell_b = _cells(b, size, columns)
    order = np.argsort(cell_b, kind="stable")
    j, cell_b = j[order], cell_b[order]
    x, y = _ranges(np.searchsorted(cell_b, cell_a, "left"), np.searchsorted(cell_b, cell_a, "right"))
    i, j, cell = i[x], j[y], cell_a[x]
    row0, col0 = np.maximum(a[i, 0], b[j, 0]), np.maximum(a[i, 1], b[j, 1])
    row1, col1 = np.minimum(a[i, 2], b[j, 2]), np.minimum(a[i, 3], b[j, 3])
    begins = (row0 // size).astype(np.int64) * columns + (col0 // size).astype(np.int64)
    keep = (row0 < row1) & (col0 < col1) & (begins == cell)
    return i[keep], j[keep]


def _cells(boxes: Floats, size: float, columns: int) -> tuple[Ints, Ints]:
    """Each box once for every cell it reaches: index of the box, number of the cell."""
    first = (boxes[:, :2] // size).astype(np.int64)
    last = (boxes[:, 2:] // size).astype(np.int64)
    rows, cols = (last - first + 1).T
    box = np.repeat(np.arange(len(boxes)), rows * cols)
    down, across = np.divmod(spread(rows * cols), cols[box])
    return box, (first[box, 0] + down) * columns + first[box, 1] + across


def _shared_pixels(a: Runs, b: Runs, m: int, width: int) -> tuple[Ints, Ints, Ints]:
    """Owners (a, b) of masks that share pixels, and how many.

    On one long line of all image rows, runs are intervals. Of two that overlap, either the second begins within
    the first or the first begins, later, within the second: both are stretches of a sorted list.
    """
    starts_a, stops_a, owners_a = _on_line(a, width)
    starts_b, stops_b, owners_b = _on_line(b, width)
    x1, y1 = _ranges(np.searchsorted(starts_b, starts_a, "left"), np.searchsorted(starts_b, stops_a, "left"))
    y2, x2 = _ranges(np.searchsorted(starts_a, starts_b, "right"), np.searchsorted(starts_a, stops_b, "left"))
    x, y = np.concatenate([x1, x2]), np.concatenate([y1, y2])
    shared = np.minimum(stops_a[x], stops_b[y]) - np.maximum(starts_a[x], starts_b[y])
    pair, which = np.unique(owners_a[x] * m + owners_b[y], return_inverse=True)
    owner, other = np.divmod(pair, max(m, 1))
    return owner, other, np.bincount(which, shared, len(pair)).astype(np.int64)


def _on_line(runs: Runs, width: int) -> tuple[Ints, Ints, Ints]:
    start = runs.row * width + runs.start
    order = np.argsort(start, kind="stable")
    return start[order], (start + runs.stop - runs.start)[order], runs.owner[order]


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """For each k the numbers low[k] … high[k] − 1, as (k, number)."""
    count = np.maximum(high - low, 0)
    return np.repeat(np.arange(len(low)), count), np.repeat(low, count) + spread(count)
