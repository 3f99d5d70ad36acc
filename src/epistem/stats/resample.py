"""What other samples would have given: bootstrap intervals and permutation tests, seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval, SettingsError

_DRAWS = 2000
_VALUES_AT_ONCE = 1_000_000
# All ways to deal 20,000 deals or fewer are gone through one by one; more are drawn.
_DEALS = 20_000


def percentile_interval(value: float, draws: NDArray[np.float64], *, coverage: float = 0.9) -> Interval:
    """Interval between the outer percentiles of resampled values, stretched to hold the value itself.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    low, high = np.quantile(draws, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(min(float(low), value), value, max(float(high), value), coverage)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any],
    *,
    seed: int = 0,
    coverage: float = 0.9,
    draws: int = _DRAWS,
) -> Interval | None:
    """Interval of a statistic from drawing the values again; None with fewer than two.

    Args:
        values: (n,) independent values.
        statistic: takes an axis away, called as `statistic(array, axis=-1)`: `np.mean`, `np.median`…
        seed: same seed, same interval.
        coverage: probability that the interval holds the truth, 0 to 1.
        draws: how many samples are drawn.

    >>> bootstrap_interval([1.0, 2.0, 3.0], np.mean).value
    2.0
    """
    sample = np.asarray(values, float)
    if len(sample) < 2:
        return None
    rng = np.random.default_rng(seed)
    at_once = max(1, _VALUES_AT_ONCE // len(sample))
    drawn = []
    for start in range(0, draws, at_once):
        shape = (min(at_once, draws - start), len(sample))
        drawn.append(statistic(sample[rng.integers(0, len(sample), shape)], axis=-1))
    return percentile_interval(float(statistic(sample, axis=-1)), np.concatenate(drawn), coverage=coverage)


def poisson_sums(values: ArrayLike, *, seed: int = 0, draws: int = _DRAWS) -> NDArray[np.float64]:
    """Sums over objects as other fields of the same size would give them: their number varies too.

    Each draw takes a Poisson number of objects, on average as many as there are, by chance from those there are.

    Args:
        values: (n, k) k properties of each object, such as its area and its volume.
        seed: same seed, same sums.
        draws: how many fields.

    Returns:
        Sums, shape (draws, k).
    """
    table = np.asarray(values, float)
    if not len(table):
        return np.zeros((draws, table.shape[1]))
    rng = np.random.default_rng(seed)
    fields = (rng.integers(0, len(table), count) for count in rng.poisson(len(table), draws))
    return np.array([table[field].sum(0) for field in fields])


def cluster_bootstrap(
    values_by_image: Sequence[NDArray[np.float64]],
    statistic: Callable[[NDArray[np.float64]], Any],
    *,
    seed: int = 0,
    coverage: float = 0.9,
    draws: int = _DRAWS,
) -> Interval | None:
    """Interval of a statistic of all objects together, when objects of one image are alike.

    Draws images, then objects within each drawn image. Images without an object are drawn as well; they add
    none. None with fewer than two images, or where no object is in any.

    Args:
        values_by_image: one array a image (or specimen).
        statistic: array in, number out; defined for a single value too.
        seed: same seed, same interval.
        coverage: probability that the interval holds the truth, 0 to 1.
        draws: how many samples are drawn.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, §3.8.
    """
    groups = [np.asarray(values, float) for values in values_by_image]
    everything = np.concatenate(groups) if groups else np.empty(0)
    if len(groups) < 2 or not len(everything):
        return None
    sizes = np.array([len(group) for group in groups])
    first = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(draws):
        images = rng.integers(0, len(groups), len(groups))
        size, start = np.repeat(sizes[images], sizes[images]), np.repeat(first[images], sizes[images])
        if len(size):
            results.append(float(statistic(everything[start + rng.integers(0, size)])))
    return percentile_interval(float(statistic(everything)), np.array(results), coverage=coverage)


def permutation_test(
    a: Sequence[float] | NDArray[np.float64],
    b: Sequence[float] | NDArray[np.float64],
    *,
    seed: int = 0,
    draws: int = 9999,
) -> float | None:
    """Chance of a difference of means this large, or larger, if both groups were one: two-sided p.

    Give one value an image (or specimen), not one an object: objects of an image are not independent. Up to
    20,000 ways of dealing the values are all gone through, so p is exact; beyond, `draws` of them are drawn and
    the dealing as it came counts as one of them. None with fewer than two values on either side.

    Args:
        a, b: the values of each group.
        seed: same seed, same p.
        draws: how many deals are drawn where there are too many.

    Source: B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).

    >>> permutation_test([1, 2, 3], [11, 12, 13])
    0.1
    """
    group_a, group_b = np.asarray(a, float), np.asarray(b, float)
    if len(group_a) < 2 or len(group_b) < 2:
        return None
    values, n = np.concatenate([group_a, group_b]), len(group_a)
    if not np.isfinite(values).all():
        raise SettingsError("a test between groups needs finite values; leave out what is not known and count it")
    # With the total fixed, a difference of means is large where the sum of the first group is far from its mean.
    # Sums of the same values in another order differ in their last digits.
    close = 1e-12 * np.abs(values).sum()
    values = values - values.mean()
    seen = abs(values[:n].sum()) - close
    if comb(len(values), n) <= _DEALS:
        deals = np.array(list(combinations(range(len(values)), n)))
        return float((np.abs(values[deals].sum(1)) >= seen).mean())
    rng = np.random.default_rng(seed)
    sums = [rng.permutation(values)[:n].sum() for _ in range(draws)]
    return float((1 + (np.abs(sums) >= seen).sum()) / (1 + draws))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values that keep the chance of any false alarm over all that are known (not NaN).

    Source: S. Holm, Scand. J. Stat. 6, 65 (1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = np.full(len(p_values), np.nan)
    order = [i for i in np.argsort(p_values, kind="stable") if np.isfinite(p_values[i])]
    steps = p_values[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if order else []
    return corrected
