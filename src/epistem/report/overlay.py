"""The micrograph with what was found drawn on it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from epistem.core import Instances, Micrograph
from epistem.core.files import written_whole
from epistem.report.export import outlines

RGB = tuple[int, int, int]

# Light on grey and apart without colour vision: after Okabe and Ito, Color Universal Design (2008).
COLOURS: tuple[RGB, ...] = (
    (255, 176, 0),
    (86, 200, 255),
    (255, 110, 180),
    (120, 230, 120),
    (250, 240, 100),
    (225, 130, 60),
)
UNKNOWN: RGB = (255, 255, 255)
# Low to high score, dark blue never: it vanishes on a dark picture.
RAMP = np.array([(120, 130, 255), (60, 190, 220), (110, 230, 130), (255, 235, 80)], float)
SHADE = (12, 16, 22)

# A picture this long at least is drawn [px]: outlines on 100 pixels blown up by the reader say nothing.
SMALLEST = 640
# Share of the grey values cut at each end.
TAIL_PERCENT = 0.35
# Lines are drawn this much larger and averaged down, which smooths them.
SUPERSAMPLING = 2
BAND_ROWS = 256


class Lengths(NamedTuple):
    """A scale bar: what to write beside it, and how long it is."""

    text: str
    nm: float


def overlay_png(
    micrograph: Micrograph,
    found: Instances,
    *,
    max_px: int = 1600,
    colour: Literal["label", "score"] = "label",
) -> bytes:
    """The picture with outlines of all objects and, where the pixel size is known, a scale bar.

    Grey values run from the 0.35th to the 99.65th percentile of the valid part; what is masked is dimmed and
    hatched. Pixels that are not square are drawn at their true aspect.

    Args:
        micrograph: the image.
        found: objects in it; without masks their boxes are drawn.
        max_px: longest side of the picture.
        colour: by class or by score; a key is drawn where there is more than one class, or scores.
    """
    size = display_size(micrograph, max_px)
    picture = Image.merge("RGB", [_grey(micrograph, size)] * 3)
    _hatch(picture, micrograph.valid)
    _draw_outlines(picture, micrograph.shape, found, _colours(found, colour))
    if micrograph.calibration is not None:
        nm_per_px = micrograph.calibration.col_nm * micrograph.shape[1] / size[0]
        scale = np.array([size[1] / micrograph.shape[0], size[0] / micrograph.shape[1]] * 2)
        _draw_scale_bar(picture, nm_per_px, found.boxes * scale)
    _draw_key(picture, found, colour)
    buffer = io.BytesIO()
    # Noise does not compress: level 6 took 3.5 times as long and gave a larger file.
    picture.save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()


def plain_png(micrograph: Micrograph, *, max_px: int = 2048) -> bytes:
    """The picture alone, one value a pixel up to `max_px` along the longest side, grey values as in `overlay_png`."""
    rows, cols = micrograph.shape
    shrunk = min(1.0, max_px / max(rows, cols))
    size = max(1, round(cols * shrunk)), max(1, round(rows * shrunk))
    picture = Image.merge("RGB", [_grey(micrograph, size)] * 3)
    _hatch(picture, micrograph.valid)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write_overlay(
    path: Path,
    micrograph: Micrograph,
    found: Instances,
    *,
    max_px: int = 1600,
    colour: Literal["label", "score"] = "label",
) -> None:
    """`overlay_png` into a file.

    Raises:
        RecordError: the file cannot be written.
    """
    png = overlay_png(micrograph, found, max_px=max_px, colour=colour)
    with written_whole(path) as part:
        part.write_bytes(png)


def display_size(micrograph: Micrograph, max_px: int) -> tuple[int, int]:
    """Width and height of the picture [px], longest side at most `max_px`, aspect as in the sample."""
    rows, cols = micrograph.shape
    scale = micrograph.calibration
    height, width = (rows * scale.row_nm, cols * scale.col_nm) if scale else (float(rows), float(cols))
    longest = min(max_px, max(rows, cols, SMALLEST)) / max(height, width)
    return max(1, round(width * longest)), max(1, round(height * longest))


def scale_bar(longest_nm: float) -> Lengths:
    """The longest round length (1, 2 or 5 times a power of ten) that fits.

    >>> scale_bar(730.0)
    Lengths(text='500 nm', nm=500.0)
    """
    power = 10.0 ** math.floor(math.log10(longest_nm))
    nm = max(step * power for step in (1, 2, 5) if step * power <= longest_nm * (1 + 1e-9))
    for unit, length in (("mm", 1e6), ("µm", 1e3), ("nm", 1.0)):
        if nm >= length * (1 - 1e-9):
            return Lengths(f"{nm / length:.10g} {unit}", nm)
    return Lengths(f"{nm:.10g} nm", nm)


def shrink(pixels: NDArray[np.generic], factor: int) -> NDArray[np.floating]:
    """Means of blocks of `factor` × `factor` pixels, those at the end may be smaller; NaN where one is.

    Band by band, so that no float copy of the whole image is made.
    """
    rows, cols = pixels.shape
    starts = np.arange(0, cols, factor)
    widths = np.diff(np.append(starts, cols))
    kind = np.promote_types(pixels.dtype, np.float32)
    out = np.empty((-(-rows // factor), len(starts)), kind)
    step = max(1, BAND_ROWS // factor)
    for top in range(0, len(out), step):
        band = pixels[top * factor : (top + step) * factor].astype(kind)
        heads = np.arange(0, len(band), factor)
        heights = np.diff(np.append(heads, len(band)))
        with np.errstate(invalid="ignore"):  # +inf and -inf in one block are NaN
            sums = np.add.reduceat(np.add.reduceat(band, heads, axis=0), starts, axis=1)
        out[top : top + step] = sums / (heights[:, None] * widths)
    return out


def _grey(micrograph: Micrograph, size: tuple[int, int]) -> Image.Image:
    factor = max(1, min(micrograph.shape[0] // size[1], micrograph.shape[1] // size[0]))
    small = shrink(micrograph.pixels, factor)
    finite = np.isfinite(small)
    seen = finite
    if micrograph.valid is not None:
        seen = finite & (shrink(micrograph.valid, factor) > 0.5)
    low, high = np.percentile(small[seen], [TAIL_PERCENT, 100 - TAIL_PERCENT]) if seen.any() else (0.0, 0.0)
    if high <= low:  # a constant image is mid-grey
        low, high = low - 1, low + 1
    grey = np.clip((np.where(finite, small, low) - low) / (high - low), 0, 1)
    enlarged = size[0] > small.shape[1]
    picture = Image.fromarray((grey * 255 + 0.5).astype(np.uint8))
    return picture.resize(size, Image.Resampling.BICUBIC if enlarged else Image.Resampling.LANCZOS)


def _hatch(picture: Image.Image, valid: NDArray[np.bool_] | None) -> None:
    """Dims what is no image and draws diagonals over it."""
    if valid is None or valid.all():
        return
    rows, cols = valid.shape
    right, down = (np.arange(picture.width) + 0.5) / picture.width, (np.arange(picture.height) + 0.5) / picture.height
    masked = ~valid[np.ix_((down * rows).astype(int), (right * cols).astype(int))]
    row, col = np.ogrid[: picture.height, : picture.width]
    line = masked & ((row + col) % 12 < 1)
    strength = np.where(line, 0.25, np.where(masked, 0.55, 0)) * 255
    picture.paste(Image.new("RGB", picture.size, SHADE), mask=Image.fromarray(strength.astype(np.uint8)))
    lighter = Image.fromarray((line * 70).astype(np.uint8))
    picture.paste(Image.new("RGB", picture.size, UNKNOWN), mask=lighter)


def _colours(found: Instances, colour: Literal["label", "score"]) -> list[RGB]:
    if colour == "label":
        return [COLOURS[label % len(COLOURS)] for label in found.label.tolist()]
    return [score_colour(score) for score in found.score.tolist()]


def score_colour(score: float) -> RGB:
    """Blue at 0, yellow at 1, white where it is not known."""
    if not math.isfinite(score):
        return UNKNOWN
    at = np.linspace(0, 1, len(RAMP))
    red, green, blue = (round(float(np.interp(score, at, channel))) for channel in RAMP.T)
    return red, green, blue


def _draw_outlines(picture: Image.Image, shape: tuple[int, int], found: Instances, colours: Sequence[RGB]) -> None:
    """Thin lines with a dark rim, so that they are seen on white and on black."""
    if not len(found):
        return
    size = (picture.width * SUPERSAMPLING, picture.height * SUPERSAMPLING)
    scale = np.array([size[0] / shape[1], size[1] / shape[0]])
    paths = [
        [_path(ring, scale) for part in parts for ring in (part.shell, *part.holes)] for parts in outlines(found)
    ]
    thin = max(3, round(SUPERSAMPLING * max(picture.size) / 900))
    layer = Image.new("RGBA", size, (*SHADE, 0))
    draw = ImageDraw.Draw(layer)
    for ring in (ring for rings in paths for ring in rings):
        draw.line(ring, fill=(*SHADE, 110), width=thin + SUPERSAMPLING)
    for rings, rgb in zip(paths, colours, strict=True):
        for ring in rings:
            draw.line(ring, fill=(*rgb, 255), width=thin)
    layer = layer.convert("RGBa").resize(picture.size, Image.Resampling.BOX).convert("RGBA")
    picture.paste(layer, mask=layer)


def _path(ring: NDArray[np.integer] | NDArray[np.floating], scale: NDArray[np.float64]) -> list[tuple[float, float]]:
    xy = ring[:, ::-1] * scale
    return [(x, y) for x, y in [*xy.tolist(), xy[0].tolist(), xy[1].tolist()]]


def _font(size: float) -> ImageFont.FreeTypeFont:
    """matplotlib's: Pillow's own has no Greek, and phases are called γ′."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _draw_scale_bar(picture: Image.Image, nm_per_px: float, boxes: NDArray[np.float64]) -> None:
    """In the corner where it covers fewest of the objects; the key has the upper left one."""
    text, nm = scale_bar(nm_per_px * picture.width * 0.25)
    length = nm / nm_per_px
    unit = _unit(picture)
    font = _font(unit * 1.3)
    draw = ImageDraw.Draw(picture, "RGBA")
    wide, tall = max(length, draw.textlength(text, font)) + 1.4 * unit, 3 * unit
    far, low = picture.width - unit - wide, picture.height - unit - tall
    row0, col0, row1, col1 = boxes.T

    def covered(corner: tuple[float, float]) -> int:
        x, y = corner
        return int(((row0 < y + tall) & (row1 > y) & (col0 < x + wide) & (col1 > x)).sum())

    left, top = min([(far, low), (unit, low), (far, unit)], key=covered)
    right, bottom = left + wide, top + tall
    draw.rounded_rectangle((left, top, right, bottom), unit * 0.35, fill=(*SHADE, 190))
    middle = (left + right) / 2
    draw.text((middle, top + 0.35 * unit), text, fill=UNKNOWN, font=font, anchor="ma")
    bar = (middle - length / 2, bottom - unit, middle + length / 2 - 1, bottom - unit * 0.6)
    draw.rectangle([round(value) for value in bar], fill=UNKNOWN)


