"""Which images to label first, so that the detector and its forecast learn most from little work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.core import ShapeError
from epistem.trust.result import WORDS, Forecast
from epistem.trust.verdict import Limits, is_foreign, references, why_unscored


class Pick(NamedTuple):
    """One image to label: its row, how useful that is (0 to 1, higher is more), and why."""

    row: int
    usefulness: float
    reason: str


def label_first(
    forecasts: Sequence[Forecast], signals: pd.DataFrame, number: int = 10, limits: Limits | None = None
) -> list[Pick]:
    """Images in the order in which labelling them should help the detector most.

    Useful is what the detector is expected to do badly and what the reference images are unlike: (1 − F1) times
    1 minus half the typicality. Each pick is the largest product of usefulness and distance to the nearest image
    picked before, so that like images are not labelled twice. Unscored images come after the scored ones, and
    after these such as are refused for being unlike the references: they may be no images of this kind at all.

    Args:
        forecasts: one an image.
        signals: (n, k), those of each image; NaN where unknown. Standardised here over these images.
        number: how many to pick at most.
        limits: by which an image is foreign; the defaults if None.

    Raises:
        ShapeError: signals of another number of images.

    Source: greedy k-centre selection, O. Sener, S. Savarese, ICLR 2018, § 4.2, with weights.
    """
    if len(signals) != len(forecasts):
        raise ShapeError(f"wanted a row of signals for each image; got {len(signals)} for {len(forecasts)}")
    foreign = np.array([is_foreign(one, limits or Limits()) for one in forecasts], bool)
    unscored = np.array([one.f1 is None for one in forecasts], bool) & ~foreign
    useful = np.array([_usefulness(one) for one in forecasts])
    scaled = _standardised(signals)
    picks: list[Pick] = []
    nearest, closest = np.full(len(forecasts), np.inf), np.full(len(forecasts), -1)
    left = ~foreign & ~unscored
    while left.any() and len(picks) < number:
        # Infinite before the first pick: usefulness alone decides; and again among equals.
        gain = useful * np.where(np.isinf(nearest), 1.0, nearest)
        row = int(np.lexsort((-useful, -gain, ~left))[0])
        picks.append(Pick(row, float(useful[row]), _why(forecasts[row], row, scaled, int(closest[row]))))
        left[row] = False
        distance = _distance(scaled, row)
        closest[distance < nearest] = row
        nearest = np.minimum(nearest, distance)
    rest = [(row, why_unscored(forecasts[row])) for row in np.flatnonzero(unscored).tolist()]
    rest += [(row, _foreign(forecasts[row])) for row in np.flatnonzero(foreign).tolist()]
    return (picks + [Pick(row, 0.0, reason) for row, reason in rest])[:number]


def _foreign(forecast: Forecast) -> str:
    return f"Unlike {references(forecast)}: first see whether it is an image of the right kind at all."


def _usefulness(forecast: Forecast) -> float:
    if forecast.f1 is None:
        return 0.0
    return (1 - forecast.f1.value) * (1 - 0.5 * (forecast.typicality or 0.0))


def _standardised(signals: pd.DataFrame) -> pd.DataFrame:
    """Each signal with mean 0 and standard deviation 1; without those that do not vary."""
    spread = signals.std(ddof=0)
    varying = spread.index[spread > 0]
    return (signals[varying] - signals[varying].mean()) / spread[varying]


def _distance(scaled: pd.DataFrame, row: int) -> NDArray[np.float64]:
    """Root mean square difference over the signals that both images have; 0 where they share none."""
    table = scaled.to_numpy(float)
    difference = (table - table[row]) ** 2
    shared = np.isfinite(difference)
    total = np.where(shared, difference, 0.0).sum(axis=1)
    distance: NDArray[np.float64] = np.sqrt(total / np.maximum(shared.sum(axis=1), 1))
    return distance


def _why(forecast: Forecast, row: int, scaled: pd.DataFrame, nearest: int) -> str:
    parts = [f"Expected F1 {forecast.f1.value:.2f}"] if forecast.f1 else []
    if forecast.typicality is not None:
        parts.append(f"less typical than {100 * (1 - forecast.typicality):.3g} % of {references(forecast)}")
    difference = (scaled.iloc[row] - scaled.iloc[nearest]).abs().dropna() if nearest >= 0 else pd.Series(dtype=float)
    if len(difference):
        most = str(difference.idxmax())
        parts.append(
            f"nearest to it of those before is image {nearest}, which differs most in {WORDS.get(most, most)} "
            f"({difference[most]:.1f} standard deviations)"
        )
    return "; ".join(parts) + "."
