"""What kind of picture a panel is, and what its data strip says; the strip is cut away, what is not clear is None."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.ask.pdf import colour_share
from epistem.imaging import ocr
from epistem.imaging.banner import find_banner
from epistem.imaging.scalebar import find_scale_bar

Grey = NDArray[np.uint8]

_WHITE = 245
_MOST_WHITE = 0.5
_MOST_COLOUR = 0.2
"""Share of coloured pixels that arrows and frames on a micrograph stay under."""
_LARGEST_PX = 2048
"""Longest side on which bar and strip are looked for; reading a poster takes minutes."""
_HIGHEST_SEM_KV = 40.0
_LOWEST = 0.2
"""Share of the rows in which print over the image can be a data strip."""

_TECHNIQUES = {
    "STEM": r"\bSTEM\b|(?i:scanning transmission electron)|\bHAADF\b",
    "TEM": r"\b(?:HR-?)?TEM\b|(?i:(?<!scanning )transmission electron)",
    "SEM": r"\b(?:FE-?|E-?|HR-?)?SEM\b|(?i:scanning electron|back-?scattered electron)|\b[BS]SE (?:image|micrograph)",
    "EBSD": r"\bEBSD\b|(?i:back-?scatter(?:ed)? diffraction)",
    "EDS": r"\bED[SX]\b|\bEDAX\b|(?i:energy[- ]dispersive|element(?:al)? map)",
    "AFM": r"\bAFM\b|(?i:atomic force)",
    "XCT": r"\bX?-?ray (?:micro)?tomogra|\b(?:micro|µ)-?CT\b",
    "optical": r"(?i:\boptical (?:micro|image)|light micro|polari[sz]ed light)",
    "photo": r"(?i:\bphotograph|\bdigital image|\bphoto\b)",
    "plot": r"(?i:\bplots?\b|\bcurves?\b|\bspectr(?:um|a)\b|\bXRD\b|\bas a function of\b|\bhistogram)",
    "scheme": r"(?i:\bschem(?:e|atic)|\bflow ?chart\b|\billustration\b)",
}
_STRIP = {
    "kV": r"(?<![\d.])(\d{1,3}(?:[.,]\d+)?)\s*k[vV]\b",
    "working distance": r"\bW\.?D\.?\s*[=:]?\s*(\d{1,2}(?:[.,]\d+)?\s*mm)|(?<![\d.])(\d{1,2}[.,]\d\s*mm)\b",
    "magnification": r"[xX×]\s?(\d[\d.,]*\s*[kK]?)(?![\w.])|\b(\d[\d.,]*\s*[kK]?)\s?[xX×](?![\w])",
    "detector": r"\b(SE\d?|BSE|SEI|LEI|BEC|ETD|TLD|In-?Lens|vCD|CBS|LFD|BSD|SE\([A-Z]+\)|SignalA\s*=\s*\w+)\b",
    "scale bar": r"(?<![\d.])(\d{1,4}(?:[.,]\d+)?\s*(?:nm|[uµμ]m))\b",
}


class Strip(NamedTuple):
    """A picture without its data strip.

    Attributes:
        rows: of the picture that are image.
        said: what the strip says, by name, as it was read.
        nm_per_px: from a scale bar and its label; None where they are not clear.
    """

    rows: slice
    said: dict[str, str]
    nm_per_px: float | None


class Kind(NamedTuple):
    """A technique, or None, and from what it was told."""

    technique: str | None
    told_from: str | None


def read_strip(picture: Image.Image, *, read: bool = True) -> Strip:
    """The strip of a micrograph and its scale.

    Args:
        picture: grey or colour.
        read: whether to read print; takes a second or so a picture, and nothing is read without the extra `ocr`.
    """
    grey = np.asarray(picture.convert("L"))
    shrunk = max(1.0, max(grey.shape) / _LARGEST_PX)
    if shrunk > 1:
        grey = np.asarray(picture.convert("L").resize((round(grey.shape[1] / shrunk), round(grey.shape[0] / shrunk))))
    banner = find_banner(grey)
    # Axes of a plot look like bars, and each costs a reading.
    reads = read and float((grey >= _WHITE).mean()) <= _MOST_WHITE
    if banner is None:
        return _without_banner(grey, picture.height, shrunk, reads and ocr.available())
    strip = banner[0]
    said = strip_words(grey[strip]) if reads and ocr.available() else {}
    scale = (_scale(grey[strip], shrunk) or _scale(grey, shrunk)) if reads else None
    if strip.start == 0:
        return Strip(slice(int(np.ceil(strip.stop * shrunk)), picture.height), said, scale)
    return Strip(slice(0, int(strip.start * shrunk)), said, scale)


def _without_banner(grey: Grey, height: int, shrunk: float, reads: bool) -> Strip:
    """A picture without a strip of its own ground; print over a black image still gives it away, and is cut off."""
    bar = find_scale_bar(grey) if reads else None
    if bar is None:
        return Strip(slice(0, height), {}, None)
    scale = bar.length_nm / bar.length_px / shrunk if bar.length_nm else None
    low = grey.shape[0] - int(_LOWEST * grey.shape[0])
    if bar.rows.start < low:
        return Strip(slice(0, height), {}, scale)
    words = ocr.read_words(np.ascontiguousarray(grey[low:]))
    said = said_by(words)
    if not said.keys() & {"kV", "working distance"}:
        return Strip(slice(0, height), {}, scale)
    named = [word.row0 for word in words if any(parse_strip(reading) for reading in word.readings)]
    rows = low + min(named), bar.rows.start
    return Strip(slice(0, max(1, int((min(rows) - 4) * shrunk))), said, scale)


def _scale(grey: Grey, shrunk: float) -> float | None:
    bar = find_scale_bar(np.ascontiguousarray(grey))
    return bar.length_nm / bar.length_px / shrunk if bar and bar.length_nm else None


def strip_words(strip: Grey) -> dict[str, str]:
    """What a data strip says."""
    return said_by(ocr.read_words(np.ascontiguousarray(strip)))


def said_by(words: Sequence[ocr.Word]) -> dict[str, str]:
    """What printed words say of an exposure: of each name what most readings of it agree on."""
    readings: dict[str, Counter[str]] = {name: Counter() for name in _STRIP}
    for word in words:
        for reading in word.readings:
            for name, value in parse_strip(reading).items():
                readings[name][value] += 1
    said = {}
    for name, votes in readings.items():
        best = votes.most_common(2)
        if best and (len(best) == 1 or best[0][1] > best[1][1]):
            said[name] = best[0][0]
    return said


def parse_strip(text: str) -> dict[str, str]:
    """The numbers of a strip by their name.

    >>> parse_strip("15.0 kV WD 8.2 mm x5,000 SE")
    {'kV': '15.0', 'working distance': '8.2 mm', 'magnification': '5,000', 'detector': 'SE'}
    """
    said = {}
    for name, pattern in _STRIP.items():
        if found := re.search(pattern, text):
            said[name] = next(group for group in found.groups() if group).strip()
    return said


def kind_of(picture: Image.Image, said: dict[str, str], *texts: str) -> Kind:
    """The technique of a picture.

    Args:
        picture: without its strip.
        said: what the strip says.
        texts: on the picture, the closest first: the panel's part of the caption, then the whole caption.
    """
    seen = np.asarray(picture)
    named = next((found for text in texts if (found := techniques_in(text))), set())
    white = float((seen.reshape(seen.shape[0], seen.shape[1], -1).min(2) >= _WHITE).mean())
    if white > _MOST_WHITE:
        drawn = named & {"plot", "scheme"}
        return Kind(drawn.pop() if len(drawn) == 1 else "plot", "white ground")
    if colour_share(seen) > _MOST_COLOUR:
        rest = named - {"SEM", "TEM", "STEM"}
        return Kind(rest.pop(), "caption") if len(rest) == 1 else Kind(None, "in colour, so not of electrons")
    if float(seen.std()) < 2:
        return Kind(None, "without contrast")
    volts = _volts(said)
    if volts is not None and volts <= _HIGHEST_SEM_KV and not named & {"TEM", "STEM"}:
        return Kind("SEM", "data strip")
    pictured = named - {"plot", "scheme"}
    return Kind(pictured.pop(), "caption") if len(pictured) == 1 else Kind(None, None)


def techniques_in(text: str) -> set[str]:
    """Techniques that a caption names.

    >>> sorted(techniques_in("FE-SEM image and XRD pattern"))
    ['SEM', 'plot']
    """
    return {name for name, pattern in _TECHNIQUES.items() if re.search(pattern, text)}


def _volts(said: dict[str, str]) -> float | None:
    try:
        return float(said["kV"].replace(",", "."))
    except (KeyError, ValueError):
        return None
