"""The scale bar burnt into an image: where it is, how long, and what its label says.

::

    pixels → straight bars of extreme grey → the label beside one → nm per pixel

A wrong pixel size is far worse than none, so whatever is ambiguous (two labels, a label between two lines
that do not match, readings that differ) leaves `length_nm` unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from epistem.imaging import ocr
from epistem.imaging.banner import find_banner, grey_range
from epistem.imaging.barshape import Bar, find_bars, is_exact, length_px
from epistem.imaging.units import to_nm

_LABEL = re.compile(r"(\d+(?:[.,]\d+)?)\s*([nuµμ]m|Å|A)", re.IGNORECASE)
_TRIM = " |[](){}-–—_=.,:;'\"~·"
_NARROWEST = 0.4  # length of a bar over the width of its label; lines of a legend are shorter
_LARGE_PX = 28  # height of print; the pieces of smaller letters look like points
_MAJORITY = 2 / 3  # of the readings of one label


class ScaleBar(NamedTuple):
    """A scale bar.

    Attributes:
        rows, cols: whole pixels that bar and label cover.
        length_px: distance between its ends.
        text: what stands beside it; "" where nothing was read.
        length_nm: what that says, or None where it is not one clear length.
    """

    rows: slice
    cols: slice
    length_px: float
    text: str
    length_nm: float | None


class _Label(NamedTuple):
    """Words that stand by one bar, and the length that most of their readings name."""

    bar: Bar
    words: tuple[ocr.Word, ...]
    text: str
    length_nm: float | None


def find_scale_bar(pixels: NDArray[Any]) -> ScaleBar | None:
    """The burnt-in scale bar, or None.

    Without the extra `ocr` a bar is still found where it lies in a data strip or is a flawless rectangle;
    its label is then not read.

    Args:
        pixels: (H, W) image of any grey depth, data strip included.
    """
    bars = find_bars(pixels)
    if not bars:
        return None
    labels = [near for bar in bars if (near := _label(pixels, bar, bars))] if ocr.available() else []
    if labels:
        return _decide(pixels, labels)
    banner = find_banner(pixels)
    sure = [bar for bar in bars if is_exact(pixels, bar) or _is_inside(bar, banner)]
    if not sure:
        return None
    bar = sure[0]
    return ScaleBar(slice(bar.row0, bar.row1), slice(bar.col0, bar.col1), length_px(pixels, bar), "", None)


def parse_label(text: str) -> float | None:
    """Length that a label names [nm], None where it is anything else than one length.

    >>> parse_label("0.5 µm"), parse_label("5 1/nm"), parse_label("WD 5 mm")
    (500.0, None, None)
    """
    found = _LABEL.fullmatch(text.strip(_TRIM))
    if found is None:
        return None
    number, unit = found.groups()
    # "05 µm" has lost its decimal point; 25.4 µm is the width of a field, 4.45 µm the end of a colour scale.
    # Millimetres are not even tried: a faint "µm" is read as "mm".
    if re.match(r"0\d", number) or len(re.sub(r"[.,]", "", number).strip("0")) > 2:
        return None
    return to_nm(float(number.replace(",", ".")), unit if unit in "AÅ" else unit.lower()) or None


def _is_inside(bar: Bar, banner: tuple[slice, slice] | None) -> bool:
    return banner is not None and banner[0].start <= bar.row0 and bar.row1 <= banner[0].stop


def _label(pixels: NDArray[Any], bar: Bar, bars: list[Bar]) -> _Label | None:
    """The label close over, under or beside a bar; None where no length is written there."""
    words = [word for word in _words_near(pixels, bar) if _belongs(word, bar)]
    votes = Counter(nm for word in words for reading in word.readings if (nm := parse_label(reading)))
    if not votes:
        return None
    length_nm, count = votes.most_common(1)[0]
    words = [word for word in words if any(parse_label(reading) for reading in word.readings)]
    text = next(reading for word in words for reading in word.readings if parse_label(reading) == length_nm)
    is_clear = count >= 2 and count >= _MAJORITY * votes.total()
    is_clear = is_clear and not _lost_point(pixels, bar, words[0], text)
    whole = _joined(pixels, bar, words[0], bars)
    return _Label(whole or bar, tuple(words), text, length_nm if is_clear and whole else None)


def _lost_point(pixels: NDArray[Any], bar: Bar, word: ocr.Word, text: str) -> bool:
    """Whether a number read without a decimal point seems to have one: a dot of the bar's grey at its foot.

    Large "1.0 µm" over bright particles came as "10 µm" in every reading.
    """
    digits = len(re.findall(r"\d", text))
    tall, wide = word.row1 - word.row0, word.col1 - word.col0
    if digits < 2 or re.search(r"[.,]\d", text) or tall < _LARGE_PX:
        return False
    between = slice(word.col0 + int(0.5 * wide / len(text)), word.col0 + int((digits - 0.3) * wide / len(text)))
    printed = pixels[word.row0 : word.row1, between]
    low, high = grey_range(pixels)
    ink = printed >= high - 0.12 * (high - low) if bar.is_white else printed <= low + 0.12 * (high - low)
    for rows, cols in find_objects(label(ink)[0]):
        sides = rows.stop - rows.start, cols.stop - cols.start
        is_dot = 0.06 * tall <= min(sides) and max(sides) <= min(0.3 * tall, 2 * min(sides))
        # A piece of a broken 0 has another piece over it, a point has nothing.
        if is_dot and rows.start > 0.45 * tall and ink[: rows.start, cols].mean() < 0.05:
            return True
    return False


def _words_near(pixels: NDArray[Any], bar: Bar) -> list[ocr.Word]:
    height, width = pixels.shape
    reach = int(max(32, 0.2 * height, 0.3 * bar.length))
    row0, row1 = max(0, bar.row0 - reach), min(height, bar.row1 + reach)
    col0, col1 = max(0, bar.col0 - bar.length - reach), min(width, bar.col1 + bar.length + reach)
    words = []
    for word in ocr.read_words(_grey8(pixels[row0:row1, col0:col1])):
        top, left, bottom, right = word.row0 + row0, word.col0 + col0, word.row1 + row0, word.col1 + col0
        # What the edge of this window cuts reads as something else: half a 5 is a 3.
        if (top > row0 or row0 == 0) and (bottom < row1 or row1 == height):
            words.append(word._replace(row0=top, col0=left, row1=min(bottom, height), col1=min(right, width)))
    return words


def _belongs(word: ocr.Word, bar: Bar) -> bool:
    """Whether a label is close enough to a bar, and the bar is no stroke of the label."""
    tall, wide = word.row1 - word.row0, word.col1 - word.col0
    if bar.length < _NARROWEST * wide:
        return False
    middle_col = (word.col0 + word.col1) / 2
    gap_rows = max(word.row0 - bar.row1, bar.row0 - word.row1)
    gap_cols = max(word.col0 - bar.col1, bar.col0 - word.col1)
    over_or_under = gap_rows <= 1.5 * tall and bar.col0 <= middle_col <= bar.col1
    is_stroke = over_or_under and word.row0 + 0.2 * tall < bar.row0 < word.row1 - 0.35 * tall
    return (over_or_under and not is_stroke) or (gap_cols <= 2 * tall and _is_beside(word, bar))


def _is_beside(word: ocr.Word, bar: Bar) -> bool:
    is_clear_of = word.col0 >= bar.col1 - 3 or word.col1 <= bar.col0 + 3
    return is_clear_of and word.row0 < (bar.row0 + bar.row1) / 2 < word.row1


def _joined(pixels: NDArray[Any], bar: Bar, word: ocr.Word, bars: list[Bar]) -> Bar | None:
    """The whole bar: both halves where the label stands between two, None where the halves do not match."""
    if not _is_beside(word, bar):
        return bar
    is_left = word.col0 >= bar.col1 - 3
    for other in bars:
        is_across = other.col0 >= word.col1 - 3 if is_left else other.col1 <= word.col0 + 3
        if is_across and other.is_white == bar.is_white and abs(other.row0 - bar.row0) <= 1:
            if abs(other.length - bar.length) > 0.2 * bar.length:
                return None
            return bar._replace(col0=min(bar.col0, other.col0), col1=max(bar.col1, other.col1))
    return None if _goes_on(pixels, bar, word, is_left) else bar


def _goes_on(pixels: NDArray[Any], bar: Bar, word: ocr.Word, is_left: bool) -> bool:
    """Whether the bar's grey returns on the far side of a label that stands beside it."""
    reach = (word.row1 - word.row0) // 2 + bar.length // 2
    far = slice(word.col1, word.col1 + reach) if is_left else slice(max(0, word.col0 - reach), word.col0)
    row = (bar.row0 + bar.row1) // 2
    level = np.median(pixels[row, bar.col0 : bar.col1])
    low, high = grey_range(pixels)
    beyond = np.abs(pixels[row, far].astype(np.float64) - level) <= 0.12 * (high - low)
    return bool(beyond.size and beyond.mean() > 0.3)


def _decide(pixels: NDArray[Any], labels: list[_Label]) -> ScaleBar:
    """One bar of all that have a label; its length stays unknown where they contradict each other."""
    best = min(labels, key=lambda label: (label.length_nm is None, -label.bar.length))
    sizes = [label.length_nm / length_px(pixels, label.bar) for label in labels if label.length_nm]
    agree = bool(sizes) and max(sizes) <= 1.02 * min(sizes)
    bar, words = best.bar, best.words
    rows = slice(min(bar.row0, *(w.row0 for w in words)), max(bar.row1, *(w.row1 for w in words)))
    cols = slice(min(bar.col0, *(w.col0 for w in words)), max(bar.col1, *(w.col1 for w in words)))
    return ScaleBar(rows, cols, length_px(pixels, bar), best.text, best.length_nm if agree else None)


def _grey8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = grey_range(pixels)
    scaled = (pixels.astype(np.float64) - low) * (255 / (high - low) if high > low else 0)
    return np.nan_to_num(scaled).clip(0, 255).astype(np.uint8)
