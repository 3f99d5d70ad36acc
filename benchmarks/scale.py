"""Many images: [scale.two_worker_ratio], [scale.images_per_s], [scale.tables_ms], [scale.result_mb],
[scale.cluster_overhead_ms], [scale.cluster_items_per_s], [scale.lost_images].

    python -m benchmarks.scale [--images 40]

Simulated fields of 512² go through the `epistem analyze` that a user has without any option. One half of them by one
worker and then by two, the other half by two and then by one, so that a machine that gets slower favours neither. The
clock runs from the start of the process to its end: starting the workers and writing the tables of the folder count.
Then 200 of them on a Dask scheduler with two workers, one of which is killed half-way. Fewer images than 1,000 only
print; they are recorded nowhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.app_load import write
from benchmarks.dask_workers import killed_run, two_workers
from benchmarks.record import record
from epistem.core.cluster import spread

COMMAND = "python -m benchmarks.scale"
IMAGES, KILLED, SIDE = 1000, 200, 512
EMPTY_ITEMS, EMPTY_S, ROUNDS = 100, 0.1, 3
MANY_THREADS, MANY_ITEMS, MANY_S = 64, 3000, 0.2


class Batch(NamedTuple):
    """One `epistem analyze`: seconds of the whole process, and of the folder's tables and report in it."""

    seconds: float
    tables_s: float


class Half(NamedTuple):
    """The same images by one worker and by two."""

    one: Batch
    two: Batch

    @property
    def ratio(self) -> float:
        """How much faster two are."""
        return self.one.seconds / self.two.seconds


