"""Convex hulls of many masks at once, and the sizes that are read from them.

::

    lines ──> hull of the pixel centres ──> the published size and Heywood factor
                  └──> convex image ──> convex area; its hull ──> Feret diameters

Lengths are computed with the spacing of rows and of columns, so that pixels need not be square.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.detect.runs import Lines, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Takes a hull edge to the pixel centre it passes through. Corners are whole pixels, so an edge that misses a
# centre misses it by more than half over its rows: above 1e-6 for every image below 500,000 rows.
_ON_EDGE = 1e-6
# Two tables of pairs fit the cache of one core.
_PAIRS_AT_ONCE = 100_000


class Hulls(NamedTuple):
    """Corners of n convex polygons, one after the other: polygon i has `corners[i]` of them, in order round it."""

    corners: Ints
    row: Floats
    col: Floats

    def scaled(self, row_size: float, col_size: float) -> Hulls:
        """The same polygons with lengths in place of pixels."""
        return Hulls(self.corners, self.row * row_size, self.col * col_size)


class ConvexImages(NamedTuple):
    """Pixels of each object's convex image, counted, and the hull of their centres."""

    area: Ints
    hulls: Hulls


class Feret(NamedTuple):
    """Largest and smallest distance of two parallel lines that touch the object on both sides."""

    largest: Floats
    smallest: Floats


class Published(NamedTuple):
    """Diameter and Heywood factor as the cavity paper's code has them."""

    diameter: Floats
    heywood: Floats


class _Sides(NamedTuple):
    """2n functions x(y), sorted by y: the left sides of n objects, then their right sides with x turned over."""

    owner: Ints
    y: Ints
    x: Ints


def convex_hulls(lines: Lines, n: int) -> tuple[Hulls, ConvexImages]:
    """Convex hull of the pixel centres of each of n objects, and its convex image.

    The hull has true corners only, none in the middle of an edge. A pixel belongs to the convex image if its centre
    lies in the convex hull of the object's pixels, each taken as the diamond between the middles of its four sides.

    Source: `skimage.morphology.convex_hull_image(offset_coordinates=True)`.
    """
    corners = _lower(_both_sides(lines, n))
    owner, y, edge, is_corner = _edges(corners)

    # The hull of the diamonds is the hull of the centres widened by one diamond. Its corners lie on whole rows,
    # so the widened edge comes from the same row or, where it is steep, from half a row above or below.
    wide = edge - 0.5
    between = np.where(owner[1:] == owner[:-1], (edge[1:] + edge[:-1]) / 2, np.inf)
    wide[1:] = np.minimum(wide[1:], between)
    wide[:-1] = np.minimum(wide[:-1], between)
    pixel = np.ceil(wide - _ON_EDGE).astype(np.int64)

    left, right = np.split(pixel, 2)
    area = np.bincount(owner[: len(left)], np.maximum(1 - left - right, 0), n).astype(np.int64)
    outermost = is_corner | (pixel < edge - _ON_EDGE)
    image_corners = _lower(_Sides(owner[outermost], y[outermost], pixel[outermost]))
    return _polygons(corners, n), ConvexImages(area, _polygons(image_corners, n))


def feret(hulls: Hulls, row_size: float = 1.0, col_size: float = 1.0) -> Feret:
    """Feret diameters of convex images, out to the middles of the pixels' sides.

    The largest equals `feret_diameter_max` of scikit-image. A single pixel has 1 and √½.
    """
    n = len(hulls.corners)
    largest, smallest = np.zeros(n), np.zeros(n)
    for which, row, col in _same_corners(hulls.scaled(row_size, col_size)):
        rows, cols = row[:, :, None] - row[:, None], col[:, :, None] - col[:, None]
        # Two diamonds reach one row, or one column, further than their centres.
        further = np.maximum(row_size * (2 * np.abs(rows) + row_size), col_size * (2 * np.abs(cols) + col_size))
        largest[which] = np.sqrt((rows * rows + cols * cols + further).max((1, 2)))

        # The narrowest direction is square to an edge of the hull or to a side of the diamond.
        edge_row, edge_col = np.roll(row, -1, 1) - row, np.roll(col, -1, 1) - col
        length = np.hypot(edge_row, edge_col)
        far = np.abs(edge_col[:, :, None] * rows - edge_row[:, :, None] * cols).max(2)
        diamond = np.maximum(np.abs(edge_col) * row_size, np.abs(edge_row) * col_size)
        widths = [np.divide(far + diamond, length, out=np.full_like(far, np.inf), where=length > 0)]
        for sign in (1, -1):
            place = row * col_size + sign * col * row_size
            widths.append((np.ptp(place, 1, keepdims=True) + row_size * col_size) / np.hypot(row_size, col_size))
        smallest[which] = np.concatenate(widths, 1).min(1)
    return Feret(largest, smallest)


