"""ImageJ selections: .roi and zips of them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import Mask, RecordError
from epistem.core.polygon import fill, fill_ellipse
from epistem.detect.adapters.content import Content, Item, Shape, need_shape, numbers

# Unpacked bytes of one selection; a polygon of a million points takes 12 MB.
LARGEST = 64 * 2**20


def read_rois(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """Polygons, freehand and traced outlines, rectangles, ovals and composites, as ImageJ fills them.

    Points, lines and angles have no area: they are left out, and a note counts them.

    Raises:
        RecordError: no ImageJ selections; no `shape`, which they cannot carry.
    """
    size = need_shape(shape, path.name, "an ImageJ selection")
    rois = [_parse(data, path.name) for data in _entries(path)]
    areas = [roi for roi in rois if _has_area(roi)]
    notes = (f"{len(rois) - len(areas)} selections without area are left out",) if len(areas) < len(rois) else ()
    return Content(size, [Item(_mask(roi, size, path.name)) for roi in areas], notes=notes)


def _entries(path: Path) -> list[bytes]:
    if path.suffix.lower() == ".roi":
        return [path.read_bytes()]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.lower().endswith(".roi")]
            if archive.namelist() and not members:
                raise RecordError(f"{path.name}: wanted a zip of ImageJ .roi files, found none in it")
            if large := [info.filename for info in members if info.file_size > LARGEST]:
                raise RecordError(
                    f"{path.name}: {large[0]} unpacks to over {LARGEST >> 20} MB, no ImageJ selection does"
                )
            return [archive.read(info) for info in members]
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise RecordError(f"{path.name}: wanted a zip of ImageJ selections, cannot unpack it ({error})") from error


def _parse(data: bytes, source: str) -> Any:
    import roifile

    try:
        return roifile.ImagejRoi.frombytes(data)
    except Exception as error:  # a damaged selection fails in roifile with any error
        raise RecordError(
            f"{source}: wanted ImageJ selections, one cannot be read ({error}); save them again"
        ) from error


def _has_area(roi: Any) -> bool:
    return roi.composite or roi.roitype.name in ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")


def _mask(roi: Any, shape: Shape, source: str) -> Mask | None:
    """Area selections count from pixel corners in ImageJ, so coordinates are taken as they are."""
    if not roi.composite and roi.roitype.name in ("RECT", "OVAL"):
        top, left, height, width = roi.top, roi.left, roi.bottom - roi.top, roi.right - roi.left
        if roi.subpixelrect:
            top, left, height, width = roi.yd, roi.xd, roi.heightd, roi.widthd
        if height <= 0 or width <= 0:
            return None
        if roi.roitype.name == "OVAL":
            return fill_ellipse((top + height / 2, left + width / 2), height, width, shape)
        corners = [(top, left), (top, left + width), (top + height, left + width), (top + height, left)]
        return fill([np.array(corners, float)], shape)
    try:
        rings = [numbers(np.ravel(ring)).reshape(-1, 2)[:, ::-1] for ring in roi.coordinates(multi=True)]
    except ValueError as error:
        raise RecordError(f"{source}: selection {roi.name!r} has no readable outline ({error})") from error
    return fill(rings, shape)
