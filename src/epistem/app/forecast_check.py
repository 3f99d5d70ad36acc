"""Forecasts against the truth: of a fitted model, or of models fitted inside the folds of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from epistem.core import Interval, SettingsError
from epistem.stats.conformal import Band, share_covered
from epistem.stats.regression import errors
from epistem.stats.resample import bootstrap_interval, percentile_interval
from epistem.trust.cases import GROUPS, Cases
from epistem.trust.forecast import TARGETS, Expected, Forecaster, How
from epistem.trust.protocols import PROTOCOLS, Fold, from_cases, from_table, mae_ratio, out_of_fold
from epistem.trust.published import PublishedForecast, published_table

_DRAWS = 1000
Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
Step = Callable[[int, int], None]
"""Is told how many parts of the work are done, of how many."""


class Judged(NamedTuple):
    """Forecasts against the truth.

    Attributes:
        n: cases with both.
        left_out: cases that lack one of them.
        mae: mean absolute error; lower is better. Its interval is for other cases like these.
        rmse, r2: see `stats.regression`; None where they cannot be computed.
        spearman: rank correlation, −1 to 1, higher is better; None where not asked for.
        coverage: share of truths inside their intervals, with its binomial interval; None without intervals.
    """

    n: int
    left_out: int
    mae: Interval | None = None
    rmse: float | None = None
    r2: float | None = None
    spearman: Interval | None = None
    coverage: Interval | None = None


def judge(truth: Floats, expected: Expected, *, rank: bool = False) -> Judged:
    """Errors of the cases that have a truth and a forecast; nothing but their number where there are fewer than two.

    Args:
        truth: (n,) NaN where not known.
        expected: of the same cases.
        rank: whether to correlate ranks too, which takes long.
    """
    known = np.isfinite(truth) & np.isfinite(expected.value)
    n, left_out = int(known.sum()), int((~known).sum())
    if n < 2:
        return Judged(n, left_out)
    true, said = truth[known], expected.value[known]
    band = Band(expected.low[known], expected.high[known])
    found = errors(true, said)
    return Judged(
        n, left_out, bootstrap_interval(np.abs(said - true), np.mean), found.rmse, found.r2,
        _spearman(true, said) if rank else None,
        share_covered(band, true) if np.isfinite(band.low).all() else None,
    )  # fmt: skip


def _spearman(true: Floats, said: Floats) -> Interval | None:
    """None where one of both is the same for all."""
    n = len(true)
    rows = np.vstack([np.arange(n), np.random.default_rng(0).integers(0, n, (_DRAWS, n))])
    a, b = (rankdata(one[rows], axis=1) - (n + 1) / 2 for one in (true, said))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    correlation = (a * b).sum(axis=1)[spread > 0] / spread[spread > 0]
    if not spread[0] or len(correlation) < 2:
        return None
    return percentile_interval(float(correlation[0]), correlation[1:])


# ---------------------------------------------------------------- a fitted forecast


class Evaluated(NamedTuple):
    """Errors of a fitted forecast.

    Attributes:
        score: objects below were left out.
        judged: by target and subset: all cases, then each source.
    """

    score: float
    judged: Mapping[str, Mapping[str, Judged]]


def evaluate(forecaster: Forecaster, cases: Cases, min_score: float) -> Evaluated:
    """How far a fitted forecast is off.

    Raises:
        SettingsError: a score outside 0 to 1.
    """
    cases, score = cases.own, forecaster.snapped(checked_score(min_score))
    expected, truth = forecaster.expect(cases, score), cases.truth(score)
    group = cases.images["source"].astype(str).to_numpy()
    parts = {"all": np.ones(len(cases), bool)}
    if len(set(group)) > 1:
        parts |= {name or "(no source)": group == name for name in dict.fromkeys(group.tolist())}
    return Evaluated(
        score,
        {
            target: {
                name: judge(truth[target].to_numpy(float)[rows], _rows(expected[target], rows), rank=True)
                for name, rows in parts.items()
            }
            for target in TARGETS
        },
    )


def checked_score(min_score: float) -> float:
    """The score, if it is one.

    Raises:
        SettingsError: outside 0 to 1.
    """
    if not 0 <= min_score <= 1:
        raise SettingsError(f"--min-score lies in 0 to 1, not {min_score}")
    return min_score


def _rows(expected: Expected, rows: Rows) -> Expected:
    return Expected(*(one[rows] for one in expected))


# ---------------------------------------------------------------- fitted inside folds


class _Held:
    """A forecaster as `trust.protocols` asks for it: value, low and high of each target side by side."""

    def __init__(self, how: How) -> None:
        self.forecaster = Forecaster(how)

    def fit(self, cases: Cases) -> None:
        self.forecaster.fit(cases)

    def predict(self, cases: Cases) -> Floats:
        expected = self.forecaster.expect(cases, self.forecaster.how.scores[0])
        return np.column_stack([part for target in TARGETS for part in expected[target]])


Said = Sequence[Mapping[str, Expected]]
"""By repeat and target, of all cases."""


def held_out(cases: Cases, how: How, folds: Sequence[Fold], step: Step) -> Said:
    """Forecasts of each case by a model that has not seen it, at the one score of `how`."""
    fit_predict = from_cases(partial(_Held, how), cases)
    done = iter(range(1, len(folds) + 1))

    def told(train: NDArray[np.int64], test: NDArray[np.int64]) -> Any:
        said = fit_predict(train, test)
        step(next(done), len(folds))
        return said

    said = out_of_fold(told, len(cases), folds).predicted
    return [{target: Expected(*one[:, 3 * k : 3 * k + 3].T) for k, target in enumerate(TARGETS)} for one in said]


def judge_all(cases: Cases, score: float, said: Said, parts: Mapping[str, Rows]) -> dict[str, dict[str, Judged]]:
    """By target and subset; each number is of a whole repeat, then averaged over the repeats."""
    truth = cases.truth(score)
    return {
        target: {
            name: _mean([judge(truth[target].to_numpy(float)[rows], _rows(one[target], rows)) for one in said])
            for name, rows in parts.items()
        }
        for target in TARGETS
    }


@dataclass(frozen=True, eq=False)
class Compared:
    """Ours and the published forest on the same cases, fitted inside the same folds.

    Attributes:
        score: objects below were left out.
        folds: number of fits.
        ours, published: by target and subset: all cases, then what was left out. The forest has no intervals.
        ratio: our mean absolute error of F1 over the forest's, its interval from drawing subsets; of the first
            repeat. None without subsets.
    """

    score: float
    folds: int
    ours: Mapping[str, Mapping[str, Judged]]
    published: Mapping[str, Mapping[str, Judged]]
    ratio: Interval | None


def compare(
    cases: Cases, protocol: str, min_score: float, *, how: How | None = None, step: Step = lambda _done, _of: None
) -> Compared:  # fmt: skip
    """How well both forecast cases they have not seen.

    Args:
        cases: with truth.
        protocol: name in `PROTOCOLS`.
        min_score: objects below are left out.
        how: the defaults if None; its scores and group follow from the other two.
        step: is told how many folds are done.

    Raises:
        SettingsError: too few cases or groups, or no score that a forecast can be fitted for.
        UnknownName: no such protocol.
    """
    cases = cases.own
    folds: list[Fold] = PROTOCOLS[protocol](cases.images)
    # Intervals for a new group are earned on held-out groups; where two are there, one is left, and images serve.
    grouped = protocol in GROUPS and len(folds) > 2
    how = replace(how or How(), scores=(min_score,), group=protocol if grouped else "image")
    ours = held_out(cases, how, folds, step)
    published = _published(cases, min_score, folds, ours)
    parts = _parts(cases, protocol, folds)
    truth = cases.truth(min_score)["f1"].to_numpy(float)
    return Compared(
        min_score,
        len(folds),
        judge_all(cases, min_score, ours, parts),
        judge_all(cases, min_score, published, parts),
        _ratio(truth, ours[0]["f1"].value, published[0]["f1"].value, parts),
    )


def _published(cases: Cases, score: float, folds: Sequence[Fold], ours: Said) -> Said:
    """The published forest, on the cases that ours has a forecast for: it says something of an empty image too."""
    table, truth = published_table(cases), cases.truth(score)
    by_target = {
        target: out_of_fold(from_table(PublishedForecast, table, truth[target]), len(cases), folds).predicted[:, :, 0]
        for target in TARGETS
    }

    def of(repeat: int, target: str) -> Expected:
        value = np.where(np.isfinite(ours[repeat][target].value), by_target[target][repeat], np.nan)
        return Expected(value, np.full_like(value, np.nan), np.full_like(value, np.nan))

    return [{target: of(repeat, target) for target in TARGETS} for repeat in range(len(ours))]


def _parts(cases: Cases, protocol: str, folds: Sequence[Fold]) -> dict[str, Rows]:
    """All, then what was left out together; of folds by chance the splits, else the sources, if there are several."""
    everything = {"all": np.ones(len(cases), bool)}
    if protocol not in ("random", "image"):
        rows = np.arange(len(cases))
        return everything | {fold.left_out: np.isin(rows, fold.test) for fold in folds}
    for column in ("split", "source"):
        names = cases.images[column].astype(str).to_numpy()
        if len(set(names)) > 1 and "" not in names:
            return everything | {name: names == name for name in dict.fromkeys(names.tolist())}
    return everything


def _ratio(truth: Floats, ours: Floats, theirs: Floats, parts: Mapping[str, Rows]) -> Interval | None:
    group = np.full(len(truth), "", object)
    for name, rows in parts.items():
        group[rows] = name
    known = np.isfinite(truth) & np.isfinite(ours) & np.isfinite(theirs)
    if len(set(group[known])) < 2:
        return None
    return mae_ratio(truth[known], ours[known], theirs[known], group[known].tolist())


def _mean(repeats: Sequence[Judged]) -> Judged:
    def number(name: str) -> float | None:
        values = [value for one in repeats if (value := getattr(one, name)) is not None]
        return float(np.mean(values)) if values else None

    def span(name: str) -> Interval | None:
        values = [value for one in repeats if (value := getattr(one, name)) is not None]
        if not values:
            return None
        low, value, high = np.mean([(one.low, one.value, one.high) for one in values], axis=0).tolist()
        return Interval(min(low, value), value, max(high, value), values[0].coverage)

    first = repeats[0]
    return Judged(
        first.n, first.left_out, span("mae"), number("rmse"), number("r2"), span("spearman"), span("coverage")
    )
