"""Good or not good: what numbers that were predicted are worth where only a cut through them matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import SettingsError
from epistem.stats.regression import aligned

Floats = NDArray[np.float64]
CUTS = tuple(k / 10 for k in range(1, 10))


class Curve(NamedTuple):
    """Precision and recall if cases are called good from each threshold up, from the strictest to the laxest.

    Attributes:
        threshold, precision, recall: (m,), one each for every value that was predicted.
        no_skill: precision of calling by chance: the share of cases that are good.
        average: mean precision, weighted with the recall it gains.
    """

    threshold: Floats
    precision: Floats
    recall: Floats
    no_skill: float
    average: float


class Cut(NamedTuple):
    """Truth and prediction both called good from `at` up; None where there is nothing to divide by.

    Attributes:
        at: the cut.
        n, good: cases, and how many truly are good.
        precision, recall, f1, accuracy: of the calls, 0 to 1, higher is better.
        baseline_f1, baseline_accuracy: of calling every case what most of them are, good where it is half and half.
    """

    at: float
    n: int
    good: int
    precision: float | None
    recall: float | None
    f1: float | None
    accuracy: float
    baseline_f1: float | None
    baseline_accuracy: float


def precision_recall(truth: ArrayLike, predicted: ArrayLike, *, good: float = 0.5) -> Curve:
    """Which share of the cases called good is, and which share of the good is called so.

    Args:
        truth, predicted: (n,), finite.
        good: a case is good if its truth is not below.

    Raises:
        ShapeError: of different length, empty, or not finite.
        SettingsError: no case is good.

    Source: Davis, Goadrich, ICML 2006; the average without interpolation.

    >>> precision_recall([0.9, 0.1, 0.8], [0.7, 0.6, 0.4]).precision.round(2).tolist()
    [1.0, 0.5, 0.67]
    """
    known, said = aligned(truth, predicted)
    right = known >= good
    if not right.any():
        raise SettingsError(f"precision and recall need a good case; none of {len(known)} reaches {good:g}")
    order = np.argsort(-said, kind="stable")
    # Cases of equal prediction are called together: the curve has one point for them.
    last = np.flatnonzero(np.append(np.diff(said[order]) != 0, True))
    hits = np.cumsum(right[order])[last]
    precision, recall = hits / (last + 1), hits / right.sum()
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    return Curve(said[order][last], precision, recall, float(right.mean()), average)


def cut_at(truth: ArrayLike, predicted: ArrayLike, at: float) -> Cut:
    """How often a prediction falls on the same side of a cut as the truth.

    Args:
        truth, predicted: (n,), finite.
        at: good is what is not below.

    Raises:
        ShapeError: of different length, empty, or not finite.

    >>> cut_at([0.9, 0.1, 0.8], [0.7, 0.6, 0.4], 0.5).accuracy
    0.3333333333333333
    """
    known, said = aligned(truth, predicted)
    right, called = known >= at, said >= at
    n, good, hits = len(known), int(right.sum()), int((right & called).sum())
    most = 2 * good >= n
    return Cut(
        at, n, good, _share(hits, int(called.sum())), _share(hits, good), _share(2 * hits, good + int(called.sum())),
        float((right == called).mean()), _share(2 * good * most, good + n * most), max(good, n - good) / n,
    )  # fmt: skip


def sweep(truth: ArrayLike, predicted: ArrayLike, cuts: Sequence[float] = CUTS) -> list[Cut]:
    """`cut_at` every one of them."""
    return [cut_at(truth, predicted, at) for at in cuts]


def confusion(truth: ArrayLike, predicted: ArrayLike, *, bins: int = 5) -> NDArray[np.int64]:
    """Cases by the bin of their truth (rows) and of their prediction (columns), (bins, bins).

    Args:
        truth, predicted: (n,) 0 to 1.
        bins: of equal width; a value on an edge lies in the upper one, 1 in the last.

    Raises:
        ShapeError: of different length, empty, or not finite.
        SettingsError: values outside 0 to 1, or no bin.

    >>> confusion([0.1, 0.9, 1.0], [0.3, 0.9, 0.2], bins=2).tolist()
    [[1, 0], [1, 1]]
    """
    known, said = aligned(truth, predicted)
    both = np.stack([known, said])
    if bins < 1 or both.min() < 0 or both.max() > 1:
        raise SettingsError(
            f"wanted values from 0 to 1 and a bin for them; got {both.min():g} to {both.max():g} and {bins} bins"
        )
    # Not linspace: its 0.6 is a little above 0.6, and F1 of 0.6 are common.
    row, col = np.searchsorted(np.arange(1, bins) / bins, both, side="right")
    return np.bincount(row * bins + col, minlength=bins * bins).reshape(bins, bins)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
