"""Metadata as plain, nested, JSON-able dictionaries."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

LONGEST_ARRAY = 256
"""Arrays with more values (thumbnails, colour tables, strip offsets) are named by their shape only."""


def plain(value: Any) -> Any:
    """The value in dictionaries, lists, strings, numbers, booleans and None.

    >>> plain({"gain": np.float32(2), 1: (b"ok", np.zeros((600, 2)))})
    {'gain': 2.0, '1': ['ok', 'array of float64, 600 × 2']}
    """
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\x00") if len(value) <= 16384 else f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(np.asarray(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        items = list(value)
        return f"{len(items)} values" if len(items) > LONGEST_ARRAY * 16 else [plain(item) for item in items]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    return str(value)


def look_up(tree: Any, path: str) -> Any:
    """What stands at "a.b.c" in nested dictionaries, or None.

    A key may itself hold dots, and blanks count as underscores.

    >>> look_up({"Beam": {"HV 1": 3}}, "Beam.HV_1")
    3
    """
    if not isinstance(tree, Mapping):
        return None
    path = path.replace(" ", "_")
    for key, inner in tree.items():
        name = str(key).replace(" ", "_")
        if name == path:
            return inner
        if path.startswith(name + "."):
            found = look_up(inner, path[len(name) + 1 :])
            if found is not None:
                return found
    return None


def number(value: Any) -> float | None:
    """The value as a finite number, or None.

    >>> number("2e3"), number("n/a"), number(None)
    (2000.0, None, None)
    """
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if np.isfinite(result) else None


def _plain_array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.names:
        return {name: plain(array[name]) for name in array.dtype.names}
    if array.size > LONGEST_ARRAY:
        return f"array of {array.dtype}, {' × '.join(map(str, array.shape))}"
    if array.dtype.kind == "c":
        return str(array.tolist())
    return plain(array.tolist())
