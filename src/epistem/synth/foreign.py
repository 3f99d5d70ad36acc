"""Images that hold no cavity and are no TEM foil: what a detector of cavities meets when it is given something else.

=============  =================================================================================
leaves         dead leaves, discs and boxes one over the other: edges and sizes as in photographs
grains         polygons with boundaries, as in metallography
cuboids        rounded boxes of one grey in another, as precipitates in superalloys
particles      bright or dark discs with shading, overlapping, on a plain ground
pores          dark blobs of any shape on a plain or layered ground
strokes        lines of any direction, as scratches, fibres and letters
texture        1/f noise of any slope, smeared in one direction or thresholded
=============  =================================================================================

All are blurred, lit unevenly, and get noise. They are no physics: they show what lies on the
other side of the reference images, so that a forecast knows what is not typical.

Source of dead leaves as a model of natural images: Lee, Mumford, Huang, Int. J. Comput. Vision 41, 35 (2001).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, spatial

from epistem.core.micrograph import Micrograph

Grey = NDArray[np.float64]


def draw_foreign(rng: np.random.Generator, shape: tuple[int, int] = (512, 512)) -> Micrograph:
    """One image of a kind drawn by chance, 8 bit, without pixel size."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    image = kind(rng, shape)
    image = ndimage.gaussian_filter(image, float(rng.choice([0.0, 0.5, 1.0, 2.0])))
    rows, cols = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    light = 1 + rng.uniform(-0.3, 0.3) * rows + rng.uniform(-0.3, 0.3) * cols
    image = image * light + float(rng.exponential(0.04)) * rng.standard_normal(shape)
    low, high = np.quantile(image, [0.003, 0.997])
    grey = 255 * ((image - low) / (high - low or 1.0)).clip(0, 1) ** float(rng.uniform(0.6, 1.6))
    return Micrograph(grey.round().astype(np.uint8), name=kind.__name__.strip("_"))


def _leaves(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    image = np.full(shape, 0.5)
    # Radii fall as r⁻³, which makes the image look alike at every scale.
    least = float(rng.uniform(3, 20))
    radii = np.minimum(least / np.sqrt(rng.random(900)), max(shape) / 2)
    for radius in radii:
        _lay(image, rng, radius, round_share=0.5, shaded=float(rng.random() < 0.5) * 0.3)
    return image


def _grains(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    seeds = rng.random((int(rng.integers(20, 400)), 2)) * shape
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    at = np.column_stack([rows.ravel(), cols.ravel()])
    near, which = spatial.cKDTree(seeds).query(at, 2)
    image = (rng.uniform(0.3, 0.7, len(seeds)))[which[:, 0]]
    boundary = (near[:, 1] - near[:, 0]) < rng.uniform(1, 5)
    image[boundary] = rng.choice([0.05, 0.95])
    grains: Grey = image.reshape(shape)
    return grains


def _cuboids(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    image, size = np.full(shape, 0.3), float(rng.uniform(6, 40))
    for _ in range(int(rng.uniform(0.2, 0.9) * shape[0] * shape[1] / (2 * size) ** 2)):
        _lay(image, rng, size * float(rng.lognormal(0, 0.25)), round_share=0.0, grey=float(rng.normal(0.7, 0.03)))
    return image if rng.random() < 0.5 else 1 - image


def _particles(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    image, size = np.full(shape, 0.2), float(rng.uniform(4, 50))
    for _ in range(int(rng.integers(5, 150))):
        radius = size * float(rng.lognormal(0, 0.3))
        _lay(
            image, rng, radius, round_share=1.0, grey=float(rng.normal(0.7, 0.08)), shaded=float(rng.uniform(0, 0.4))
        )
    return image if rng.random() < 0.7 else 1 - image


def _pores(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    field = ndimage.gaussian_filter(rng.standard_normal(shape), float(rng.uniform(2, 15)))
    pores = field < np.quantile(field, rng.uniform(0.01, 0.2))
    layers = 0.1 * np.sin(np.arange(shape[0]) / rng.uniform(5, 60))[:, None] * (rng.random() < 0.4)
    image: Grey = np.where(pores, 0.1, 0.6) + layers
    return image


def _strokes(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    image, angle = np.full(shape, 0.8), rng.uniform(0, np.pi)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    spread = rng.choice([0.05, 1.5])
    for _ in range(int(rng.integers(10, 90))):
        turn = angle + spread * rng.standard_normal()
        row, col = rng.random(2) * shape
        across = (rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)
        along = (cols - col) * np.cos(turn) - (rows - row) * np.sin(turn)
        image[(abs(across) < rng.uniform(0.7, 4)) & (abs(along) < rng.uniform(5, 200))] = rng.uniform(0, 0.4)
    return image


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    frequency = np.hypot(
        fft.fftfreq(shape[0])[:, None] * rng.uniform(0.3, 3), fft.rfftfreq(shape[1])[None, :]
    )  # fmt: skip
    amplitude = np.maximum(frequency, 1 / max(shape)) ** -rng.uniform(0.3, 2.2)
    phase = np.exp(2j * np.pi * rng.random(frequency.shape))
    image: Grey = fft.irfft2(amplitude * phase, shape)
    image = (image - image.mean()) / (image.std() or 1.0)
    return np.tanh(image * rng.uniform(0.3, 6))


def _lay(
    image: Grey, rng: np.random.Generator, radius: float, *, round_share: float, grey: float | None = None,
    shaded: float = 0.0,
) -> None:  # fmt: skip
    """One disc or turned box of that half size over what is there."""
    centre = rng.random(2) * image.shape
    reach = int(1.5 * radius) + 1
    r0, c0 = np.maximum(centre.astype(int) - reach, 0)
    r1, c1 = np.minimum(centre.astype(int) + reach + 1, image.shape)
    rows, cols = np.mgrid[r0:r1, c0:c1]
    rows, cols = (rows - centre[0]) / radius, (cols - centre[1]) / radius
    if rng.random() < round_share:
        inside = rows**2 + cols**2 < 1
    else:
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
        a, b = rows * np.cos(turn) + cols * np.sin(turn), cols * np.cos(turn) - rows * np.sin(turn)
        inside = (abs(a) ** 4 + abs(b / flat) ** 4) < 1
    value = float(rng.random()) if grey is None else grey
    image[r0:r1, c0:c1][inside] = (value - shaded * (rows**2 + cols**2) * value)[inside]


KINDS: tuple[Callable[[np.random.Generator, tuple[int, int]], Grey], ...] = (
    _leaves, _grains, _cuboids, _particles, _pores, _strokes, _texture,
)  # fmt: skip
