"""How much faster Zernike moments are taken than by `mahotas`: [atoms.zernike_speed_ratio].

    pip install mahotas
    python -m benchmarks.zernike_speed [--dry]

Both sides get the same patches and must come to the same 36 numbers for each, to 1e-6. One processor thread for both:
mahotas has no other. Its time for all patches is that of as many calls, ours that of one product.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from mahotas.features import zernike_moments
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.contest import Share, told
from epistem.atoms.zernike import N_MAX, mahotas_magnitudes

PATCHES, SIDE, REPEATS = 1000, 32, 7
# Ours takes a hundredth of a second, in which any other work on the machine shows: the median of so many.
OURS_AT_ONCE = 15


def patches() -> NDArray[np.float32]:
    """Columns of a lattice under noise: a spot in the middle, three others round it."""
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    angle = np.arange(3) * 2 * np.pi / 3
    images = rng.poisson(3, (PATCHES, SIDE, SIDE)).astype(np.float32)
    for at_row, at_col in [(0.0, 0.0), *zip(11 * np.sin(angle), 11 * np.cos(angle), strict=True)]:
        spot = np.exp(-((row - at_row) ** 2 + (col - at_col) ** 2) / 18)
        images += rng.uniform(5, 20, (PATCHES, 1, 1)).astype(np.float32) * spot.astype(np.float32)
    return images


def theirs(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """The package, patch by patch."""
    radius = (SIDE - 1) / 2
    return np.array([zernike_moments(one, radius, degree=N_MAX, cm=(radius, radius)) for one in images])


def seconds(work: Any, images: NDArray[np.float32]) -> tuple[float, NDArray[Any]]:
    """By the clock, and what came out."""
    start = time.perf_counter()
    result = work(images)
    return time.perf_counter() - start, result


def main(dry: bool) -> None:
    """Time both sides in turn, check that they agree, record the ratio of the medians."""
    images = patches()
    mahotas_magnitudes(images[:2])  # makes the basis, once for all patches that follow
    times, apart = [], 0.0
    with threadpool_limits(1, "blas"):
        for _ in range(REPEATS):
            other_s, other = seconds(theirs, images)
            ours = [seconds(mahotas_magnitudes, images) for _ in range(OURS_AT_ONCE)]
            apart = max(apart, float(np.abs(ours[0][1] - other).max()))
            times.append((other_s, np.median([one_s for one_s, _ in ours])))
    assert apart < 1e-6, f"the magnitudes differ by {apart}"
    table = np.array(times)
    ratios, (other_s, mine_s) = table[:, 0] / table[:, 1], np.median(table, axis=0)
    told(
        "atoms.zernike_speed_ratio",
        Share(*(round(float(one), 1) for one in (other_s / mine_s, ratios.min(), ratios.max()))),
        target=">= 50",
        command="python -m benchmarks.zernike_speed",
        data=(
            f"{PATCHES} patches of {SIDE} × {SIDE} px, orders to {N_MAX}, the same magnitudes to {apart:.0e}; median "
            f"of {REPEATS} by the clock, one thread: {1e6 * other_s / PATCHES:.0f} µs against "
            f"{1e6 * mine_s / PATCHES:.1f} µs a patch; low and high: smallest and largest single ratio"
        ),
        dry=dry,
    )


if __name__ == "__main__":
    main("--dry" in sys.argv[1:])
