"""How much faster precision, recall, density and coverage are counted than by `prdc`: [segment.prdc_speed_ratio].

    pip install prdc
    python -m benchmarks.prdc_speed [--dry]

Both sides get the same features and must come to the same four numbers. The headline is what a user waits for:
single precision, as encoders give it and the package documents it, both libraries with the threads they take. The
data line has double precision too, and processor time with one BLAS thread, which neither other work on the machine
nor the number of its cores changes much. Independent normal features are the worst case for ours: all distances are
nearly alike.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prdc import compute_prdc
from threadpoolctl import threadpool_limits

from benchmarks.contest import Share, told
from epistem.stats.prdc import prdc

POINTS, WIDTH, NEIGHBOURS, REPEATS = 5000, 768, 5, 7


class Cost(NamedTuple):
    """Of one run: by the processor, and by the clock; `result` is what came out."""

    processor_s: float
    clock_s: float
    result: Any


def timed(work: Callable[[], Any]) -> Cost:
    """Run it once."""
    processor, clock = time.process_time(), time.perf_counter()
    result = work()
    return Cost(time.process_time() - processor, time.perf_counter() - clock, result)


def theirs(real: NDArray[Any], fake: NDArray[Any]) -> dict[str, float]:
    """The package, without its print."""
    with contextlib.redirect_stdout(io.StringIO()):
        return dict(compute_prdc(real, fake, NEIGHBOURS))


def peak_mb(work: Callable[[], Any]) -> float:
    """Most memory that it asks numpy for at once."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def features(kind: type) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two sets that overlap in part."""
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((2, POINTS, WIDTH))
    return real.astype(kind), (0.99 * fake).astype(kind)


def contest(kind: type, threads: int | None) -> NDArray[np.float64]:
    """Seconds of the processor and of the clock, (repeats, ours and theirs, 2); both sides in turn."""
    real, fake = features(kind)
    seconds = []
    with threadpool_limits(threads, "blas"):
        for _ in range(REPEATS):
            other = timed(lambda: theirs(real, fake))
            mine = timed(lambda: prdc(real, fake, k=NEIGHBOURS))
            for name, value in mine.result._asdict().items():
                apart = abs(value - other.result[name])
                assert apart < 1e-6, f"{name} differs by {apart}"
            seconds.append((mine[:2], other[:2]))
    return np.array(seconds)


def main(dry: bool) -> None:
    """Time both sides, check that they agree, record the ratio of the medians."""
    said = []
    for kind, threads, clock in (
        (np.float32, None, 1),
        (np.float64, None, 1),
        (np.float32, 1, 0),
        (np.float64, 1, 0),
    ):
        ours, other = contest(kind, threads)[:, :, clock].T
        ratios, medians = other / ours, (np.median(ours), np.median(other))
        said.append((medians[1] / medians[0], ratios.min(), ratios.max(), medians))
        print(kind.__name__, threads, "clock" if clock else "processor", said[-1])
    real, fake = features(np.float32)
    memory = [peak_mb(lambda side=side: side(real, fake)) for side in (prdc, theirs)]
    texts = [f"{ratio:.1f} ({ours:.2f} s against {other:.2f} s)" for ratio, _, _, (ours, other) in said]
    told(
        "segment.prdc_speed_ratio",
        Share(*(round(float(one), 2) for one in said[0][:3])),
        target=">= 5",
        command="python -m benchmarks.prdc_speed",
        data=(
            f"{POINTS} with {POINTS} normal points of {WIDTH} features, k = {NEIGHBOURS}, the same four numbers to "
            f"1e-6 each time; median of {REPEATS} by the clock, single precision: {texts[0]}, {memory[0]:.0f} MB "
            f"against {memory[1]:.0f} MB; low and high: smallest and largest single ratio; "
            f"double precision: {texts[1]}; processor time with one BLAS thread: {texts[2]}, "
            f"in double precision {texts[3]}"
        ),
        dry=dry,
    )


if __name__ == "__main__":
    main("--dry" in sys.argv[1:])
