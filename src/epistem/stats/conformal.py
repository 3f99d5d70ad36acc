"""Intervals whose coverage was earned on held-out cases, whatever the model that made the predictions.

==================  =====================================================================================
split               residuals of cases the model has not seen, one width for all
CV+                 out-of-fold residuals of every case; each fold's model predicts too
conformal quantile  a model's own quantiles, moved until they cover; widths follow the model
==================  =====================================================================================

All are valid for new cases that are exchangeable with the held-out ones: images of the same kinds, not of a new kind.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval, SettingsError, ShapeError
from epistem.stats.intervals import binomial_interval

Floats = NDArray[np.float64]


class Band(NamedTuple):
    """Ends of m intervals, (m,) each; ±inf where too few cases earn the coverage."""

    low: Floats
    high: Floats


def quantile_to_cover(scores: ArrayLike, coverage: float) -> float:
    """The ⌈(n + 1)·coverage⌉-th smallest of n scores; inf where n is too small for that coverage.

    Args:
        scores: (n,) how far the truth of each held-out case lies outside, any finite numbers.
        coverage: probability that a new case's score is not larger, 0 to 1.

    Raises:
        SettingsError: coverage outside 0 to 1, or scores that are not finite.

    Source: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), § 2.2.

    >>> quantile_to_cover([1.0, 2.0, 3.0, 4.0], 0.8), quantile_to_cover([1.0, 2.0, 3.0, 4.0], 0.9)
    (4.0, inf)
    """
    known = np.sort(_checked(scores, coverage))
    # A rounding error must not ask for one case more: 10·0.9 is 9.
    rank = int(np.ceil(np.round((len(known) + 1) * coverage, 9)))
    return float(known[rank - 1]) if rank <= len(known) else float("inf")


def split_band(residuals: ArrayLike, predicted: ArrayLike, *, coverage: float = 0.9) -> Band:
    """Predictions ± one width.

    Args:
        residuals: (n,) truth minus prediction of held-out cases.
        predicted: (m,) new predictions.
        coverage: probability that an interval holds the truth, 0 to 1.

    Source: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), algorithm 2.
    """
    width = quantile_to_cover(np.abs(np.asarray(residuals, float)), coverage)
    middle = np.asarray(predicted, float)
    return Band(middle - width, middle + width)


def cv_plus_band(residuals: ArrayLike, fold: ArrayLike, by_fold: ArrayLike, *, coverage: float = 0.9) -> Band:
    """Intervals from cross-validation: no case is set aside.

    Args:
        residuals: (n,) truth minus the prediction of the model that had not seen the case.
        fold: (n,) whole numbers from 0, which of the k models that was.
        by_fold: (k, m) what each of them predicts for m new cases.
        coverage: probability that an interval holds the truth, 0 to 1; at least 2·coverage − 1 is proven, about
            coverage is found.

    Raises:
        ShapeError: arrays that do not belong together.

    Source: Barber et al., Ann. Statist. 49, 486 (2021), § 3.
    """
    distance, which, models = np.abs(np.asarray(residuals, float)), np.asarray(fold, int), np.asarray(by_fold, float)
    if models.ndim != 2 or distance.shape != which.shape or not len(which) or which.max() >= len(models):
        raise ShapeError(
            f"wanted residuals and folds (n,) and predictions (k, m); got {distance.shape}, {which.shape} and "
            f"{models.shape}"
        )
    n = len(distance)
    middle = models[which]  # (n, m)
    low_rank = int(np.floor(np.round((n + 1) * (1 - coverage), 9)))
    lows = np.sort(middle - distance[:, None], axis=0)
    highs = np.sort(middle + distance[:, None], axis=0)
    if low_rank < 1:
        return Band(np.full(models.shape[1], -np.inf), np.full(models.shape[1], np.inf))
    return Band(lows[low_rank - 1], highs[n - low_rank])


def conformal_quantile_band(
    low: ArrayLike, high: ArrayLike, truth: ArrayLike, new_low: ArrayLike, new_high: ArrayLike, *,
    coverage: float = 0.9, bins: Sequence[Hashable] | None = None, new_bins: Sequence[Hashable] | None = None,
) -> Band:  # fmt: skip
    """A model's own quantiles, all moved by what held-out cases say; each bin by its own cases.

    Args:
        low, high: (n,) the model's quantiles for held-out cases.
        truth: (n,) of these.
        new_low, new_high: (m,) for new cases.
        coverage: probability that an interval holds the truth, 0 to 1.
        bins, new_bins: to which bin each held-out and each new case belongs; None: one for all. A bin too small for
            the coverage, or not known, takes the larger of what all cases and its own largest score say.

    Source: Romano, Patterson, Candès, NeurIPS 2019, eq. 6; by bin: Vovk, Machine Learning 92, 349 (2013).
    """
    scores = np.maximum(
        np.asarray(low, float) - np.asarray(truth, float), np.asarray(truth) - np.asarray(high, float)
    )
    together = quantile_to_cover(scores, coverage)
    mine = [None] * len(np.asarray(new_low)) if new_bins is None else list(new_bins)
    theirs = [None] * len(scores) if bins is None else list(bins)
    moved = {name: _of_bin(scores[[one == name for one in theirs]], coverage, together) for name in set(mine)}
    by = np.array([moved[name] for name in mine])
    return Band(np.asarray(new_low, float) - by, np.asarray(new_high, float) + by)


def _of_bin(scores: Floats, coverage: float, together: float) -> float:
    if not len(scores):
        return together
    own = quantile_to_cover(scores, coverage)
    return own if np.isfinite(own) else max(together, float(scores.max()))


def share_covered(band: Band, truth: ArrayLike, *, coverage: float = 0.9) -> Interval | None:
    """Share of truths inside their intervals, with its own binomial interval; None without cases.

    Args:
        band: (m,) intervals.
        truth: (m,).
        coverage: of the interval of the share.
    """
    known = np.asarray(truth, float)
    inside = (known >= band.low) & (known <= band.high)
    return binomial_interval(int(inside.sum()), len(known), coverage=coverage)


def _checked(scores: ArrayLike, coverage: float) -> Floats:
    known = np.asarray(scores, float)
    if not 0 < coverage < 1:
        raise SettingsError(f"coverage lies between 0 and 1, not {coverage}")
    if not np.isfinite(known).all():
        strange = int((~np.isfinite(known)).sum())
        raise SettingsError(
            f"{strange} of {len(known)} residuals are not finite; leave these cases out and count them"
        )
    return known
