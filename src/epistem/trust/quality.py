"""The image itself: noise, sharpness, texture and grey values.

Everything is of robust z-scores (`imaging.normalize`), so grey levels, gain and offset do not matter.

==============  ==============================================================================
q_noise         noise of a pixel over the spread of the image
q_band_1 … 6    log10 of the share of power with a wavelength of 2-4, 4-8, … 64-128 px
q_laplacian     log10 of the variance of the Laplacian
q_neighbour     correlation of a pixel with the next
q_skew, q_tail  skewness; log10 of the share of pixels beyond 4 spreads
q_uneven        coefficient of variation of the spread of blocks of 16 px
q_stripes       coherence of the gradients, 0 (no direction) to 1 (one direction)
q_flat          share of neighbours that are exactly equal: graphics, saturation
==============  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from epistem.core import Micrograph
from epistem.imaging.normalize import Scale, normalize_part, robust_scale
from epistem.stats.robust import mad_sd

BANDS = 6
QUALITY = (
    "q_noise", *(f"q_band_{k}" for k in range(1, BANDS + 1)), "q_laplacian", "q_neighbour", "q_skew", "q_tail",
    "q_uneven", "q_stripes", "q_flat",
)  # fmt: skip

# The middle of a larger image is read: a forecast should cost little beside the detector.
_LARGEST_PX = 512
_SMALLEST_PX = 32
_BLOCK_PX = 16
Floats = NDArray[np.float64]


def image_quality(micrograph: Micrograph | None, scale: Scale | None = None) -> Mapping[str, float]:
    """The q_… of the module's table; NaN without an image, or with one under 32 px."""
    if micrograph is None or min(micrograph.shape) < _SMALLEST_PX:
        return dict.fromkeys(QUALITY, np.nan)
    rows, cols = (_middle(n) for n in micrograph.shape)
    z = normalize_part(micrograph, scale or robust_scale(micrograph), rows, cols).clip(-20, 20)
    spread = float(z.std()) or 1.0
    z = (z - z.mean()) / spread
    down, right = np.diff(z, axis=0), np.diff(z, axis=1)
    values = (
        pixel_noise(z), *_bands(z), np.log10(_laplacian_variance(z) + 1e-6), float((z[:, 1:] * z[:, :-1]).mean()),
        float((z * z * z).mean()), np.log10(float(((z > 4) | (z < -4)).mean()) + 1e-5), _uneven(z),
        _stripes(down, right), float((right == 0).mean()),
    )  # fmt: skip
    return {name: float(value) for name, value in zip(QUALITY, values, strict=True)}


def _middle(n: int) -> slice:
    start = max(0, (n - _LARGEST_PX) // 2)
    return slice(start, start + min(n, _LARGEST_PX))


def pixel_noise(z: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of one pixel, in units of z.

    Source: Donoho, Johnstone, Biometrika 81, 425 (1994): MAD of the finest diagonal Haar wavelet.
    """
    even = z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2]
    finest = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return mad_sd(finest)


def _bands(z: NDArray[np.float32]) -> Floats:
    window, octave = _octaves(z.shape)
    power = np.abs(fft.rfft2(z * window)) ** 2
    power[:, 1 : (z.shape[1] + 1) // 2] *= 2  # each stands for its mirror too
    share = np.bincount(octave, power.ravel(), BANDS + 2)
    share = share / (share.sum() or 1.0)
    # Frequencies beyond 1/2, the corners of the spectrum, are octave 0 and go with the first band.
    bands: Floats = np.log10(np.append(share[0] + share[1], share[2 : BANDS + 1]) + 1e-6)
    return bands


@lru_cache(maxsize=2)
def _octaves(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A window, else the borders' jump fills every band; and the octave of each frequency, flat."""
    window = np.outer(*(np.hanning(n).astype(np.float32) for n in shape))
    frequency = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :])
    octave = np.floor(-np.log2(np.maximum(frequency, 1e-9))).astype(np.int64).clip(0, BANDS + 1)
    return window, octave.ravel()


def _laplacian_variance(z: NDArray[np.float32]) -> float:
    inner = z[1:-1, 1:-1]
    return float((z[:-2, 1:-1] + z[2:, 1:-1] + z[1:-1, :-2] + z[1:-1, 2:] - 4 * inner).var())


def _uneven(z: NDArray[np.float32]) -> float:
    rows, cols = (n // _BLOCK_PX for n in z.shape)
    blocks = z[: rows * _BLOCK_PX, : cols * _BLOCK_PX].reshape(rows, _BLOCK_PX, cols, _BLOCK_PX)
    spread = blocks.std(axis=(1, 3))
    return float(spread.std() / (spread.mean() or 1.0))


def _stripes(down: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    # Over squares of 2 px: two differences that share a pixel are correlated in mere noise.
    gy, gx = ((one[0] + one[1]).ravel() for one in ((down[:, :-1], down[:, 1:]), (right[:-1], right[1:])))
    yy, xx, xy = (float(np.dot(a, b)) / len(a) for a, b in ((gy, gy), (gx, gx), (gy, gx)))
    return float(np.hypot(yy - xx, 2 * xy) / (yy + xx or 1.0))
