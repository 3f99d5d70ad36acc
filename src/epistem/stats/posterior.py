"""What probabilities over classes are worth: how sure they are, how right, and which sets of classes cover the truth.

Posteriors are (n, K), each row from 0 to 1 with the sum 1; labels are (n,), the number of the true class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import entr, log_softmax, rel_entr, softmax

from epistem.core import Interval, SettingsError, ShapeError
from epistem.stats.calibration import expected_calibration_error
from epistem.stats.conformal import quantile_to_cover
from epistem.stats.intervals import binomial_interval
from epistem.stats.multiclass import as_classes

Floats = NDArray[np.float64]
SetMethod = Literal["LAC", "APS"]

_TEMPERATURES = (0.05, 20.0)


class LogLoss(NamedTuple):
    """Mean negative log likelihood of the true class, 0 or more, lower is better; inf if it was called impossible."""

    nats: float
    bits: float


class ReliabilityBin(NamedTuple):
    """Cases whose largest probability lies from `low` to `high`; None in an empty bin.

    Attributes:
        low, high: ends of the bin.
        n: cases in it.
        confidence: their mean largest probability.
        accuracy: share of them called rightly, with its binomial interval.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: Interval | None


def entropy_bits(posteriors: ArrayLike) -> Floats:
    """Entropy of each row, H = −Σ_c p_c·log₂ p_c; 0 (sure) to log₂ K (knows nothing), (n,) [bit].

    Args:
        posteriors: (n, K).

    Source: C. E. Shannon, Bell Syst. Tech. J. 27, 379 (1948).

    >>> entropy_bits([[0.5, 0.5], [1.0, 0.0]]).tolist()
    [1.0, 0.0]
    """
    bits: Floats = entr(checked(posteriors)).sum(1) / np.log(2)
    return bits


def mean_entropy_bits(posteriors: ArrayLike) -> float | None:
    """H̄ = (1/n)·Σ_i [−Σ_c p_ic·log₂ p_ic], mean over the rows [bit]; None without a row.

    Says how sure, not how right: print `log_loss` beside it.
    """
    rows = entropy_bits(posteriors)
    return float(rows.mean()) if len(rows) else None


def information_gain_bits(before: ArrayLike, after: ArrayLike) -> Floats:
    """Entropy lost from one posterior to the other, H(before) − H(after), (n,) [bit]; below 0 where it rose.

    Args:
        before, after: (n, K) of the same cases, such as without and with a variable.

    Source: D. V. Lindley, Ann. Math. Stat. 27, 986 (1956).
    """
    _same_cases(before, after)
    return entropy_bits(before) - entropy_bits(after)


def divergence_bits(before: ArrayLike, after: ArrayLike) -> Floats:
    """Kullback–Leibler divergence Σ_c p_after·log₂(p_after/p_before), (n,) [bit]; 0 or more, inf if ruled out before.

    What was learnt, also where the answer moved without growing surer.

    Args:
        before, after: (n, K) of the same cases.
    """
    _same_cases(before, after)
    bits: Floats = rel_entr(checked(after), checked(before)).sum(1) / np.log(2)
    return bits


def entropy_reduction(before: ArrayLike, after: ArrayLike) -> float | None:
    """1 − H̄(after)/H̄(before), up to 1; negative where it rose, None where there was no entropy before."""
    _same_cases(before, after)
    was, now = mean_entropy_bits(before), mean_entropy_bits(after)
    return None if not was or now is None else 1 - now / was


def log_loss(posteriors: ArrayLike, labels: ArrayLike) -> LogLoss | None:
    """−(1/n)·Σ_i ln p_i(true class), and the same over ln 2; None without a case.

    Args:
        posteriors: (n, K).
        labels: (n,) true classes.
    """
    p, y = _with_truth(posteriors, labels)
    if not len(p):
        return None
    with np.errstate(divide="ignore"):
        nats = float(-np.log(p[np.arange(len(p)), y]).mean()) + 0.0
    return LogLoss(nats, nats / float(np.log(2)))


def brier(posteriors: ArrayLike, labels: ArrayLike) -> float | None:
    """(1/n)·Σ_i Σ_c (p_ic − [c is true])², 0 to 2, lower is better; None without a case.

    Args:
        posteriors: (n, K).
        labels: (n,) true classes.

    Source: G. W. Brier, Mon. Weather Rev. 78, 1 (1950), eq. 2.

    >>> brier([[1.0, 0.0], [0.5, 0.5]], [0, 1])
    0.25
    """
    p, y = _with_truth(posteriors, labels)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean()) if len(p) else None


