from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError, UnknownName
from epistem.trust.mask_failures import FAILURES, plant, thickness_px
from epistem.trust.views import MORPHOLOGY, VIEWS, morphology, object_tiles, signed_distance, tiles, view


def squares() -> np.ndarray:
    mask = np.zeros((96, 96), bool)
    for row in (10, 40, 70):
        for col in (10, 40, 70):
            mask[row : row + 14, col : col + 14] = True
    return mask


def image() -> np.ndarray:
    return squares() * 50.0 + np.random.default_rng(0).normal(100, 3, (96, 96))


def told(mask: np.ndarray) -> dict[str, float]:
    return dict(zip(MORPHOLOGY, morphology(image(), mask), strict=True))


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_a_finite_grey_image_and_changes_nothing(name: str) -> None:
    grey, mask = image(), squares()
    shown = view(name, grey, mask)
    assert shown.shape == mask.shape
    assert np.isfinite(shown).all()
    np.testing.assert_array_equal(grey, image())
    for odd in (np.zeros((96, 96), bool), np.ones((96, 96), bool)):
        assert np.isfinite(view(name, np.zeros((96, 96)), odd)).all()


def test_views_have_names_and_need_one_size() -> None:
    with pytest.raises(UnknownName, match="image, mask, overlay, boundary"):
        view("outline", image(), squares())
    with pytest.raises(ShapeError, match="one size"):
        view("mask", image(), squares()[:-1])


def test_distance_counts_from_between_the_pixels() -> None:
    mask = np.zeros((5, 6), bool)
    mask[:, 3:] = True
    np.testing.assert_allclose(signed_distance(mask)[2], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert (signed_distance(np.zeros((4, 4), bool)) == -32).all()


def test_an_overlay_differs_from_the_image_only_on_the_outline() -> None:
    shown, plain = (view("overlay", image(), mask) for mask in (squares(), np.zeros((96, 96), bool)))
    assert (shown != plain).sum() == 9 * 4 * 13


def test_tiles_come_row_by_row_and_leave_the_rest() -> None:
    numbers = np.arange(35).reshape(5, 7)
    assert [int(one[0, 0]) for one in tiles(numbers, 3)] == [0, 3]
    assert [int(one[0, 0]) for one in tiles(numbers, 3, stride=2)] == [0, 2, 4, 14, 16, 18]
    assert tiles(numbers, 6) == []
    with pytest.raises(SettingsError, match="1 px or more"):
        tiles(numbers, 3, stride=0)


def test_a_square_object_fills_the_middle_of_its_tile_whatever_its_size() -> None:
    for side in (8, 20):
        grey = np.zeros((100, 120))
        grey[40 : 40 + side, 60 : 60 + side] = 1
        (shown,) = object_tiles(grey, [(40, 60, 40 + side, 60 + side)], 32)
        assert shown.shape == (32, 32)
        assert shown[9:23, 9:23].min() > 0.99
        assert shown[:7].max() == 0
        assert shown[:, 25:].max() == 0
    assert object_tiles(grey, np.empty((0, 4))) == []


def test_morphology_counts_and_measures() -> None:
    one = told(squares())
    assert one["objects_per_Mpx"] == pytest.approx(9 / 96**2 * 1e6)
    assert one["share"] == pytest.approx(9 * 14**2 / 96**2)
    assert one["log_area_px"] == pytest.approx(np.log(196))
    assert one["log_area_spread"] == pytest.approx(0, abs=1e-9)
    assert one["contrast"] > 3
    assert one["slope_-1px"] > 2 * one["slope_-5px"]
    assert one["slope_+0px"] > 2 * one["slope_+5px"]


def test_an_outline_that_lies_too_far_in_has_its_slope_outside() -> None:
    right, eroded = told(squares()), told(plant("eroded", squares(), np.random.default_rng(0), 0.7))
    assert eroded["slope_-4px"] > 2 * right["slope_-4px"]


@pytest.mark.parametrize("mask", [np.zeros((96, 96), bool), np.ones((96, 96), bool)])
def test_an_empty_and_a_full_mask_have_finite_numbers(mask: np.ndarray) -> None:
    assert np.isfinite(morphology(image(), mask)).all()


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_changes_a_mask_the_same_way_for_the_same_seed(name: str) -> None:
    mask = squares()
    failed, again = (plant(name, mask, np.random.default_rng(3), 0.5) for _ in range(2))
    assert failed.dtype == bool
    assert (failed != mask).any()
    np.testing.assert_array_equal(failed, again)
    np.testing.assert_array_equal(mask, squares())


@pytest.mark.parametrize("name", FAILURES)
def test_more_strength_changes_more_and_none_nothing(name: str) -> None:
    changed = [
        np.mean([(plant(name, squares(), np.random.default_rng(i), s) != squares()).sum() for i in range(5)])
        for s in (0, 0.3, 1.0)
    ]
    assert changed[0] == 0
    assert 0 < changed[1] < changed[2]


@pytest.mark.parametrize("name", FAILURES)
def test_an_empty_mask_stays_empty_and_a_full_one_is_survived(name: str) -> None:
    assert not plant(name, np.zeros((40, 30), bool), np.random.default_rng(0)).any()
    assert plant(name, np.ones((40, 30), bool), np.random.default_rng(0)).shape == (40, 30)


def test_each_failure_does_what_its_name_says() -> None:
    def n_of(name: str) -> float:
        return told(plant(name, squares(), np.random.default_rng(0), 0.6))["objects_per_Mpx"] / 1e6 * 96**2

    assert n_of("fragmented") > 9.5
    assert n_of("merged") < 8.5
    assert n_of("dropped") == pytest.approx(4)
    eroded, dilated = (plant(name, squares(), np.random.default_rng(0), 0.5) for name in ("eroded", "dilated"))
    assert not (eroded & ~squares()).any()
    assert not (squares() & ~dilated).any()


def test_thickness_of_squares_is_their_side() -> None:
    assert thickness_px(squares()) == pytest.approx(14)


def test_bad_failures_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UnknownName, match="fragmented, merged"):
        plant("melted", squares(), rng)
    with pytest.raises(SettingsError, match="0 to 1"):
        plant("merged", squares(), rng, 1.5)
    with pytest.raises(ShapeError, match="a mask"):
        plant("merged", squares()[None], rng)
