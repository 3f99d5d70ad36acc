"""Grey values as they are changed: floats with no gaps on the way in, the recorded type on the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.errors import SettingsError
from epistem.core.micrograph import Micrograph

Grey = NDArray[np.floating[Any]]


def as_shown(micrograph: Micrograph) -> tuple[Grey, float, float]:
    """The image from 0 to 1 over its display range, with the range's low end and its span in grey values.

    8-bit images are shown as they are; others from the first to the last thousandth, as a microscope's software does.
    """
    image = whole_pixels(micrograph)
    low, high = 0.0, 255.0
    if micrograph.pixels.dtype != np.uint8:
        low, high = (float(end) for end in np.percentile(valid_pixels(micrograph, image), [0.1, 99.9]))
    span = high - low or 1.0
    return np.clip((image - low) / span, 0, 1), low, span


def working_type(micrograph: Micrograph) -> np.dtype[Any]:
    return np.result_type(micrograph.pixels.dtype, np.float32)


def whole_pixels(micrograph: Micrograph) -> Grey:
    """A float copy of the pixels, each that is no image filled from the nearest that is."""
    image = micrograph.pixels.astype(working_type(micrograph))
    valid = micrograph.valid
    if valid is None or valid.all():
        return image
    if not valid.any():
        return np.zeros_like(image)
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: Grey = image[tuple(nearest)]
    return filled


def valid_pixels(micrograph: Micrograph, image: Grey) -> Grey:
    return image if micrograph.valid is None or not micrograph.valid.any() else image[micrograph.valid]


def as_recorded(image: Grey, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "b":
        return image >= 0.5
    if dtype.kind == "f":
        return np.clip(image, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    return np.clip(np.rint(image), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def need(met: bool, wanted: str, came: object) -> None:
    if not met:
        raise SettingsError(f"{wanted}, not {came!r}")
