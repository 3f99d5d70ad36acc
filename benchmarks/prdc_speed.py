"""How much faster precision, recall, density and coverage are counted than by `prdc`: [segment.prdc_speed_ratio].

    pip install prdc
    OMP_NUM_THREADS=1 python -m benchmarks.prdc_speed [--dry]

Both sides get the same features and must come to the same four numbers. Independent normal features are the worst
case for ours: nearly all distances are alike, so no short cut could leave any out.
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


def main(dry: bool) -> None:
    """Time both sides in turn for single and double precision, check that they agree, tell the smaller ratio."""
    found = []
    for kind in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        real = rng.standard_normal((POINTS, WIDTH)).astype(kind)
        fake = (0.99 * rng.standard_normal((POINTS, WIDTH))).astype(kind)
        mine, other = [], []
        for _ in range(REPEATS):
            other.append(timed(lambda real=real, fake=fake: theirs(real, fake)))
            mine.append(timed(lambda real=real, fake=fake: prdc(real, fake, k=NEIGHBOURS)))
        for name, value in mine[0].result._asdict().items():
            apart = abs(value - other[0].result[name])
            assert apart < 1e-6, f"{name} differs by {apart}"
        ratios = np.array([b.processor_s / a.processor_s for a, b in zip(mine, other, strict=True)])
        ours_s, theirs_s = (
            np.median(side, axis=0) for side in ([one[:2] for one in mine], [one[:2] for one in other])
        )
        memory = [peak_mb(lambda side=side, a=real, b=fake: side(a, b)) for side in (prdc, theirs)]
        found.append(
            (
                Share(round(float(theirs_s[0] / ours_s[0]), 2), round(ratios.min(), 2), round(ratios.max(), 2)),
                f"{np.dtype(kind)}: {ours_s[0]:.2f} s against {theirs_s[0]:.2f} s of the processor, "
                f"{ours_s[1]:.2f} s against {theirs_s[1]:.2f} s of the clock, {memory[0]:.0f} MB against {memory[1]:.0f} MB",
            )
        )
    ratio, _ = min(found)
    told(
        "segment.prdc_speed_ratio",
        ratio,
        target=">= 5",
        command="python -m benchmarks.prdc_speed",
        data=(
            f"{POINTS} with {POINTS} normal points of {WIDTH} features, k = {NEIGHBOURS}, the same four numbers to "
            f"1e-6; processor time, median of {REPEATS}; {'; '.join(text for _, text in found)}; the smaller ratio "
            "of the medians, with its smallest and largest single one"
        ),
        dry=dry,
    )


if __name__ == "__main__":
    main("--dry" in sys.argv[1:])
