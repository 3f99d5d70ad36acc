"""Where a lattice really lies in a distorted image: local amplitudes and phases of its orders, and displacements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# Orders (h, k) of reciprocal vectors 120° apart: three-fold sets with |g| of 1, √3 and 2.
FIRST = np.array([[1, 0], [0, 1], [-1, -1]])
ORDERS = np.concatenate([FIRST, [[1, -1], [1, 2], [-2, -1]], 2 * FIRST])
_LEAST_SNR = 30.0  # of the local orders' power: a phase is then known to 0.13 rad, a place to 0.02 of the period
_LEAST_LEFT = 0.3  # of an order's amplitude under a bent phase; below, it is not scaled up any further
_STEPS = 4
_PRESENT_SNR = 6.0  # noise alone passes with p = 3e-6
_PRESENT_AMPLITUDE = 0.35  # of the image's strong parts


@dataclass(frozen=True, eq=False)
class Field:
    """Local orders of a lattice on a coarse grid, and how far the lattice is displaced there.

    Attributes:
        rows, cols: (m,), (n,) where the grid's points lie [px].
        vectors: (2, 2) mean reciprocal vectors [1/px].
        displacement: (2, m, n) along rows and columns [px].
        present: (m, n) where the lattice is.
        window_px: σ of the Gaussian windows.
        closure: |mean| over mean || of the product of three orders whose vectors add to 0; 1 is a lattice, 0 none.
    """

    rows: Floats
    cols: Floats
    vectors: Floats
    displacement: Floats
    present: NDArray[np.bool_]
    window_px: float
    closure: float

    def displacement_at(self, points: Floats) -> Floats:
        """(n, 2) displacement at (n, 2) places [px]."""
        return np.stack([self._sampled(plane, points, order=1) for plane in self.displacement], axis=1)

    def present_at(self, points: Floats) -> NDArray[np.bool_]:
        """(n,) whether the lattice is there."""
        return self._sampled(self.present.astype(float), points, order=0) > 0.5

    def _sampled(self, plane: Floats, points: Floats, *, order: int) -> Floats:
        row = np.interp(points[:, 0], self.rows, np.arange(len(self.rows)))
        col = np.interp(points[:, 1], self.cols, np.arange(len(self.cols)))
        return np.asarray(ndimage.map_coordinates(plane, [row, col], order=order, mode="nearest"))

    def present_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) where the lattice is."""
        row = np.abs(np.arange(shape[0])[:, None] - self.rows).argmin(axis=1)
        col = np.abs(np.arange(shape[1])[:, None] - self.cols).argmin(axis=1)
        return self.present[np.ix_(row, col)]

    def orders(self, image: Floats) -> Complexes:
        """(len(ORDERS), m, n) local orders of an image, with the displacement taken out."""
        waves = ORDERS @ self.vectors
        local = np.stack([local_order(image, k, self.rows, self.cols, self.window_px) for k in waves])
        return self.straightened(local)

    def straightened(self, local: Complexes) -> Complexes:
        """Local orders (len(ORDERS), m, n) with what the displacement does to them taken out.

        The windows blur a phase that bends inside them; the same blur of the displacement's own phase tells how far.
        """
        rows, cols = (_window(points, points, self.window_px) for points in (self.rows, self.cols))
        phase = np.exp(-2j * np.pi * np.tensordot(ORDERS @ self.vectors, self.displacement, 1))
        blurred = rows @ phase @ cols.T
        size = np.abs(blurred)
        return np.asarray(local * blurred.conj() / (size * np.maximum(size, _LEAST_LEFT)))


def local_order(image: Floats, k: Floats, rows: Floats, cols: Floats, sigma: float) -> Complexes:
    """Mean of image·exp(−2πi k·r) under a Gaussian window round each point of a grid, (m, n).

    Source: Hÿtch, Snoeck, Kilaas, Ultramicroscopy 74, 131 (1998); window and wave are separable.
    """
    along_rows = _windowed_wave(rows, image.shape[0], k[0], sigma)
    along_cols = _windowed_wave(cols, image.shape[1], k[1], sigma)
    return np.asarray((along_rows @ image) @ along_cols.T, np.complex128)


def _windowed_wave(centres: Floats, length: int, k: float, sigma: float) -> NDArray[np.complex64]:
    place = np.arange(length)
    return np.asarray(_window(centres, place, sigma) * np.exp(-2j * np.pi * k * place), np.complex64)


def _window(centres: Floats, places: NDArray[Any], sigma: float) -> Floats:
    """(m, n) Gaussian weights of n places round each of m centres; each centre's add to 1."""
    window = np.exp(-((centres[:, None] - places) ** 2) / (2 * sigma**2))
    return np.asarray(window / window.sum(axis=1, keepdims=True))


