from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError
from epistem.trust.descriptors import SMALLEST_PX, WIDTH, describe, robust


def noise(seed: int = 0, shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape)


def test_a_tile_of_any_size_has_as_many_numbers() -> None:
    for shape in ((SMALLEST_PX, SMALLEST_PX), (96, 128), (131, 67)):
        vector = describe(noise(shape=shape))
        assert vector.shape == (WIDTH,)
        assert np.isfinite(vector).all()


def test_gain_and_offset_do_not_matter() -> None:
    np.testing.assert_allclose(describe(noise()), describe(3 * noise() - 7), atol=1e-9)


def test_what_is_mirrored_twice_is_the_same_and_what_is_turned_is_not() -> None:
    stripes = np.sin(np.arange(128) / 3)[:, None] + 0.1 * noise(1, (128, 128)) / 20
    turned = describe(stripes.T) - describe(stripes)
    assert np.abs(turned).max() > 0.2
    np.testing.assert_allclose(describe(stripes.T.T), describe(stripes))


def test_blurred_noise_lies_farther_from_noise_than_other_noise_does() -> None:
    from scipy import ndimage

    sharp, other, soft = describe(noise(0)), describe(noise(1)), describe(ndimage.gaussian_filter(noise(2), 1.5))
    assert np.linalg.norm(soft - sharp) > 5 * np.linalg.norm(other - sharp)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_tile_has_finite_numbers(value: float) -> None:
    assert np.isfinite(describe(np.full((64, 64), value))).all()
    assert not robust(np.full((4, 4), value)).any()


def test_a_few_bright_pixels_on_a_flat_ground_do_not_blow_up_the_scale() -> None:
    tile = np.zeros((64, 64))
    tile[:2] = 1
    assert np.isfinite(describe(tile)).all()
    assert robust(tile).max() <= 8


def test_a_small_or_coloured_tile_is_refused() -> None:
    for shape in ((63, 64), (64, 64, 3)):
        with pytest.raises(ShapeError, match="grey tile of 64 px"):
            describe(np.zeros(shape))


def test_pixels_that_are_not_finite_are_refused_and_counted() -> None:
    tile = noise()
    tile[0, :3] = np.nan
    with pytest.raises(SettingsError, match="3 pixels are not finite"):
        describe(tile)
