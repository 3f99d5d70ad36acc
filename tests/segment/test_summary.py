"""Scores of images and of all images, by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epistem.core import RecordError, ShapeError, UnknownName
from epistem.segment.metrics import class_weights
from epistem.segment.summary import ALL, FOREGROUND, MEAN, image_scores, macro_image, micro_pixel

CLASSES = ("background", "pore")
EVEN = [0.5, 0.5]
# Image 0: pore 2 right of 4 in either; image 1: no pore in either map.
TWO_IMAGES = np.array([[[6, 1], [1, 2]], [[10, 0], [0, 0]]])


def of(table: pd.DataFrame, name: str, metric: str, column: str = "value") -> float:
    return float(table[(table["class"] == name) & (table["metric"] == metric)][column].item())


def test_one_image_by_hand() -> None:
    table = image_scores(TWO_IMAGES[:1], CLASSES, weights=EVEN)
    assert of(table, "background", "iou") == 6 / 8
    assert of(table, "pore", "iou") == 2 / 4
    assert of(table, MEAN, "iou") == (6 / 8 + 2 / 4) / 2
    assert of(table, FOREGROUND, "iou") == 2 / 4
    assert of(table, FOREGROUND, "dice") == pytest.approx(4 / 6)
    assert of(table, ALL, "pixel_accuracy") == 8 / 10


def test_means_over_images_and_over_pixels_by_hand() -> None:
    macro = macro_image(image_scores(TWO_IMAGES, CLASSES, weights=EVEN))
    micro = micro_pixel(TWO_IMAGES, CLASSES, weights=EVEN)
    # An empty image lifts the mean over images, not that over pixels; that is why it is counted.
    assert of(macro, "pore", "iou") == (0.5 + 1) / 2
    assert of(micro, "pore", "iou") == 0.5
    assert of(macro, "pore", "iou", "empty") == 1
    assert of(macro, MEAN, "iou", "empty") == 1
    assert of(macro, "pore", "iou", "images") == of(micro, "pore", "iou", "images") == 2
    assert of(micro, "background", "iou") == 16 / 18


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_of_one_image_both_aggregates_are_the_image_and_of_many_the_macro_is_the_plain_mean(
    seed: int, n: int
) -> None:
    classes = ("background", "pore", "crack")
    counts = np.random.default_rng(seed).poisson(1.5, (n, 3, 3))
    weights = class_weights(counts)
    scored = image_scores(counts, classes, weights=weights)
    macro = macro_image(scored).set_index(["class", "metric"])["value"]
    plain = scored.groupby(["class", "metric"], sort=False)["value"].mean()
    assert np.allclose(macro, plain.reindex(macro.index), equal_nan=True)
    if n == 1:
        micro = micro_pixel(counts, classes, weights=weights).set_index(["class", "metric"])["value"]
        assert np.allclose(macro, micro.reindex(macro.index), equal_nan=True)


def test_an_image_where_nothing_counts_is_undefined_and_left_out() -> None:
    counts = np.concatenate([TWO_IMAGES, np.zeros((1, 2, 2), int)])
    macro = macro_image(image_scores(counts, CLASSES, weights=EVEN))
    assert of(macro, "pore", "iou") == 0.75
    assert of(macro, "pore", "iou", "images") == 2
    assert of(macro, "pore", "iou", "undefined") == 1
    assert of(macro, MEAN, "iou", "undefined") == 2
    assert of(macro, ALL, "pixel_accuracy", "undefined") == 1
    assert of(micro_pixel(counts, CLASSES, weights=EVEN), "pore", "iou", "images") == 2


def test_without_any_image_that_counts_the_mean_is_unknown() -> None:
    macro = macro_image(image_scores(np.zeros((2, 2, 2)), CLASSES, weights=EVEN))
    assert macro[["value", "low", "high"]].isna().all(axis=None)
    assert (macro["images"] == 0).all()


def test_intervals_hold_the_value_and_widen_when_images_come_in_groups() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.integers(10, 90, 12), 5)
    counts = np.stack([np.array([[100, 0], [100 - r, r]]) for r in right])
    scored = image_scores(counts, CLASSES, weights=EVEN)
    groups = np.repeat(np.arange(12), 5).tolist()
    single, grouped = macro_image(scored), macro_image(scored, groups=groups)
    for table in (single, grouped, micro_pixel(counts, CLASSES, weights=EVEN, groups=groups)):
        assert (table["low"] <= table["value"]).all()
        assert (table["value"] <= table["high"]).all()
    wide, narrow = (of(t, "pore", "iou", "high") - of(t, "pore", "iou", "low") for t in (grouped, single))
    # Five copies of each image: as if there were a fifth of them, so √5 as wide.
    assert wide / narrow == pytest.approx(5**0.5, rel=0.15)


def test_one_group_has_no_interval() -> None:
    for table in (
        macro_image(image_scores(TWO_IMAGES, CLASSES, weights=EVEN), groups=["a", "a"]),
        micro_pixel(TWO_IMAGES[:1], CLASSES, weights=EVEN),
    ):
        assert table[["low", "high"]].isna().all(axis=None)
        assert table["value"].notna().all()


def test_the_same_seed_gives_the_same_table() -> None:
    scored = image_scores(TWO_IMAGES, CLASSES, weights=EVEN)
    pd.testing.assert_frame_equal(macro_image(scored, seed=3), macro_image(scored, seed=3))


def test_without_a_background_both_means_are_of_all_classes() -> None:
    table = image_scores(TWO_IMAGES[:1], ("ferrite", "pearlite"), weights=EVEN, background=None)
    assert of(table, MEAN, "iou") == of(table, FOREGROUND, "iou")
    with pytest.raises(UnknownName, match=r"no class is called 'background'; there is ferrite, pearlite"):
        image_scores(TWO_IMAGES[:1], ("ferrite", "pearlite"), weights=EVEN)


def test_scores_put_together_from_two_checkpoints_are_refused() -> None:
    scored = image_scores(TWO_IMAGES, CLASSES, weights=EVEN)
    scored.loc[scored["metric"] == "dice", "value"] *= 0.8
    with pytest.raises(RecordError, match="cannot be of the same masks, first class 'background'"):
        macro_image(scored)


def test_an_image_that_comes_twice_is_refused() -> None:
    scored = image_scores(TWO_IMAGES, CLASSES, weights=EVEN)
    with pytest.raises(RecordError, match="image 0 has iou of 'background' twice"):
        macro_image(pd.concat([scored, scored]))


def test_counts_and_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(n, 2, 2\), not \(2, 2\)"):
        image_scores(TWO_IMAGES[0], CLASSES, weights=EVEN)
    with pytest.raises(RecordError, match="one group for each of 2 images; got 2, 1 unknown"):
        micro_pixel(TWO_IMAGES, CLASSES, weights=EVEN, groups=["a", None])
