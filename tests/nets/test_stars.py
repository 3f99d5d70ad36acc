from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from epistem.core import Instances
from epistem.nets import stars
from epistem.nets.stars import CHANNELS, RAYS, Reading, Stars, Targets, decode, read, suppress, targets, to_instances


def disc(shape: tuple[int, int], row: float, col: float, radius: float) -> NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows + 0.5 - row, cols + 0.5 - col) < radius


def polygon(shape: tuple[int, int], corners: list[tuple[float, float]]) -> NDArray[np.bool_]:
    """Convex, corners clockwise as (row, col)."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    inside = np.ones(shape, bool)
    for (r0, c0), (r1, c1) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (c1 - c0) * (rows + 0.5 - r0) - (r1 - r0) * (cols + 0.5 - c0) >= 0
    return inside


def truth(*masks: NDArray[np.bool_], ignored: tuple[bool, ...] | None = None) -> Instances:
    """Objects of whole masks, which may overlap."""
    alone = [Instances.from_labels(mask.astype(int)) for mask in masks]
    boxes = [one.boxes[0] for one in alone]
    crops = tuple(one.crops[0] for one in alone)
    columns = {} if ignored is None else {"ignored": np.array(ignored)}
    return Instances.from_boxes(masks[0].shape, boxes, crops=crops, columns=columns)


def perfect(wanted: Targets) -> NDArray[np.float32]:
    """Maps of a network that has learned its targets by heart."""
    heat = np.clip(wanted.heat, 1e-4, 1 - 1e-4)
    return np.concatenate([np.log(heat / (1 - heat))[None], wanted.regression]).astype(np.float32)


def back(objects: Instances) -> Instances:
    return read(perfect(targets(objects)), objects.shape, Reading(least_logit=0.0))


def box_iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    common = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    return float(common / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common))


def mask_iou(one: Instances, other: Instances) -> float:
    a, b = one.to_labels() > 0, other.to_labels() > 0
    return float((a & b).sum() / (a | b).sum())


SHAPE = (96, 128)
SHAPES = {
    "a disc": (disc(SHAPE, 40.3, 60.8, 12), 0.9),
    "a disc of 3 px": (disc(SHAPE, 40.5, 60.5, 1.6), 0.8),
    "a disc of 3 px across a cell": (disc(SHAPE, 41.0, 61.0, 1.6), 0.8),
    "a square": (polygon(SHAPE, [(20, 30), (20, 50), (40, 50), (40, 30)]), 0.9),
    "a diamond": (polygon(SHAPE, [(20, 50), (40, 70), (60, 50), (40, 30)]), 0.9),
    "a hexagon": (polygon(SHAPE, [(20, 40), (20, 60), (37, 70), (54, 60), (54, 40), (37, 30)]), 0.9),
    "a long facet": (polygon(SHAPE, [(40, 20), (40, 80), (60, 80), (60, 20)]), 0.8),
    "a disc cut by the left": (disc(SHAPE, 40, 0.5, 10), 0.85),
    "a disc cut by a corner": (disc(SHAPE, 94, 127, 9), 0.8),
    "one row": (polygon(SHAPE, [(40, 20), (40, 26), (41, 26), (41, 20)]), 0.7),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_object_drawn_as_targets_is_read_back(name):
    mask, least = SHAPES[name]
    objects = truth(mask)
    found = back(objects)
    assert len(found) == 1
    assert box_iou(found.boxes[0], objects.boxes[0]) >= 0.8
    assert mask_iou(found, objects) >= least


def test_a_void_of_200_px_is_read_back_to_a_hundredth():
    objects = truth(disc((256, 300), 130.2, 150.7, 100))
    found = back(objects)
    assert len(found) == 1
    assert box_iou(found.boxes[0], objects.boxes[0]) >= 0.98
    assert mask_iou(found, objects) >= 0.98


def test_every_object_of_a_crowd_is_read_back():
    places = [(row, col) for row in range(8, 90, 8) for col in range(8, 120, 8)]
    rng = np.random.default_rng(0)
    objects = truth(*(disc(SHAPE, *(place + rng.uniform(-1, 1, 2)), 2.8) for place in places))
    found = back(objects)
    assert len(found) == len(objects) == 154
    overlap = [max(box_iou(box, other) for other in found.boxes) for box in objects.boxes]
    assert np.median(overlap) >= 0.9
    assert min(overlap) >= 0.75


def test_a_bubble_on_a_void_is_read_back_beside_it():
    void, bubble = disc(SHAPE, 48, 60, 30), disc(SHAPE, 40, 52, 4)
    found = back(truth(void, bubble))
    areas = sorted(int(mask.crop.sum()) for mask in found.masks())
    assert areas == pytest.approx([bubble.sum(), void.sum()], rel=0.1)


def test_of_two_objects_with_one_centre_the_smaller_is_asked_for():
    [radius] = np.exp(
        targets(truth(disc(SHAPE, 41, 61, 5), disc(SHAPE, 41, 61, 20))).regression[2:, 20, 30].mean(0, keepdims=True)
    )
    assert radius == pytest.approx(5, abs=0.5)


def test_no_object_asks_for_none_anywhere():
    empty = targets(Instances.empty((64, 32)))
    assert empty.heat.shape == empty.weight.shape == empty.asked.shape == (32, 16)
    assert empty.regression.shape == (2 + RAYS, 32, 16)
    assert not empty.heat.any()
    assert not empty.weight.any()
    assert empty.asked.all()


def test_there_is_one_centre_an_object_and_it_lies_highest():
    wanted = targets(truth(disc(SHAPE, 40.3, 60.8, 12), disc(SHAPE, 80, 20, 3)))
    assert np.argwhere(wanted.heat == 1).tolist() == [[20, 30], [40, 10]]
    assert wanted.weight[20, 30] == wanted.weight[40, 10] == 1


def test_regression_leads_every_weighed_cell_to_its_centre():
    wanted = targets(truth(disc(SHAPE, 40, 61, 12)))
    rows, cols = np.nonzero(wanted.weight)
    assert len(rows) > 5
    np.testing.assert_allclose((rows + 0.5) * 2 + wanted.regression[0, rows, cols], 40, atol=1e-5)
    np.testing.assert_allclose((cols + 0.5) * 2 + wanted.regression[1, rows, cols], 61, atol=1e-5)


def test_where_an_ignored_object_lies_nothing_is_asked_and_around_it_all_is():
    wanted = targets(truth(disc(SHAPE, 40, 60, 10), ignored=(True,)))
    rows, cols = np.mgrid[:48, :64] * 2 + 1
    away = np.maximum(abs(rows - 40), abs(cols - 60))
    assert not wanted.asked[away < 10].any()
    assert wanted.asked[away > 15].all()
    assert not wanted.heat.any()
    assert not wanted.weight.any()


@pytest.mark.parametrize("ignored", [(True, False), (False, True)])
def test_a_neighbours_centre_is_asked_for_within_an_ignored_region(ignored):
    large, small = disc(SHAPE, 40, 60, 16), disc(SHAPE, 48, 66, 4)
    objects = truth(large, small) if ignored[0] else truth(small, large)
    wanted = targets(objects.with_columns(ignored=np.array(ignored)))
    assert wanted.asked[24, 33] == wanted.heat[24, 33] == wanted.weight[24, 33] == 1
    assert wanted.asked[16, 26] == 0


def test_overlapping_objects_keep_both_their_centres():
    wanted = targets(truth(disc(SHAPE, 40, 60, 8), disc(SHAPE, 40, 68, 8)))
    assert (wanted.heat == 1).sum() == 2


def some(*places: tuple[float, float, float]) -> Stars:
    """Round stars at (row, col) with a radius, best first."""
    n = len(places)
    array = np.array(places, float).reshape(-1, 3)
    radii = np.repeat(array[:, 2:], RAYS, axis=1)
    return Stars(array[:, :2], radii, np.arange(n, 0, -1.0), np.floor(array[:, :2] / 2).astype(np.int64))


def kept(*places: tuple[float, float, float]) -> list[int]:
    """Which stars stay, numbered from the best."""
    left = suppress(some(*places), iou=Reading.iou, inside=Reading.inside)
    return [len(places) - int(score) for score in left.scores]


def test_of_a_pair_on_one_another_the_better_stays():
    assert kept((40, 60, 8), (41, 61, 8)) == [0]
    assert kept((40, 60, 8), (40, 60, 8)) == [0]


def test_neighbours_that_touch_or_overlap_a_little_stay():
    assert kept((40, 60, 8), (40, 76, 8), (51, 68, 8)) == [0, 1, 2]


def test_a_piece_of_a_better_star_goes_and_a_bubble_a_tenth_its_area_stays():
    assert kept((40, 60, 8), (42, 62, 4)) == [0]
    assert kept((40, 60, 20), (42, 62, 4)) == [0, 1]


def test_what_was_dropped_takes_nobody_with_it():
    # The third lies on the second and not on the first.
    assert kept((40, 60, 8), (40, 64, 8), (40, 69, 8)) == [0, 2]


def test_none_and_one_star_stay_as_they_are():
    assert kept() == []
    assert kept((40, 60, 8)) == [0]


def test_a_crowd_in_one_place_becomes_one_in_little_time():
    rng = np.random.default_rng(0)
    assert len(kept(*((40 + a, 60 + b, 8) for a, b in rng.uniform(-1, 1, (2000, 2))))) == 1


@pytest.mark.parametrize("radius", [1.5, 3.0, 12.0, 31.0])
def test_the_mask_of_a_round_star_is_the_disc_to_a_pixel(radius):
    [found] = to_instances(some((40.3, 60.8, radius)), SHAPE, np.ones(1), ("cavity",)).masks()
    full = np.zeros(SHAPE, bool)
    full[found.rows, found.cols] = found.crop
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    way = np.hypot(rows - 40.3, cols - 60.8)
    assert full[way < radius - 0.01].all()
    assert not full[way > radius + 0.01].any()


def test_a_star_across_the_border_is_cut_by_it_and_one_outside_is_left_out():
    found = to_instances(some((2, 60, 8), (-20, 60, 8), (95, 127, 6)), SHAPE, np.array([0.9, 0.8, 0.7]), ("cavity",))
    assert found.boxes.tolist() == [[0, 52, 10, 68], [89, 121, 96, 128]]
    assert found.score.tolist() == [0.9, 0.7]
    assert found.crops[0].shape == (10, 16)


def test_a_star_between_four_pixels_that_covers_no_middle_is_left_out():
    assert len(to_instances(some((40, 60, 0.5)), SHAPE, np.ones(1), ("cavity",))) == 0
    assert len(to_instances(some((40.5, 60.5, 0.5)), SHAPE, np.ones(1), ("cavity",))) == 1


def test_no_stars_are_an_empty_table_of_their_class():
    none = to_instances(some(), SHAPE, np.empty(0), ("cavity",))
    assert len(none) == 0
    assert none.shape == SHAPE
    assert none.classes == ("cavity",)


def maps(**cells: float) -> NDArray[np.float32]:
    """Empty maps but for logits, `r3c4=2.0` in row 3, column 4."""
    made = np.zeros((CHANNELS, 20, 30), np.float32)
    made[0] = -9
    for name, logit in cells.items():
        row, _, col = name[1:].partition("c")
        made[0, int(row), int(col)] = logit
    return made


def test_peaks_come_best_first_and_weak_ones_and_shoulders_not_at_all():
    found = decode(maps(r3c4=1.0, r3c5=0.5, r10c10=2.0, r15c15=-4.0), least_logit=-3.0)
    assert found.scores.tolist() == [2.0, 1.0]
    assert found.cells.tolist() == [[10, 10], [3, 4]]
    assert found.centres.tolist() == [[21, 21], [7, 9]]


def test_a_peak_in_the_corner_is_a_peak():
    assert decode(maps(r0c0=1.0, r19c29=1.0), least_logit=-3.0).cells.tolist() == [[0, 0], [19, 29]]


def test_wild_radii_stay_finite():
    made = maps(r3c4=1.0, r10c10=2.0)
    made[3:, 3, 4], made[3:, 10, 10] = 1e4, -1e4
    found = decode(made, least_logit=-3.0)
    assert (found.radii[0] < 0.5).all()
    assert to_instances(found, (40, 60), np.ones(2), ("cavity",)).boxes.tolist() == [[0, 0, 40, 60]]


def test_scores_are_calibrated_and_fall():
    reading = Reading(scale=0.5, shift=1.0, least_logit=-5.0)
    found = read(maps(r3c4=1.0, r10c10=2.0), (40, 60), reading)
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp([-2.0, -1.5])))


@pytest.mark.parametrize("shape", [(32, 64), (33, 63), (1, 1), (5, 70)])
def test_padding_mirrors_to_multiples_of_32_and_keeps_the_image(shape):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    padded = stars.pad(image)
    assert all(n % 32 == 0 and n - m < 32 for n, m in zip(padded.shape, shape, strict=True))
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[: shape[0], : shape[1]], image)
    if shape[0] < padded.shape[0]:
        np.testing.assert_array_equal(padded[shape[0]], padded[shape[0] - 1])
