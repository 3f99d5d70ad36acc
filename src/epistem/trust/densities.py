"""Densities of points, fitted once; each is a few arrays, and a higher score is more typical."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.svm import OneClassSVM

from epistem.stats.prdc import neighbour_distance

Floats = NDArray[np.float64]

NEIGHBOURS = 5
_ROWS = 256  # scored at once
LEAST_VARIANCE = 1e-4
"""Of a Gaussian in any direction."""
_LEAST_SPREAD = 1e-3  # of the widest feature's


class Density(Protocol):
    """What a detector is; its attributes are all arrays."""

    def score(self, x: Floats) -> Floats:
        """Of m points (m, d), (m,); higher is more typical."""

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """From n points (n, d)."""


@dataclass(frozen=True)
class Mixture:
    """Gaussians: log shares (c,), means (c, d), Cholesky factors of the precisions (c, d, d)."""

    log_share: Floats
    mean: Floats
    root: Floats

    def score(self, x: Floats) -> Floats:
        """Log density, (m,)."""
        log = [
            share - 0.5 * (((x - mean) @ root) ** 2).sum(axis=1) + np.log(np.diag(root)).sum()
            for share, mean, root in zip(self.log_share, self.mean, self.root, strict=True)
        ]
        total: Floats = logsumexp(log, axis=0) - 0.5 * x.shape[1] * np.log(2 * np.pi)
        return total

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """The number of Gaussians, 1, 2, 4… to a twentieth of the points, by BIC."""
        counts = [2**i for i in range(20) if 2**i <= max(1, len(x) // 20)]
        best = min((mixture(x, n, seed, reg_covar=LEAST_VARIANCE) for n in counts), key=lambda one: one.bic(x))
        return cls(np.log(best.weights_), best.means_, best.precisions_cholesky_)


@dataclass(frozen=True)
class Kernels:
    """One Gaussian a point (n, d), all of one width: `root` (d, d) makes it round."""

    points: Floats
    root: Floats

    def score(self, x: Floats) -> Floats:
        """Log density, (m,), but for a constant."""
        rows = [logsumexp(-0.5 * _squared(one @ self.root, self.points @ self.root), axis=1) for one in _parts(x)]
        return np.concatenate(rows)

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """Of Scott's width."""
        # The least variance stands in for a jitter of columns that are 0 or 1.
        scott = len(x) ** (-1 / (x.shape[1] + 4))
        width = scott**2 * np.cov(x.T) + LEAST_VARIANCE * np.eye(x.shape[1])
        return cls(x, np.linalg.cholesky(np.linalg.inv(width)))


@dataclass(frozen=True)
class Boundary:
    """A one-class support vector machine: vectors (s, d) in units (d,), weights (s,), offset, kernel width."""

    vectors: Floats
    weight: Floats
    offset: Floats
    gamma: Floats
    unit: Floats

    def score(self, x: Floats) -> Floats:
        """Positive inside, (m,)."""
        rows = [np.exp(-self.gamma * _squared(one / self.unit, self.vectors)) @ self.weight for one in _parts(x)]
        return np.concatenate(rows) + self.offset

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """With ν = 0.1: the threshold comes from items set aside, not from ν."""
        spread = x.std(axis=0)
        unit = np.where(spread > 0, spread, 1.0)
        fitted = OneClassSVM(nu=0.1, gamma="auto").fit(x / unit)
        gamma = np.array(1 / x.shape[1])
        return cls(fitted.support_vectors_, fitted.dual_coef_[0], fitted.intercept_[0], gamma, unit)


@dataclass(frozen=True)
class Neighbours:
    """Points (n, d) of which the `NEIGHBOURS`-th nearest counts."""

    points: Floats

    def score(self, x: Floats) -> Floats:
        """Less the distance, (m,). Source: Sun et al., ICML 2022."""
        score: Floats = -neighbour_distance(x, self.points, k=NEIGHBOURS).astype(float)
        return score

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """All of them."""
        return cls(x)


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and Cholesky factor of the precision (d, d)."""

    mean: Floats
    root: Floats

    def score(self, x: Floats) -> Floats:
        """Less Mahalanobis' distance, (m,). Source: Lee et al., NeurIPS 2018, with one class."""
        score: Floats = -np.sqrt((((x - self.mean) @ self.root) ** 2).sum(axis=1))
        return score

    @classmethod
    def fit(cls, x: Floats, seed: int) -> Self:
        """The covariance is shrunk: there may be fewer items than features. Source: Ledoit, Wolf (2004)."""
        wide = ledoit_wolf(x)[0] + 1e-9 * np.eye(x.shape[1])
        return cls(x.mean(axis=0), np.linalg.cholesky(np.linalg.inv(wide)))


@dataclass(frozen=True)
class Whitening:
    """Centre (D,) and matrix (D, D) after which the features of a reference are of one spread and uncorrelated."""

    centre: Floats
    root: Floats

    def __call__(self, x: Floats) -> Floats:
        """Of m items (m, D), as many."""
        white: Floats = (x - self.centre) @ self.root
        return white

    @classmethod
    def fit(cls, x: Floats) -> Self:
        """From n items (n, D); the covariance is shrunk, so n may be smaller than D."""
        centre, spread = x.mean(axis=0), x.std(axis=0)
        # What hardly varies is not trusted to be that narrow.
        unit = np.maximum(spread, _LEAST_SPREAD * spread.max()) if spread.any() else np.ones_like(spread)
        wide = ledoit_wolf((x - centre) / unit)[0] + LEAST_VARIANCE * np.eye(x.shape[1])
        return cls(centre, np.linalg.cholesky(np.linalg.inv(wide)) / unit[:, None])


def mixture(x: Floats, n: int, seed: int, *, reg_covar: float = 1e-6) -> GaussianMixture:
    """n Gaussians with full covariances; one that has not settled is judged by its likelihood all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(n, covariance_type="full", reg_covar=reg_covar, random_state=seed).fit(x)


def _parts(x: Floats) -> Iterator[Floats]:
    for start in range(0, max(len(x), 1), _ROWS):
        yield x[start : start + _ROWS]


def _squared(a: Floats, b: Floats) -> Floats:
    squared: Floats = cdist(a, b, "sqeuclidean")
    return squared
