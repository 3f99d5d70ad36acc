"""Plots and pictures for the page: bytes in one style, readable without colour vision, in print and on a phone."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from epistem.core import Interval, Quantity, SignalRange
from epistem.report.words import number

INK, MUTED, ACCENT, WARM = "#1f2933", "#66727f", "#2f6f9f", "#b4541a"
# Okabe and Ito, Color Universal Design (2008), without yellow, which vanishes on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINES = ("-", "--", "-.", ":")
STYLE: Any = {
    "font.size": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.linewidth": 0.8,
    "svg.hashsalt": "epistem",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
}
MOST_TICKS = 6  # with more, the groups' own numbers would run into each other
_LOCK = threading.Lock()
_BELOW_IN = 0.46  # ticks and their label
NO_CLOCK = {"Date": None, "Creator": None}


class GroupValues(NamedTuple):
    """Values of one group, an array for each image, and the group's mean with its interval."""

    by_image: Sequence[NDArray[np.float64]]
    mean: Interval | None = None

    def pooled(self) -> NDArray[np.float64]:
        """All finite values of the group."""
        return _finite(np.concatenate([np.empty(0), *(np.ravel(values) for values in self.by_image)]))


def size_histogram(diameters: NDArray[np.float64], *, unit: str = "nm", noun: str = "objects") -> bytes:
    """Histogram of sizes with mean and median, as SVG.

    Args:
        diameters: shape (n,) [unit]; NaN is left out and n tells how many are drawn.
        unit: "nm", or "px" without calibration.
        noun: what was counted, in the plural.
    """
    values = _finite(diameters)
    with _style():
        canvas, axes = _canvas(4.8, 2.6, left_in=0.62)
        axes.hist(values, round_edges(values).tolist(), color=ACCENT, edgecolor="white", linewidth=0.6)
        axes.set_xlabel(f"Diameter [{unit}]")
        axes.set_ylabel(f"Number of {noun}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        if len(values):
            mean, median = float(values.mean()), float(np.median(values))
            axes.axvline(mean, color=WARM, linewidth=1.6, label=f"mean {number(mean)} {unit}")
            axes.axvline(median, color=INK, linewidth=1.4, linestyle="--", label=f"median {number(median)} {unit}")
        return _finished(canvas, axes, len(values))


def score_histogram(scores: NDArray[np.float64]) -> bytes:
    """Histogram of detection scores from 0 to 1, as SVG; NaN (no score) is left out."""
    values = _finite(scores)
    with _style():
        canvas, axes = _canvas(4.8, 2.1, left_in=0.62)
        axes.hist(values, np.linspace(0, 1, 21).tolist(), color=ACCENT, edgecolor="white", linewidth=0.6)
        axes.set_xlabel("Score (higher is surer)")
        axes.set_ylabel("Number of objects")
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        return _finished(canvas, axes, len(values))


def signal_strips(signals: Sequence[SignalRange]) -> bytes:
    """Where one image lies among the reference images, a strip for each signal, as SVG.

    Each is drawn from the reference's 5 % (left end of the grey) to its 95 % (right end); what is far out stands at
    the border.
    """
    with _style():
        longest = max((len(one.label) for one in signals), default=0)
        canvas, axes = _canvas(
            4.8, 0.5 + 0.19 * len(signals), left_in=0.2 + 0.058 * longest, right_in=0.65, top_in=0.05
        )
        rows = -np.arange(len(signals))
        low, width, value, median = (np.array(column, float) for column in _strip_columns(signals))
        at = np.clip((value - low) / width, -0.6, 1.6)
        inside = np.array([one.least <= one.value <= one.most for one in signals], bool)
        middle = (median - low) / width
        # One artist for all rows of a kind: 40 rows of four each took as long as the network.
        axes.hlines(rows, 0, 1, color="#e3e7eb", linewidth=0.62 * 0.19 * 72)
        axes.vlines(middle, rows - 0.31, rows + 0.31, color=MUTED, linewidth=1)
        for which, mark, colour in ((inside, "o", ACCENT), (~inside, "X", WARM)):
            axes.plot(
                at[which], rows[which], marker=mark, color=colour, markersize=5, linestyle="none", clip_on=False
            )
        for row, one in zip(rows.tolist(), signals, strict=True):
            axes.text(1.7, row, number(one.value), va="center", fontsize=7.5)
            axes.text(-0.7, row, one.label, va="center", ha="right", fontsize=7.5)
        axes.set_yticks([])
        axes.set_ylim(-len(signals) + 0.4, 0.6)
        axes.set_xlim(-0.65, 1.65)
        axes.set_xticks([0, 1], ["5 %", "95 %"])
        axes.spines["left"].set_visible(False)
        return _finished(canvas, axes, None)


def _strip_columns(signals: Sequence[SignalRange]) -> Iterator[list[float]]:
    yield [one.low for one in signals]
    yield [(one.high - one.low) or 1.0 for one in signals]
    yield [one.value for one in signals]
    yield [one.median for one in signals]


def compare_groups(groups: Mapping[str, GroupValues], *, label: str) -> bytes:
    """Box of all objects, a dot for each image's mean and the mean ± interval of each group, as SVG.

    Args:
        groups: by name, in the order they are drawn.
        label: what the values are, with unit: "Diameter [nm]".
    """
    with _style():
        canvas, axes = _canvas(4.8, 0.9 + 0.5 * max(1, len(groups)))
        for i, group in enumerate(groups.values()):
            _draw_group(axes, -i, group, COLOURS[i % len(COLOURS)])
            axes.text(
                1.01, -i, f"n = {number(len(group.pooled()))}", transform=axes.get_yaxis_transform(), va="center"
            )
        axes.set_yticks([-i for i in range(len(groups))], [_short(name) for name in groups])
        axes.set_ylim(-max(1, len(groups)) + 0.4, 0.6)
        axes.set_xlabel(label)
        axes.grid(axis="x", color="#e3e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        return _finished(canvas, axes, None)


def _draw_group(axes: Axes, at: float, group: GroupValues, colour: str) -> None:
    values = group.pooled()
    if len(values):
        axes.boxplot(
            values,
            orientation="horizontal",
            positions=[at],
            widths=0.5,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": "#eef2f5", "edgecolor": MUTED, "linewidth": 0.9},
            medianprops={"color": INK, "linewidth": 1.2},
            whiskerprops={"color": MUTED},
            capprops={"color": MUTED},
        )
    means = [float(_finite(v).mean()) for v in group.by_image if len(_finite(v))]
    axes.plot(means, [at - 0.14] * len(means), "o", color=colour, markersize=4, alpha=0.75, markeredgewidth=0)
    if group.mean is not None:
        low, mean, high = group.mean.low, group.mean.value, group.mean.high
        axes.errorbar(
            [mean], [at + 0.14], xerr=[[mean - low], [high - mean]], fmt="D", color=colour, markersize=5, capsize=4
        )


def cumulative_sizes(groups: Mapping[str, GroupValues], *, label: str) -> bytes:
    """Share of each group's objects that are no larger than a size, as SVG; lines differ in dash and colour."""
    with _style():
        canvas, axes = _canvas(4.8, 2.6)
        for i, (name, group) in enumerate(groups.items()):
            values = group.pooled()
            if len(values):
                style: Any = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
                # 200 quantiles draw the same line; all the steps of 300,000 objects took 85 s.
                share = np.linspace(0, 1, min(len(values), 200) + 1)
                at = np.quantile(values, share, method="inverted_cdf")
                axes.step(
                    at, share, where="post", linewidth=1.6, label=f"{_short(name)} (n = {len(values)})", **style
                )
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(label)
        axes.set_ylabel("Share of objects ≤ size")
        return _finished(canvas, axes, None)


def against_number(at: Sequence[float], rows: Sequence[Sequence[Quantity]], *, label: str) -> bytes:
    """Quantities of groups against the number that makes the groups, one above the other, as SVG.

    Args:
        at: dose, temperature… of g groups.
        rows: for each panel its g quantities; the unknown are left out.
        label: what `at` is, with unit.
    """
    with _style():
        canvas = Canvas(figsize=(4.8, 0.5 + 1.5 * len(rows)), layout="constrained")
        FigureCanvasAgg(canvas)
        panels = canvas.subplots(len(rows), sharex=True, squeeze=False)[:, 0]
        for axes, row, colour in zip(panels, rows, COLOURS, strict=False):
            for x, quantity in zip(at, row, strict=True):
                _draw_quantity(axes, x, quantity, colour)
            axes.set_ylim(bottom=0)  # half as high is half as much
            axes.set_ylabel(f"{row[0].label}\n[{row[0].unit}]" if row[0].unit else row[0].label)
            axes.grid(axis="y", color="#e3e7eb", linewidth=0.8)
            axes.set_axisbelow(True)
        panels[-1].set_xlabel(label.replace("$", r"\$"))
        panels[-1].margins(x=0.15)
        if len(set(at)) <= MOST_TICKS:
            panels[-1].set_xticks(sorted(set(at)))
        return _finished(canvas, panels[-1], None)


def _draw_quantity(axes: Axes, x: float, quantity: Quantity, colour: str) -> None:
    if quantity.value is None:
        return
    axes.plot([x], [quantity.value], "D", color=colour, markersize=5)
    if quantity.low is not None and quantity.high is not None:
        ends = [[quantity.value - quantity.low], [quantity.high - quantity.value]]
        axes.errorbar([x], [quantity.value], yerr=ends, fmt="none", ecolor=colour, capsize=4)


def round_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bin edges at multiples of 1, 2, 2.5 or 5 times a power of ten.

    The width is the round one next above Freedman and Diaconis' 2·IQR/∛n, held to some 8 to 40 bins.

    Source: Freedman, Diaconis, Z. Wahrscheinlichkeitstheorie 57 (1981) 453.

    >>> round_edges(np.array([2.0, 3.1, 4.2, 5.0, 7.9])).tolist()
    [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """
    if not len(values):
        return np.linspace(0.0, 1.0, 6)
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.05 * abs(low) - 1e-6, high + 0.05 * abs(high) + 1e-6
    quarter, three_quarters = np.quantile(values, [0.25, 0.75]).tolist()
    wanted = 2 * (three_quarters - quarter) / len(values) ** (1 / 3)
    step = _round_up(float(np.clip(wanted, (high - low) / 40, (high - low) / 8)))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    edges: NDArray[np.float64] = np.arange(first, max(last, first + 1) + 1) * step
    return edges


def _round_up(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step for step in (1, 2, 2.5, 5, 10) if step * power >= width * (1 - 1e-9)) * power)


def shrunk(image: bytes, *, side_px: int, kilobytes: float) -> bytes:
    """The picture as WebP, no longer than `side_px` and, down to a coarse one, no larger than asked for.

    A picture that is small enough already comes back untouched.
    """
    with Image.open(io.BytesIO(image)) as opened:
        if max(opened.size) <= side_px and len(image) <= kilobytes * 1000:
            return image
        picture = opened.convert("RGB")
    out = io.BytesIO()
    for side, quality in ((side_px, 85), (side_px, 65), (side_px, 45), (side_px * 3 // 4, 50), (side_px // 2, 50)):
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        # Method 0 is 3 times faster than 4 on micrographs, and no larger at these qualities.
        picture.save(out, "WEBP", quality=quality, method=0)
        if out.tell() <= kilobytes * 1000:
            break
    return out.getvalue()


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    array: NDArray[np.float64] = np.asarray(values, float).ravel()
    return array[np.isfinite(array)]


def _short(name: str) -> str:
    """A name that fits beside an axis, without mathtext or what XML cannot hold."""
    seen = "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
    return (seen if len(seen) <= 24 else f"{seen[:23]}…").replace("$", r"\$")


@contextmanager
def _style() -> Iterator[None]:
    """Our look, in one thread at a time: matplotlib keeps its settings for the whole process."""
    with _LOCK, mpl.rc_context(STYLE):
        yield


def _canvas(
    width_in: float, height_in: float, *, left_in: float | None = None, right_in: float = 0.1, top_in: float = 0.3
) -> tuple[Canvas, Axes]:
    """One pair of axes; with margins told it is not laid out by its texts, which takes longer than to draw."""
    canvas = Canvas(figsize=(width_in, height_in), layout="constrained" if left_in is None else None)
    FigureCanvasAgg(canvas)
    if left_in is None:
        return canvas, canvas.add_subplot()
    bottom = _BELOW_IN / height_in
    wide, tall = 1 - (left_in + right_in) / width_in, 1 - top_in / height_in - bottom
    return canvas, canvas.add_axes((left_in / width_in, bottom, wide, tall))


def _finished(canvas: Canvas, axes: Axes, n: int | None) -> bytes:
    if n is not None:
        axes.set_title(f"n = {number(n)}", loc="right", fontsize=8.5, color=MUTED)
        axes.margins(x=0.02)
    if n == 0:
        axes.text(0.5, 0.5, "nothing to draw", transform=axes.transAxes, ha="center", va="center", color=MUTED)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return _svg(canvas)


def _svg(canvas: Canvas) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        # The reader's own fonts draw the text, so glyphs that the layout's font lacks are no loss.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        canvas.savefig(out, format="svg", metadata=NO_CLOCK)
    return out.getvalue().replace(b"'DejaVu Sans'", b"system-ui, 'DejaVu Sans', sans-serif")
