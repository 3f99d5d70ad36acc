"""Settles what one pixel measures, from the file, the burnt-in scale bar and the person who asks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import numpy as np

from epistem.core import Calibration, Micrograph, SettingsError
from epistem.imaging import ocr
from epistem.imaging.banner import find_banner
from epistem.imaging.scalebar import ScaleBar, find_scale_bar
from epistem.imaging.units import LARGEST_NM, SMALLEST_NM, to_nm

AGREE = 0.02
"""Two pixel sizes that differ by more than this, relatively, are not the same."""

_RECIPROCAL = "reciprocal space"  # how the readers begin the warning of a diffraction pattern
_WANTED = 'a pixel size is a length like "0.38", "3.8 Å", "1.2 µm" or "0.38 x 0.40 nm" (rows x columns)'
_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_TYPED = re.compile(rf"({_NUMBER})\s*([^\W\d_]*?)(?:\s*[x×X*]\s*({_NUMBER})\s*([^\W\d_]*))?")


def parse_pixel_size(text: str) -> Calibration:
    """The pixel size that a person typed; nm where no unit is named.

    Raises:
        SettingsError: it is no length, is not positive, or its comma can be read in two ways.

    >>> parse_pixel_size("3.8 Å").row_nm
    0.38
    >>> size = parse_pixel_size("0.38x0.40 nm")
    >>> size.row_nm, size.col_nm
    (0.38, 0.4)
    """
    found = _TYPED.fullmatch(unicodedata.normalize("NFC", text.strip()))
    if found is None:
        raise SettingsError(f"{_WANTED}, not {text!r}")
    rows, row_unit, cols, col_unit = found.groups()
    unit = col_unit or row_unit or "nm"
    row_nm = _to_nm(_number(rows, text), row_unit or unit)
    col_nm = row_nm if cols is None else _to_nm(_number(cols, text), unit)
    if row_nm is None or col_nm is None:
        raise SettingsError(f"{_WANTED}, not {text!r}: {row_unit or unit!r} is no unit of length")
    if not all(SMALLEST_NM <= nm <= LARGEST_NM for nm in (row_nm, col_nm)):
        raise SettingsError(f"{_WANTED}, not {text!r}: no microscope has pixels of {row_nm:g} x {col_nm:g} nm")
    return Calibration(row_nm, col_nm, "user", detail=text.strip())


def _to_nm(value: float, unit: str) -> float | None:
    nm = to_nm(value, unit)
    return to_nm(value, unit.lower()) if nm is None else nm


def _number(word: str, text: str) -> float:
    whole, comma, part = word.partition(",")
    if comma and len(part) == 3 and whole.lstrip("+-").strip("0"):
        raise SettingsError(f"{text!r} may mean {whole}.{part} or {whole}{part}; write the pixel size with a point")
    return float(word.replace(",", "."))


def settle(micrograph: Micrograph, user: Calibration | None = None, *, look: bool = True) -> Micrograph:
    """The same image with strip and bar masked, and one pixel size that its sources bear, or none.

    Args:
        micrograph: as it was read; its calibration is what the file says.
        user: what the person said. It wins, with a warning where file or bar say otherwise, except over a
            file that says it is reciprocal space: there lengths in nm have no meaning.
        look: whether to search the pixels for a data strip and a scale bar.
    """
    bar = find_scale_bar(micrograph.pixels) if look else None
    if look:
        micrograph = _masked(micrograph, bar)
    if any(warning.startswith(_RECIPROCAL) for warning in micrograph.warnings):
        refused = () if user is None else (f"pixel size {_nm(user)} is not used: the file says {_RECIPROCAL}",)
        return replace(micrograph, calibration=None).with_warning(*refused)
    burnt_in = _from_bar(bar) if bar else None
    calibration, warnings = _choose(micrograph.calibration, burnt_in, user)
    if bar and burnt_in is None:
        warnings += (_unread(bar),)
    return replace(micrograph, calibration=calibration).with_warning(*warnings)


def _masked(micrograph: Micrograph, bar: ScaleBar | None) -> Micrograph:
    banner = find_banner(micrograph.pixels)
    if bar is None and banner is None:
        return micrograph
    valid = np.ones(micrograph.shape, bool) if micrograph.valid is None else micrograph.valid.copy()
    if banner:
        valid[banner] = False
    if bar:
        valid[_wider(bar.rows), _wider(bar.cols)] = False
    return replace(micrograph, valid=valid)


def _wider(part: slice) -> slice:
    # Smooth edges and thin outlines lie up to two pixels outside.
    return slice(max(0, part.start - 2), part.stop + 2)


def _from_bar(bar: ScaleBar) -> Calibration | None:
    if bar.length_nm is None:
        return None
    nm = bar.length_nm / bar.length_px
    # Each end is known to ±1 px, evenly spread: a standard deviation of 1/√3 px each.
    error = float(np.sqrt(2 / 3)) / bar.length_px
    return Calibration(nm, nm, "scale bar", error, f'"{bar.text}" over {bar.length_px:.1f} px')


def _choose(
    metadata: Calibration | None, burnt_in: Calibration | None, user: Calibration | None
) -> tuple[Calibration | None, tuple[str, ...]]:
    """The pixel size to use, and what to say about the others."""
    others = [source for source in (metadata, burnt_in) if source is not None]
    if user is not None:
        against = [source for source in others if _disagree(user, source)]
        return user, tuple(f"pixel size set to {_nm(user)}, but {_say(source)}" for source in against)
    if metadata is None or burnt_in is None:
        return (others[0] if others else None), ()
    if _disagree(metadata, burnt_in):
        both = f"two pixel sizes: {_say(metadata)}, {_say(burnt_in)}"
        return None, (f"{both}; lengths in nm are withheld until --pixel-size resolves it",)
    detail = ", ".join(filter(None, (metadata.detail, "confirmed by the scale bar")))
    return replace(metadata, detail=detail), ()


def _disagree(size: Calibration, other: Calibration) -> bool:
    if other.source != "scale bar" or other.relative_error is None:
        return size.disagreement(other) > AGREE
    # A bar lies along the columns and tells nothing of the rows; a short one cannot tell 2 % apart.
    difference = abs(size.col_nm - other.col_nm) / max(size.col_nm, other.col_nm)
    return difference > max(AGREE, 2 * other.relative_error)


def _nm(size: Calibration) -> str:
    one = f"{size.col_nm:.4g} nm"
    return one if size.is_square else f"{size.row_nm:.4g} x {one}"


def _say(size: Calibration) -> str:
    who = "the scale bar" if size.source == "scale bar" else "the file"
    return f"{who} says {_nm(size)}" + (f" ({size.detail})" if size.detail else "")


def _unread(bar: ScaleBar) -> str:
    found = f"a scale bar of {bar.length_px:.0f} px was found"
    if not ocr.available():
        return f'{found}; to have its label read, pip install "epistem[ocr]", or pass --pixel-size'
    label = f"its label {bar.text!r} is not clear" if bar.text else "its label was not read"
    return f"{found}, but {label}; pass --pixel-size to use it"
