from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from epistem.atoms.columns import NoLattice, find_columns, fit_columns
from epistem.core import SettingsError, ShapeError


def square_crystal(spacing: float = 13.0, side: int = 200, counts: float = 100.0) -> tuple[NDArray, NDArray]:
    """An image of Gaussian columns on a turned square lattice, and their places."""
    index = np.stack(np.meshgrid(*[np.arange(-40, 41)] * 2), axis=-1).reshape(-1, 2)
    places = spacing * index @ np.array([[0.96, 0.28], [-0.28, 0.96]]) + side / 2
    places = places[((places > -spacing) & (places < side + spacing)).all(axis=1)]
    line = np.arange(side)
    width = 0.17 * spacing
    rows = np.exp(-((line - places[:, :1]) ** 2) / (2 * width**2))
    cols = np.exp(-((line - places[:, 1:]) ** 2) / (2 * width**2))
    image = np.random.default_rng(0).poisson(counts * (rows.T @ cols) + 5).astype(float)
    return image, places[((places > 3) & (places < side - 4)).all(axis=1)]


@pytest.mark.parametrize("spacing_px", [None, 13.0])
def test_every_column_of_a_square_crystal_is_found_once(spacing_px: float | None) -> None:
    image, places = square_crystal()
    found = find_columns(image, spacing_px=spacing_px)
    distance = cKDTree(found).query(places)[0]
    assert distance.max() < 0.5
    assert cKDTree(places).query(found[((found > 6) & (found < 193)).all(axis=1)])[0].max() < 0.5


def test_a_shift_of_the_image_shifts_the_columns() -> None:
    image, _ = square_crystal()
    whole, cut = find_columns(image, spacing_px=13), find_columns(image[7:, 4:], spacing_px=13)
    inner = whole[((whole > 50) & (whole < 150)).all(axis=1)]
    assert cKDTree(cut + np.array([7, 4])).query(inner)[0].max() < 0.01


def test_noise_has_no_period_and_no_columns() -> None:
    noise = np.random.default_rng(0).normal(size=(128, 128))
    with pytest.raises(NoLattice, match="spacing_px"):
        find_columns(noise)
    assert len(find_columns(noise, spacing_px=12)) == 0


def test_what_has_no_columns_to_look_for_is_refused() -> None:
    with pytest.raises(NoLattice, match="all pixels"):
        find_columns(np.zeros((64, 64)))
    with pytest.raises(ShapeError, match="32 px"):
        find_columns(np.zeros((8, 64)))
    with pytest.raises(SettingsError, match="spacing_px"):
        find_columns(square_crystal()[0], spacing_px=0.5)


def test_overlapping_neighbours_do_not_pull_at_each_other() -> None:
    line = np.arange(40)
    places, heights = np.array([[20.3, 16.8], [20.3, 22.6]]), np.array([1.0, 0.3])
    image = sum(
        height * np.outer(np.exp(-((line - row) ** 2) / 8), np.exp(-((line - col) ** 2) / 8))
        for (row, col), height in zip(places, heights, strict=True)
    )
    fit = fit_columns(
        np.asarray(image), np.round(places), heights=np.array([0.7, 0.7]), level=0.0, width_px=2.0, reach_px=3.0
    )
    assert np.linalg.norm(fit.places - places, axis=1).max() < 0.05
    assert fit.amplitude == pytest.approx(heights, abs=0.02)
