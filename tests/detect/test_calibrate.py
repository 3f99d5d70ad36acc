"""Thresholds and probabilities from labelled fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from epistem.core import Calibration, Instances, Micrograph, SettingsError
from epistem.detect.calibrate import (
    ASKED,
    Judged,
    LabelledField,
    asked_in_clear,
    asked_in_hard,
    best_threshold,
    centre_inside,
    choose,
    collect,
    counts_at,
    pooled_at,
    saved_field,
    split,
)
from epistem.detect.match import match
from epistem.synth.cavities import Simulated
from epistem.synth.fields import save_field

SHAPE = (40, 200)
IMAGE = Micrograph(np.zeros(SHAPE, np.uint8))


def row(*starts: float, score: list[float] | None = None) -> Instances:
    """Squares of 10 px side by side in one row."""
    return Instances.from_boxes(SHAPE, [[10, c, 20, c + 10] for c in starts], score)


def judged(scores: list[float], right: list[bool], asked: int, neither: list[bool] | None = None) -> Judged:
    n = len(scores)
    return Judged(
        np.array(scores),
        np.array(right, bool),
        np.array(neither if neither is not None else [False] * n, bool),
        np.zeros(n, np.int64),
        np.array([asked]),
    )


def cavities(boxes: list[list[float]], diameter_nm: list[float], seen: float = 9, contrast: float = 9) -> Instances:
    n = len(boxes)
    columns = {"d_prime": [seen] * n, "contrast_to_noise": [contrast] * n, "diameter_nm": diameter_nm}
    return Instances.from_boxes(SHAPE, boxes, columns={k: np.array(v, float) for k, v in columns.items()})


def test_what_is_found_is_right_wrong_or_neither() -> None:
    found = row(0, 50, 100, score=[0.9, 0.8, 0.7])
    one = collect(lambda _: found, [LabelledField(IMAGE, row(0, 150), row(100))])
    assert one.right.tolist() == [True, False, False]
    assert one.neither.tolist() == [False, False, True]
    assert one.scores.tolist() == [0.9, 0.8, 0.7]
    assert one.asked.tolist() == [2]


def test_of_two_objects_on_one_truth_the_surer_is_right() -> None:
    one = collect(lambda _: row(0, 4, score=[0.3, 0.6]), [LabelledField(IMAGE, row(2), row())])
    assert one.right.tolist() == [False, True]


def test_what_is_found_where_nothing_is_counts_from_the_smallest_size_asked_for_on() -> None:
    found = row(0, 50, score=[0.9, 0.8])  # 10 px squares are as large as discs of 11.3 px
    small, large = (collect(lambda _: found, [LabelledField(IMAGE, row(0), row(), px)]) for px in (11.2, 11.4))
    assert small.neither.tolist() == [False, False]
    assert large.neither.tolist() == [False, True]
    assert large.right.tolist() == [True, False]


def test_the_size_of_a_found_object_is_that_of_its_mask() -> None:
    crops = (np.eye(10, dtype=bool),)
    found = Instances.from_boxes(SHAPE, [[10, 50, 20, 60]], [0.8], crops=crops)
    one = collect(lambda _: found, [LabelledField(IMAGE, row(0), row(), 4.0)])
    assert one.neither.tolist() == [True]


def test_an_object_on_asked_and_ambiguous_truth_is_right() -> None:
    one = collect(lambda _: row(5, score=[0.5]), [LabelledField(IMAGE, row(2), row(8))])
    assert one.right.tolist() == [True]
    assert one.neither.tolist() == [False]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.62, 0.9, 1.0])
def test_counts_at_a_threshold_are_those_of_matching_what_it_leaves(threshold: float) -> None:
    rng = np.random.default_rng(3)
    fields, found = [], []
    for n in (12, 0, 25):
        truth, unsure = row(*rng.uniform(0, 190, 8)), row(*rng.uniform(0, 190, 4))
        fields.append(LabelledField(IMAGE, truth, unsure))
        found.append(row(*rng.uniform(0, 190, n), score=rng.random(n).tolist()))
    rest = iter(found)
    counts = counts_at(collect(lambda _: next(rest), fields), threshold)
    for got, one, (_, truth, unsure, _) in zip(counts.tolist(), found, fields, strict=True):
        alone = match(one[one.score >= threshold], truth, method="score-greedy", ambiguous=unsure)
        assert got == [alone.tp, alone.fp, alone.fn]


def test_the_best_threshold_beats_every_other() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(300) < 0.5
    scores = expit(rng.normal(np.where(right, 1.0, -1.0), 1.0))
    one = judged(scores.tolist(), right.tolist(), asked=200)
    best = pooled_at(one, best_threshold(one)).f1
    assert best == max(pooled_at(one, t).f1 for t in scores)
    assert best > pooled_at(one, 0.0).f1


def test_a_threshold_lies_between_the_last_kept_and_the_first_left_out() -> None:
    assert best_threshold(judged([0.9, 0.8, 0.2], [True, True, False], asked=2)) == pytest.approx(0.5)
    assert best_threshold(judged([0.9, 0.8], [True, True], asked=2)) == pytest.approx(0.4)


def test_objects_of_one_score_stay_together() -> None:
    one = judged([0.9, 0.5, 0.5, 0.5], [True, True, False, False], asked=2)
    threshold = best_threshold(one)
    assert pooled_at(one, threshold) == (1, 0, 1)  # 0.5 for all of them would be 2, 2, 0: no better


def test_what_is_neither_moves_no_threshold() -> None:
    without = judged([0.9, 0.5, 0.3], [True, True, False], asked=2)
    with_some = judged(
        [0.9, 0.7, 0.5, 0.3, 0.3], [True, False, True, False, False], 2, neither=[False, True, False, False, True]
    )
    assert best_threshold(with_some) == best_threshold(without)


@pytest.mark.parametrize(("right", "asked"), [([False], 3), ([], 3), ([], 0)])
def test_without_anything_right_there_is_no_threshold(right: list[bool], asked: int) -> None:
    with pytest.raises(SettingsError, match="asked for and found"):
        best_threshold(judged([0.5] * len(right), right, asked))


def test_no_field_and_no_score_are_refused() -> None:
    with pytest.raises(SettingsError, match="none came"):
        collect(lambda _: row(), [])
    with pytest.raises(SettingsError, match="no score"):
        collect(lambda _: row(3), [LabelledField(IMAGE, row(3), row())])


def test_nothing_asked_and_nothing_found_is_an_f1_of_one() -> None:
    pool = pooled_at(judged([], [], asked=0), 0.5)
    assert (pool.f1, pool.precision, pool.recall) == (1.0, None, None)


def test_scores_of_a_bent_scale_are_bent_back_and_keep_the_same_objects() -> None:
    rng = np.random.default_rng(1)
    true_logit = rng.normal(0, 2, 20_000)
    right = rng.random(len(true_logit)) < expit(true_logit)
    one = judged(expit((true_logit - 1) / 0.5).tolist(), right.tolist(), asked=int(right.sum()))
    chosen = choose(one)
    assert (chosen.scale, chosen.shift) == pytest.approx((0.5, 1.0), abs=0.06)
    assert chosen.calibration_error < 0.02
    bent_back = expit(chosen.scale * logit(one.scores) + chosen.shift)
    kept = one.scores >= best_threshold(one)
    np.testing.assert_array_equal(bent_back >= chosen.min_score, kept)
    assert chosen.pooled == pooled_at(one, best_threshold(one))


def test_scores_of_exactly_zero_and_one_are_calibrated_too() -> None:
    chosen = choose(judged([1.0, 1.0, 0.6, 0.4, 0.0], [True, True, True, False, False], asked=3))
    assert np.isfinite([chosen.scale, chosen.shift]).all()
    assert 0 < chosen.min_score < 1


def test_clear_asks_for_size_and_contrast_and_hard_for_what_can_be_seen() -> None:
    boxes = [[10, 10, 20, 20], [10, 40, 15, 45], [10, 60, 12.5, 62.5]]
    truth = cavities(boxes, [5.0, 2.5, 1.25])  # 10, 5 and 2.5 px of 0.5 nm
    assert asked_in_clear(truth, 0.5).tolist() == [True, False, False]
    assert asked_in_hard(truth, 0.5).tolist() == [True, True, False]
    assert not asked_in_clear(cavities(boxes, [5.0, 2.5, 1.25], contrast=2.9), 0.5).any()
    assert not asked_in_hard(cavities(boxes, [5.0, 2.5, 1.25], seen=4.9), 0.5).any()


def test_a_cavity_whose_centre_is_beyond_the_border_is_not_asked_for() -> None:
    boxes = [[0, 10, 6, 20], [0, 40, 4, 50], [34, 194, 40, 200], [34, 196, 40, 200], [10, 60, 20, 70]]
    truth = cavities(boxes, [10.0] * 5)
    wanted = [True, False, True, False, True]
    assert centre_inside(truth, 1.0).tolist() == wanted
    assert asked_in_clear(truth, 1.0).tolist() == asked_in_hard(truth, 1.0).tolist() == wanted


def test_a_saved_field_comes_back_split_by_its_rule(tmp_path: Path) -> None:
    crops = (np.ones((10, 10), bool), np.ones((4, 4), bool))
    truth = cavities([[10, 10, 20, 20], [10, 40, 14, 44]], [5.0, 2.0])
    whole = Instances.from_boxes(SHAPE, truth.boxes, crops=crops, columns=truth.columns)
    micrograph = Micrograph(np.full(SHAPE, 9, np.uint16), Calibration(0.5, 0.5, "simulation"))
    save_field(tmp_path / "one.npz", Simulated(micrograph, whole))
    field = saved_field(tmp_path / "one.npz", ASKED["clear"])
    assert field.asked.boxes.tolist() == [[10, 10, 20, 20]]
    assert field.ambiguous.boxes.tolist() == [[10, 40, 14, 44]]
    assert field.smallest_px == 6
    assert field.micrograph.id == micrograph.id
    assert field.micrograph.calibration == micrograph.calibration


def test_labels_of_a_user_are_split_by_their_column() -> None:
    truth = row(0, 50, 100).with_columns(ignored=[False, True, False])
    field = split(IMAGE, truth, ~truth.columns["ignored"])
    assert (len(field.asked), len(field.ambiguous)) == (2, 1)
