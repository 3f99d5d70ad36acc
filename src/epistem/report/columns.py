"""Pictures of atomic columns: what they are, drawn on the image, and how sure that is."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from epistem.core import Micrograph
from epistem.report.figures import ACCENT, _canvas, _finished, _style
from epistem.report.overlay import RGB, SHADE, SUPERSAMPLING, UNKNOWN, _draw_scale_bar, _font, _grey, _hatch, _unit

Shape = Literal["dot", "circle", "square", "diamond"]
_APART = 18.0  # pixels of the picture between neighbours, if it does not become too large
_LARGEST = 2600


class Marks(NamedTuple):
    """Columns of one kind.

    Attributes:
        name: in the key.
        places_px: (n, 2) row and column.
        colour: of the mark; kinds also differ by shape.
        shape: of the mark.
    """

    name: str
    places_px: NDArray[np.float64]
    colour: RGB
    shape: Shape


def columns_png(micrograph: Micrograph, marks: Sequence[Marks], *, neighbour_px: float) -> bytes:
    """The image with a mark round each column, a key and, where the pixel size is known, a scale bar.

    Args:
        micrograph: the image, of square pixels.
        marks: drawn in this order.
        neighbour_px: distance of neighbouring columns; small images are enlarged until it can be seen.
    """
    rows, cols = micrograph.shape
    zoom = min(max(1.0, _APART / neighbour_px), max(1.0, _LARGEST / max(rows, cols))) * min(
        1.0, _LARGEST / max(rows, cols)
    )
    size = max(1, round(cols * zoom)), max(1, round(rows * zoom))
    picture = Image.merge("RGB", [_grey(micrograph, size)] * 3)
    _hatch(picture, micrograph.valid)
    _draw_marks(picture, marks, zoom, neighbour_px)
    if micrograph.calibration is not None:
        half = neighbour_px / 2
        shown = [one.places_px for one in marks if one.shape != "dot"]
        places = np.concatenate(shown) if shown else np.empty((0, 2))
        boxes = np.concatenate([places - half, places + half], axis=1) * zoom
        _draw_scale_bar(picture, micrograph.calibration.col_nm / zoom, boxes)
    _draw_key(picture, [one for one in marks if len(one.places_px)])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def entropy_histogram(bits: NDArray[np.float64]) -> bytes:
    """How sure each column's answer is, 0 bit (sure) and up, as SVG; numbers of columns on a log scale."""
    highest = max(1.0, float(bits.max())) if len(bits) else 1.0
    with _style():
        canvas, axes = _canvas(4.8, 2.3)
        axes.hist(bits, np.linspace(0, highest, 31).tolist(), color=ACCENT, edgecolor="white", linewidth=0.6)
        axes.set_xlabel("Entropy of the posterior [bit] (0 is sure)")
        axes.set_ylabel("Number of columns")
        if len(bits):
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=0)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(0, highest)
        return _finished(canvas, axes, len(bits))


def _draw_marks(picture: Image.Image, marks: Sequence[Marks], zoom: float, neighbour_px: float) -> None:
    """Thin lines with a dark rim, so that they are seen on white and on black."""
    much = SUPERSAMPLING
    layer = Image.new("RGBA", (picture.width * much, picture.height * much), (*SHADE, 0))
    draw = ImageDraw.Draw(layer)
    radius = max(4.0, 0.5 * neighbour_px * zoom) * much
    thin = max(2, round(0.16 * radius))
    for one in marks:
        # A pixel's place is its middle.
        for row, col in (one.places_px + 0.5) * (zoom * much):
            _mark(draw, one, col, row, radius, thin)
    layer = layer.convert("RGBa").resize(picture.size, Image.Resampling.BOX).convert("RGBA")
    picture.paste(layer, mask=layer)


def _mark(draw: ImageDraw.ImageDraw, one: Marks, x: float, y: float, radius: float, thin: int) -> None:
    if one.shape == "dot":
        small = max(2.0, 0.22 * radius)
        draw.ellipse((x - small, y - small, x + small, y + small), fill=(*one.colour, 255))
        return
    for colour, width in (((*SHADE, 130), thin + SUPERSAMPLING), ((*one.colour, 255), thin)):
        if one.shape == "circle":
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        elif one.shape == "square":
            half = 0.9 * radius
            draw.rectangle((x - half, y - half, x + half, y + half), outline=colour, width=width)
        else:
            far = 1.1 * radius
            ring = [(x, y - far), (x + far, y), (x, y + far), (x - far, y), (x, y - far), (x + far, y)]
            draw.line(ring, fill=colour, width=width, joint="curve")


def _draw_key(picture: Image.Image, marks: Sequence[Marks]) -> None:
    """Names with their mark, at the upper left."""
    if not marks:
        return
    unit = _unit(picture)
    font = _font(unit * 1.1)
    draw = ImageDraw.Draw(picture, "RGBA")
    wide = max(draw.textlength(one.name, font) for one in marks) + 3.4 * unit
    draw.rounded_rectangle(
        (unit, unit, unit + wide, unit * (1.6 + 1.6 * len(marks))), unit * 0.35, fill=(*SHADE, 190)
    )
    for i, one in enumerate(marks):
        y = unit * (2.1 + 1.6 * i)
        _mark(draw, one, unit * 2.1, y, 0.55 * unit, max(2, math.ceil(unit * 0.14)))
        draw.text((unit * 3.4, y), one.name, fill=UNKNOWN, font=font, anchor="lm")
