"""Atomic columns as peaks: found in any crystal, fitted where a lattice says they stand, and those off it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from epistem.atoms.spectrum import FEWEST_ACROSS, PROMINENT, Spectrum, spectrum
from epistem.core.errors import SettingsError, ShapeError
from epistem.stats.robust import mad_sd

if TYPE_CHECKING:
    from epistem.atoms.lattice import Lattice

Floats = NDArray[np.float64]

_STEPS = 5


class NoLattice(SettingsError):
    """The image shows no lattice of atomic columns that could be measured."""


class Fit(NamedTuple):
    """n columns as Gaussians.

    Attributes:
        places: (n, 2) centres (row, col) [px].
        amplitude: (n,) height over the local background, in the image's units.
        noise: standard deviation of a pixel that is left when all columns are taken off.
    """

    places: Floats
    amplitude: Floats
    noise: float


def checked_image(image: NDArray[np.floating]) -> Floats:
    """The image as float64.

    Raises:
        ShapeError: not two axes.
        NoLattice: values that are not finite, or all the same.
    """
    pixels = np.asarray(image, float)
    if pixels.ndim != 2 or min(pixels.shape, default=0) < 32:
        raise ShapeError(f"wanted an image (H, W) of at least 32 px a side, got {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise NoLattice(f"{int((~np.isfinite(pixels)).sum())} pixels are not finite; mask or crop them before")
    if np.ptp(pixels) == 0:
        raise NoLattice(f"all pixels are {pixels.flat[0]:g}: there is nothing to find columns in")
    return pixels


def without_background(image: Floats, period_px: float) -> Floats:
    """The image less its mean over about two periods, by three passes of a box."""
    box = 2 * round(period_px) + 1
    slow = image
    for _ in range(3):
        slow = ndimage.uniform_filter(slow, box, mode="reflect")
    return np.asarray(image - slow)


def find_columns(image: NDArray[np.floating], *, spacing_px: float | None = None) -> Floats:
    """Bright peaks of any crystal, to a part of a pixel.

    Args:
        image: (H, W).
        spacing_px: distance of neighbouring columns; None reads the widest planes off the spectrum, which lie 1 to
            1.5 such distances apart in usual projections.

    Returns:
        Shape (n, 2) centres (row, col) [px], by row.

    Raises:
        NoLattice: the image is constant, or no period stands out and no spacing is given.
        SettingsError: a spacing below 2 px.
    """
    pixels = checked_image(image)
    if spacing_px is not None and not 2 <= spacing_px < min(pixels.shape):
        raise SettingsError(f"spacing_px is 2 px to the image's side, not {spacing_px!r}")
    spacing = plane_spacing_px(spectrum(pixels)) if spacing_px is None else spacing_px
    smooth = ndimage.gaussian_filter(without_background(pixels, spacing), 0.13 * spacing)
    peaks = _maxima(smooth, 0.4 * spacing)
    if not len(peaks):
        return np.empty((0, 2))
    heights = smooth[tuple(peaks.T)]
    # Noise left after that filter: white of standard deviation s keeps s/(2σ√π).
    noise = _pixel_noise(pixels) / (2 * np.sqrt(np.pi) * max(0.13 * spacing, 0.4))
    high = heights > max(4 * noise, 0.25 * float(np.percentile(heights, 90)))
    return _vertices(smooth, peaks[high])


def plane_spacing_px(of: Spectrum) -> float:
    """Distance of the widest planes that stand out of the noise [px].

    Raises:
        NoLattice: none does.
    """
    length = np.hypot(of.rows[:, None], of.cols)
    lowest = FEWEST_ACROSS / min(len(of.rows), 2 * len(of.cols) - 2)
    out = (length >= lowest) & (length <= 0.4) & (of.power >= 2 * PROMINENT * of.ring)
    if not out.any():
        raise NoLattice("no period stands out of the noise; pass spacing_px to look for columns all the same")
    # Weak orders before the strongest ring are super-structure or noise; it is the ring with the most excess power.
    step = 1.0 / min(len(of.rows), 2 * len(of.cols) - 2)
    ring = (length[out] / step).astype(int)
    excess = np.bincount(ring, (of.power - of.ring)[out])
    strong = np.flatnonzero(excess > 0.25 * excess.max())[0]
    near = np.abs(ring - strong) <= 2
    return float(1 / np.average(length[out][near], weights=(of.power - of.ring)[out][near]))


def _pixel_noise(pixels: Floats) -> float:
    """Standard deviation of white noise, from the median of second differences along both axes."""
    second = ndimage.convolve(pixels, np.outer([1, -2, 1], [1, -2, 1]).astype(float))
    return float(np.median(np.abs(second))) / (0.6745 * 6)


def _maxima(smooth: Floats, radius: float) -> NDArray[np.intp]:
    """(n, 2) pixels above all others within a radius, none on the border."""
    reach = max(1, int(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    top = smooth == ndimage.maximum_filter(smooth, footprint=(y * y + x * x <= max(radius, 1.5) ** 2))
    top[[0, -1]] = top[:, [0, -1]] = False
    return np.argwhere(top)


def _vertices(smooth: Floats, peaks: NDArray[np.intp]) -> Floats:
    """The turning points of paraboloids through 3 × 3 pixels."""
    row, col = peaks.T
    box = {(i, j): smooth[row + i, col + j] for i in (-1, 0, 1) for j in (-1, 0, 1)}
    down = (sum(box[1, j] - box[-1, j] for j in (-1, 0, 1))) / 6
    right = (sum(box[i, 1] - box[i, -1] for i in (-1, 0, 1))) / 6
    down2 = sum(box[1, j] + box[-1, j] - 2 * box[0, j] for j in (-1, 0, 1)) / 3
    right2 = sum(box[i, 1] + box[i, -1] - 2 * box[i, 0] for i in (-1, 0, 1)) / 3
    cross = (box[1, 1] + box[-1, -1] - box[1, -1] - box[-1, 1]) / 4
    bend = down2 * right2 - cross**2
    ok = (bend > 0) & (down2 < 0)
    safe = np.where(ok, bend, 1.0)
    shift = np.stack([cross * right - right2 * down, cross * down - down2 * right], axis=1) / safe[:, None]
    return np.asarray(peaks + np.where(ok[:, None], np.clip(shift, -0.75, 0.75), 0.0))


def fit_columns(
    image: Floats, places: Floats, *, heights: Floats, level: float, width_px: float, reach_px: float
) -> Fit:
    """Gaussians of one width, fitted at all places together: neighbours that overlap do not pull at each other.

    Args:
        image: (H, W) with slow background taken off.
        places: (n, 2) where columns are expected [px].
        heights: (n,) about what they are.
        level: of the image between columns.
        width_px: σ of a column.
        reach_px: radius of the pixels that count for a column [px].
    """
    windows = _Windows(image.shape, places, reach_px)
    at, amplitude = places, heights
    usual = np.maximum(0.3 * heights, 1e-12)
    for _ in range(_STEPS):
        drawn, jacobian = windows.draw(at, amplitude, width_px)
        change = windows.solve(image - level - drawn, jacobian)
        amplitude = np.maximum(amplitude + change[:, 0], 0)
        # A faint column's place is divided by little; it may not jump.
        move = change[:, 1:] / np.maximum(amplitude, usual)[:, None]
        at = at + np.clip(move, -0.5 * width_px, 0.5 * width_px)
    drawn, _ = windows.draw(at, amplitude, width_px)
    return Fit(at, amplitude, mad_sd(image - level - drawn))


class _Windows:
    """The pixels round each of n places; fixed while the places move inside them."""

    def __init__(self, shape: tuple[int, ...], places: Floats, reach: float) -> None:
        side = int(np.ceil(reach)) + 1
        offset = np.arange(-side, side + 1)
        whole = np.round(places).astype(np.intp)
        self.rows = whole[:, :1] + offset  # (n, s)
        self.cols = whole[:, 1:] + offset
        inside_rows = (self.rows >= 0) & (self.rows < shape[0])
        inside_cols = (self.cols >= 0) & (self.cols < shape[1])
        self.inside = inside_rows[:, :, None] & inside_cols[:, None, :]
        flat = (
            np.clip(self.rows, 0, shape[0] - 1)[:, :, None] * shape[1] + np.clip(self.cols, 0, shape[1] - 1)[:, None]
        )
        self.flat, self.shape, self.reach = flat, shape, reach
        away = np.hypot(self.rows[:, :, None] - places[:, :1, None], self.cols[:, None] - places[:, 1:, None])
        self.weight = (self.inside & (away <= reach)).astype(np.float32)

    def draw(self, at: Floats, amplitude: Floats, width: float) -> tuple[Floats, NDArray[np.float32]]:
        """All columns as one image, and each one's derivatives by amplitude and by place, (n, 3, s, s)."""
        down, right = self.rows - at[:, :1], self.cols - at[:, 1:]
        row = np.exp(-(down**2) / (2 * width**2))
        col = np.exp(-(right**2) / (2 * width**2))
        plain = row[:, :, None] * col[:, None]
        by_row = (row * down / width**2)[:, :, None] * col[:, None]
        by_col = row[:, :, None] * (col * right / width**2)[:, None]
        jacobian = np.stack([plain, by_row, by_col], axis=1).astype(np.float32)
        values = np.where(self.inside, plain * amplitude[:, None, None], 0.0)
        total = np.bincount(self.flat.ravel(), values.ravel(), minlength=self.shape[0] * self.shape[1])
        return np.asarray(total, float).reshape(self.shape), jacobian

    def solve(self, left: Floats, jacobian: NDArray[np.float32]) -> Floats:
        """(n, 3) changes of amplitude and amplitude·place that take most of the residual away, each column alone."""
        here = left.astype(np.float32).ravel()[self.flat] * self.weight
        normal = np.einsum("nirc,njrc,nrc->nij", jacobian, jacobian, self.weight, optimize=True).astype(float)
        right = np.einsum("nirc,nrc->ni", jacobian, here, optimize=True).astype(float)
        scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
        normal += np.eye(3) * np.maximum(1e-4 * scale, 1e-9)
        # 0.8: neighbours see the same residual, and all of them taking all of it would overshoot.
        return np.asarray(0.8 * np.linalg.solve(normal, right[..., None])[..., 0])


