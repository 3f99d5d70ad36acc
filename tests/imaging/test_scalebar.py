from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from epistem.imaging import ocr
from epistem.imaging.barshape import find_bars
from epistem.imaging.scalebar import find_scale_bar, parse_label

needs_ocr = pytest.mark.skipif(not ocr.available(), reason='needs RapidOCR: pip install "epistem[ocr]"')


def grain(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 1.5)
    return np.clip(128 + 25 * noise / noise.std(), 20, 230).astype(np.uint8)


def font(size: int) -> Any:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def drawn(
    text: str = "50 nm",
    length: int = 120,
    *,
    thick: int = 6,
    ink: int = 255,
    size: int = 22,
    above: bool = False,
    more: Callable[[ImageDraw.ImageDraw], None] = lambda pen: None,
) -> np.ndarray:
    """Grain, 400 × 500, with a bar from column 40, row 320."""
    picture = Image.fromarray(grain(400, 500))
    pen = ImageDraw.Draw(picture)
    more(pen)
    pen.rectangle((40, 320, 40 + length - 1, 320 + thick - 1), fill=ink)
    pen.text((40 + length // 2, 314 if above else 320 + thick + 6), text, ink, font(size), "mb" if above else "mt")
    return np.asarray(picture)


@needs_ocr
@pytest.mark.parametrize(
    ("text", "nm"), [("50 nm", 50), ("200nm", 200), ("0.5 µm", 500), ("1 um", 1000), ("10 μm", 10_000), ("2 Å", 0.2)]
)
def test_a_label_is_read_in_nm(text: str, nm: float) -> None:
    bar = find_scale_bar(drawn(text))
    assert bar is not None
    assert bar.length_nm == nm
    assert bar.length_px == pytest.approx(120, abs=0.6)


@needs_ocr
@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize(("size", "thick"), [(13, 2), (40, 12)])
def test_colour_side_and_size_of_a_bar_do_not_matter(ink: int, above: bool, size: int, thick: int) -> None:
    bar = find_scale_bar(drawn("100 nm", ink=ink, above=above, size=size, thick=thick))
    assert bar is not None
    assert bar.length_nm == 100
    assert bar.length_px == pytest.approx(120, abs=0.6)


@needs_ocr
@pytest.mark.parametrize("to", [lambda a: a.astype(np.uint16) * 257, lambda a: a / np.float32(255) - 3])
def test_sixteen_bit_and_float_images_read_the_same(to: Callable[[np.ndarray], np.ndarray]) -> None:
    bar, same = find_scale_bar(drawn()), find_scale_bar(to(drawn()))
    assert bar is not None
    assert same is not None
    assert same._replace(length_px=bar.length_px) == bar
    assert same.length_px == pytest.approx(bar.length_px, abs=1e-3)


@needs_ocr
def test_bar_and_label_lie_inside_what_is_returned() -> None:
    clean = grain(400, 500)
    bar = find_scale_bar(drawn())
    assert bar is not None
    rows, cols = np.nonzero(drawn() != clean)
    assert bar.rows.start <= rows.min() + 1
    assert rows.max() <= bar.rows.stop
    assert bar.cols.start <= cols.min()
    assert cols.max() < bar.cols.stop


@needs_ocr
def test_end_ticks_do_not_lengthen_a_bar() -> None:
    def ticks(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((40, 314, 41, 327), fill=255)
        pen.rectangle((158, 314, 159, 327), fill=255)

    bar = find_scale_bar(drawn(thick=2, more=ticks))
    assert bar is not None
    assert bar.length_nm == 50
    assert bar.length_px == pytest.approx(120, abs=1)


@needs_ocr
@pytest.mark.parametrize("ink", [0, 255])
def test_the_box_of_a_label_is_not_taken_for_the_bar(ink: int) -> None:
    boxed = drawn(ink=ink, more=lambda pen: pen.rectangle((34, 312, 165, 362), fill=255 - ink))
    bar = find_scale_bar(boxed)
    assert bar is not None
    assert bar.length_nm == 50
    assert bar.length_px == pytest.approx(120, abs=0.6)


@needs_ocr
@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("left", [37, 20])
def test_the_lower_edge_of_a_tight_box_is_not_taken_for_the_bar(ink: int, left: int) -> None:
    tight = drawn(ink=ink, above=True, more=lambda pen: pen.rectangle((left, 286, 162, 330), fill=255 - ink))
    bar = find_scale_bar(tight)
    assert bar is not None
    assert bar.length_nm == 50
    assert bar.length_px == pytest.approx(120, abs=0.6)


@needs_ocr
def test_a_bar_broken_by_its_label_is_measured_from_end_to_end() -> None:
    picture = Image.fromarray(grain(400, 500))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 350, 500, 400), fill=0)
    for col in (60, 260):
        pen.rectangle((col, 374, col + 99, 375), fill=255)
    pen.text((210, 375), "5 µm", 255, font(20), "mm")
    bar = find_scale_bar(np.asarray(picture))
    assert bar is not None
    assert bar.length_px == pytest.approx(300, abs=1)


@needs_ocr
@pytest.mark.parametrize("text", ["5 1/nm", "5 mm", "5 kV", "25.4 µm", "sample"])
def test_what_is_no_clear_length_gives_none(text: str) -> None:
    bar = find_scale_bar(drawn(text))
    assert bar is not None
    assert bar.length_nm is None


@needs_ocr
def test_two_bars_that_disagree_give_no_length() -> None:
    def inset(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((300, 100, 379, 105), fill=255)
        pen.text((340, 112), "5 nm", 255, font(22), "mt")

    bar = find_scale_bar(drawn(more=inset))
    assert bar is not None
    assert bar.length_nm is None


@needs_ocr
def test_reading_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ocr._engine.cache_clear()
    bar = find_scale_bar(drawn())
    assert bar is not None
    assert bar.length_nm == 50


def test_without_ocr_the_bar_is_found_and_its_label_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "available", lambda: False)
    bar = find_scale_bar(drawn())
    assert bar is not None
    assert (bar.text, bar.length_nm) == ("", None)
    assert bar.length_px == pytest.approx(120, abs=0.6)


def test_length_is_found_to_a_fraction_of_a_pixel() -> None:
    image = np.full((60, 200), 100.0)
    image[40:45, 30:130] = 255
    image[40:45, 130] = 100 + 0.5 * 155
    bar = find_scale_bar(image)
    assert bar is not None
    assert bar.length_px == pytest.approx(100.5, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (5, 5), (30, 40)])
