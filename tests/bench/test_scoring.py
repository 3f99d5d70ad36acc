from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from epistem.bench.arms import LOWER, STORED
from epistem.bench.profile import Profile, profile_of
from epistem.bench.scoring import rate_of, score_image, training_weights
from epistem.segment.summary import ALL, FOREGROUND

EQUAL = np.full(3, 1 / 3)
EVERY = ["iou", "dice", "pixel_accuracy", "wiou", "boundary_f", "cldice", "hd95", "porosity", "connectivity"]


def profile(primary: str = "iou", *, classes: tuple[str, ...] = ("matrix", "pore", "carbide")) -> Profile:
    return profile_of({"task": {"classes": list(classes), "metrics": EVERY, "primary": primary}})


def squares(*places: tuple[int, int], label: int = 1, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    """Squares of 8 pixels whose first corners lie there."""
    labels = np.zeros(shape, np.int16)
    for row, col in places:
        labels[row : row + 8, col : col + 8] = label
    return labels


def value(table: pd.DataFrame, metric: str, of: str = FOREGROUND) -> float:
    (found,) = table[(table["metric"] == metric) & (table["class"] == of)]["value"]
    return float(found)


def scored(found: np.ndarray, truth: np.ndarray, **how: Any) -> pd.DataFrame:
    return score_image(found, truth, "im", profile(**how), EQUAL[: len(profile(**how).task.classes)])


def test_a_perfect_answer_is_perfect_in_every_metric_whatever_the_background_is_called() -> None:
    truth = squares((3, 3)) + squares((20, 20), label=2)
    table = scored(truth, truth)
    for metric in ("iou", "dice", "wiou", "boundary_f", "cldice"):
        assert value(table, metric) == 1
    for metric in ("hd95_px", "porosity_error", "connectivity_error"):
        assert value(table, metric) == 0
    assert value(table, "pixel_accuracy", ALL) == 1
    assert not table.duplicated(["image", "class", "metric"]).any()
    assert not ((table["class"] == "matrix") & table["metric"].str.startswith(("hd95", "porosity"))).any()


def test_the_porosity_error_is_found_minus_true_of_pixels_that_count() -> None:
    truth, found = squares((0, 0)), squares((0, 0), (20, 20))
    truth[30:] = -1
    table = scored(found, truth, classes=("solid", "pore"))
    counted = 30 * 40
    assert value(table, "porosity_error", "pore") == pytest.approx(64 / counted)
    assert value(scored(0 * found, truth, classes=("solid", "pore")), "porosity_error", "pore") == -64 / counted


def test_errors_of_two_classes_do_not_cancel() -> None:
    truth, found = squares((3, 3)), squares((3, 3), label=2)
    table = scored(found, truth)
    assert value(table, "porosity_error", "pore") == -0.04
    assert value(table, "porosity_error", "carbide") == 0.04
    assert value(table, "porosity_error") == pytest.approx(0.04)
    assert rate_of(profile("porosity"), EQUAL)([found], [truth]) == pytest.approx(-0.04)


def test_pixels_that_do_not_count_change_no_score() -> None:
    truth = squares((3, 3))
    truth[:, 20:] = -1
    found = truth.clip(0)
    other = found.copy()
    other[:, 20:] = 2
    pd.testing.assert_frame_equal(scored(other, truth), scored(found, truth))


def test_an_image_without_a_pixel_that_counts_is_unscored_and_counted() -> None:
    truth = np.full((20, 20), -1, np.int16)
    table = scored(0 * truth, truth)
    assert table["value"].isna().all()
    assert (table.loc[table["class"] == FOREGROUND, "undefined"] == 2).all()
    for primary in EVERY:
        assert np.isnan(rate_of(profile(primary), EQUAL)([0 * truth], [truth]))


def test_an_empty_mask_answered_empty_agrees_and_is_counted() -> None:
    empty = np.zeros((20, 20), np.int16)
    table = scored(empty, empty)
    row = table[(table["metric"] == "iou") & (table["class"] == FOREGROUND)].iloc[0]
    assert (row["value"], row["empty"]) == (1, 2)
    assert np.isnan(value(table, "hd95_px"))


@pytest.mark.parametrize("primary", EVERY)
def test_a_better_answer_is_judged_higher_by_every_metric(primary: str) -> None:
    truth = squares((3, 3), (20, 20))
    good, bad, none = squares((3, 4), (20, 20)), squares((3, 9), (28, 10), (0, 30)), 0 * truth
    rate = rate_of(profile(primary), EQUAL)
    assert rate([truth], [truth]) >= rate([good], [truth]) > rate([bad], [truth])
    assert rate([good], [truth]) > rate([none], [truth]) or primary == "connectivity"


@pytest.mark.parametrize("primary", ["hd95", "connectivity"])
def test_a_network_that_answers_one_tile_of_ten_is_not_judged_by_that_one(primary: str) -> None:
    truth, near = squares((3, 3)), squares((3, 5), (20, 20))
    rate = rate_of(profile(primary, classes=("matrix", "pore")), EQUAL[:2])
    lazy = rate([truth] + [0 * truth] * 9, [truth] * 10)
    assert rate([near] * 10, [truth] * 10) > lazy


def test_tiles_full_of_a_class_or_without_it_cost_nothing_in_hd95() -> None:
    full, empty = np.ones((32, 32), np.int16), np.zeros((32, 32), np.int16)
    rate = rate_of(profile("hd95"), EQUAL)
    square = squares((3, 3), shape=(32, 32))
    assert rate([full, empty, square], [full, empty, square]) == 0
    assert rate([empty], [square]) == pytest.approx(-np.hypot(32, 32))


def test_counts_are_pooled_over_tiles() -> None:
    truth = [squares((0, 0)), np.zeros((40, 40), np.int16)]
    found = [squares((0, 0)), squares((0, 0))]
    assert rate_of(profile(classes=("matrix", "pore")), EQUAL[:2])(found, truth) == pytest.approx(0.5)


def test_metrics_of_which_less_is_better_are_stored_by_the_names_that_tables_of_arms_look_for() -> None:
    truth = squares((0, 0))
    assert {STORED[metric] for metric in LOWER} <= set(scored(truth, truth)["metric"])


def test_weights_of_the_classes_come_from_the_training_images_alone() -> None:
    class One:
        def __init__(self, labels: np.ndarray) -> None:
            self.labels = labels

    labels = np.array([[0, 0, 0, 1], [-1, -1, -1, -1]], np.int16)
    given: Any = [One(labels)]
    assert training_weights(given, ("matrix", "pore", "nowhere")).tolist() == [0.25, 0.75, 0.0]
