"""Is an image like those that a forecast was learnt from: how near they are, and how near images of other kinds.

An image's strangeness is d·(d/f)³: d its distance to the nearest reference images, f that to the nearest foreign
ones, where there are any. Neither is enough. A new kind may be far from both; and a good image from another
microscope is farther from a simulated reference than reference images from one another, but not on the side of the
foreign ones. The power was chosen between 0.5 and 8 on images of neither test set (`docs/decisions/0010`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from epistem.core import SettingsError
from epistem.trust.result import Beyond

Floats = NDArray[np.float64]

NEIGHBOURS = 5
LIKENESS = ("q_", "a_")
"""Signals that are compared: those of the image and of what the objects look like; number and size are no kind."""
# Directions in which the reference varies less than this share of a standard deviation are not trusted to be narrow.
_LEAST_SPREAD = 0.1
_FARTHEST = 8.0
_POWER = 3
_MARGIN = 0.1


@dataclass(frozen=True)
class Typicality:
    """Reference images as points, whitened; distances are means to the nearest `NEIGHBOURS`.

    Attributes:
        names: of the signals, k.
        low, high: smallest and largest of the reference, (k,).
        quantiles: 5, 50 and 95 % of it, (3, k).
        compared: names of the j that distances are of.
        centre, spread: by which these are standardised, (j,).
        whiten: (j, j), from standardised to uncorrelated ones.
        points: (n, j) the reference.
        foreign: (m, j) images of other kinds; m may be 0.
        strangeness: (n,) of each reference image among the others, rising.
    """

    names: tuple[str, ...]
    low: Floats
    high: Floats
    quantiles: Floats
    compared: tuple[str, ...]
    centre: Floats
    spread: Floats
    whiten: Floats
    points: Floats
    foreign: Floats
    strangeness: Floats

    @classmethod
    def of(cls, signals: pd.DataFrame, foreign: pd.DataFrame | None = None) -> Self:
        """From the reference images' signals, each known of at least one; an unknown one stands in the middle.

        Args:
            signals: of the reference images.
            foreign: the same of images of other kinds; fewer than `NEIGHBOURS` are as good as none.

        Raises:
            SettingsError: too few images.
        """
        if len(signals) < 2 * NEIGHBOURS:
            raise SettingsError(
                f"what is typical is learnt from {2 * NEIGHBOURS} images or more; {len(signals)} came"
            )
        raw = signals.to_numpy(float)
        low, high = np.nanmin(raw, axis=0), np.nanmax(raw, axis=0)
        quantiles = np.nanquantile(raw, (0.05, 0.5, 0.95), axis=0)
        compared = tuple(name for name in signals.columns if name.startswith(LIKENESS))
        mine = signals[list(compared)].to_numpy(float)
        centre = np.nan_to_num(np.nanmedian(mine, axis=0))
        spread = np.nan_to_num(np.nanstd(mine, axis=0)) + 1e-9
        standard = _standard(mine, centre, spread)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(standard.T)))
        whiten = vectors / np.sqrt(np.maximum(values, _LEAST_SPREAD**2))
        points, others = standard @ whiten, np.empty((0, len(compared)))
        if foreign is not None and len(foreign) >= NEIGHBOURS:
            others = _standard(foreign[list(compared)].to_numpy(float), centre, spread) @ whiten
        near = cKDTree(points).query(points, NEIGHBOURS + 1)[0][:, 1:].mean(axis=1)
        return cls(
            tuple(signals.columns), low, high, quantiles, compared, centre, spread, whiten, points, others,
            np.sort(_strange(near, points, others)),
        )  # fmt: skip

    def share_less_typical(self, signals: pd.DataFrame) -> Floats:
        """Share of the reference images that are stranger among the others than each of m images, (m,), 0 to 1.

        For an image of the reference's own kind it is spread evenly from 0 to 1. Source: conformal p-value, Vovk et
        al., Algorithmic Learning in a Random World (2005), § 2.
        """
        points = _standard(signals[list(self.compared)].to_numpy(float), self.centre, self.spread) @ self.whiten
        near = cKDTree(self.points).query(points, NEIGHBOURS)[0].mean(axis=1)
        strange = _strange(near, points, self.foreign)
        stranger = len(self.strangeness) - np.searchsorted(self.strangeness, strange, side="left")
        share: Floats = (1 + stranger) / (1 + len(self.strangeness))
        return share

    def beyond(self, signals: Mapping[str, float]) -> tuple[Beyond, ...]:
        """Signals of one image far from what any reference image has, the farthest out first.

        Far is a tenth of the reference's own range: with some forty signals, one of a new image of the same kind
        often lies a little outside.
        """
        out = []
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            value = signals[name]
            margin = _MARGIN * (high - low)
            if np.isfinite(value) and not low - margin <= value <= high + margin:
                far = max(low - value, value - high) / (high - low + 1e-9)
                out.append((far, Beyond(name, value, float(low), float(high))))
        return tuple(one for _, one in sorted(out, key=lambda pair: -pair[0]))

    def as_dict(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "names": list(self.names), "compared": list(self.compared)
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From `as_dict`."""
        return cls(**{**values, **{name: tuple(values[name]) for name in ("names", "compared")}})


def _standard(raw: Floats, centre: Floats, spread: Floats) -> Floats:
    """Unknown ones are 0, in the middle; one wild signal does not outweigh all others."""
    standard: Floats = np.nan_to_num((raw - centre) / spread).clip(-_FARTHEST, _FARTHEST)
    return standard


def _strange(near: Floats, points: Floats, foreign: Floats) -> Floats:
    if not len(foreign):
        return near
    far = cKDTree(foreign).query(points, NEIGHBOURS)[0].mean(axis=1)
    strange: Floats = near * (near / np.maximum(far, 1e-9)) ** _POWER
    return strange
