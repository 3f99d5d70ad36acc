"""Many images: [scale.two_worker_ratio], [scale.images_per_s], [scale.listing_ms], [scale.tables_ms],
[scale.result_mb], [scale.cluster_overhead_ms], [scale.cluster_items_per_s], [scale.lost_images].

    python -m benchmarks.scale [--images 40]

Simulated fields of 512² go through `run_batch` with the settings of an `epistem analyze` without options, each worker
told to take one thread (OMP_NUM_THREADS=1 and its like); `epistem analyze --workers 1` itself is not told so, and its
network takes all cores. Each quarter of the images goes through one worker and through two, which are first in every
other quarter: a machine that gets slower favours neither. The clock runs from the start of the process to its end:
starting the workers and writing the tables of the folder count. Then 200 of the images on a Dask scheduler with two
workers, one of which is killed half-way. Fewer images than 1,000 only print; they are recorded nowhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.app_load import write
from benchmarks.dask_workers import killed_run, pretending
from benchmarks.record import record
from epistem.app.records import Records
from epistem.app.store import FileRecord
from epistem.core.cluster import spread
from tests.app.dask_cluster import dask_cluster

COMMAND = "python -m benchmarks.scale"
IMAGES, QUARTERS, KILLED, SIDE = 1000, 4, 200, 512
EMPTY_ITEMS, EMPTY_S, ROUNDS = 100, 0.1, 3
MANY_THREADS, MANY_ITEMS, MANY_S = 64, 3000, 0.2

Slept = Callable[[str | None, int, float], Iterator[FileRecord | None]]


class Batch(NamedTuple):
    """One run: seconds of the whole process; in it, of the listing of the images and of the folder's tables."""

    seconds: float
    listing_s: float
    tables_s: float


