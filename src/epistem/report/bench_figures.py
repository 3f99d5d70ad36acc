"""Plots and pictures of a comparison of segmentation networks, in the page's style."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from epistem.core import ShapeError
from epistem.report.figures import ACCENT, COLOURS, INK, MUTED, _canvas, _style, _svg
from epistem.report.words import number

RGB = tuple[int, int, int]
_GRID = "#e3e7eb"
# Classes after Okabe and Ito, Color Universal Design (2008); what differs has none of their colours.
RIGHT, FALSE, MISSED, CONFUSED = (255, 255, 255), (225, 25, 40), (0, 235, 235), (255, 0, 255)
KINDS = (
    (RIGHT, "found and true"), (FALSE, "found, not true"), (MISSED, "true, missed"), (CONFUSED, "another class"),
)  # fmt: skip
KEY = "difference: white is found and true, red found and not true, cyan true and missed, magenta another class"
CLASS_COLOURS: tuple[RGB, ...] = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (120, 94, 180), (140, 90, 50))
_PANELS = ("Image", "Truth", "Prediction", "Difference")
_GAP_PX, _LABEL_PX = 6, 22


class Ranked(NamedTuple):
    """A model's mean rank over datasets, 1 is best, and the ends of its interval; None where chance is unknown."""

    name: str
    rank: float
    low: float | None = None
    high: float | None = None


class Point(NamedTuple):
    """A model's quality and cost, and whether no other beats it; None where a number is unknown."""

    name: str
    quality: float | None
    cost: float | None
    front: bool | None
    low: float | None = None
    high: float | None = None


