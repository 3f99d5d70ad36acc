"""The panels of a figure: pictures it is made of, else parts between gutters; as many as its caption names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.ask.layout import clusters
from epistem.ask.pdf import Box, Line, area, overlap, union

Bools = NDArray[np.bool_]
Part = tuple[int, int, int, int]
"""Rows and columns of a picture: [row0, col0, row1, col1]."""

_GUTTERS = (0.004, 0.008, 0.015, 0.03)
"""Widths over the longer side, from the narrowest that journals set."""
_SMALLEST = 0.09
"""Of the figure's side; less is a label or a strip, and belongs to its neighbour."""
_FLAT = 6


class Panel(NamedTuple):
    """One panel: its letter and its box, in the figure's units."""

    letter: str
    box: Box


class Split(NamedTuple):
    """The panels, or none and why."""

    panels: tuple[Panel, ...]
    why: str = ""


def split(
    letters: Sequence[str],
    pieces: Sequence[Box],
    box: Box,
    picture: Callable[[], Image.Image],
    labels: Sequence[Line] = (),
    read: Callable[[Image.Image], str] | None = None,
) -> Split:
    """The panels that a caption names.

    Args:
        letters: in the caption, in their order.
        pieces: boxes of the pictures and drawings that the figure is made of [pt].
        box: of the figure [pt].
        picture: renders it; called only where its pieces do not tell.
        labels: printed lines in and round the figure.
        read: reads what is printed in the corner of a panel, where that is possible.
    """
    if len(letters) < 2:
        return Split(())
    large = _large(pieces, box)
    if len(large) == len(letters):
        return Split(_lettered(letters, large, labels))
    shown = picture()
    found = [_on_page(one, box, shown) for one in cut(shown, len(letters))]
    if len(found) != len(letters):
        seen = len(found) or len(large)
        return Split((), f"its caption names {len(letters)} panels, {seen} can be told apart; kept whole")
    if not any(_letter(line.text) for line in labels) and read is not None:
        by_print = _read_letters(letters, found, box, shown, read)
        if by_print:
            return Split(by_print)
    return Split(_lettered(letters, found, labels))


def _large(pieces: Sequence[Box], box: Box) -> list[Box]:
    """Pieces that are panels: drawings that touch are one, small marks inside others are none."""
    whole = area(box)
    kept: list[Box] = []
    for piece in sorted(pieces, key=area, reverse=True):
        if area(piece) > 0.015 * whole and not any(area(overlap(piece, one)) > 0.3 * area(piece) for one in kept):
            kept.append(piece)
    return kept


def in_rows(boxes: Sequence[Box]) -> list[Box]:
    """Boxes as one reads them: row by row, each from the left."""
    rest = sorted(boxes, key=lambda one: one[1])
    ordered: list[Box] = []
    while rest:
        middle = rest[0][1] + 0.5 * (rest[0][3] - rest[0][1])
        row = [one for one in rest if one[1] <= middle]
        ordered += sorted(row, key=lambda one: one[0])
        rest = [one for one in rest if one not in row]
    return ordered


def _letter(text: str) -> str | None:
    found = re.fullmatch(r"[\[(]?\s*([a-pA-P])\s*[\])]?[.:]?", text.strip())
    return found[1].lower() if found else None


def _lettered(letters: Sequence[str], boxes: Sequence[Box], labels: Sequence[Line]) -> tuple[Panel, ...]:
    """Panels by the letters printed at them where each has exactly one, else in reading order."""
    ordered = in_rows(boxes)
    at: dict[str, Box] = {}
    for line in labels:
        letter = _letter(line.text)
        if letter is not None and letter in letters:
            nearest = min(ordered, key=lambda one: _away(line.box, one))
            at[letter] = nearest
    if set(at) == set(letters) and len(set(at.values())) == len(ordered):
        return tuple(Panel(letter, at[letter]) for letter in letters)
    return tuple(Panel(letter, one) for letter, one in zip(letters, ordered, strict=True))


def _away(label: Box, panel: Box) -> float:
    """How far a label is from where letters stand: inside, over or under a panel."""
    x, y = (label[0] + label[2]) / 2, (label[1] + label[3]) / 2
    across = max(panel[0] - x, x - panel[2], 0.0)
    return across + max(panel[1] - y, y - panel[3], 0.0)


def _on_page(part: Part, box: Box, shown: Image.Image) -> Box:
    across, down = (box[2] - box[0]) / shown.width, (box[3] - box[1]) / shown.height
    row0, col0, row1, col1 = part
    return box[0] + col0 * across, box[1] + row0 * down, box[0] + col1 * across, box[1] + row1 * down


def cut(shown: Image.Image, wanted: int) -> list[Part]:
    """Parts of a picture between gutters, as [row0, col0, row1, col1]; with the gutters that give what is wanted.

    Args:
        shown: a figure.
        wanted: how many panels its caption names.

    Returns:
        As many as wanted, or what the narrowest gutters give.
    """
    grey = np.asarray(shown.convert("L")).astype(np.int16)
    first: list[Part] = []
    for ground in (255, 0):
        is_ground = np.abs(grey - ground) <= _FLAT
        for share in _GUTTERS:
            least = max(2, round(share * max(grey.shape)))
            parts = _joined_small(_cut(is_ground, (0, 0, *grey.shape), least), grey.shape)
            if len(parts) == wanted:
                return parts
            first = first or parts
    return first


