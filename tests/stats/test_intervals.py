"""Intervals of counts and shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from epistem.core import SettingsError
from epistem.stats.intervals import binomial_interval, poisson_interval


@pytest.mark.parametrize("count", [1, 7, 250])
def test_the_ends_of_a_poisson_interval_leave_half_the_rest_on_each_side(count: int) -> None:
    interval = poisson_interval(count, coverage=0.8)
    assert stats.poisson.sf(count - 1, interval.low) == pytest.approx(0.1)
    assert stats.poisson.cdf(count, interval.high) == pytest.approx(0.1)


def test_no_count_has_zero_below_and_its_limit_above() -> None:
    interval = poisson_interval(0, coverage=0.95)
    assert (interval.low, interval.value) == (0, 0)
    assert interval.high == pytest.approx(-np.log(0.025))


@pytest.mark.parametrize("mean", [0.5, 3.0, 20.0])
def test_a_poisson_interval_holds_the_mean_at_least_as_often_as_it_says(mean: float) -> None:
    counts = np.arange(200)
    ends = [poisson_interval(int(count), coverage=0.9) for count in counts]
    holds = np.array([one.low <= mean <= one.high for one in ends])
    assert stats.poisson.pmf(counts, mean)[holds].sum() >= 0.9


@pytest.mark.parametrize("wrong", [-1, 2.5])
def test_what_is_no_count_is_refused(wrong: float) -> None:
    with pytest.raises(SettingsError, match="whole number"):
        poisson_interval(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (0, 10), (3, 10), (10, 10), (977, 1000)])
def test_wilson_equals_scipy(hits: int, trials: int) -> None:
    ours = binomial_interval(hits, trials, coverage=0.9)
    theirs = stats.binomtest(hits, trials).proportion_ci(0.9, "wilson")
    assert ours is not None
    assert (ours.low, ours.value, ours.high) == pytest.approx((theirs.low, hits / trials, theirs.high))


def test_no_trial_has_no_share() -> None:
    assert binomial_interval(0, 0) is None


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(SettingsError, match="4 of 3"):
        binomial_interval(4, 3)