class Bar(NamedTuple):
    """A score with its interval; bars of one kind share a colour, those of networks stopped short are faint."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: int = 0
    faint: bool = False


def critical_difference(
    models: Sequence[Ranked], apart: float, alike: Sequence[Sequence[str]], *, alpha: float = 0.05
) -> bytes:  # fmt: skip
    """Critical-difference diagram, as SVG: mean ranks on a line, bars over models that do not differ.

    Args:
        models: best first.
        apart: mean ranks further apart than this differ.
        alike: groups of names none of which differ.
        alpha: chance of any false alarm, for the words.

    Source: J. Demšar, J. Mach. Learn. Res. 7, 1 (2006), fig. 1.
    """
    k = len(models)
    half = -(-k // 2)
    depth = 0.55 + 0.16 * len(alike)
    with _page(6.4, 0.75 + 0.24 * half + 0.13 * len(alike)) as (canvas, axes):
        axes.plot([1, max(k, 2)], [0, 0], color=INK, linewidth=1)
        for rank in range(1, max(k, 2) + 1):
            axes.plot([rank, rank], [0, 0.12], color=INK, linewidth=1)
            axes.text(rank, 0.2, str(rank), ha="center", va="bottom")
        for i, one in enumerate(models):
            left = i < half
            row = -depth - 0.42 * (i if left else k - 1 - i)
            end = 0.55 if left else k + 0.45
            axes.plot([one.rank, one.rank, end], [0, row, row], color=MUTED, linewidth=0.8)
            axes.plot([one.rank], [0], "o", color=ACCENT, markersize=4, zorder=3)
            text = f"{_plain(one.name)}  {number(one.rank, decimals=2)}"
            axes.text(end, row, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center")
        at = {one.name: one.rank for one in models}
        for i, group in enumerate(alike):
            ranks = [at[name] for name in group]
            axes.plot([min(ranks) - 0.05, max(ranks) + 0.05], [-0.22 - 0.2 * i] * 2, color=INK, linewidth=3.2)
        axes.plot([1, 1 + apart], [0.95, 0.95], color=INK, linewidth=1.2, marker="|", markersize=6)
        words = f"critical difference {number(apart, decimals=2)} (α = {alpha:g})"
        axes.text(1 + apart + 0.1, 0.95, words, ha="left", va="center", color=MUTED)
        axes.set_ylim(-depth - 0.42 * (half - 1) - 0.3, 1.25)
        # Names stand outside of the line on both sides.
        axes.set_xlim(1 - 0.62 * max(k, 2), max(k, 2) * 1.62)
        axes.set_axis_off()
        return _svg(canvas)


def pareto_plot(points: Sequence[Point], *, quality: str, cost: str) -> bytes:
    """Quality against cost on a log axis, as SVG; models that no other beats are filled and joined.

    Args:
        points: a model each; one with an unknown number is left out and counted.
        quality, cost: labels of the axes, with unit.
    """
    known = [one for one in points if one.quality is not None and one.cost is not None and one.cost > 0]
    known.sort(key=lambda one: -(one.quality or 0.0))
    with _page(6.4, max(2.8, 0.9 + 0.2 * len(known))) as (canvas, axes):
        front = sorted((one.cost or 0.0, one.quality or 0.0) for one in known if one.front)
        if front:
            axes.step(*zip(*front, strict=True), where="post", color=ACCENT, linewidth=1, zorder=1)
        for i, one in enumerate(known):
            _draw_point(axes, one, i + 1)
            name = f"{i + 1}   {_plain(one.name)}"
            at = (1.03, 1 - (i + 0.5) / max(len(known), 8))
            axes.text(*at, name, transform=axes.transAxes, va="center", color=INK if one.front else MUTED)
        if known:
            _pareto_key(canvas, intervals=any(one.low is not None for one in known))
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            _nothing(axes)
        left_out = len(points) - len(known)
        axes.set_title(
            f"{left_out} without a cost left out" if left_out else "", loc="right", color=MUTED, fontsize=8
        )
        axes.set_xlabel(cost)
        axes.set_ylabel(quality)
        axes.margins(x=0.1, y=0.1)
        return _svg(canvas)


def score_bars(scores: Mapping[str, Mapping[str, Bar]], *, label: str) -> bytes:
    """A panel for each dataset, in it a bar for each model with its interval, as SVG.

    Args:
        scores: by dataset, by model; all panels have the models in the order in which they first come.
        label: what the score is.
    """
    models = list(dict.fromkeys(name for row in scores.values() for name in row))
    cols = 2 if len(scores) in (2, 4) else min(len(scores), 3) or 1
    rows = -(-len(scores) // cols) or 1
    size = (7.2, 0.75 * rows + 0.2 * rows * max(len(models), 2))
    with _style():
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasAgg(canvas)
        grid = canvas.subplots(rows, cols, squeeze=False, sharey=True, sharex=True)
        for axes, (dataset, row) in zip(grid.ravel(), scores.items(), strict=False):
            axes.set_title(_plain(dataset), fontsize=8.5, loc="left")
            for i, model in enumerate(models):
                if model in row:
                    _draw_bar(axes, -i, row[model])
            axes.grid(axis="x", color=_GRID, linewidth=0.8)
            axes.set_axisbelow(True)
            axes.set_yticks([-i for i in range(len(models))], [_plain(name) for name in models])
            axes.tick_params(axis="y", length=0)
        for axes in grid.ravel()[max(1, len(scores)) :]:
            axes.set_visible(False)
        if not scores:
            _nothing(grid[0, 0])
        canvas.supxlabel(label, fontsize=8.5)
        return _svg(canvas)


def mask_strip(
    image: NDArray[Any], truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], *,
    classes: Sequence[str] = (), ignored: int | None = None, side_px: int = 256,
) -> bytes:  # fmt: skip
    """One test image in four: itself, truth, prediction, and where they differ (colours: `KEY`), as PNG.

    Args:
        image: (H, W) or (C, H, W), the first channel is shown; grey from the 1st to the 99th percentile.
        truth, predicted: (H, W) labels, 0 the background.
        classes: names by label, for a legend; none without.
        ignored: label of the truth that is not scored; hatched everywhere.
        side_px: longer side of each picture; smaller ones are enlarged by whole pixels.

    Raises:
        ShapeError: the three differ in size.
    """
    grey = image[0] if image.ndim == 3 else image
    if not grey.shape == truth.shape == predicted.shape:
        raise ShapeError(f"image, truth and prediction are {grey.shape}, {truth.shape} and {predicted.shape}")
    base = _levels(grey)
    scored = np.ones(truth.shape, bool) if ignored is None else truth != ignored
    pictures = [
        base, _painted(base, np.where(scored, truth, 0)), _painted(base, np.where(scored, predicted, 0)),
        difference(base, truth, predicted, scored),
    ]  # fmt: skip
    pictures[1:] = [_hatched(one, scored) for one in pictures[1:]]
    named = [(_class_colour(i, i), name) for i, name in enumerate(classes) if i]
    return _in_a_row([Image.fromarray(one) for one in pictures], side_px, named + list(KINDS) if named else [])


def difference(
    grey: NDArray[np.uint8], truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]],
    scored: NDArray[np.bool_],
) -> NDArray[np.uint8]:  # fmt: skip
    """The dimmed picture (H, W, 3) with what is right laid over it thinly and each kind of error in full colour."""
    out = grey.astype(float) * 0.6
    front, found = (truth > 0) & scored, (predicted > 0) & scored
    right = front & (predicted == truth)
    out[right] = 0.55 * out[right] + 0.45 * np.array(RIGHT)
    for where, colour in ((found & ~front, FALSE), (front & ~found, MISSED), (front & found & ~right, CONFUSED)):
        out[where] = colour
    return out.astype(np.uint8)


def _levels(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W, 3); what is not finite is black."""
    values = grey.astype(float)
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], [1, 99]) if finite.any() else (0.0, 1.0)
    shown = np.clip((np.where(finite, values, low) - low) / ((high - low) or 1.0), 0, 1)
    return np.repeat((shown * 255).astype(np.uint8)[..., None], 3, axis=2)


