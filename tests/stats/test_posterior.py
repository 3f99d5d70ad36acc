from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from epistem.core import SettingsError, ShapeError
from epistem.stats.posterior import (
    adjusted_prior,
    brier,
    calibration_error,
    classwise_calibration_error,
    divergence_bits,
    entropy_bits,
    entropy_reduction,
    equal_mass_calibration_error,
    fit_sets,
    fit_temperature,
    information_gain_bits,
    log_loss,
    mean_entropy_bits,
    reliability_table,
    tempered,
)


def drawn(n: int = 4000, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: a model that is calibrated."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, classes))
    cuts = softmax(logits, axis=1).cumsum(1)
    return logits, (rng.random(n)[:, None] > cuts[:, :-1]).sum(1)


def test_knowing_nothing_of_eight_classes_is_three_bits_and_being_sure_none() -> None:
    rows = np.array([np.full(8, 1 / 8), np.eye(8)[3]])
    np.testing.assert_allclose(entropy_bits(rows), [3, 0])
    assert mean_entropy_bits(rows) == pytest.approx(1.5)


def test_a_posterior_from_two_bits_to_one_has_gained_one_and_lost_half_its_entropy() -> None:
    before, after = np.full((1, 4), 0.25), np.array([[0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(information_gain_bits(before, after), [1])
    np.testing.assert_allclose(information_gain_bits(after, before), [-1])
    np.testing.assert_allclose(divergence_bits(before, after), [1])
    assert divergence_bits(after, before)[0] == np.inf
    assert entropy_reduction(before, after) == pytest.approx(0.5)
    assert entropy_reduction(np.eye(2), np.eye(2)) is None


def test_an_answer_that_moves_without_growing_surer_has_a_divergence_and_no_gain() -> None:
    before, after = np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])
    assert information_gain_bits(before, after)[0] == pytest.approx(0)
    assert divergence_bits(before, after)[0] == pytest.approx(0.8 * np.log2(9))


def test_likelihood_and_brier_are_those_of_sklearn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = drawn(300)
    p = softmax(logits, axis=1)
    loss = log_loss(p, labels)
    assert loss is not None
    assert loss.nats == pytest.approx(metrics.log_loss(labels, p, labels=range(6)))
    assert loss.bits == pytest.approx(loss.nats / np.log(2))
    assert brier(p, labels) == pytest.approx(
        metrics.brier_score_loss(labels, p, labels=range(6), scale_by_half=False)
    )


def test_calling_the_truth_impossible_costs_everything() -> None:
    loss = log_loss([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    assert loss == (np.inf, np.inf)
    assert log_loss([[1.0, 0.0]], [0]) == (0.0, 0.0)


def test_a_calibrated_model_has_small_errors_and_an_overconfident_one_large() -> None:
    logits, labels = drawn()
    for error, most in (
        (calibration_error, 0.03), (equal_mass_calibration_error, 0.03), (classwise_calibration_error, 0.02),
    ):  # fmt: skip
        good, sure = error(softmax(logits, axis=1), labels), error(softmax(4 * logits, axis=1), labels)
        assert good is not None
        assert sure is not None
        assert good < most
        assert sure > 2 * most


def test_equal_mass_bins_hold_as_many_cases_each() -> None:
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.95, 0.05]])
    # two bins: |0.6 + 0.7 − 2| and |0.9 + 0.95 − 1|, over 4
    assert equal_mass_calibration_error(p, [0, 1, 0, 0], bins=2) == pytest.approx((0.7 + 0.85) / 4)


def test_the_order_of_equally_sure_cases_does_not_matter() -> None:
    p = np.array([[0.8, 0.2]] * 10)
    labels = np.array([0] * 8 + [1] * 2)
    assert equal_mass_calibration_error(p, labels) == equal_mass_calibration_error(p, labels[::-1])
    assert equal_mass_calibration_error(p, labels) == pytest.approx(0)


def test_the_reliability_table_adds_up_to_the_calibration_error() -> None:
    logits, labels = drawn(500)
    p = softmax(3 * logits, axis=1)
    rows = reliability_table(p, labels)
    assert sum(row.n for row in rows) == 500
    gaps = [row.n * abs(row.confidence - row.accuracy.value) for row in rows if row.accuracy and row.confidence]
    assert sum(gaps) / 500 == pytest.approx(calibration_error(p, labels))
    assert rows[0] == (0.0, 1 / 15, 0, None, None)  # the largest of six is never below 1/6


def test_the_temperature_that_was_put_in_is_found() -> None:
    logits, labels = drawn()
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=1e-3)
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(tempered(3 * logits, 3.0), softmax(logits, axis=1))


