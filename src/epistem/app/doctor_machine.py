"""What runs epistem, and what it may use: Python, cores, memory, disk, folders, the terminal."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from epistem.app.doctor import Check, Finding, State, one_line
from epistem.core.errors import SettingsError
from epistem.core.places import cache_folder

LEAST_DISK, LEAST_MEMORY = 1e9, 2e9  # bytes; one image of 4096 × 4096 with its results takes a part of either
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SIGNS = "µ × ≥ Å"
"""Signs that the command line prints."""


def python() -> Iterator[Finding]:
    """Which Python, on what."""
    said = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.maxsize < 2**32:
        mend = "install a 64-bit Python; the libraries are made for no other"
        yield Finding("machine", "Python", "broken", f"{said}, 32 bit", mend)
    else:
        yield Finding("machine", "Python", "ok", said)
    yield Finding("machine", "system", "ok", f"{platform.platform(terse=True)}, {platform.machine()}")


def cores() -> Iterator[Finding]:
    """Cores this process may use, and threads as the environment sets them."""
    from dask.system import CPU_COUNT  # as many work at once where --workers is not given

    n = int(CPU_COUNT)
    told = [f"{name}={os.environ[name]}" for name in _THREADS if os.environ.get(name)]
    own = os.cpu_count() or n
    of = f" of {own}" if own != n else ""
    yield Finding("machine", "cores", "ok", f"{n}{of} may be used{'; ' + ', '.join(told) if told else ''}")


def memory() -> Iterator[Finding]:
    """Memory that is free now."""
    import psutil

    now = psutil.virtual_memory()
    said = f"{now.available / 1e9:.1f} GB free of {now.total / 1e9:.1f} GB"
    short = now.available < LEAST_MEMORY
    mend = "close other programs, or give commands --workers 1" if short else None
    yield Finding("machine", "memory", "note" if short else "ok", said, mend)


def folders() -> Iterator[Finding]:
    """Whether the folders epistem writes to can be written to, and what room they have."""
    yield _folder("this folder", Path.cwd, "note", "give --out a folder that can be written to")
    mend = "make room there, or set TMPDIR (on Windows TEMP) to a folder that can be written to"
    yield _folder("temporary files", lambda: Path(tempfile.gettempdir()), "broken", mend)
    yield _folder(
        "cache", cache_folder, "note",
        "set XDG_CACHE_HOME to a folder that can be written to; the language model of `epistem ask` and backgrounds "
        "fetched for a training are kept there",
    )  # fmt: skip


def terminal() -> Iterator[Finding]:
    """Whether the terminal has the signs that are printed."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        SIGNS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        said = f"{encoding}, in which not all of {ascii(SIGNS)[1:-1]} can be printed; such signs come as codes"
        yield Finding(
            "machine", "terminal", "note", said, "set PYTHONUTF8=1; in a Windows console, chcp 65001 before"
        )
    else:
        yield Finding("machine", "terminal", "ok", f"{encoding}, prints {SIGNS}")


MACHINE: dict[str, Check] = {
    "Python": python, "cores": cores, "memory": memory, "folders": folders, "terminal": terminal,
}  # fmt: skip


def _folder(name: str, where: Callable[[], Path], fails: State, mend: str) -> Finding:
    """Whether a file can be made in it, or where it will be made; `fails` is how bad it is when not."""
    try:
        folder = where()
    except (OSError, SettingsError) as error:  # this folder was removed, or there is none that would do
        return Finding("machine", name, fails, one_line(error), mend)
    there = folder
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding("machine", name, fails, f"{folder} cannot be written to: {error.strerror or error}", mend)
    short = free < LEAST_DISK
    said = f"{folder}, {free / 1e9:.1f} GB free"
    return Finding("machine", name, "note" if short else "ok", said, "make room" if short else None)