def main() -> int:
    """Make the images, take the times, record."""
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=IMAGES)
    options.add_argument("--keep", type=Path, help="folder in which the images stay, for another run")
    options.add_argument("--batch", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.batch:
        return _batch(Path(asked.batch[0]), Path(asked.batch[1]), int(asked.batch[2]))
    with tempfile.TemporaryDirectory() as name:
        root, said = Path(name), _Said(asked.images == IMAGES)
        folders = make_images(asked.keep or root, asked.images)
        halves = [Half(*_both(folder, root, two_first)) for folder, two_first in zip(folders, (False, True))]  # noqa: B905
        _ratio(said, halves, asked.images, _size_mb(root / "results-1-0") / (asked.images // 2))
        _overhead(said, root)
        _items_per_s(said, root)
        _lost(said, folders[0], root, min(KILLED, asked.images // 2))
    return 0


class _Said:
    """Records, or only prints."""

    def __init__(self, records: bool) -> None:
        self._records = records

    def __call__(self, name: str, value: float, target: str, data: str, spread_: tuple[float, float] | None) -> None:
        low, high = spread_ or (None, None)
        if self._records:
            record(name, value, low=low, high=high, target=target, command=COMMAND, data=data)
        else:
            print(f"{name} = {value:.4g} {spread_ or ''} ({data})")


def make_images(root: Path, number: int) -> list[Path]:
    """Two folders with half of the images each."""
    folders = [root / "images-0", root / "images-1"]
    for folder in folders:
        folder.mkdir(exist_ok=True, parents=True)
    places = [folders[i % 2] / f"{i:04d}.tif" for i in range(number)]
    if others := {place.name for folder in folders for place in folder.iterdir()} - {place.name for place in places}:
        raise SystemExit(f"{root} holds {len(others)} images of another run; choose another folder")
    for _ in spread(_make, [one for one in enumerate(places) if not one[1].exists()], workers=2):
        pass
    return folders


def _make(item: tuple[int, Path]) -> None:
    write(item[1], item[0], SIDE)


def _both(folder: Path, root: Path, two_first: bool) -> list[Batch]:
    """By one worker and by two, whichever comes first."""
    order = (2, 1) if two_first else (1, 2)
    taken = {workers: timed(folder, root / f"results-{workers}-{int(two_first)}", workers) for workers in order}
    return [taken[1], taken[2]]


def timed(folder: Path, out: Path, workers: int) -> Batch:
    """A batch in a process of its own, with one thread a worker."""
    words = [sys.executable, "-m", "benchmarks.scale", "--batch", str(folder), str(out), str(workers)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    began = time.perf_counter()
    done = subprocess.run(words, env={**os.environ, **threads}, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr)
    print(f"{folder.name}, {workers} at work: {seconds:.1f} s, the tables {float(done.stdout):.1f} s", flush=True)
    return Batch(seconds, float(done.stdout))


def _batch(folder: Path, out: Path, workers: int) -> int:
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import make_settings

    began: list[float] = []
    settings = make_settings()
    jobs = make_jobs(list_files([folder], out), settings)
    result = run_batch(jobs, settings, out, workers=workers, stage=lambda _: began.append(time.perf_counter()))
    print(time.perf_counter() - began[-1])
    return int(bool(result.errors))


def _ratio(said: _Said, halves: list[Half], images: int, result_mb: float) -> None:
    ratios = [half.ratio for half in halves]
    one, two = (sum(getattr(half, name).seconds for half in halves) for name in ("one", "two"))
    data = (
        f"{images} simulated fields of {SIDE}² in two batches, once in each order; default detector, forecast, all "
        "files; one thread a worker"
    )
    counted = "from the start of the process to its end"
    spread_ = (min(ratios), max(ratios))
    said("scale.two_worker_ratio", one / two, ">= 1.8", f"{data}, {counted}; low and high: the two batches", spread_)
    said("scale.images_per_s", images / one, "reported", f"{data}; one worker, {counted}", None)
    tables = [1000 * 2 * getattr(half, name).tables_s / images for half in halves for name in ("one", "two")]
    said(
        "scale.tables_ms", statistics.median(tables), "reported",
        f"{data}; tables and report of the folder, which one process writes, per image; the four batches",
        (min(tables), max(tables)),
    )  # fmt: skip
    said("scale.result_mb", result_mb, "reported", f"{data}; per image", None)


def _overhead(said: _Said, root: Path) -> None:
    """What an item takes beyond its own time, on Dask against processes here."""
    with two_workers(root) as address:
        list(_slept(address, 4))  # the first items load what they need
        dask, here = ([], [])
        for _ in range(ROUNDS):
            dask.append(_beyond_ms(address))
            here.append(_beyond_ms(None))
    differences = [a - b for a, b in zip(dask, here, strict=True)]
    said(
        "scale.cluster_overhead_ms", statistics.median(differences), "reported",
        f"{EMPTY_ITEMS} items that sleep {EMPTY_S} s on two workers, time beyond it per item and worker: Dask "
        f"{statistics.median(dask):.1f} ms less processes of this machine {statistics.median(here):.1f} ms; median, "
        f"least and most of {ROUNDS} rounds",
        (min(differences), max(differences)),
    )  # fmt: skip


def _items_per_s(said: _Said, root: Path) -> None:
    """How many items one process can hand out and take back, however many workers there are."""
    with two_workers(root, threads=MANY_THREADS) as address:
        list(_slept(address, 4 * MANY_THREADS))
        began = time.perf_counter()
        list(_slept(address, MANY_ITEMS, MANY_S))
        rate = MANY_ITEMS / (time.perf_counter() - began)
    said(
        "scale.cluster_items_per_s", rate, "reported",
        f"{MANY_ITEMS} items that sleep {MANY_S} s on two workers of {MANY_THREADS} threads, which could "
        f"take {2 * MANY_THREADS / MANY_S:.0f} a second; coordinator, scheduler and workers on two cores: at least",
        None,
    )  # fmt: skip


def _slept(address: str | None, items: int, seconds: float = EMPTY_S) -> list[object]:
    return list(spread(partial(_sleep, seconds), range(items), workers=2, cluster=address))


def _sleep(seconds: float, _: int) -> None:
    time.sleep(seconds)


def _beyond_ms(address: str | None) -> float:
    """From the fourth outcome on, when both workers have begun."""
    outcomes = spread(partial(_sleep, EMPTY_S), range(EMPTY_ITEMS), workers=2, cluster=address)
    for _ in range(4):
        next(outcomes)
    began = time.perf_counter()
    rest = sum(1 for _ in outcomes)
    return 1000 * (2 * (time.perf_counter() - began) / rest - EMPTY_S)


def _lost(said: _Said, folder: Path, root: Path, number: int) -> None:
    there = killed_run(sorted(folder.iterdir())[:number], root, root / "results-1-0")
    said(
        "scale.lost_images", float(there.lost + there.again), "0",
        f"{number} simulated fields of {SIDE}² on a Dask scheduler with two workers of one thread, one killed by the "
        f"system's SIGKILL half-way while it held {there.held}: {there.lost} results missing or other than those of "
        f"one process, {there.again} images done again that it did not hold",
        None,
    )  # fmt: skip


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
