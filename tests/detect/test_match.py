"""Matching against pycocotools, brute force, and what must hold of any of it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from epistem.core import Instances, SettingsError, ShapeError
from epistem.detect.match import Match, match, pool
from epistem.detect.overlap import box_overlaps, mask_overlaps

SHAPE = (60, 80)
METHODS = ("paper", "score-greedy", "optimal")
seeds = st.integers(0, 2**32 - 1)


def some(seed: int, n: int, *, shape: tuple[int, int] = SHAPE, largest: int = 20) -> Instances:
    """n objects of any size with ragged masks; many overlap."""
    rng = np.random.default_rng(seed)
    corner = np.stack([rng.integers(0, size - 1, n) for size in shape], axis=1)
    size = np.minimum(rng.integers(1, largest + 1, (n, 2)), np.array(shape) - corner)
    crops = tuple(rng.random(one) < 0.7 for one in size)
    return Instances.from_boxes(shape, np.concatenate([corner, corner + size], axis=1), rng.random(n), crops=crops)


def row_of(*starts: float, score: list[float] | None = None) -> Instances:
    """Boxes 10 × 10 in one row of the image."""
    return Instances.from_boxes((10, 200), [[0, start, 10, start + 10] for start in starts], score)


def dense(a: Instances, b: Instances, by: str) -> np.ndarray:
    """IoU of all pairs as pycocotools has it."""
    crowd = np.zeros(len(b), np.uint8)
    if by == "box":
        x, y = (
            np.stack([o.boxes[:, 1], o.boxes[:, 0], *(o.boxes[:, 2:] - o.boxes[:, :2]).T[::-1]], 1) for o in (a, b)
        )
        return np.asarray(coco.iou(x, y, crowd)).reshape(len(a), len(b))
    x, y = ([coco.encode(np.asfortranarray(whole(mask, o.shape))) for mask in o.masks()] for o in (a, b))
    return np.asarray(coco.iou(x, y, crowd)).reshape(len(a), len(b))


def whole(mask, shape) -> np.ndarray:  # type: ignore[no-untyped-def]
    image = np.zeros(shape, np.uint8)
    image[mask.rows, mask.cols] = mask.crop
    return image


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 30), st.integers(1, 30), st.sampled_from(["box", "mask"]))
def test_overlaps_equal_those_of_pycocotools(seed: int, n: int, m: int, by: str) -> None:
    a, b = some(seed, n, largest=50), some(seed + 1, m)
    overlaps = (box_overlaps if by == "box" else mask_overlaps)(a, b)
    assert len(set(zip(overlaps.a.tolist(), overlaps.b.tolist(), strict=True))) == len(overlaps.a)
    ours = np.zeros((n, m))
    ours[overlaps.a, overlaps.b] = overlaps.iou
    np.testing.assert_allclose(ours, dense(a, b, by), atol=1e-12)


def test_boxes_between_pixels_overlap_as_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (2, 40, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.01, 9, low.shape)], axis=2)
    a, b = (Instances.from_boxes((60, 60), part) for part in boxes)
    overlaps = box_overlaps(a, b)
    ours = np.zeros((40, 40))
    ours[overlaps.a, overlaps.b] = overlaps.iou
    np.testing.assert_allclose(ours, dense(a, b, "box"), atol=1e-12)


def by_hand(iou: np.ndarray, choosers: list[int], threshold: float) -> set[tuple[int, int]]:
    """Rows choose columns, in the order given."""
    free, pairs = set(range(iou.shape[1])), set()
    for row in choosers:
        best = max(sorted(free), key=lambda col: iou[row, col], default=None)
        if best is not None and iou[row, best] >= threshold:
            free.remove(best)
            pairs.add((row, best))
    return pairs


@settings(max_examples=40, deadline=None)
@given(
    seeds, st.integers(0, 25), st.integers(0, 25), st.sampled_from(["box", "mask"]), st.sampled_from([0.05, 0.1, 0.5])
)
def test_paper_order_equals_the_published_loop(seed: int, n: int, m: int, by: str, threshold: float) -> None:
    found, truth = some(seed, n), some(seed + 1, m)
    iou = dense(truth, found, by) if n and m else np.zeros((m, n))
    order = sorted(range(m), key=lambda i: (truth.boxes[i, 1], truth.boxes[i, 0]))
    wanted = {(col, row) for row, col in by_hand(iou, order, threshold)}
    result = match(found, truth, method="paper", by=by, iou=threshold)
    assert set(map(tuple, result.pairs.tolist())) == wanted


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 25), st.integers(1, 25))
def test_score_greedy_equals_the_loop_in_falling_score(seed: int, n: int, m: int) -> None:
    found, truth = some(seed, n), some(seed + 1, m)
    order = sorted(range(n), key=lambda i: -found.score[i])
    wanted = by_hand(dense(found, truth, "box"), order, 0.1)
    result = match(found, truth, method="score-greedy")
    assert set(map(tuple, result.pairs.tolist())) == wanted


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 5))
def test_optimal_equals_the_best_of_all_assignments(seed: int, n: int, m: int) -> None:
    found, truth = some(seed, n, shape=(12, 12), largest=8), some(seed + 1, m, shape=(12, 12), largest=8)
    iou = dense(found, truth, "box")
    iou = np.where(iou >= 0.1, iou, 0)
    square = np.zeros((max(n, m),) * 2)
    square[:n, :m] = iou
    every = [square[range(len(square)), list(p)] for p in permutations(range(len(square)))]
    most, best = max(((picked > 0).sum(), picked.sum()) for picked in every)
    result = match(found, truth, method="optimal")
    assert (result.tp, result.pair_iou.sum()) == (most, pytest.approx(best))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(0, 40), st.integers(0, 40), st.sampled_from(["box", "mask"]))
def test_optimal_finds_at_least_as_many_pairs_as_greedy(seed: int, n: int, m: int, by: str) -> None:
    found, truth = some(seed, n), some(seed + 1, m)
    counts = {method: match(found, truth, method=method, by=by).tp for method in METHODS}
    assert counts["optimal"] == max(counts.values())


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 40))
def test_optimal_does_not_depend_on_order_or_side(seed: int, n: int, m: int) -> None:
    found, truth = some(seed, n), some(seed + 1, m)
    rng = np.random.default_rng(seed)
    straight = match(found, truth, method="optimal")
    shuffled = match(found[rng.permutation(n)], truth[rng.permutation(m)], method="optimal")
    swapped = match(truth, found, method="optimal")
    for other in (shuffled, swapped):
        assert other.tp == straight.tp
        assert other.pair_iou.sum() == pytest.approx(straight.pair_iou.sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["box", "mask"])
def test_objects_against_themselves_are_all_right(method: str, by: str) -> None:
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((5, 6), int))
    found = Instances.from_labels(labels, np.linspace(0, 1, 12))
    result = match(found, found, method=method, by=by, iou=1.0)
    assert (result.tp, result.fp, result.fn, result.f1) == (12, 0, 0, 1.0)
    assert result.pairs.tolist() == [[i, i] for i in range(12)]


def test_greedy_loses_a_pair_that_optimal_keeps() -> None:
    # The found object at 6 is the best for the true one at 5, and the only one for that at 9.
    found, truth = row_of(6, 0, score=[0.9, 0.2]), row_of(5, 9)
    assert match(found, truth, method="paper").pairs.tolist() == [[0, 0]]
    assert match(found, truth, method="score-greedy").pairs.tolist() == [[0, 0]]
    assert match(found, truth, method="optimal").pairs.tolist() == [[0, 1], [1, 0]]


def test_optimal_prefers_two_poor_pairs_to_a_perfect_one() -> None:
    found, truth = row_of(5, 0), row_of(5, 11)
    assert match(found, truth, method="optimal").pairs.tolist() == [[0, 1], [1, 0]]


def test_the_paper_goes_from_left_to_right_whatever_the_scores() -> None:
    found, truth = row_of(4, score=[1.0]), row_of(6, 0)
    assert match(found, truth, method="paper").pairs.tolist() == [[0, 1]]
    assert match(found, truth, method="score-greedy").pairs.tolist() == [[0, 0]]


def test_objects_without_score_choose_last() -> None:
    truth = row_of(0)
    found = row_of(0, 1, score=[np.nan, 0.1])
    assert match(found, truth, method="score-greedy").pairs.tolist() == [[1, 0]]


def test_equal_scores_choose_in_the_order_they_came() -> None:
    assert match(row_of(3, 0, score=[0.5, 0.5]), row_of(0), method="score-greedy").pairs.tolist() == [[0, 0]]


def test_an_overlap_of_exactly_the_threshold_is_enough() -> None:
    assert match(row_of(5), row_of(0), iou=1 / 3).tp == 1
    assert match(row_of(5), row_of(0), iou=1 / 3 + 1e-9).tp == 0


def test_boxes_that_only_touch_are_no_pair() -> None:
    assert match(row_of(10), row_of(0), iou=1e-12).tp == 0


def test_found_on_an_ambiguous_object_counts_neither_way() -> None:
    result = match(row_of(0, 50, 100), row_of(0), ambiguous=row_of(2, 51))
    assert result.ignored.tolist() == [False, True, False]
    assert (result.tp, result.fp, result.fn, result.precision) == (1, 1, 0, 0.5)


@pytest.mark.parametrize(
    ("found", "truth", "scores"),
    [
        (row_of(), row_of(), (True, None, None, 1.0)),
        (row_of(0), row_of(), (False, 0.0, None, 0.0)),
        (row_of(), row_of(0), (False, None, 0.0, 0.0)),
        (row_of(0), row_of(50), (False, 0.0, 0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_empty_sides_have_the_agreed_scores(method: str, found: Instances, truth: Instances, scores: tuple) -> None:
    result = match(found, truth, method=method)
    assert (result.empty, result.precision, result.recall, result.f1) == scores


def test_what_cannot_be_matched_is_refused() -> None:
    with pytest.raises(ShapeError, match="masks were asked for"):
        match(row_of(0), row_of(0), by="mask")
    with pytest.raises(ShapeError, match="true ones of"):
        match(row_of(0), Instances.empty((3, 3)))
    with pytest.raises(SettingsError, match="is the published one"):
        match(row_of(0), row_of(0), iou=0)
    with pytest.raises(SettingsError, match="score-greedy"):
        match(row_of(0), row_of(0), method="best")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="by box or by mask"):
        match(row_of(0), row_of(0), by="boxes")  # type: ignore[arg-type]


def test_pooled_scores_are_of_the_sums_and_the_mean_is_of_the_images() -> None:
    matches: list[Match] = [
        match(row_of(0), row_of(0)),
        match(row_of(0, 30, 60), row_of(90)),
        match(row_of(), row_of()),
    ]
    pooled = pool(matches)
    assert (pooled.tp, pooled.fp, pooled.fn, pooled.images, pooled.empty) == (1, 3, 1, 3, 1)
    assert (pooled.precision, pooled.recall, pooled.f1) == (0.25, 0.5, 1 / 3)
    assert pooled.mean_f1 is not None
    assert pooled.mean_f1.value == pytest.approx(2 / 3)
    assert pooled.mean_precision is not None
    assert pooled.mean_precision.value == 0.5


def test_one_image_has_no_interval() -> None:
    assert pool([match(row_of(0), row_of(0))]).mean_f1 is None


def test_images_of_one_place_are_averaged_first_and_their_repeats_narrow_no_interval() -> None:
    right, wrong = match(row_of(0), row_of(0)), match(row_of(0), row_of(50))
    plain = pool([right, wrong])
    repeated = pool([right, wrong, wrong, wrong], places=["a", "b", "b", "b"])
    assert (repeated.images, repeated.places, repeated.fp) == (4, 2, 3)
    assert repeated.mean_f1 == plain.mean_f1
    assert pool([right, wrong], places=["a", "a"]).mean_f1 is None


def test_pooling_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one image"):
        pool([])
