"""Scanning probe files: Gwyddion (gwy), Igor and Asylum Research (ibw), Bruker Nanoscope (spm, 000–999).

Tested on files that the tests write; no instrument's own gwy, ibw or spm was at hand. Heights stay in the unit of
the file (see `metadata`); only the pixel size is turned into nm.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import Context, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging.border import as_recorded, check_declared, guarded, library
from epistem.imaging.gwy import parse_gwy
from epistem.imaging.plain import number, plain
from epistem.imaging.together import together
from epistem.imaging.units import UNKNOWN, PixelSize, Spacing, pixel_size

_END = b"\\*File list end"


@guarded
def read_gwyddion(path: Path) -> Micrograph | MicrographSeries:
    """Gwyddion's own files: each data field is a channel."""
    container = parse_gwy(path.read_bytes())
    keys = sorted(
        (key for key in container if re.fullmatch(r"/\d+/data", key)), key=lambda key: int(key.split("/")[1])
    )
    if not keys:
        raise NotAnImage("the Gwyddion file holds no image channel (curves only?)")
    images = [_gwyddion_channel(container, key, path.name) for key in keys]
    return together(images, "channel", [str(image.context.detector) for image in images], path.name)


def _gwyddion_channel(container: dict[str, Any], key: str, name: str) -> Micrograph:
    field = container[key]
    rows, cols = int(field["yres"]), int(field["xres"])
    check_declared("a Gwyddion channel", (rows, cols), 8)
    lateral, height = (_gwyddion_unit(field, which) for which in ("si_unit_xy", "si_unit_z"))
    size = pixel_size(
        Spacing(float(field.get("yreal", 0)) / rows, lateral),
        Spacing(float(field.get("xreal", 0)) / cols, lateral),
        "Gwyddion xreal and yreal",
    )
    title = str(container.get(f"{key}/title", f"channel {key.split('/')[1]}"))
    details = {"unit of the values": height, "meta": dict(container.get(key.replace("data", "meta"), {}))}
    return _image(np.asarray(field["data"]).reshape(rows, cols), size, title, plain(details), name)


def _gwyddion_unit(field: Any, which: str) -> str:
    unit = field.get(which)
    return str(unit.get("unitstr", "")) if isinstance(unit, dict) else ""


@guarded
def read_igor(path: Path) -> Micrograph | MicrographSeries:
    """Igor binary waves as Asylum Research writes them: layers are channels. Needs the extra `afm`."""
    binarywave = library("igor2.binarywave", "afm")
    _check_igor(path)
    wave = binarywave.load(str(path))["wave"]
    data = np.asarray(wave["wData"])
    if data.ndim not in (2, 3) or data.dtype.kind not in "buif":
        raise NotAnImage(f"the wave is {data.dtype} of shape {data.shape}; an image is (x, y) or (x, y, channel)")
    check_declared("the wave", data.shape, data.dtype.itemsize)
    note = _igor_note(wave.get("note", b""))
    size = _igor_pixel_size(wave, note, data.shape)
    layers = data[:, :, None] if data.ndim == 2 else data
    titles = _igor_titles(wave, layers.shape[2])
    # Igor's first index is x, and its y grows upwards.
    images = [_image(layers[:, ::-1, i].T, size, title, {"note": note}, path.name) for i, title in enumerate(titles)]
    return together(images, "channel", titles, path.name)


def _check_igor(path: Path) -> None:
    """igor2 allocates what the header asks for, so its lengths must lie in the file."""
    with path.open("rb") as file:
        start = file.read(64)
    order = "<" if start[:1] != b"\x00" else ">"
    version = int(np.frombuffer(start, order + "i2", 1)[0])
    where = {1: (2, 1), 2: (2, 3), 3: (2, 4), 5: (4, 15)}.get(version)
    if where is None:
        raise ReadError(f"an Igor wave is of version 1, 2, 3 or 5, not {version}; is it one?")
    at, count = where
    lengths = np.frombuffer(start, order + "i4", count, at).astype(np.int64)
    if lengths.min() < 0 or lengths.sum() > path.stat().st_size:
        raise ReadError(
            f"the Igor header asks for {lengths.sum()} bytes, the file has {path.stat().st_size}: cut short?"
        )


def _igor_note(note: Any) -> dict[str, str]:
    text = bytes(note).decode("latin-1") if isinstance(note, (bytes, bytearray)) else str(note)
    pairs = (line.partition(":") for line in re.split(r"[\r\n]+", text))
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}


