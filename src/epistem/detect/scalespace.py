"""Blobs of every size in one pass: the Laplacian of Gaussian over scales, on a pyramid, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.imaging.tiles import Tile, tiles
from epistem.stats.robust import mad_sd

SCALES_PER_OCTAVE = 4
# A level of the pyramid is halved before sigma reaches this, so that no kernel is longer than 50 pixels.
_LARGEST_SIGMA = 6.0
_TRUNCATE = 4.0
# Noise is read off at most about this many pixels a scale.
_NOISE_SAMPLE = 400_000


@dataclass(frozen=True, eq=False)
class Blobs:
    """Extrema of the scale-normalised Laplacian; all columns have shape (n,).

    Attributes:
        row, col: centre, in coordinates where the middle of the first pixel is 0.5 [px].
        sigma: scale of the extremum; a disc of radius r has sigma = r/√2 [px].
        response: the extremum itself, in the image's grey values; positive is brighter than its surroundings.
        snr: response over the noise of that scale.
    """

    row: NDArray[np.float64]
    col: NDArray[np.float64]
    sigma: NDArray[np.float64]
    response: NDArray[np.float64]
    snr: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[Any]) -> Blobs:
        """The chosen ones, by mask or indices."""
        return Blobs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def scales(sigma_low: float, sigma_high: float) -> NDArray[np.float64]:
    """Scales from low to high in equal ratios, with one more at either end so that an extremum can be seen."""
    step = 2 ** (1 / SCALES_PER_OCTAVE)
    inside = max(1, int(np.ceil(np.log(sigma_high / sigma_low) / np.log(step))) + 1)
    return np.asarray(sigma_low * step ** np.arange(-1.0, inside + 1))


def find_blobs(image: NDArray[np.float32], *, sigmas: NDArray[np.float64], min_snr: float, tile_px: int) -> Blobs:
    """Extrema over position and scale that stand `min_snr` above the noise of their scale.

    The result does not depend on `tile_px`: every filter reads its whole support, and noise is read off a grid
    fixed to the image.

    Args:
        image: (H, W) with median 0.
        sigmas: rising scales; extrema are looked for in all but the first and last [px].
        min_snr: smallest |response| over its noise, 1.4826·MAD of the responses at that scale.
        tile_px: edge of the windows worked on [px].

    Source: Lindeberg, Feature detection with automatic scale selection, IJCV 30 (1998) 79.
    """
    parts, level, reduced = [], 0, image
    middles = np.arange(1, len(sigmas) - 1)
    while len(middles):
        fits = [m for m in middles if _sigma_at(sigmas[m + 1], level) <= _LARGEST_SIGMA]
        if min(reduced.shape) < 16:
            fits = list(middles)
        if fits:
            parts += _extrema(reduced, level, sigmas[fits[0] - 1 : fits[-1] + 2], min_snr, tile_px)
        middles = middles[len(fits) :]
        level, reduced = level + 1, _halved(reduced)
    columns = ([getattr(part, name) for part in parts] for name in Blobs.__dataclass_fields__)
    return Blobs(*(np.concatenate(column) for column in columns))


def _extrema(
    image: NDArray[np.float32], level: int, sigmas: NDArray[np.float64], min_snr: float, tile_px: int
) -> list[Blobs]:
    """Extrema at all but the first and last of these scales, on one level of the pyramid."""
    at_level = [_sigma_at(sigma, level) for sigma in sigmas]
    halo = int(_TRUNCATE * at_level[-1] + 0.5) + 1
    step = max(1, int(np.sqrt(image.size / _NOISE_SAMPLE)))
    middles = range(1, len(sigmas) - 1)
    samples: dict[int, list[NDArray[np.float32]]] = {m: [] for m in middles}
    peaks: dict[int, list[tuple[NDArray[np.float64], ...]]] = {m: [] for m in middles}
    for tile in tiles((image.shape[0], image.shape[1]), tile_px=tile_px, halo_px=halo):
        stack = _responses(image[tile.outer], at_level)
        for m in middles:
            samples[m].append(_on_grid(stack[m], tile, step))
            peaks[m].append(_peaks(stack[m - 1 : m + 2], tile))
    return [_judged(samples[m], peaks[m], sigmas[m], level, min_snr) for m in middles]


def _judged(
    samples: list[NDArray[np.float32]],
    peaks: list[tuple[NDArray[np.float64], ...]],
    sigma: float,
    level: int,
    min_snr: float,
) -> Blobs:
    """The extrema of one scale that stand out of that scale's noise, in coordinates of the whole image."""
    noise = mad_sd(np.concatenate(samples))
    row, col, shift, response = (np.concatenate(column) for column in zip(*peaks, strict=True))
    snr = response / noise if noise > 0 else np.zeros_like(response)
    factor = 2.0**level
    # Rounded: the last bit of a vectorised power depends on its place in the array, so on the tiles.
    exact = np.round(sigma * 2 ** (shift / SCALES_PER_OCTAVE), 9)
    blobs = Blobs(row * factor, col * factor, exact, response, snr)
    return blobs.take(np.abs(snr) >= min_snr)


