"""What a forecast learns from, what it is asked about, and how its errors are put together."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epistem.core import SettingsError, ShapeError, UnknownName
from epistem.stats.regression import errors, fold_mean
from epistem.trust.cases import Cases
from epistem.trust.protocols import (
    PROTOCOLS,
    Fold,
    dealt_folds,
    errors_by_split,
    from_cases,
    from_table,
    image_folds,
    leave_one_detector_out,
    leave_one_out,
    leave_one_source_out,
    leave_one_split_out,
    mae_ratio,
    out_of_fold,
    random_folds,
    split_means,
)

# As in the study: split, detector, sources its test images are of.
SPLITS = (
    ("A&B_C", "A&B", ("C",)),
    ("A:over_under", "A:over", ("A:under",)),
    ("B_A", "B", ("A:over", "A:under")),
    ("A&B_A&B", "A&B", ("A:over", "A:under", "B")),
    ("A_A", "A", ("A:over", "A:under")),
    ("B_B", "B", ("B",)),
)


def study(each: int = 3) -> pd.DataFrame:
    rows = [
        {"split": split, "detector": detector, "source": source, "image": f"{split} {source} {k}"}
        for split, detector, sources in SPLITS
        for source, k in product(sources, range(each))
    ]
    return pd.DataFrame(rows)


def cases(images: pd.DataFrame) -> Cases:
    images = images.assign(case=range(len(images)), rows=10, cols=10, asked=1)
    return Cases(images, pd.DataFrame({"case": [0], "score": [0.5], "right": [True], "neither": [False]}))


class Mean:
    """Predicts the mean of what it has seen."""

    def fit(self, table: pd.DataFrame, target: np.ndarray) -> None:
        self.value = target.mean(axis=0)

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        return np.broadcast_to(self.value, (len(table), *np.shape(self.value)))


# ---------------------------------------------------------------- folds


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_row_is_learnt_from_and_asked_about(name: str) -> None:
    for fold in PROTOCOLS[name](study(), 0):
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) > 0


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_repeat_tests_each_row_once(name: str) -> None:
    folds = PROTOCOLS[name](study(), 0)
    for repeat in {fold.repeat for fold in folds}:
        tested = np.concatenate([fold.test for fold in folds if fold.repeat == repeat])
        assert sorted(tested) == list(range(len(study())))


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "random"])
def test_an_image_in_two_splits_is_never_on_both_sides(name: str) -> None:
    images = study()
    images.loc[images["split"] == "A_A", "image"] = images.loc[images["split"] == "B_A", "image"].to_numpy()
    for fold in PROTOCOLS[name](images, 0):
        assert not set(images["image"].iloc[fold.train]) & set(images["image"].iloc[fold.test])


def test_images_of_two_sources_may_share_a_name() -> None:
    images = study().assign(image="first")
    fold = leave_one_split_out(images)[0]
    assert fold.left_out == "A&B_C"
    assert len(fold.train) == len(images) - len(fold.test)


def test_a_protocol_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownName, match="detector"):
        PROTOCOLS["detectr"]


def test_random_folds_are_five_of_one_size_ten_times_and_repeat_with_the_seed() -> None:
    folds = random_folds(study(), seed=3)
    assert [fold.repeat for fold in folds] == [repeat for repeat in range(10) for _ in range(5)]
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert all((a.test == b.test).all() for a, b in zip(folds, random_folds(study(), seed=3), strict=True))
    assert any(len(a.test) != len(b.test) or (a.test != b.test).any()
               for a, b in zip(folds, random_folds(study(), seed=4), strict=True))  # fmt: skip


def test_what_stays_together_is_dealt_together() -> None:
    group = ["a", "b", "a", "c", "b", "c"]
    for fold in dealt_folds(group, folds=3, repeats=4):
        assert len({group[row] for row in fold.test}) == 1
        assert len(fold.test) == 2


def test_a_left_out_source_does_not_come_back_in_a_union_nor_with_another_focus() -> None:
    images = study()
    folds = {fold.left_out: fold for fold in leave_one_source_out(images)}
    assert sorted(folds) == ["A", "B", "C"]
    learnt = images.iloc[folds["A"].train]
    assert set(learnt["source"]) == {"B", "C"}
    assert "A&B_A&B" in set(learnt["split"])  # its images of B stay
    assert set(images.iloc[folds["A"].test]["source"]) == {"A:over", "A:under"}
    assert "A&B_A&B" in set(images.iloc[folds["B"].test]["split"])


def test_a_detector_trained_on_two_sets_is_its_own() -> None:
    images = study()
    folds = {fold.left_out: fold for fold in leave_one_detector_out(images)}
    assert sorted(folds) == ["A", "A&B", "A:over", "B"]
    assert set(images.iloc[folds["A"].test]["split"]) == {"A_A"}
    assert set(images.iloc[folds["A&B"].test]["split"]) == {"A&B_C", "A&B_A&B"}
    assert "A&B" not in set(images.iloc[folds["A&B"].train]["detector"])


def test_what_is_not_known_gives_no_folds() -> None:
    with pytest.raises(SettingsError, match="folds by split need the split of each case; 9 of 30"):
        leave_one_split_out(study().assign(split=lambda t: t["split"].where(t["source"].str.startswith("A:"), "")))
    with pytest.raises(SettingsError, match="folds by image"):
        image_folds(study().assign(image=""))
    with pytest.raises(SettingsError, match="A&B are several"):
        leave_one_source_out(study().assign(source="A&B"))
    with pytest.raises(SettingsError, match="no case is left"):
        leave_one_out(["a", "a"])
    with pytest.raises(SettingsError, match="there are 3 groups"):
        dealt_folds(range(3))


def test_images_without_a_name_are_each_their_own() -> None:
    fold = leave_one_split_out(study().assign(image=""))[0]
    assert len(fold.train) + len(fold.test) == len(study())


# ---------------------------------------------------------------- predictions


def test_predictions_stand_at_the_rows_they_are_for() -> None:
    images = study()
    said = out_of_fold(lambda train, test: test * 2.0, len(images), random_folds(images))
    assert said.predicted.shape == (10, len(images), 1)
    assert (said.predicted[:, :, 0] == 2.0 * np.arange(len(images))).all()
    assert said.mean[:, 0] == pytest.approx(2.0 * np.arange(len(images)))


def test_the_mean_is_over_the_repeats_that_tested_a_row() -> None:
    rows = np.arange(4)
    folds = [Fold(rows[2:], rows[:2], "x", 0), Fold(rows[2:], rows[:1], "x", 1)]
    answers = iter(([1.0, 5.0], [3.0]))
    said = out_of_fold(lambda train, test: next(answers), 4, folds)
    assert said.fold.tolist() == [[0, 0, -1, -1], [1, -1, -1, -1]]
    assert said.mean[:2, 0].tolist() == [2.0, 5.0]
    assert np.isnan(said.mean[2:]).all()


def test_a_table_goes_through_without_rows_whose_target_is_not_known() -> None:
    target = np.array([0.0, np.nan, 1.0, 5.0])
    table = pd.DataFrame({"x": range(4)})
    fold = Fold(np.array([0, 1, 2]), np.array([3]), "last")
    said = out_of_fold(from_table(Mean, table, target), 4, [fold])
    assert said.predicted[0, 3, 0] == 0.5


def test_several_targets_go_through_together() -> None:
    target = np.array([[0.0, 4.0], [1.0, 2.0], [9.0, 9.0]])
    fold = Fold(np.array([0, 1]), np.array([2]), "last")
    said = out_of_fold(from_table(Mean, pd.DataFrame({"x": range(3)}), target), 3, [fold])
    assert said.predicted[0, 2].tolist() == [0.5, 3.0]


def test_a_model_of_cases_is_given_those_of_the_fold_in_their_order() -> None:
    class Told:
        def fit(self, known: Cases) -> Any:
            self.known = set(known.images["image"])

        def predict(self, asked: Cases) -> np.ndarray:
            assert not self.known & set(asked.images["image"])
            return asked.images["case"].to_numpy(float)

    everything = cases(study())
    for folds in (leave_one_source_out(everything.images), random_folds(everything.images)):
        said = out_of_fold(from_cases(Told, everything), len(everything), folds)
        assert said.mean[:, 0].tolist() == list(range(len(everything)))


def test_folds_or_answers_that_do_not_fit_are_refused() -> None:
    rows = np.arange(3)
    with pytest.raises(SettingsError, match="learns from"):
        out_of_fold(lambda train, test: test, 3, [Fold(rows, rows[:1], "x")])
    with pytest.raises(SettingsError, match="another fold"):
        out_of_fold(lambda train, test: test, 3, [Fold(rows[1:], rows[:1], "x")] * 2)
    with pytest.raises(ShapeError, match="predictions for 1 cases"):
        out_of_fold(lambda train, test: [1.0, 2.0], 3, [Fold(rows[1:], rows[:1], "x")])


# ---------------------------------------------------------------- errors

TRUTH = np.array([0.1, 0.3, 0.5, 0.9, 0.8, 0.2])
SPLIT = ["A&B_C", "A&B_C", "B_A", "B_A", "A_A", "A_A"]
SAID = np.array([[0.2, 0.3, 0.6, 0.7, 0.5, 0.2], [0.0, 0.3, 0.5, 0.9, 0.7, 0.4]])
FOLD = np.array([[0, 1, 0, 1, 0, 1], [2, 2, 2, 3, 3, 3]])


def by_subset(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("subset")


def test_the_table_has_the_published_rows_in_the_published_order() -> None:
    assert errors_by_split(TRUTH, SAID, FOLD, SPLIT)["subset"].tolist() == [
        "All data", "All data, mean of folds", "A&B_C", "B_A", "Average of grouped splits", "A_A",
        "Average of random splits",
    ]  # fmt: skip


def test_errors_are_of_each_repeat_and_then_averaged() -> None:
    found = by_subset(errors_by_split(TRUTH, SAID, FOLD, SPLIT)).loc["All data"]
    assert found["n"] == 6
    assert found["rmse"] == pytest.approx(np.mean([errors(TRUTH, said).rmse for said in SAID]))
    assert found["rmse"] != pytest.approx(errors(TRUTH, SAID.mean(axis=0)).rmse)


def test_the_mean_of_folds_is_that_of_each_repeat() -> None:
    found = by_subset(errors_by_split(TRUTH, SAID, FOLD, SPLIT)).loc["All data, mean of folds"]
    each = [fold_mean(TRUTH, said, fold.tolist()).rmse for said, fold in zip(SAID, FOLD, strict=True)]
    assert found["rmse"] == pytest.approx(np.mean(each))


def test_averages_weigh_splits_alike() -> None:
    more = np.append(TRUTH, 0.4), np.append(SAID, [[1.0], [1.0]], axis=1), np.append(FOLD, [[0], [2]], axis=1)
    found = by_subset(errors_by_split(*more, [*SPLIT, "B_A"]))
    pair = found.loc[["A&B_C", "B_A"], "mae"]
    assert found.loc["Average of grouped splits", "mae"] == pytest.approx(pair.mean())
    assert found.loc["Average of grouped splits", "n"] == 2.5


def test_cases_without_truth_or_prediction_are_counted_and_change_nothing() -> None:
    truth, said = np.append(TRUTH, [np.nan, 0.5]), np.append(SAID, [[0.5, np.nan]] * 2, axis=1)
    fold = np.append(FOLD, [[0, -1], [2, -1]], axis=1)
    found = by_subset(errors_by_split(truth, said, fold, [*SPLIT, "A_A", "empty"]))
    assert found.loc["All data", "left_out"] == 2
    assert found.loc["A_A", ["n", "left_out"]].tolist() == [2, 1]
    assert found.loc["empty", "n"] == 0
    assert np.isnan(found.loc["empty", "mae"])
    assert found.loc["Average of random splits", "mae"] == pytest.approx(found.loc["A_A", "mae"])
    assert found.loc["All data", "mae"] == pytest.approx(
        by_subset(errors_by_split(TRUTH, SAID, FOLD, SPLIT)).loc["All data", "mae"]
    )
    with pytest.raises(ShapeError, match="none of 1"):
        errors_by_split([np.nan], [[0.5]], [[0]], ["a"])


def test_split_means_are_of_each_split_and_unknown_cases_are_left_out() -> None:
    found = split_means([0.2, 0.4, 0.9, np.nan], [0.3, 0.3, 0.8, 0.1], ["b", "b", "a", "a"])
    assert found["split"].tolist() == ["b", "a"]
    assert found["n"].tolist() == [2, 1]
    assert found["true"].tolist() == pytest.approx([0.3, 0.9])
    assert found["true_sd"].tolist() == pytest.approx([0.1, 0.0])
    assert found["predicted"].tolist() == pytest.approx([0.3, 0.8])


# ---------------------------------------------------------------- ours against theirs


def test_half_the_error_everywhere_is_a_ratio_of_a_half_without_doubt() -> None:
    truth, split = np.zeros(6), ["a", "a", "b", "b", "c", "c"]
    theirs = np.array([0.2, 0.4, 0.6, 0.2, 0.1, 0.3])
    found = mae_ratio(truth, theirs / 2, theirs, split)
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_splits_that_disagree_make_the_ratio_unsure_and_more_cases_of_them_do_not_help() -> None:
    ours, theirs, split = np.array([0.1, 0.9, 0.2]), np.full(3, 0.5), ["a", "b", "c"]
    few, many = (mae_ratio(np.zeros(3 * k), np.tile(ours, k), np.tile(theirs, k), split * k) for k in (1, 20))
    assert few is not None
    assert many is not None
    assert (many.low, many.high) == pytest.approx((few.low, few.high))
    assert few.value == pytest.approx(0.8)
    assert few.low < 0.5 < 1.2 < few.high


def test_each_case_weighs_alike_in_the_ratio() -> None:
    ours, theirs = np.array([0.1, 0.1, 0.1, 0.5]), np.array([0.2, 0.2, 0.2, 0.5])
    found = mae_ratio(np.zeros(4), ours, theirs, ["a", "a", "a", "b"])
    assert found is not None
    assert found.value == pytest.approx(0.8 / 1.1)
    assert (found.low, found.high) == pytest.approx((0.5, 1.0))


def test_a_ratio_over_one_split_or_to_no_error_is_not_given() -> None:
    assert mae_ratio([0.0], [0.1], [0.2], ["a"]) is None
    with pytest.raises(SettingsError, match="no error at all"):
        mae_ratio([0.0, 0.0], [0.1, 0.1], [0.0, 0.1], ["a", "b"])
