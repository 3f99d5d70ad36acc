"""TIFF by tifffile: pages and stacks as recorded, pixel size from the vendor's own tags."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from epistem.core import Axis, Context, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging import sem_tags
from epistem.imaging.border import MAX_STACK, as_recorded, check_declared, guarded
from epistem.imaging.colour import channels, from_colour
from epistem.imaging.plain import plain
from epistem.imaging.sem_tags import Facts
from epistem.imaging.sidecar import beside
from epistem.imaging.tiff_planes import is_later, stored
from epistem.imaging.together import labels_of, together, unread, with_warnings
from epistem.imaging.units import PixelSize

_AXES: dict[str, Axis] = {"T": "t", "Z": "z", "C": "channel"}
_STREAK = "a streak camera's axes are wavelength and time: lengths in nm have no meaning here"


@guarded
def read_tiff(path: Path) -> Micrograph | MicrographSeries:
    """One image, or a series over the pages, z, t or channels that the file holds; of a large grey stack each plane
    is read when it is asked for.
    """
    missing = _check_pages(path)
    with tifffile.TiffFile(path) as tif:
        every = list(tif.series)
        if not every:
            raise NotAnImage("a TIFF without a page")
        _check_stays_here(path, every)
        for series in every:
            limit = MAX_STACK if is_later(series) else None
            check_declared("the TIFF", series.shape, series.dtype.itemsize, path=path, limit=limit)
        at_once = [prod(series.shape) * series.dtype.itemsize for series in every if not is_later(series)]
        check_declared("the TIFF", (sum(at_once) or 1,), 1)
        kept, left = _worth_reading(every)
        parts = [_part(path, tif, series) for series in kept]
    labels = [f"{i + 1} ({series.shape[0]} × {series.shape[1]})" for i, series in enumerate(kept)]
    return with_warnings(together(parts, "channel", labels, path.name), [*missing, *left])


def _check_stays_here(path: Path, every: Sequence[tifffile.TiffPageSeries]) -> None:
    """An OME-TIFF names the files of its other pages: whoever sends one must not choose what else is read."""
    home = path.resolve().parent
    pages = (page for series in every for page in series.pages if page is not None)
    if any(Path(page.parent.filehandle.path).resolve().parent != home for page in pages):
        raise ReadError("the TIFF names pages in files of other folders, which are not read; put them beside it")


def _check_pages(path: Path) -> list[str]:
    """Follow the chain of pages once; a warning where it leaves the file.

    tifffile follows a chain that bites its tail up to 2³² times.

    Raises:
        ReadError: it comes back to a page.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\x00", b"\x00+")
        count_form, offset_form, entry = (order + "Q", order + "Q", 20) if big else (order + "H", order + "I", 12)
        at = _unpacked(offset_form, head[8:] if big else head[4:])
        seen: set[int] = set()
        while at:
            if at in seen:
                raise ReadError(
                    f"page {len(seen) + 1} of the TIFF points back to an earlier one; the file is damaged"
                )
            seen.add(at)
            file.seek(at)
            count = _unpacked(count_form, file.read(8))
            if count is not None:
                file.seek(at + struct.calcsize(count_form) + count * entry)
                at = _unpacked(offset_form, file.read(8))
            if count is None or at is None:
                return [f"page {len(seen)} lies beyond the end of the file: it was cut short, and pages are missing"]
    return []


def _unpacked(form: str, data: bytes) -> int | None:
    return int(struct.unpack_from(form, data)[0]) if len(data) >= struct.calcsize(form) else None


def _worth_reading(every: list[Any]) -> tuple[list[Any], list[str]]:
    """Without thumbnails, and without the colour preview of a grey image of the same size."""
    full = [series for series in every if not series.keyframe.is_reduced] or every
    grey = {_frame(series) for series in full if not _is_rgb(series)}
    kept = [series for series in full if not (_is_rgb(series) and _frame(series) in grey)]
    left = [f"left out: a {'preview' if one in full else 'reduced image'} of {_frame(one)}" for one in every]
    return kept, [words for words, one in zip(left, every, strict=True) if one not in kept]


