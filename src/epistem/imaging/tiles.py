"""Cutting an image into windows that overlap, so that work on parts equals work on the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from epistem.core import SettingsError


class Tile(NamedTuple):
    """A window of an image.

    `core` windows cover the image once. `outer` is the core with a margin of `halo` pixels where the image has
    them, and `inner` is where the core lies in the outer window.
    """

    core: tuple[slice, slice]
    outer: tuple[slice, slice]
    inner: tuple[slice, slice]


def tiles(shape: tuple[int, int], *, tile_px: int, halo_px: int) -> Iterator[Tile]:
    """Windows that cover an image once, row by row.

    A filter that reaches no further than `halo_px` gives the same on `outer`, cut to `inner`, as on the whole image.

    Args:
        shape: rows and columns of the image.
        tile_px: edge of a core [px].
        halo_px: margin on each side [px].

    >>> [tile.core for tile in tiles((4, 6), tile_px=4, halo_px=1)]
    [(slice(0, 4, None), slice(0, 4, None)), (slice(0, 4, None), slice(4, 6, None))]
    """
    if tile_px < 1 or halo_px < 0:
        raise SettingsError(f"tiles need tile_px ≥ 1 and halo_px ≥ 0, not {tile_px} and {halo_px}")
    for row in range(0, shape[0], tile_px):
        rows = _window(row, shape[0], tile_px, halo_px)
        for col in range(0, shape[1], tile_px):
            cols = _window(col, shape[1], tile_px, halo_px)
            yield Tile(*((r, c) for r, c in zip(rows, cols, strict=True)))


def _window(start: int, length: int, tile_px: int, halo_px: int) -> tuple[slice, slice, slice]:
    stop = min(start + tile_px, length)
    outer = slice(max(0, start - halo_px), min(length, stop + halo_px))
    return slice(start, stop), outer, slice(start - outer.start, stop - outer.start)
