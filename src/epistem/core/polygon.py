"""Masks to polygons and back, exactly.

Points are (row, col). Pixel (r, c) is the square from (r, c) to (r + 1, c + 1): its corners are whole numbers,
its centre is (r + ½, c + ½). A mask's outline runs along the pixels' edges, and a pixel belongs to a polygon if
its centre lies inside; so mask → polygon → mask gives the same mask. ImageJ's traced selections and QuPath's
annotations follow the same convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core.instances import Mask

Ring = NDArray[np.int64]


class Part(NamedTuple):
    """One connected piece of a mask: its outer ring and the rings of its holes."""

    shell: Ring
    holes: tuple[Ring, ...]


def trace(mask: NDArray[np.bool_]) -> list[Part]:
    """Outlines of a mask along its pixels' edges.

    Rings are (k, 2) corners as (row, col), first one not repeated, and touch themselves nowhere: pixels that
    meet only at a corner are two parts. Shells run clockwise as seen on the screen, holes the other way.

    >>> [part.shell.tolist() for part in trace(np.array([[True, True]]))]
    [[[0, 0], [0, 2], [1, 2], [1, 0]]]
    """
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    padded[1:-1, 1:-1] = mask
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    saddle = (nw == se) & (ne == sw) & (nw != ne)
    row, col = np.nonzero((nw ^ ne ^ sw ^ se) | saddle)
    # Two outlines pass a saddle, so it stands twice.
    place = np.repeat(np.arange(len(row)), 1 + saddle[row, col])
    row, col = row[place], col[place]
    second = np.zeros(len(place), bool)
    second[1:] = place[1:] == place[:-1]
    # On every grid line, corners in rising order are start, end, start, end of an edge: in a row of the list
    # (sorted by row) neighbours 2i and 2i + 1 are joined, and so they are after sorting by column. Which of a
    # saddle's two goes up decides that the foreground is cut there and not joined.
    down_first = second ^ (ne[row, col] & saddle[row, col])
    by_col = np.lexsort((down_first, row, col))
    upright = np.empty(len(row), np.int64)
    upright[by_col[0::2]], upright[by_col[1::2]] = by_col[1::2], by_col[0::2]
    corners = np.stack([row, col], axis=1)
    shells: list[Ring] = []
    holes: list[Ring] = []
    for loop in _loops(upright.tolist(), place.tolist()):
        ring = corners[loop]
        top_left = corners[min(loop)]
        is_shell = bool(se[top_left[0], top_left[1]])
        (shells if is_shell else holes).append(ring if (_twice_area(ring) > 0) == is_shell else ring[::-1])
    return _sort_holes(shells, holes)


def _loops(upright: list[int], place: list[int]) -> list[list[int]]:
    """Closed walks over the corners, along a row to i ^ 1, then along a column to `upright`; cut where they touch."""
    seen = [False] * len(upright)
    loops = []
    for start in range(len(upright)):
        loop: list[int] = []
        at = start
        while not seen[at]:
            seen[at] = seen[at ^ 1] = True
            loop += (at, at ^ 1)
            at = upright[at ^ 1]
        if loop and len({place[i] for i in loop}) == len(loop):
            loops.append(loop)
        elif loop:
            loops += _cut(loop, place)
    return loops


def _cut(loop: list[int], place: list[int]) -> list[list[int]]:
    walk: list[int] = []
    position: dict[int, int] = {}
    loops = []
    for corner in loop:
        if place[corner] in position:
            first = position[place[corner]]
            loops.append(walk[first:])
            for done in walk[first:]:
                del position[place[done]]
            del walk[first:]
        position[place[corner]] = len(walk)
        walk.append(corner)
    return [*loops, walk]


def _twice_area(ring: Ring) -> int:
    row, col = (ring - ring[0]).T
    return int(col[:-1] @ row[1:] - col[1:] @ row[:-1])


def _sort_holes(shells: list[Ring], holes: list[Ring]) -> list[Part]:
    owned: list[list[Ring]] = [[] for _ in shells]
    if holes and len(shells) == 1:
        owned[0] = holes
    elif holes:
        # The pixel left of a hole's upper left corner belongs to the part that the hole is in; among nested shells
        # that hold it, the smallest one is that part's. Boxes first: asking each shell of noise took minutes.
        area = np.array([_twice_area(shell) for shell in shells])
        low, high = (np.array([end(shell, axis=0) for shell in shells]) for end in (np.min, np.max))
        for hole in holes:
            row, col = min(hole.tolist())
            here = np.array([row + 0.5, col - 0.5])
            around = np.flatnonzero(((low < here) & (here < high)).all(axis=1))
            near = around[np.argsort(area[around], kind="stable")].tolist()
            owned[next(i for i in near if _holds(shells[i], *here))].append(hole)
    return [Part(shell, tuple(mine)) for shell, mine in zip(shells, owned, strict=True)]


def _holds(ring: Ring, row: float, col: float) -> bool:
    after = np.roll(ring, -1, axis=0)
    crossed = (ring[:, 0] > row) != (after[:, 0] > row)
    return bool((crossed & (ring[:, 1] < col)).sum() % 2)


def one_ring(parts: Sequence[Part]) -> Ring:
    """All rings of a mask as a single one, for formats that know no holes.

    Rings are joined by bridges of no width, walked once each way; filling by the even-odd rule gives the same
    pixels.
    """
    rings = [ring for part in parts for ring in (part.shell, *part.holes)]
    if len(rings) == 1:
        return rings[0]
    home = rings[0][:1]
    return np.concatenate([points for ring in rings for points in (ring, ring[:1], home)])


def fill(rings: Sequence[NDArray[np.floating] | NDArray[np.integer]], shape: tuple[int, int]) -> Mask | None:
    """Pixels of an image of `shape` whose centre lies inside an odd number of the rings.

    Args:
        rings: each (k, 2) finite corners as (row, col); what lies outside the image is cut off.
        shape: rows and columns of the image.

    Returns:
        The mask in its tight box; None if it holds no pixel.

    A centre exactly on an upper or left edge is inside, on a lower or right edge outside, so that polygons that
    share an edge share no pixel.
    """
    here = np.concatenate([np.asarray(ring, float).reshape(-1, 2) for ring in rings] or [np.empty((0, 2))])
    after = np.concatenate([np.roll(np.asarray(r, float).reshape(-1, 2), -1, axis=0) for r in rings] or [here])
    # Each edge from its upper to its lower end: walked either way, it crosses at the same float.
    falls = (here[:, 0] <= after[:, 0])[:, None]
    upper, lower = np.where(falls, here, after), np.where(falls, after, here)
    first = np.clip(np.ceil(upper[:, 0] - 0.5), 0, shape[0]).astype(np.int64)
    count = np.clip(np.ceil(lower[:, 0] - 0.5), 0, shape[0]).astype(np.int64) - first
    if not count.sum():
        return None
    edge = np.repeat(np.arange(len(count)), count)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    down, right = (lower - upper)[edge].T
    crossing = upper[edge, 1] + (row + 0.5 - upper[edge, 0]) * (right / down)
    col = np.clip(np.ceil(crossing - 0.5), 0, shape[1]).astype(np.int64)
    row0, col0 = int(row.min()), int(col.min())
    flips = np.zeros((int(row.max()) + 1 - row0, int(col.max()) + 1 - col0), np.uint8)
    np.add.at(flips, (row - row0, col - col0), 1)
    inside = np.bitwise_xor.accumulate(flips & 1, axis=1).astype(bool)
    return tight(inside, row0, col0)


def fill_ellipse(centre: tuple[float, float], height: float, width: float, shape: tuple[int, int]) -> Mask | None:
    """Pixels whose centre lies in an upright ellipse of full `height` and `width`; None if there are none."""
    row, col = centre
    first = np.clip(np.floor([row - height / 2, col - width / 2]), 0, shape).astype(int)
    last = np.clip(np.ceil([row + height / 2, col + width / 2]), 0, shape).astype(int)
    rows, cols = np.ogrid[first[0] : last[0], first[1] : last[1]]
    if not rows.size or not cols.size:
        return None
    down, right = 2 * (rows + 0.5 - row) * width, 2 * (cols + 0.5 - col) * height
    return tight(down**2 + right**2 <= (height * width) ** 2, int(first[0]), int(first[1]))


def tight(crop: NDArray[np.bool_], row0: int = 0, col0: int = 0) -> Mask | None:
    """The mask cut to its tight box, `crop` lying at (row0, col0); None if it is empty."""
    rows, cols = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = (rows[0], rows[-1] + 1), (cols[0], cols[-1] + 1)
    return Mask(
        slice(int(row0 + top), int(row0 + bottom)),
        slice(int(col0 + left), int(col0 + right)),
        crop[top:bottom, left:right],
    )
