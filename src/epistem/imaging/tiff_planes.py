"""Planes of a large TIFF stack, one by one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from epistem.imaging.border import AT_ONCE


def is_later(series: Any) -> bool:
    """Whether its planes are read one by one: a large stack of grey pages, each of them a plane in this file."""
    page = series.keyframe
    grey = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    n = prod(series.shape[:-2])
    if series.is_multifile:
        return False
    if not (grey and series.axes[-2:] == "YX" and page.shape == series.shape[-2:] and series.dtype.kind in "buif"):
        return False
    if n < 2 or n * prod(page.shape) * series.dtype.itemsize <= AT_ONCE:
        return False
    if series.dataoffset is not None:
        return True
    pages = list(series.pages)
    return len(pages) == n and all(
        one is not None and isinstance(one.index, int) and one.parent is page.parent for one in pages
    )


def stored(path: Path, series: Any) -> Callable[[int], NDArray[Any]]:
    """Planes of a series by their place, each read from the file by itself."""
    page, first = series.keyframe, series.dataoffset
    shape, dtype = page.shape, page.dtype.newbyteorder(page.parent.byteorder)

    def piece(place: int) -> NDArray[Any]:
        start = first + place * prod(shape) * dtype.itemsize
        return np.fromfile(path, dtype, count=prod(shape), offset=start).reshape(shape)

    if first is not None:
        return piece
    places = [one.index for one in series.pages]

    def whole(place: int) -> NDArray[Any]:
        with tifffile.TiffFile(path) as tif:
            return np.asarray(tif.pages[places[place]].asarray())

    return whole
