"""Scores that mean what they say: from a network's logits to probabilities, and how far off those are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from epistem.core import SettingsError


class Platt(NamedTuple):
    """Probability = σ(scale·logit + shift)."""

    scale: float
    shift: float


def platt(logits: ArrayLike, right: ArrayLike) -> Platt:
    """Scale and shift by which logits become the probability of being right.

    Args:
        logits: (n,) any finite numbers, higher is surer.
        right: (n,) bool.

    Raises:
        SettingsError: not one right and one wrong, no finite logits, or the higher logits are not the righter ones.

    Source: Platt, Advances in Large Margin Classifiers (1999) 61, with its targets (N₊+1)/(N₊+2) and 1/(N₋+2): they
    keep the scale finite where one logit separates right from wrong.
    """
    x, y = _aligned(logits, right)
    n_right, n_wrong = int(y.sum()), int((~y).sum())
    if not n_right or not n_wrong or not np.isfinite(x).all():
        raise SettingsError(
            f"calibration needs right and wrong objects with finite logits; {n_right} right and {n_wrong} wrong came"
        )
    middle, spread = float(x.mean()), float(x.std())
    design = np.stack([(x - middle) / (spread or 1.0), np.ones(len(x))], axis=1)
    target = np.where(y, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    scale, shift = _logistic_regression(design, target)
    scale /= spread or 1.0
    if not scale > 0:
        raise SettingsError("higher logits are not more often right: there is nothing to calibrate, train for longer")
    return Platt(scale, shift - scale * middle)


def expected_calibration_error(scores: ArrayLike, right: ArrayLike, *, bins: int = 15) -> float | None:
    """How far scores lie from the share that is right, 0 to 1, lower is better; None without a score.

    Args:
        scores: (n,) 0 to 1.
        right: (n,) bool.
        bins: of equal width; in each, the mean score is held against the share that is right.

    Raises:
        SettingsError: scores outside 0 to 1, or no bin.

    Source: Guo et al., ICML 2017, arXiv:1706.04599, eq. 3.

    >>> round(expected_calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, False, False]), 3)
    0.4
    """
    p, y = _aligned(scores, right)
    if bins < 1 or not ((p >= 0) & (p <= 1)).all():
        raise SettingsError(f"wanted scores from 0 to 1 and at least one bin, got {bins} bins and {p}")
    if not len(p):
        return None
    which = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.bincount(which, weights=p - y, minlength=bins)
    return float(np.abs(gap).sum() / len(p))


def _aligned(values: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    x, y = np.asarray(values, float), np.asarray(right, bool)
    if x.ndim != 1 or x.shape != y.shape:
        raise SettingsError(f"wanted as many values as answers, got {x.shape} and {y.shape}")
    return x, y


def _logistic_regression(design: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """The two parameters of least cross-entropy; convex, so there is one minimum."""

    def loss(p: NDArray[np.float64]) -> float:
        z = design @ p
        return float(np.mean(np.logaddexp(0, z) - target * z))

    def slope(p: NDArray[np.float64]) -> NDArray[np.float64]:
        gradient: NDArray[np.float64] = design.T @ (expit(design @ p) - target) / len(target)
        return gradient

    def bend(p: NDArray[np.float64]) -> NDArray[np.float64]:
        q = expit(design @ p)
        hessian: NDArray[np.float64] = (design * (q * (1 - q))[:, None]).T @ design / len(target)
        return hessian

    found = minimize(loss, np.zeros(2), method="trust-exact", jac=slope, hess=bend, options={"gtol": 1e-9})
    scale, shift = found.x
    return float(scale), float(shift)
