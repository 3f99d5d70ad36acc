"""What this machine can do at most, on one thread: the yardstick of benchmarks/limits.py."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import threadpool_limits

SIDE, TIMES = 1536, 7


class Times(NamedTuple):
    """Seconds of a job: the median, the least and the most."""

    median: float
    least: float
    most: float


def processor(work: Callable[[], object], times: int = TIMES) -> Times:
    """Processor time of a job, after a first call that does not count."""
    work()
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return Times(statistics.median(taken), min(taken), max(taken))


def flops(kind: DTypeLike = np.float32) -> float:
    """Most additions and multiplications a second: the best matrix product of `SIDE`² that was seen."""
    a = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(kind)
    out = np.empty_like(a)
    with threadpool_limits(1):
        return 2 * SIDE**3 / processor(lambda: np.matmul(a, a, out=out)).least


def reading(bytes_read: int) -> float:
    """Least seconds in which so many bytes are read once, from where so many bytes lie when they were just used."""
    a = np.ones(max(bytes_read // 4, 1), np.float32)
    again = max(1, 2**26 // a.nbytes)

    def read() -> None:
        for _ in range(again):
            np.dot(a, a)

    with threadpool_limits(1):
        return processor(read).least / again


def started(*words: str, times: int = TIMES) -> Times:
    """Seconds of the clock that `python …` takes from its start to its end."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return Times(statistics.median(taken), min(taken), max(taken))


def peak_gb(code: str) -> float:
    """Most memory of a new Python that runs this [GB]."""
    told = f"{code}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) * 1024 / 1e9
