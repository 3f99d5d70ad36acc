"""The tree of objects in a Gwyddion file.

Written here because both readers at hand hang on damaged files (gwyfile and AFMReader search for the end of a string
without an end), and AFMReader turns the shape of images that are not square.

Source: Gwyddion user guide, "Gwyddion Native Data Files".
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from epistem.core import ReadError

_SINGLE = {"b": "?", "c": "c", "i": "<i", "q": "<q", "d": "<d"}
_ARRAYS = {"C": "S1", "I": "<i4", "Q": "<i8", "D": "<f8"}
_DEEPEST = 32


def parse_gwy(data: bytes) -> dict[str, Any]:
    """Components of the outermost object: numbers, strings, arrays, and dictionaries for objects.

    Raises:
        ReadError: a length that leaves its object.
    """
    found, end = _object(data, 4, len(data), 0)
    if end > len(data):
        raise ReadError("the Gwyddion file ends amid its data; it was cut short")
    return found


def _object(data: bytes, at: int, end: int, depth: int) -> tuple[dict[str, Any], int]:
    _, at = _string(data, at, end)
    at, size = _count(data, at, end)
    stop = at + size
    if stop > end or depth > _DEEPEST:
        raise ReadError(f"a Gwyddion object of {size} bytes does not fit; the file was cut or damaged")
    found: dict[str, Any] = {}
    while at < stop:
        name, at = _string(data, at, stop)
        kind = chr(data[at]) if at < stop else ""
        found[name], at = _value(data, kind, at + 1, stop, depth)
    return found, stop


def _value(data: bytes, kind: str, at: int, end: int, depth: int) -> tuple[Any, int]:
    if kind == "o":
        return _object(data, at, end, depth + 1)
    if kind == "s":
        return _string(data, at, end)
    if kind in _SINGLE:
        form = _SINGLE[kind]
        _must_fit(at + struct.calcsize(form), end)
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if kind in _ARRAYS:
        at, count = _count(data, at, end)
        dtype = np.dtype(_ARRAYS[kind])
        _must_fit(at + count * dtype.itemsize, end)
        return np.frombuffer(data, dtype, count, at), at + count * dtype.itemsize
    if kind in ("S", "O"):
        at, count = _count(data, at, end)
        _must_fit(at + count, end)  # each takes a byte at least
        several = []
        for _ in range(count):
            one, at = _value(data, kind.lower(), at, end, depth)
            several.append(one)
        return several, at
    raise ReadError(f"a Gwyddion component is of type {kind!r}, which is none; the file is damaged")


def _string(data: bytes, at: int, end: int) -> tuple[str, int]:
    stop = data.find(b"\x00", at, end)
    if stop < 0:
        raise ReadError("a Gwyddion string has no end; the file was cut or damaged")
    return data[at:stop].decode("utf-8", "replace"), stop + 1


def _count(data: bytes, at: int, end: int) -> tuple[int, int]:
    _must_fit(at + 4, end)
    return at + 4, int(struct.unpack_from("<I", data, at)[0])


def _must_fit(at: int, end: int) -> None:
    if at > end:
        raise ReadError("a Gwyddion component reaches beyond its object; the file was cut or damaged")
