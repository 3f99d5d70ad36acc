"""Who reaches each pixel first: sites that compete for the plane, as grains and spherulites do.

With the squared distance as value the cells are Voronoi's, less a weight Laguerre's, with the distance plus a time
Johnson and Mehl's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.synth.foil import smooth_field
from epistem.synth.pixels import Grey

Shape = tuple[int, int]
Value = Callable[[int, Grey, Grey], Grey]


class Nearest(NamedTuple):
    """At each pixel: the lowest value, the second lowest, and whose they are (-1 where nobody's)."""

    best: Grey
    second: Grey
    winner: NDArray[np.int32]
    runner_up: NDArray[np.int32]


def centres(shape: Shape) -> tuple[Grey, Grey]:
    rows, cols = np.indices(shape, np.float32)
    return rows + 0.5, cols + 0.5


def bent(shape: Shape, by_px: float, length_px: float, rng: np.random.Generator) -> tuple[Grey, Grey]:
    """Pixel centres, moved by a smooth field: what is straight on them is curved in the image."""
    rows, cols = centres(shape)
    down, across = (by_px * smooth_field(shape, 1.0, length_px, rng) for _ in range(2))
    return rows + down, cols + across


def spread(shape: Shape, size_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sites (n, 2) one for each disc's area, one to a square, also beyond the border: what lies there reaches in."""
    cell = size_px * np.sqrt(np.pi / 4)
    rows, cols = (np.arange(-2, np.ceil(n / cell) + 2) for n in shape)
    corners = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
    sites: NDArray[np.float64] = cell * (corners + rng.random(corners.shape))
    return sites


def compete(at: tuple[Grey, Grey], sites: NDArray[np.float64], reach_px: float, value: Value) -> Nearest:
    """Who has the lowest value at each pixel, of those within reach.

    Args:
        at: rows and columns of the pixels.
        sites: (n, 2).
        reach_px: no site counts farther away than this, along rows or columns.
        value: called with the site's number and the way down and across from it.
    """
    shape = at[0].shape
    best, second = (np.full(shape, np.inf, np.float32) for _ in range(2))
    winner, runner_up = (np.full(shape, -1, np.int32) for _ in range(2))
    low = np.clip(np.floor(sites - reach_px), 0, shape).astype(int)
    high = np.clip(np.ceil(sites + reach_px), 0, shape).astype(int)
    for i, ((r0, c0), (r1, c1)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if r0 >= r1 or c0 >= c1:
            continue
        here = np.s_[r0:r1, c0:c1]
        come = value(i, at[0][here] - np.float32(sites[i, 0]), at[1][here] - np.float32(sites[i, 1]))
        wins, is_second = come < best[here], come < second[here]
        runner_up[here] = np.where(wins, winner[here], np.where(is_second, i, runner_up[here]))
        second[here] = np.where(wins, best[here], np.minimum(second[here], come))
        winner[here][wins] = i
        np.minimum(best[here], come, out=best[here])
    return Nearest(best, second, winner, runner_up)


def way_from(sites: NDArray[np.float64], who: NDArray[np.int32], at: tuple[Grey, Grey]) -> tuple[Grey, Grey]:
    """The way down and across to each pixel from its site."""
    rows, cols = sites.T.astype(np.float32)
    return at[0] - rows[who], at[1] - cols[who]
