"""The size distribution as a small drawing in the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 42
MOST_BINS = 24


class Bins(NamedTuple):
    """Bars of equal width: k counts between k + 1 round edges."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


def histogram_svg(values: Sequence[float] | NDArray[np.floating], unit: str, selected: float | None = None) -> str:
    """A histogram of equivalent diameters as SVG, as wide as its place, in the colour of the text around it.

    Args:
        values: shape (n,) [unit]; those not known (NaN) are left out and counted.
        unit: "nm" or "px".
        selected: a diameter to mark, that of the object the user looks at.
    """
    given = np.asarray(values, float)
    known = given[np.isfinite(given)]
    told = _told(known, len(given) - len(known), unit)
    if len(known):
        bins = binned(known)
        body = _bars(bins, selected) + _axes(bins, unit)
    else:
        body = _text(WIDTH / 2, HEIGHT / 2, "No object to measure", "middle", 14)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'style="width:100%;max-width:{2 * WIDTH}px;height:auto;display:block;font-family:system-ui,sans-serif" '
        f'fill="currentColor" stroke="none"><title>Size distribution</title><desc>{html.escape(told)}</desc>'
        f"{body}</svg>"
    )


def binned(known: NDArray[np.float64]) -> Bins:
    """Counts in bars between round edges; n = 1 and equal values make one bar.

    Source: D. Freedman and P. Diaconis, Z. Wahrscheinlichkeitstheorie 57 (1981) 453, width 2·IQR/n^(1/3), here
    near 1, 2 or 5 times a power of ten.

    >>> bins = binned(np.array([1.0, 1.4, 2.2, 2.9, 3.1]))
    >>> bins.edges.tolist(), bins.counts.tolist()
    ([0.0, 2.0, 4.0], [2, 3])
    """
    low, high = float(known.min()), float(known.max())
    quarter, three_quarters = np.percentile(known, [25, 75])
    width = 2 * float(three_quarters - quarter) / len(known) ** (1 / 3)
    span = high - low
    # Equal but for rounding of floats: a bar that says so, wide enough to be drawn.
    if span <= 1e-9 * max(abs(high), 1e-300):
        span, width = 0.0, max(abs(high), 1.0) / 10
    # From 2/3 of it on: rounding up alone made three bars of forty objects.
    step = round_up(max(width * 2 / 3, span / MOST_BINS))
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    edges = np.arange(first, last + 1, dtype=np.float64) * step
    inside = np.clip(np.floor(known / step + 1e-9).astype(int) - first, 0, last - first - 1)
    return Bins(edges, np.bincount(inside, minlength=last - first))


def round_up(value: float) -> float:
    """The next of 1, 2 or 5 times a power of ten.

    >>> round_up(0.13), round_up(20.0), round_up(3.0)
    (0.2, 20.0, 5.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _told(known: NDArray[np.float64], unknown: int, unit: str) -> str:
    if not len(known):
        return f"No object to measure, {unknown} of unknown size." if unknown else "No object to measure."
    left_out = f" {unknown} of unknown size left out." if unknown else ""
    if len(known) == 1:
        return f"1 object of {known[0]:.3g} {unit} equivalent diameter.{left_out}"
    return (
        f"{len(known)} objects, equivalent diameter {known.min():.3g} to {known.max():.3g} {unit}, "
        f"median {np.median(known):.3g} {unit}.{left_out}"
    )


def _bars(bins: Bins, selected: float | None) -> str:
    """Bars with a gap of 1 px; a marked line where the selected object is."""
    across, up = _scales(bins)
    drawn = []
    for left, right, count in zip(bins.edges[:-1], bins.edges[1:], bins.counts, strict=True):
        if count:
            box = f'x="{across(left) + 0.5:.1f}" y="{up(count):.1f}" width="{across(right) - across(left) - 1:.1f}"'
            height = up(0) - up(count)
            drawn.append(f'<rect {box} height="{height:.1f}" fill="#2f7fb8"><title>{count}</title></rect>')
    if selected is not None and bins.edges[0] <= selected <= bins.edges[-1]:
        x = across(selected)
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{up(0):.1f}"'
        drawn.append(f'<line {line} stroke="#e06000" stroke-width="2.5" stroke-dasharray="5 3"/>')
    return "".join(drawn)


def _axes(bins: Bins, unit: str) -> str:
    across, up = _scales(bins)
    base, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{base}H{end}" fill="none" stroke="currentColor"/>']
    for value in ticks(float(bins.edges[0]), float(bins.edges[-1]), 5):
        x = across(value)
        parts.append(f'<path d="M{x:.1f} {base}v4" stroke="currentColor"/>')
        parts.append(_text(x, base + 16, f"{value:.6g}", "middle", 12))
    # No half objects.
    for value in ticks(0.0, float(bins.counts.max()), 4, smallest=1.0):
        y = up(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}h-4" stroke="currentColor"/>')
        parts.append(_text(LEFT - 7, y + 4, f"{value:.0f}", "end", 12))
    parts.append(_text((LEFT + end) / 2, HEIGHT - 7, f"Equivalent diameter [{html.escape(unit)}]", "middle", 13))
    middle = (TOP + base) / 2
    parts.append(_text(11, middle, "Count", "middle", 13, f' transform="rotate(-90 11 {middle:g})"'))
    return "".join(parts)


class _Axis(NamedTuple):
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _scales(bins: Bins) -> tuple[_Axis, _Axis]:
    across = _Axis(float(bins.edges[0]), float(bins.edges[-1]), LEFT, WIDTH - RIGHT)
    return across, _Axis(0.0, float(bins.counts.max()), HEIGHT - BOTTOM, TOP)


def ticks(low: float, high: float, most: int, *, smallest: float = 0.0) -> list[float]:
    """Round values between two ends, at most `most` steps of at least `smallest`.

    >>> ticks(0.0, 9.0, 5)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    step = max(round_up((high - low) / most), smallest)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _text(x: float, y: float, words: str, anchor: str, size: int, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>{words}</text>'
