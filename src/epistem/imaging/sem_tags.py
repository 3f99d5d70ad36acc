"""Pixel size and conditions in the private TIFF tags of FEI/Thermo, Zeiss, JEOL, TVIPS, Olympus, Gatan and ImageJ.

Files of these vendors for tests are rare, so each function takes what `tifffile` parsed of a tag (a dictionary,
a string) and no file. Hitachi and JEOL scanning microscopes write a text file beside the image: `sidecar.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from epistem.core import Context
from epistem.imaging.plain import look_up, number
from epistem.imaging.units import UNKNOWN, PixelSize, Spacing, pixel_size, to_nm


class Facts(NamedTuple):
    """What a vendor's tags say."""

    size: PixelSize = UNKNOWN
    context: Context = Context()


def fei(tags: Mapping[str, Any]) -> Facts:
    """FEI and Thermo Fisher SEM, FIB and navigation cameras (tags 34680 FEI_SFEG, 34682 FEI_HELIOS).

    The scan's own pixel size counts; without it the field width over the recorded width, as for cameras.
    """
    size = UNKNOWN
    for group in ("Scan", "EScan", "IScan"):
        cols, rows = (number(look_up(tags, f"{group}.Pixel{side}")) for side in ("Width", "Height"))
        if cols and rows:
            size = pixel_size(Spacing(rows, "m"), Spacing(cols, "m"), f"FEI {group}.PixelWidth")
            break
    else:
        size = _fei_field(tags)
    beam = str(look_up(tags, "Beam.Beam") or "EBeam")
    volts = number(look_up(tags, "Beam.HV")) or number(look_up(tags, f"{beam}.HV"))
    detector = look_up(tags, "Detectors.Name")
    date, time = look_up(tags, "User.Date"), look_up(tags, "User.Time")
    scanned = look_up(tags, f"{beam}.HFW") is not None or look_up(tags, "Scan") is not None
    return Facts(
        size,
        Context(
            modality=("FIB" if beam == "IBeam" else "SEM") if scanned else None,
            instrument=_word(look_up(tags, "System.SystemType")),
            beam_keV=volts / 1e3 if volts and volts > 0 else None,
            detector=_word(detector),
            acquired=" ".join(str(part) for part in (date, time) if part) or None,
        ),
    )


def _fei_field(tags: Mapping[str, Any]) -> PixelSize:
    for beam in ("IRBeam", "EBeam", "IBeam"):
        across, down = (number(look_up(tags, f"{beam}.{side}")) for side in ("HFW", "VFW"))
        cols, rows = (number(look_up(tags, f"Image.Resolution{side}")) for side in "XY")
        if across and down and cols and rows:
            return pixel_size(Spacing(down / rows, "m"), Spacing(across / cols, "m"), f"FEI {beam}.HFW")
    return UNKNOWN


def zeiss(tags: Mapping[str, Any], width: int) -> Facts:
    """Zeiss SmartSEM (tag 34118 CZ_SEM).

    The unnamed first entry holds, in fourth place, the size of a pixel of a 1024 px wide display [m];
    ap_image_pixel_size repeats it for the image's own width, with four digits. Where both are there and differ by
    more than 2 %, neither is believed.
    """
    stated: list[tuple[float, str]] = []
    unnamed = tags.get("")
    if isinstance(unnamed, (list, tuple)) and len(unnamed) > 3 and (metres := number(unnamed[3])):
        stated.append((metres * 1e9 * 1024 / width, "CZ_SEM display pixel"))
    named = tags.get("ap_image_pixel_size")
    if isinstance(named, (list, tuple)) and len(named) > 2 and (value := number(named[1])):
        nm_named = to_nm(value, str(named[2]))
        if nm_named:
            stated.append((nm_named, "CZ_SEM ap_image_pixel_size"))
    if stated and max(nm for nm, _ in stated) > 1.02 * min(nm for nm, _ in stated):
        words = ", ".join(f"{nm:.4g} nm ({tag})" for nm, tag in stated)
        size = PixelSize(None, f"pixel size unknown: the Zeiss tags contradict each other: {words}")
    elif stated:
        nm, tag = stated[0]
        size = pixel_size(Spacing(nm, "nm"), Spacing(nm, "nm"), tag)
    else:
        size = UNKNOWN
    date, time = _zeiss(tags, "ap_date"), _zeiss(tags, "ap_time")
    return Facts(
        size,
        Context(
            modality="SEM",
            instrument=_word(_zeiss(tags, "sv_serial_number")),
            beam_keV=number(_zeiss(tags, "ap_actualkv")),
            detector=_word(_zeiss(tags, "dp_detector_type")),
            magnification=_magnification(_zeiss(tags, "ap_mag")),
            acquired=" ".join(str(part) for part in (date, time) if part) or None,
        ),
    )