def _draw_key(picture: Image.Image, found: Instances, colour: Literal["label", "score"]) -> None:
    """Class names with their colour, or the colours of scores 0 to 1, at the upper left."""
    if colour == "label":
        used = np.unique(found.label).tolist() if len(found.classes) > 1 else []
        entries = [(COLOURS[label % len(COLOURS)], found.classes[label]) for label in used]
    else:
        known = [(score_colour(score), f"score {score:g}") for score in (1.0, 0.75, 0.5, 0.25, 0.0)]
        entries = known if np.isfinite(found.score).any() else []
        entries += [(UNKNOWN, "no score")] if np.isnan(found.score).any() else []
    if not entries:
        return
    unit = _unit(picture)
    font = _font(unit * 1.1)
    draw = ImageDraw.Draw(picture, "RGBA")
    wide = max(draw.textlength(text, font) for _, text in entries) + 2.6 * unit
    draw.rounded_rectangle(
        (unit, unit, unit + wide, unit * (1.6 + 1.5 * len(entries))), unit * 0.35, fill=(*SHADE, 190)
    )
    for i, (rgb, text) in enumerate(entries):
        y = unit * (2.05 + 1.5 * i)
        draw.line((unit * 1.5, y, unit * 2.5, y), fill=rgb, width=max(2, round(unit * 0.22)))
        draw.text((unit * 3, y), text, fill=UNKNOWN, font=font, anchor="lm")


def _unit(picture: Image.Image) -> float:
    """The measure of what is written on the picture [px]."""
    return max(11.0, max(picture.size) / 72)
