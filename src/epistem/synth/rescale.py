"""An image with more pixels or fewer, and its objects with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.instances import Instances, Mask, whole_boxes
from epistem.core.micrograph import Micrograph
from epistem.synth.pixels import Grey, as_recorded, need, working_type


def rescale(micrograph: Micrograph, factor: float) -> Micrograph:
    """The image with `factor` times as many pixels a side: means of the old ones, or linear between them.

    What is left at the bottom and at the right of whole new pixels is cut off. A new pixel is image if all that
    it is made of is. `rescale_truth` follows.

    Raises:
        SettingsError: a factor that is not above 0, or leaves no pixel.
    """
    need(0 < factor < np.inf, "a factor is a number above 0", factor)
    if factor == 1:
        return micrograph
    shape = _rescaled_shape(micrograph.shape, factor)
    finite = np.isfinite(micrograph.pixels)
    image = np.where(finite, micrograph.pixels, 0).astype(working_type(micrograph))
    valid = None
    if micrograph.valid is not None:
        valid = _resample(micrograph.valid.astype(float), shape, factor) > 1 - 1e-6
    scale = micrograph.calibration
    if scale is not None:
        detail = "; ".join(filter(None, (scale.detail, f"rescaled × {factor:.4g}")))
        scale = replace(scale, row_nm=scale.row_nm / factor, col_nm=scale.col_nm / factor, detail=detail)
    return replace(
        micrograph,
        pixels=as_recorded(_resample(image, shape, factor), micrograph.pixels.dtype),
        valid=valid,
        calibration=scale,
        context=replace(micrograph.context, magnification=None),  # it belonged to the old pixels
        metadata={},
        warnings=(*micrograph.warnings, f"degraded on purpose: rescaled × {factor:.4g}"),
    )


def rescale_truth(truth: Instances, factor: float) -> Instances:
    """The objects as they lie in the image after `rescale`.

    Masks are interpolated and cut at a half; objects without a pixel are gone. Columns in px and px2 follow, others
    stay.
    """
    if factor == 1:
        return truth
    shape = _rescaled_shape(truth.shape, factor)
    # Rounded: 10 · 0.3 is a little more than 3, and would touch a fourth pixel.
    boxes = np.minimum(np.round(truth.boxes * factor, 9), np.tile(shape, 2))
    kept = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    crops = None
    if truth.crops is not None:
        boxed = zip(truth.masks(), whole_boxes(boxes).tolist(), strict=True)
        every = [_rescaled_crop(mask, box, truth.shape, factor) for mask, box in boxed]
        kept &= np.array([crop.any() for crop in every], bool)
        crops = tuple(crop for crop, stays in zip(every, kept, strict=True) if stays)
    there = truth[kept]
    powers = {"px": 1, "px2": 2}
    columns = {
        name: column * factor ** powers[unit] if (unit := name.rpartition("_")[2]) in powers else column
        for name, column in there.columns.items()
    }
    return replace(there, shape=shape, boxes=boxes[kept], crops=crops, columns=columns)


def _rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    rows, cols = (math.floor(n * factor + 1e-9) for n in shape)
    need(min(rows, cols) > 0, f"wanted a factor that leaves an image of {shape} at least one pixel", factor)
    return rows, cols


def _rescaled_crop(mask: Mask, box: list[int], old: tuple[int, int], factor: float) -> NDArray[np.bool_]:
    down, across = (
        _linear(range(low, high), side, n, factor)
        for low, high, side, n in zip(box[:2], box[2:], (mask.rows, mask.cols), old, strict=True)
    )
    inside: NDArray[np.bool_] = down @ mask.crop @ across.T >= 0.5
    return inside


def _linear(new: range, old: slice, n: int, factor: float) -> Grey:
    """Weights (new, old) of old pixels in new ones, by their distance; n is how many old ones there are in all.

    Over two new pixels, not one: of two by two old ones halves are frequent, and either way to round them makes
    discs of 4 to 12 px a half 6 to 8 % too large or too small. This one keeps them to 0.4 %.
    """
    reach = max(1, 1 / factor)
    there = np.arange(max(0, int(new.start / factor - reach)), min(n, math.ceil(new.stop / factor + reach)))
    weights = np.maximum(1 - np.abs((np.array(new)[:, None] + 0.5) / factor - (there + 0.5)) / reach, 0)
    shares: Grey = weights / weights.sum(axis=1, keepdims=True)
    return shares[:, (there >= old.start) & (there < old.stop)]


def _resample(image: Grey, shape: tuple[int, int], factor: float) -> Grey:
    if factor < 1:
        return _pooled(_pooled(image, shape[0], factor).T, shape[1], factor).T
    # The first new centre lies at 0.5/factor, counted from the border, where the first old one lies at 0.5.
    zoomed: Grey = ndimage.affine_transform(
        image, [1 / factor] * 2, 0.5 / factor - 0.5, output_shape=shape, order=1, mode="nearest"
    )
    return zoomed


def _pooled(image: Grey, rows: int, factor: float) -> Grey:
    """Mean over 1/factor rows, which need not be whole: differences of the running sum."""
    edges = np.minimum(np.arange(rows + 1) / factor, len(image))
    row = np.minimum(edges.astype(int), len(image) - 1)
    before = np.cumsum(image, axis=0, dtype=np.float64) - image
    pooled: Grey = np.diff(before[row] + (edges - row)[:, None] * image[row], axis=0) * factor
    return pooled
