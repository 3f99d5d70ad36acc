"""How far raters agree beyond chance.

Two raters: from a (k, k) table of counts, what the first said (rows) by what the second said (columns). Any number of
raters: from ratings (n, raters), the number of the class each gave each unit, NaN where one did not say.

==================  =========================================================================================
Cohen κ             two raters; 1 alike, 0 as chance would have it with each rater's own frequencies
PABAK               the same if every class were equally frequent: κ falls where one class is rare, this does not
Fleiss κ            several raters, each unit rated by all
Krippendorff α      several raters, gaps allowed; classes without order, in order, or numbers
==================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval, SettingsError, ShapeError
from epistem.stats.multiclass import accuracy, confusion_matrix, square
from epistem.stats.resample import percentile_interval

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]

_DRAWS = 1000
_BANDS = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"), (np.inf, "almost perfect"))


def pair_table(first: ArrayLike, second: ArrayLike, *, classes: int) -> NDArray[np.int64]:
    """What the first rater said (rows) by what the second said (columns), (classes, classes).

    Args:
        first, second: (n,) class numbers; NaN where one did not say, which leaves the unit out.
        classes: how many classes there are.

    Raises:
        ShapeError: of different length.
        SettingsError: numbers that are not one of the classes.

    >>> pair_table([0, 1, np.nan], [0, 0, 1], classes=2).tolist()
    [[1, 0], [1, 0]]
    """
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape:
        raise ShapeError(f"two raters rate the same units; got {one.shape} and {other.shape} ratings")
    both = ~np.isnan(one) & ~np.isnan(other)
    return confusion_matrix(one[both], other[both], classes=classes)


def observed_agreement(table: ArrayLike) -> float | None:
    """Share of units on which both said the same, 0 to 1; None without a unit."""
    return accuracy(table)


def cohen_kappa(table: ArrayLike, *, weights: Literal["none", "quadratic"] = "none") -> float | None:
    """κ = (p_o − p_e)/(1 − p_e), −1 to 1, higher is better; None without a unit or where chance alone agrees fully.

    Args:
        table: (k, k) counts.
        weights: none, every disagreement is one; quadratic, it grows with the squared distance of the classes,
            which must then be in order.

    Raises:
        ShapeError: the table is not square.
        SettingsError: weights of another name.

    Source: J. Cohen, Educ. Psychol. Meas. 20, 37 (1960); weighted: Psychol. Bull. 70, 213 (1968).

    >>> round(cohen_kappa([[20, 5], [10, 15]]), 3)
    0.4
    """
    if weights not in ("none", "quadratic"):
        raise SettingsError(f"disagreements are weighted none or quadratic, not {weights!r}")
    counts = square(table)
    n, k = counts.sum(), np.arange(len(counts))
    far = (k[:, None] - k) ** 2 if weights == "quadratic" else k[:, None] != k
    by_chance = (np.outer(counts.sum(1), counts.sum(0)) * far).sum()  # n² times the share
    return float(1 - (counts * far).sum() * n / by_chance) if by_chance else None


def pabak(table: ArrayLike) -> float | None:
    """Prevalence- and bias-adjusted κ, (k·p_o − 1)/(k − 1); None without a unit or with one class only.

    Args:
        table: (k, k) counts.

    Source: T. Byrt, J. Bishop, J. B. Carlin, J. Clin. Epidemiol. 46, 423 (1993); k classes: Brennan, Prediger 1981.
    """
    alike, k = observed_agreement(table), len(square(table))
    return None if alike is None or k < 2 else (k * alike - 1) / (k - 1)


def prevalence_index(table: ArrayLike) -> Floats | None:
    """For each class against the rest: (both said it − neither did)/n, −1 (never) to 1 (always), (k,).

    κ is low however well raters agree where this is far from 0. None without a unit.

    Source: Byrt et al., 1993, of whose two classes these are both signs.
    """
    counts = square(table)
    n = counts.sum()
    neither = n - counts.sum(1) - counts.sum(0) + np.diag(counts)
    return (np.diag(counts) - neither) / n if n else None


def bias_index(table: ArrayLike) -> Floats | None:
    """For each class: how much oftener the first rater says it than the second, as share of n, −1 to 1, (k,).

    None without a unit.

    Source: Byrt et al., 1993, with its sign.
    """
    counts = square(table)
    n = counts.sum()
    return (counts.sum(1) - counts.sum(0)) / n if n else None


def fleiss_kappa(ratings: ArrayLike, *, classes: int) -> float | None:
    """κ of several raters, −1 to 1, over the units that all of them rated.

    Args:
        ratings: (n, raters) class numbers, NaN where one did not say.
        classes: how many classes there are.

    Returns:
        None with fewer than two raters, no unit rated by all, or one class used throughout.

    Raises:
        ShapeError: not a table. SettingsError: numbers that are not one of the classes.

    Source: J. L. Fleiss, Psychol. Bull. 76, 378 (1971).
    """
    table = _table(ratings)
    rated = table[~np.isnan(table).any(1)]
    raters = table.shape[1]
    if not np.isin(rated, np.arange(classes)).all():
        raise SettingsError(f"ratings are whole numbers from 0 to {classes - 1}, got {np.unique(rated)}")
    votes = _votes(rated, np.arange(classes))
    if raters < 2 or not len(votes):
        return None
    alike = ((votes**2).sum(1) - raters).mean() / (raters * (raters - 1))
    by_chance = ((votes.sum(0) / votes.sum()) ** 2).sum()
    return float((alike - by_chance) / (1 - by_chance)) if by_chance < 1 else None


def krippendorff_alpha(ratings: ArrayLike, *, level: Level = "nominal") -> float | None:
    """α = 1 − D_o/D_e, up to 1, higher is better; 0 as chance would have it. Any raters, gaps allowed.

    Args:
        ratings: (n, raters) values, NaN where one did not say; units with fewer than two ratings say nothing.
        level: nominal, classes without order; ordinal, in order; interval, numbers.

    Returns:
        None where no unit has two ratings, or all ratings are alike.

    Raises:
        ShapeError: not a table. SettingsError: another level.

    Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
    """
    table = _table(ratings)
    table = table[(~np.isnan(table)).sum(1) >= 2]
    values = np.unique(table[~np.isnan(table)])
    votes = _votes(table, values)
    shares = votes / (votes.sum(1) - 1)[:, None]
    pairs = shares.T @ votes - np.diag(shares.sum(0))  # none with itself
    total = pairs.sum(1)
    far = _distance(values, total, level)
    by_chance = (np.outer(total, total) * far).sum()
    return float(1 - (total.sum() - 1) * (pairs * far).sum() / by_chance) if by_chance else None


def landis_koch(kappa: float) -> str:
    """The customary word for a κ: poor (below 0), slight, fair, moderate, substantial, almost perfect (above 0.8).

    Source: J. R. Landis, G. G. Koch, Biometrics 33, 159 (1977).

    >>> landis_koch(0.4), landis_koch(0.81)
    ('fair', 'almost perfect')
    """
    return "poor" if kappa < 0 else next(word for top, word in _BANDS if kappa <= top)


def block_interval(
    ratings: ArrayLike,
    blocks: Sequence[Hashable],
    statistic: Callable[[Floats], float | None],
    *,
    seed: int = 0,
    coverage: float = 0.9,
    draws: int = _DRAWS,
) -> Interval | None:
    """Interval of a measure of agreement when units of one block, such as neighbouring columns, are alike.

    Whole blocks are drawn again, with all their units: in `stats.resample.cluster_bootstrap` units are drawn as well.
    Draws in which the measure is undefined are left out.

    Args:
        ratings: (n, raters), NaN where one did not say.
        blocks: (n,) to which block each unit belongs.
        statistic: of such ratings; None where it is undefined.
        seed: same seed, same interval.
        coverage: probability that the interval holds the truth, 0 to 1.
        draws: how many samples are drawn.

    Returns:
        None with fewer than two blocks, where the measure is undefined, or where it is in most draws.

    Raises:
        ShapeError: not one block for each unit.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, § 3.8 (strategy 1).
    """
    table = _table(ratings)
    if len(blocks) != len(table):
        raise ShapeError(f"wanted a block for each of {len(table)} units, got {len(blocks)}")
    of_block: dict[Hashable, list[int]] = {}
    for unit, block in enumerate(blocks):
        of_block.setdefault(block, []).append(unit)
    units = [np.array(one) for one in of_block.values()]
    value = statistic(table)
    if len(units) < 2 or value is None:
        return None
    rng = np.random.default_rng(seed)
    samples = (rng.integers(0, len(units), len(units)) for _ in range(draws))
    drawn = [statistic(table[np.concatenate([units[b] for b in sample])]) for sample in samples]
    known = np.array([one for one in drawn if one is not None])
    return percentile_interval(value, known, coverage=coverage) if 2 * len(known) > draws else None


def _table(ratings: ArrayLike) -> Floats:
    table = np.asarray(ratings, float)
    if table.ndim != 2:
        raise ShapeError(f"ratings are (units, raters), not {table.shape}")
    return table


def _votes(table: Floats, values: NDArray[Any]) -> Floats:
    """How many raters gave each unit each value, (n, values)."""
    # Raters are few: summed along the units, it is four times faster.
    by_rater = np.ascontiguousarray(table.T)
    return np.array([(by_rater == value).sum(0) for value in values], float).reshape(len(values), len(table)).T


def _distance(values: Floats, total: Floats, level: Level) -> Floats:
    """Squared difference of each two values, (values, values)."""
    if level not in ("nominal", "ordinal", "interval"):
        raise SettingsError(f"ratings are nominal, ordinal or interval, not {level!r}")
    # Ordinal: Σ of the ratings from one value to the other, each end counted half.
    place = np.cumsum(total) - total / 2 if level == "ordinal" else values
    far: Floats = np.square(place[:, None] - place)
    return np.sign(far) if level == "nominal" else far