def _responses(image: NDArray[np.float32], sigmas: list[float]) -> NDArray[np.float32]:
    """−σ²∇²(G_σ ⋆ image) for each scale, (n, H, W); positive where the middle is bright."""
    out = np.empty((len(sigmas), *image.shape), np.float32)
    for plane, sigma in zip(out, sigmas, strict=True):
        ndimage.gaussian_laplace(image, sigma, output=plane, mode="reflect", truncate=_TRUNCATE)
        plane *= -(sigma**2)
    return out


def _peaks(stack: NDArray[np.float32], tile: Tile) -> tuple[NDArray[np.float64], ...]:
    """Row, column, shift in scale steps and response of the extrema whose pixel lies in the core."""
    middle = stack[1]
    strength = np.abs(middle)
    around = ndimage.maximum_filter(strength, size=3, mode="constant")
    is_peak = (strength == around) & (strength > 0)
    is_peak[: tile.inner[0].start] = is_peak[tile.inner[0].stop :] = False
    is_peak[:, : tile.inner[1].start] = is_peak[:, tile.inner[1].stop :] = False
    rows, cols = np.nonzero(is_peak)
    below, at, above = (stack[k, rows, cols].astype(float) for k in range(3))
    sign = np.sign(at)
    # Across scales the same pixel is enough: a blob's centre moves by less than a pixel between neighbours.
    best = (sign * at >= sign * below) & (sign * at > sign * above)
    rows, cols, below, at, above = (values[best] for values in (rows, cols, below, at, above))
    shift = _vertex(below, at, above)
    # Whole numbers first: adding the tile's place last would round differently from tile to tile.
    row = (rows + tile.outer[0].start) + (_vertex(*_line(middle, rows, cols, axis=0)) + 0.5)
    col = (cols + tile.outer[1].start) + (_vertex(*_line(middle, rows, cols, axis=1)) + 0.5)
    return row, col, shift, at


def _line(
    image: NDArray[np.float32], rows: NDArray[np.int64], cols: NDArray[np.int64], *, axis: int
) -> tuple[NDArray[np.float64], ...]:
    """The values before, at and after each pixel along an axis; the border repeats its last pixel."""
    last = image.shape[axis] - 1
    place = (rows, cols)[axis]
    triple = (np.maximum(place - 1, 0), place, np.minimum(place + 1, last))
    other = (rows, cols)[1 - axis]
    return tuple(image[(p, other) if axis == 0 else (other, p)].astype(float) for p in triple)


def _vertex(before: NDArray[np.float64], at: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the parabola through three neighbours turns, −0.5 to 0.5 from the middle one."""
    bend = before - 2 * at + after
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (before - after) / bend
    return np.clip(np.nan_to_num(shift), -0.5, 0.5)


def _on_grid(response: NDArray[np.float32], tile: Tile, step: int) -> NDArray[np.float32]:
    """Every step-th pixel of the whole image's rows and columns that lies in this core."""
    core = response[tile.inner]
    row0, col0 = -tile.core[0].start % step, -tile.core[1].start % step
    return core[row0::step, col0::step].ravel()


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 × 2 pixels; an odd last row or column is doubled first."""
    rows, cols = image.shape
    if rows % 2 or cols % 2:
        image = np.pad(image, ((0, rows % 2), (0, cols % 2)), mode="edge")
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / np.float32(4)


def _sigma_at(sigma: float, level: int) -> float:
    """The scale in pixels of a level, less what averaging has blurred already (a box of w px has variance w²/12)."""
    factor = 4.0**level
    return float(np.sqrt(max(sigma**2 - (factor - 1) / 12, 0.25) / factor))