def test_a_temperature_stays_finite_where_every_case_is_right() -> None:
    assert 0.05 <= fit_temperature(np.eye(3), [0, 1, 2]) < 0.06


def test_a_new_prior_is_bayes_rule() -> None:
    rng = np.random.default_rng(0)
    likelihood, train, target = rng.random((5, 3)), np.array([1, 1, 1]) / 3, np.array([0.9, 0.09, 0.01])
    before, wanted = likelihood * train, likelihood * target
    found = adjusted_prior(before / before.sum(1, keepdims=True), train, target)
    np.testing.assert_allclose(found, wanted / wanted.sum(1, keepdims=True))
    np.testing.assert_allclose(adjusted_prior(found, target, train), before / before.sum(1, keepdims=True))


def test_priors_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="never trained"):
        adjusted_prior([[0.5, 0.5]], [1, 0], [0.5, 0.5])
    with pytest.raises(SettingsError, match="rules out"):
        adjusted_prior([[1.0, 0.0]], [0.5, 0.5], [0, 1])
    with pytest.raises(ShapeError, match="2 classes"):
        adjusted_prior([[1.0, 0.0]], [1, 1, 1], [1, 1, 1])


@pytest.mark.parametrize("method", ["LAC", "APS"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_cover_new_cases_as_often_as_they_say(method: str, coverage: float) -> None:
    held, new = drawn(1000, seed=1), drawn(4000, seed=2)
    wrong = softmax(3 * held[0], axis=1)  # an overconfident model; the guarantee does not need a good one
    fitted = fit_sets(wrong, held[1], coverage=coverage, method=method)  # type: ignore[arg-type]
    sets = fitted.sets(softmax(3 * new[0], axis=1))
    covered = sets[np.arange(len(sets)), new[1]].mean()
    assert coverage - 0.03 < covered < (coverage + 0.03 if method == "LAC" else 1)
    assert sets.mean() < 0.95


def test_lac_sets_are_the_classes_above_one_probability() -> None:
    fitted = fit_sets(np.array([[0.9, 0.1]] * 9 + [[0.4, 0.6]]), [0] * 10, coverage=0.8, method="LAC")
    assert fitted.threshold == pytest.approx(0.1)
    assert fitted.sets([[0.95, 0.05], [0.5, 0.5]]).tolist() == [[True, False], [False, False]]


def test_aps_sets_are_never_empty_and_lengthen_with_doubt() -> None:
    p = np.array([[0.5, 0.3, 0.2]] * 19)
    fitted = fit_sets(p, [1] * 19, coverage=0.9, method="APS")
    assert fitted.threshold == pytest.approx(0.8)
    sets = fitted.sets([[0.98, 0.01, 0.01], [0.5, 0.3, 0.2], [0.4, 0.35, 0.25]])
    assert sets.tolist() == [[True, False, False], [True, True, False], [True, True, False]]


def test_too_few_cases_for_the_coverage_rule_no_class_out() -> None:
    assert fit_sets(np.eye(3), [0, 1, 2], coverage=0.95).sets(np.eye(3)).all()


def test_no_case_has_no_measure() -> None:
    none = np.empty((0, 3))
    assert mean_entropy_bits(none) is log_loss(none, []) is brier(none, []) is None
    assert calibration_error(none, []) is equal_mass_calibration_error(none, []) is None
    assert classwise_calibration_error(none, []) is None
    assert all(row.accuracy is None for row in reliability_table(none, []))


@pytest.mark.parametrize("rows", [[[0.5, 0.6]], [[1.1, -0.1]], [[np.nan, 1.0]]])
def test_rows_that_are_no_probabilities_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(SettingsError, match="sum 1"):
        entropy_bits(rows)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="one label"):
        brier(np.eye(2), [0])
    with pytest.raises(SettingsError, match="0 to 1"):
        brier(np.eye(2), [0, 2])
    with pytest.raises(ShapeError, match="same cases"):
        information_gain_bits(np.eye(2), np.eye(3))
    with pytest.raises(SettingsError, match="LAC or APS"):
        fit_sets(np.eye(2), [0, 1], method="RAPS")  # type: ignore[arg-type]
