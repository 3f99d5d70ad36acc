"""Where foreign reading code is let in: quietly, within bounds, and failing only as a ReadError."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import DependencyMissing, EpistemError, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.core.errors import wants_memory

MAX_BYTES = 4 * 2**30
"""The most pixels [bytes] that one file may declare."""
MAX_STACK = 2**38
"""The most pixels [bytes] of a stack that is read plane by plane."""
AT_ONCE = 2**26
"""Up to so many [bytes] a stack is read at once, and its damage told at once."""
MAX_PLANE = 2**29
"""The most pixels of one image, 23,170². Its analysis takes about 15 bytes a pixel; a larger one is cut first."""
SMALL_BYTES, MOST_PACKED = 2**26, 20_000
"""Above 64 MiB, no file holds more than so many times its own size (deflate packs 1,032 : 1, LZW 2,700 : 1)."""

Reader = Callable[[Path], Micrograph | MicrographSeries]
_LOUD = ("rsciio", "tifffile", "PIL", "h5py", "zarr", "igor2", "pySPM")


def guarded(reader: Reader) -> Reader:
    """The same reader, silent, and raising nothing but EpistemErrors of one line that name the file."""

    @wraps(reader)
    def read_safely(path: Path) -> Micrograph | MicrographSeries:
        try:
            with _quiet():
                return reader(Path(path))
        except DependencyMissing:
            raise
        except EpistemError as error:
            kind = NotAnImage if isinstance(error, NotAnImage) else ReadError
            raise kind(f"{path}: {one_line(error)}") from error
        except Exception as error:  # damaged files make foreign readers raise anything
            if wants_memory(error):
                raise ReadError(
                    f"{path}: there is not enough memory to read it; take fewer --workers or a smaller image, or, "
                    "where it should be small, save it again from the software that made it"
                ) from error
            raise ReadError(
                f"{path}: wanted an image, but the file is damaged or of an unknown kind "
                f"({type(error).__name__}: {one_line(error)}); save it again from the software that made it"
            ) from error

    return read_safely


def check_declared(
    what: str, shape: tuple[int, ...], itemsize: int, *, path: Path | None = None, limit: int | None = None
) -> None:
    """Refuse an array before any of it is allocated.

    Args:
        what: it is called in the message.
        shape, itemsize: as the file declares them [bytes].
        path: the file, where its size bounds what it can hold.
        limit: MAX_STACK where it is read plane by plane, MAX_BYTES unless told [bytes].

    Raises:
        NotAnImage: it has no pixel.
        ReadError: it is larger than the limit, one image of it is larger than MAX_PLANE, or it is larger than
            anything that could be packed into the file.
    """
    count = prod(int(length) for length in shape)
    if count <= 0:
        raise NotAnImage(f"{what} has no pixels (shape {_times(shape)})")
    limit = MAX_BYTES if limit is None else limit
    if count * itemsize > limit:
        raise ReadError(
            f"{what} declares {_times(shape)} values, {count * itemsize / 2**30:.3g} GiB; "
            f"the limit is {limit / 2**30:g} GiB, so crop or bin it first"
        )
    if path is not None and count * itemsize > max(SMALL_BYTES, MOST_PACKED * path.stat().st_size):
        raise ReadError(f"{what} declares {_times(shape)} values in a file of {path.stat().st_size} bytes; damaged?")
    plane = prod(sorted(int(length) for length in shape)[-2:]) if len(shape) > 1 else 0
    if plane > MAX_PLANE:
        raise ReadError(
            f"{what} declares {_times(shape)} values; the limit is {MAX_PLANE / 1e6:.0f} million pixels an image, "
            "so crop or bin it first"
        )


def library(name: str, extra: str) -> ModuleType:
    """An optional library.

    Raises:
        DependencyMissing: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise DependencyMissing(f'this format needs {name}; pip install "epistem[{extra}]"') from error


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def as_recorded(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's byte order and in row order, which is what compiled code wants."""
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(str(int(length)) for length in shape)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # What matters of a reader's warnings is told in Micrograph.warnings, in our words.
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    nowhere = io.StringIO()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
