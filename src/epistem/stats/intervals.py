"""Intervals for counts and shares that hold at every size of sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, gammaincinv, ndtri, stdtrit

from epistem.core import Interval, SettingsError


def poisson_interval(count: int, *, coverage: float = 0.9) -> Interval:
    """Exact interval for the mean of a Poisson count.

    Args:
        count: what was counted, 0 or more.
        coverage: probability that the interval holds the mean, at least; 0 to 1.

    Source: F. Garwood, Biometrika 28, 437 (1936): quantiles of χ² with 2k and 2k + 2 degrees of freedom.

    >>> round(poisson_interval(0).high, 3)
    2.996
    """
    if count < 0 or count != int(count):
        raise SettingsError(f"a count is a whole number from 0, not {count}")
    tail = (1 - coverage) / 2
    # Quantiles by scipy.special: scipy.stats takes longer to import than most images to analyse.
    low = gammaincinv(count, tail) if count else 0.0
    return Interval(float(low), float(count), float(gammainccinv(count + 1, tail)), coverage)


def student_interval(values: NDArray[np.float64], *, coverage: float = 0.9) -> Interval | None:
    """Student's t interval for the mean of a few values; None with fewer than two.

    Args:
        values: (n,) independent draws of something near normal.
        coverage: probability that the interval holds the mean, 0 to 1.

    Source: Student, Biometrika 6, 1 (1908).

    >>> round(student_interval(np.array([1.0, 2.0, 3.0])).low, 3)
    0.314
    """
    n = len(values)
    if n < 2:
        return None
    mean = float(np.mean(values))
    reach = float(-stdtrit(n - 1, (1 - coverage) / 2) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean - reach, mean, mean + reach, coverage)


def binomial_interval(hits: int, trials: int, *, coverage: float = 0.9) -> Interval | None:
    """Wilson's score interval for a share; None without trials.

    Args:
        hits: how often it happened.
        trials: how often it could have.
        coverage: probability that the interval holds the true share, on average over shares; 0 to 1.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).

    >>> binomial_interval(0, 10).high < 0.22
    True
    """
    if not 0 <= hits <= trials:
        raise SettingsError(f"hits lie between 0 and the number of trials, not {hits} of {trials}")
    if not trials:
        return None
    share = hits / trials
    z2 = float(ndtri((1 - coverage) / 2)) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    low, high = max(0.0, float(middle - half)), min(1.0, float(middle + half))
    # At 0 and at 1 the end of the interval is the share itself; rounding must not push it past.
    return Interval(min(low, share), share, max(high, share), coverage)
