from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from epistem.core import SettingsError, ShapeError
from epistem.stats.classification import CUTS, confusion, cut_at, precision_recall, sweep

TRUTH, SAID = [0.9, 0.7, 0.2, 0.1], [0.8, 0.4, 0.6, 0.1]


def noisy(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=n)
    # Rounded: cases of equal prediction are among them.
    return truth, (truth + rng.normal(0, 0.3, n)).clip(0, 1).round(1)


def test_the_curve_and_its_average_are_those_of_scikit_learn() -> None:
    truth, said = noisy()
    curve = precision_recall(truth, said, good=0.5)
    precision, recall, threshold = precision_recall_curve(truth >= 0.5, said)
    # Theirs runs the other way, and ends in a point at a recall of 0 that no threshold gives.
    assert curve.precision == pytest.approx(precision[:-1][::-1])
    assert curve.recall == pytest.approx(recall[:-1][::-1])
    assert curve.threshold == pytest.approx(threshold[::-1])
    assert curve.average == pytest.approx(average_precision_score(truth >= 0.5, said))


def test_no_skill_is_the_share_of_good_cases_and_calling_all_of_them_gets_it() -> None:
    curve = precision_recall([0.9, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4])
    assert curve.no_skill == 0.25
    assert (curve.precision[-1], curve.recall[-1]) == (0.25, 1.0)


def test_a_forecast_that_orders_perfectly_is_precise_until_all_good_are_called() -> None:
    curve = precision_recall(TRUTH, TRUTH)
    assert curve.precision[:2].tolist() == [1.0, 1.0]
    assert curve.average == 1.0


def test_the_calls_at_a_cut_are_those_of_pen_and_paper() -> None:
    found = cut_at(TRUTH, SAID, 0.5)
    assert (found.n, found.good) == (4, 2)
    assert (found.precision, found.recall, found.f1, found.accuracy) == (0.5, 0.5, 0.5, 0.5)
    assert found.baseline_f1 == pytest.approx(2 / 3)
    assert found.baseline_accuracy == 0.5


def test_the_baseline_calls_every_case_what_most_are() -> None:
    mostly_bad = cut_at([0.9, 0.1, 0.1, 0.1], [0.9, 0.1, 0.1, 0.1], 0.5)
    assert (mostly_bad.baseline_f1, mostly_bad.baseline_accuracy) == (0.0, 0.75)
    mostly_good = cut_at([0.9, 0.9, 0.9, 0.1], [0.9, 0.1, 0.1, 0.1], 0.5)
    assert (mostly_good.baseline_f1, mostly_good.baseline_accuracy) == (pytest.approx(6 / 7), 0.75)


def test_without_a_good_case_or_call_there_is_no_f1() -> None:
    found = cut_at([0.1, 0.2], [0.1, 0.2], 0.5)
    assert (found.precision, found.recall, found.f1, found.baseline_f1) == (None, None, None, None)
    assert found.accuracy == 1.0


def test_a_value_on_the_cut_is_good() -> None:
    found = [cut_at([at], [at], at) for at in CUTS]
    assert [(one.good, one.precision) for one in found] == [(1, 1.0)] * 9
    assert precision_recall([0.5, 0.1], [0.9, 0.1], good=0.5).no_skill == 0.5


def test_the_sweep_has_fewer_good_cases_the_higher_the_cut() -> None:
    found = sweep(*noisy())
    assert [one.at for one in found] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert all(low.good >= high.good for low, high in pairwise(found))
    assert found[0].good > found[-1].good


def test_fifths_are_counted_with_edges_in_the_upper_bin_and_one_in_the_last() -> None:
    edges = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert confusion(edges, edges).tolist() == np.diag([1, 1, 1, 1, 2]).tolist()


def test_rows_are_truths_and_columns_predictions() -> None:
    found = confusion([0.1], [0.9])
    assert found.shape == (5, 5)
    assert (found[0, 4], found.sum()) == (1, 1)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(SettingsError, match="none of 2 reaches"):
        precision_recall([0.1, 0.2], [0.5, 0.6])
    with pytest.raises(SettingsError, match="from 0 to 1"):
        confusion([0.5], [1.2])
    with pytest.raises(ShapeError, match="finite"):
        cut_at([np.nan], [0.5], 0.5)
    with pytest.raises(ShapeError, match="as many"):
        sweep([], [])
