"""Scanning probe files and zarr: units, several channels, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epistem.core import Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging.afm import read_gwyddion, read_nanoscope
from epistem.imaging.gwy import parse_gwy
from epistem.imaging.zarr_files import read_zarr

HEIGHT = np.arange(12.0).reshape(3, 4)


def nanoscope(path: Path, scan: str, *, width: int = 2, rows: int = 4, cols: int = 4, channels: int = 1) -> Path:
    size = rows * cols * width
    header = "\\*File list\r\n\\Version: 0x05120130\r\n"
    for i in range(channels):
        header += (
            f"\\*Ciao image list\r\n\\Data offset: {4096 + i * size}\r\n\\Data length: {size}\r\n\\Bytes/pixel: 2\r\n"
            f"\\Samps/line: {cols}\r\n\\Number of lines: {rows}\r\n\\Scan Size: {scan}\r\n"
            f'\\@2:Image Data: S [Height] "Channel {i}"\r\n'
        )
    lines = np.arange(rows * cols * channels).astype(f"<i{width}")
    path.write_bytes((header + "\\*File list end\r\n").encode("latin-1").ljust(4096, b"\x00") + lines.tobytes())
    return path


@pytest.mark.parametrize(("scan", "nm"), [("1000 1000 nm", 250.0), ("1 1 ~m", 250.0), ("2 2 um", 500.0)])
def test_nanoscope_scan_size_becomes_nm(scan: str, nm: float, tmp_path: Path) -> None:
    found = read_nanoscope(nanoscope(tmp_path / "a.spm", scan))
    assert isinstance(found, Micrograph)
    assert found.calibration is not None
    assert found.calibration.row_nm == pytest.approx(nm)
    assert found.context.modality == "AFM"


def test_nanoscope_lines_are_stored_from_below(tmp_path: Path) -> None:
    found = read_nanoscope(nanoscope(tmp_path / "a.spm", "1 1 ~m"))
    assert isinstance(found, Micrograph)
    assert found.pixels[-1].tolist() == [0, 1, 2, 3]


def test_nanoscope_32_bit_channels_are_a_series(tmp_path: Path) -> None:
    found = read_nanoscope(nanoscope(tmp_path / "a.spm", "1 1 ~m", width=4, channels=2))
    assert isinstance(found, MicrographSeries)
    assert [image.slice.label for image in found if image.slice] == ["Channel 0", "Channel 1"]
    assert found[1].pixels.dtype == np.int32
    assert found[1].pixels[-1, 0] == 16


def test_a_scan_size_that_can_be_read_in_two_ways_is_told_and_not_believed(tmp_path: Path) -> None:
    found = read_nanoscope(nanoscope(tmp_path / "a.spm", "1 1 ~m", rows=2))
    assert isinstance(found, Micrograph)
    assert found.calibration is None
    assert "ambiguous" in found.warnings[0]


def test_nanoscope_agrees_with_pyspm(tmp_path: Path) -> None:
    pytest.importorskip("pySPM")
    import pySPM

    path = nanoscope(tmp_path / "a.spm", "1000 1000 nm")
    theirs = pySPM.Bruker(str(path))._get_raw_layer(0)
    found = read_nanoscope(path)
    assert isinstance(found, Micrograph)
    np.testing.assert_array_equal(found.pixels[::-1], theirs)


def test_a_nanoscope_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.spm"
    path.write_bytes(b"\\*File list\r\n" * 200)
    with pytest.raises(ReadError, match="cut short"):
        read_nanoscope(path)


def gwy(path: Path, *, unit: str = "m", channels: int = 1) -> Path:
    pytest.importorskip("gwyfile")
    from gwyfile.objects import GwyContainer, GwyDataField

    content = {}
    for i in range(channels):
        content[f"/{i}/data"] = GwyDataField(HEIGHT + i, xreal=8e-9, yreal=3e-9, si_unit_xy=unit, si_unit_z="m")
        content[f"/{i}/data/title"] = ["Height", "Phase"][i]
    GwyContainer(content).tofile(str(path))
    return path


def test_gwyddion_channels_are_a_series_with_their_titles(tmp_path: Path) -> None:
    found = read_gwyddion(gwy(tmp_path / "a.gwy", channels=2))
    assert isinstance(found, MicrographSeries)
    assert [image.slice.label for image in found if image.slice] == ["Height", "Phase"]
    np.testing.assert_array_equal(found[1].pixels, HEIGHT + 1)
    assert found[0].calibration is not None
    assert (found[0].calibration.row_nm, found[0].calibration.col_nm) == pytest.approx((1.0, 2.0))


def test_a_gwyddion_spectrum_axis_is_no_pixel_size(tmp_path: Path) -> None:
    found = read_gwyddion(gwy(tmp_path / "a.gwy", unit="V"))
    assert isinstance(found, Micrograph)
    assert found.calibration is None


def test_our_gwyddion_tree_is_that_of_gwyfile(tmp_path: Path) -> None:
    path = gwy(tmp_path / "a.gwy", channels=2)
    import gwyfile

    theirs, ours = gwyfile.load(str(path)), parse_gwy(path.read_bytes())
    assert set(ours) == set(theirs)
    np.testing.assert_array_equal(ours["/1/data"]["data"], theirs["/1/data"]["data"])
    assert {k: v for k, v in ours["/0/data"].items() if k in ("xres", "xreal")} == {"xres": 4, "xreal": 8e-9}


def test_a_gwyddion_string_without_end_is_refused() -> None:
    with pytest.raises(ReadError, match="no end"):
        parse_gwy(b"GWYP" + b"GwyContainer\x00" + b"\x05\x00\x00\x00" + b"/0/da")


@pytest.mark.parametrize("keep", range(5, 60, 7))
def test_a_gwyddion_file_cut_anywhere_is_refused(keep: int, tmp_path: Path) -> None:
    data = gwy(tmp_path / "a.gwy").read_bytes()
    with pytest.raises(ReadError):
        parse_gwy(data[:keep])


def test_a_plain_zarr_array_is_an_image_without_pixel_size(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    zarr.save_array(str(path), HEIGHT)
    found = read_zarr(path)
    assert isinstance(found, Micrograph)
    np.testing.assert_array_equal(found.pixels, HEIGHT)
    assert found.calibration is None


def test_a_plain_zarr_cube_is_a_series_over_z_and_four_axes_are_refused(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.save_array(str(tmp_path / "cube.zarr"), np.zeros((2, 3, 4)))
    found = read_zarr(tmp_path / "cube.zarr")
    assert isinstance(found, MicrographSeries)
    assert found.axis == "z"
    zarr.save_array(str(tmp_path / "four.zarr"), np.zeros((2, 2, 3, 4)))
    with pytest.raises(NotAnImage, match="which axes"):
        read_zarr(tmp_path / "four.zarr")


def test_a_zarr_group_without_an_image_is_refused_in_words(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w").create_array("a", data=HEIGHT)
    with pytest.raises(NotAnImage, match="multiscales"):
        read_zarr(tmp_path / "group.zarr")
