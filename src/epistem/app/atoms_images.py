"""The one or two images of a field, as `epistem atoms` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epistem.core import Micrograph, SettingsError, ShapeError
from epistem.imaging import read

Image = NDArray[np.float32]


def read_field(paths: Sequence[Path], pixel_size: str | None = None) -> list[Micrograph]:
    """The images of one field: of one file with one image or two, or of two files.

    Args:
        paths: one file or two.
        pixel_size: overrules the files.

    Raises:
        ReadError: a file that cannot be read.
        SettingsError: more than two images.
        ShapeError: images of different shape.
    """
    found: list[Micrograph] = []
    for path in paths:
        one = read(path, pixel_size)
        if isinstance(one, Micrograph):
            found.append(one)
        else:
            if len(one) > 2:
                raise SettingsError(
                    f"{path.name} holds {len(one)} images along {one.axis}; wanted the image of one detector, or of "
                    "two that recorded at once"
                )
            found.extend(one)
    if len(found) > 2:
        raise SettingsError(
            f"these are {len(found)} images; wanted the image of one detector, or of two that recorded at once"
        )
    shapes = dict.fromkeys(f"{image.shape[0]} × {image.shape[1]} px in {image.name}" for image in found)
    if len({image.shape for image in found}) > 1:
        raise ShapeError(f"two detectors see one field with the same pixels; these are {' and '.join(shapes)}")
    return found


def stacked(images: Sequence[Micrograph]) -> tuple[list[Image], NDArray[np.bool_] | None]:
    """The pixels for `atoms`, and which of them are image: in data strips and the like stands the image's mean."""
    masks = [image.valid for image in images if image.valid is not None and not image.valid.all()]
    if not masks:
        return [np.asarray(image.pixels, np.float32) for image in images], None
    valid = np.logical_and.reduce(masks)
    filled = []
    for image in images:
        pixels = np.asarray(image.pixels, np.float32).copy()
        pixels[~valid] = pixels[valid].mean() if valid.any() else 0.0
        filled.append(pixels)
    return filled, valid
