"""`epistem …` in this process, as the shell would see it end, and a disk that takes only so much."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from epistem.app.cli import main

try:
    import resource
except ImportError:  # Windows, where who wants a small disk has to skip
    resource = None


class Ended(NamedTuple):
    """Exit code, and what stood on standard error and output."""

    code: int
    said: str
    out: str


def epistem(*words: str | Path) -> Ended:
    """Whatever is no exit is raised: a traceback that a user would see."""
    said, out, code = io.StringIO(), io.StringIO(), 0
    before, ends = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["epistem", *map(str, words)]
    try:
        with redirect_stderr(said), redirect_stdout(out):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, ends)
    return Ended(code, said.getvalue(), out.getvalue())


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: the system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder: Path) -> dict[str, bytes]:
    """All files below, by their path."""
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
