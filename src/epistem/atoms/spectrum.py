"""The periods of an image: spectral peaks that stand out of their ring, and the reciprocal lattice behind them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float64]

# The highest of an image of noise is 4 to 9 times its ring (36 images); three that agree on a lattice are no noise.
PROMINENT = 6.0
FEWEST_ACROSS = 4  # periods over the shorter side
_FAINTEST_POWER = 0.003  # of the strongest peak: what leaks through the window of a noiseless image lies below
_MOST_PEAKS = 80
_TOGETHER = 3.0  # the mean of three independent samples of noise passes with p < 1e-6
_INDEX_TOLERANCE = 0.12
_CLOSEST_PX = 3.4  # planes closer than this show no columns
_MODES = ("wrap", "mirror")  # of a real transform's half: all rows, and the columns from 0 to the fold


class Spectrum(NamedTuple):
    """Half of a windowed power spectrum, positive row frequencies and all columns' of a real transform.

    Attributes:
        power: smoothed over the width of a peak, as a power density: white noise of variance v gives v.
        ring: the same shape, mean power of the noise at this |k|.
        rows, cols: frequencies [1/px].
    """

    power: Floats
    ring: Floats
    rows: Floats
    cols: Floats


class Peaks(NamedTuple):
    """n spectral peaks, the most prominent first.

    Attributes:
        k: (n, 2) frequency (row, col) [1/px].
        prominence: (n,) power over that of the ring.
    """

    k: Floats
    prominence: Floats


def spectrum(image: Floats) -> Spectrum:
    """Power spectrum under a Hann window, and what noise alone would have at each |k|.

    Args:
        image: (H, W).
    """
    height, width = image.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    middle = (image * window).sum() / window.sum()
    power = np.abs(fft.rfft2((image - middle) * window)) ** 2 / (window**2).sum()
    rows, cols = fft.fftfreq(height), fft.rfftfreq(width)
    power = ndimage.gaussian_filter(power, 1.0, mode=_MODES)
    length = np.hypot(rows[:, None], cols)
    return Spectrum(power, _ring_mean(power, length, 2.0 / min(image.shape)), rows, cols)


def _ring_mean(power: Floats, length: Floats, step: float) -> Floats:
    """Mean noise power at each |k|, from the median of its ring, which peaks do not move."""
    ring = (length / step).astype(np.intp)
    order = np.argsort(ring, axis=None, kind="stable")
    edges = np.searchsorted(ring.ravel()[order], np.arange(ring.max() + 2))
    values = power.ravel()[order]
    medians = np.array([np.median(values[a:b]) if b > a else np.nan for a, b in pairwise(edges)])
    known = np.isfinite(medians)
    centres = (np.arange(len(medians)) + 0.5) * step
    # Smoothed exponential power is near a gamma of shape 6, whose median is 0.945 of its mean.
    return np.asarray(np.interp(length, centres[known], medians[known] / 0.945))


def peaks(of: Spectrum) -> Peaks:
    """Local maxima that stand out of their ring."""
    lowest = FEWEST_ACROSS / min(len(of.rows), 2 * len(of.cols) - 2)
    length = np.hypot(of.rows[:, None], of.cols)
    # At 0.5 the folded tail of the spectrum begins; half of the frequencies on column 0 are the other half again.
    usable = (length >= lowest) & (length <= 0.5) & ~((of.cols == 0) & (of.rows[:, None] < 0))
    prominence = np.divide(of.power, of.ring, out=np.zeros_like(of.power), where=of.ring > 0)
    top = usable & (prominence >= PROMINENT) & (of.power == ndimage.maximum_filter(of.power, 5, mode=_MODES))
    top &= of.power >= _FAINTEST_POWER * of.power[usable & (prominence >= PROMINENT)].max(initial=0)
    where = np.argwhere(top)
    where = where[np.argsort(-prominence[top], kind="stable")][:_MOST_PEAKS]
    if not len(where):
        return Peaks(np.empty((0, 2)), np.empty(0))
    return Peaks(np.array([_vertex(of, i, j) for i, j in where]), prominence[where[:, 0], where[:, 1]])


def _vertex(of: Spectrum, i: int, j: int) -> tuple[float, float]:
    """A peak's place between the samples, by a parabola in log power along each axis."""
    height, width = of.power.shape
    column = np.log(of.power[[i - 1, i, (i + 1) % height], j])
    line = np.log(of.power[i, [abs(j - 1), j, min(j + 1, width - 1)]])
    return float(of.rows[i] + _turn(column) * of.rows[1]), float(of.cols[j] + _turn(line) * of.cols[1])


def _turn(three: Floats) -> float:
    bend = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def reduced(pair: Floats) -> Floats:
    """The two shortest vectors of the lattice that a pair spans (2, 2); Gauss's reduction."""
    short, long = sorted(pair, key=lambda v: float(v @ v))
    for _ in range(64):
        long = long - np.round(long @ short / (short @ short)) * short
        if long @ long >= short @ short * (1 - 1e-9):
            break
        short, long = long, short
    return np.array([short, long])


