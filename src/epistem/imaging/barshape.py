"""Straight bars in an image: free-standing, axis-aligned rectangles of extreme grey."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.imaging.banner import grey_range

_EXTREME = 0.12  # of the grey range: JPEG keeps the inside of a white bar above 0.9 of it
_SHORTEST_PX = 12
_SHORTEST = 0.04  # of the width
_SLENDER = 3.0  # length over height
_FREE = 0.35  # largest share of the bar's grey in the rows next to it; end ticks take some
_CONTRAST = 0.15  # of the grey range, to what is beside it
_TALLEST_TICK = 0.8  # of the length
_STEP = 0.4  # of the grey range, between above and below
_MOST = 8


class Bar(NamedTuple):
    """A rectangle of extreme grey, half-open, that could be a scale bar."""

    row0: int
    col0: int
    row1: int
    col1: int
    is_white: bool

    @property
    def length(self) -> int:
        """Whole columns [px]."""
        return self.col1 - self.col0


def find_bars(pixels: NDArray[Any]) -> list[Bar]:
    """Free-standing rectangles of extreme grey, longest first; at most eight."""
    low, high = grey_range(pixels)
    if not high > low or pixels.shape[1] < 2 * _SHORTEST_PX:
        return []
    span = high - low
    found: list[Bar] = []
    for is_white in (True, False):
        extreme = pixels >= high - _EXTREME * span if is_white else pixels <= low + _EXTREME * span
        runs = _long_runs(extreme)
        bars = (_grow(extreme, run, is_white) for run in _with_free_top(extreme, runs))
        found += [bar for bar in bars if bar and _stands_out(pixels, bar, span) and not _is_frame(bar, runs)]
    found = [bar for bar in found if not any(_holds(bar, other) for other in found)]
    return sorted(found, key=lambda bar: -bar.length)[:_MOST]


def _long_runs(extreme: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 3) rows of [row, first column, end column] of runs that touch neither side of the image."""
    width = extreme.shape[1]
    step = np.flatnonzero(extreme[:, 1:] != extreme[:, :-1])
    rows, cols = np.divmod(step, width - 1)
    opens = ~extreme[rows, cols]
    pairs = np.flatnonzero(opens[:-1] & ~opens[1:] & (rows[:-1] == rows[1:]))
    starts, ends = cols[pairs] + 1, cols[pairs + 1] + 1
    long = ends - starts >= max(_SHORTEST_PX, _SHORTEST * width)
    runs: NDArray[np.int64] = np.stack([rows[pairs], starts, ends], axis=1)[long]
    return runs


def _with_free_top(extreme: NDArray[np.bool_], runs: NDArray[np.int64]) -> Iterable[tuple[int, int, int]]:
    """Runs over which the image is something else."""
    width = extreme.shape[1]
    runs = runs[runs[:, 0] > 0]
    if not len(runs):
        return []
    row, start, end = runs.T
    ends = np.stack([(row - 1) * width + start, (row - 1) * width + end], axis=1).ravel()
    inside: NDArray[np.int64] = np.add.reduceat(extreme.ravel(), ends, dtype=np.int64)[::2]
    above = inside / (end - start)
    return [(r, s, e) for r, s, e in runs[above < _FREE].tolist()]


def _grow(extreme: NDArray[np.bool_], run: tuple[int, int, int], is_white: bool) -> Bar | None:
    """The rectangle that hangs from a run, None where it is not one or does not stand free."""
    top, start, end = run
    length = end - start
    tallest = int(length / _SLENDER)
    below = extreme[top : top + tallest + 3, start:end].mean(axis=1)
    thickness = int(np.argmin(below >= 0.9)) if (below < 0.9).any() else 0
    if not 1 <= thickness <= tallest:
        return None
    # One row of in-between grey is allowed: bars are often drawn smooth or saved as JPEG.
    if below[thickness : thickness + 2].min() > _FREE:
        return None
    body = slice(top, top + thickness)
    sides = [extreme[body, col] for col in (start - 2, end + 1) if 0 <= col < extreme.shape[1]]
    if any(side.mean() > 0.5 for side in sides):
        return None
    if any(_side(extreme, top, thickness, slice(col, col + 3)) > _TALLEST_TICK * length for col in (start, end - 3)):
        return None
    return Bar(top, start, top + thickness, end, is_white)


