from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core import Instances, Micrograph, SettingsError, ShapeError, UnknownName
from epistem.trust.stability import VIEWS, stability

SHAPE = (80, 120)
FLIPS = ("flip-rows", "flip-cols")


def squares() -> Micrograph:
    """Three bright squares, each of a size that 0.9 of is whole, not symmetric, in white noise of 1."""
    pixels = np.random.default_rng(0).standard_normal(SHAPE)
    for row, col, side in ((10, 10, 10), (40, 20, 20), (20, 90, 20)):
        pixels[row : row + side, col : col + side] += 100
    return Micrograph(pixels)


def bright(micrograph: Micrograph) -> Instances:
    """Whatever is above 50: it knows no direction."""
    labels, n = ndimage.label(micrograph.pixels > 50)
    return Instances.from_labels(labels, score=np.full(n, 0.9))


class Fixed:
    """Says what it was told to, call by call, whatever the image."""

    def __init__(self, *boxes: list[list[float]], score: float = 0.9) -> None:
        self.answers: Iterator[list[list[float]]] = iter(boxes)
        self.score = score

    def __call__(self, micrograph: Micrograph) -> Instances:
        boxes = next(self.answers)
        return Instances.from_boxes(micrograph.shape, boxes, np.full(len(boxes), self.score))


def boxes_of(*boxes: list[float]) -> Instances:
    return Instances.from_boxes(SHAPE, list(boxes), np.full(len(boxes), 0.9))


def test_a_detector_that_knows_no_direction_is_stable_in_every_view() -> None:
    values = stability(bright, squares(), bright(squares()), min_score=0.5)
    assert len(values) == 2 * (len(VIEWS) + 1)
    assert values == dict.fromkeys(values, pytest.approx(1.0))


def test_random_boxes_are_hardly_found_again() -> None:
    rng = np.random.default_rng(0)

    def dice(micrograph: Micrograph) -> Instances:
        low = rng.uniform(0, np.array(micrograph.shape) - 8, (9, 2))
        return Instances.from_boxes(micrograph.shape, np.concatenate([low, low + 8], axis=1), np.full(9, 0.9))

    values = stability(dice, squares(), dice(squares()), min_score=0.5)
    assert values["st_iou"] < 0.1
    assert values["st_f1"] < 0.3


def test_a_box_that_stays_in_its_corner_while_the_image_turns_is_not_the_same_one() -> None:
    corner = [0.0, 0.0, 10.0, 10.0]
    values = stability(Fixed([corner], [corner]), squares(), boxes_of(corner), min_score=0.5, views=FLIPS)
    assert values == dict.fromkeys(values, 0.0)


def test_what_is_found_once_of_two_counts_in_both_directions() -> None:
    one, other = [0.0, 0.0, 80.0, 10.0], [0.0, 50.0, 80.0, 60.0]
    fewer = stability(Fixed([one]), squares(), boxes_of(one, other), min_score=0.5, views=["flip-rows"])
    more = stability(Fixed([one, other]), squares(), boxes_of(one), min_score=0.5, views=["flip-rows"])
    assert fewer == more
    assert fewer["st_iou_flip_rows"] == fewer["st_iou"] == pytest.approx(2 / 3)
    assert fewer["st_f1_flip_rows"] == pytest.approx(2 / 3)


def test_iou_tells_of_shifts_that_f1_forgives() -> None:
    values = stability(
        Fixed([[0, 5, 80, 15]]), squares(), boxes_of([0, 0, 80, 10]), min_score=0.5, views=["flip-rows"]
    )
    assert values["st_iou"] == pytest.approx(1 / 3)
    assert values["st_f1"] == 1


def test_views_are_averaged() -> None:
    whole = [0.0, 0.0, *map(float, SHAPE)]
    values = stability(Fixed([whole], []), squares(), boxes_of(whole), min_score=0.5, views=FLIPS)
    assert (values["st_f1_flip_rows"], values["st_f1_flip_cols"], values["st_f1"]) == (1, 0, 0.5)


