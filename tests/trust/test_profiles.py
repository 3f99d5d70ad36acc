"""How objects stand out of their surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core import Instances, Micrograph
from epistem.trust.profiles import CONTRAST, object_contrast

RNG = np.random.default_rng(0)
ROWS, COLS = np.ogrid[:128, :160]
TEXTURE = np.rint(1000 + 200 * ndimage.gaussian_filter(RNG.normal(0, 1, (128, 160)), 3) / 0.094)
NOISE = RNG.normal(0, 1, (128, 160))
PLACE = (64, 80)


def disc(radius: float, height: float = 1.0) -> NDArray[np.float64]:
    return height * (np.hypot(ROWS - PLACE[0], COLS - PLACE[1]) < radius)


def contrast(pixels: NDArray[np.generic], half: int = 10) -> dict[str, float]:
    row, col = PLACE
    box = Instances.from_boxes((128, 160), [[row - half, col - half, row + half + 1, col + half + 1]])
    return {name: float(values[0]) for name, values in object_contrast(box, Micrograph(pixels)).items()}


@pytest.mark.parametrize(("gain", "offset"), [(1, 20_000), (0.01, -5), (7, 0), (16, -100_000)])
def test_grey_level_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    image = TEXTURE + np.rint(50 * NOISE)
    changed, before = contrast(gain * image + offset), contrast(image)
    assert changed == pytest.approx(before, rel=1e-4, abs=1e-4)


def test_a_bright_disc_stands_out_upwards_and_a_dark_one_downwards() -> None:
    bright, dark = (contrast(TEXTURE + disc(10, height)) for height in (3000, -3000))
    assert bright["c_core"] > 2 > -2 > dark["c_core"]
    assert bright["c_rim"] > 2 > -2 > dark["c_rim"]


def test_twice_the_contrast_in_the_same_noise_is_twice_as_far_out() -> None:
    found = [contrast(100 * NOISE + disc(10, height)) for height in (500, 1000)]
    assert found[1]["c_core"] == pytest.approx(2 * found[0]["c_core"], rel=0.05)
    assert found[1]["c_spread"] == pytest.approx(found[0]["c_spread"], rel=0.02)


def test_a_fringe_is_in_the_rim_and_not_in_the_core() -> None:
    ring = disc(10) - disc(7)
    for sign in (1, -1):
        found = contrast(NOISE + sign * 8 * ring)
        assert sign * found["c_rim"] > 2
        assert abs(found["c_core"]) < 0.6


def test_the_surroundings_are_as_restless_as_their_noise() -> None:
    calm, loud = (contrast(NOISE * np.where(np.hypot(ROWS - 64, COLS - 80) < 30, k, 1)) for k in (1, 4))
    assert calm["c_spread"] == pytest.approx(1, abs=0.15)
    assert loud["c_spread"] == pytest.approx(4 * calm["c_spread"], rel=0.15)


def test_an_object_in_the_corner_has_the_surroundings_that_are_there() -> None:
    image = 100 * NOISE
    image[:12, :12] += 2000
    corner = object_contrast(Instances.from_boxes((128, 160), [[0, 0, 12, 12]]), Micrograph(image))
    assert corner["c_core"][0] == pytest.approx(20, rel=0.1)
    assert corner["c_spread"][0] == pytest.approx(1, abs=0.3)


def test_an_object_as_large_as_the_image_has_no_surroundings_and_no_contrast() -> None:
    whole = object_contrast(Instances.from_boxes((128, 160), [[0, 0, 128, 160]]), Micrograph(NOISE + 3))
    assert all(np.isnan(values[0]) for values in whole.values())


def test_without_image_or_objects_no_contrast_is_known() -> None:
    nothing = object_contrast(Instances.empty((128, 160)), Micrograph(NOISE))
    assert {name: len(values) for name, values in nothing.items()} == dict.fromkeys(CONTRAST, 0)
    unknown = object_contrast(Instances.from_boxes((9, 9), [[0, 0, 3, 3]]), None)
    assert all(np.isnan(unknown[name]).all() for name in CONTRAST)


def test_a_disc_is_round_and_mere_noise_is_not() -> None:
    assert contrast(NOISE + disc(10, 20))["c_round"] > 0.9
    assert contrast(NOISE)["c_round"] < 0.2


def test_a_fringe_around_the_object_stands_out_of_what_is_farther_off() -> None:
    around = disc(13) - disc(10)
    for sign in (1, -1):
        assert sign * contrast(NOISE + sign * 8 * around)["c_fringe"] > 2


def test_inside_like_outside_is_as_restless_and_texture_inside_is_more() -> None:
    assert contrast(NOISE + disc(10.5, -5))["c_ragged"] == pytest.approx(1, abs=0.25)
    assert contrast(NOISE * (1 + disc(9, 3)))["c_ragged"] == pytest.approx(4, rel=0.3)


def test_an_edge_leans_a_line_is_long_and_a_disc_is_neither() -> None:
    edge, line = (contrast(NOISE + 20 * where) for where in (COLS + 0 * ROWS > 80, np.abs(COLS - 80 + 0 * ROWS) < 3))
    round_one = contrast(NOISE + disc(10, 20))
    assert edge["c_lean"] > 2 * max(edge["c_long"], round_one["c_lean"])
    assert line["c_long"] > 2 * max(line["c_lean"], round_one["c_long"])


def test_pixels_that_are_no_image_are_not_read() -> None:
    image, valid = NOISE + disc(10, 10), np.ones((128, 160), bool)
    valid[:, 92:] = False
    hidden = np.where(valid, image, 500)
    box = Instances.from_boxes((128, 160), [[54, 70, 75, 91]])
    seen = object_contrast(box, Micrograph(hidden, valid=valid))
    assert seen["c_core"][0] == pytest.approx(contrast(image)["c_core"], rel=0.1)
