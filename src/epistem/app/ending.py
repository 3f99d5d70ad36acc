"""What the system does to a command: a terminal without our signs, a reader that left, a full disk or memory."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from epistem.core.errors import wants_memory

_READER_LEFT = 1  # what typer ends with where a pipe is closed while it writes
_SYSTEM = {
    errno.ENOSPC: "the disk is full; make room and run the same command again",
    errno.EDQUOT: "the quota is used up; make room and run the same command again",
    errno.EROFS: "this disk cannot be written to; choose another folder",
    errno.EIO: "the disk answers with an error; look after it, then run the same command again",
    errno.EMFILE: "too many files are open; take fewer --workers, or have the system allow more open files",
    errno.ENFILE: "too many files are open on this machine; take fewer --workers",
    errno.ENOMEM: "there is not enough memory; take fewer --workers or smaller images",
}


def any_sign() -> None:
    """Signs that the terminal does not have are printed as JSON writes them, µ as \\u00b5: valid there too.

    So are the bytes of a file's name that are no text.
    """
    codecs.register_error("as_json", _as_json)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="as_json")


def _as_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


@contextmanager
def told_by_system() -> Iterator[None]:
    """A line and an exit code for what is no fault of epistem: no disk, no memory, nobody who reads."""
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        _let_go()
        sys.exit(_READER_LEFT)
    except OSError as error:
        if error.errno not in _SYSTEM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _end(f"{where}{_SYSTEM[error.errno]}")
    except Exception as error:
        if not wants_memory(error):
            raise
        _end(_SYSTEM[errno.ENOMEM])


def _flush() -> None:
    """What is still to be printed, also when a print has failed: the pipe then fails once more, here."""
    if sys.stdout is None:  # the shell closed it
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL:  # Windows' name for a pipe that nobody reads
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise


def _end(why: str) -> None:
    _let_go()
    with suppress(OSError):
        print(f"epistem: {why}", file=sys.stderr)
    sys.exit(1)


def _let_go() -> None:
    """What standard output still holds has nowhere to go; python would try once more at its end, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
