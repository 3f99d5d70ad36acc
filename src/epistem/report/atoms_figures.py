"""Pictures of the column classifier: accuracy by dose, entropy with and without context, confusion, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.report.figures import MUTED, _canvas, _finished, _style

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's, which people with any colour vision can tell apart."""


def by_dose(curves: Mapping[str, Mapping[float, float]], *, label: str) -> bytes:
    """A line for each name over the dose, as SVG.

    Args:
        curves: name → dose [e/Å²] → value.
        label: of the upright axis.
    """
    with _style():
        canvas, axes = _canvas(6.4, 3.8)
        for place, (name, values) in enumerate(curves.items()):
            doses = sorted(values)
            axes.plot(
                doses, [values[dose] for dose in doses], marker="o", color=COLOURS[place % len(COLOURS)],
                linestyle="--" if place else "-", label=name,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel("dose (e/Å²)")
        axes.set_ylabel(label)
        return _finished(canvas, axes, None)


def bars(values: Mapping[str, float], *, label: str) -> bytes:
    """A lying bar for each name, the first on top, as SVG."""
    with _style():
        canvas, axes = _canvas(6.4, 0.9 + 0.32 * len(values))
        places = np.arange(len(values))[::-1]
        axes.barh(places, list(values.values()), color=COLOURS[0], height=0.6)
        axes.set_yticks(places, list(values))
        axes.set_xlabel(label)
        for place, value in zip(places, values.values(), strict=True):
            axes.text(value, place, f" {value:.3f}", va="center", fontsize=8.5, color=MUTED)
        axes.margins(x=0.12)
        return _finished(canvas, axes, None)


def entropies(values: Mapping[str, NDArray[np.float64]], *, label: str = "posterior entropy (bit)") -> bytes:
    """Share of columns below each entropy, a curve for each name, as SVG."""
    with _style():
        canvas, axes = _canvas(6.4, 3.6)
        for place, (name, bits) in enumerate(values.items()):
            order = np.sort(bits)
            axes.step(order, np.arange(1, len(order) + 1) / max(1, len(order)), where="post",
                      color=COLOURS[place % len(COLOURS)], label=name)  # fmt: skip
        axes.set_xlabel(label)
        axes.set_ylabel("share of columns")
        return _finished(canvas, axes, None)


def confusion(table: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Truth in rows, answers in columns, shares of each row, as SVG."""
    with _style():
        canvas, axes = _canvas(5.4, 4.6)
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for i in range(len(names)):
            for j in range(len(names)):
                if table[i, j]:
                    dark = share[i, j] > 0.5
                    axes.text(j, i, f"{100 * share[i, j]:.1f}", ha="center", va="center", fontsize=8,
                              color="white" if dark else "black")  # fmt: skip
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("answer")
        axes.set_ylabel("truth, % of each row")
        axes.grid(False)
        return _finished(canvas, axes, None)


def maps(points: Mapping[str, NDArray[np.float64]], kinds: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Points of an embedding side by side, coloured by what they are, as SVG.

    Args:
        points: title → (n, 2).
        kinds: (n,) index into names.
    """
    with _style():
        canvas, first = _canvas(3.6 * len(points), 3.8)
        first.remove()
        for number, (title, xy) in enumerate(points.items(), 1):
            axes = canvas.add_subplot(1, len(points), number)
            for kind, name in enumerate(names):
                here: Any = kinds == kind
                axes.plot(xy[here, 0], xy[here, 1], ".", markersize=2, color=COLOURS[kind % len(COLOURS)],
                          label=name if number == 1 else None, rasterized=False)  # fmt: skip
            axes.set_title(title, fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
            if number == 1:
                axes.legend(frameon=False, fontsize=7.5, markerscale=4, loc="best")
        return _finished(canvas, canvas.axes[-1], None)
