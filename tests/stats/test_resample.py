"""Bootstrap intervals and permutation tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from epistem.core import Interval, SettingsError
from epistem.stats.resample import bootstrap_interval, cluster_bootstrap, permutation_test, poisson_sums


def width(interval: Interval | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_the_bootstrap_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    interval = bootstrap_interval(values, np.mean, coverage=0.9)
    theory = 2 * stats.norm.isf(0.05) * values.std() / 20
    assert width(interval) == pytest.approx(theory, rel=0.05)


def test_a_bootstrap_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        interval = bootstrap_interval(rng.exponential(1.0, 60), np.mean, seed=seed, coverage=0.8, draws=300)
        assert interval is not None
        held += interval.low <= 1 <= interval.high
    assert 0.7 <= held / 200 <= 0.88


@pytest.mark.parametrize("values", [[], [3.0]])
def test_fewer_than_two_values_have_no_interval(values: list[float]) -> None:
    assert bootstrap_interval(values, np.mean) is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert bootstrap_interval([4.0] * 5, np.median) == Interval(4.0, 4.0, 4.0, 0.9)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).random(30)
    first, again, other = (bootstrap_interval(values, np.mean, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_higher_coverage_gives_a_wider_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert width(bootstrap_interval(values, np.mean, coverage=0.99)) > width(
        bootstrap_interval(values, np.mean, coverage=0.5)
    )


def test_objects_that_are_alike_within_images_give_a_wider_interval_than_drawn_singly() -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(middle, 0.1, 50) for middle in rng.normal(0, 1, 8)]
    by_image = cluster_bootstrap(images, np.mean)
    singly = bootstrap_interval(np.concatenate(images), np.mean)
    assert width(by_image) > 3 * width(singly)


def test_the_cluster_interval_is_as_wide_as_the_scatter_of_image_means_says() -> None:
    rng = np.random.default_rng(0)
    images = [np.full(20, middle) for middle in rng.normal(0, 1, 60)]
    means = np.array([image[0] for image in images])
    theory = 2 * stats.norm.isf(0.05) * means.std() / np.sqrt(60)
    assert width(cluster_bootstrap(images, np.mean)) == pytest.approx(theory, rel=0.1)


def test_the_value_is_that_of_all_objects_together() -> None:
    interval = cluster_bootstrap([np.array([1.0]), np.array([2.0, 3.0, 4.0])], np.mean)
    assert interval is not None
    assert interval.value == 2.5


@pytest.mark.parametrize("images", [[], [np.ones(9)], [np.empty(0), np.empty(0)]])
def test_fewer_than_two_images_or_no_object_have_no_interval(images: list[np.ndarray]) -> None:
    assert cluster_bootstrap(images, np.mean) is None


def test_an_image_without_objects_is_drawn_but_adds_none() -> None:
    interval = cluster_bootstrap([np.array([1.0, 2.0]), np.empty(0), np.array([5.0])], np.mean)
    assert interval is not None
    assert interval.value == pytest.approx(8 / 3)
    assert 1 <= interval.low < interval.value < interval.high == 5


def test_poisson_sums_scatter_like_a_compound_poisson_process() -> None:
    values = np.random.default_rng(0).exponential(1.0, (300, 2)) * [1, 7]
    sums = poisson_sums(values, draws=4000)
    np.testing.assert_allclose(sums.mean(0), values.sum(0), rtol=0.01)
    np.testing.assert_allclose(sums.std(0), np.sqrt((values**2).sum(0)), rtol=0.05)


def test_no_objects_sum_to_zero() -> None:
    assert poisson_sums(np.empty((0, 3)), draws=4).tolist() == [[0.0] * 3] * 4


def test_few_values_are_tested_exactly_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 6), rng.normal(1, 1, 7)

    def difference(x, y, axis):  # type: ignore[no-untyped-def]
        return np.abs(x.mean(axis) - y.mean(axis))

    theirs = stats.permutation_test((a, b), difference, alternative="greater", vectorized=True, n_resamples=np.inf)
    assert permutation_test(a, b) == pytest.approx(theirs.pvalue)


def test_many_values_come_near_the_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 40), rng.normal(0.4, 1, 40)
    assert permutation_test(a, b, seed=1) == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)


def test_equal_values_are_no_difference() -> None:
    assert permutation_test([0.1] * 4, [0.1] * 5) == 1.0
    assert permutation_test([0.1] * 40, [0.1] * 50) == 1.0


def test_deals_that_differ_by_rounding_only_count_as_equal() -> None:
    # Tenths have no exact sum, whole numbers have.
    assert permutation_test([0.1, 0.2, 0.4], [0.3, 0.5, 0.6]) == permutation_test([1, 2, 4], [3, 5, 6]) == 0.2


def test_swapping_the_groups_changes_nothing() -> None:
    a, b = [1.0, 5.0, 2.5], [4.0, 9.0, 3.0, 8.0]
    assert permutation_test(a, b) == permutation_test(b, a)


def test_drawn_deals_never_give_a_chance_of_zero() -> None:
    assert permutation_test(range(30), range(100, 130), draws=99) == 0.01


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0, 3.0]), ([], [1.0, 2.0])])
def test_a_single_value_cannot_be_tested(a: list[float], b: list[float]) -> None:
    assert permutation_test(a, b) is None


def test_unknown_values_are_refused() -> None:
    with pytest.raises(SettingsError, match="finite"):
        permutation_test([1.0, np.nan], [1.0, 2.0])
