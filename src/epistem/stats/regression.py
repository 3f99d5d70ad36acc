"""How well numbers were predicted: pooled, and fold by fold as papers print it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import ShapeError


class Errors(NamedTuple):
    """Of n predictions; None where it cannot be computed.

    Attributes:
        n: how many.
        rmse, mae: root mean square and mean absolute error, in the unit of the truth.
        r2: 1 − Σ(error²)/Σ(deviation²) of the truth from its mean; None where all truths are equal or n < 2.
        nrmse: rmse over the standard deviation (ddof 0) of the truth.
        nmae: mae over the mean of the truth.
        bias: mean of prediction minus truth.
    """

    n: int
    rmse: float
    mae: float
    r2: float | None
    nrmse: float | None
    nmae: float | None
    bias: float


def errors(truth: ArrayLike, predicted: ArrayLike) -> Errors:
    """All cases together.

    Args:
        truth, predicted: (n,), n ≥ 1, finite.

    Raises:
        ShapeError: of different length, empty, or not finite.

    >>> errors([0.0, 1.0], [0.0, 0.5]).mae
    0.25
    """
    known, said = aligned(truth, predicted)
    residual = said - known
    rmse, mae = float(np.sqrt(np.mean(residual**2))), float(np.mean(np.abs(residual)))
    spread, mean = float(known.std()), float(known.mean())
    return Errors(
        len(known), rmse, mae, 1 - rmse**2 / spread**2 if spread > 0 else None, rmse / spread if spread > 0 else None,
        mae / mean if mean > 0 else None, float(residual.mean()),
    )  # fmt: skip


def fold_mean(truth: ArrayLike, predicted: ArrayLike, fold: Sequence[Hashable]) -> Errors:
    """Mean of each error over the folds that have it, as papers print it; `n` counts all cases.

    The mean of R² over folds is not the R² of all cases, nor is it 1 − nrmse².

    Args:
        truth, predicted: (n,).
        fold: (n,) which fold each case was tested in.

    Raises:
        ShapeError: of different length, empty, or not finite.
    """
    known, said = aligned(truth, predicted)
    parts = [errors(known[rows], said[rows]) for rows in rows_by(fold, len(known)).values()]

    def mean(name: str) -> float | None:
        values = [value for part in parts if (value := getattr(part, name)) is not None]
        return float(np.mean(values)) if values else None

    values = {name: mean(name) for name in Errors._fields if name != "n"}
    return Errors(n=len(known), **values)  # type: ignore[arg-type]


def rows_by(group: Sequence[Hashable], n: int) -> dict[Hashable, NDArray[np.int64]]:
    """Which of n rows belong to each group, groups in the order in which they first come.

    Raises:
        ShapeError: not n entries.
    """
    if len(group) != n:
        raise ShapeError(f"wanted a group for each of {n} cases; got {len(group)}")
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(group):
        rows.setdefault(name, []).append(row)
    return {name: np.array(which, np.int64) for name, which in rows.items()}


def aligned(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as (n,) floats.

    Raises:
        ShapeError: of different length, empty, or not finite.
    """
    known, said = np.asarray(truth, float), np.asarray(predicted, float)
    if known.ndim != 1 or known.shape != said.shape or not len(known):
        raise ShapeError(f"wanted as many predictions as truths, at least one; got {said.shape} and {known.shape}")
    if not (np.isfinite(known).all() and np.isfinite(said).all()):
        raise ShapeError("truths and predictions are finite numbers; leave out cases that have none, and count them")
    return known, said
