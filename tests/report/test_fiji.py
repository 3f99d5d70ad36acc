from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray

import epistem
from epistem.core import Calibration, Instances, Micrograph, RecordError
from epistem.detect.adapters import load_instances
from epistem.report.export import write_imagej_rois
from epistem.report.fiji import write_micrograph

SHAPE = (40, 60)


def written(path: Path, dtype: str, calibration: Calibration | None = None) -> NDArray[Any]:
    """Pixels that lie in path/image.tif."""
    pixels = np.random.default_rng(0).integers(0, 100, SHAPE).astype(dtype)
    write_micrograph(path / "image.tif", Micrograph(pixels, calibration))
    return pixels


def objects() -> Instances:
    """One pixel, a ring, two pieces that are one object, one at the border, and two that overlap."""
    masks = np.zeros((6, *SHAPE), bool)
    masks[0, 7, 11] = True
    masks[1, 10:20, 10:22], masks[1, 13:16, 14:18] = True, False
    masks[2, 2:4, 30:33], masks[2, 6:9, 36:39] = True, True
    masks[3, 30:40, 50:60] = True
    masks[4, 22:30, 30:40] = True
    masks[5, 26:34, 36:44] = True
    each = [Instances.from_labels(mask.astype(int)) for mask in masks]
    crops = tuple(crop for one in each for crop in one.crops or ())
    return Instances.from_boxes(SHAPE, np.concatenate([one.boxes for one in each]), crops=crops)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_grey_values_come_back_as_recorded(tmp_path: Path, dtype: str) -> None:
    pixels = written(tmp_path, dtype)
    back = epistem.read(tmp_path / "image.tif")
    assert back.pixels.dtype == dtype
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.calibration is None


@pytest.mark.parametrize(
    ("dtype", "wider"), [("bool", "uint8"), ("int8", "int16"), ("float16", "float32"), ("int64", "float64")]
)
def test_types_that_imagej_does_not_open_become_the_next(tmp_path: Path, dtype: str, wider: str) -> None:
    pixels = written(tmp_path, dtype)
    back = epistem.read(tmp_path / "image.tif")
    assert back.pixels.dtype == wider
    np.testing.assert_array_equal(back.pixels, pixels)


def test_whole_numbers_that_no_type_of_imagej_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="2\\^53"):
        write_micrograph(tmp_path / "image.tif", Micrograph(np.full((4, 5), 2**60 + 1)))


@pytest.mark.parametrize("size", [(0.25, 0.5), (0.0382, 0.0382), (12345.678, 9876.5), (1 / 3, 2 / 7)])
def test_the_pixel_size_comes_back_and_stands_where_imagej_looks(tmp_path: Path, size: tuple[float, float]) -> None:
    written(tmp_path, "uint16", Calibration(*size, "user"))
    back = epistem.read(tmp_path / "image.tif").calibration
    assert (back.row_nm, back.col_nm) == pytest.approx(size, rel=1e-6)
    with tifffile.TiffFile(tmp_path / "image.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "nm"
        over, under = file.pages[0].tags["XResolution"].value
        assert over / under == pytest.approx(1 / size[1], rel=1e-6)


def test_rois_come_back_as_the_same_masks_to_the_pixel(tmp_path: Path) -> None:
    found = objects()
    write_imagej_rois(tmp_path / "rois.zip", found)
    back = load_instances(tmp_path / "rois.zip", shape=SHAPE)
    assert len(back) == len(found)
    for ours, theirs in zip(found.masks(), back.masks(), strict=True):
        assert (ours.rows, ours.cols) == (theirs.rows, theirs.cols)
        np.testing.assert_array_equal(ours.crop, theirs.crop)


def test_rois_count_from_pixel_corners_as_areas_do_in_imagej(tmp_path: Path) -> None:
    """ImageJ fills the pixels whose middle lies inside, and draws pixel (x, y) from x to x + 1."""
    write_imagej_rois(tmp_path / "rois.zip", objects())
    first = roifile.roiread(tmp_path / "rois.zip")[0]
    assert first.roitype == roifile.ROI_TYPE.TRACED
    assert sorted(map(tuple, first.coordinates().tolist())) == [(11, 7), (11, 8), (12, 7), (12, 8)]
    assert (first.left, first.top, first.right, first.bottom) == (11, 7, 12, 8)


def test_the_same_sizes_are_measured_of_what_fiji_was_given(tmp_path: Path) -> None:
    size, found = Calibration(0.5, 0.4, "user"), objects()
    pixels = written(tmp_path, "uint16", size)
    write_imagej_rois(tmp_path / "rois.zip", found)
    image = epistem.read(tmp_path / "image.tif")
    back = epistem.measure(load_instances(tmp_path / "rois.zip", shape=image.shape), image)
    first = epistem.measure(found, Micrograph(pixels, size))
    for name in ("equivalent_diameter_nm", "touches_edge"):
        np.testing.assert_allclose(back.columns[name], first.columns[name], rtol=1e-6)
