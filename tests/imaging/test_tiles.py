from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from epistem.core import SettingsError
from epistem.imaging.tiles import tiles


@given(rows=st.integers(1, 50), cols=st.integers(1, 50), tile=st.integers(1, 60), halo=st.integers(0, 20))
def test_cores_cover_every_pixel_once_and_lie_where_inner_says(rows: int, cols: int, tile: int, halo: int) -> None:
    image = np.arange(rows * cols).reshape(rows, cols)
    seen = np.zeros((rows, cols), int)
    for window in tiles((rows, cols), tile_px=tile, halo_px=halo):
        seen[window.core] += 1
        np.testing.assert_array_equal(image[window.outer][window.inner], image[window.core])
    assert (seen == 1).all()


def test_a_filter_within_the_halo_gives_the_same_as_on_the_whole() -> None:
    image = np.random.default_rng(0).normal(size=(61, 47)).astype(np.float32)
    whole = ndimage.gaussian_filter(image, 2.0, truncate=4)
    parts = np.empty_like(image)
    for window in tiles(image.shape, tile_px=16, halo_px=8):
        parts[window.core] = ndimage.gaussian_filter(image[window.outer], 2.0, truncate=4)[window.inner]
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(("tile", "halo"), [(0, 1), (4, -1)])
def test_meaningless_tiles_are_refused(tile: int, halo: int) -> None:
    with pytest.raises(SettingsError, match="tile_px"):
        next(tiles((8, 8), tile_px=tile, halo_px=halo))
