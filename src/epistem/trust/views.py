"""What an encoder is shown of an image and its mask, whole, tile by tile or object by object.

========  ==========================================================================================================
image     the grey values
mask      1 inside, 0 outside
overlay   the image with the mask's outline drawn in white
boundary  signed distance to the mask's outline [px], positive inside, at most 32
========  ==========================================================================================================

`morphology` looks at both together: what the mask's objects are like, and whether the image changes where they end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from epistem.core import SettingsError, ShapeError, UnknownName
from epistem.trust.descriptors import robust

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FARTHEST_PX = 32
_WHITE = 4.0  # spreads above the median
_REACH_PX = 8  # to which the image is looked at on both sides of an outline
_CROSS = ndimage.generate_binary_structure(2, 1)
_SHAPE = (
    "share", "objects_per_Mpx", "log_area_px", "log_area_spread", "log_smallest_px", "log_largest_px",
    "border_per_px", "holes_per_Mpx", "width_median_px", "width_p90_px", "thin_share", "compactness",
    "compactness_low", "jagged",
)  # fmt: skip
_GREY = ("contrast", "spread_inside", "spread_outside", "tail_inside", "tail_outside")
MORPHOLOGY = (
    *_SHAPE, *_GREY, *(f"grey_{d:+d}px" for d in range(-_REACH_PX, _REACH_PX)),
    *(f"slope_{d:+d}px" for d in range(-_REACH_PX, _REACH_PX)),
    *(f"slope_spread_{d:+d}px" for d in (-2, -1, 0, 1)),
)  # fmt: skip


def view(name: str, image: ArrayLike, mask: ArrayLike) -> Floats:
    """An image and its mask as one grey image, (H, W).

    Raises:
        UnknownName: no such view.
        ShapeError: image and mask are not two (H, W) of one size.
    """
    if name not in VIEWS:
        raise UnknownName(f"there is no view {name!r}; there are {', '.join(VIEWS)}")
    return VIEWS[name](*_pair(image, mask))


def signed_distance(mask: Bools) -> Floats:
    """Distance of each pixel to the mask's outline [px], (H, W), positive inside; ±32 at most, also where none is.

    The outline runs between the pixels: the first ones on both sides are half a pixel away.
    """
    inside, outside = (np.full(mask.shape, float(FARTHEST_PX)) for _ in range(2))
    if mask.any() and not mask.all():
        inside, outside = (ndimage.distance_transform_edt(one) - 0.5 for one in (mask, ~mask))
    signed: Floats = np.where(mask, inside, -outside).clip(-FARTHEST_PX, FARTHEST_PX)
    return signed


def _overlay(image: Floats, mask: Bools) -> Floats:
    drawn = robust(image)
    drawn[mask & ~ndimage.binary_erosion(mask, border_value=1)] = _WHITE
    return drawn


VIEWS: Mapping[str, Callable[[Floats, Bools], Floats]] = {
    "image": lambda image, mask: image.copy(),
    "mask": lambda image, mask: mask.astype(float),
    "overlay": _overlay,
    "boundary": lambda image, mask: signed_distance(mask),
}


def tiles(image: NDArray[Any], px: int, *, stride: int | None = None) -> list[NDArray[Any]]:
    """Windows of px × px, row by row; what is left at the lower and right border is not looked at.

    Raises:
        SettingsError: a size or stride under 1.
    """
    step = px if stride is None else stride
    if px < 1 or step < 1:
        raise SettingsError(f"tiles have a size and a stride of 1 px or more; got {px} and {step}")
    rows, cols = (range(0, n - px + 1, step) for n in image.shape)
    return [image[row : row + px, col : col + px] for row in rows for col in cols]


def object_tiles(
    image: NDArray[Any], boxes: Sequence[Sequence[float]] | NDArray[Any], px: int = 64, *, around: float = 2.0
) -> list[NDArray[np.float64]]:
    """One px × px view an object, `around` times as wide as its box; beyond the border the image is mirrored.

    Args:
        image: (H, W).
        boxes: (n, 4) row0, col0, row1, col1 [px].
        px: side of what comes out: objects of any size are shown alike.
        around: side of the square looked at, over the longer side of the box.
    """
    out, grey = [], np.asarray(image, float)
    for row0, col0, row1, col1 in np.asarray(boxes, float).reshape(-1, 4):
        half = around * max(row1 - row0, col1 - col0, 2.0) / 2
        at = (np.arange(px) + 0.5) / px * 2 * half - half - 0.5
        rows, cols = np.meshgrid((row0 + row1) / 2 + at, (col0 + col1) / 2 + at, indexing="ij")
        out.append(ndimage.map_coordinates(grey, [rows, cols], order=1, mode="reflect"))
    return out


def morphology(image: ArrayLike, mask: ArrayLike) -> Floats:
    """Shapes of a mask's objects, and how the image changes across their outline; (D,) in the order of MORPHOLOGY.

    Without an outline (an empty or a full mask) what is read there is 0.

    Raises:
        ShapeError: image and mask are not two (H, W) of one size.
    """
    grey, inside = _pair(image, mask)
    z, away = robust(grey), signed_distance(inside)
    return np.concatenate([_shapes(inside), _greys(z, inside), _across(z, away)])


def _shapes(mask: Bools) -> Floats:
    """Of the mask alone."""
    mpx = mask.size / 1e6
    labels, n = ndimage.label(mask, _CROSS)
    holes = ndimage.label(~mask, _CROSS)[1]
    outline = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    if not n:
        return np.array([0, 0, 0, 0, 0, 0, 0, holes / mpx, 0, 0, 0, 0, 0, 0], float)
    area = np.bincount(labels.ravel())[1:].astype(float)
    width = ndimage.distance_transform_edt(mask)
    thickest = ndimage.maximum(width, labels, np.arange(1, n + 1))
    ridge = width[(width >= ndimage.maximum_filter(width, 3)) & mask]
    compact = np.pi * thickest**2 / area
    smooth = ndimage.gaussian_filter(mask.astype(float), 2) > 0.5
    log = np.log(area)
    return np.array([
        mask.mean(), n / mpx, log.mean(), log.std(), log.min(), log.max(), outline / mask.size, holes / mpx,
        np.median(ridge), np.quantile(ridge, 0.9), (ridge < 2).mean(),
        np.average(compact, weights=area), compact.min(), (smooth != mask).sum() / max(outline, 1),
    ])  # fmt: skip


def _greys(z: Floats, mask: Bools) -> Floats:
    """Of the grey values on both sides."""
    if mask.all() or not mask.any():
        return np.zeros(len(_GREY))
    ours, theirs = z[mask], z[~mask]
    tails = [np.log1p(((one - one.mean()) ** 4).mean() / (one.var() ** 2 + 1e-6)) for one in (ours, theirs)]
    return np.array([ours.mean() - theirs.mean(), ours.std(), theirs.std(), *tails])


def _across(z: Floats, away: Floats) -> Floats:
    """Mean grey value and slope along the outline's normal, by distance; and how much the slope varies beside it."""
    slope = ndimage.gaussian_gradient_magnitude(z, 1.0)
    bins = np.floor(away).astype(int) + _REACH_PX
    near = (bins >= 0) & (bins < 2 * _REACH_PX)
    at, n = bins[near], np.maximum(np.bincount(bins[near], minlength=2 * _REACH_PX), 1)
    grey, steep, steep2 = (np.bincount(at, one[near], 2 * _REACH_PX) / n for one in (z, slope, slope * slope))
    spread = np.sqrt(np.maximum(steep2 - steep**2, 0))
    return np.concatenate([grey, steep, spread[_REACH_PX - 2 : _REACH_PX + 2]])


def _pair(image: ArrayLike, mask: ArrayLike) -> tuple[Floats, Bools]:
    grey, inside = np.asarray(image, float), np.asarray(mask, bool)
    if grey.ndim != 2 or grey.shape != inside.shape:
        raise ShapeError(f"wanted an image and a mask of one size (H, W); got {grey.shape} and {inside.shape}")
    return grey, inside
