"""From a path to an image or to one line that says why not."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from epistem.core import (
    Calibration,
    DependencyMissing,
    Micrograph,
    MicrographSeries,
    NotAnImage,
    ReadError,
    SettingsError,
)
from epistem.imaging import border, read

GREY = (np.arange(30 * 40).reshape(30, 40) % 251).astype(np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.fromarray(GREY).save(path)
    return path


def one(found: Micrograph | MicrographSeries) -> Micrograph:
    assert isinstance(found, Micrograph)
    return found


def refused(path: Path, words: str, kind: type[ReadError] = ReadError) -> None:
    with pytest.raises(kind, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_may_be_a_string(png: Path) -> None:
    np.testing.assert_array_equal(one(read(str(png))).pixels, GREY)


def test_a_typed_pixel_size_becomes_the_calibration(png: Path) -> None:
    size = one(read(png, "0.38x0.40 nm")).calibration
    assert size is not None
    assert (size.row_nm, size.col_nm, size.source) == (0.38, 0.40, "user")


def test_a_typed_pixel_size_that_is_no_length_is_a_setting_error(png: Path) -> None:
    with pytest.raises(SettingsError):
        read(png, "large")


def test_every_image_of_a_series_gets_the_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([GREY, GREY]), photometric="minisblack")
    found = read(path, Calibration(2.0, 2.0, "user"))
    assert isinstance(found, MicrographSeries)
    assert [image.calibration for image in found] == [Calibration(2.0, 2.0, "user")] * 2


def test_a_png_called_tif_is_read_as_what_it_is_and_said_so(png: Path) -> None:
    path = png.rename(png.with_suffix(".tif"))
    found = one(read(path))
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.warnings == ("called .tif, but holds picture; read as that",)


def test_an_unknown_suffix_is_no_reason_to_warn(png: Path) -> None:
    assert one(read(png.rename(png.with_suffix(".scan7")))).warnings == ()


def test_capital_letters_in_the_suffix_do_not_matter(png: Path) -> None:
    assert one(read(png.rename(png.with_suffix(".PNG")))).warnings == ()


def test_text_called_dm3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.dm3"
    path.write_text("sample 4, 300 kV\n")
    refused(path, "called .dm3 but holds text")


def test_an_unknown_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    path.write_bytes(b"\x01\x02" * 500)
    refused(path, "no reader knows")


def test_a_folder_a_missing_file_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder")
    refused(tmp_path / "nowhere.tif", "does not exist")
    empty = tmp_path / "empty.tif"
    empty.touch()
    refused(empty, "is empty")


def test_a_ring_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").symlink_to(tmp_path / "b.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "cannot be opened")


def test_a_socket_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        refused(path, "device, pipe or socket")


def test_a_file_without_permission_is_refused(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The administrator, who runs some test machines, may read everything.
    monkeypatch.setattr(Path, "open", forbidden)
    refused(png, "change its permissions")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may read everything")
def test_a_locked_file_is_refused(png: Path) -> None:
    png.chmod(0)
    refused(png, "change its permissions")


def test_nan_is_masked_and_all_nan_is_refused(tmp_path: Path) -> None:
    pixels = GREY.astype(np.float32)
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    path = tmp_path / "holes.tif"
    tifffile.imwrite(path, pixels)
    found = one(read(path))
    assert found.valid is not None
    assert (~found.valid).sum() == 2
    tifffile.imwrite(path, np.full((8, 8), np.nan, np.float32))
    refused(path, "no finite value", NotAnImage)


@pytest.mark.parametrize(
    "pixels", [np.full((20, 30), 7, np.uint8), np.full((1, 1), 3, np.uint16)], ids=["flat", "1×1"]
)
def test_a_constant_image_and_a_single_pixel_are_images(pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, pixels)
    np.testing.assert_array_equal(one(read(path)).pixels, pixels)


@pytest.mark.parametrize("kind", ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "f2", "f4", "f8"])
def test_the_recorded_type_is_kept(kind: str, tmp_path: Path) -> None:
    pixels = (GREY % 2 if kind == "bool" else GREY % 100).astype(kind)
    path = tmp_path / "typed.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    found = one(read(path)).pixels
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


def test_pixels_of_another_byte_order_come_in_this_machines(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    tifffile.imwrite(path, GREY.astype(">u2"), byteorder=">")
    found = one(read(path)).pixels
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, GREY)


def test_what_a_file_declares_is_checked_before_it_is_loaded(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "MAX_BYTES", GREY.size - 1)
    refused(png, "declares 1 × 30 × 40 values")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wave.ibw"
    path.write_bytes(b"\x05\x00" + bytes(400))
    monkeypatch.setitem(sys.modules, "igor2", None)
    monkeypatch.delitem(sys.modules, "igor2.binarywave", raising=False)
    with pytest.raises(DependencyMissing, match=r'pip install "epistem\[afm\]"'):
        read(path)


def test_reading_stays_quiet_when_a_library_prints_logs_and_warns(capfd: pytest.CaptureFixture[str]) -> None:
    import logging
    import warnings

    def loud(path: Path) -> Micrograph:
        sys.stdout.write("here")
        warnings.warn("deprecated", stacklevel=1)
        logging.getLogger("tifffile").error("corrupt")
        return Micrograph(GREY)

    border.guarded(loud)(Path("any"))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("tifffile").level == logging.NOTSET