def test_boxes_come_back_from_every_view_to_where_they_were() -> None:
    seen = bright(squares())
    for name, view in VIEWS.items():
        back = view.back(bright(view.make(squares())).boxes, SHAPE)
        in_order = back[np.lexsort((back[:, 1], back[:, 0]))]
        assert in_order == pytest.approx(seen.boxes[np.lexsort((seen.boxes[:, 1], seen.boxes[:, 0]))]), name


def test_a_box_over_a_whole_smaller_image_comes_back_inside_the_image() -> None:
    for shape in ((81, 7), (123, 457), (80, 4096), (1000, 610)):
        small = VIEWS["scale-0.9"].make(Micrograph(np.zeros(shape)))
        back = VIEWS["scale-0.9"].back(np.array([[0.0, 0.0, *small.shape]]), shape)
        assert len(Instances.from_boxes(shape, back)) == 1


def test_half_the_noise_is_added_and_each_time_the_same() -> None:
    flat = Micrograph(np.random.default_rng(0).normal(100, 8, (200, 200)))
    first, again = (VIEWS["noise"].make(flat).pixels for _ in range(2))
    assert np.std(first - flat.pixels) == pytest.approx(4, rel=0.05)
    assert first.tobytes() == again.tobytes()


def test_the_recorded_type_stays_and_what_is_no_image_is_left_alone() -> None:
    pixels: NDArray[np.uint8] = np.random.default_rng(0).normal(100, 8, SHAPE).astype(np.uint8)
    valid = np.ones(SHAPE, bool)
    valid[-9:] = False
    image = Micrograph(pixels, valid=valid)
    noisy, turned = VIEWS["noise"].make(image), VIEWS["flip-rows"].make(image)
    assert noisy.pixels.dtype == np.uint8
    assert np.array_equal(noisy.pixels[-9:], pixels[-9:])
    assert not np.array_equal(noisy.pixels[:-9], pixels[:-9])
    assert turned.valid is not None
    assert not turned.valid[:9].any()
    assert turned.valid[9:].all()


def test_an_image_without_noise_and_one_of_a_pixel_get_none() -> None:
    for shape in (SHAPE, (1, 1)):
        flat = Micrograph(np.full(shape, 7.0))
        assert np.array_equal(VIEWS["noise"].make(flat).pixels, flat.pixels)


def test_what_lies_below_the_least_score_is_left_out_of_both_passes() -> None:
    one, other = [0.0, 0.0, 80.0, 10.0], [0.0, 50.0, 80.0, 60.0]
    found = Instances.from_boxes(SHAPE, [one, other], [0.9, 0.4])
    values = stability(Fixed([one]), squares(), found, min_score=0.5, views=["flip-rows"])
    assert values["st_iou"] == 1
    unsure = stability(Fixed([one], score=0.4), squares(), found, min_score=0.5, views=["flip-rows"])
    assert unsure["st_iou"] == 0


def test_nothing_in_either_pass_is_not_known_and_nothing_in_one_is_not_stable() -> None:
    nothing = stability(Fixed([], []), squares(), boxes_of(), min_score=0.5, views=FLIPS)
    assert np.isnan(list(nothing.values())).all()
    one = stability(Fixed([[0, 0, 9, 9]], []), squares(), boxes_of(), min_score=0.5, views=FLIPS)
    assert (one["st_iou_flip_rows"], one["st_iou"]) == (0, 0)
    assert np.isnan(one["st_iou_flip_cols"])


def test_objects_without_a_score_of_another_image_or_an_unknown_view_are_refused() -> None:
    with pytest.raises(SettingsError, match="Give each its score"):
        stability(bright, squares(), Instances.from_boxes(SHAPE, [[0, 0, 9, 9]]), min_score=0.5)
    with pytest.raises(ShapeError, match="the image is"):
        stability(bright, squares(), Instances.empty((9, 9)), min_score=0.5)
    with pytest.raises(UnknownName, match="no view is called 'upside-down'"):
        stability(bright, squares(), boxes_of(), min_score=0.5, views=["upside-down"])