def test_tiny_images_have_no_bar(shape: tuple[int, int]) -> None:
    assert find_scale_bar(np.arange(np.prod(shape), dtype=float).reshape(shape)) is None


@pytest.mark.parametrize("value", [0.0, 255.0, np.nan])
def test_a_constant_image_has_no_bar(value: float) -> None:
    assert find_scale_bar(np.full((100, 120), value)) is None


@pytest.mark.parametrize("seed", range(5))
def test_grain_has_no_bar(seed: int) -> None:
    assert find_bars(grain(300, 400, seed)) == []


def test_a_bar_that_touches_the_side_has_no_known_length() -> None:
    image = grain(200, 300)
    image[150:156, :90] = 255
    assert find_bars(image) == []


def test_a_tilted_line_is_no_bar() -> None:
    image = Image.fromarray(grain(300, 300))
    ImageDraw.Draw(image).line((50, 200, 250, 220), fill=255, width=5)
    assert find_scale_bar(np.asarray(image)) is None


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        ("|— 50 nm —|", 50),
        ("2,5 µm", 2500),
        ("10 µM", 10_000),
        ("1 A", 0.1),
        ("05 µm", None),
        ("4.45 µm", None),
        ("5 nm-1", None),
        ("0 nm", None),
        ("", None),
        ("50 nm 20 nm", None),
    ],
)
def test_only_one_clear_length_is_a_label(text: str, nm: float | None) -> None:
    assert parse_label(text) == nm


def test_a_plain_2048_image_costs_little() -> None:
    image = grain(2048, 2048)
    find_scale_bar(image)
    start = time.perf_counter()
    assert find_scale_bar(image) is None
    # 60 ms alone; the bound leaves room for a busy machine and is far from the seconds that OCR would take.
    assert time.perf_counter() - start < 1


@pytest.mark.study
@pytest.mark.skipif("EPISTEM_STUDY_DATA" not in os.environ, reason="EPISTEM_STUDY_DATA is not set")
@pytest.mark.parametrize("folder", ["cavity_tem_unlabelled", "cosmic_backgrounds", "superalloy_sem"])
def test_real_micrographs_without_a_bar_give_none(folder: str) -> None:
    files = sorted((Path(os.environ["EPISTEM_STUDY_DATA"]) / folder / "images").glob("*.png"))
    assert files
    found = [path.name for path in files if find_scale_bar(np.asarray(Image.open(path).convert("L")))]
    assert found == []
