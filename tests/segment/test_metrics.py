"""Counts of pixels against scikit-learn, pencil and paper, and the printed table that cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from epistem.core import RecordError, SettingsError, ShapeError
from epistem.segment.metrics import (
    check_consistent,
    class_weights,
    confusion,
    dice,
    impossible_pairs,
    in_neither,
    iou,
    pixel_accuracy,
    weighted_iou,
)

CLASSES = ("background", "pore", "crack")
TWO = ("background", "pore")
# IoU/Dice of the published benchmark, its table 3: UNet, DeepLabV3, DeepLabV3+ on ResNet50, then on SE-ResNeXt101.
PRINTED = {
    "L-PBF": ".578/.551 .342/.387 .471/.597 .652/.628 .353/.395 .494/.612",
    "fractography": ".593/.516 .568/.487 .576/.501 .627/.548 .636/.450 .636/.490",
    "AFM crystallites": ".897/.902 .808/.843 .894/.937 .901/.961 .892/.959 .895/.951",
    "Al-Mg-Si corrosion": ".285/.294 .398/.476 .412/.489 .311/.311 .463/.545 .472/.550",
    "Al pitting": ".715/.541 .231/.348 .253/.374 .752/.570 .245/.365 .268/.389",
    "contact corrosion": ".923/.911 .842/.834 .776/.728 .951/.962 .856/.914 .526/.628",
    "carbon": ".736/.609 .524/.649 .586/.672 .762/.621 .547/.671 .599/.686",
}
seeds = st.integers(0, 2**32 - 1)


def maps(seed: int, *, shape: tuple[int, ...] = (7, 5), classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A random truth and a found map that is right in about two of three pixels; some classes may be in neither."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(classes, 0.5))
    truth = rng.choice(classes, shape, p=share).astype(np.uint8)
    return np.where(rng.random(shape) < 0.65, truth, rng.choice(classes, shape, p=share)).astype(np.int64), truth


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([(7, 5), (1, 1), (3, 4, 5)]))
def test_scores_equal_those_of_scikit_learn(seed: int, shape: tuple[int, ...]) -> None:
    found, truth = maps(seed, shape=shape)
    counts = confusion(found, truth, CLASSES)
    assert np.array_equal(counts, reference.confusion_matrix(truth.ravel(), found.ravel(), labels=range(3)))
    options = {"labels": range(3), "average": None, "zero_division": 1.0}
    assert np.allclose(iou(counts), reference.jaccard_score(truth.ravel(), found.ravel(), **options))
    assert np.allclose(dice(counts), reference.f1_score(truth.ravel(), found.ravel(), **options))
    assert pixel_accuracy(counts) == pytest.approx(reference.accuracy_score(truth.ravel(), found.ravel()))


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_weighted_iou_is_that_of_pixels_weighed_one_by_one(seed: int) -> None:
    found, truth = maps(seed)
    counts = confusion(found, truth, CLASSES)
    weights = class_weights(counts[None])
    ours = weighted_iou(counts, weights)
    for label in range(3):
        weight = weights[truth]
        union = weight[(found == label) | (truth == label)].sum()
        expected = weight[(found == label) & (truth == label)].sum() / union if union else 1.0
        assert ours[label] == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_with_equal_weights_the_weighted_iou_is_the_iou(seed: int) -> None:
    counts = confusion(*maps(seed), CLASSES)
    assert np.allclose(weighted_iou(counts, [0.2, 0.2, 0.2]), iou(counts))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_swapping_found_and_true_keeps_iou_and_dice(seed: int) -> None:
    found, truth = maps(seed)
    assert np.allclose(iou(confusion(found, truth, CLASSES)), iou(confusion(truth, found, CLASSES)))
    assert np.allclose(dice(confusion(found, truth, CLASSES)), dice(confusion(truth, found, CLASSES)))


def test_many_images_at_once_equal_one_by_one() -> None:
    counts = np.stack([confusion(*maps(seed), CLASSES) for seed in range(5)])
    weights = class_weights(counts)
    for score in (iou, dice, pixel_accuracy, lambda table: weighted_iou(table, weights)):
        assert np.array_equal(score(counts), np.stack([score(table) for table in counts]))


def test_the_weighted_iou_of_a_rare_class_forgives_false_positives() -> None:
    # 90 background, 10 pore; all pores found, and 10 of the background as well. By hand: w0 = 0.1, w1 = 0.9;
    # 0.9·10/(0.9·10 + 0.1·10) = 0.9, where the IoU is one half.
    counts = np.array([[80, 10], [0, 10]])
    weights = class_weights(counts[None])
    assert weights.tolist() == pytest.approx([0.1, 0.9])
    assert weighted_iou(counts, weights)[1] == pytest.approx(0.9)
    assert iou(counts)[1] == 0.5


def test_median_frequency_takes_a_share_of_the_images_that_show_the_class() -> None:
    # The pore fills half of one image and is in no other: 1/8 of all pixels, 1/2 of those of its image.
    counts = np.zeros((4, 2, 2), int)
    counts[:, 0, 0] = 10
    counts[0] = [[5, 0], [0, 5]]
    assert class_weights(counts).tolist() == pytest.approx([(1 / 7) / (1 + 1 / 7), 1 / (1 + 1 / 7)])
    median = class_weights(counts, "median")
    assert median[1] / median[0] == pytest.approx((35 / 40) / (1 / 2))
    with pytest.raises(SettingsError, match="'mean'"):
        class_weights(counts, "mean")  # type: ignore[arg-type]


def test_a_class_in_neither_map_scores_one_and_is_known_as_empty() -> None:
    counts = confusion(np.zeros((3, 4), int), np.zeros((3, 4), int), TWO)
    for score in (iou(counts), dice(counts), weighted_iou(counts, class_weights(counts[None]))):
        assert score.tolist() == [1, 1]
    assert in_neither(counts).tolist() == [False, True]


def test_a_class_found_where_there_is_none_scores_nought() -> None:
    counts = confusion([[0, 1]], [[0, 0]], TWO)
    assert iou(counts)[1] == dice(counts)[1] == weighted_iou(counts, [1.0, 0.0])[1] == 0


def test_an_image_without_a_pixel_that_counts_has_no_score() -> None:
    counts = confusion([[0, 1]], [[255, 255]], TWO, ignore=255)
    assert np.isnan([*iou(counts), *dice(counts), pixel_accuracy(counts), *weighted_iou(counts, [0.5, 0.5])]).all()
    assert not in_neither(counts).any()


def test_pixels_are_ignored_by_label_or_by_mask() -> None:
    truth, found = np.array([[0, 1, 255]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    by_label = confusion(found, truth, TWO, ignore=255)
    assert by_label.tolist() == [[1, 0], [1, 0]]
    assert np.array_equal(by_label, confusion(found, truth, TWO, ignore=truth == 255))


def test_maps_that_do_not_belong_together_are_refused_in_words() -> None:
    with pytest.raises(ShapeError, match=r"\(1, 2\), the truth \(2, 1\)"):
        confusion([[0, 1]], [[0], [1]], TWO)
    with pytest.raises(ShapeError, match="pixels to ignore is"):
        confusion([[0, 1]], [[0, 1]], TWO, ignore=np.zeros((2, 1), bool))
    with pytest.raises(RecordError, match=r"truth holds label 255; the 2 classes .* ignore=255"):
        confusion([[0, 1]], [[0, 255]], TWO)
    with pytest.raises(RecordError, match="found map holds label -1"):
        confusion([[0, -1]], [[0, 1]], TWO)
    with pytest.raises(RecordError, match="found map holds float64"):
        confusion([[0.2, 0.8]], [[0, 1]], TWO)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 6))
def test_dice_lies_between_iou_and_its_bound_for_any_mean(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.stack([confusion(*maps(int(one)), CLASSES) for one in rng.integers(0, 2**31, n)])
    weight = rng.dirichlet(np.ones(n))
    check_consistent(iou(counts).ravel(), dice(counts).ravel())
    check_consistent(iou(counts.sum(0)), dice(counts.sum(0)))
    check_consistent(weight @ iou(counts), weight @ dice(counts))
    check_consistent([iou(counts).mean()], [dice(counts).mean()])


def test_iou_and_dice_of_different_epochs_are_caught() -> None:
    with pytest.raises(RecordError, match=r"1 of 2 pairs .* first pair 1: 0.7150 and 0.5410"):
        check_consistent([0.5, 0.715], [0.6, 0.541])
    with pytest.raises(RecordError, match="1 of 1"):
        check_consistent([0.5], [0.67])
    with pytest.raises(RecordError, match="1 of 1"):
        check_consistent([0.5], [np.nan])
    check_consistent([np.nan, 0.5, 0.5], [np.nan, 0.5, 2 / 3])


def test_eighteen_of_the_forty_two_printed_cells_are_impossible() -> None:
    cells = [
        (name, column, *map(float, cell.split("/")))
        for name, row in PRINTED.items()
        for column, cell in enumerate(row.split())
    ]
    table = impossible_pairs(pd.DataFrame(cells, columns=["dataset", "column", "iou", "dice"]))
    assert len(table) == 42
    below = table[table["verdict"] == "Dice below IoU"]
    above = table[table["verdict"] == "Dice above 2·IoU/(1+IoU)"]
    assert below["dataset"].value_counts().to_dict() == {
        "fractography": 6, "contact corrosion": 3, "L-PBF": 2, "Al pitting": 2, "carbon": 2
    }  # fmt: skip
    assert above["dataset"].tolist() == ["AFM crystallites"] * 3
    assert above["column"].tolist() == [3, 4, 5]
    # One cell more than a rounding error inside: two printed numbers that are the same are possible.
    assert table.query("iou == 0.311")["verdict"].item() == "possible"


def test_a_printed_pair_is_impossible_only_beyond_rounding() -> None:
    pairs = pd.DataFrame({"iou": [0.501, 0.502, 0.5, 0.5, np.nan], "dice": [0.5, 0.5, 0.667, 0.669, 0.5]})
    assert impossible_pairs(pairs)["verdict"].tolist() == [
        "possible", "Dice below IoU", "possible", "Dice above 2·IoU/(1+IoU)", "unscored"
    ]  # fmt: skip
    assert (impossible_pairs(pairs.iloc[:4], decimals=2)["verdict"] == "possible").all()


def test_a_table_of_percents_or_without_dice_is_refused() -> None:
    with pytest.raises(RecordError, match="dice missing"):
        impossible_pairs(pd.DataFrame({"iou": [0.5]}))
    with pytest.raises(RecordError, match="percents"):
        impossible_pairs(pd.DataFrame({"iou": [50.0], "dice": [60.0]}))
