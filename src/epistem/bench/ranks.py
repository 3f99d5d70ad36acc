"""Rankings of models over datasets, and whether they differ by more than the chance of seeds and images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from epistem.bench.compare import Scores
from epistem.core import Interval, SettingsError
from epistem.stats.resample import percentile_interval

Floats = NDArray[np.float64]
What = Literal["winner", "ranking"]
# 7! orders of seven models are looked at in about a second; 8! would take ten times the memory.
_MOST_MODELS = 7


@dataclass(frozen=True, eq=False)
class MeanRanks:
    """What a critical-difference diagram shows.

    Attributes:
        table: columns model, rank (mean over datasets, 1 is best), low, high (noise of seeds and images, for these
            datasets), coverage; best first.
        critical_difference: mean ranks further apart than this differ, for datasets drawn from those of the kind.
        alpha: chance of any false alarm among the pairs.
        p: that all models rank alike (Friedman, after Iman and Davenport).
        alike: the bars of the diagram: models, best first, none of which differ.
        datasets: how many.
        left_out: models that are not on all of them.
    """

    table: pd.DataFrame
    critical_difference: float
    alpha: float
    p: float
    alike: tuple[tuple[str, ...], ...]
    datasets: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ContextTest:
    """Does the dataset change the winner (or the ranking), beyond the chance of seeds and images?

    Attributes:
        what: winner or ranking.
        p: chance, at most, of a misfit this large if one winner (ranking) held in all datasets.
        misfit: squared distance of the means to the nearest ones with a common winner (ranking), in units of noise.
        common: the winner, or all models best first, that fits all datasets best.
        own: the same of each dataset by itself.
        disagreement: share of pairs of datasets with another winner (of pairs of models in another order), 0 to 1.
        by_chance: the same if the nearest means with a common one were true and seeds and images made the rest, with
            its interval. Where models change places these are ties, which chance breaks either way: `p` knows by how
            much they change places, this does not.
        models, left_out: those on all datasets, and those not.
    """

    what: What
    p: float
    misfit: float
    common: tuple[str, ...]
    own: dict[str, tuple[str, ...]]
    disagreement: float
    by_chance: Interval
    models: tuple[str, ...]
    left_out: tuple[str, ...]


def mean_ranks(scores: Scores, *, alpha: float = 0.05) -> MeanRanks:
    """Mean ranks over datasets, with Nemenyi's critical difference q·√(k(k + 1)/(6N)), k models and N datasets.

    Args:
        scores: of `compare.gather`.
        alpha: chance of any false alarm, 0 to 1.

    Raises:
        SettingsError: fewer than two datasets, or than two models that are on all.

    Source: J. Demšar, J. Mach. Learn. Res. 7, 1 (2006), § 3.2.2.
    """
    models, left_out, means, noise = _common(scores)
    n, k = means.shape
    ranks = stats.rankdata(-scores.sign * means, axis=1).mean(0)
    table = pd.DataFrame({"model": models, "rank": ranks, "low": np.nan, "high": np.nan, "coverage": scores.coverage})
    if noise is not None:
        drawn = stats.rankdata(-scores.sign * (means[:, None] + noise), axis=2).mean(0)
        ends = [percentile_interval(float(r), drawn[:, i], coverage=scores.coverage) for i, r in enumerate(ranks)]
        table["low"], table["high"] = [end.low for end in ends], [end.high for end in ends]
    table = table.sort_values(["rank", "model"], ignore_index=True)
    apart = float(stats.studentized_range.isf(alpha, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))
    alike = _bars(table["model"].tolist(), table["rank"].to_numpy(), apart)
    return MeanRanks(table, apart, alpha, _friedman(ranks, n), alike, n, left_out)


def rank_agreement(scores: Scores) -> pd.DataFrame:
    """Kendall's τ_b of the models' means for every two datasets, 1 (same order) to −1 (reversed).

    The draws carry the noise of the data once more, so the interval leans towards 0; whether two rankings differ is
    the question of `context_test`.

    Returns:
        Columns dataset_a, dataset_b, tau, low, high, coverage, models (in both). NaN where fewer than two models are
        in both or all are tied; low and high with one group.
    """
    rows = []
    for a, b in combinations(scores.datasets, 2):
        both = [model for model in a.models if model in b.models]
        of_a, of_b = [a.models.index(m) for m in both], [b.models.index(m) for m in both]
        tau = float(_tau(a.mean[of_a], b.mean[of_b]))
        low = high = np.nan
        if a.noise is not None and b.noise is not None and np.isfinite(tau):
            drawn = _tau((a.mean + a.noise)[:, of_a], (b.mean + b.noise)[:, of_b])
            interval = percentile_interval(tau, drawn[np.isfinite(drawn)], coverage=scores.coverage)
            low, high = interval.low, interval.high
        rows.append([a.name, b.name, tau, low, high, scores.coverage, len(both)])
    return pd.DataFrame(rows, columns=["dataset_a", "dataset_b", "tau", "low", "high", "coverage", "models"])


def context_test(scores: Scores, what: What = "winner") -> ContextTest:
    """Whether datasets disagree on the winner (the ranking) by more than seeds and images alone would make them.

    Null: one model m has the highest true mean in every dataset d, µ_dm ≥ µ_dk for all k (ranking: one order of the
    models holds in every dataset). By how much may differ from dataset to dataset; that is no change of winner.

    With y_d the means, s_d the standard deviation of their noise e_d, and C_m the set of means that m wins,

        Q = min over m of Σ_d dist²(y_d, C_m)/s_d²        p = P(Σ_d dist²(e_d, C_m̂)/s_d² ≥ Q)

    C_m is a convex cone, so for any µ in it dist(µ + e, C_m) ≤ dist(e, C_m), and the minimum is at most the term of
    the true m: where models are equally noisy p is too large rather than too small, whatever their true gaps (in
    120 studies of true ties none had p < 0.05; where two of four datasets had another winner by 3.7 standard
    deviations of a difference, 4 of 5 had). For two models Q is Gail and Simon's statistic of a qualitative
    interaction.

    Args:
        scores: of `compare.gather`; crossed, where seeds are to count as chance.
        what: winner: only who is best; ranking: the order of all, of at most seven models.

    Raises:
        SettingsError: fewer than two datasets, or than two models that are on all; a dataset with one group; a
            ranking of more than seven.

    Source: M. Gail, R. Simon, Biometrics 41, 361 (1985); for more than two models our own.
    """
    models, left_out, means, noise = _common(scores)
    k = len(models)
    if noise is None:
        lone = [one.name for one in scores.datasets if one.noise is None]
        raise SettingsError(f"chance is unknown for {', '.join(lone)}: images of one group; leave out, or add groups")
    if what not in ("winner", "ranking") or (what == "ranking" and k > _MOST_MODELS):
        raise SettingsError(f"what is winner, or ranking for up to {_MOST_MODELS} models; got {what!r} for {k}")
    fit = _fit_winner if what == "winner" else _fit_order
    scale = np.sqrt(((noise - noise.mean(2, keepdims=True)) ** 2).mean((1, 2)) * k / (k - 1))
    unit = np.where(scale > 0, scale, 1.0)[:, None]
    y, e = scores.sign * means / unit, scores.sign * noise / unit[:, None]
    orders = [(m,) for m in range(k)] if what == "winner" else list(permutations(range(k)))
    misfits = [float(((y - fit(y, order)) ** 2).sum()) for order in orders]
    best = orders[int(np.argmin(misfits))]
    chance = ((e - fit(e, best)) ** 2).sum((0, 2))
    p = (1 + (chance >= min(misfits) - 1e-9).sum()) / (1 + len(chance))
    seen = float(_disagreement(y[:, None], what)[0])
    drawn = _disagreement(fit(y, best)[:, None] + e, what)
    low, high = np.quantile(drawn, [(1 - scores.coverage) / 2, (1 + scores.coverage) / 2])
    expected = float(drawn.mean())
    firsts = [tuple(models[m] for m in np.argsort(-row, kind="stable")[: len(best)]) for row in y]
    return ContextTest(
        what,
        float(p),
        min(misfits),
        tuple(models[m] for m in best),
        dict(zip((one.name for one in scores.datasets), firsts, strict=True)),
        seen,
        Interval(min(float(low), expected), expected, max(float(high), expected), scores.coverage),
        tuple(models),
        left_out,
    )


def _common(scores: Scores) -> tuple[list[str], tuple[str, ...], Floats, Floats | None]:
    """Models on all datasets, those not, means (N, k) and noise (N, draws, k)."""
    every = sorted({model for one in scores.datasets for model in one.models})
    models = [model for model in every if all(model in one.models for one in scores.datasets)]
    if len(scores.datasets) < 2 or len(models) < 2:
        raise SettingsError(
            f"rankings are compared over two datasets and two models that are on all; got {len(scores.datasets)} and "
            f"{len(models)} of {len(every)}"
        )
    at = [[one.models.index(model) for model in models] for one in scores.datasets]
    means = np.stack([one.mean[i] for one, i in zip(scores.datasets, at, strict=True)])
    noises = [one.noise[:, i] for one, i in zip(scores.datasets, at, strict=True) if one.noise is not None]
    noise = np.stack(noises) if len(noises) == len(means) else None
    return models, tuple(model for model in every if model not in models), means, noise


def _friedman(ranks: Floats, n: int) -> float:
    k = len(ranks)
    chi2 = 12 * n / (k * (k + 1)) * (float((ranks**2).sum()) - k * (k + 1) ** 2 / 4)
    left = n * (k - 1) - chi2
    # All datasets agree to the last place: no finite F, and nothing chance could do better.
    return float(stats.f.sf((n - 1) * chi2 / left, k - 1, (k - 1) * (n - 1))) if left > 1e-9 else 0.0


def _bars(models: list[str], ranks: Floats, apart: float) -> tuple[tuple[str, ...], ...]:
    """Longest runs of models, best first, whose ends are not further apart than the critical difference."""
    ends = np.searchsorted(ranks, ranks + apart, side="right")
    runs = [(i, int(end)) for i, end in enumerate(ends) if i == 0 or end > ends[i - 1]]
    return tuple(tuple(models[i:end]) for i, end in runs if end - i > 1)


def _tau(a: Floats, b: Floats) -> Floats:
    i, j = np.triu_indices(a.shape[-1], 1)
    x, y = np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j])
    untied = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    tau: Floats = np.divide((x * y).sum(-1), untied, out=np.full(untied.shape, np.nan), where=untied > 0)
    return tau


def _disagreement(y: Floats, what: What) -> Floats:
    """Of (N, draws, k) means: mean over pairs of datasets, shape (draws,)."""
    pairs = list(combinations(range(len(y)), 2))
    if what == "winner":
        first = y.argmax(-1)
        return np.asarray(np.mean([first[a] != first[b] for a, b in pairs], 0))
    i, j = np.triu_indices(y.shape[-1], 1)
    above = np.sign(y[..., i] - y[..., j])
    return np.asarray(np.mean([(above[a] * above[b] < 0).mean(-1) for a, b in pairs], 0))


def _fit_winner(y: Floats, order: tuple[int, ...]) -> Floats:
    """Nearest means (…, k) in which the one named is highest: pooled with those above it, from the highest down."""
    winner = y[..., list(order)]
    others = -np.sort(-np.delete(y, order, -1), -1)
    running = np.cumsum(np.concatenate([winner, others], -1), -1) / np.arange(1, y.shape[-1] + 1)
    top = running.max(-1, keepdims=True)
    fitted: Floats = np.minimum(y, top)
    fitted[..., list(order)] = top
    return fitted


def _fit_order(y: Floats, order: tuple[int, ...]) -> Floats:
    """Nearest means (…, k) that fall in the order given: isotonic regression by its min–max formula.

    Source: R. E. Barlow et al., Statistical Inference under Order Restrictions, 1972, eq. 1.9.
    """
    k = y.shape[-1]
    total = np.concatenate([np.zeros((*y.shape[:-1], 1)), np.cumsum(y[..., list(order)], -1)], -1)
    fitted = np.empty(y.shape)
    for place, model in enumerate(order):
        # Mean from a to b for every a up to this place and every b from it on.
        first, last = np.arange(place + 1), np.arange(place + 1, k + 1)
        windows = (total[..., None, last] - total[..., first, None]) / (last - first[:, None])
        fitted[..., model] = windows.max(-1).min(-1)
    return fitted
