from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from epistem.imaging.banner import find_banner


def grain(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 1.5)
    return np.clip(128 + 25 * noise / noise.std(), 1, 254).astype(np.uint8)


def with_strip(height: int = 480, width: int = 640, strip: int = 40, ground: int = 0) -> np.ndarray:
    picture = Image.fromarray(grain(height, width))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, height - strip, width, height), fill=ground)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), strip // 3)
    pen.text((10, height - strip // 2), "EHT = 5.00 kV   WD = 4.1 mm   Mag = 20.00 K X", 255 - ground, font, "lm")
    return np.asarray(picture)


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("strip", [30, 64])
def test_a_printed_strip_is_found_to_the_row(strip: int, ground: int) -> None:
    assert find_banner(with_strip(strip=strip, ground=ground)) == (slice(480 - strip, 480), slice(0, 640))


def test_a_strip_on_top_is_found() -> None:
    upside_down = with_strip()[::-1]
    assert find_banner(upside_down) == (slice(0, 40), slice(0, 640))


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int16])
def test_the_depth_of_grey_changes_nothing(kind: type) -> None:
    assert find_banner(with_strip().astype(kind) * kind(100)) == find_banner(with_strip())


def test_a_dark_vacuum_is_no_strip() -> None:
    image = grain(480, 640)
    image[440:] = np.random.default_rng(1).integers(0, 12, (40, 640))
    assert find_banner(image) is None


def test_a_blank_margin_without_print_is_no_strip() -> None:
    image = grain(480, 640)
    image[440:] = 0
    assert find_banner(image) is None


def test_particles_over_a_clipped_background_are_no_strip() -> None:
    rows, cols = np.mgrid[:480, :640]
    image = np.where((rows % 60 - 30) ** 2 + (cols % 60 - 30) ** 2 < 200, 220, 0).astype(np.uint8)
    assert find_banner(image) is None


def test_a_flat_band_with_one_mark_but_no_print_is_no_strip() -> None:
    image = grain(480, 640)
    image[440:] = 0
    image[450:470, 100:140] = 255
    assert find_banner(image) is None


def test_a_caption_on_clipped_ground_under_fibres_is_no_strip() -> None:
    image = with_strip().copy()
    image[:440] = np.where(np.arange(640) % 10 < 6, image[:440], 0)
    assert find_banner(image) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (7, 7), (40, 30)])
def test_tiny_images_have_no_strip(shape: tuple[int, int]) -> None:
    assert find_banner(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)) is None


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_constant_image_has_no_strip(value: float) -> None:
    assert find_banner(np.full((64, 96), value)) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 300), st.integers(20, 300), st.floats(0, 8))
def test_grain_of_any_size_is_no_strip(seed: int, height: int, width: int, blur: float) -> None:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), blur)
    assert find_banner(noise) is None
