"""The image itself, and how objects stand out of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core import Instances, Micrograph
from epistem.trust.quality import BANDS, CONTRAST, QUALITY, image_quality, object_contrast

RNG = np.random.default_rng(0)
ROWS, COLS = np.ogrid[:128, :160]
TEXTURE = np.rint(1000 + 200 * ndimage.gaussian_filter(RNG.normal(0, 1, (128, 160)), 3) / 0.094)
NOISE = RNG.normal(0, 1, (128, 160))
PLACE = (64, 80)


def quality(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.array([*image_quality(Micrograph(pixels)).values()])


def one(name: str, pixels: NDArray[np.generic]) -> float:
    return image_quality(Micrograph(pixels))[name]


def bands(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Share of the power in each band."""
    return 10 ** np.array([one(f"q_band_{k}", pixels) for k in range(1, BANDS + 1)])


def disc(radius: float, height: float = 1.0) -> NDArray[np.float64]:
    return height * (np.hypot(ROWS - PLACE[0], COLS - PLACE[1]) < radius)


def contrast(pixels: NDArray[np.generic], half: int = 10) -> dict[str, float]:
    row, col = PLACE
    box = Instances.from_boxes((128, 160), [[row - half, col - half, row + half + 1, col + half + 1]])
    return {name: float(values[0]) for name, values in object_contrast(box, Micrograph(pixels)).items()}


@pytest.mark.parametrize(("gain", "offset"), [(1, 20_000), (0.01, -5), (7, 0), (16, -100_000)])
def test_grey_level_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    image = TEXTURE + np.rint(50 * NOISE)
    np.testing.assert_allclose(quality(gain * image + offset), quality(image), rtol=1e-4, atol=1e-4)
    changed, before = contrast(gain * image + offset), contrast(image)
    assert changed == pytest.approx(before, rel=1e-4, abs=1e-4)


def test_recorded_as_whole_numbers_or_not_is_the_same() -> None:
    np.testing.assert_array_equal(quality(TEXTURE.astype(np.uint16)), quality(TEXTURE))


def test_more_noise_has_a_larger_q_noise_and_is_less_like_its_neighbour() -> None:
    images = [TEXTURE + sigma * NOISE for sigma in (0, 20, 60, 200, 600)]
    assert (np.diff([one("q_noise", image) for image in images]) > 0).all()
    assert (np.diff([one("q_neighbour", image) for image in images]) < 0).all()


def test_white_noise_is_all_of_its_image() -> None:
    assert one("q_noise", NOISE) == pytest.approx(1, abs=0.03)
    assert one("q_neighbour", NOISE) == pytest.approx(0, abs=0.03)
    assert one("q_skew", NOISE) == pytest.approx(0, abs=0.1)


def test_blur_moves_power_to_longer_bands() -> None:
    sharp, soft, softer = (ndimage.gaussian_filter(NOISE, sigma) for sigma in (0, 1, 3))
    middle = [(bands(image) * np.arange(BANDS)).sum() / bands(image).sum() for image in (sharp, soft, softer)]
    assert (np.diff(middle) > 0.5).all()
    assert one("q_laplacian", sharp) > one("q_laplacian", soft) > one("q_laplacian", softer)


@pytest.mark.parametrize("band", range(1, 6))
def test_a_wave_is_in_the_band_of_its_length(band: int) -> None:
    wave = np.sin(2 * np.pi * (ROWS + COLS) / np.sqrt(2) / (2**band * np.sqrt(2)))
    assert np.argmax(bands(wave)) == band - 1


@pytest.mark.parametrize("shape", [(64, 33), (33, 33), (64, 48)])
def test_an_image_on_its_side_has_the_same_bands(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(0, 1, shape)
    assert bands(image.T) == pytest.approx(bands(image), rel=1e-3)


def test_stripes_have_one_direction_and_noise_has_less() -> None:
    assert one("q_stripes", np.sin(ROWS / 3 + 0 * COLS)) == pytest.approx(1, abs=1e-3)
    assert one("q_stripes", np.sin((2 * ROWS + COLS) / 5)) > 0.95
    assert one("q_stripes", NOISE) < 0.6


def test_a_half_that_is_restless_makes_the_image_uneven() -> None:
    half = np.where(COLS < 80, 5, 1) * NOISE
    assert one("q_uneven", half) > 5 * one("q_uneven", NOISE)


def test_a_few_glaring_pixels_are_a_tail_on_their_side() -> None:
    glaring = NOISE + np.where(RNG.random(NOISE.shape) < 0.005, 15, 0)
    assert one("q_tail", glaring) == pytest.approx(np.log10(0.005), abs=0.15)
    assert one("q_skew", glaring) > 1 > -1 > one("q_skew", -glaring)


def test_a_drawing_has_equal_neighbours_and_a_constant_image_has_only_these() -> None:
    assert one("q_flat", disc(20)) > 0.95
    assert one("q_flat", NOISE) == 0
    constant = image_quality(Micrograph(np.full((64, 64), 7, np.uint8)))
    assert constant["q_flat"] == 1
    assert constant["q_noise"] == 0
    assert np.isfinite([*constant.values()]).all()


@pytest.mark.parametrize("shape", [(31, 400), (400, 31), (1, 1)])
def test_of_a_tiny_image_nothing_is_known(shape: tuple[int, int]) -> None:
    told = image_quality(Micrograph(np.ones(shape)))
    assert tuple(told) == QUALITY
    assert np.isnan([*told.values()]).all()
    assert np.isnan([*image_quality(None).values()]).all()


def test_the_least_image_and_one_that_no_block_divides_are_told_of() -> None:
    for shape in ((32, 32), (47, 61)):
        assert np.isfinite(quality(np.random.default_rng(0).normal(0, 1, shape))).all()


def test_of_a_large_image_the_middle_is_read() -> None:
    large = np.random.default_rng(0).normal(0, 1, (40, 1100))
    other = large.copy()
    other[:, :30] = np.roll(other[:, :30], 7, axis=0) * 1.5
    assert one("q_noise", other) == pytest.approx(one("q_noise", large), rel=0.02)
    assert one("q_stripes", other) == pytest.approx(one("q_stripes", large), rel=1e-4)


def test_a_bright_disc_stands_out_upwards_and_a_dark_one_downwards() -> None:
    bright, dark = (contrast(TEXTURE + disc(10, height)) for height in (3000, -3000))
    assert bright["c_core"] > 2 > -2 > dark["c_core"]
    assert bright["c_core"] > bright["c_rim"] > 0 > dark["c_rim"] > dark["c_core"]


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
