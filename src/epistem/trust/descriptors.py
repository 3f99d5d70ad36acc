"""Texture of a grey tile as a fixed vector, without a network: what tells one kind of image from another.

=============  =====  =============================================================================================
group          width  what
=============  =====  =============================================================================================
grey           12     quantiles of the z-scores, skewness, tail, entropy of their histogram, equal neighbours
spectrum       14     log power of 10 rings of frequency, its slope, how far it departs from a line, two directions
wavelets       24     log spread and tail of the finest four Haar levels, along rows, columns and diagonals
correlation    12     with the pixel 1, 2, 4, 8, 16 and 32 px further, along rows and along columns
gradients      18     orientation histogram (HOG) of the tile, and how much it differs between its cells
patterns       20     uniform local binary patterns of 1 and of 3 px, rotation left out
co-occurrence  12     contrast, homogeneity and energy of grey levels 1, 2, 4 and 8 px apart (GLCM)
coherence       6     mean and spread of the structure tensor's coherence at 1, 2 and 4 px
=============  =====  =============================================================================================

A tile is a robust z-score of itself first, so neither gain nor offset matter.

Sources: Dalal, Triggs, CVPR 2005 (HOG); Ojala et al., IEEE TPAMI 24, 971 (2002) (LBP); Haralick et al., IEEE
Trans. SMC 3, 610 (1973) (GLCM); Bigün, Granlund, ICCV 1987 (structure tensor).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern

from epistem.core import SettingsError, ShapeError
from epistem.stats.robust import mad_sd

Floats = NDArray[np.float64]

VERSION = 1
SMALLEST_PX = 64
WIDTH = 118
_RINGS = 10
_LAGS = (1, 2, 4, 8, 16, 32)
_APART = (1, 2, 4, 8)
_SMALL = 1e-6


def describe(tile: ArrayLike) -> Floats:
    """One tile's vector, (WIDTH,).

    Args:
        tile: (H, W) grey values, 64 px or more each way.

    Raises:
        ShapeError: not one grey image, or a smaller one.
        SettingsError: values that are not finite.
    """
    raw = np.asarray(tile, float)
    if raw.ndim != 2 or min(raw.shape) < SMALLEST_PX:
        raise ShapeError(f"wanted a grey tile of {SMALLEST_PX} px or more each way; got {raw.shape}")
    if not np.isfinite(raw).all():
        raise SettingsError(
            f"{int((~np.isfinite(raw)).sum())} pixels are not finite; fill them or leave the tile out"
        )
    z = robust(raw)
    unit = (z.clip(-4, 4) + 4) / 8
    parts = (
        _grey(z), _spectrum(z), _wavelets(z), _correlation(z),
        _gradients(unit), _patterns(unit), _co_occurrence(unit), _coherence(z),
    )  # fmt: skip
    return np.concatenate(parts)


def robust(raw: Floats) -> Floats:
    """Robust z-scores within ±8; a constant tile is 0."""
    centre = np.median(raw)
    spread = mad_sd(raw - centre) or raw.std() or 1.0
    # Where more than half are one value but a few are not, the MAD is 0 or tiny and would blow up the rest.
    scaled: Floats = ((raw - centre) / max(spread, 0.1 * raw.std())).clip(-8, 8)
    return scaled


def _grey(z: Floats) -> Floats:
    counts, _ = np.histogram(z, 64, (-8, 8))
    share = counts[counts > 0] / z.size
    spread = z.std() or 1.0
    standard = (z - z.mean()) / spread
    square = standard * standard
    return np.array([
        *np.quantile(z, (0.01, 0.05, 0.25, 0.75, 0.95, 0.99)),
        (square * standard).mean(), np.log1p((square * square).mean()), -(share * np.log(share)).sum(),
        (np.diff(z, axis=1) == 0).mean(), (np.diff(z, axis=0) == 0).mean(), np.log10(spread + _SMALL),
    ])  # fmt: skip


def _spectrum(z: Floats) -> Floats:
    window, ring, angle = _rings(z.shape)
    power = np.abs(fft.fft2((z - z.mean()) * window)) ** 2
    flat, total = power.ravel(), power.sum() or 1.0
    level = np.log10(np.bincount(ring, flat, _RINGS)[:_RINGS] / np.bincount(ring, minlength=_RINGS) / total + 1e-12)
    at = np.arange(_RINGS) - (_RINGS - 1) / 2
    slope = float(at @ level / (at @ at))
    departs = float((level - level.mean() - slope * at).std())
    # Second harmonic of the power over direction: 0 where all directions are alike.
    direction = [(flat * np.cos(2 * angle)).sum() / total, (flat * np.sin(2 * angle)).sum() / total]
    return np.array([*level, slope, departs, *direction])


@lru_cache(maxsize=4)
def _rings(shape: tuple[int, int]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """A window, each frequency's ring, log-spaced from 1/64 to 1/2, and its direction, flat."""
    window = np.outer(*(np.hanning(n) for n in shape))
    row, col = fft.fftfreq(shape[0])[:, None], fft.fftfreq(shape[1])[None, :]
    edges = np.geomspace(1 / 64, 0.5, _RINGS)[:-1]
    ring = np.digitize(np.hypot(row, col), edges)
    return window, ring.ravel(), np.broadcast_to(np.arctan2(row, col), shape).ravel()


