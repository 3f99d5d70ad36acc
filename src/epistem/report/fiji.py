"""An image as Fiji opens it: with its pixel size, and with the ROIs of `write_imagej_rois` where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Micrograph, RecordError
from epistem.report.export import write_tiff

_WIDER = {"i1": np.int16, "f2": np.float32, "i8": np.float64, "u8": np.float64}
"""Types that ImageJ 1 does not open → the next that holds their values."""


def write_micrograph(path: Path, micrograph: Micrograph) -> None:
    """The image as compressed TIFF, its grey values as recorded.

    Types that ImageJ does not open become the next that holds their values; bool becomes 0 and 1.

    Raises:
        RecordError: whole numbers that no type of ImageJ holds, or the file cannot be written.
    """
    write_tiff(path, _as_imagej(micrograph), micrograph.calibration)


def _as_imagej(micrograph: Micrograph) -> NDArray[Any]:
    pixels = micrograph.pixels
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    wider = _WIDER.get(pixels.dtype.str[1:])
    if wider is None:
        return pixels
    turned = pixels.astype(wider)
    if pixels.dtype.kind in "iu" and np.abs(turned).max() > 2.0**53:
        raise RecordError(f"{micrograph.name} holds whole numbers above 2^53, which no TIFF of ImageJ does; scale it")
    return turned
