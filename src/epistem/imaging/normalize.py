"""The one place that rescales grey values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import Micrograph
from epistem.stats.robust import mad_sd

# Statistics are read off at most this many pixels: a million gives quantiles to 0.1 % and keeps 8192² cheap.
_SAMPLE = 1_000_000


class Scale(NamedTuple):
    """`(pixels - centre) / spread` has median 0 and a robust standard deviation of 1."""

    centre: float
    spread: float


def robust_scale(micrograph: Micrograph, most: int = _SAMPLE) -> Scale:
    """Median and 1.4826·MAD of the valid pixels, both in grey values, read off at most about that many of them.

    The spread of a constant image is 1: it then stays constant instead of being divided by zero.

    Source: Huber, Robust Statistics (1981), §5.1, the MAD made consistent for a normal distribution.
    """
    values = _sample(micrograph, most)
    if not values.size:
        return Scale(0.0, 1.0)
    centre = float(np.median(values))
    spread = mad_sd(values - centre)
    if spread == 0:
        spread = float(values.std())
    return Scale(centre, spread or 1.0)


def normalize(micrograph: Micrograph, scale: Scale | None = None) -> NDArray[np.float32]:
    """Grey values as robust z-scores; pixels that are no image become 0, the median.

    Args:
        micrograph: any image.
        scale: from `robust_scale` of this or of another image.

    Returns:
        (H, W), no unit.
    """
    return normalize_part(micrograph, scale or robust_scale(micrograph), slice(None), slice(None))


def normalize_part(micrograph: Micrograph, scale: Scale, rows: slice, cols: slice) -> NDArray[np.float32]:
    """`normalize` on a window, so that a large image never exists twice as float."""
    part = micrograph.pixels[rows, cols].astype(np.float32)
    part -= np.float32(scale.centre)
    part /= np.float32(scale.spread)
    if micrograph.valid is not None:
        part[~micrograph.valid[rows, cols]] = 0
    return part


def _sample(micrograph: Micrograph, most: int) -> NDArray[np.float64]:
    step = max(1, int(np.sqrt(micrograph.pixels.size / most)))
    values: NDArray[Any] = micrograph.pixels[::step, ::step]
    if micrograph.valid is not None:
        values = values[micrograph.valid[::step, ::step]]
    return values.astype(np.float64).ravel()
