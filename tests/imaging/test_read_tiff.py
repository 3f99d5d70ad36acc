"""TIFF: pages, colours, and each vendor's way to say what a pixel measures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from epistem.core import Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging import sem_tags
from epistem.imaging.tiff import read_tiff

GREY = (np.arange(32 * 64).reshape(32, 64) % 251).astype(np.uint8)


def written(folder: Path, pixels: np.ndarray = GREY, **options: Any) -> Path:
    path = folder / "image.tif"
    tifffile.imwrite(path, pixels, **({"photometric": "minisblack", "metadata": None} | options))
    return path


def one(found: Micrograph | MicrographSeries) -> Micrograph:
    assert isinstance(found, Micrograph)
    return found


def size(found: Micrograph | MicrographSeries) -> tuple[float, float] | None:
    calibration = one(found).calibration
    return None if calibration is None else (calibration.row_nm, calibration.col_nm)


FEI = """[User]
Date=06/13/2016
Time=05:06:40 PM
[System]
SystemType=Helios NanoLab" 660
[Beam]
HV=5000
Beam=EBeam
[EBeam]
HFW=1.28e-05
VFW=9.6e-06
[Scan]
PixelWidth=3e-09
PixelHeight=5e-09
[Detectors]
Name=ETD
"""


def test_fei_columns_are_its_pixel_width(tmp_path: Path) -> None:
    found = one(read_tiff(written(tmp_path, extratags=[(34682, "s", 0, FEI, True)])))
    assert size(found) == pytest.approx((5.0, 3.0))
    known = found.context
    assert (known.modality, known.beam_keV, known.detector) == ("SEM", 5.0, "ETD")
    assert known.instrument == 'Helios NanoLab" 660'
    assert found.metadata["FEI"]["Scan"]["PixelWidth"] == 3e-9


def test_fei_without_a_scan_uses_the_field_width() -> None:
    camera = {"IRBeam": {"HFW": "0.2", "VFW": "0.1"}, "Image": {"ResolutionX": "1000", "ResolutionY": "250"}}
    facts = sem_tags.fei(camera)
    assert facts.size.calibration is not None
    assert (facts.size.calibration.row_nm, facts.size.calibration.col_nm) == pytest.approx((4e5, 2e5))
    assert sem_tags.fei({"Image": {"ResolutionX": "1000"}}).size.calibration is None


def zeiss_text(named: str) -> str:
    unnamed = ["0", "0", "0", "2.0e-08"]
    return "\r\n".join(
        [*unnamed, "AP_ACTUALKV", "EHT Target = 25.00 kV", "AP_MAG", "Mag = 50.00 K X", *named.split("\n")]
    )


def test_zeiss_pixel_size_is_that_of_a_1024_px_display(tmp_path: Path) -> None:
    named = "AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 320.0 nm"
    found = one(read_tiff(written(tmp_path, extratags=[(34118, "s", 0, zeiss_text(named), True)])))
    assert size(found) == pytest.approx((320.0, 320.0))  # 20 nm · 1024 / 64
    assert (found.context.beam_keV, found.context.magnification) == (25.0, 50_000.0)


def test_zeiss_tags_that_contradict_each_other_are_told_and_not_believed(tmp_path: Path) -> None:
    named = "AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 250.0 nm"
    found = one(read_tiff(written(tmp_path, extratags=[(34118, "s", 0, zeiss_text(named), True)])))
    assert found.calibration is None
    assert "320 nm" in found.warnings[0]
    assert "250 nm" in found.warnings[0]


JEOL = """<?xml version="1.0"?><TemReporter><Eos><EosMode>eosTEM</EosMode></Eos><Instruments>JEM-F200</Instruments>
<ElectronGun><AccelerationVoltage>200000</AccelerationVoltage></ElectronGun>
<ImageFormingSystem><ModeString>{mode}</ModeString><SelectorValue>{value}</SelectorValue>
<SelectorUnitString>cm</SelectorUnitString></ImageFormingSystem></TemReporter>"""


def jeol(folder: Path, mode: str, value: str) -> Path:
    text = JEOL.format(mode=mode, value=value)
    tags = [(271, "s", 0, "JEOL Ltd.", True)]
    return written(folder, description=text, extratags=tags, resolution=(1000, 500), resolutionunit="CENTIMETER")


def test_jeol_divides_the_cameras_pixels_by_the_magnification(tmp_path: Path) -> None:
    found = one(read_tiff(jeol(tmp_path, "MAG", "10000")))
    assert size(found) == pytest.approx((2.0, 1.0))
    assert (found.context.modality, found.context.beam_keV, found.context.magnification) == ("TEM", 200.0, 10_000.0)


def test_jeol_diffraction_has_no_nm(tmp_path: Path) -> None:
    found = one(read_tiff(jeol(tmp_path, "DIFF", "80")))
    assert found.calibration is None
    assert "reciprocal" in found.warnings[0]
    assert found.context.camera_length_mm == 800.0


def test_tvips_pixel_size_is_in_nm_and_not_given_for_diffraction() -> None:
    image = {"PixelSizeX": 1.5, "PixelSizeY": 2.0, "TemMode": 0, "TemHighTension": 99_000, "TemMagnification": 32_000}
    facts = sem_tags.tvips(image, None)
    assert facts.size.calibration is not None
    assert (facts.size.calibration.row_nm, facts.size.calibration.col_nm) == (2.0, 1.5)
    assert (facts.context.beam_keV, facts.context.magnification) == (99.0, 32_000.0)
    diffraction = sem_tags.tvips(image | {"TemMode": 3}, None)
    assert diffraction.size.calibration is None
    assert diffraction.size.reciprocal


def test_olympus_pixel_size_is_in_m() -> None:
    facts = sem_tags.olympus({"pixelsizex": 2e-11, "pixelsizey": 3e-11, "cameraname": "Veleta", "magnification": 1e5})
    assert facts.size.calibration is not None
    assert (facts.size.calibration.row_nm, facts.size.calibration.col_nm) == pytest.approx((0.03, 0.02))


@pytest.mark.parametrize(
    ("unit", "nm"), [("micron", 250.0), ("nm", 0.25), ("\\u00B5m", 250.0), ("Angstrom", 0.025), ("mm", 250_000.0)]
)
def test_imagej_units_of_length_become_nm(unit: str, nm: float, tmp_path: Path) -> None:
    path = written(tmp_path, imagej=True, photometric=None, resolution=(4, 2), metadata={"unit": unit})
    assert size(read_tiff(path)) == pytest.approx((2 * nm, nm))


@pytest.mark.parametrize("unit", ["inch", "cm", "pixel", None])
def test_imagej_without_a_length_has_no_pixel_size(unit: str | None, tmp_path: Path) -> None:
    metadata = {"unit": unit} if unit else {}
    path = written(tmp_path, imagej=True, photometric=None, resolution=(300, 300), metadata=metadata)
    assert size(read_tiff(path)) is None


def test_print_resolution_is_no_pixel_size(tmp_path: Path) -> None:
    assert size(read_tiff(written(tmp_path, resolution=(300, 300), resolutionunit="INCH"))) is None


def gatan(unit: str) -> list[tuple[int, str, int, Any, bool]]:
    return [
        (65003, "s", 0, unit, True),
        (65004, "s", 0, unit, True),
        (65009, "d", 1, 0.5, True),
        (65010, "d", 1, 1.5, True),
    ]


def test_digitalmicrograph_tags_keep_rows_and_columns_apart(tmp_path: Path) -> None:
    assert size(read_tiff(written(tmp_path, extratags=gatan("um")))) == pytest.approx((1500.0, 500.0))


def test_digitalmicrograph_diffraction_has_no_nm(tmp_path: Path) -> None:
    found = one(read_tiff(written(tmp_path, extratags=gatan("1/nm"))))
    assert found.calibration is None
    assert "reciprocal" in found.warnings[0]


def test_ome_physical_size_counts(tmp_path: Path) -> None:
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.75,
        "PhysicalSizeYUnit": "nm",
    }
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, GREY, ome=True, metadata=metadata)
    assert size(read_tiff(path)) == pytest.approx((0.75, 0.5))


def test_a_streak_cameras_axes_are_no_lengths(tmp_path: Path) -> None:
    tags = [(315, "s", 0, "Copyright Hamamatsu GmbH, 2018", True)]
    found = one(read_tiff(written(tmp_path, extratags=tags, software="HPD-TA 9.5")))
    assert found.calibration is None
    assert "wavelength and time" in found.warnings[0]


def test_pages_of_one_size_are_a_series(tmp_path: Path) -> None:
    found = read_tiff(written(tmp_path, np.stack([GREY, GREY + 1, GREY + 2])))
    assert isinstance(found, MicrographSeries)
    assert len(found) == 3
    np.testing.assert_array_equal(found[2].pixels, GREY + 2)


def test_pages_of_different_sizes_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GREY, photometric="minisblack")
        file.write(GREY[:16], photometric="minisblack")
    found = read_tiff(path)
    assert isinstance(found, MicrographSeries)
    assert [image.shape for image in found] == [(32, 64), (16, 64)]


def test_a_colour_preview_beside_the_image_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "preview.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.stack([GREY, 255 - GREY, GREY], axis=-1), photometric="rgb")
        file.write(GREY.astype(np.uint16) * 100, photometric="minisblack")
    found = one(read_tiff(path))
    assert found.pixels.dtype == np.uint16
    assert "preview" in found.warnings[0]


@pytest.mark.parametrize(("letters", "axis"), [("TYX", "t"), ("ZYX", "z"), ("CYX", "channel")])
def test_the_axis_of_a_stack_is_the_files(letters: str, axis: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([GREY] * 2), imagej=True, metadata={"axes": letters})
    found = read_tiff(path)
    assert isinstance(found, MicrographSeries)
    assert found.axis == axis


def test_two_axes_before_the_image_are_one_series_with_both_in_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 2, 8, 9), np.uint8), imagej=True, metadata={"axes": "TCYX"})
    found = read_tiff(path)
    assert isinstance(found, MicrographSeries)
    assert (found.axis, len(found)) == ("t", 6)
    assert found[3].slice is not None
    assert found[3].slice.label == "t 1, channel 1"


def test_grey_in_three_colours_is_one_image_and_alpha_is_obeyed(tmp_path: Path) -> None:
    samples = np.stack([GREY, GREY, GREY, np.full(GREY.shape, 255, np.uint8)], axis=-1)
    samples[0, :, 3] = 0
    found = one(read_tiff(written(tmp_path, samples, photometric="rgb", extrasamples=["unassalpha"])))
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.valid is not None
    assert found.valid.sum() == 31 * 64


@pytest.mark.parametrize("factor", [256, 257])
def test_an_eight_bit_palette_gives_eight_bits(factor: int, tmp_path: Path) -> None:
    table = np.stack([np.arange(256)[::-1]] * 3).astype(np.uint16) * factor
    found = one(read_tiff(written(tmp_path, photometric="palette", colormap=table)))
    np.testing.assert_array_equal(found.pixels, 255 - GREY)
    assert found.pixels.dtype == np.uint8


def test_white_as_zero_is_told(tmp_path: Path) -> None:
    found = one(read_tiff(written(tmp_path, photometric="miniswhite")))
    np.testing.assert_array_equal(found.pixels, GREY)
    assert "MinIsWhite" in found.warnings[0]


def test_complex_values_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotAnImage, match="complex"):
        read_tiff(written(tmp_path, GREY.astype(np.complex64)))


def test_a_tiff_that_declares_terapixels_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = bytearray(path.read_bytes())
    for tag in (256, 257):
        at = data.index(struct.pack("<HHI", tag, 4, 1))
        data[at + 8 : at + 12] = struct.pack("<I", 2_000_000)
    path.write_bytes(data)
    with pytest.raises(ReadError, match="the limit is 4 GiB"):
        read_tiff(path)


def test_pages_in_a_ring_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, np.stack([GREY, GREY[::-1]]), contiguous=False)
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[-1].offset
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, last)
    data[last + 2 + 12 * count : last + 6 + 12 * count] = struct.pack("<I", first)
    path.write_bytes(data)
    with pytest.raises(ReadError, match="points back"):
        read_tiff(path)


def test_missing_pages_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    data[first + 2 + 12 * count : first + 6 + 12 * count] = struct.pack("<I", len(data) + 100)
    path.write_bytes(data)
    assert "pages are missing" in one(read_tiff(path)).warnings[0]
