from __future__ import annotations

import numpy as np
import pytest

from epistem.core import Micrograph
from epistem.imaging.normalize import normalize, normalize_part, robust_scale


def test_normal_noise_becomes_median_0_and_spread_1() -> None:
    pixels = np.random.default_rng(0).normal(3000, 50, (400, 300)).astype(np.float32)
    z = normalize(Micrograph(pixels))
    assert np.median(z) == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.02)


def test_gain_and_offset_make_no_difference() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (40, 60)).astype(np.uint16)
    np.testing.assert_allclose(normalize(Micrograph(pixels)), normalize(Micrograph(pixels * 7 + 100)), atol=1e-5)


def test_constant_image_stays_constant() -> None:
    assert (normalize(Micrograph(np.full((5, 7), 9, np.uint8))) == 0).all()


def test_masked_pixels_do_not_count_and_become_the_median() -> None:
    pixels = np.random.default_rng(0).normal(0, 1, (50, 50))
    pixels[40:] = 1e6
    valid = np.ones((50, 50), bool)
    valid[40:] = False
    z = normalize(Micrograph(pixels, valid=valid))
    assert (z[40:] == 0).all()
    assert z[:40].std() == pytest.approx(1, abs=0.1)


def test_an_image_without_a_valid_pixel_is_all_median() -> None:
    assert (normalize(Micrograph(np.full((3, 4), np.nan))) == 0).all()


def test_a_window_equals_the_window_of_the_whole() -> None:
    image = Micrograph(np.random.default_rng(0).integers(0, 255, (30, 50)).astype(np.uint8))
    part = normalize_part(image, robust_scale(image), slice(3, 20), slice(10, 44))
    np.testing.assert_array_equal(part, normalize(image)[3:20, 10:44])


def test_the_input_is_not_changed() -> None:
    pixels = np.array([[1.0, np.nan], [3.0, 4.0]])
    before = pixels.copy()
    normalize(Micrograph(pixels))
    np.testing.assert_array_equal(pixels, before)
