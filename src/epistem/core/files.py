"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from epistem.core.errors import EpistemError, RecordError

_OLD_S = 86_400.0  # nobody writes one file for a day
# What to do about it, by the system's reason; else another folder.
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota",
    errno.EFBIG: "choose a disk that takes larger files",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a folder that is no file",
    errno.EEXIST: "choose a folder that is no file",
}


_asked: ContextVar[tuple[Collection[str], dict[str, str]] | None] = ContextVar("_asked", default=None)


@contextmanager
def summed(names: Collection[str]) -> Iterator[dict[str, str]]:
    """SHA-256 of what `written_whole` writes under these names meanwhile, whatever others put in its place."""
    sums: dict[str, str] = {}
    before = _asked.set((names, sums))
    try:
        yield sums
    finally:
        _asked.reset(before)


@contextmanager
def written_whole(path: Path, wrong: type[EpistemError] = RecordError) -> Iterator[Path]:
    """A path beside `path` to write to, hidden, no other writer's; it takes its place once all is written.

    Args:
        path: of the file.
        wrong: what to raise.

    Raises:
        RecordError: the file cannot be written (disk full, no permission, no such folder); `wrong`, where given.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield part
        if (asked := _asked.get()) is not None and path.name in asked[0]:
            with part.open("rb") as file:
                asked[1][path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(part, path)
    except OSError as error:
        # numpy tells how much of an array found room, and no reason.
        reason = errno.ENOSPC if error.errno is None and "requested and" in str(error) else error.errno
        remedy = _REMEDIES.get(reason or 0, "choose another folder")
        raise wrong(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Text as a file, whole or not at all, with the folders it lies in.

    Raises:
        RecordError: the file cannot be written.
    """
    with written_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder, once it is a day old."""
    for left in folder.glob(".*.part"):
        with suppress(OSError):
            # By the clock of the disk: this machine's may be days ahead of it.
            with tempfile.NamedTemporaryFile(dir=folder) as fresh:
                now = os.fstat(fresh.fileno()).st_mtime
            if now - left.stat().st_mtime < _OLD_S:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