def field_of(image: Floats, vectors: Floats, *, noise: float) -> Field:
    """The lattice's displacements in an image.

    Args:
        image: (H, W), slow background taken off.
        vectors: (2, 2) reciprocal vectors 120° apart (or of any lattice) [1/px].
        noise: power density of the noise near them.
    """
    spacing = 1 / float(np.linalg.norm(vectors, axis=1).min())
    image = image.astype(np.float32)
    rows, cols = (_grid(length, spacing) for length in image.shape)
    window = 1.75 * spacing
    for _ in range(2):
        vectors = _turned_by_slope(image, vectors, rows, cols, window)
    first = _first(image, vectors, rows, cols, window)
    snr = float(np.median(_snr(first, noise, window)))
    if snr < _LEAST_SNR:
        window *= min(3.0, np.sqrt(_LEAST_SNR / max(snr, 1e-9)))
        vectors = _turned_by_slope(image, vectors, rows, cols, window)
        first = _first(image, vectors, rows, cols, window)
    present = _present(first, noise, window)
    triple = first.prod(axis=0)[present] if present.any() else np.zeros(1)
    closure = float(np.abs(triple.sum()) / max(np.abs(triple).sum(), 1e-300))
    start = Field(rows, cols, vectors, np.zeros((2, len(rows), len(cols))), present, window, closure)
    return _displaced(start, image, first) if present.any() else start


def _grid(length: int, step: float) -> Floats:
    return np.linspace(0, length - 1, max(3, int(np.ceil(length / step)) + 1))


def _first(image: Floats, vectors: Floats, rows: Floats, cols: Floats, window: float) -> Complexes:
    return np.stack([local_order(image, order @ vectors, rows, cols, window) for order in FIRST])


def _snr(first: Complexes, noise: float, window: float) -> Floats:
    """(m, n) mean power of the first orders over that of noise under the same window."""
    return np.asarray(np.mean(np.abs(first) ** 2, axis=0) * (4 * np.pi * window**2) / max(noise, 1e-300))


def _turned_by_slope(image: Floats, vectors: Floats, rows: Floats, cols: Floats, window: float) -> Floats:
    """The vectors moved by the mean slope of their phases."""
    moved = []
    for k in vectors:
        local = local_order(image, k, rows, cols, window)
        down = np.angle((local[1:] * local[:-1].conj()).sum()) / (rows[1] - rows[0])
        right = np.angle((local[:, 1:] * local[:, :-1].conj()).sum()) / (cols[1] - cols[0])
        slope = np.array([down, right]) / (2 * np.pi)
        # Peaks are known to far better; a larger slope is the pull of a stronger order nearby.
        moved.append(k + slope if np.linalg.norm(slope) < 0.1 * np.linalg.norm(k) else k)
    return np.array(moved)


def _present(first: Complexes, noise: float, window: float) -> NDArray[np.bool_]:
    strength = np.sqrt(np.mean(np.abs(first) ** 2, axis=0))
    strong = strength > _PRESENT_AMPLITUDE * np.percentile(strength, 80)
    found = strong & (_snr(first, noise, window) > _PRESENT_SNR)
    closed = ndimage.binary_closing(found, iterations=2)
    # Closing cannot reach over the edge of the grid; what was found there stays.
    return np.asarray(ndimage.binary_opening(closed | found, iterations=1) | (found & closed))


def _displaced(start: Field, image: Floats, first: Complexes) -> Field:
    """Displacements from the unwrapped phases of two orders, then by least squares from all of them."""
    inverse = np.linalg.inv(start.vectors)
    turns = np.stack([_unwrapped(local, start.present) for local in first[:2]]) / (2 * np.pi)
    rough = -np.tensordot(inverse, turns, 1)
    field = replace(start, displacement=_filled(rough, start.present))
    bent = start.orders(image)
    for _ in range(_STEPS):
        local = field.straightened(bent)
        weight = np.abs(local) ** 2
        mean = (local * start.present).sum(axis=(1, 2), keepdims=True)
        left = -np.angle(local * mean.conj()) / (2 * np.pi)
        step = _least_squares(ORDERS @ start.vectors, left, weight)
        field = replace(start, displacement=_filled(field.displacement + step, start.present))
    return field


def _unwrapped(local: Complexes, present: NDArray[np.bool_]) -> Floats:
    """The phase without jumps of a turn; whole turns between separate regions do not matter."""
    phase = np.ma.masked_array(np.angle(local), ~present)
    smooth = np.asarray(np.ma.filled(unwrap_phase(phase, rng=0), 0.0), float)
    return np.asarray(smooth - smooth[present].mean())


def _least_squares(k: Floats, turns: Floats, weight: Floats) -> Floats:
    """(2, m, n) the displacement whose phases k·u fit best, point by point."""
    normal = np.einsum("gmn,gi,gj->mnij", weight, k, k)
    right = np.einsum("gmn,gi,gmn->mni", weight, k, turns)
    normal += 1e-9 * np.trace(normal, axis1=2, axis2=3).max() * np.eye(2)
    return np.moveaxis(np.linalg.solve(normal, right[..., None])[..., 0], -1, 0)


def _filled(displacement: Floats, present: NDArray[np.bool_]) -> Floats:
    """Values outside the lattice are those of its nearest point."""
    where = ndimage.distance_transform_edt(~present, return_distances=False, return_indices=True)
    return np.asarray(displacement[:, where[0], where[1]])
