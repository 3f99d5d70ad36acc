"""Moments, ellipses and perimeters of many masks at once.

Lengths are computed with the spacing of rows and of columns, so that pixels need not be square.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.detect.runs import Lines, Runs, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How a border pixel counts, by how many border pixels touch its sides (0 to 4) and its corners (0 to 4).
_ALONG, _ACROSS = np.zeros((5, 5)), np.zeros((5, 5))
_ALONG[2:4, 0:3] = 1
_ALONG[1, 1:3] = _ACROSS[1, 1:3] = 0.5
_ACROSS[0, 2] = _ACROSS[1, 3] = 1


class Extents(NamedTuple):
    """First row and column of each object, and how many it spans."""

    row: Ints
    col: Ints
    height: Ints
    width: Ints


class Moments(NamedTuple):
    """Area [px], centre [px] and covariance of the pixel centres [px²] of each object."""

    area: Floats
    row: Floats
    col: Floats
    row_row: Floats
    row_col: Floats
    col_col: Floats


class Ellipses(NamedTuple):
    """Full axes, angle [rad] and eccentricity of the ellipse with each object's second moments."""

    major: Floats
    minor: Floats
    orientation: Floats
    eccentricity: Floats


class Border(NamedTuple):
    """Border pixels and how many border pixels touch each: in its row, in its column, at its corners."""

    owner: Ints
    in_row: NDArray[np.uint8]
    in_col: NDArray[np.uint8]
    at_corner: NDArray[np.uint8]


def extents(lines: Lines, n: int) -> Extents:
    """Where the pixels of each object lie; n objects, each with at least one."""
    if not n:
        return Extents(*np.empty((4, 0), np.int64))
    first = np.searchsorted(lines.owner, np.arange(n))
    last = np.append(first[1:], [len(lines.owner)]) - 1
    row, col = lines.row[first], np.minimum.reduceat(lines.left, first)
    return Extents(row, col, lines.row[last] - row + 1, np.maximum.reduceat(lines.right, first) - col + 1)


def moments(runs: Runs, at: Extents) -> Moments:
    """Area, centroid and covariance of the pixel centres."""
    n = len(at.row)
    # Counted from the object's own corner the sums are whole numbers below 2**53, so they are exact.
    row = runs.row - at.row[runs.owner]
    start, stop = runs.start - at.col[runs.owner], runs.stop - at.col[runs.owner]
    length = stop - start
    cols = length * (start + stop - 1) // 2
    col_squares = _squares_below(stop) - _squares_below(start)

    def total(values: Ints) -> Floats:
        return np.bincount(runs.owner, values, n).astype(float)

    area = total(length)
    mean_row, mean_col = total(row * length) / area, total(cols) / area
    return Moments(
        area,
        mean_row + at.row,
        mean_col + at.col,
        total(row * row * length) / area - mean_row**2,
        total(row * cols) / area - mean_row * mean_col,
        total(col_squares) / area - mean_col**2,
    )


def _squares_below(stop: Ints) -> Ints:
    """0² + 1² + … + (stop − 1)²."""
    return (stop - 1) * stop * (2 * stop - 1) // 6


def ellipses(of: Moments, row_size: float = 1.0, col_size: float = 1.0) -> Ellipses:
    """Ellipse with the same second moments as each object.

    The orientation runs from −π/2 to π/2: the angle from the row axis, which points down, to the major axis,
    counter-clockwise. Of a round object it means nothing.

    Source: scikit-image, `regionprops`: a full axis is 4·√λ, λ an eigenvalue of the covariance.
    """
    rows, both, cols = of.row_row * row_size**2, of.row_col * row_size * col_size, of.col_col * col_size**2
    middle, half = (rows + cols) / 2, np.hypot((rows - cols) / 2, both)
    large, small = middle + half, np.maximum(middle - half, 0)
    roundness = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    tilted = np.where(both > 0, np.pi / 4, -np.pi / 4)
    angle = np.where(rows == cols, tilted, 0.5 * np.arctan2(2 * both, rows - cols))
    return Ellipses(4 * np.sqrt(large), 4 * np.sqrt(small), angle, np.sqrt(1 - roundness))


def perimeters(border: Border, n: int, row_size: float = 1.0, col_size: float = 1.0) -> Floats:
    """Length of each object's border, holes included.

    A border pixel counts by how the border goes on: straight 1, diagonal √2, both ½·(1 + √2). With pixels that
    are not square the 1 is the spacing along the border (the mean where it turns a corner) and √2 the pixel's
    diagonal. A single pixel has none.

    Source: K. Benkrid, D. Crookes, A. Benkrid, Design and FPGA Implementation of a Perimeter Estimator, 2000;
    equal to `skimage.measure.perimeter(neighborhood=4)`.
    """
    straight, corners = border.in_row + border.in_col, border.at_corner
    along = (border.in_row * col_size + border.in_col * row_size) / np.maximum(straight, 1)
    diagonal = np.hypot(row_size, col_size)
    length = _ALONG[straight, corners] * along + _ACROSS[straight, corners] * diagonal
    return np.bincount(border.owner, length, n).astype(float)


def borders(runs: Runs, at: Extents) -> Border:
    """Pixels of each object with a side free, other objects left aside.

    All objects are laid out side by side on one sheet, a pixel apart, in shelves of similar height: neighbours
    are then looked up for all at once.
    """
    n = len(at.row)
    if not n:
        return Border(np.empty(0, np.int64), *np.empty((3, 0), np.uint8))
    width, height = at.width + 1, at.height + 1
    tallest = np.argsort(-height, kind="stable")
    shelf_width = max(int(width.max()), int(np.sqrt((width * height).sum())))
    along = np.cumsum(width[tallest]) - width[tallest]
    shelf, col = along // shelf_width, along % shelf_width + 1
    shelf_height = height[tallest][np.searchsorted(shelf, np.arange(shelf[-1] + 1))]
    shelf_row = 1 + np.cumsum(shelf_height) - shelf_height
    pitch = shelf_width + int(width.max()) + 1

    corner = np.empty(n, np.int64)
    corner[tallest] = shelf_row[shelf] * pitch + col
    place = corner[runs.owner] + (runs.row - at.row[runs.owner]) * pitch - at.col[runs.owner]
    change = np.zeros((2 + int(shelf_height.sum())) * pitch, np.int8)
    change[place + runs.start] = 1
    change[place + runs.stop] = -1
    solid = np.cumsum(change, dtype=np.int8).view(np.uint8)

    whose = np.zeros((len(shelf_height), pitch), np.int64)
    whose.ravel()[np.repeat(shelf * pitch + col, width[tallest]) + spread(width[tallest])] = np.repeat(
        tallest, width[tallest]
    )
    edge = solid.copy()
    inside = slice(pitch, -pitch)
    edge[inside] &= ~(
        solid[: -2 * pitch] & solid[2 * pitch :] & solid[pitch - 1 : -pitch - 1] & solid[pitch + 1 : 1 - pitch]
    )
    found = np.flatnonzero(edge.view(bool))
    row, column = np.divmod(found, pitch)
    shelf_of_row = np.repeat(np.arange(len(shelf_height)), shelf_height)

    def touching(*steps: int) -> NDArray[np.uint8]:
        count = np.zeros(len(found), np.uint8)
        for step in steps:
            count += edge[found + step]
        return count

    return Border(
        whose[shelf_of_row[row - 1], column],
        touching(-1, 1),
        touching(-pitch, pitch),
        touching(-pitch - 1, -pitch + 1, pitch - 1, pitch + 1),
    )
