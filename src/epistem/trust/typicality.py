"""Is an image like those that a forecast was learnt from: distance to its nearest of them, and what lies outside."""

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
# Directions in which the reference varies less than this share of a standard deviation are not trusted to be narrow.
_LEAST_SPREAD = 0.1
_MARGIN = 0.1


@dataclass(frozen=True)
class Typicality:
    """Reference images as points, whitened; distance is the mean to the nearest `NEIGHBOURS`.

    Attributes:
        names: of the signals, k.
        low, high: smallest and largest of the reference, (k,).
        quantiles: 5, 50 and 95 % of it, (3, k).
        centre, spread: by which signals are standardised, (k,).
        whiten: (k, k), from standardised to uncorrelated ones.
        points: (n, k) the reference.
        distances: (n,) of each reference image to the others, rising.
    """

    names: tuple[str, ...]
    low: Floats
    high: Floats
    quantiles: Floats
    centre: Floats
    spread: Floats
    whiten: Floats
    points: Floats
    distances: Floats

    @classmethod
    def of(cls, signals: pd.DataFrame) -> Self:
        """From the reference images' signals, each known of at least one; an unknown one stands in the middle.

        Raises:
            SettingsError: too few images.
        """
        raw = signals.to_numpy(float)
        if len(raw) < 2 * NEIGHBOURS:
            raise SettingsError(f"what is typical is learnt from {2 * NEIGHBOURS} images or more; {len(raw)} came")
        centre = np.nan_to_num(np.nanmedian(raw, axis=0))
        spread = np.nan_to_num(np.nanstd(raw, axis=0)) + 1e-9
        standard = np.nan_to_num((raw - centre) / spread)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(standard.T)))
        whiten = vectors / np.sqrt(np.maximum(values, _LEAST_SPREAD**2))
        points = standard @ whiten
        near = cKDTree(points).query(points, NEIGHBOURS + 1)[0][:, 1:].mean(axis=1)
        low, high = np.nanmin(raw, axis=0), np.nanmax(raw, axis=0)
        quantiles = np.nanquantile(raw, (0.05, 0.5, 0.95), axis=0)
        return cls(tuple(signals.columns), low, high, quantiles, centre, spread, whiten, points, np.sort(near))

    def share_less_typical(self, signals: pd.DataFrame) -> Floats:
        """Share of the reference images that lie farther from the others than each of m images, (m,), 0 to 1.

        For an image of the reference's own kind it is spread evenly from 0 to 1. Source: conformal p-value, Vovk et
        al., Algorithmic Learning in a Random World (2005), § 2.
        """
        standard = np.nan_to_num((signals[list(self.names)].to_numpy(float) - self.centre) / self.spread)
        near = cKDTree(self.points).query(standard @ self.whiten, NEIGHBOURS)[0].mean(axis=1)
        farther = len(self.distances) - np.searchsorted(self.distances, near, side="left")
        share: Floats = (1 + farther) / (1 + len(self.distances))
        return share

    def beyond(self, signals: Mapping[str, float]) -> tuple[Beyond, ...]:
        """Signals of one image far from what any reference image has, the farthest out first.

        Far is a tenth of the reference's own range: with some thirty signals, one of a new image of the same kind
        often lies a little outside.
        """
        out = []
        for name, low, high, spread in zip(self.names, self.low, self.high, self.spread, strict=True):
            value = signals[name]
            margin = _MARGIN * (high - low)
            if np.isfinite(value) and not low - margin <= value <= high + margin:
                out.append((max(low - value, value - high) / spread, Beyond(name, value, float(low), float(high))))
        return tuple(one for _, one in sorted(out, key=lambda pair: -pair[0]))

    def as_dict(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"names": list(self.names)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From `as_dict`."""
        return cls(**{**values, "names": tuple(values["names"])})
