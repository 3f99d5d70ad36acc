"""The outline of a blob: where a rim closes round it, and which blobs are only pieces or fringes of others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from epistem.detect.scalespace import Blobs
from epistem.stats.robust import mad_sd

# Where the true edge lies between the steepest place and the bottom of the Fresnel fringe: medians on simulated
# cavities at -0.5 to -1.5 and +1 µm defocus, 0.3 and 0.5 nm pixels (0.58 to 0.71, and 0.20 to 0.21).
_EDGE_BRIGHT, _EDGE_DARK = 0.65, 0.2
# The first and the second fringe round a cavity lie within so many radii; the second is fainter by this.
_FRINGE, _SECOND_FRINGE, _FAINT = 1.3, 2.0, 0.4


class Outline(NamedTuple):
    """One blob's mask with its place, how strongly a rim closes round it, and how strong the blob itself is.

    `disc` is (row, col, radius) of that rim [px].
    """

    row: int
    col: int
    crop: NDArray[np.bool_]
    rim: float
    snr: float
    disc: tuple[float, float, float]


def outlined(image: NDArray[np.float32], blobs: Blobs, sign: int, slope: float, min_rim: float) -> list[Outline]:
    """The outlines of the blobs of one sign that have a rim.

    Args:
        image: (H, W) with median 0.
        blobs: of both signs.
        sign: 1 for bright ones, -1 for dark ones.
        slope: `usual_slope` of the image.
        min_rim: least strength of the rim, in usual slopes times the root of its length [√px].
    """
    blobs = _without_twins(blobs.take(np.sign(blobs.snr) == sign))
    rows = zip(blobs.row.tolist(), blobs.col.tolist(), blobs.sigma.tolist(), blobs.snr.tolist(), strict=True)
    found = (_outline(image, row, col, sigma * np.sqrt(2), snr, slope, min_rim) for row, col, sigma, snr in rows)
    return [one for one in found if one is not None]


def _outline(
    image: NDArray[np.float32], row: float, col: float, radius: float, snr: float, slope: float, min_rim: float
) -> Outline | None:
    """The pixels of one blob: what lies above half-height within its rim, or its disc where that makes no sense.

    The rim is where the mean grey value falls fastest with distance from the centre. The blob's scale alone would
    put it too far in: a Fresnel fringe of the other sign around a cavity makes the best-fitting Gaussian narrower.
    """
    reach = int(np.ceil(2.2 * radius)) + 2
    r0, c0 = max(0, int(row) - reach), max(0, int(col) - reach)
    window = np.sign(snr) * image[r0 : int(row) + reach + 1, c0 : int(col) + reach + 1]
    rows, cols = np.ogrid[r0 : r0 + window.shape[0], c0 : c0 + window.shape[1]]
    offset = (rows + 0.5 - row) + 1j * (cols + 0.5 - col)
    distance = np.abs(offset)
    smooth = ndimage.gaussian_filter(window, min(1.5, 0.25 * radius))
    rim, fall, fringe = _rim(smooth, offset, radius)
    strength = fall / slope * float(np.sqrt(2 * np.pi * rim))
    if strength < min_rim:
        return None
    beyond = fringe * (_EDGE_BRIGHT if snr > 0 else _EDGE_DARK)
    crop = _above_half(smooth, distance, rim)
    if beyond:
        crop = ndimage.distance_transform_edt(~crop) <= beyond
    where = ndimage.find_objects(crop.astype(np.int8))[0]
    return Outline(r0 + where[0].start, c0 + where[1].start, crop[where], strength, snr, (row, col, rim + beyond))


def _above_half(smooth: NDArray[np.float32], distance: NDArray[np.float64], rim: float) -> NDArray[np.bool_]:
    """The piece above half-height that fills the disc best, or the disc where its area is quite another."""
    disc = distance <= rim
    inside, outside = smooth[(distance > 0.6 * rim) & disc], smooth[(distance > rim) & (distance < 1.4 * rim)]
    if not (inside.size and outside.size):
        return disc
    labels, _ = ndimage.label((smooth > (np.median(inside) + np.median(outside)) / 2) & (distance < 1.25 * rim))
    own = np.bincount(labels[disc])
    own[0] = 0
    if not own.any():
        return disc
    filled = ndimage.binary_fill_holes(labels == own.argmax())
    return filled if 0.6 < filled.sum() / disc.sum() < 1.5 else disc


def _rim(smooth: NDArray[np.float32], offset: NDArray[np.complex128], radius: float) -> tuple[float, float, float]:
    """Where the circle's mean falls fastest, between half and twice the radius [px], by how much, and on how far it
    falls further into a fringe [px].

    What falls on one side only is no rim: the part of the fall that varies as the cosine of the direction is taken
    off. A closed rim has none, half a rim loses 64 % of its fall.
    """
    ring = np.floor(np.abs(offset)).astype(int)
    count = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), smooth.ravel()) / np.maximum(count, 1)
    fall = mean[:-1] - mean[1:]
    fall[count[1:] == 0] = -np.inf
    first, last = max(0, int(0.5 * radius)), int(np.ceil(2 * radius)) + 1
    best = first + int(np.argmax(fall[first:last]))
    sides = [_one_sided(smooth[ring == r], offset[ring == r]) for r in (best, best + 1)]
    return best + 1.0, float(fall[best]) - abs(sides[0] - sides[1]), _fringe(mean[count > 0], best)


def _fringe(mean: NDArray[np.float64], best: int) -> float:
    """From the steepest place to the bottom of the fringe behind it [px]; 0 where there is none.

    A fringe is a fall below the surroundings by more than a quarter of the step up to the object.
    """
    bottom = best + 1
    while bottom + 1 < len(mean) and mean[bottom + 1] < mean[bottom]:
        bottom += 1
    around = mean[bottom + 2 :]
    if not around.size:
        return 0.0
    level = float(np.median(around))
    return bottom - best - 0.5 if level - mean[bottom] > 0.25 * (mean[best] - level) else 0.0


def _one_sided(values: NDArray[np.float32], offset: NDArray[np.complex128]) -> complex:
    """Covariance of the values round a circle with the direction they lie in; 0 for a circle of one value."""
    if not values.size:
        return 0j
    direction = offset / np.maximum(np.abs(offset), 1e-9)
    return complex(np.mean(values * direction) - values.mean() * direction.mean())


def not_covered(shape: tuple[int, int], outlines: list[Outline]) -> list[Outline]:
    """Those that are objects of their own, top left first.

    The rim decides, not the blob's own strength: the bright fringe inside a large cavity breaks up into small
    blobs that are stronger than the cavity, but only the cavity has a rim all round. What lies by half in a
    stronger one or its first fringe is part of that; what lies further out but near is its second fringe, if its
    rim is much weaker.
    """
    taken = np.zeros(shape, bool)
    shadow = np.zeros(shape, np.float32)  # the strongest rim within whose second fringe a pixel lies
    kept = []
    for one in sorted(outlines, key=lambda one: (-one.rim, one.row, one.col)):
        row, col, radius = one.disc
        window = taken[one.row : one.row + one.crop.shape[0], one.col : one.col + one.crop.shape[1]]
        is_fringe = one.rim < _FAINT * shadow[int(row), int(col)]
        if not is_fringe and window[one.crop].mean() < 0.5:
            for canvas, reach, value in ((taken, _FRINGE, True), (shadow, _SECOND_FRINGE, one.rim)):
                place, disc = _disc(shape, row, col, reach * radius)
                canvas[place][disc] = np.maximum(canvas[place][disc], value)
            kept.append(one)
    return sorted(kept, key=lambda one: (one.row, one.col))


def _disc(
    shape: tuple[int, int], row: float, col: float, radius: float
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """A disc cut at the image's edge: its window, and which pixels of that it holds."""
    rows = slice(max(0, int(row - radius)), min(shape[0], int(row + radius) + 1))
    cols = slice(max(0, int(col - radius)), min(shape[1], int(col + radius) + 1))
    y, x = np.ogrid[rows, cols]
    return (rows, cols), (y + 0.5 - row) ** 2 + (x + 0.5 - col) ** 2 <= radius**2