def _frame(series: Any) -> tuple[int, int]:
    return int(series.keyframe.imagelength), int(series.keyframe.imagewidth)


def _is_rgb(series: Any) -> bool:
    return series.keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)


def _part(path: Path, tif: tifffile.TiffFile, series: Any) -> Micrograph | MicrographSeries:
    page = series.keyframe
    if series.dtype.kind not in "buif":
        raise NotAnImage(f"its values are {series.dtype}, a complex transform; an image of real numbers was wanted")
    like, order = _like(path, tif, page)
    axes, shape = _full_axes(series)
    if "Y" not in axes or "X" not in axes:
        raise NotAnImage(f"its axes are {axes}, without rows and columns")
    before = [i for i, letter in enumerate(axes) if letter not in "YXS"]
    lengths = tuple(shape[i] for i in before)
    letters = [axes[i] for i in before]
    axis = _AXES.get(letters[int(np.argmax(lengths))], order) if before else order
    words = [""] if len(before) == 1 else [f"{_AXES.get(letter, 'page')} " for letter in letters]
    label, n, is_imagej = labels_of(words, lengths), prod(lengths), bool(tif.is_imagej)
    if is_later(series):
        plane = stored(path, series)
        return unread(path, n, lambda place: _grey(plane(place), page, like), axis, label)
    data = series.asarray().reshape(shape)
    data = data.transpose([*before, *(axes.index(letter) for letter in "YXS" if letter in axes)])
    planes = data.reshape(-1, *data.shape[len(before) :])
    images = [_plane(plane, page, like, is_imagej) for plane in planes]
    if not before:
        return images[0]
    coloured = any(isinstance(image, MicrographSeries) for image in images)
    return together(images, "channel" if coloured else axis, [label(i) for i in range(n)], like.name)


def _full_axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """Axes of a series with Y, X and S even where they are one long, without other axes of length one."""
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n != 1 or a in "YX"]
    return "".join(a for a, _ in kept), tuple(int(n) for _, n in kept)


def _plane(
    plane: np.ndarray[Any, Any], page: Any, like: Micrograph, is_imagej: bool
) -> Micrograph | MicrographSeries:
    photometric = tifffile.PHOTOMETRIC
    if page.photometric == photometric.PALETTE and page.colormap is not None and plane.ndim == 2:
        if is_imagej:  # its tables are for display; the image is what they index
            note = "shown with a colour table; the grey values are as recorded"
            return replace(like, pixels=as_recorded(plane), warnings=(*like.warnings, note))
        # Eight-bit colours are stored as 16 bits, times 256 or times 257; the upper byte is right for both.
        table = page.colormap.T
        small = not (table % 257).any() or not (table % 256).any()
        return from_colour((table >> 8).astype(np.uint8)[plane] if small else table[plane], like)
    if plane.ndim == 2:
        return _grey(plane, page, like)
    samples = plane.shape[-1]
    if page.photometric in (photometric.RGB, photometric.YCBCR) and samples >= 3:
        return from_colour(plane[..., :3], like, alpha=_alpha(plane, page))
    if page.photometric in (photometric.MINISBLACK, photometric.MINISWHITE):
        return _samples(plane, page, like)
    raise NotAnImage(f"its colours are {page.photometric.name}; save it as grey or RGB")


def _grey(plane: np.ndarray[Any, Any], page: Any, like: Micrograph) -> Micrograph:
    notes = ("white is stored as 0 (MinIsWhite); the grey values are as recorded",)
    white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    return replace(like, pixels=as_recorded(plane), warnings=like.warnings + (notes if white else ()))


def _alpha(plane: np.ndarray[Any, Any], page: Any) -> np.ndarray[Any, Any] | None:
    extra = [int(one) for one in page.extrasamples]
    opaque = tifffile.EXTRASAMPLE.UNASSALPHA, tifffile.EXTRASAMPLE.ASSOCALPHA
    return plane[..., -1] if extra and extra[-1] in [int(one) for one in opaque] else None