def extra_peaks(image: NDArray[np.floating], lattice: Lattice) -> Floats:
    """Bright spots that stand on no site of the lattice: adatoms, other material.

    Args:
        image: (H, W), the field the lattice was found in.
        lattice: with its sites.

    Returns:
        Shape (k, 2) centres (row, col) [px], only where the lattice is; a spot counts from half of the fainter
        sub-lattice's median height and five times the noise.
    """
    pixels = checked_image(image)
    if pixels.shape != lattice.mask.shape:
        raise ShapeError(f"the lattice was found in an image of {lattice.mask.shape}, this one is {pixels.shape}")
    pixels = without_background(pixels, lattice.a_px)
    reach, width = 0.5 * lattice.neighbour_px, lattice.width_px
    usual, level = _usual_heights(pixels, lattice)
    fit = fit_columns(
        pixels, lattice.refined, heights=usual[lattice.sublattice], level=level, width_px=width, reach_px=reach
    )
    drawn, _ = _Windows(pixels.shape, lattice.refined, 4 * width).draw(fit.places, fit.amplitude, width)
    # The columns are off, so that a background may bend within a cell: contamination is no adatom.
    rest = pixels - drawn
    left = ndimage.gaussian_filter(rest, 0.7 * width) - ndimage.gaussian_filter(rest, 0.5 * lattice.a_px)
    noise = mad_sd(left[lattice.mask])
    peaks = _maxima(left, reach)
    # A Gaussian of σ keeps 1/1.49 of its height under a filter of 0.7 σ.
    high = left[tuple(peaks.T)] > max(0.5 * float(usual.min()) / 1.49, 5 * noise)
    found = _vertices(left, peaks[high & lattice.mask[tuple(peaks.T)]])
    if not len(found):
        return found
    away, _ = cKDTree(np.concatenate([lattice.sites, lattice.refined])).query(found)
    return np.asarray(found[away > 0.5 * reach])


def _usual_heights(pixels: Floats, lattice: Lattice) -> tuple[Floats, float]:
    """Mean height of each sub-lattice's columns and the level between all of them, by least squares."""
    windows = _Windows(pixels.shape, lattice.refined, 4 * lattice.width_px)
    kinds = range(int(lattice.sublattice.max()) + 1)
    drawn = [
        windows.draw(lattice.refined, (lattice.sublattice == k).astype(float), lattice.width_px)[0] for k in kinds
    ]
    table = np.stack([*(one[lattice.mask] for one in drawn), np.ones(int(lattice.mask.sum()))], axis=1)
    *heights, level = np.linalg.lstsq(table, pixels[lattice.mask])[0]
    return np.maximum(heights, 1e-9 * float(np.ptp(pixels))), float(level)
