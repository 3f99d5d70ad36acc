"""The image itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core import Micrograph
from epistem.trust.quality import BANDS, QUALITY, image_quality

RNG = np.random.default_rng(0)
ROWS, COLS = np.ogrid[:128, :160]
TEXTURE = np.rint(1000 + 200 * ndimage.gaussian_filter(RNG.normal(0, 1, (128, 160)), 3) / 0.094)
NOISE = RNG.normal(0, 1, (128, 160))


def quality(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.array([*image_quality(Micrograph(pixels)).values()])


def one(name: str, pixels: NDArray[np.generic]) -> float:
    return image_quality(Micrograph(pixels))[name]


def bands(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    """Share of the power in each band."""
    return 10 ** np.array([one(f"q_band_{k}", pixels) for k in range(1, BANDS + 1)])


@pytest.mark.parametrize(("gain", "offset"), [(1, 20_000), (0.01, -5), (7, 0), (16, -100_000)])
def test_grey_level_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    image = TEXTURE + np.rint(50 * NOISE)
    np.testing.assert_allclose(quality(gain * image + offset), quality(image), rtol=1e-4, atol=1e-4)


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
    assert one("q_stripes", NOISE) < 0.1


def test_a_half_that_is_restless_makes_the_image_uneven() -> None:
    half = np.where(COLS < 80, 5, 1) * NOISE
    assert one("q_uneven", half) > 5 * one("q_uneven", NOISE)


def test_a_few_glaring_pixels_are_a_tail_on_their_side() -> None:
    glaring = NOISE + np.where(RNG.random(NOISE.shape) < 0.005, 15, 0)
    assert one("q_tail", glaring) == pytest.approx(np.log10(0.005), abs=0.15)
    assert one("q_skew", glaring) > 1 > -1 > one("q_skew", -glaring)


def test_a_drawing_has_equal_neighbours_and_a_constant_image_has_only_these() -> None:
    assert one("q_flat", np.where(np.hypot(ROWS - 64, COLS - 80) < 20, 1.0, 0.0)) > 0.95
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
