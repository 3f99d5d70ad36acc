"""Platt's scaling and the calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from epistem.core import SettingsError
from epistem.stats.calibration import expected_calibration_error, platt


def drawn(scale: float, shift: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(1, 2, n)
    return logits, rng.random(n) < expit(scale * logits + shift)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, -1.0), (3.0, 2.0)])
def test_the_scale_and_shift_that_made_the_answers_come_back(scale: float, shift: float) -> None:
    assert platt(*drawn(scale, shift)) == pytest.approx((scale, shift), abs=0.06 * scale + 0.04)


def test_platt_equals_sklearn_on_the_smoothed_targets() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    logits, right = drawn(0.7, -0.5, n=60)
    high, low = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    share = np.where(right, high, low)
    # A target between 0 and 1 is both answers, each with its weight.
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(np.tile(logits, 2)[:, None], np.repeat([1, 0], 60), np.concatenate([share, 1 - share]))
    assert platt(logits, right) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), rel=1e-4)


def test_logits_that_separate_right_from_wrong_get_platts_targets() -> None:
    scale, shift = platt([-2.0, -2.0, 3.0, 3.0, 3.0], [False, False, True, True, True])
    assert expit(scale * np.array([-2.0, 3.0]) + shift) == pytest.approx([1 / 4, 4 / 5], abs=1e-6)


def test_twice_the_logits_get_half_the_scale() -> None:
    logits, right = drawn(1.0, -1.0, n=300)
    once, twice = platt(logits, right), platt(2 * logits + 5, right)
    assert twice.scale == pytest.approx(once.scale / 2, rel=1e-5)
    assert twice.scale * 5 + twice.shift == pytest.approx(once.shift, abs=1e-5)


@pytest.mark.parametrize(
    ("logits", "right"),
    [([], []), ([1.0, 2.0], [True, True]), ([np.inf, 2.0], [True, False]), ([1.0], [True, False])],
)
def test_what_tells_no_scale_is_refused(logits: list[float], right: list[bool]) -> None:
    with pytest.raises(SettingsError, match=r"wanted as many|right and wrong"):
        platt(logits, right)


@pytest.mark.parametrize("logits", [[3.0, 2.0, -1.0, -2.0], [1.0, 1.0, 1.0, 1.0]])
def test_logits_that_order_nothing_are_refused(logits: list[float]) -> None:
    with pytest.raises(SettingsError, match="not more often right"):
        platt(logits, [False, False, True, True])


def test_scores_drawn_as_they_say_have_hardly_an_error_and_bent_ones_more() -> None:
    logits, right = drawn(1.0, 0.0)
    plain, bent = (expected_calibration_error(expit(k * logits), right) for k in (1, 3))
    assert plain is not None
    assert bent is not None
    assert plain < 0.015 < 0.05 < bent


def test_calibrated_scores_have_a_smaller_error_than_the_raw_ones() -> None:
    logits, right = drawn(0.4, -1.0)
    fitted = platt(logits, right)
    raw, better = (
        expected_calibration_error(p, right) for p in (expit(logits), expit(fitted[0] * logits + fitted[1]))
    )
    assert raw is not None
    assert better is not None
    assert better < raw / 5


def test_errors_of_bins_do_not_cancel_and_those_within_a_bin_do() -> None:
    scores, right = [0.2, 0.2, 0.8, 0.8], [True, True, False, False]
    assert expected_calibration_error(scores, right) == pytest.approx(0.8)
    assert expected_calibration_error(scores, right, bins=1) == pytest.approx(0.0)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_belong_to_a_bin(score: float) -> None:
    assert expected_calibration_error([score], [True]) == pytest.approx(1 - score)


def test_no_score_has_no_error() -> None:
    assert expected_calibration_error([], []) is None


@pytest.mark.parametrize("score", [1.2, -0.1, np.nan])
def test_what_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(SettingsError, match="from 0 to 1"):
        expected_calibration_error([score], [True])
