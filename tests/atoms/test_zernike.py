from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter, rotate

from epistem.atoms.zernike import (
    basis,
    complex_moments,
    fold_score,
    groups,
    magnitudes,
    mahotas_magnitudes,
    moment_map,
    moments,
    rotated,
)
from epistem.core import SettingsError, ShapeError


def patches(n: int = 3, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).random((n, side, side)).astype(np.float32)


def petals(fold: int, side: int = 64) -> np.ndarray:
    """A pattern that a turn by 1/fold leaves as it is, dark at the rim, which is no circle but steps."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, side)] * 2)
    rho = np.hypot(x, y)
    return (3 * rho) ** fold * np.exp(-fold * (2 * rho) ** 2) * np.cos(fold * np.arctan2(y, x))


def test_the_functions_are_orthonormal_on_a_fine_grid() -> None:
    side = 256
    values = basis(6, side).values.astype(float)
    products = values @ values.T * (np.pi * side**2 / 4)
    np.testing.assert_allclose(products, np.eye(len(values)), atol=0.05)


def test_the_order_is_by_n_and_signed_m() -> None:
    _, n, m = basis()
    np.testing.assert_array_equal((n * (n + 2) + m) // 2, np.arange(66))
    assert (n[4], m[4]) == (2, 0)


def test_the_lowest_functions_are_those_of_the_textbook() -> None:
    side = 33
    x, y = np.meshgrid(*[np.linspace(-1, 1, side)] * 2)
    inside = x**2 + y**2 <= 1
    wanted = {0: np.ones_like(x), 1: 2 * y, 2: 2 * x, 4: np.sqrt(3) * (2 * (x**2 + y**2) - 1)}
    values = basis(2, side).values.reshape(-1, side, side) * (np.pi * side**2 / 4)
    for j, function in wanted.items():
        np.testing.assert_allclose(values[j], np.where(inside, function, 0), atol=1e-5)


def test_moments_are_one_row_a_patch_in_single_precision() -> None:
    found = moments(patches(5))
    assert found.shape == (5, 66)
    assert found.dtype == np.float32
    assert moments(np.empty((0, 32, 32))).shape == (0, 66)
    assert magnitudes(found).shape == (5, 36)


def test_a_quarter_turn_of_the_patch_is_a_turn_of_its_moments() -> None:
    images = patches()
    turned = np.rot90(images, axes=(1, 2))
    np.testing.assert_allclose(rotated(moments(images), np.pi / 2), moments(turned), atol=1e-6)


def test_a_small_turn_goes_the_same_way() -> None:
    x, y = np.meshgrid(*[np.linspace(-1, 1, 96)] * 2)
    image = gaussian_filter(patches(1, 96)[0] - 0.5, 6) * np.exp(-6 * (x**2 + y**2))
    turned = rotate(image, 20, reshape=False, order=3, mode="nearest")  # counter-clockwise on the screen
    right = np.abs(rotated(moments(image[None]), np.deg2rad(20)) - moments(turned[None])).max()
    wrong = np.abs(rotated(moments(image[None]), -np.deg2rad(20)) - moments(turned[None])).max()
    assert right < 0.1 * wrong


def test_each_patch_turns_by_its_own_angle_and_back() -> None:
    found = moments(patches())
    angles = np.array([0.1, 1, 4], np.float32)
    turned = rotated(found, angles)
    np.testing.assert_allclose(rotated(turned, -angles), found, atol=1e-6)
    np.testing.assert_allclose(magnitudes(turned), magnitudes(found), atol=1e-6)
    assert turned.dtype == np.float32


def test_a_complex_moment_is_the_cosine_and_the_sine_one() -> None:
    found = moments(patches(1))[0]
    z = complex_moments(found)
    np.testing.assert_allclose(z[1], found[2] + 1j * found[1])  # n = m = 1
    assert z[2].imag == 0  # n = 2, m = 0


@pytest.mark.parametrize("fold", [2, 3, 4, 6])
def test_petals_have_the_fold_they_were_made_with(fold: int) -> None:
    found = moments(petals(fold)[None])
    assert fold_score(found, fold)[0] == pytest.approx(1, abs=0.02)
    assert fold_score(found, 5)[0] == pytest.approx(-1 / 4, abs=0.02)


def test_a_constant_patch_has_no_fold() -> None:
    ring = moments(np.zeros((1, 32, 32)))
    assert np.isnan(fold_score(ring, 3)[0])


@pytest.mark.parametrize("side", [12, 13])
def test_the_map_holds_the_moments_of_every_patch(side: int) -> None:
    image = np.random.default_rng(1).random((20, 17))
    windows = sliding_window_view(image, (side, side))
    found = moment_map(image, side, n_max=6)
    one_by_one = moments(windows.reshape(-1, side, side), n_max=6).T.reshape(found.shape)
    np.testing.assert_allclose(found, one_by_one, atol=1e-6)


def test_groups_hold_each_moment_once_and_stay_together_when_turned() -> None:
    np.testing.assert_array_equal(np.sort(np.concatenate(groups())), np.arange(66))
    found = moments(patches(1))
    before = [np.linalg.norm(found[0, group]) for group in groups()]
    after = [np.linalg.norm(rotated(found, 0.7)[0, group]) for group in groups()]
    np.testing.assert_allclose(after, before, rtol=1e-5)


@pytest.mark.parametrize("side", [31, 32])
def test_magnitudes_in_the_convention_of_mahotas_are_those_of_mahotas(side: int) -> None:
    features = pytest.importorskip("mahotas.features")
    radius = (side - 1) / 2
    images = patches(4, side) - 0.2  # some pixels below 0, which mahotas leaves out
    theirs = [features.zernike_moments(one, radius, degree=10, cm=(radius, radius)) for one in images]
    np.testing.assert_allclose(mahotas_magnitudes(images), theirs, atol=1e-6)


def test_a_patch_without_light_has_no_magnitudes_of_mahotas() -> None:
    assert np.isnan(mahotas_magnitudes(np.zeros((1, 32, 32)))).all()


def test_the_basis_is_made_once_and_cannot_be_changed() -> None:
    assert basis(4, 16) is basis(4, 16)
    with pytest.raises(ValueError, match="read-only"):
        basis(4, 16).values[0, 0] = 1


def test_what_cannot_be_resolved_or_is_no_patch_is_refused() -> None:
    with pytest.raises(SettingsError, match="half the side"):
        moments(patches(1, 15), n_max=8)
    with pytest.raises(ShapeError, match="side, side"):
        moments(np.ones((2, 16, 15)))
    with pytest.raises(ShapeError, match="66; got 65"):
        magnitudes(np.ones(65))
    with pytest.raises(ShapeError, match="at least 32"):
        moment_map(np.ones((31, 40)), 32)
    with pytest.raises(SettingsError, match="2 or more"):
        fold_score(np.ones((1, 66)), 1)