def _without_twins(blobs: Blobs) -> Blobs:
    """Of blobs of like size (to a factor 1.5) whose centres lie in one another, the strongest."""
    if not len(blobs):
        return blobs
    radius = blobs.sigma * np.sqrt(2)
    centres = np.stack([blobs.row, blobs.col], axis=1)
    near = spatial.KDTree(centres).query_ball_point(centres, 1.5 * radius)
    kept = np.zeros(len(blobs), bool)
    order = np.argsort(-np.abs(blobs.response), kind="stable")
    for i in order:
        others = np.array(near[i])
        others = others[kept[others]]
        inside = np.hypot(*(centres[others] - centres[i]).T) < radius[others]
        alike = np.abs(np.log(radius[others] / radius[i])) < np.log(1.5)
        kept[i] = not (inside & alike).any()
    return blobs.take(order[kept[order]])


def usual_slope(image: NDArray[np.float32]) -> float:
    """Robust standard deviation of the grey value's change per pixel, after a blur of 1 px.

    Slopes, not grey values: thickness and bending move grey values far more than they tilt them.
    """
    slope = ndimage.gaussian_filter1d(image, 1.0, axis=1, order=1)
    step = max(1, int(np.sqrt(image.size / 1_000_000)))
    return mad_sd(slope[::step, ::step])
