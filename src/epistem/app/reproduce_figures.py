"""The paper's figures, drawn from arrays: SVG bytes in the report's style."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval
from epistem.report.figures import COLOURS, INK, LINES, MUTED, NO_CLOCK, STYLE
from epistem.stats.classification import Curve, Cut

Floats = NDArray[np.float64]
GROUPED, RANDOM = COLOURS[2], COLOURS[0]
_LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", [COLOURS[0], "#c9c4bd", COLOURS[1]])
_GRID = "#e3e7eb"


class SplitPoint(NamedTuple):
    """Mean and standard deviation of true F1 in one split; of the printed ones None where there are none."""

    name: str
    grouped: bool
    mean: float
    sd: float
    printed_mean: float | None = None
    printed_sd: float | None = None


class Means(NamedTuple):
    """Mean and standard deviation of truth and prediction, one of each for s splits."""

    true: Floats
    true_sd: Floats
    predicted: Floats
    predicted_sd: Floats


def f1_histogram(by_kind: Mapping[str, Floats], *, bins: int = 10) -> bytes:
    """Figure 5 a: number of images by true F1, kinds of splits side by side."""
    with _page(4.8, 2.6) as (canvas, axes):
        counts = [np.histogram(values, bins, (0, 1))[0] for values in by_kind.values()]
        width = 0.9 / bins / max(len(counts), 1)
        for k, (name, count) in enumerate(zip(by_kind, counts, strict=True)):
            at = (np.arange(bins) + 0.05) / bins + (k + 0.5) * width
            colour = GROUPED if name.startswith("grouped") else RANDOM
            hatch = "//" if name.startswith("grouped") else None
            label = f"{name} (n = {count.sum()})"
            axes.bar(at, count, width, color=colour, label=label, hatch=hatch, edgecolor="white", linewidth=0.4)
        axes.set_xlabel("True F1 of an image")
        axes.set_ylabel("Number of images")
        axes.set_xlim(0, 1)
        _legend(axes)
        return _svg(canvas)


def true_means(points: Sequence[SplitPoint], by_kind: Mapping[str, Floats]) -> bytes:
    """Figure 5 b: mean true F1 of each split ± its standard deviation, and of each kind as a band."""
    with _page(5.8, 3.2) as (canvas, axes):
        for name, values in by_kind.items():
            colour, line = (GROUPED, "--") if name.startswith("grouped") else (RANDOM, ":")
            mean, sd = float(values.mean()), float(values.std())
            axes.axhline(mean, color=colour, linestyle=line, linewidth=1.2, label=f"{name}: {mean:.2f} ± {sd:.2f}")
            axes.axhspan(mean - sd, mean + sd, color=colour, alpha=0.1, linewidth=0)
        for k, one in enumerate(points):
            colour = GROUPED if one.grouped else RANDOM
            axes.errorbar(
                k - 0.12, one.mean, one.sd, fmt="o", color=colour, capsize=3, markersize=5,
                label="here" if k == 0 else None,
            )  # fmt: skip
            if one.printed_mean is not None:
                axes.errorbar(
                    k + 0.12, one.printed_mean, one.printed_sd, fmt="D", color=MUTED, mfc="white", capsize=3,
                    markersize=4.5, linewidth=0.9, label="paper, implied" if k == 0 else None,
                )  # fmt: skip
        axes.set_xticks(range(len(points)), [one.name for one in points], rotation=35, ha="right")
        axes.set_ylabel("Mean true F1 ± sd")
        axes.set_ylim(0, 1)
        _legend(axes, columns=2)
        return _svg(canvas)


def shap_summary(features: Sequence[str], shap: Floats, values: Floats, *, seed: int = 0) -> bytes:
    """Figure 3: a dot for each image and feature at its SHAP value, coloured by the feature's value.

    Args:
        features: k names, most important first.
        shap, values: (n, k).
        seed: of where dots of equal SHAP value stand.
    """
    rng = np.random.default_rng(seed)
    with _page(5.8, 0.7 + 0.24 * len(features)) as (canvas, axes):
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for k in range(len(features)):
            # Ranks, not values: one crowded image would turn the colour of all others.
            rank = np.searchsorted(np.sort(values[:, k]), values[:, k], side="right") / len(values)
            at = -k + _swarm(shap[:, k], rng)
            # A picture inside the drawing: 18 features of 1000 images are too many circles for a page.
            style: dict[str, Any] = {"cmap": _LOW_TO_HIGH, "vmin": 0, "vmax": 1, "linewidths": 0, "rasterized": True}
            axes.scatter(shap[:, k], at, c=rank, s=3.5, **style)
        axes.set_yticks([-k for k in range(len(features))], list(features))
        axes.set_ylim(-len(features) + 0.4, 0.6)
        axes.set_xlabel("SHAP value: change of the predicted F1")
        bar = canvas.colorbar(ScalarMappable(Normalize(0, 1), _LOW_TO_HIGH), ax=axes, aspect=40, pad=0.02)
        bar.set_ticks([0, 1], labels=["low", "high"])
        bar.set_label("Value of the feature, by rank")
        bar.outline.set_visible(False)
        return _svg(canvas)


def _swarm(values: Floats, rng: np.random.Generator) -> Floats:
    """How far each dot stands off its line: far where many are of the same value, ±0.4."""
    low, high = float(values.min()), float(values.max())
    count, edges = np.histogram(values, 60, (low, high) if high > low else (low - 1, low + 1))
    crowd = count[np.clip(np.digitize(values, edges) - 1, 0, 59)] / max(count.max(), 1)
    offset: Floats = 0.4 * np.sqrt(crowd) * rng.uniform(-1, 1, len(values))
    return offset


def importance_bars(features: Sequence[str], importance: ArrayLike, *, label: str) -> bytes:
    """Features by importance, most on top; where there are no SHAP values."""
    with _page(4.8, 0.7 + 0.2 * len(features)) as (canvas, axes):
        axes.barh([-k for k in range(len(features))], np.asarray(importance, float), color=RANDOM)
        axes.set_yticks([-k for k in range(len(features))], list(features))
        axes.set_xlabel(label)
        return _svg(canvas)


def error_curves(number: Sequence[int], curves: Mapping[str, Floats], *, mark: int) -> bytes:
    """Figure 4: a panel for each error against the number of features; the published number is marked."""
    with _panels(1, len(curves), 5.8 / len(curves), 1.9) as (canvas, grid):
        for axes, (name, values) in zip(grid[0], curves.items(), strict=True):
            axes.axvline(mark, color=MUTED, linestyle=":", linewidth=1)
            axes.plot(number, values, "o-", color=RANDOM, markersize=3.5, linewidth=1.2)
            axes.set_title(name, fontsize=8.5)
            axes.set_xlabel("Number of features")
        return _svg(canvas)


def parity(
    truth: Floats, said: Mapping[str, Floats], splits: Mapping[str, NDArray[np.int64]], grouped: set[str]
) -> bytes:
    """Figure 6 a: predicted against true F1, a dot an image, a panel for each who said it; splits by mark.

    Args:
        truth: (n,).
        said: by title, (n,).
        splits: rows of each.
        grouped: names of those that are grouped.
    """
    colours = _of_splits(list(splits), grouped)
    with _square(len(said), legend_in=1.3) as (canvas, grid):
        for axes, (title, predicted) in zip(grid, said.items(), strict=False):
            _parity_axes(axes, title)
            for name, rows in splits.items():
                style: dict[str, Any] = {"color": colours[name], "s": 11, "alpha": 0.6}
                mark = "o" if name in grouped else "+"
                style |= {"linewidths": 0 if name in grouped else 0.9}
                axes.scatter(truth[rows], predicted[rows], marker=mark, label=name, **style)
        canvas.legend(
            *grid[0].get_legend_handles_labels(),
            frameon=False,
            fontsize=8,
            markerscale=1.6,
            loc="outside right center",
        )
        return _svg(canvas)


def parity_of_means(means: Mapping[str, Means], names: Sequence[str], grouped: set[str]) -> bytes:
    """Figure 6 b: mean predicted against mean true F1 of each split, bars of one standard deviation."""
    colours = _of_splits(names, grouped)
    with _square(len(means), legend_in=1.3) as (canvas, grid):
        for axes, (title, one) in zip(grid, means.items(), strict=False):
            _parity_axes(axes, title)
            for k, name in enumerate(names):
                mark = "o" if name in grouped else "s"
                fill = colours[name] if name in grouped else "white"
                axes.errorbar(
                    one.true[k], one.predicted[k], one.predicted_sd[k], one.true_sd[k], fmt=mark, capsize=2,
                    color=colours[name], markersize=5, linewidth=0.9, label=name, mfc=fill,
                )  # fmt: skip
        canvas.legend(*grid[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right center")
        return _svg(canvas)


def _of_splits(names: Sequence[str], grouped: set[str]) -> dict[str, str]:
    """A colour for each; the kinds differ by mark and begin anew."""
    kinds = ([name for name in names if name in grouped], [name for name in names if name not in grouped])
    return {name: COLOURS[k % len(COLOURS)] for kind in kinds for k, name in enumerate(kind)}


def _parity_axes(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=0.9)
    axes.set_title(title, fontsize=8.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_aspect("equal")
    axes.set_xlabel("True F1")
    axes.set_ylabel("Predicted F1")


def confusion_matrices(counts: Mapping[str, NDArray[np.int64]]) -> bytes:
    """Figure 7: images by bin of true (rows) and predicted F1 (columns); shade is the share of the row."""
    with _square(len(counts)) as (canvas, grid):
        for axes, (title, table) in zip(grid, counts.items(), strict=False):
            bins = len(table)
            share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
            axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
            for (row, col), count in np.ndenumerate(table):
                dark = share[row, col] > 0.55
                axes.text(col, row, str(count), ha="center", va="center", color="white" if dark else INK)
            edges = [f"{k / bins:.1f}–{(k + 1) / bins:.1f}" for k in range(bins)]
            axes.set_xticks(range(bins), edges, rotation=35, ha="right", fontsize=7.5)
            axes.set_yticks(range(bins), edges, fontsize=7.5)
            axes.set_title(title, fontsize=8.5)
            axes.set_xlabel("Predicted F1")
            axes.set_ylabel("True F1")
            axes.spines[:].set_visible(False)
        return _svg(canvas)


def precision_recall_curves(
    curves: Mapping[str, Curve], stars: Mapping[str, tuple[float, float]], printed: tuple[float, float]
) -> bytes:
    """Figure 8: precision against recall of calling images good, no-skill line; stars where the cut itself calls.

    Args:
        curves: by who said it.
        stars: recall and precision of each.
        printed: the same in the paper.
    """
    with _page(4.8, 3.9) as (canvas, axes):
        for k, (name, one) in enumerate(curves.items()):
            # A curve begins where nothing is called yet: at the strictest call's own precision.
            recall, precision = np.append(0, one.recall), np.append(one.precision[0], one.precision)
            style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": LINES[k % len(LINES)]}
            label = f"{name} (average {one.average:.2f})"
            axes.plot(recall, precision, linewidth=1.4, label=label, **style)
            if name in stars:
                axes.plot(*stars[name], "*", color=style["color"], markersize=11, markeredgecolor="white")
        no_skill = next(iter(curves.values())).no_skill
        axes.axhline(no_skill, color=MUTED, linestyle="--", linewidth=1, label="no skill")
        axes.plot(*printed, "*", color="white", markeredgecolor=INK, markersize=11, label="printed", linestyle="none")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("Recall: share of good images that are called good")
        axes.set_ylabel("Precision: share of these that is good")
        _legend(axes, columns=1)
        return _svg(canvas)


def threshold_sweep(cuts: Mapping[str, Sequence[Cut]]) -> bytes:
    """Figure 9: precision, recall, F1 and accuracy of calling images good from each F1 up, and calling all alike."""
    panels = {"precision": "Precision", "recall": "Recall", "f1": "Classification F1", "accuracy": "Accuracy"}
    with _panels(2, 2, 2.9, 2.2) as (canvas, grid):
        for axes, (name, title) in zip(grid.ravel(), panels.items(), strict=True):
            for k, (who, sweep) in enumerate(cuts.items()):
                style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": LINES[k % len(LINES)]}
                values = [getattr(one, name) for one in sweep]
                at = [one.at for one in sweep]
                axes.plot(at, _gaps(values), marker="o", markersize=3, linewidth=1.2, label=who, **style)
                if f"baseline_{name}" in Cut._fields and k == 0:
                    alike = [getattr(one, f"baseline_{name}") for one in sweep]
                    axes.plot(at, _gaps(alike), "x", color=MUTED, markersize=4.5, label="majority")
            axes.set_title(title, fontsize=8.5)
            axes.set_ylim(-0.03, 1.03)
            axes.set_xlabel("F1 from which an image is good")
        canvas.legend(
            *grid[1, 1].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper left", ncols=3
        )
        return _svg(canvas)


def dots(rows: Mapping[str, Mapping[str, float]], *, label: str) -> bytes:
    """A line for each row, a mark on it for each who has a value: 0 stands on the left edge."""
    who = list(dict.fromkeys(name for row in rows.values() for name in row))
    with _page(5.6, 1.3 + 0.3 * len(rows)) as (canvas, axes):
        for k, name in enumerate(who):
            at = [(row[name], -i) for i, row in enumerate(rows.values()) if name in row]
            mark = "os^vDPX*"[k % 8]
            axes.plot(*zip(*at, strict=True), mark, color=COLOURS[k % len(COLOURS)], label=name, markersize=5.5)
        axes.set_yticks([-i for i in range(len(rows))], list(rows))
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        _legend(axes)
        return _svg(canvas)


def shares(rows: Mapping[str, Interval], *, label: str, lines: Mapping[float, str]) -> bytes:
    """A value with its interval on each line, and what it should be as dashed lines."""
    with _page(5.6, 0.9 + 0.26 * len(rows)) as (canvas, axes):
        for k, (at, name) in enumerate(lines.items()):
            axes.axvline(at, color=MUTED, linestyle=("--", ":")[k % 2], linewidth=1, label=name)
        for i, one in enumerate(rows.values()):
            axes.errorbar(
                one.value, -i, xerr=[[one.value - one.low], [one.high - one.value]], fmt="D", color=RANDOM,
                markersize=4.5, capsize=3,
            )  # fmt: skip
        axes.set_yticks([-i for i in range(len(rows))], list(rows))
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlabel(label)
        _legend(axes)
        return _svg(canvas)


# ---------------------------------------------------------------- what they share


@contextmanager
def _page(width_in: float, height_in: float) -> Iterator[tuple[Canvas, Axes]]:
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas, canvas.add_subplot()


@contextmanager
def _panels(
    rows: int, cols: int, width_in: float, height_in: float, *, legend_in: float = 0.0
) -> Iterator[tuple[Canvas, NDArray[Any]]]:
    """Panels of that size each, with room for a legend on their right."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(width_in * cols + legend_in, height_in * rows), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas, canvas.subplots(rows, cols, squeeze=False)


@contextmanager
def _square(number: int, *, legend_in: float = 0.0) -> Iterator[tuple[Canvas, list[Axes]]]:
    """So many square panels, two in a row, together 5.8 in wide; empty places stay empty."""
    cols = min(number, 2)
    side = (5.8 - legend_in) / 2
    with _panels(-(-number // 2), cols, side, side + 0.1, legend_in=legend_in) as (canvas, grid):
        axes: list[Axes] = list(grid.ravel())
        for one in axes[number:]:
            one.set_visible(False)
        yield canvas, axes[:number]


def _gaps(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in values])


def _legend(axes: Axes, columns: int = 2) -> None:
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)


def _svg(canvas: Canvas) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="svg", metadata=NO_CLOCK, dpi=200)
    return out.getvalue().replace(b"'DejaVu Sans'", b"system-ui, 'DejaVu Sans', sans-serif")
