from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError
from epistem.stats.conformal import (
    Band,
    conformal_quantile_band,
    cv_plus_band,
    quantile_to_cover,
    share_covered,
    split_band,
)

REPEATS = 400


def test_the_quantile_is_the_rank_that_counts_the_new_case_too() -> None:
    scores = np.arange(1.0, 20.0)  # 19 of them: ranks of 20
    assert quantile_to_cover(scores, 0.9) == 18
    assert quantile_to_cover(scores, 0.95) == 19
    assert quantile_to_cover(scores[::-1], 0.5) == 10
    assert quantile_to_cover(scores, 0.96) == np.inf


def test_ten_times_nine_tenths_is_nine() -> None:
    assert quantile_to_cover(np.arange(1.0, 10.0), 0.9) == 9


def test_no_case_earns_no_finite_interval() -> None:
    band = split_band([], [0.5], coverage=0.9)
    assert (band.low[0], band.high[0]) == (-np.inf, np.inf)


@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_split_intervals_cover_new_cases_as_often_as_they_say(coverage: float) -> None:
    rng = np.random.default_rng(0)
    held = rng.standard_exponential((REPEATS, 39)) - 1
    new = rng.standard_exponential(REPEATS) - 1
    bands = [split_band(row, [0.0], coverage=coverage) for row in held]
    band = Band(*(np.array([getattr(one, end)[0] for one in bands]) for end in ("low", "high")))
    found = share_covered(band, new, coverage=0.999)
    assert found is not None
    assert found.low <= coverage <= found.high


def test_cv_plus_intervals_cover_new_cases_though_every_case_trained_a_model() -> None:
    rng = np.random.default_rng(1)
    low, high, truth = [], [], []
    for _ in range(REPEATS):
        y = rng.standard_normal(41)
        fold = np.arange(40) % 5
        means = np.array([y[:40][fold != k].mean() for k in range(5)])
        band = cv_plus_band(y[:40] - means[fold], fold, means[:, None], coverage=0.8)
        low.append(band.low[0])
        high.append(band.high[0])
        truth.append(y[40])
    found = share_covered(Band(np.array(low), np.array(high)), truth, coverage=0.999)
    assert found is not None
    assert found.low <= 0.8 <= found.high


def test_cv_plus_of_one_fold_is_the_split_interval() -> None:
    residuals = [0.3, -0.1, 0.2, -0.4]
    one = cv_plus_band(residuals, np.zeros(4, int), [[0.5, 0.7]], coverage=0.8)
    split = split_band(residuals, [0.5, 0.7], coverage=0.8)
    assert np.allclose(one, split)


def test_cv_plus_needs_enough_cases() -> None:
    assert cv_plus_band([0.1], [0], [[0.5]]).high[0] == np.inf


def test_folds_that_have_no_model_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"predictions \(k, m\)"):
        cv_plus_band([0.1, 0.2], [0, 1], [[0.5]])


def test_quantiles_that_are_too_narrow_are_widened_and_those_too_wide_narrowed() -> None:
    truth = np.linspace(-1, 1, 99)
    zero = np.zeros(99)
    wider = conformal_quantile_band(zero - 0.1, zero + 0.1, truth, [0.0], [0.0], coverage=0.9)
    narrower = conformal_quantile_band(zero - 5, zero + 5, truth, [-5.0], [5.0], coverage=0.9)
    assert wider.high[0] == pytest.approx(0.8, abs=0.03)
    assert narrower.high[0] == pytest.approx(0.9, abs=0.03)


def test_each_bin_moves_by_its_own_cases_and_a_small_one_by_the_larger_of_both() -> None:
    rng = np.random.default_rng(2)
    truth = np.concatenate([rng.uniform(-1, 1, 200), rng.uniform(-3, 3, 200), [5.0]])
    bins = ["calm"] * 200 + ["wild"] * 200 + ["rare"]
    zero = np.zeros(401)
    band = conformal_quantile_band(
        zero, zero, truth, np.zeros(4), np.zeros(4), bins=bins, new_bins=["calm", "wild", "rare", "new"]
    )
    assert band.high[0] == pytest.approx(0.9, abs=0.1)
    assert band.high[1] == pytest.approx(2.7, abs=0.2)
    assert band.high[2] == 5.0
    assert band.high[0] < band.high[3] < band.high[1]


def test_residuals_that_are_no_numbers_and_odd_coverages_are_refused() -> None:
    with pytest.raises(SettingsError, match="1 of 2 residuals"):
        quantile_to_cover([0.1, np.nan], 0.5)
    with pytest.raises(SettingsError, match="between 0 and 1, not 90"):
        quantile_to_cover([0.1], 90)


def test_without_cases_no_share_is_covered() -> None:
    assert share_covered(Band(np.empty(0), np.empty(0)), []) is None