def _cut(is_ground: Bools, part: Part, least: int) -> list[Part]:
    """Recursive XY-cut: along the widest gutter first."""
    row0, col0, row1, col1 = part = _trimmed(is_ground, part)
    if row1 <= row0 or col1 <= col0:
        return []
    best: tuple[int, int, int, int] | None = None
    for axis in (0, 1):
        free = is_ground[row0:row1, col0:col1].mean(1 - axis) >= 0.995
        for start, stop in _runs(free):
            if stop - start >= least and (best is None or stop - start > best[0]):
                best = (stop - start, axis, start, stop)
    if best is None:
        return [part]
    _, axis, start, stop = best
    if axis == 0:
        halves = (row0, col0, row0 + start, col1), (row0 + stop, col0, row1, col1)
    else:
        halves = (row0, col0, row1, col0 + start), (row0, col0 + stop, row1, col1)
    return [one for half in halves for one in _cut(is_ground, half, least)]


def _trimmed(is_ground: Bools, part: Part) -> Part:
    row0, col0, row1, col1 = part
    ink = ~is_ground[row0:row1, col0:col1]
    rows, cols = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not rows.size:
        return row0, col0, row0, col0
    return row0 + int(rows[0]), col0 + int(cols[0]), row0 + int(rows[-1]) + 1, col0 + int(cols[-1]) + 1


def _runs(flags: Bools) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _joined_small(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
    """Small parts, such as labels and the print of a strip, put to the large part they are nearest to."""
    limit = _SMALLEST * shape[0], _SMALLEST * shape[1]
    large = [one for one in parts if one[2] - one[0] >= limit[0] and one[3] - one[1] >= limit[1]]
    small = [one for one in parts if one not in large]
    if not large:
        return parts
    grown = {one: [one] for one in large}
    for part in small:
        nearest = min(large, key=lambda one: _gap(one, part))
        # A letter of its own line stands away from its panel and is no part of the picture.
        if _gap(nearest, part) <= 0.03 * max(shape) and _is_strip_of(nearest, part):
            grown[nearest].append(part)
    return [
        (min(p[0] for p in some), min(p[1] for p in some), max(p[2] for p in some), max(p[3] for p in some))
        for some in grown.values()
    ]


def _is_strip_of(large: Part, part: Part) -> bool:
    return part[1] >= large[1] - 2 and part[3] <= large[3] + 2 and part[3] - part[1] > 0.3 * (large[3] - large[1])


def _gap(one: Part, other: Part) -> int:
    down, across = max(one[0], other[0]) - min(one[2], other[2]), max(one[1], other[1]) - min(one[3], other[3])
    return max(down, 0) + max(across, 0)


def _read_letters(
    letters: Sequence[str], boxes: Sequence[Box], box: Box, shown: Image.Image, read: Callable[[Image.Image], str]
) -> tuple[Panel, ...]:
    """Panels by what is printed in their upper left corner; none unless every panel shows another letter."""
    at: dict[str, Box] = {}
    scale = shown.width / (box[2] - box[0])
    for one in boxes:
        left, top = (one[0] - box[0]) * scale, (one[1] - box[1]) * scale
        wide, high = (one[2] - one[0]) * scale, (one[3] - one[1]) * scale
        letter = _letter(
            read(shown.crop((round(left), round(top), round(left + 0.3 * wide), round(top + 0.3 * high))))
        )
        if letter is None or letter not in letters or letter in at:
            return ()
        at[letter] = one
    return tuple(Panel(letter, at[letter]) for letter in letters)


def pieces_of(rasters: Sequence[Box], paths: Sequence[Box], box: Box) -> list[Box]:
    """Pictures in a figure, tiles of one put together, and drawings beside them."""
    inside = [one for one in rasters if area(overlap(one, box)) > 0.9 * area(one) > 0]
    tiles = clusters(inside, 0.3)
    drawn = [one for one in paths if area(overlap(one, box)) >= 0.9 * area(one) and _is_inside(one, box)]
    free = [one for one in drawn if not any(_is_inside(one, tile) for tile in tiles)]
    return tiles + clusters(free)


def _is_inside(one: Box, other: Box) -> bool:
    return other[0] - 1 <= one[0] and other[1] - 1 <= one[1] and one[2] <= other[2] + 1 and one[3] <= other[3] + 1


def with_labels(panel: Box, labels: Sequence[Line], others: Sequence[Box]) -> Box:
    """A drawing's panel with the print round it that is nearer to it than to another panel."""
    own = [line.box for line in labels if not _letter(line.text) and _away(line.box, panel) < 30
           and all(_away(line.box, panel) <= _away(line.box, one) for one in others)]  # fmt: skip
    return union([panel, *own])
