"""A folder that is analysed as images arrive in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from epistem.app.batch import BatchResult, Progress, check_apart, list_files, make_jobs, run_batch
from epistem.app.samples import Samples, check_samples
from epistem.app.settings import Settings
from epistem.app.store import FileError, Job
from epistem.core import SettingsError

State = tuple[int, int]  # size and time of a file


def watch(
    folder: Path,
    settings: Settings,
    results: Path,
    *,
    samples: Samples | None = None,
    by: str = "specimen",
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
        samples, by: specimens and the column that makes groups, as for a batch.
        every_s: time between looks [s].
        progress: called after each file.
        stop: asked before each look.

    Returns:
        The last batch, or None if nothing came. A file that failed is tried again only when it changes.

    Raises:
        SettingsError: no such folder, one in that of the results, or no such column.
    """
    check_samples(samples, by, results)
    check_watched(folder, results)
    seen: dict[Path, State] = {}
    jobs: dict[tuple[Path, State], Job] = {}
    failed: dict[tuple[Path, State], FileError] = {}
    last = None
    while not stop():
        there = {path: (name, state) for path, name in _files(folder, results) if (state := _state(path))}
        whole = {path: what for path, what in there.items() if seen.get(path) == what[1]}
        fresh = [(path, name) for path, (name, state) in whole.items() if (path, state) not in jobs]
        if fresh:
            for (path, _), job in zip(fresh, make_jobs(fresh, settings, samples=samples), strict=True):
                jobs[path, whole[path][1]] = job
            current = [jobs[path, state] for path, (_, state) in whole.items()]
            known = {
                error.file: error for (path, state), error in failed.items() if there.get(path, ("", 0))[1] == state
            }
            last = run_batch(
                current, settings, results, samples=samples, by=by, workers=1, progress=progress, known=known
            )
            errors = {error.file: error for error in last.errors}
            for path, (_, state) in whole.items():
                if (error := errors.get(jobs[path, state].name)) is not None:
                    failed[path, state] = error
        seen = {path: state for path, (_, state) in there.items()}
        time.sleep(every_s)
    return last


def check_watched(folder: Path, results: Path) -> None:
    """Refuse what cannot be watched.

    Raises:
        SettingsError: no such folder, or one in that of the results.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder}: wanted a folder to watch; there is none of that name")
    check_apart(folder, results)


def _files(folder: Path, results: Path) -> list[tuple[Path, str]]:
    try:
        return list_files([folder], results)
    except SettingsError:
        return []  # nothing has come yet


def _state(path: Path) -> State | None:
    try:
        # The chunks of a zarr lie in folders below it.
        files = [one.stat() for one in (path, *path.rglob("*"))] if path.is_dir() else [path.stat()]
    except OSError:
        return None  # gone between listing and looking
    return sum(one.st_size for one in files), max(one.st_mtime_ns for one in files)