def published_sizes(hulls: Hulls, row_size: float = 1.0, col_size: float = 1.0) -> Published:
    """d = 2·√(min|v − c|·max|v − c|), c the mean of the corners v; h = P/(2·√(π·A)) of the same polygon.

    It is the hull of pixel *centres*, so an object is half a pixel smaller on each side than its mask. The code
    lets qhull shake what has no hull ("QJ"), which leaves the size to chance; here a line of pixels has the
    distance of its two ends, one pixel has 0, and neither has a Heywood factor (NaN).

    Source: uw-cmg/cavity_defect_detection, run_final_model_predictions.py.
    """
    n = len(hulls.corners)
    scaled = hulls.scaled(row_size, col_size)
    owner = np.repeat(np.arange(n), hulls.corners)
    first = np.cumsum(hulls.corners) - hulls.corners
    row = scaled.row - (np.bincount(owner, scaled.row, n) / hulls.corners)[owner]
    col = scaled.col - (np.bincount(owner, scaled.col, n) / hulls.corners)[owner]
    reach = np.hypot(row, col)
    near, far = (f.reduceat(reach, first) if n else reach for f in (np.minimum, np.maximum))

    following = np.arange(1, len(row) + 1)
    following[first + hulls.corners - 1] = first
    perimeter = np.bincount(owner, np.hypot(row[following] - row, col[following] - col), n)
    area = np.abs(np.bincount(owner, row * col[following] - row[following] * col, n)) / 2
    solid = hulls.corners > 2
    heywood = np.full(n, np.nan)
    heywood[solid] = perimeter[solid] / (2 * np.sqrt(np.pi * area[solid]))
    return Published(2 * np.sqrt(near * far), heywood)


def _both_sides(lines: Lines, n: int) -> _Sides:
    both = np.concatenate
    return _Sides(
        both([lines.owner, lines.owner + n]), both([lines.row, lines.row]), both([lines.left, -lines.right])
    )


def _lower(sides: _Sides) -> _Sides:
    """Corners of the lower convex hull of each side.

    A point on or above the line between its neighbours is no corner whatever else goes, so all such points go
    at once, until none is left.
    """
    owner, y, x = sides
    while len(y) > 2:
        chord = (x[2:] - x[:-2]) * (y[1:-1] - y[:-2]) - (x[1:-1] - x[:-2]) * (y[2:] - y[:-2])
        keep = np.ones(len(y), bool)
        keep[1:-1] = (chord > 0) | (owner[2:] != owner[:-2])
        if keep.all():
            break
        owner, y, x = owner[keep], y[keep], x[keep]
    return _Sides(owner, y, x)


def _edges(corners: _Sides) -> tuple[Ints, Ints, Floats, NDArray[np.bool_]]:
    """Each side at every row between its ends: owner, row, x, and whether a corner is there."""
    more = np.append(corners.owner[1:] == corners.owner[:-1], [False])
    rows = np.where(more, np.append(np.diff(corners.y), 0), 1)
    slope = np.where(more, np.append(np.diff(corners.x), 0) / rows, 0.0)
    step = spread(rows)
    owner, y, x, rise = (np.repeat(part, rows) for part in (corners.owner, corners.y, corners.x, slope))
    return owner, y + step, x + step * rise, step == 0


def _polygons(corners: _Sides, n: int) -> Hulls:
    """Down the left side, up the right side; a pixel where both meet counts once."""
    if not n:
        return Hulls(np.empty(0, np.int64), np.empty(0), np.empty(0))
    left_count, right_count = np.bincount(corners.owner, minlength=2 * n).reshape(2, n)
    right_first = len(corners.y) - right_count.sum() + np.cumsum(right_count) - right_count
    left_first = np.cumsum(left_count) - left_count
    keep = np.ones(len(corners.y), bool)
    for left, right in ((left_first, right_first), (left_first + left_count - 1, right_first + right_count - 1)):
        keep[right[corners.x[left] == -corners.x[right]]] = False

    owner, y, x = (part[keep] for part in corners)
    left_count, right_count = np.bincount(owner, minlength=2 * n).reshape(2, n)
    first = np.cumsum(left_count + right_count) - left_count - right_count
    down = np.repeat(first, left_count) + spread(left_count)
    up = np.repeat(first + left_count + right_count - 1, right_count) - spread(right_count)
    place = np.concatenate([down, up])
    row, col = np.empty(len(y)), np.empty(len(y))
    row[place] = y
    col[place] = np.where(owner < n, x, -x)
    return Hulls(left_count + right_count, row, col)


def _same_corners(hulls: Hulls) -> Iterator[tuple[Ints, Floats, Floats]]:
    """Polygons of equally many corners h together: their indices, rows and columns (g, h); few pairs at once."""
    first = np.cumsum(hulls.corners) - hulls.corners
    order = np.argsort(hulls.corners, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(hulls.corners[order])) + 1):
        h = int(hulls.corners[same[0]]) if len(same) else 1
        step = max(1, _PAIRS_AT_ONCE // h**2)
        for which in (same[i : i + step] for i in range(0, len(same), step)):
            points = first[which, None] + np.arange(h)
            yield which, hulls.row[points], hulls.col[points]
