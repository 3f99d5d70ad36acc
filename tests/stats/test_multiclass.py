from __future__ import annotations

import warnings

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError
from epistem.stats.multiclass import accuracy, balanced_accuracy, class_scores, confusion_matrix, macro_f1


@pytest.fixture
def calls() -> tuple[np.ndarray, np.ndarray]:
    """Six classes; class 4 never occurs and is called, class 5 neither."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    return truth, np.where(rng.random(200) < 0.6, truth, rng.integers(0, 5, 200))


def test_truth_is_the_row_and_the_call_the_column() -> None:
    assert confusion_matrix([0, 0, 1], [1, 1, 0], classes=2).tolist() == [[0, 2], [1, 0]]


def test_scores_are_those_of_sklearn(calls: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, called = calls
    matrix = confusion_matrix(truth, called, classes=6)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(truth, called, labels=range(6)))
    assert accuracy(matrix) == pytest.approx(metrics.accuracy_score(truth, called))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that class 4 never occurs
        assert balanced_accuracy(matrix) == pytest.approx(metrics.balanced_accuracy_score(truth, called))
    assert macro_f1(matrix) == pytest.approx(metrics.f1_score(truth, called, average="macro", zero_division=0))
    theirs = metrics.precision_recall_fscore_support(truth, called, labels=range(4), zero_division=0)
    ours = np.array([tuple(one) for one in class_scores(matrix)[:4]])
    np.testing.assert_allclose(ours.T, np.array(theirs))


def test_a_class_that_never_occurs_has_no_recall_and_is_not_in_the_balanced_accuracy() -> None:
    matrix = [[3, 1, 0], [0, 0, 0], [0, 0, 0]]
    called, absent = class_scores(matrix)[1:]
    assert (called.precision, called.recall, called.f1) == (0.0, None, 0.0)
    assert absent == (None, None, None, 0)
    assert balanced_accuracy(matrix) == 0.75
    assert macro_f1(matrix) == pytest.approx((6 / 7 + 0) / 2)


def test_no_case_has_no_score() -> None:
    matrix = confusion_matrix([], [], classes=3)
    assert matrix.shape == (3, 3)
    assert accuracy(matrix) is balanced_accuracy(matrix) is macro_f1(matrix) is None


@pytest.mark.parametrize("strange", [[-1, 0], [0, 2], [0.5, 1], [np.nan, 1]])
def test_what_is_not_a_class_is_refused(strange: list[float]) -> None:
    with pytest.raises(SettingsError, match="whole numbers from 0 to 1"):
        confusion_matrix([0, 1], strange, classes=2)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="as many"):
        confusion_matrix([0, 1], [0], classes=2)
    with pytest.raises(ShapeError, match=r"\(k, k\)"):
        class_scores(np.ones((2, 3)))
