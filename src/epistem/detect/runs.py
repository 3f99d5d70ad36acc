"""Masks as row runs: the form in which many objects are measured and compared at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, ShapeError, whole_boxes


class Runs(NamedTuple):
    """Unbroken stretches of mask, sorted by owner, row and column; one row each, in image pixels.

    Object `owner[k]` covers row `row[k]` from column `start[k]` up to, not including, `stop[k]`.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]


class Lines(NamedTuple):
    """Outermost pixels of each object in each row where it has any, sorted by owner and row."""

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]


def row_runs(found: Instances) -> Runs:
    """The masks of all objects as runs.

    Raises:
        ShapeError: only boxes are known.

    >>> row_runs(Instances.from_labels(np.array([[1, 0, 1], [0, 2, 2]]))).stop.tolist()
    [1, 3, 3]
    """
    if found.crops is None:
        raise ShapeError("these objects have boxes only; masks were asked for")
    if not len(found):
        return Runs(*np.empty((4, 0), np.int64))
    whole = whole_boxes(found.boxes)
    heights, widths = whole[:, 2] - whole[:, 0], whole[:, 3] - whole[:, 1]
    solid = np.concatenate([crop.ravel() for crop in found.crops])
    line_owner = np.repeat(np.arange(len(found)), heights)
    line_width = widths[line_owner]
    line_stop = np.cumsum(line_width)
    line_start = line_stop - line_width

    opens, closes = solid.copy(), solid.copy()
    opens[1:] &= ~solid[:-1]
    opens[line_start] = solid[line_start]
    closes[:-1] &= ~solid[1:]
    closes[line_stop - 1] = solid[line_stop - 1]
    first, last = np.flatnonzero(opens), np.flatnonzero(closes)

    line = np.searchsorted(line_stop, first, side="right")
    owner = line_owner[line]
    first_line = np.cumsum(heights) - heights
    row = line - first_line[owner] + whole[owner, 0]
    start = first - line_start[line] + whole[owner, 1]
    return Runs(owner, row, start, start + (last - first) + 1)


def row_lines(runs: Runs) -> Lines:
    """The outermost pixels of every object in every row."""
    if not len(runs.owner):
        return Lines(*np.empty((4, 0), np.int64))
    new = np.r_[True, (runs.row[1:] != runs.row[:-1]) | (runs.owner[1:] != runs.owner[:-1])]
    first = np.flatnonzero(new)
    last = np.r_[first[1:], len(new)] - 1
    return Lines(runs.owner[first], runs.row[first], runs.start[first], runs.stop[last] - 1)


def spread(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … counts[0] − 1, then 0, 1, … counts[1] − 1, and so on.

    >>> spread(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