def basis(of: Spectrum, found: Peaks) -> Floats | None:
    """Reciprocal vectors (2, 2) [1/px] of the lattice that explains the peaks; None where none explains three.

    Each peak that a lattice indexes counts its log prominence, each order it predicts within reach costs that of the
    faintest peak: so neither a sub-lattice that misses peaks nor a super-lattice full of absent ones wins.
    """
    best, most = None, 0.0
    reach = np.linalg.norm(found.k, axis=1).max(initial=0)
    worth = np.log(found.prominence)
    for pair in _pairs(found):
        hits = indexed(found.k, pair)
        orders = 0.5 * np.pi * reach**2 / abs(np.linalg.det(pair))
        total = worth[hits].sum() - orders * np.log(PROMINENT)
        if hits.sum() >= 3 and (best is None or total > most):
            best, most = pair, total
    best = _faint_hexagon(of, found) if best is None else _refined(found, best)
    return None if best is None else _with_inner(of, best)


def _with_inner(of: Spectrum, best: Floats) -> Floats:
    """The lattice itself, or the one of three times the cell where its orders are there, however faint.

    Two alike sub-lattices under a sharp probe have their shortest orders fainter than the next.
    """
    inner = _inner_hexagon(best)
    strength = [_prominence(of, k) for k in inner]
    power = [_power(of, k) for k in inner]
    there = np.mean(strength) > _TOGETHER and min(power) > _FAINTEST_POWER * max(_power(of, k) for k in best)
    return reduced(inner[:2]) if there and _hexagonal(best) else best


def _pairs(found: Peaks) -> Iterator[Floats]:
    """Reduced pairs (2, 2) that two of the most prominent peaks span."""
    for i, j in combinations(range(min(len(found.k), 20)), 2):
        pair = found.k[[i, j]]
        if abs(np.linalg.det(pair)) < 0.05 * np.prod(np.linalg.norm(pair, axis=1)):
            continue
        pair = reduced(pair)
        if np.linalg.norm(pair[1]) < 1 / _CLOSEST_PX:
            yield pair


def _faint_hexagon(of: Spectrum, found: Peaks) -> Floats | None:
    """Two peaks of a hexagon whose third is too faint to be one by itself."""
    for pair in _pairs(found):
        if not _hexagonal(pair):
            continue
        third = pair[0] - np.sign(pair[0] @ pair[1]) * pair[1]
        strength = [_prominence(of, k) for k in (*pair, third)]
        if min(strength) > _TOGETHER and np.mean(strength) > PROMINENT:
            return pair
    return None


def _inner_hexagon(pair: Floats) -> Floats:
    """(3, 2) the orders of the lattice whose cell holds three of this one's."""
    first, second = pair if pair[0] @ pair[1] > 0 else (pair[0], -pair[1])
    return np.array([first + second, first - 2 * second, second - 2 * first]) / 3


def _hexagonal(pair: Floats) -> bool:
    lengths = np.linalg.norm(pair, axis=1)
    return bool(lengths[1] < 1.12 * lengths[0] and 0.38 < abs(pair[0] @ pair[1]) / lengths.prod() < 0.62)


def _sample(of: Spectrum, k: Floats) -> tuple[int, int]:
    row, col = k if k[1] >= 0 else -k
    return round(row / of.rows[1]) % len(of.rows), min(round(col / of.cols[1]), len(of.cols) - 1)


def _power(of: Spectrum, k: Floats) -> float:
    return float(of.power[_sample(of, k)])


def _prominence(of: Spectrum, k: Floats) -> float:
    return _power(of, k) / max(float(of.ring[_sample(of, k)]), 1e-300)


def _refined(found: Peaks, pair: Floats) -> Floats:
    """Least squares of all indexed peaks, by their prominence."""
    hits = indexed(found.k, pair)
    order = np.round(found.k[hits] @ np.linalg.inv(pair))
    weight = np.sqrt(found.prominence[hits])[:, None]
    return np.asarray(np.linalg.lstsq(order * weight, found.k[hits] * weight, rcond=None)[0], float)


def indexed(k: Floats, pair: Floats) -> NDArray[np.bool_]:
    """(n,) which of the frequencies are orders of a reciprocal lattice."""
    order = k @ np.linalg.inv(pair)
    away = (order - np.round(order)) @ pair
    return np.asarray(np.linalg.norm(away, axis=1) < _INDEX_TOLERANCE * np.linalg.norm(pair[0]))


def share_on(of: Spectrum, pair: Floats) -> float:
    """Share of the power standing out of the noise that lies on the orders of a reciprocal lattice, 0 to 1."""
    k = np.stack(np.broadcast_arrays(of.rows[:, None], of.cols), axis=-1)
    length = np.linalg.norm(k, axis=-1)
    out = (of.power > PROMINENT * of.ring) & (length > 0.5 * np.linalg.norm(pair[0])) & (length <= 0.5)
    excess = (of.power - of.ring)[out]
    total = excess.sum()
    return float(excess[indexed(k[out], pair)].sum() / total) if total > 0 else 0.0
