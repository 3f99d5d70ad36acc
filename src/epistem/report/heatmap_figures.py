"""The picture of a counterfactual heatmap: where the answer was looked at, what it hangs on, does that hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from epistem.core import ShapeError
from epistem.core.polygon import trace
from epistem.report.figures import ACCENT, INK, MUTED, WARM, _finished, _style
from epistem.report.words import p_value

Mask = NDArray[np.bool_]


class Curves(NamedTuple):
    """Fall of the Dice (q,) as shares (q,) of the image are blurred, 0 to 1; elsewhere: (r, q), other places."""

    shares: NDArray[np.float64]
    highest: NDArray[np.float64]
    elsewhere: NDArray[np.float64]
    lowest: NDArray[np.float64]
    p: float | None = None


def heatmap_figure(
    image: NDArray[Any],
    region: Mask,
    values: NDArray[np.floating],
    *,
    label: str = "Mean change of the answer",
    curves: Curves | None = None,
) -> bytes:
    """Image with the region outlined, the heatmap over it with its scale, and the deletion curves, as SVG.

    Args:
        image: (H, W) grey values.
        region: (H, W) where the answer was looked at.
        values: (H, W) heatmap; with values below 0 its colours are red above 0 and blue below.
        label: what the values are.
        curves: of the deletion test; None draws no panel for it.

    Raises:
        ShapeError: image, region and heatmap of different shape.
    """
    if not image.shape == region.shape == values.shape or image.ndim != 2:
        raise ShapeError(
            f"image {image.shape}, region {region.shape} and heatmap {values.shape} differ; wanted (H, W)"
        )
    panels = 2 if curves is None else 3
    with _style():
        canvas = Canvas(figsize=(2.6 * panels + 0.5, 2.7), layout="constrained")
        FigureCanvasAgg(canvas)
        axes = canvas.subplots(1, panels, width_ratios=[1, 1.2, 1.25][:panels])
        _show(axes[0], image, region, "Image and region")
        _show(axes[1], image, region, "What the answer hangs on")
        _overlay(canvas, axes[1], values, label)
        if curves is not None:
            _draw(axes[2], curves)
        return _finished(canvas, axes[-1], None)


def _show(axes: Axes, image: NDArray[Any], region: Mask, title: str) -> None:
    low, high = np.nanquantile(image, [0.005, 0.995])
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest")
    rings = [ring for part in trace(region) for ring in (part.shell, *part.holes)]
    # Pixel (r, c) is drawn around (c, r), its corner half a pixel off.
    lines = [np.vstack([ring, ring[:1]])[:, ::-1] - 0.5 for ring in rings]
    # Light on dark: one of them shows on any image.
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=2.6))
    axes.add_collection(LineCollection(lines, colors="white", linewidths=1.2))
    axes.set_title(title, loc="left", fontsize=8.5)
    axes.set_axis_off()


def _overlay(canvas: Canvas, axes: Axes, values: NDArray[np.floating], label: str) -> None:
    signed, top = bool((values < 0).any()), float(np.abs(values).max()) or 1.0
    scale = Normalize(-top if signed else 0.0, top)
    drawn = axes.imshow(
        values,
        cmap="RdBu_r" if signed else "inferno",
        norm=scale,
        # What hardly matters lets the image through.
        alpha=0.75 * np.sqrt(np.abs(values) / top),
        interpolation="nearest",
    )
    bar = canvas.colorbar(drawn, ax=axes, fraction=0.05, pad=0.03)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7.5)


def _draw(axes: Axes, curves: Curves) -> None:
    percent = 100 * curves.shares
    low, high = np.quantile(curves.elsewhere, [0.05, 0.95], axis=0)
    axes.fill_between(percent, low, high, color="#e3e7eb", label="elsewhere, 5–95 %")
    axes.plot(percent, curves.elsewhere.mean(axis=0), color=MUTED, linestyle="--", label="elsewhere, mean")
    axes.plot(percent, curves.highest, color=WARM, linewidth=1.8, label=f"highest{_p(curves.p)}")
    axes.plot(percent, curves.lowest, color=ACCENT, linewidth=1.4, linestyle="-.", label="lowest")
    axes.set_xlabel("Share of the image blurred [%]")
    axes.set_ylabel("Fall of the Dice in the region")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0, percent[-1])


def _p(p: float | None) -> str:
    shown = p_value(p)
    return "" if p is None else f", p {shown}" if shown.startswith("<") else f", p = {shown}"
