"""Ways in which a mask goes wrong, planted on purpose: to see whether typicality would notice.

==========  ========================================================================================================
fragmented  objects are cut through by thin lines
merged      neighbours are joined by bridges
eroded      outlines lie too far inside
dilated     outlines lie too far outside
warped      outlines wander
dropped     objects are missing
==========  ========================================================================================================

Strength runs from 0, nothing, to 1, hardly like the mask any more. Lengths follow the objects' own thickness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from epistem.core import SettingsError, ShapeError, UnknownName

Bools = NDArray[np.bool_]
_CROSS = ndimage.generate_binary_structure(2, 1)
_WANDER = 1.5  # how far apart the bends of a warped outline are, in thicknesses


def plant(name: str, mask: ArrayLike, rng: np.random.Generator, strength: float = 0.5) -> Bools:
    """A mask that has failed that way, (H, W); an empty mask stays empty.

    Raises:
        UnknownName: no such failure.
        ShapeError: not one (H, W) mask.
        SettingsError: a strength outside 0 to 1.
    """
    if name not in FAILURES:
        raise UnknownName(f"there is no mask failure {name!r}; there are {', '.join(FAILURES)}")
    inside = np.asarray(mask, bool)
    if inside.ndim != 2:
        raise ShapeError(f"wanted a mask (H, W); got {inside.shape}")
    if not 0 <= strength <= 1:
        raise SettingsError(f"a failure's strength lies in 0 to 1, not {strength!r}")
    if not strength or not inside.any():
        return inside.copy()
    return FAILURES[name](inside, rng, strength)


def thickness_px(mask: Bools) -> float:
    """Twice the largest distance to the outline, median over the objects [px]."""
    labels, n = ndimage.label(mask, _CROSS)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return float(2 * np.median(ndimage.maximum(depth, labels, np.arange(1, n + 1))))


def _fragmented(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    n = ndimage.label(mask, _CROSS)[1]
    rows, cols = np.indices(mask.shape)
    # A connected network is one object: by area, so that it is cut as often as separate ones would be.
    thick = thickness_px(mask)
    cuts = max(1, round(strength * 2 * max(n, mask.sum() / max(thick, 2) ** 2 / 4)))
    wide = max(1.0, 0.08 * thick)
    out, inside = mask.copy(), np.argwhere(mask)
    for row, col in inside[rng.integers(len(inside), size=cuts)]:
        angle = rng.uniform(0, np.pi)
        across = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
        along = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
        out &= (np.abs(across) > wide) | (np.abs(along) > thick)
    return out


def _merged(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    labels, n = ndimage.label(mask, _CROSS)
    if n < 2:
        return mask.copy()
    centres = np.array(ndimage.center_of_mass(mask, labels, np.arange(1, n + 1)))
    _, near = spatial.cKDTree(centres).query(centres, 2)
    joined = rng.permutation(n)[: max(1, round(strength * n))]
    out, wide = mask.copy(), max(1.0, 0.25 * thickness_px(mask))
    rows, cols = np.indices(mask.shape)
    for i in joined:
        start, end = centres[i], centres[near[i, 1]]
        step = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
        along = (rows - start[0]) * step[0] + (cols - start[1]) * step[1]
        across = (rows - start[0]) * step[1] - (cols - start[1]) * step[0]
        out |= (np.abs(across) <= wide) & (along >= 0) & (along <= np.hypot(*(end - start)))
    return out


def _eroded(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    depth = ndimage.distance_transform_edt(mask)
    shrunk: Bools = depth > _shift(mask, strength)
    return shrunk


def _dilated(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    grown: Bools = ndimage.distance_transform_edt(~mask) <= _shift(mask, strength)
    return grown


def _shift(mask: Bools, strength: float) -> float:
    """By which an outline is moved [px]: a pixel or more, at most 0.4 of the thickness."""
    return max(1.0, 0.4 * strength * thickness_px(mask))


def _warped(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    thick = max(thickness_px(mask), 4.0)
    fields = [ndimage.gaussian_filter(rng.standard_normal(mask.shape), 0.25 * _WANDER * thick) for _ in range(2)]
    shifts = [0.5 * strength * thick * one / (one.std() or 1.0) for one in fields]
    at = np.indices(mask.shape) + np.array(shifts)
    moved: Bools = ndimage.map_coordinates(mask.astype(float), at, order=1, mode="reflect") > 0.5
    return moved


def _dropped(mask: Bools, rng: np.random.Generator, strength: float) -> Bools:
    labels, n = ndimage.label(mask, _CROSS)
    gone = 1 + rng.permutation(n)[: max(1, round(strength * n))]
    kept: Bools = mask & ~np.isin(labels, gone)
    return kept


FAILURES: Mapping[str, Callable[[Bools, np.random.Generator, float], Bools]] = {
    "fragmented": _fragmented, "merged": _merged, "eroded": _eroded, "dilated": _dilated, "warped": _warped,
    "dropped": _dropped,
}  # fmt: skip
