"""Colour, transparency, palettes and animations."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epistem.core import Micrograph, MicrographSeries, ReadError
from epistem.imaging import read
from epistem.imaging.pictures import read_picture

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 255, (40, 60), dtype=np.uint8)


def saved(folder: Path, picture: Image.Image, name: str = "picture.png", **options: object) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def one(found: Micrograph | MicrographSeries) -> Micrograph:
    assert isinstance(found, Micrograph)
    return found


def test_equal_colours_are_grey_without_a_word(tmp_path: Path) -> None:
    found = one(read_picture(saved(tmp_path, Image.fromarray(np.stack([GREY] * 3, axis=-1)))))
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.valid is None
    assert found.warnings == ()


def test_a_coloured_label_is_masked_and_told(tmp_path: Path) -> None:
    colour = np.stack([GREY] * 3, axis=-1)
    colour[5:10, 5:20] = 255, 0, 0
    found = one(read_picture(saved(tmp_path, Image.fromarray(colour))))
    want = np.ones(GREY.shape, bool)
    want[5:10, 5:20] = False
    assert found.valid is not None
    np.testing.assert_array_equal(found.valid, want)
    np.testing.assert_array_equal(found.pixels[want], GREY[want])
    assert any("coloured" in warning for warning in found.warnings)


def test_a_coloured_image_is_a_series_over_its_colours(tmp_path: Path) -> None:
    colour = RNG.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    found = read_picture(saved(tmp_path, Image.fromarray(colour)))
    assert isinstance(found, MicrographSeries)
    assert found.axis == "channel"
    assert [image.slice.label for image in found if image.slice] == ["red", "green", "blue"]
    np.testing.assert_array_equal(np.stack([image.pixels for image in found], axis=-1), colour)


def test_opaque_alpha_is_dropped_and_transparent_pixels_are_not_valid(tmp_path: Path) -> None:
    alpha = np.full(GREY.shape, 255, np.uint8)
    samples = np.stack([GREY, GREY, GREY, alpha], axis=-1)
    assert one(read_picture(saved(tmp_path, Image.fromarray(samples)))).valid is None
    samples[:3, :, 3] = 0
    found = one(read_picture(saved(tmp_path, Image.fromarray(samples))))
    assert found.valid is not None
    assert not found.valid[:3].any()
    assert found.valid[3:].all()


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indexed = Image.fromarray(GREY % 4)
    indexed = indexed.convert("P")
    indexed.putdata((GREY % 4).ravel().tolist())
    indexed.putpalette([9, 9, 9, 80, 80, 80, 120, 120, 120, 200, 200, 200])
    found = one(read_picture(saved(tmp_path, indexed)))
    np.testing.assert_array_equal(found.pixels, np.array([9, 80, 120, 200])[GREY % 4])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, bool])
def test_a_png_keeps_its_depth(kind: type, tmp_path: Path) -> None:
    pixels = (GREY.astype(np.uint16) * (200 if kind is np.uint16 else 1) % (2 if kind is bool else 65535)).astype(
        kind
    )
    found = one(read_picture(saved(tmp_path, Image.fromarray(pixels))))
    assert found.pixels.dtype == kind
    np.testing.assert_array_equal(found.pixels, pixels)


def test_sixteen_bits_a_colour_are_not_cut_to_eight(tmp_path: Path) -> None:
    import imagecodecs

    deep = RNG.integers(0, 65535, (20, 30, 3), dtype=np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(deep))
    found = read_picture(path)
    assert isinstance(found, MicrographSeries)
    np.testing.assert_array_equal(np.stack([image.pixels for image in found], axis=-1), deep)


def test_dots_per_inch_are_no_pixel_size(tmp_path: Path) -> None:
    for name in ("print.png", "print.jpg", "print.bmp"):
        assert one(read(saved(tmp_path, Image.fromarray(GREY), name, dpi=(300, 300)))).calibration is None


def test_frames_of_an_animation_are_a_series_over_time(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(GREY, i, axis=0)) for i in range(3)]
    found = read_picture(saved(tmp_path, frames[0], "film.gif", save_all=True, append_images=frames[1:]))
    assert isinstance(found, MicrographSeries)
    assert (found.axis, len(found)) == ("t", 3)
    np.testing.assert_array_equal(found[2].pixels, np.roll(GREY, 2, axis=0))


def test_a_png_that_declares_terapixels_is_refused_at_once(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 2_000_000, 2_000_000, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    )
    with pytest.raises(ReadError, match="the limit is 4 GiB"):
        read(path)


def test_a_gif_of_gigapixels_in_a_few_bytes_is_refused_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY), "small.gif")
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", 43_000, 43_000)  # under the limit, and more than any packing gives
    path.write_bytes(data)
    with pytest.raises(ReadError, match="values in a file of"):
        read(path)


def test_pillows_own_limit_is_passed_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    read_picture(saved(tmp_path, Image.fromarray(GREY)))
    assert Image.MAX_IMAGE_PIXELS == 7


HITACHI = """[SemImageFile]
InstructName=SU8000
SignalName=SE
AcceleratingVoltage=5000 Volt
PixelSize=2.5
DataSize=60x40
"""
JEOL = """$CM_FORMAT SEM
$CM_MAG 5000
$CM_ACCEL_VOLT 15.00
$CM_FULL_SIZE 60 40
$$SM_MICRON_BAR 50
$$SM_MICRON_MARKER 1um
"""


@pytest.mark.parametrize(("text", "nm", "keV"), [(HITACHI, 2.5, 5.0), (JEOL, 20.0, 15.0)], ids=["Hitachi", "JEOL"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_the_text_file_beside_an_sem_picture_gives_its_pixel_size(
    text: str, nm: float, keV: float, encoding: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, Image.fromarray(GREY), "sem.bmp")
    path.with_suffix(".txt").write_text(text, encoding)
    found = one(read_picture(path))
    assert found.calibration is not None
    assert found.calibration.row_nm == pytest.approx(nm)
    assert (found.context.modality, found.context.beam_keV) == ("SEM", keV)


def test_the_text_file_of_another_image_size_is_not_believed(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY), "sem.jpg")
    path.with_suffix(".txt").write_text(HITACHI.replace("60x40", "1280x960"))
    found = one(read_picture(path))
    assert found.calibration is None
    assert "1280 columns" in found.warnings[0]


def test_a_text_file_of_no_vendor_is_left_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY), "sem.jpg")
    path.with_suffix(".txt").write_text("PixelSize=3\n")
    assert one(read_picture(path)).calibration is None


def test_a_later_frame_of_gigapixels_is_refused_at_once(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(GREY, i, axis=0)) for i in range(2)]
    path = saved(tmp_path, frames[0], "film.gif", save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\x2c\x00\x00\x00\x00" + struct.pack("<HH", 60, 40))  # the last frame's place and size
    data[at + 5 : at + 9] = struct.pack("<HH", 43_000, 43_000)
    path.write_bytes(data)
    with pytest.raises(ReadError, match="frame 1"):
        read(path)


def test_a_small_file_that_unpacks_into_a_giant_picture_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 40_000
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    assert path.stat().st_size < 2e6
    with pytest.raises(ReadError, match="million pixels an image, so crop or bin it first"):
        read(path)
