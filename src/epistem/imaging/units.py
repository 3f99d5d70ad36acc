"""What the numbers on an image's axes mean: lengths become nm, everything else is told in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epistem.core import Calibration

NM_PER = {
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "µm": 1e3,
    "um": 1e3,
    "nm": 1.0,
    "Å": 0.1,
    "pm": 1e-3,
    "fm": 1e-6,
}
_OTHER_SPELLINGS = {
    "meter": "m",
    "metre": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micron": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "nanometer": "nm",
    "nanometre": "nm",
    "ang": "Å",
    "angstrom": "Å",
    "picometer": "pm",
}
_NO_UNIT = {"", "[]", "none", "px", "pixel", "<undefined>", "undefined", "dimensionless", "arbitrary", "a.u."}
_ANGLES = {"rad", "mrad", "µrad", "urad", "°", "deg", "degree"}
# From the Bohr-radius scale to a 10 mm pixel. Beyond, the number is no pixel size: TIA stores the 1/m of a
# diffraction pattern in the same field as the m of an image, seventeen orders of magnitude apart.
SMALLEST_NM, LARGEST_NM = 1e-4, 1e7


class Spacing(NamedTuple):
    """Distance between two pixels along one axis, as a file gives it."""

    value: float
    unit: str | None


class PixelSize(NamedTuple):
    """A pixel size, or the reason why there is none (None if the file is simply silent)."""

    calibration: Calibration | None
    reason: str | None = None
    reciprocal: bool = False


UNKNOWN = PixelSize(None)


def to_nm(length: float, unit: str) -> float | None:
    """The length in nm, or None if the unit is none of length.

    >>> to_nm(0.5, "µm"), to_nm(2.0, "Angstroms"), to_nm(1.0, "eV")
    (500.0, 0.2, None)
    """
    factor = NM_PER.get(_plain(unit))
    return None if factor is None else float(length) * factor


def is_reciprocal(unit: str | None) -> bool:
    """Whether the unit is one of diffraction: inverse length or angle.

    >>> [is_reciprocal(unit) for unit in ("1 / nm", "Å^-1", "nm⁻¹", "mrad", "nm", None)]
    [True, True, True, True, False, False]
    """
    text = _plain(unit)
    for mark in ("^-1", "⁻¹", "**-1"):
        if text.endswith(mark):
            return _plain(text.removesuffix(mark)) in NM_PER
    if text.startswith("1/"):
        return _plain(text[2:]) in NM_PER
    return text in _ANGLES


def has_unit(unit: str | None) -> bool:
    """Whether the axis says anything about its scale."""
    return _plain(unit).lower() not in _NO_UNIT


def pixel_size(rows: Spacing, cols: Spacing, detail: str) -> PixelSize:
    """Pixel size from the spacing of rows and of columns; they may differ.

    Args:
        rows, cols: as the file says.
        detail: the tag's name, for people.
    """
    units = [unit for unit in (rows.unit, cols.unit) if unit is not None and has_unit(unit)]
    if not units:
        return UNKNOWN
    for unit in units:
        if is_reciprocal(unit):
            return PixelSize(None, f"reciprocal space (pixels in {unit}): lengths in nm have no meaning here", True)
    sizes = [to_nm(value, unit or "") for value, unit in (rows, cols)]
    if None in sizes:
        return PixelSize(
            None, f"pixel size unknown: {detail} is in {' and '.join(dict.fromkeys(units))}, not a length"
        )
    row_nm, col_nm = (float(size or 0.0) for size in sizes)
    if max(row_nm, col_nm) > LARGEST_NM:
        reason = f"pixel size unknown: {detail} says {max(row_nm, col_nm):.3g} nm, more than any image has"
        return PixelSize(None, reason + " (a diffraction pattern in 1/m?)", True)
    if not (np.isfinite([row_nm, col_nm]).all() and min(row_nm, col_nm) >= SMALLEST_NM):
        return PixelSize(None, f"pixel size unknown: {detail} says {row_nm:.3g} × {col_nm:.3g} nm")
    return PixelSize(Calibration(row_nm, col_nm, "metadata", detail=detail))


def _plain(unit: str | None) -> str:
    text = (unit or "").strip(" \x00").replace(" ", "")
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å")  # the Greek letter, the sign of the unit
    if text == "A":
        return "Å"
    low = text.lower()
    singular = low[:-1] if low.endswith("s") and len(low) > 2 else low
    return _OTHER_SPELLINGS.get(singular, singular if singular in _NO_UNIT | _ANGLES else text)
