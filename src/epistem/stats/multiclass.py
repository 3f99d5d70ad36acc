"""One class out of several: how often, and with what, a classifier is wrong.

Everything is counted from the confusion matrix; a share of nothing is None, never 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import SettingsError, ShapeError

Counts = NDArray[np.int64]


class ClassScore(NamedTuple):
    """Of one class; 0 to 1, higher is better; None where there is nothing to divide by.

    Attributes:
        precision: share of the calls of this class that are right; None if it was never called.
        recall: share of the cases of this class that were found; None if there are none.
        f1: 2·TP / (2·TP + FP + FN); None if it neither is nor was called.
        support: cases that truly are of this class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, *, classes: int) -> Counts:
    """Cases by their true class (rows) and the class they were called (columns).

    Args:
        truth, predicted: (n,) whole numbers from 0.
        classes: how many classes there are.

    Returns:
        Counts, shape (classes, classes).

    Raises:
        ShapeError: of different length.
        SettingsError: numbers that are not one of the classes.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    known, called = as_classes(truth, classes), as_classes(predicted, classes)
    if known.shape != called.shape:
        raise ShapeError(f"wanted as many predictions as truths; got {called.shape} and {known.shape}")
    return np.bincount(known * classes + called, minlength=classes * classes).reshape(classes, classes)


def as_classes(values: ArrayLike, classes: int) -> Counts:
    """The values as whole numbers, (n,).

    Raises:
        ShapeError: not one row of values.
        SettingsError: fewer than one class, or values that are not 0 to classes − 1.
    """
    numbers = np.asarray(values)
    if numbers.ndim != 1:
        raise ShapeError(f"classes come as (n,), not {numbers.shape}")
    good = np.isin(numbers, np.arange(classes))
    if classes < 1 or not good.all():
        strange = numbers[~good][:3].tolist()
        raise SettingsError(f"wanted whole numbers from 0 to {classes - 1}, one for each class; got {strange}")
    return numbers.astype(np.int64)


def accuracy(matrix: ArrayLike) -> float | None:
    """Share of all cases called rightly, 0 to 1; None without a case.

    Args:
        matrix: (k, k) counts, truth by call.
    """
    counts = square(matrix)
    return _share(np.trace(counts), counts.sum())


def balanced_accuracy(matrix: ArrayLike) -> float | None:
    """Mean recall of the classes that have a case, 0 to 1: each class counts alike, however rare.

    Args:
        matrix: (k, k) counts, truth by call.

    Source: Brodersen et al., ICPR 2010.

    >>> accuracy([[98, 0], [2, 0]]), balanced_accuracy([[98, 0], [2, 0]])
    (0.98, 0.5)
    """
    return _mean([one.recall for one in class_scores(matrix)])


def macro_f1(matrix: ArrayLike) -> float | None:
    """Mean F1 of the classes that are, or were called, in any case; 0 to 1.

    Args:
        matrix: (k, k) counts, truth by call.

    Source: Opitz, Burst, arXiv:1911.03347 (the mean of F1, not F1 of the means).
    """
    return _mean([one.f1 for one in class_scores(matrix)])


def class_scores(matrix: ArrayLike) -> list[ClassScore]:
    """Precision, recall, F1 and support of each class.

    Args:
        matrix: (k, k) counts, truth by call.

    Raises:
        ShapeError: the matrix is not square.

    >>> class_scores([[3, 1], [0, 0]])[1]
    ClassScore(precision=0.0, recall=None, f1=0.0, support=0)
    """
    counts = square(matrix)
    rows = zip(np.diag(counts).tolist(), counts.sum(0).tolist(), counts.sum(1).tolist(), strict=True)
    return [
        ClassScore(_share(hit, called), _share(hit, true), _share(2 * hit, called + true), int(true))
        for hit, called, true in rows
    ]


def square(matrix: ArrayLike) -> Counts:
    """Counts as (k, k).

    Raises:
        ShapeError: the matrix is not square.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(f"a table of classes by classes is (k, k), not {counts.shape}")
    return counts.astype(np.int64)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
