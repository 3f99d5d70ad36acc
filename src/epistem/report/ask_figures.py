"""Pictures of how answers about micrographs were graded, beside controls; rows in, SVG out.

Rows are plain mappings with the columns of the tables they come from; a score that is None or NaN is unscored.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from epistem.report.document import finite
from epistem.report.figures import COLOURS, INK, LINES, MUTED, _canvas, _finished, _style
from epistem.report.words import number

Rows = Iterable[Mapping[str, Any]]
_KINDS = (("simple", COLOURS[0], ""), ("complex", COLOURS[5], "///"))
_MARKS = ("o", "^", "s", "D", "v")
_FEWEST = 5  # scores that a violin is drawn of; fewer are points
_GRID = "#e3e7eb"
_LEVELS = ("none", "basic", "moderate", "high")


def words(name: Any) -> str:
    """A name of the records as it stands beside an axis.

    >>> words("processing_environment"), words("general"), words("material_type + other")
    ('processing environment', 'general', 'material type + other')
    """
    return str(name).replace("_", " ").replace("$", r"\$")


def quality_violins(rows: Rows, *, label: str = "quality, 0–100") -> bytes:
    """Violins of scores by category, simple beside complex, with the mean as a bar, n and the unscored below.

    Args:
        rows: of answers: `category, subcategory, score`.
        label: of the upright axis; says who judged.
    """
    held: dict[tuple[str, str], list[float | None]] = {}
    for row in rows:
        held.setdefault((str(row["category"]), str(row["subcategory"])), []).append(finite(row["score"]))
    names = list(dict.fromkeys(name for name, _ in held))
    with _style():
        canvas, axes = _canvas(max(5.4, 1.4 + 0.95 * len(names)), 3.9)
        for at, name in enumerate(names):
            there = [kind for kind in _KINDS if (name, kind[0]) in held]
            for place, (kind, colour, hatch) in enumerate(there):
                x = at + (place - (len(there) - 1) / 2) * 0.44
                values = held[name, kind]
                known = np.array([one for one in values if one is not None])
                _violin(axes, x, known, colour, hatch)
                lost = len(values) - len(known)
                below = f"{len(known)}" + (f"\n+{lost}?" if lost else "")
                axes.annotate(below, (x, 0), (0, -3), xycoords=("data", "axes fraction"), textcoords="offset points",
                              ha="center", va="top", fontsize=7, color=MUTED)  # fmt: skip
        axes.set_xticks(range(len(names)), [_wrapped(name) for name in names])
        axes.tick_params(axis="x", length=0, pad=22)
        axes.set_ylim(-2, 102)
        axes.set_ylabel(label)
        _grid(axes, "y")
        key = [Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.6, alpha=0.75, label=kind)
               for kind, colour, hatch in _KINDS]  # fmt: skip
        key.append(Line2D([], [], color=INK, linewidth=2, label="mean"))  # type: ignore[arg-type]
        return _keyed(canvas, axes, key if names else [], "n below; +k? were not scored")


def level_heatmap(rows: Rows, *, low: float, high: float, label: str) -> bytes:
    """Mean score by category (rows) and level of context (columns), with n, darker is higher.

    Args:
        rows: `category, level, mean, n, unscored`.
        low, high: ends of the scale.
        label: what the score is, and who judged.
    """
    held = {(str(row["category"]), str(row["level"])): row for row in rows}
    names = list(dict.fromkeys(name for name, _ in held))
    levels = [level for level in _LEVELS if any(level == one for _, one in held)]
    with _style():
        canvas, axes = _canvas(5.6, 1.3 + 0.42 * max(1, len(names)))
        axes.grid(False)
        if held:
            table = np.array([[_value(held.get((name, level)), "mean") for level in levels] for name in names])
            drawn = axes.imshow(table, cmap="Blues", vmin=low, vmax=high, aspect="auto")
            canvas.colorbar(drawn, ax=axes, label=label)
            for (i, name), (j, level) in ((a, b) for a in enumerate(names) for b in enumerate(levels)):
                _cell(axes, i, j, held.get((name, level)), table[i, j] > low + 0.65 * (high - low))
        axes.set_xticks(range(len(levels)), levels)
        axes.set_yticks(range(len(names)), [words(name) for name in names])
        axes.set_xlabel("context in the question")
        axes.tick_params(length=0)
        return _keyed(canvas, axes, [], "mean, n in brackets; +k? were not scored", nothing=not held)


def type_counts(rows: Rows) -> bytes:
    """How often each type of context was put into the questions, a panel for each level.

    Args:
        rows: `level` and a number for each type; a level without any is left out.
    """
    held = [{**row} for row in rows]
    kinds = [name for name in (held[0] if held else {}) if name != "level"]
    held = [row for row in held if any(row[kind] for kind in kinds)]

    def draw(axes: Axes, row: Mapping[str, Any]) -> None:
        counts = [int(row[kind]) for kind in kinds]
        places = -np.arange(len(kinds))
        axes.barh(places, counts, height=0.65, color=[COLOURS[i % len(COLOURS)] for i in range(len(kinds))])
        for place, count in zip(places, counts, strict=True):
            axes.annotate(f"{count}", (count, place), (3, 0), textcoords="offset points", va="center", fontsize=7.5,
                          color=MUTED)  # fmt: skip
        axes.set_yticks(places, [words(kind) for kind in kinds])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.margins(x=0.15)

    return _panels([(str(row["level"]), row) for row in held], draw, "number of attributes", 0.7 + 0.28 * len(kinds))


def by_types(rows: Rows, *, label: str) -> bytes:
    """Mean score with its interval for each combination of context types, a panel for each level.

    Args:
        rows: `level, types, n, mean, low, high`.
        label: what the score is, and who judged.
    """
    by_level: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_level.setdefault(str(row["level"]), []).append(row)
    for some in by_level.values():
        some.sort(key=lambda row: -(finite(row["mean"]) or -math.inf))
    there = [(level, by_level[level]) for level in _LEVELS if level in by_level]
    tall = [max(1.15, 0.5 + 0.21 * len(some)) for _, some in there]
    with _style():
        canvas = Canvas(figsize=(6.8, 0.5 + sum(tall)), layout="constrained") if there else _canvas(6.4, 1.5)[0]
        FigureCanvasAgg(canvas)
        panels: Any = (
            canvas.subplots(len(there), sharex=True, squeeze=False, height_ratios=tall)[:, 0] if there else []
        )
        for axes, (level, some) in zip(panels, there, strict=True):
            axes.set_title(level, loc="left", fontsize=8.5)
            for i, row in enumerate(some):
                _dot(axes, -i, row, "mean", COLOURS[0])
                axes.text(1.01, -i, f"n = {row['n']}", transform=axes.get_yaxis_transform(), va="center", fontsize=7)
            axes.set_yticks([-i for i in range(len(some))], [words(row["types"]) for row in some], fontsize=7.5)
            axes.set_ylim(-len(some) + 0.3, 0.7)
            _grid(axes, "x")
        if there:
            panels[-1].set_xlabel(label)
        return _keyed(canvas, canvas.axes[-1], [], "", nothing=not there)


def defect_accuracy(rows: Rows, *, label: str = "share") -> bytes:
    """Detection of defects by level of context: accuracy with its interval, sensitivity, specificity, baseline.

    Args:
        rows: `level, n, accuracy, low, high, sensitivity, specificity, majority`, each share 0 to 1.
        label: of the upright axis; says who judged.
    """
    held = [row for row in rows if row["level"] in _LEVELS]
    lines: tuple[tuple[str, str, str, float], ...] = (
        ("accuracy", "o", COLOURS[0], -0.18), ("sensitivity", "^", COLOURS[1], 0.0),
        ("specificity", "v", COLOURS[2], 0.18),
    )  # fmt: skip
    with _style():
        canvas, axes = _canvas(5.6, 3.3)
        for at, row in enumerate(held):
            for name, mark, colour, aside in lines:
                _dot(axes, at + aside, row, name, colour, mark=mark, upright=True, ends=name == "accuracy")
            if (majority := finite(row["majority"])) is not None:
                axes.plot([at - 0.38, at + 0.38], [majority] * 2, color=INK, linestyle="--", linewidth=1.1)
        axes.set_xticks(range(len(held)), [f"{row['level']}\nn = {row['n']}" for row in held])
        axes.set_xlim(-0.6, max(1, len(held)) - 0.4)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("context in the question")
        axes.set_ylabel(label)
        _grid(axes, "y")
        key = [Line2D([], [], marker=mark, color=colour, linestyle="", label=name) for name, mark, colour, _ in lines]
        key.append(Line2D([], [], color=INK, linestyle="--", label="always the more frequent"))
        return _keyed(canvas, axes, key if held else [], "", nothing=not held)


def gain_bars(rows: Rows, *, label: str) -> bytes:
    """How much more the answer to the real image scores than each control; pale where the interval holds zero.

    Args:
        rows: `name, n, value, low, high`, the first on top; a value of None has no bar and says so.
        label: what the difference is of, and who judged.
    """
    held = list(rows)
    with _style():
        canvas, axes = _canvas(6.6, 1.05 + 0.34 * max(1, len(held)))
        for i, row in enumerate(held):
            value, low, high = (finite(row.get(name)) for name in ("value", "low", "high"))
            if value is None:
                axes.text(0, -i, " unknown", va="center", color=MUTED, fontsize=7.5)
                continue
            sure = low is not None and high is not None and (low > 0 or high < 0)
            axes.barh(-i, value, height=0.62, color=COLOURS[0] if sure else "white", edgecolor=COLOURS[0],
                      hatch="" if sure else "////", linewidth=0.9)  # fmt: skip
            if low is not None and high is not None:
                ends = [[max(0.0, value - low)], [max(0.0, high - value)]]
                axes.errorbar([value], [-i], xerr=ends, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        for i, row in enumerate(held):
            axes.text(1.01, -i, f"n = {row['n']}", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks([-i for i in range(len(held))], [words(row["name"]) for row in held])
        axes.set_ylim(-max(1, len(held)) + 0.4, 0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(label)
        _grid(axes, "x")
        key = [
            Patch(facecolor=COLOURS[0], edgecolor=COLOURS[0], label="interval without zero"),
            Patch(facecolor="white", edgecolor=COLOURS[0], hatch="////", label="zero cannot be ruled out"),
        ]
        return _keyed(canvas, axes, key if held else [], "", nothing=not held)


def cluster_map(rows: Rows) -> bytes:
    """Papers on a map: colour and number are the cluster, the mark is the split.

    Args:
        rows: `paper, split, cluster` (from 1), `title, x, y`. Places on the map mean neighbourhood only.
    """
    held = list(rows)
    numbers = sorted({int(row["cluster"]) for row in held})
    splits = list(dict.fromkeys(str(row["split"] or "no split") for row in sorted(held, key=_split_first)))
    titles = {int(row["cluster"]): str(row["title"]) for row in held}
    with _style():
        canvas, axes = _canvas(6.4, 4.2)
        for one in numbers:
            colour = COLOURS[(one - 1) % len(COLOURS)]
            for split, mark in zip(splits, _MARKS, strict=False):
                some = [r for r in held if r["cluster"] == one and str(r["split"] or "no split") == split]
                axes.plot([r["x"] for r in some], [r["y"] for r in some], mark, color=colour, markersize=6,
                          mfc=colour if split == splits[0] else "white", markeredgewidth=1.2)  # fmt: skip
            here = np.array([(row["x"], row["y"]) for row in held if row["cluster"] == one], float)
            # Above its papers, not on them: a small cluster would lie under its number.
            axes.annotate(str(one), (np.median(here[:, 0]), here[:, 1].max()), (0, 6), textcoords="offset points",
                          fontsize=12, fontweight="bold", ha="center", va="bottom")  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.1)
        key = [Patch(color=COLOURS[(one - 1) % len(COLOURS)], label=f"{one}  {_cut(titles[one])}") for one in numbers]
        marks = [Line2D([], [], marker=mark, color=MUTED, linestyle="", label=split,
                        mfc=MUTED if split == splits[0] else "white")
                 for split, mark in zip(splits, _MARKS, strict=False)]  # fmt: skip
        return _keyed(canvas, axes, [*key, *marks], "", nothing=not held)


def loss_curve(rows: Rows) -> bytes:
    """Loss against the step, of training and of held-out papers.

    Args:
        rows: `step`, with `loss`, `eval_loss` or both; rows with neither are passed over.
    """
    held = [{**row} for row in rows if "step" in row]
    with _style():
        canvas, axes = _canvas(6.0, 3.2)
        all_values: list[float] = []
        for place, (name, label) in enumerate((("loss", "training"), ("eval_loss", "held-out papers"))):
            some = [(float(row["step"]), finite(row[name])) for row in held if row.get(name) is not None]
            at = [(step, value) for step, value in some if value is not None]
            if at:
                all_values += [value for _, value in at]
                axes.plot(*zip(*at, strict=True), color=COLOURS[place], linestyle=LINES[place], label=label,
                          marker="o" if place or len(at) < 3 else "", markersize=3.5, linewidth=1.4)  # fmt: skip
        if all_values and min(all_values) > 0 and max(all_values) > 30 * min(all_values):
            axes.set_yscale("log")
        elif all_values:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("loss on the words of the answers")
        _grid(axes, "y")
        return _finished(canvas, axes, None if all_values else 0)


# ---------------------------------------------------------------- parts


def _violin(axes: Axes, x: float, values: NDArray[np.float64], colour: str, hatch: str) -> None:
    if not len(values):
        return
    if len(values) >= _FEWEST and np.ptp(values) > 0:
        drawn: Any = axes.violinplot(values, [x], widths=0.4, showextrema=False)
        for body in drawn["bodies"]:
            body.set(facecolor=colour, edgecolor=INK, alpha=0.75, linewidth=0.6, hatch=hatch)
    else:
        axes.plot([x] * len(values), values, "o", color=colour, markersize=4, alpha=0.8, markeredgewidth=0)
    if len(values) == 1:  # a bar would hide it
        return
    mean = float(values.mean())
    axes.plot([x - 0.13, x + 0.13], [mean, mean], color="white", linewidth=4)
    axes.plot([x - 0.12, x + 0.12], [mean, mean], color=INK, linewidth=2)


def _cell(axes: Axes, i: int, j: int, row: Mapping[str, Any] | None, dark: bool) -> None:
    if row is None:
        return
    lost = f" +{row['unscored']}?" if row.get("unscored") else ""
    mean = finite(row["mean"])
    ink = "white" if dark else INK
    axes.text(j, i, f"{number(mean)} ({row['n']}{lost})", ha="center", va="center", fontsize=7.5, color=ink)


def _dot(
    axes: Axes, at: float, row: Mapping[str, Any], name: str, colour: str, *, mark: str = "o",
    upright: bool = False, ends: bool = True,
) -> None:  # fmt: skip
    value = finite(row[name])
    if value is None:
        return
    low, high = (finite(row.get(end)) for end in ("low", "high")) if ends else (None, None)
    x, y = ([at], [value]) if upright else ([value], [at])
    axes.plot(x, y, mark, color=colour, markersize=6)
    if low is not None and high is not None:
        reach: dict[str, Any] = {"yerr" if upright else "xerr": [[max(0.0, value - low)], [max(0.0, high - value)]]}
        axes.errorbar(x, y, **reach, fmt="none", ecolor=colour, capsize=3)


def _panels(
    held: Sequence[tuple[str, Any]], draw: Callable[[Axes, Any], None], label: str, height_in: float
) -> bytes:
    with _style():
        canvas = Canvas(figsize=(7.2, max(1.5, height_in)), layout="constrained")
        FigureCanvasAgg(canvas)
        grid = canvas.subplots(1, max(1, len(held)), squeeze=False, sharey=True, sharex=True)[0]
        for axes, (title, one) in zip(grid, held, strict=False):
            axes.set_title(title, loc="left", fontsize=8.5)
            draw(axes, one)
            _grid(axes, "x")
        canvas.supxlabel(label, fontsize=8.5)
        return _keyed(canvas, grid[-1], [], "", nothing=not held)


def _keyed(canvas: Canvas, axes: Axes, key: Sequence[Any], note: str, *, nothing: bool | None = None) -> bytes:
    """With a key below, which no data can lie under."""
    if key:
        longest = max(len(str(one.get_label())) for one in key)
        room = max(1, int(canvas.get_figwidth() * 13 / (longest + 8)))
        canvas.legend(handles=key, loc="outside lower left", ncols=min(room, len(key)), frameon=False, fontsize=7.5)
    if note:
        axes.set_title(note, loc="right", fontsize=7.5, color=MUTED)
    empty = not key and not axes.has_data() if nothing is None else nothing
    return _finished(canvas, axes, 0 if empty else None)


def _grid(axes: Axes, which: Any) -> None:
    axes.grid(axis=which, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _value(row: Mapping[str, Any] | None, name: str) -> float:
    value = None if row is None else finite(row[name])
    return math.nan if value is None else value


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(words(name), 13, break_long_words=False))


def _cut(title: str) -> str:
    return words(title if len(title) <= 60 else f"{title[:59]}…")


def _split_first(row: Mapping[str, Any]) -> int:
    order = ("train", "validation", "test")
    return order.index(row["split"]) if row["split"] in order else len(order)
