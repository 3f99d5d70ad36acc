"""The data strip that a microscope prints under (or over) its image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 0.04  # of the grey range: JPEG noise on a flat background stays inside
_LARGEST = 0.3  # of the rows
_SMALLEST_PX = 8
_STROKES = 6  # edges a row of print crosses; a line of four characters crosses eight and more


def find_banner(pixels: NDArray[Any]) -> tuple[slice, slice] | None:
    """Rows and columns of the data strip, or None.

    A strip is full width, flat but for print, has a flat margin and a sharp edge to the image. All of these
    are asked for: a strip that is missed costs little, a strip that is none takes area from a measurement.
    """
    height, width = pixels.shape
    reach = int(height * _LARGEST)
    if reach < _SMALLEST_PX or width < 4 * _SMALLEST_PX:
        return None
    low, high = grey_range(pixels)
    if not high > low:
        return None
    tolerance = _TOLERANCE * (high - low)
    # A few rows more than a strip may have, so that the image above the largest one is seen.
    look = reach + 8
    rows = _strip_height(pixels[: -look - 1 : -1], tolerance, high - low)
    if rows:
        return slice(height - rows, height), slice(0, width)
    rows = _strip_height(pixels[:look], tolerance, high - low)
    return (slice(0, rows), slice(0, width)) if rows else None


def grey_range(pixels: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest finite grey value; (0, 0) where there is none."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        pixels = pixels[np.isfinite(pixels)]
    return (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)


def _strip_height(rows: NDArray[Any], tolerance: float, contrast: float) -> int:
    """Rows of the strip that starts at row 0 of `rows`, 0 where there is none."""
    grey = rows.astype(np.float32)
    middle = np.median(grey, axis=1)
    flat = (np.abs(grey - middle[:, None]) <= tolerance).mean(axis=1)
    ground = float(np.median(middle[flat >= 0.95][:_SMALLEST_PX])) if (flat >= 0.95).any() else np.nan
    is_ground = (np.abs(middle - ground) <= tolerance) & (flat >= 0.5)
    is_rule = flat >= 0.95  # a frame line or a separator, of whatever grey
    belongs = is_ground | is_rule
    height = int(np.argmin(belongs)) if not belongs.all() else 0
    while height and flat[height - 1] < 0.95:
        height -= 1
    if not _SMALLEST_PX <= height <= len(rows) - 8 or is_ground[:height].mean() < 0.5:
        return 0
    beyond = np.abs(grey[height + 1 : height + 7] - ground) <= tolerance
    is_sharp = beyond.mean() < 0.35 and beyond.mean(axis=1).max() < 0.6
    return height if is_sharp and _has_print(grey[:height], ground, tolerance, contrast) else 0


def _has_print(strip: NDArray[np.float32], ground: float, tolerance: float, contrast: float) -> bool:
    ink = np.abs(strip - ground) > 0.4 * contrast
    ink[ink.mean(axis=1) > 0.9] = False
    edges = (ink[:, 1:] != ink[:, :-1]).sum(axis=1)
    bare = np.abs(strip - ground) <= tolerance
    printed_rows = int((edges >= _STROKES).sum())
    # Between the letters the ground is flat to the last bit (to JPEG noise); a dark vacuum is not.
    is_flat = bool(strip[bare].std() <= 0.4 * tolerance) if bare.any() else False
    return is_flat and printed_rows >= 4 and 0.003 <= ink.mean() <= 0.4
