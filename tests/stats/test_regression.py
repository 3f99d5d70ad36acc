from __future__ import annotations

import numpy as np
import pytest

from epistem.core import ShapeError
from epistem.stats.regression import errors, fold_mean, rows_by

TRUTH, SAID = [0.0, 0.5, 1.0], [0.1, 0.5, 0.6]


def test_errors_of_three_predictions() -> None:
    found = errors(TRUTH, SAID)
    assert found.mae == pytest.approx(0.5 / 3)
    assert found.rmse == pytest.approx(np.sqrt(0.17 / 3))
    assert found.r2 == pytest.approx(1 - 0.17 / 0.5)
    assert found.nrmse == pytest.approx(found.rmse / np.std(TRUTH))
    assert found.nmae == pytest.approx(found.mae / 0.5)
    assert found.bias == pytest.approx(-0.1)


def test_the_mean_of_all_truths_explains_nothing() -> None:
    assert errors(TRUTH, [0.5] * 3).r2 == pytest.approx(0)


def test_equal_truths_have_no_r2_and_a_mean_of_zero_no_nmae() -> None:
    found = errors([0.0, 0.0], [0.1, 0.2])
    assert (found.r2, found.nrmse, found.nmae) == (None, None, None)


def test_folds_are_averaged_and_one_without_r2_is_left_out_of_its_mean() -> None:
    truth, said = [0.0, 1.0, 0.4], [0.0, 0.8, 0.7]
    found = fold_mean(truth, said, ["a", "a", "b"])
    assert found.n == 3
    assert found.mae == pytest.approx((0.1 + 0.3) / 2)
    assert found.r2 == errors(truth[:2], said[:2]).r2


def test_rows_are_grouped_in_the_order_they_come() -> None:
    found = rows_by(["b", "a", "b"], 3)
    assert {name: rows.tolist() for name, rows in found.items()} == {"b": [0, 2], "a": [1]}
    assert list(found) == ["b", "a"]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ShapeError, match="as many predictions as truths"):
        errors([0.1], [0.1, 0.2])
    with pytest.raises(ShapeError, match="finite"):
        errors([0.1], [np.nan])
    with pytest.raises(ShapeError, match="a group for each of 2 cases; got 1"):
        rows_by(["a"], 2)
