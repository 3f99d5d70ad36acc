"""Whether memory stays flat over thousands of images: the run's own process, its workers, and each alone.

python -m benchmarks.soak                # for the record
python -m benchmarks.soak --images 300   # to see that it runs
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.record import record

IMAGES, SIDE, WINDOW = 2000, 96, 100
AFTER = 0.25  # share of the images before growth counts: until then much is done for the first time
WANTED = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--workers", type=int, help="Only this number of workers; nothing is recorded.")
    parser.add_argument("--lean", action="store_true", help="Results in shards; nothing is recorded.")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        _soak(given.inside, given.workers, lean=given.lean)
        return
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        _write_images(images, given.images)
        counts = [given.workers] if given.workers else [1, 2]
        with ThreadPoolExecutor() as both:  # beside each other: memory does not ask for the time
            growths = list(both.map(lambda n: _growth_with(Path(folder), n, lean=given.lean), counts))
    if given.workers or given.lean or given.images != IMAGES:
        print(f"Not recorded: that wants {IMAGES:,} images, with one worker and with two.")
        return
    record(
        "scale.soak_growth",
        max(growths),
        target=f"< {WANTED}",
        command="python -m benchmarks.soak",
        data=f"{IMAGES:,} simulated images of {SIDE} × {SIDE} pixels by run_batch, in one process and with two "
        f"workers; resident memory of each process, median of the last {WINDOW} images against the {WINDOW} from the "
        f"{AFTER * IMAGES:.0f}th; the worst",
    )


def _write_images(folder: Path, n: int) -> None:
    folder.mkdir()
    rows, cols = np.mgrid[:SIDE, :SIDE]
    for i in range(n):
        rng = np.random.default_rng(i)
        image = rng.normal(0, 0.05, (SIDE, SIDE))
        for row, col in rng.uniform(12, SIDE - 12, (rng.integers(1, 9), 2)):
            image += np.hypot(rows - row, cols - col) < 5
        pixels = (1000 + 300 * image).astype(np.uint16)
        metadata = {"unit": "nm", "axes": "YX"}
        tifffile.imwrite(folder / f"im{i:05d}.tif", pixels, imagej=True, resolution=(2, 2), metadata=metadata)


def _growth_with(folder: Path, workers: int, *, lean: bool) -> float:
    """The worst growth of a run in a process of its own: nothing of another run is in its memory."""
    words = ["--inside", str(folder), "--workers", str(workers), *(["--lean"] if lean else [])]
    command = [sys.executable, "-m", "benchmarks.soak", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for last in process.stdout:
            print(last, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return float(last.rsplit(maxsplit=1)[-1])


def _soak(folder: Path, workers: int, *, lean: bool) -> None:
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import Settings

    out, settings = folder / f"out{workers}", Settings()
    jobs = make_jobs(list_files([folder / "images"], out), settings)
    seen: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)

    def sample(done: int, total: int, _outcome: object) -> None:
        for pid in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
            if pid is not None and (mb := _resident_mb(pid)) is not None:
                seen[pid].append((done, mb))
        if done % 250 == 0:
            print(
                f"{workers} worker(s), {done} of {total}: " + ", ".join(f"{s[-1][1]:.1f} MB" for s in seen.values()),
                flush=True,
            )

    run_batch(jobs, settings, out, workers=workers, progress=sample, lean=lean)
    names = [os.getpid()], [pid for pid in seen if pid != os.getpid()]
    worst = max(_growth(seen[pid], len(jobs)) for pids in names for pid in pids)
    for pid in (pid for pids in names for pid in pids):
        who = "the run itself" if pid == os.getpid() else "a worker"
        print(f"{who}: {_growth(seen[pid], len(jobs)):+.4f}")
    told = sum(path.stat().st_size for path in (out / "report.html", out / "report.json")) / 2e6
    print(f"report.html and report.json: {told:.1f} MB each, in the mean")
    print(f"worst growth with {workers} worker(s): {worst:.5f}")


def _growth(samples: list[tuple[int, float]], total: int) -> float:
    """Of a process: median at the end over median after the start, minus one."""
    first = [mb for done, mb in samples if AFTER * total < done <= AFTER * total + WINDOW]
    last = [mb for done, mb in samples if done > total - WINDOW]
    return statistics.median(last) / statistics.median(first) - 1


def _resident_mb(pid: int) -> float | None:
    """Memory that a process really has; None where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