def _wavelets(z: Floats) -> Floats:
    out, low = [], z
    for _ in range(4):
        low = low[: low.shape[0] // 2 * 2, : low.shape[1] // 2 * 2]
        a, b, c, d = low[::2, ::2], low[::2, 1::2], low[1::2, ::2], low[1::2, 1::2]
        for band in ((a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2):
            spread = band.std()
            tail = np.abs(band).mean() / spread if spread > 0 else 0.8
            out += [np.log10(spread + 1e-3), 3 * tail]
        low = (a + b + c + d) / 2
    return np.array(out)


def _correlation(z: Floats) -> Floats:
    about = z - z.mean()
    variance = float((about * about).mean()) or 1.0
    down = [(about[n:] * about[:-n]).mean() / variance for n in _LAGS]
    return np.array([*down, *((about[:, n:] * about[:, :-n]).mean() / variance for n in _LAGS)])


def _gradients(unit: Floats) -> Floats:
    cell = (unit.shape[0] // 4, unit.shape[1] // 4)
    cells = hog(unit, 9, cell, (1, 1), block_norm="L1", feature_vector=False).reshape(-1, 9)
    return np.concatenate([cells.mean(axis=0), cells.std(axis=0)])


def _patterns(unit: Floats) -> Floats:
    # Of whole numbers: patterns of equal neighbours then do not hang on rounding.
    whole = np.rint(255 * unit).astype(np.uint8)
    found = (
        np.bincount(local_binary_pattern(whole, 8, r, "uniform").astype(int).ravel(), minlength=10) for r in (1, 3)
    )
    return np.sqrt(np.concatenate(list(found)) / unit.size)


def _co_occurrence(unit: Floats) -> Floats:
    levels = np.rint(15 * unit).astype(np.uint8)
    table = graycomatrix(levels, _APART, (0, np.pi / 2), levels=16, symmetric=True, normed=True)
    contrast, homogeneity, energy = (
        graycoprops(table, name).mean(axis=1) for name in ("contrast", "homogeneity", "energy")
    )
    return np.concatenate([np.log10(contrast + 1e-2), homogeneity, energy])


def _coherence(z: Floats) -> Floats:
    out = []
    for sigma in (1.0, 2.0, 4.0):
        row, col = (ndimage.gaussian_filter(z, sigma, order) for order in ((1, 0), (0, 1)))
        rr, cc, rc = (ndimage.uniform_filter(p, int(4 * sigma) + 1) for p in (row * row, col * col, row * col))
        coherence = np.hypot(rr - cc, 2 * rc) / (rr + cc + _SMALL)
        out += [coherence.mean(), coherence.std()]
    return np.array(out)