class Quarter(NamedTuple):
    """The same images by one worker and by two."""

    one: Batch
    two: Batch


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
        folders = make_images(asked.keep or root, each := asked.images // QUARTERS)
        quarters = [_both(folder, root, two_first=k % 2 == 1) for k, folder in enumerate(folders)]
        images, good = sorted(folders[0].iterdir()), root / "results-images-0-1"
        _batches(said, quarters, each, _size_mb(good) / each)
        slept: Slept = partial(pretending, images[0], good)
        _overhead(said, slept, root)
        _items_per_s(said, slept, root)
        _lost(said, images[:KILLED], root, good)
    return 0


class _Said:
    """Records, or only prints."""

    def __init__(self, records: bool) -> None:
        self._records = records

    def __call__(
        self, name: str, value: float, target: str, data: str, ends: tuple[float, float] | None = None
    ) -> None:
        low, high = ends or (None, None)
        if self._records:
            record(name, value, low=low, high=high, target=target, command=COMMAND, data=data)
        else:
            print(f"{name} = {value:.4g} {ends or ''} ({data})")

    def middle(self, name: str, values: Sequence[float], target: str, data: str) -> None:
        """The median, with the least and the most."""
        self(name, statistics.median(values), target, data, (min(values), max(values)))


def make_images(root: Path, each: int) -> list[Path]:
    """Four folders with so many images each."""
    folders = [root / f"images-{k}" for k in range(QUARTERS)]
    for folder in folders:
        folder.mkdir(exist_ok=True, parents=True)
    places = [folders[i % QUARTERS] / f"{i:04d}.tif" for i in range(QUARTERS * each)]
    if others := {place for folder in folders for place in folder.iterdir()} - set(places):
        raise SystemExit(f"{root} holds {len(others)} images of another run; choose another folder")
    for _ in spread(_make, [one for one in enumerate(places) if not one[1].exists()], workers=2):
        pass
    return folders


def _make(item: tuple[int, Path]) -> None:
    write(item[1], item[0], SIDE)


def _both(folder: Path, root: Path, *, two_first: bool) -> Quarter:
    """By one worker and by two, whichever comes first."""
    order = (2, 1) if two_first else (1, 2)
    taken = {workers: timed(folder, root / f"results-{folder.name}-{workers}", workers) for workers in order}
    return Quarter(taken[1], taken[2])


def timed(folder: Path, out: Path, workers: int) -> Batch:
    """A batch in a process of its own, with one thread a worker."""
    words = [sys.executable, "-m", "benchmarks.scale", "--batch", str(folder), str(out), str(workers)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    began = time.perf_counter()
    done = subprocess.run(words, env={**os.environ, **threads}, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr)
    taken = Batch(seconds, *map(float, done.stdout.split()))
    print(
        f"{folder.name}, {workers} at work: {seconds:.1f} s, the listing {taken.listing_s:.2f} s, "
        f"the tables {taken.tables_s:.2f} s",
        flush=True,
    )
    return taken


def _batch(folder: Path, out: Path, workers: int) -> int:
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import make_settings

    stages: list[float] = []
    settings, began = make_settings(), time.perf_counter()
    jobs = make_jobs(list_files([folder], out), settings)
    listed = time.perf_counter()
    result = run_batch(jobs, settings, out, workers=workers, stage=lambda _: stages.append(time.perf_counter()))
    print(listed - began, time.perf_counter() - stages[-1])
    return int(bool(result.errors))


def _batches(said: _Said, quarters: Sequence[Quarter], each: int, result_mb: float) -> None:
    data = (
        f"{len(quarters) * each} simulated fields of {SIDE}² in {len(quarters)} batches, each by one worker and by "
        "two, which are first in every other one; default detector, forecast, all files; one thread a worker"
    )
    whole = f"{data}; from the start of the process to its end; median, least and most of the batches"
    ratios = [quarter.one.seconds / quarter.two.seconds for quarter in quarters]
    said.middle("scale.two_worker_ratio", ratios, ">= 1.8", whole)
    said.middle("scale.images_per_s", [each / quarter.one.seconds for quarter in quarters], "reported",
                f"{whole}; one worker")  # fmt: skip
    every = [batch for quarter in quarters for batch in quarter]
    said.middle("scale.listing_ms", [1000 * batch.listing_s / each for batch in every], "reported",
                f"{data}; finding the images and hashing them, by one process before any work, per image; on a "
                "local disk; median, least and most of both")  # fmt: skip
    said.middle("scale.tables_ms", [1000 * batch.tables_s / each for batch in every], "reported",
                f"{data}; tables and report of the folder, which one process writes, per image; median, least and "
                "most of both")  # fmt: skip
    said("scale.result_mb", result_mb, "reported", f"{data}; per image of the first batch")


def _overhead(said: _Said, slept: Slept, root: Path) -> None:
    """What an item takes beyond its own time, on Dask against processes here."""
    with dask_cluster(root / "dask-two", 2) as cluster:
        list(slept(cluster.address, 4, EMPTY_S))  # the first items load what they need
        dask, here = ([], [])
        for _ in range(ROUNDS):
            dask.append(_beyond_ms(slept, cluster.address))
            here.append(_beyond_ms(slept, None))
    said.middle(
        "scale.cluster_overhead_ms", [a - b for a, b in zip(dask, here, strict=True)], "reported",
        f"{EMPTY_ITEMS} items that sleep {EMPTY_S} s, sent and returned as an image is, on two workers; time beyond "
        f"it per item and worker: Dask {statistics.median(dask):.1f} ms less processes of this machine "
        f"{statistics.median(here):.1f} ms; median, least and most of {ROUNDS} rounds",
    )  # fmt: skip


def _items_per_s(said: _Said, slept: Slept, root: Path) -> None:
    """How many items one process can hand out, take back and keep, however many workers there are."""
    with dask_cluster(root / "dask-many", 2, MANY_THREADS) as cluster:
        list(slept(cluster.address, 4 * MANY_THREADS, EMPTY_S))
        kept, began = Records(root), time.perf_counter()
        for one in slept(cluster.address, MANY_ITEMS, MANY_S):
            assert one is not None
            kept.add(one)
        rate = MANY_ITEMS / (time.perf_counter() - began)
    said(
        "scale.cluster_items_per_s", rate, "reported",
        f"{MANY_ITEMS} items that sleep {MANY_S} s, sent, returned and kept as an image is, on two workers of "
        f"{MANY_THREADS} threads, which could take {2 * MANY_THREADS / MANY_S:.0f} a second; coordinator, scheduler "
        "and workers on two cores: at least",
    )  # fmt: skip


def _beyond_ms(slept: Slept, address: str | None) -> float:
    """From the fourth outcome on, when both workers have begun."""
    outcomes = slept(address, EMPTY_ITEMS, EMPTY_S)
    for _ in range(4):
        next(outcomes)
    began = time.perf_counter()
    rest = sum(1 for _ in outcomes)
    return 1000 * (2 * (time.perf_counter() - began) / rest - EMPTY_S)


def _lost(said: _Said, images: Sequence[Path], root: Path, good: Path) -> None:
    there = killed_run(images, root, good)
    said(
        "scale.lost_images", float(there.lost + there.again), "0",
        f"{len(images)} simulated fields of {SIDE}² on a Dask scheduler with two workers of one thread, one killed "
        f"by the system's SIGKILL half-way while it held {there.held}: {there.lost} results missing or other than "
        f"those of one process, {there.again} images begun again that the kill does not explain",
    )  # fmt: skip


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