def calibration_error(posteriors: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float | None:
    """Expected calibration error of the largest probability, in bins of equal width; 0 to 1, lower is better.

    Args:
        posteriors: (n, K).
        labels: (n,) true classes.
        bins: of equal width.

    Source: Guo et al., ICML 2017, arXiv:1706.04599, eq. 3.
    """
    confidence, right = _top(posteriors, labels)
    return expected_calibration_error(confidence, right, bins=bins)


def equal_mass_calibration_error(posteriors: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float | None:
    """The same in bins between quantiles, which hold as many cases each where none are equal; None without a case.

    Source: Nixon et al., CVPR workshops 2019, arXiv:1904.01685 (adaptive binning).
    """
    confidence, right = _top(posteriors, labels)
    if bins < 1:
        raise SettingsError(f"wanted at least one bin, not {bins}")
    if not len(confidence):
        return None
    # Equal values share a bin: the order of the cases must not matter.
    which = np.searchsorted(np.quantile(confidence, np.arange(1, bins) / bins), confidence)
    gap = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def classwise_calibration_error(posteriors: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float | None:
    """Mean over the classes of the calibration error of each class's own probability; None without a case.

    Source: Kull et al., NeurIPS 2019, arXiv:1910.12656.
    """
    p, y = _with_truth(posteriors, labels)
    errors = [expected_calibration_error(p[:, c], y == c, bins=bins) for c in range(p.shape[1])]
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if known else None


def reliability_table(posteriors: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> list[ReliabilityBin]:
    """Confidence against accuracy, for a reliability diagram: the bins of `calibration_error`.

    Args:
        posteriors: (n, K).
        labels: (n,) true classes.
        bins: of equal width.
    """
    confidence, right = _top(posteriors, labels)
    if bins < 1:
        raise SettingsError(f"wanted at least one bin, not {bins}")
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for b in range(bins):
        mine = which == b
        n = int(mine.sum())
        mean = float(confidence[mine].mean()) if n else None
        rows.append(ReliabilityBin(b / bins, (b + 1) / bins, n, mean, binomial_interval(int(right[mine].sum()), n)))
    return rows


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The T by which logits are divided so that softmax(logits/T) has the least negative log likelihood.

    Args:
        logits: (n, K) finite.
        labels: (n,) true classes, of cases that were not trained on.

    Returns:
        T, above 1 where the network was too sure; held to 0.05…20, which it meets where every case is right.

    Raises:
        ShapeError: logits that are not (n, K) with one label each.
        SettingsError: no case, or logits that are not finite.

    Source: Guo et al., ICML 2017, arXiv:1706.04599, eq. 9.
    """
    z = _logits(logits)
    y = as_classes(labels, z.shape[1])
    if not len(z) or len(y) != len(z):
        raise ShapeError(f"wanted one label for each row of logits, at least one; got {len(y)} and {len(z)}")

    def loss(log_t: float) -> float:
        return float(-log_softmax(z / np.exp(log_t), axis=1)[np.arange(len(z)), y].mean())

    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def tempered(logits: ArrayLike, temperature: float) -> Floats:
    """softmax(logits/T), (n, K).

    Raises:
        SettingsError: T that is not positive, or logits that are not finite.
    """
    if not temperature > 0:
        raise SettingsError(f"a temperature is positive, not {temperature}")
    p: Floats = softmax(_logits(logits) / temperature, axis=1)
    return p


def adjusted_prior(posteriors: ArrayLike, train_prior: ArrayLike, target_prior: ArrayLike) -> Floats:
    """Posteriors as they would be had the classes been as frequent as `target_prior`: p·π_target/π_train, normalised.

    The same as adding log π_target − log π_train to the logits.

    Args:
        posteriors: (n, K) of a model trained at `train_prior`.
        train_prior: (K,) shares of the classes in training, all above 0.
        target_prior: (K,) shares where the model is used; 0 rules a class out.

    Raises:
        ShapeError: priors of another length.
        SettingsError: shares that are negative, without sum, 0 in training, or that rule out all a row allows.

    Source: M. Saerens, P. Latinne, C. Decaestecker, Neural Comput. 14, 21 (2002), eq. 2.4.

    >>> adjusted_prior([[0.5, 0.5]], [0.5, 0.5], [0.9, 0.1]).round(2).tolist()
    [[0.9, 0.1]]
    """
    p = checked(posteriors)
    train, target = _prior(train_prior, p.shape[1]), _prior(target_prior, p.shape[1])
    if not (train > 0).all():
        raise SettingsError(f"a class that was never trained on cannot be weighed up; training shares are {train}")
    weighted = p * (target / train)
    total = weighted.sum(1, keepdims=True)
    if not (total > 0).all():
        rows = int((total <= 0).sum())
        raise SettingsError(f"{rows} rows allow only classes that the target prior rules out; give these a share")
    adjusted: Floats = weighted / total
    return adjusted


@dataclass(frozen=True)
class PredictionSets:
    """Sets of classes that hold the truth with a stated probability, once fitted.

    P(true class in the set) ≥ `coverage`, on average over new cases that are exchangeable with those fitted on:
    the same materials, microscope and frequencies of classes. Not class by class, and not for another kind of image.

    ======  ===================================================  ========================================
    method  score of a class                                     sets
    ======  ===================================================  ========================================
    LAC     1 − p                                                smallest on average; one may be empty
    APS     sum of the probabilities from the largest down to p  wider where unsure; never empty
    ======  ===================================================  ========================================

    Attributes:
        method: LAC or APS.
        threshold: the largest score that is in; inf where too few cases were fitted on: then all classes are in.
        coverage: probability that a set holds the true class, 0 to 1.

    Source: Sadinle, Lei, Wasserman, J. Am. Stat. Assoc. 114, 223 (2019); Romano, Sesia, Candès, NeurIPS 2020,
    arXiv:2006.02544, without its randomisation, so that APS covers more than it promises.
    """

    method: SetMethod
    threshold: float
    coverage: float

    def sets(self, posteriors: ArrayLike) -> NDArray[np.bool_]:
        """Which classes are in, (n, K) bool."""
        p = checked(posteriors)
        # A score computed again may differ in its last digit.
        inside = _set_scores(p, self.method) <= self.threshold + 1e-12
        if self.method == "APS":
            inside[np.arange(len(p)), p.argmax(1)] = True
        return inside


def fit_sets(
    posteriors: ArrayLike, labels: ArrayLike, *, coverage: float = 0.9, method: SetMethod = "LAC"
) -> PredictionSets:
    """Split-conformal prediction sets from cases that the model was not trained on.

    Args:
        posteriors: (n, K).
        labels: (n,) true classes.
        coverage: probability that a set holds the true class, 0 to 1.
        method: LAC (smallest sets) or APS (wider for the harder cases).

    Raises:
        SettingsError: coverage outside 0 to 1, or an unknown method.
    """
    if method not in ("LAC", "APS"):
        raise SettingsError(f"sets are made by LAC or APS, not {method!r}")
    p, y = _with_truth(posteriors, labels)
    scores = _set_scores(p, method)[np.arange(len(p)), y]
    return PredictionSets(method, quantile_to_cover(scores, coverage), coverage)


def checked(posteriors: ArrayLike) -> Floats:
    """Posteriors as (n, K) float64.

    Raises:
        ShapeError: not (n, K).
        SettingsError: rows that are not probabilities with the sum 1, to within 1e-6.
    """
    p = np.asarray(posteriors, float)
    if p.ndim != 2 or not p.shape[1]:
        raise ShapeError(f"posteriors are (n, K), not {p.shape}")
    with np.errstate(invalid="ignore"):
        good = (p >= 0).all(1) & (np.abs(p.sum(1) - 1) < 1e-6)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise SettingsError(f"{(~good).sum()} rows are not probabilities with the sum 1; row {i} is {p[i]}")
    return p


def _with_truth(posteriors: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    p = checked(posteriors)
    y = as_classes(labels, p.shape[1])
    if len(y) != len(p):
        raise ShapeError(f"wanted one label for each posterior, got {len(y)} and {len(p)}")
    return p, y


def _same_cases(before: ArrayLike, after: ArrayLike) -> None:
    if np.shape(before) != np.shape(after):
        raise ShapeError(f"wanted two posteriors of the same cases, got {np.shape(before)} and {np.shape(after)}")


def _top(posteriors: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    p, y = _with_truth(posteriors, labels)
    return np.minimum(p.max(1), 1.0), p.argmax(1) == y


def _logits(logits: ArrayLike) -> Floats:
    z = np.asarray(logits, float)
    if z.ndim != 2 or not z.shape[1]:
        raise ShapeError(f"logits are (n, K), not {z.shape}")
    if not np.isfinite(z).all():
        raise SettingsError(f"{int((~np.isfinite(z)).sum())} of {z.size} logits are not finite")
    return z


def _prior(shares: ArrayLike, classes: int) -> Floats:
    prior = np.array(shares, float)
    if prior.shape != (classes,):
        raise ShapeError(f"wanted a share for each of {classes} classes, got {prior.shape}")
    if not ((prior >= 0).all() and np.isfinite(prior).all() and prior.sum() > 0):
        raise SettingsError(f"shares of classes are 0 or more and not all 0, not {prior}")
    prior /= prior.sum()
    return prior


def _set_scores(p: Floats, method: SetMethod) -> Floats:
    """Of every class of every case, (n, K)."""
    scores: Floats = 1 - p
    if method == "APS":
        order = np.argsort(-p, axis=1, kind="stable")
        np.put_along_axis(scores, order, np.cumsum(np.take_along_axis(p, order, 1), axis=1), 1)
    return scores
