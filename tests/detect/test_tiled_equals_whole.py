"""The size of the windows changes memory, never the result."""

from __future__ import annotations

from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epistem.core import Instances, Micrograph
from epistem.detect import DETECTORS, detect

TILED = [name for name in DETECTORS if "tile_px" in get_type_hints(DETECTORS[name])]


def assert_same(one: Instances, other: Instances) -> None:
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.score, other.score)
    for mask, twin in zip(one.masks(), other.masks(), strict=True):
        np.testing.assert_array_equal(mask.crop, twin.crop)


@st.composite
def blobby(draw: st.DrawFn) -> Micrograph:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows, cols = draw(st.integers(60, 210)), draw(st.integers(60, 210))
    image = rng.normal(0, 0.2, (rows, cols))
    y, x = np.mgrid[:rows, :cols]
    for _ in range(draw(st.integers(0, 25))):
        radius = rng.uniform(1.5, 25)
        image += rng.uniform(0.3, 2) * (np.hypot(y - rng.uniform(0, rows), x - rng.uniform(0, cols)) < radius)
    return Micrograph(image.astype(np.float32))


@pytest.mark.parametrize("name", TILED)
@settings(max_examples=40, deadline=None)
@given(image=blobby(), tile_px=st.integers(64, 200))
def test_tiled_equals_whole(name: str, image: Micrograph, tile_px: int) -> None:
    assert_same(detect(image, name, tile_px=4096), detect(image, name, tile_px=tile_px))


@pytest.mark.parametrize("name", TILED)
def test_objects_that_lie_across_tile_borders_are_found_once(name: str) -> None:
    y, x = np.mgrid[:256, :256]
    image = np.random.default_rng(0).normal(0, 0.05, (256, 256))
    for row in (64, 128, 192):
        for col in (64, 128, 192):
            image += np.hypot(y - row, x - col) < 12
    found = detect(Micrograph(image), name, tile_px=64)
    assert len(found) == 9