def jeol_sightx(report: Mapping[str, Any], resolution: tuple[float, float], inch: bool) -> Facts:
    """JEOL TEM (SightX): the report in ImageDescription, and the camera's pixels from XResolution.

    Args:
        report: the TemReporter element as nested dictionaries.
        resolution: camera pixels per inch or per cm, (rows, cols).
        inch: which of the two.
    """
    imaging = report.get("ImageFormingSystem") or {}
    metres = 0.0254 if inch else 0.01
    volts = number(look_up(report, "ElectronGun.AccelerationVoltage"))
    value = number(imaging.get("SelectorValue"))
    mode, scanning = imaging.get("ModeString"), look_up(report, "Eos.EosMode") != "eosTEM"
    size, magnification, camera_length = UNKNOWN, None, None
    if not scanning and value and min(resolution) > 0:
        if mode == "MAG":
            magnification = value
            rows, cols = (Spacing(metres / per / value, "m") for per in resolution)
            size = pixel_size(rows, cols, "XResolution and SelectorValue (JEOL)")
        elif mode == "DIFF":
            camera_length = value * {"cm": 10.0, "m": 1000.0}.get(str(imaging.get("SelectorUnitString")), 1.0)
            size = PixelSize(None, "reciprocal space (JEOL DIFF mode): lengths in nm have no meaning here", True)
    return Facts(
        size,
        Context(
            modality="STEM" if scanning else "TEM",
            instrument=_word(report.get("Instruments")),
            beam_keV=volts / 1e3 if volts else None,
            magnification=magnification,
            camera_length_mm=camera_length,
        ),
    )


def tvips(tags: Mapping[str, Any], resolution: tuple[float, float] | None) -> Facts:
    """TVIPS cameras (tag 37706). TemMode 3 is diffraction; without PixelSizeX, XResolution is pixels per cm."""
    volts, value = number(tags.get("TemHighTension")), number(tags.get("TemMagnification"))
    diffraction = number(tags.get("TemMode")) == 3
    rows, cols = number(tags.get("PixelSizeY")), number(tags.get("PixelSizeX"))
    if diffraction:
        size = PixelSize(None, "reciprocal space (TVIPS TemMode 3): lengths in nm have no meaning here", True)
    elif rows and cols:
        size = pixel_size(Spacing(rows, "nm"), Spacing(cols, "nm"), "TVIPS PixelSizeX")
    elif resolution and min(resolution) > 0:
        per_row, per_col = resolution
        size = pixel_size(Spacing(1 / per_row, "cm"), Spacing(1 / per_col, "cm"), "TVIPS XResolution")
    else:
        size = UNKNOWN
    return Facts(
        size,
        Context(
            modality="TEM",
            beam_keV=volts / 1e3 if volts else None,
            detector=_word(tags.get("CameraType")),
            magnification=None if diffraction else value or None,
            camera_length_mm=value or None if diffraction else None,
        ),
    )


def olympus(tags: Mapping[str, Any]) -> Facts:
    """Olympus/EMSIS SIS (tag 33560)."""
    rows, cols = number(tags.get("pixelsizey")), number(tags.get("pixelsizex"))
    size = UNKNOWN
    if rows and cols:
        size = pixel_size(Spacing(rows, "m"), Spacing(cols, "m"), "Olympus SIS pixelsizex")
    return Facts(
        size,
        Context(detector=_word(tags.get("cameraname")), magnification=number(tags.get("magnification")) or None),
    )


def gatan(tags: Mapping[str, Any]) -> Facts:
    """DigitalMicrograph's TIFF: units in tags 65003 (x) and 65004 (y), scales in 65009 and 65010."""
    rows, cols = number(tags.get("65010")), number(tags.get("65009"))
    if rows is None or cols is None:
        return Facts()
    row_unit, col_unit = (_word(tags.get(key)) for key in ("65004", "65003"))
    return Facts(pixel_size(Spacing(rows, row_unit), Spacing(cols, col_unit), "DigitalMicrograph 65009, 65010"))


def imagej(tags: Mapping[str, Any], resolution: tuple[float, float] | None) -> Facts:
    """ImageJ: the unit in ImageDescription, pixels per unit in XResolution.

    Inch and cm are what ImageJ makes of a print size in dots, so they are no pixel size.
    """
    unit = _word(tags.get("unit"))
    if unit is None or resolution is None or unit.lower() in ("inch", "inches", "cm") or min(resolution) <= 0:
        return Facts()
    unit = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u00C5", "Å")
    per_row, per_col = resolution
    return Facts(pixel_size(Spacing(1 / per_row, unit), Spacing(1 / per_col, unit), "ImageJ unit and XResolution"))


def ome(xml: str) -> Facts:
    """OME-TIFF: PhysicalSizeX and PhysicalSizeY of the first image; µm where no unit is given (OME 2016-06)."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return Facts()
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return Facts()
    rows, cols = number(pixels.get("PhysicalSizeY")), number(pixels.get("PhysicalSizeX"))
    if rows is None or cols is None:
        return Facts()
    units = (pixels.get(f"PhysicalSize{side}Unit", "µm") for side in "YX")
    row_unit, col_unit = units
    return Facts(pixel_size(Spacing(rows, row_unit), Spacing(cols, col_unit), "OME PhysicalSizeX"))


def _zeiss(tags: Mapping[str, Any], key: str) -> Any:
    entry = tags.get(key)
    return entry[1] if isinstance(entry, (list, tuple)) and len(entry) > 1 else None


def _magnification(value: Any) -> float | None:
    """Zeiss writes 105.0 or "50.00 K X"."""
    found = number(value)
    if found is None and isinstance(value, str):
        words = value.upper().replace("X", "").split()
        found = number(words[0]) if words else None
        if found is not None and words[1:] == ["K"]:
            found *= 1e3
    return found if found and found > 0 and math.isfinite(found) else None


def _word(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.strip("\x00 ") or None if isinstance(value, str) else None
