"""A folder that is analysed as images arrive in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from epistem.app.batch import BatchResult, Progress, list_files, make_jobs, run_batch
from epistem.app.samples import Samples
from epistem.app.settings import Settings
from epistem.core import SettingsError


def watch(
    folder: Path,
    settings: Settings,
    results: Path,
    *,
    samples: Samples | None = None,
    every_s: float = 2.0,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BatchResult | None:
    """Analyse each image once it has been written whole, until `stop` says so or the user interrupts.

    A file counts as whole when its size and time stay the same from one look to the next.

    Args:
        folder: where images arrive.
        settings: of the analysis.
        results: folder to write to; tables and report are made anew after each arrival.
        samples: specimens, as for a batch.
        every_s: time between looks [s].
        progress: called after each file.
        stop: asked before each look.

    Returns:
        The last batch, or None if nothing came.

    Raises:
        SettingsError: no such folder.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder}: wanted a folder to watch; there is none of that name")
    seen: dict[Path, tuple[int, int]] = {}
    handled: dict[Path, tuple[int, int]] = {}
    last = None
    while not stop():
        now = {path: state for path, _ in _files(folder, results) if (state := _state(path)) is not None}
        ready = [path for path, state in now.items() if seen.get(path) == state]
        if any(handled.get(path) != now[path] for path in ready):
            jobs = make_jobs([(p, n) for p, n in _files(folder, results) if p in ready], settings, samples=samples)
            last = run_batch(jobs, settings, results, samples=samples, workers=1, progress=progress)
            handled.update({path: now[path] for path in ready})
        seen = now
        time.sleep(every_s)
    return last


def _files(folder: Path, results: Path) -> list[tuple[Path, str]]:
    try:
        return list_files([folder], results)
    except SettingsError:
        return []  # nothing has come yet


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None  # gone between listing and looking
    return status.st_size, status.st_mtime_ns
