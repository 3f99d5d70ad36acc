"""Pictures of what is typical and what is not: planted failures of masks, and a table of kinds against kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epistem.core import ShapeError

_CELL_IN = 1.5
_OUTLINE = "#ffb000"


def failure_gallery(
    rows: Sequence[tuple[str, NDArray[np.floating], Mapping[str, NDArray[np.bool_]], Mapping[str, float | None]]],
) -> Figure:
    """One image a row, its mask as it is and as it fails, each with its share of less typical masks.

    Args:
        rows: of each image its name, grey values (H, W), masks (H, W) by name, the true one first, and for each of
            these the share of the reference that is less typical, 0 to 1; None where unscored.

    Raises:
        ShapeError: no image, or rows that do not show the same masks.
    """
    names = list(rows[0][2]) if rows else []
    if not names or any(list(masks) != names for _, _, masks, _ in rows):
        raise ShapeError("wanted one image or more, each with the same masks in the same order")
    figure = Figure(figsize=(_CELL_IN * len(names), 1.25 * _CELL_IN * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(names), squeeze=False)
    for line, (label, image, masks, shares) in zip(axes, rows, strict=True):
        low, high = np.quantile(image, (0.01, 0.99))
        for axis, (name, mask) in zip(line, masks.items(), strict=True):
            axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest")
            if mask.any() and not mask.all():
                axis.contour(mask.astype(float), [0.5], colors=_OUTLINE, linewidths=0.8)
            axis.set_title(f"{name}\n{_share(shares.get(name))}", fontsize=7)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, fontsize=7)
    return figure


def _share(share: float | None) -> str:
    if share is None:
        return "unscored"
    return f"{100 * share:.0f} % less typical" if share >= 0.01 else "under 1 % less typical"


def pair_table(names: Sequence[str], auroc: NDArray[np.floating], left_out: NDArray[np.bool_]) -> Figure:
    """How well each kind is told from each other: rows typical, columns foreign.

    Args:
        names: of n kinds.
        auroc: (n, n), 0 to 1; NaN where unscored.
        left_out: (n, n) near pairs, shown in brackets.

    Raises:
        ShapeError: tables that are not (n, n).
    """
    n = len(names)
    if auroc.shape != (n, n) or left_out.shape != (n, n):
        raise ShapeError(f"wanted two tables ({n}, {n}); got {auroc.shape} and {left_out.shape}")
    figure = Figure(figsize=(1.2 + 0.55 * n, 1.0 + 0.42 * n), layout="constrained")
    axis: Axes = figure.subplots()
    shown = axis.imshow(auroc, cmap="cividis", vmin=0.5, vmax=1, aspect="auto")
    for i, j in np.ndindex(n, n):
        if np.isfinite(auroc[i, j]):
            text = f"{auroc[i, j]:.2f}"
            colour = "white" if auroc[i, j] < 0.75 else "black"
            axis.text(
                j, i, f"({text})" if left_out[i, j] else text, ha="center", va="center", fontsize=6, color=colour
            )
    axis.set_xticks(range(n), names, rotation=40, ha="right", fontsize=7)
    axis.set_yticks(range(n), names, fontsize=7)
    axis.set(xlabel="foreign", ylabel="typical")
    figure.colorbar(shown, ax=axis, label="AUROC of single tiles; 0.5 is chance")
    return figure
