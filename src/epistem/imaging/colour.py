"""Colour as a camera, a screen copy or a palette stores it, made into images of one grey value a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Micrograph, MicrographSeries, Slice
from epistem.imaging.border import as_recorded

NAMES = ("red", "green", "blue")
OVERLAY_SHARE = 0.10
"""Up to this share of coloured pixels, the image is grey and the colour was drawn on it."""
# JPEG leaves grey pixels beside coloured ones up to 6 of 255 apart; sepia and false colour lie far above.
GREY_TOLERANCE = 8 / 255


def from_colour(
    colour: NDArray[Any], like: Micrograph, *, alpha: NDArray[Any] | None = None
) -> Micrograph | MicrographSeries:
    """Grey image where the colours say nothing, else one image a colour.

    Args:
        colour: (H, W, 3).
        like: carries name, calibration, context, metadata and warnings; its pixels do not matter.
        alpha: (H, W), 0 where a pixel is transparent; such pixels are not valid.

    Returns:
        One image if red, green and blue agree or if at most a tenth of the pixels is coloured (these are then
        not valid); else a series over "channel".
    """
    valid, notes = _opaque(alpha)
    red, green, blue = (colour[..., i] for i in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if not spread.any():
        return replace(like, pixels=as_recorded(green), valid=valid, warnings=like.warnings + notes)
    full = np.iinfo(colour.dtype).max if colour.dtype.kind in "iu" else float(np.nanmax(colour))
    coloured = spread > GREY_TOLERANCE * full
    share = float(coloured.mean())
    if share > OVERLAY_SHARE:
        return channels(colour, replace(like, warnings=like.warnings + notes), NAMES, valid)
    notes += ("red, green and blue differ a little; the green one is kept",)
    if share > 0:
        notes += (f"{share:.1%} of the pixels are coloured (labels, bars) and are left out",)
        valid = ~coloured if valid is None else valid & ~coloured
    return replace(like, pixels=as_recorded(green), valid=valid, warnings=like.warnings + notes)


def _opaque(alpha: NDArray[Any] | None) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    if alpha is None or (alpha > 0).all():
        return None, ()
    return alpha > 0, (f"{float((alpha == 0).mean()):.1%} of the pixels are transparent and are left out",)


def channels(
    samples: NDArray[Any], like: Micrograph, names: Sequence[str], valid: NDArray[np.bool_] | None = None
) -> MicrographSeries:
    """One image a channel.

    Args:
        samples: (H, W, C).
        like: carries what all of them share; its pixels do not matter.
        names: C names.
        valid: (H, W) which pixels are image; None: all.
    """
    slices = tuple(
        replace(
            like,
            pixels=as_recorded(samples[..., i]),
            valid=valid,
            slice=Slice("channel", i, name),
            name=f"{like.name} [{name}]",
        )
        for i, name in enumerate(names)
    )
    return MicrographSeries(slices, "channel", like.name, like.warnings)
