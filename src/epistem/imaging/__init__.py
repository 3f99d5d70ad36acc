"""Files become images, on one grey scale, in tiles."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from epistem.imaging.read import READERS, read

if TYPE_CHECKING:
    from epistem.imaging.calibrate import parse_pixel_size, settle
    from epistem.imaging.normalize import normalize

__all__ = ["READERS", "normalize", "parse_pixel_size", "read", "settle"]

_LATER = {"normalize": "normalize", "parse_pixel_size": "calibrate", "settle": "calibrate"}


def __getattr__(name: str) -> Any:
    # scipy and scikit-image behind these would slow down `epistem --help`.
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