def _igor_pixel_size(wave: Any, note: dict[str, str], shape: tuple[int, ...]) -> PixelSize:
    header = wave["wave_header"]
    fast, slow = number(note.get("FastScanSize")), number(note.get("SlowScanSize"))
    if fast and slow:
        return pixel_size(Spacing(slow / shape[1], "m"), Spacing(fast / shape[0], "m"), "Asylum FastScanSize")
    if "sfA" not in header or "dimUnits" not in header:
        return UNKNOWN
    units = ["".join(c.decode("latin-1") for c in np.ravel(row)).strip("\x00 ") for row in header["dimUnits"][:2]]
    scales = [abs(float(value)) for value in header["sfA"][:2]]
    return pixel_size(Spacing(scales[1], units[1]), Spacing(scales[0], units[0]), "Igor wave scaling")


def _igor_titles(wave: Any, count: int) -> list[str]:
    labels = wave.get("labels") or []
    words = [bytes(label).decode("latin-1") for label in (labels[2] if len(labels) > 2 else [])]
    words = words[1:] if len(words) == count + 1 else words
    return words if len(words) == count and all(words) else [f"layer {i}" for i in range(count)]


@guarded
def read_nanoscope(path: Path) -> Micrograph | MicrographSeries:
    """Bruker (Veeco, Digital Instruments) Nanoscope files: each image list is a channel."""
    data = path.read_bytes()
    end = data.find(_END)
    if end < 0:
        raise ReadError("a Nanoscope header without its end; cut short?")
    sections = _nanoscope_sections(data[:end].decode("latin-1"))
    lists = [entries for title, entries in sections if title == "Ciao image list"]
    if not lists:
        raise NotAnImage("the Nanoscope file holds no image (force curves only?)")
    images = [_nanoscope_image(data, entries, path.name) for entries in lists]
    return together(images, "channel", [str(image.context.detector) for image in images], path.name)


def _nanoscope_sections(header: str) -> list[tuple[str, dict[str, str]]]:
    sections: list[tuple[str, dict[str, str]]] = []
    for line in header.splitlines():
        text = line.strip().lstrip("\\")
        if text.startswith("*"):
            sections.append((text[1:].strip(), {}))
        elif sections and ": " in text:
            key, _, value = text.partition(": ")
            sections[-1][1].setdefault(key.strip(), value.strip())
    return sections


def _nanoscope_image(data: bytes, entries: dict[str, str], name: str) -> Micrograph:
    rows, cols = int(entries["Number of lines"]), int(entries["Samps/line"])
    start, length = int(entries["Data offset"]), int(entries["Data length"])
    check_declared("a Nanoscope channel", (rows, cols), 8)
    # "Bytes/pixel" says 2 even where newer versions write 4; the length does not lie.
    width = length // (rows * cols)
    if width not in (2, 4, 8) or start < 0 or start + length > len(data):
        raise ReadError(f"a channel of {rows} × {cols} in {length} bytes from {start} does not fit the file")
    pixels = np.frombuffer(data, f"<i{width}", prod((rows, cols)), start).reshape(rows, cols)
    words = re.findall(r'"([^"]*)"', entries.get("@2:Image Data", entries.get("@3:Image Data", "")))
    # The first line of the file is the lowest of the image.
    return _image(pixels[::-1], _nanoscope_size(entries, rows, cols), words[0] if words else "image", entries, name)


def _nanoscope_size(entries: dict[str, str], rows: int, cols: int) -> PixelSize:
    parts = entries.get("Scan Size", entries.get("Scan size", "")).replace("~m", "µm").split()
    lengths = [value for part in parts if (value := number(part)) is not None]
    if not lengths or number(parts[-1]) is not None:
        return UNKNOWN
    across, down = lengths[0], lengths[-1]
    if rows != cols and abs(down / rows - across / cols) > 1e-3 * across / cols:
        # Versions differ in whether the second length is that of the recorded lines or of a full square scan.
        return PixelSize(
            None, f"pixel size unknown: Scan Size {' '.join(parts)} for {rows} lines of {cols} is ambiguous"
        )
    return pixel_size(Spacing(down / rows, parts[-1]), Spacing(across / cols, parts[-1]), "Nanoscope Scan Size")


def _image(pixels: np.ndarray[Any, Any], size: PixelSize, title: str, metadata: Any, name: str) -> Micrograph:
    return Micrograph(
        as_recorded(pixels),
        calibration=size.calibration,
        context=Context(modality="AFM", detector=title),
        metadata=metadata,
        name=name,
        warnings=(size.reason,) if size.reason else (),
    )
