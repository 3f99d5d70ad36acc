from __future__ import annotations

import numpy as np
import pytest

from epistem.core import (
    Calibration,
    CalibrationMissing,
    Context,
    Micrograph,
    MicrographSeries,
    SettingsError,
    ShapeError,
)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8", "?"])
def test_pixels_stay_in_the_type_that_was_recorded(dtype: str) -> None:
    pixels = np.ones((3, 5), dtype)
    image = Micrograph(pixels)
    assert image.pixels.dtype == pixels.dtype
    assert image.shape == (3, 5)


def test_pixels_cannot_be_changed_through_the_micrograph_and_the_callers_array_stays_writable() -> None:
    pixels = np.zeros((2, 3))
    image = Micrograph(pixels)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
    pixels[0, 0] = 1


@pytest.mark.parametrize("pixels", [np.zeros(4), np.zeros((0, 3)), np.zeros((2, 2, 2)), np.zeros((2, 2), complex)])
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="an image"):
        Micrograph(pixels)


def test_nan_and_infinity_are_not_valid_pixels() -> None:
    image = Micrograph(np.array([[1.0, np.nan], [np.inf, 2.0]]))
    assert image.valid is not None
    assert image.valid.tolist() == [[True, False], [False, True]]
    assert image.valid_fraction == 0.5


def test_what_was_masked_stays_masked_beside_nan() -> None:
    image = Micrograph(np.array([[1.0, np.nan, 3.0]]), valid=np.array([[False, True, True]]))
    assert image.valid is not None
    assert image.valid.tolist() == [[False, False, True]]


def test_a_valid_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match="valid mask"):
        Micrograph(np.zeros((2, 2)), valid=np.ones((2, 3), bool))


def test_id_is_of_the_pixels_their_type_and_their_shape_alone() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert Micrograph(pixels, name="a").id == Micrograph(pixels.copy(), name="b").id
    others = [pixels.reshape(3, 2), pixels.astype(np.uint16), pixels + 1]
    assert len({Micrograph(pixels).id, *(Micrograph(other).id for other in others)}) == 4


def test_id_does_not_depend_on_memory_order() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert Micrograph(np.asfortranarray(pixels)).id == Micrograph(pixels).id


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_is_a_positive_length(size: float) -> None:
    with pytest.raises(SettingsError, match="pixel size"):
        Calibration(1.0, size, "user")


def test_disagreement_is_the_larger_of_rows_and_columns() -> None:
    assert Calibration(1.0, 1.0, "user").disagreement(Calibration(1.0, 0.9, "metadata")) == pytest.approx(0.1)
    assert Calibration(1.0, 2.0, "user").is_square is False


def test_nm_without_pixel_size_says_what_to_do() -> None:
    with pytest.raises(CalibrationMissing, match=r"x\.tif has no pixel size; pass --pixel-size"):
        Micrograph(np.zeros((2, 2)), name="x.tif").needs_calibration()


def test_masked_pixels_are_not_in_the_area() -> None:
    valid = np.ones((4, 5), bool)
    valid[0] = False
    image = Micrograph(np.zeros((4, 5)), Calibration(2.0, 3.0, "user"), valid=valid)
    assert image.valid_area_nm2 == pytest.approx(15 * 6.0)


def test_context_tells_only_what_is_known() -> None:
    assert Context(beam_keV=200.0, extra={"stage": "A"}).known() == {"beam_keV": 200.0, "stage": "A"}


def test_a_stack_becomes_images_that_know_their_place() -> None:
    like = Micrograph(np.zeros((2, 3)), Calibration(1.0, 1.0, "metadata"), name="film")
    series = MicrographSeries.from_stack(np.arange(24.0).reshape(4, 2, 3), "t", like)
    assert len(series) == 4
    assert [image.slice.position for image in series if image.slice] == [0, 1, 2, 3]
    assert series[2].calibration == like.calibration
    np.testing.assert_array_equal(series[3].pixels, np.arange(18.0, 24.0).reshape(2, 3))
    assert len(series[1:3]) == 2


def test_a_series_without_image_and_a_wrong_stack_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least one"):
        MicrographSeries((), "z")
    with pytest.raises(ShapeError, match=r"\(n, H, W\)"):
        MicrographSeries.from_stack(np.zeros((2, 2)), "z", Micrograph(np.zeros((2, 2))))
    with pytest.raises(ShapeError, match="labels"):
        MicrographSeries.from_stack(np.zeros((2, 2, 2)), "z", Micrograph(np.zeros((2, 2))), labels=("one",))