def _painted(base: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Labels alone: white background, so that masks are seen as shapes."""
    out = np.full(base.shape, 255, np.uint8)
    for i, label in enumerate(int(one) for one in np.unique(labels) if one > 0):
        out[labels == label] = _class_colour(label, i + 1)
    return out


def _class_colour(label: int, place: int) -> RGB:
    """Labels beyond the colours take them again, by their place among those shown."""
    return CLASS_COLOURS[((label if label <= len(CLASS_COLOURS) else place) - 1) % len(CLASS_COLOURS)]


def _hatched(picture: NDArray[np.uint8], scored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    row, col = np.ogrid[: scored.shape[0], : scored.shape[1]]
    out = picture.copy()
    out[~scored] = 200
    out[~scored & ((row + col) % 6 < 1)] = 90
    return out


def _in_a_row(pictures: Sequence[Image.Image], side_px: int, key: Sequence[tuple[RGB, str]]) -> bytes:
    width, height = pictures[0].size
    factor = side_px / max(width, height)
    # Whole pixels where it is enlarged: a mask's steps are its own.
    size = (round(width * factor), round(height * factor))
    shown = [one.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX) for one in pictures]
    width, font = len(shown) * (size[0] + _GAP_PX) - _GAP_PX, ImageFont.load_default(14)
    lines = _in_lines([(colour, text, 24 + font.getlength(text) + 16) for colour, text in key], width)
    sheet = Image.new("RGB", (width, size[1] + (1 + len(lines)) * _LABEL_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (one, label) in enumerate(zip(shown, _PANELS, strict=True)):
        left = i * (size[0] + _GAP_PX)
        sheet.paste(one, (left, _LABEL_PX))
        draw.text((left, 2), label, fill=INK, font=font)
    for row, line in enumerate(lines, 1):
        x, y = 0.0, size[1] + row * _LABEL_PX
        for colour, text, room in line:
            draw.rectangle((x, y + 5, x + 16, y + 17), fill=colour, outline=MUTED)
            draw.text((x + 22, y + 2), text, fill=INK, font=font)
            x += room
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _in_lines(key: Sequence[tuple[RGB, str, float]], width: int) -> list[list[tuple[RGB, str, float]]]:
    lines: list[list[tuple[RGB, str, float]]] = []
    for one in key:
        if not lines or sum(room for *_, room in lines[-1]) + one[2] > width:
            lines.append([])
        lines[-1].append(one)
    return lines


def _pareto_key(canvas: Canvas, *, intervals: bool) -> None:
    mark: Any = {"marker": "o", "linestyle": "", "markersize": 7}
    handles = [
        Line2D([], [], color=ACCENT, label="no other is both better and cheaper", **mark),
        Line2D([], [], color=MUTED, mfc="white", label="another is", **mark),
    ]
    if intervals:
        handles.append(Line2D([], [], color=MUTED, marker="|", markersize=8, linestyle="-", label="interval"))
    canvas.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=7.5)


def _draw_bar(axes: Axes, at: float, bar: Bar) -> None:
    colour = COLOURS[bar.kind % len(COLOURS)]
    axes.barh(at, bar.value, height=0.7, color=colour, alpha=0.35 if bar.faint else 0.85)
    if bar.low is not None and bar.high is not None:
        ends = [[bar.value - bar.low], [bar.high - bar.value]]
        axes.errorbar([bar.value], [at], xerr=ends, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)


def _draw_point(axes: Axes, one: Point, place: int) -> None:
    colour = ACCENT if one.front else MUTED
    x, y = one.cost or 0.0, one.quality or 0.0
    if one.low is not None and one.high is not None:
        ends = [[y - one.low], [one.high - y]]
        axes.errorbar([x], [y], yerr=ends, fmt="none", ecolor=colour, elinewidth=1, alpha=0.4, capsize=2)
    axes.plot([x], [y], "o", color=colour, mfc=colour if one.front else "white", markersize=10, zorder=3)
    ink = "white" if one.front else INK
    axes.text(x, y, str(place), ha="center", va="center_baseline", fontsize=7, color=ink, zorder=4)


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing to draw", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _plain(name: str) -> str:
    """Without mathtext."""
    return name.replace("$", r"\$")


@contextmanager
def _page(width_in: float, height_in: float) -> Iterator[tuple[Canvas, Axes]]:
    with _style():
        yield _canvas(width_in, height_in)
