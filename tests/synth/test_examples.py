from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from PIL import Image

from epistem.app.samples import read_samples
from epistem.core import Micrograph, MicrographSeries
from epistem.core.rle import decompress, mask_from_runs
from epistem.imaging import read

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "make_examples.py"
    spec = importlib.util.spec_from_file_location("make_examples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_examples"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_same_pixels_and_truth_again(script: ModuleType) -> None:
    example = next(e for e in script.EXAMPLES if e.file == "B3.tif")
    pixels, truth = script.make(example)
    there = tifffile.imread(EXAMPLES / "images" / "B3.tif")
    # Another FFT or another processor may round one count the other way.
    assert np.abs(pixels.astype(int) - there).max() <= 1
    stored = json.loads((EXAMPLES / "truth.json").read_text("utf-8"))
    image = next(i for i in stored["images"] if i["file_name"] == "B3.tif")
    mine = [a for a in stored["annotations"] if a["image_id"] == image["id"]]
    assert [a["diameter_nm"] for a in mine] == truth.columns["diameter_nm"].round(3).tolist()
    for annotation, (rows, cols, crop) in zip(mine, truth.masks(), strict=True):
        again = mask_from_runs(decompress(annotation["segmentation"]["counts"]), (512, 640))
        assert again is not None
        want, got = np.zeros((2, 512, 640), bool)
        want[rows, cols], got[again.rows, again.cols] = crop, again.crop
        assert np.array_equal(want, got)


@pytest.mark.parametrize(
    ("file", "shape", "nm"),
    [
        ("A1.tif", (768, 1024), 0.3),
        ("A2.emd", (512, 512), 0.3),
        ("A3.tif", (512, 512), 0.3),
        ("B1.mrc", (512, 512), 0.4),
        ("B2.hspy", (512, 512), 0.4),
        ("B3.tif", (512, 640), 0.4),
    ],
)
def test_each_file_is_read_with_its_pixel_size(file: str, shape: tuple[int, int], nm: float) -> None:
    image = read(EXAMPLES / "images" / file)
    assert isinstance(image, Micrograph)
    assert image.shape == shape
    assert image.needs_calibration().row_nm == pytest.approx(nm, rel=1e-5)
    assert image.needs_calibration().col_nm == pytest.approx(nm, rel=1e-5)


def test_the_focal_series_is_a_series_of_three() -> None:
    series = read(EXAMPLES / "images" / "B4_focus.tif")
    assert isinstance(series, MicrographSeries)
    assert (len(series), series.axis) == (3, "z")
    assert series[0].needs_calibration().row_nm == pytest.approx(0.4, rel=1e-5)


def test_no_true_cavity_lies_under_the_label(script: ModuleType) -> None:
    pixels = np.asarray(Image.open(EXAMPLES / "images" / "A4.png"))
    top, left, bottom, right = script.label_box(pixels.shape, 0.3)
    assert pixels[top:bottom, left].max() == 0
    assert (pixels[bottom - 16] == 255).sum() == round(50 / 0.3)
    stored = json.loads((EXAMPLES / "truth.json").read_text("utf-8"))
    image = next(i["id"] for i in stored["images"] if i["file_name"] == "A4.png")
    for annotation in (a for a in stored["annotations"] if a["image_id"] == image):
        col, row, width, height = annotation["bbox"]
        assert not (row < bottom and row + height > top and col < right and col + width > left)


def test_every_image_is_in_the_samples_and_in_the_truth() -> None:
    files = sorted(path.name for path in (EXAMPLES / "images").iterdir())
    samples = read_samples(EXAMPLES / "samples.csv")
    assert samples.warnings(files) == ()
    stored = json.loads((EXAMPLES / "truth.json").read_text("utf-8"))
    assert sorted(image["file_name"] for image in stored["images"]) == files
    assert [row.specimen for row in samples.rows].count("A 300 °C") >= 3
    assert [row.specimen for row in samples.rows].count("B 450 °C") >= 3
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*")) < 4e6