def _side(extreme: NDArray[np.bool_], top: int, thickness: int, cols: slice) -> int:
    """Rows that a line at one end of a bar goes on for, up or down: little for a tick, far for a box."""
    strip: NDArray[np.bool_] = np.any(extreme[:, cols], axis=1)
    up, down = strip[:top][::-1], strip[top + thickness :]
    return max(int(np.argmin(part)) if not part.all() else len(part) for part in (up, down))


def _stands_out(pixels: NDArray[Any], bar: Bar, span: float) -> bool:
    """Whether it is flat, and unlike what lies above and below it."""
    body = pixels[bar.row0 : bar.row1, bar.col0 + 2 : bar.col1 - 2].astype(np.float64)
    if bar.row1 - bar.row0 >= 4:
        body = body[1:-1]
    if body.std() > 0.04 * span:
        return False
    rows = [row for row in (bar.row0 - 3, bar.row1 + 2) if 0 <= row < pixels.shape[0]]
    beside = [float(np.median(pixels[row, bar.col0 : bar.col1])) for row in rows]
    if any(abs(grey - float(np.median(body))) < _CONTRAST * span for grey in beside):
        return False
    # The edge of a legend or of a strip has one thing above and another below.
    return max(beside) - min(beside) <= _STEP * span


def _is_frame(bar: Bar, runs: NDArray[np.int64]) -> bool:
    """Whether another line of the same grey starts and ends with it a little higher or lower: a label's box."""
    same = (np.abs(runs[:, 1] - bar.col0) <= 2) & (np.abs(runs[:, 2] - bar.col1) <= 2)
    apart = np.maximum(bar.row0 - runs[:, 0], runs[:, 0] - bar.row1 + 1)
    return bool((same & (apart > 1) & (apart < 1.5 * bar.length)).any())


def _holds(outer: Bar, inner: Bar) -> bool:
    """Whether `outer` is the edge of a box or an outline round the bar `inner`."""
    if outer.is_white == inner.is_white or outer.length <= inner.length:
        return False
    gap = max(outer.row0 - inner.row1, inner.row0 - outer.row1)
    inside = outer.col0 <= inner.col0 + 1 and inner.col1 <= outer.col1 + 1
    return inside and gap <= max(6, 2 * (inner.row1 - inner.row0))


def is_exact(pixels: NDArray[Any], bar: Bar) -> bool:
    """Whether it is a drawn rectangle beyond doubt: thick, of a single grey, ends cut straight."""
    if bar.row1 - bar.row0 < 3:
        return False
    low, high = grey_range(pixels)
    core = pixels[bar.row0 : bar.row1, bar.col0 : bar.col1].astype(np.float64)
    left, right = pixels[bar.row0 : bar.row1, bar.col0 - 1], pixels[bar.row0 : bar.row1, bar.col1]
    extreme = high if bar.is_white else low
    step = min(np.abs(left.astype(float) - extreme).min(), np.abs(right.astype(float) - extreme).min())
    return bool(np.abs(core - extreme).max() <= 0.01 * (high - low) and step > 0.05 * (high - low))


def length_px(pixels: NDArray[Any], bar: Bar) -> float:
    """Distance between the half-height points of both ends [px]."""
    before = min(4, bar.col0)
    profile = pixels[bar.row0 : bar.row1, bar.col0 - before : bar.col1 + 4].astype(np.float64).mean(axis=0)
    first, last = before, before + bar.length - 1
    level = float(np.median(profile[first : last + 1]))
    # The nearest pixel may be half bar, the next ones are the ground; farther out may lie the edge of a box.
    outside_left = np.median(profile[: max(1, first - 1)])
    outside_right = np.median(profile[min(last + 2, len(profile) - 1) :])
    left = _crossing(profile[: first + 3][::-1], (level + outside_left) / 2)
    right = _crossing(profile[last - 2 :], (level + outside_right) / 2)
    return float(last - 2 + right - (first + 2 - left))


def _crossing(profile: NDArray[np.float64], half: float) -> float:
    """Where a profile that starts inside the bar first passes the half height, in steps from its start."""
    inside = profile[0] > half
    beyond = np.flatnonzero((profile > half) != inside)
    if not len(beyond):
        return float(len(profile))
    i = int(beyond[0])
    return float(i - 1 + (half - profile[i - 1]) / (profile[i] - profile[i - 1]))
