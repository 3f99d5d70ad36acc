"""What a forecast says of one image, before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from epistem.core import Interval, SettingsError

WORDS: Mapping[str, str] = {
    "q_noise": "noise",
    **{f"q_band_{k}": f"detail of {2**k}–{2 ** (k + 1)} px" for k in range(1, 7)},
    "q_laplacian": "sharpness",
    "q_neighbour": "likeness of neighbouring pixels",
    "q_skew": "skewness of the grey values",
    "q_tail": "share of extreme grey values",
    "q_uneven": "unevenness from place to place",
    "q_stripes": "stripes",
    "q_flat": "share of equal neighbours",
    "c_core": "contrast of the objects' middles",
    "c_rim": "contrast of the objects' rims",
    "c_fringe": "contrast just outside the objects",
    "c_spread": "unrest around the objects",
    "c_round": "roundness of an object's grey values",
    "c_ragged": "unrest inside an object",
    "c_lean": "one-sidedness of an object",
    "c_long": "two-sidedness of an object",
    "s_confidence": "sureness of the objects",
    "s_cot": "doubt about the objects (transport)",
    "s_nuclear": "agreement of the scores (nuclear norm)",
    "s_entropy": "doubt about the objects (entropy)",
    "s_nearly": "objects nearly found",
    "s_overlap": "overlap of the objects",
    "s_contrast": "contrast-to-noise of the objects",
    "s_contrast_spread": "spread of the objects' contrast-to-noise",
    "s_fringe": "sameness of the fringes",
    "s_diameter_px": "median diameter",
    "s_diameter_p10_px": "diameter of the smallest tenth",
    "s_diameter_spread": "spread of the diameters",
    "s_per_Mpx": "number of objects for this area",
    "s_border": "share of objects at the border",
    "a_fringe": "fringes of the objects",
    "a_fringe_top": "fringes of the strongest fifth",
    "a_round": "roundness of the objects' grey values",
    "a_round_top": "roundness of the roundest fifth",
    "a_ragged": "unrest inside the objects",
    "a_ragged_top": "unrest inside the most restless fifth",
    "a_lean": "one-sidedness of the objects",
    "a_lean_top": "one-sidedness of the most one-sided fifth",
    "a_long": "two-sidedness of the objects",
    "a_long_top": "two-sidedness of the most two-sided fifth",
    "a_sign": "sameness of the contrast's sign",
    "a_uneven": "unlikeness of the objects' contrast",
}
"""Signals of `trust.quality` and `trust.signals` in plain words; others keep their machine names."""


class Beyond(NamedTuple):
    """A signal of the image that no reference image has.

    Attributes:
        signal: its machine name.
        value: that of this image.
        low, high: smallest and largest of the reference images.
    """

    signal: str
    value: float
    low: float
    high: float

    def in_words(self) -> str:
        """Such as "noise (0.91, above 0.1 to 0.62)"."""
        side = "above" if self.value > self.high else "below"
        value, low, high = (f"{float(f'{one:.3g}'):g}" for one in (self.value, self.low, self.high))
        return f"{WORDS.get(self.signal, self.signal)} ({value}, {side} {low} to {high})"


@dataclass(frozen=True)
class Forecast:
    """How well the detector did on one image, as expected without labels.

    Attributes:
        used_score: objects from this score up are what the forecast is of.
        asked_score: the score that was asked for; forecasts exist for some scores only.
        f1, precision, recall: expected, 0 to 1, higher is better; None where unscored or not known.
        typicality: share of the reference images that are less typical than this one, 0 to 1, or None.
        beyond: signals outside the range of the reference images.
        reference_n: how many reference images there are.
        n_kept: objects from `used_score` up.
        contrast_to_noise: see the function of this name; None without an image.
        flat: share of neighbouring pixels that are exactly equal (`q_flat`), 0 to 1; None without an image.
        signals: all signals by name; NaN where unknown.
        unscored: why there is no expected F1; None where there is one.

    Raises:
        SettingsError: shares outside 0 to 1, a negative number, or neither an expected F1 nor a reason for its lack.
    """

    used_score: float
    asked_score: float
    f1: Interval | None = None
    precision: Interval | None = None
    recall: Interval | None = None
    typicality: float | None = None
    beyond: tuple[Beyond, ...] = ()
    reference_n: int = 0
    n_kept: int = 0
    contrast_to_noise: float | None = None
    flat: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    unscored: str | None = None

    def __post_init__(self) -> None:
        for name in ("used_score", "asked_score", "typicality", "flat"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise SettingsError(f"{name} lies in 0 to 1, not {value}")
        for name in ("f1", "precision", "recall"):
            span = getattr(self, name)
            if span is not None and not (0 <= span.low and span.high <= 1):
                raise SettingsError(
                    f"the interval of {name} lies in 0 to 1, not {span.low} to {span.high}; cut it off"
                )
        for name in ("n_kept", "reference_n", "contrast_to_noise"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise SettingsError(f"{name} is not negative; got {value}")
        if (self.f1 is None) != bool(self.unscored):
            raise SettingsError(
                f"a forecast has an expected F1 or says why it has none; got {self.f1} and {self.unscored!r}"
            )


def contrast_to_noise(objects: pd.DataFrame, used_score: float) -> float | None:
    """How far the typical object stands out of its surroundings; None without an object or an image.

    Median over the objects, in standard deviations of each one's surroundings; of an object its middle or its rim,
    whichever stands out more: at focus a cavity is a fringe.

    Args:
        objects: rows of one image of `trust.cases`, with score, c_core, c_rim and c_spread.
        used_score: objects below are left out.
    """
    kept = objects[objects["score"] >= used_score]
    standing = kept[["c_core", "c_rim"]].abs().max(axis=1).to_numpy(float)
    spread = kept["c_spread"].to_numpy(float)
    known = np.isfinite(standing) & (spread > 0)
    return float(np.median(standing[known] / spread[known])) if known.any() else None
