"""How each object found stands out of its surroundings: grey values on eight rings about its middle.

Rings are ellipses of the box's own shape, four inside it and four outside, two dozen places on each: the cost does
not grow with the image or the object. Grey values are robust z-scores (`imaging.normalize`).

==============  ==============================================================================
c_core          mean of the inner half minus that of the surroundings, rings 1.4 to 2 radii out
c_rim           mean of the outer half minus that of the surroundings
c_fringe        mean just outside minus that of the surroundings: a Fresnel fringe
c_spread        standard deviation of the surroundings
c_round         share of the variance, out to 1.4 radii, that rings alone explain, 0 to 1
c_ragged        standard deviation inside, about each ring's mean, over c_spread
c_lean          first harmonic of the ring at the border over c_spread: one side unlike the other, an edge
c_long          second harmonic likewise: two sides unlike the others, a line
==============  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, Micrograph
from epistem.imaging.normalize import Scale, robust_scale

CONTRAST = ("c_core", "c_rim", "c_fringe", "c_spread", "c_round", "c_ragged", "c_lean", "c_long")
Floats = NDArray[np.float64]

_RADII = np.array([0.15, 0.4, 0.65, 0.9, 1.15, 1.4, 1.7, 2.0])
_PLACES = 24
_INSIDE, _CORE, _RIM, _BORDER = slice(0, 4), slice(0, 2), slice(2, 4), slice(3, 5)
_FRINGE, _AROUND, _NEAR = 4, slice(5, 8), slice(0, 6)
_ANGLES = 2 * np.pi * (np.arange(_PLACES) + 0.5) / _PLACES
_MOST = 20.0
_FEWEST = 12  # places of the surroundings


def object_contrast(
    found: Instances, micrograph: Micrograph | None, scale: Scale | None = None
) -> Mapping[str, Floats]:
    """The c_… of the module's table, (n,) each; NaN without an image, or where it ends before
    the surroundings."""
    if micrograph is None or not len(found):
        return {name: np.full(len(found), np.nan) for name in CONTRAST}
    z, inside = _sampled(found, micrograph, scale or robust_scale(micrograph))
    with np.errstate(divide="ignore", invalid="ignore"):
        ring = _mean(z, inside, 2)
        area = np.where(np.isfinite(ring), _RADII * inside.sum(axis=2), 0.0)
        around = _mean(z[:, _AROUND], inside[:, _AROUND], (1, 2))
        spread = np.sqrt(_mean((z[:, _AROUND] - around[:, None, None]) ** 2, inside[:, _AROUND], (1, 2)))
        off = (z - np.nan_to_num(ring)[:, :, None]) * inside
        core, rim = (_weighted(ring[:, part], area[:, part]) - around for part in (_CORE, _RIM))
        near, at = z[:, _NEAR], inside[:, _NEAR]
        total = (((near - _mean(near, at, (1, 2))[:, None, None]) * at) ** 2).sum(axis=(1, 2))
        ragged = np.sqrt((off[:, _INSIDE] ** 2).sum(axis=(1, 2)) / inside[:, _INSIDE].sum(axis=(1, 2)))
        border = off[:, _BORDER].mean(axis=1)
        lean, long = (2 * np.abs(border @ np.exp(1j * k * _ANGLES)) / _PLACES for k in (1, 2))
        values = (
            core, rim, ring[:, _FRINGE] - around, spread, 1 - (off[:, _NEAR] ** 2).sum(axis=(1, 2)) / total,
            ragged / spread, lean / spread, long / spread,
        )  # fmt: skip
    known = inside[:, _AROUND].sum(axis=(1, 2)) >= _FEWEST
    return {name: np.where(known & np.isfinite(one), one, np.nan) for name, one in zip(CONTRAST, values, strict=True)}


def _sampled(found: Instances, micrograph: Micrograph, scale: Scale) -> tuple[Floats, NDArray[np.bool_]]:
    """z-scores, (n, rings, places), 0 outside the image; and whether each place lies inside."""
    centre = (found.boxes[:, :2] + found.boxes[:, 2:] - 1) / 2
    half = np.maximum((found.boxes[:, 2:] - found.boxes[:, :2]) / 2, 0.5)[:, :, None]
    # A ring outside a small object is at least one pixel from the last.
    step = np.maximum(0, np.arange(len(_RADII)) - 3)
    reach = np.maximum(half * _RADII, np.where(step > 0, half + step, 0))
    rows = centre[:, :1, None] + reach[:, 0, :, None] * np.sin(_ANGLES)
    cols = centre[:, 1:, None] + reach[:, 1, :, None] * np.cos(_ANGLES)
    # The nearest pixel and no interpolation, which would take a third of the noise away.
    rows, cols = (np.rint(one).astype(np.int64) for one in (rows, cols))
    height, width = micrograph.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    rows, cols = rows.clip(0, height - 1), cols.clip(0, width - 1)
    if micrograph.valid is not None:
        inside &= micrograph.valid[rows, cols]
    z = ((micrograph.pixels[rows, cols].astype(float) - scale.centre) / scale.spread).clip(-_MOST, _MOST)
    return np.where(inside, z, 0.0), inside


def _mean(z: Floats, inside: NDArray[np.bool_], axis: int | tuple[int, ...]) -> Floats:
    mean: Floats = (z * inside).sum(axis=axis) / inside.sum(axis=axis)
    return mean


def _weighted(ring: Floats, area: Floats) -> Floats:
    mean: Floats = (np.nan_to_num(ring) * area).sum(axis=1) / area.sum(axis=1)
    return mean