def _samples(plane: np.ndarray[Any, Any], page: Any, like: Micrograph) -> Micrograph | MicrographSeries:
    """Several grey values a pixel: channels, the last of them perhaps transparency."""
    alpha = _alpha(plane, page)
    if alpha is not None and plane.shape[-1] == 2:
        return from_colour(np.repeat(plane[..., :1], 3, axis=-1), like, alpha=alpha)
    return channels(plane, like, [str(i) for i in range(plane.shape[-1])])


def _like(path: Path, tif: tifffile.TiffFile, page: Any) -> tuple[Micrograph, Axis]:
    """A stand-in that carries what all images of one part share, and what its pages are over."""
    tags = {tag.name: tag.value for tag in page.tags}
    facts, metadata = _facts(path, tif, page, tags)
    context = facts.context
    if context.acquired is None and isinstance(tags.get("DateTime"), str):
        context = replace(context, acquired=tags["DateTime"].strip("\x00 ") or None)
    order: Axis = "t" if str(tags.get("65005", "")).strip("\x00 ") in ("s", "ms", "min") else "z"
    like = Micrograph(
        np.zeros((1, 1), np.uint8),
        calibration=facts.size.calibration,
        context=context,
        metadata=plain(metadata),
        name=path.name,
        warnings=(facts.size.reason,) if facts.size.reason else (),
    )
    return like, order


def _facts(path: Path, tif: tifffile.TiffFile, page: Any, tags: dict[str, Any]) -> tuple[Facts, dict[str, Any]]:
    """The vendor's tags, and all metadata with what they hold."""
    resolution = _resolution(tags)
    width = int(page.imagewidth)
    facts = Facts()
    if page.is_fei:
        tags["FEI"] = tags.pop("FEI_HELIOS", None) or tags.pop("FEI_SFEG", None) or tif.fei_metadata or {}
        facts = sem_tags.fei(tags["FEI"])
    elif page.is_sem:
        facts = sem_tags.zeiss(tags.get("CZ_SEM") or {}, width)
    elif page.is_tvips:
        facts = sem_tags.tvips(tags.get("TVIPS") or {}, resolution)
    elif page.is_sis:
        tags["OlympusSIS"] = page.tags.get(33560, page.tags.get(33471)).value
        facts = sem_tags.olympus(tags["OlympusSIS"] if isinstance(tags["OlympusSIS"], Mapping) else {})
    elif str(tags.get("Make", "")).startswith("JEOL"):
        tags["TemReporter"] = _jeol_report(str(tags.get("ImageDescription", "")))
        inch = tags.get("ResolutionUnit") == tifffile.RESUNIT.INCH
        facts = sem_tags.jeol_sightx(tags["TemReporter"], resolution or (0.0, 0.0), inch)
    elif str(tags.get("Artist", "")).startswith("Copyright Hamamatsu"):
        facts = Facts(PixelSize(None, _STREAK), Context(detector="Hamamatsu streak camera"))
    elif "65009" in tags:
        facts = sem_tags.gatan(tags)
    elif tif.is_imagej:
        facts = sem_tags.imagej(tif.imagej_metadata or {}, resolution)
    elif tif.is_ome:
        facts = sem_tags.ome(tif.ome_metadata or "")
    else:
        facts, tags["TextFile"] = beside(path, width)
    return facts, tags


def _resolution(tags: Mapping[str, Any]) -> tuple[float, float] | None:
    """Pixels per unit, (rows, cols)."""
    found = []
    for name in ("YResolution", "XResolution"):
        over, under = tags.get(name) or (0, 1)
        if not over or not under:
            return None
        found.append(over / under)
    return found[0], found[1]


def _jeol_report(description: str) -> dict[str, Any]:
    """The TemReporter element as nested dictionaries; empty if there is none."""
    text = "".join(line.strip(" \r\n\t\x01\x00") for line in description.split("\n"))
    try:
        root = ElementTree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError:
        return {}
    tree = _nested(root)
    return tree if isinstance(tree, dict) else {}


def _nested(node: ElementTree.Element) -> Any:
    children = list(node)
    if not children:
        return node.get("Value", node.text)
    return {child.tag: _nested(child) for child in children}
