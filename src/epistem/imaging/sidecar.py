"""The text files that Hitachi and JEOL scanning microscopes write beside an image, under its name with .txt."""

from __future__ import annotations

import re
from pathlib import Path

from epistem.core import Context
from epistem.imaging.plain import number
from epistem.imaging.sem_tags import Facts
from epistem.imaging.units import UNKNOWN, PixelSize, Spacing, pixel_size

_LONGEST = 200_000


def beside(path: Path, width: int) -> tuple[Facts, dict[str, str]]:
    """What the text file beside an image says, and its entries; nothing where there is none of these vendors.

    Args:
        path: the image.
        width: columns of the image, to notice a text file that belongs to another size.
    """
    for file in (path.with_suffix(".txt"), path.with_suffix(".TXT")):
        if file.is_file() and file.stat().st_size < _LONGEST:
            text = _decoded(file.read_bytes())
            if "[SemImageFile]" in text:
                entries = _entries(text, "=")
                return hitachi(entries, width), entries
            if "$CM_" in text or "$SM_" in text:  # the number of dollars varies
                entries = _entries(text, " ")
                return jeol(entries, width), entries
    return Facts(), {}


def hitachi(entries: dict[str, str], width: int) -> Facts:
    """Hitachi S-, SU- and TM-series: PixelSize [nm], DataSize, AccelerateVoltage.

    >>> hitachi({"PixelSize": "1.5", "DataSize": "1280x960"}, 640).size.reason
    'pixel size unknown: the Hitachi text file is for 1280 columns, the image has 640'
    """
    nm = number(entries.get("PixelSize"))
    size = UNKNOWN
    if nm is not None:
        stated = number(re.split(r"[x×*]", entries.get("DataSize", ""))[0])
        size = _for_this_width("Hitachi", stated, width) or pixel_size(
            Spacing(nm, "nm"), Spacing(nm, "nm"), "Hitachi PixelSize"
        )
    volts = number(entries.get("AcceleratingVoltage", entries.get("AccelerateVoltage", "")).lower().split("volt")[0])
    date, time = entries.get("Date"), entries.get("Time")
    return Facts(
        size,
        Context(
            modality="SEM",
            instrument=entries.get("InstructName") or entries.get("InstrumentName") or None,
            beam_keV=volts / 1e3 if volts else None,
            detector=entries.get("SignalName") or None,
            magnification=number(entries.get("Magnification")),
            acquired=" ".join(part for part in (date, time) if part) or None,
        ),
    )


def jeol(entries: dict[str, str], width: int) -> Facts:
    """JEOL JSM-series: the micron bar's length over its pixels (SM_MICRON_MARKER, SM_MICRON_BAR)."""
    bar_px = number(entries.get("SM_MICRON_BAR"))
    marker = re.fullmatch(r"([\d.]+)\s*(nm|um|µm|mm)", entries.get("SM_MICRON_MARKER", "").strip())
    size = UNKNOWN
    if bar_px and marker:
        stated = number(entries.get("CM_FULL_SIZE", "").split(" ")[0])
        spacing = Spacing(float(marker[1]) / bar_px, marker[2])
        size = _for_this_width("JEOL", stated, width) or pixel_size(spacing, spacing, "JEOL SM_MICRON_MARKER")
    date, time = entries.get("CM_DATE"), entries.get("CM_TIME")
    return Facts(
        size,
        Context(
            modality="SEM",
            instrument=entries.get("CM_INSTRUMENT") or None,
            beam_keV=number(entries.get("CM_ACCEL_VOLT")),
            detector=entries.get("CM_SIGNAL") or entries.get("CM_SIGNAL_NAME") or None,
            magnification=number(entries.get("CM_MAG")),
            acquired=" ".join(part for part in (date, time) if part) or None,
        ),
    )


def _for_this_width(maker: str, stated: float | None, width: int) -> PixelSize | None:
    if stated is None or stated == width:
        return None
    reason = f"pixel size unknown: the {maker} text file is for {stated:g} columns, the image has {width}"
    return PixelSize(None, reason)


def _entries(text: str, between: str) -> dict[str, str]:
    pairs = (line.strip().partition(between) for line in text.splitlines())
    return {key.strip().lstrip("$"): value.strip() for key, mark, value in pairs if mark}


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")
