"""Expected F1, precision and recall of a detector on an image, without labels.

::

    objects found ─ ObjectModel ─> probability of each ─> expected counts ─┐
                  └ published features, signals ───────────────────────────┤─> regressors ─> F1, precision, recall
    image ─ quality ───────────────────────────────────────────────────────┘   held-out residuals ─> intervals

Nothing here knows a network: detections come from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.core import Interval, RecordError, SettingsError
from epistem.trust.cases import FOREIGN, GROUPS, LEAST_CANDIDATE, Cases, Described, gather
from epistem.trust.objects import ObjectModel
from epistem.trust.regressors import Regressor, Spans
from epistem.trust.result import Forecast, contrast_to_noise
from epistem.trust.table import COSTLY, PARTS, forecast_table
from epistem.trust.typicality import LIKENESS, Typicality

TARGETS = ("f1", "precision", "recall")
GRID = tuple(round(0.1 * k, 1) for k in range(1, 10))
"""Scores a forecast can be fitted for; another one asked for snaps to the nearest."""

LEAST_CASES = 50
IMAGE_ALONE = 0.0
"""Key of `Forecaster.typicality` where nothing was found; no score is as low."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class How:
    """How a forecast is fitted.

    Attributes:
        scores: least scores it holds for, rising.
        parts: groups of features; one left out shows what it is worth.
        group: column of the cases by which held-out folds are made: image, split, source or detector.
        folds: held-out folds, at most as many as there are groups.
        rounds: of boosting.
        trees: extremely randomised ones beside it.
        coverage: of the intervals, 0 to 1.
        seed: of everything drawn.

    Raises:
        SettingsError: a value outside what is meaningful.
    """

    scores: tuple[float, ...] = GRID
    parts: tuple[str, ...] = PARTS
    group: str = "image"
    folds: int = 5
    rounds: int = 150
    trees: int = 100
    coverage: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        rising = list(self.scores) == sorted(set(self.scores))
        if not self.scores or not rising or not all(LEAST_CANDIDATE <= one < 1 for one in self.scores):
            raise SettingsError(f"scores are rising, from {LEAST_CANDIDATE} to below 1; not {self.scores}")
        known = (*PARTS, *COSTLY)
        if (unknown := sorted(set(self.parts) - set(known))) or not self.parts:
            raise SettingsError(f"parts are among {', '.join(known)}; not {', '.join(unknown) or 'none'}")
        if self.group not in GROUPS:
            raise SettingsError(f"cases are grouped by {', '.join(GROUPS)}; not by {self.group}")
        if self.folds < 2:
            raise SettingsError(f"folds are at least 2, not {self.folds}")
        if not 0 < self.coverage < 1:
            raise SettingsError(f"coverage lies between 0 and 1, not {self.coverage}")


class Expected(NamedTuple):
    """Of m cases, (m,) each; NaN where nothing is kept."""

    value: Floats
    low: Floats
    high: Floats


class Forecaster:
    """Fitted models. See the module's picture.

    Attributes:
        how: how it was fitted.
        about: of which detector, with which weights, from which cases.
        reference_n: images it was fitted on.
        columns: of the table it was fitted on.
    """

    def __init__(self, how: How | None = None, about: Mapping[str, Any] | None = None) -> None:
        self.how, self.about, self.reference_n = how or How(), dict(about or {}), 0
        self.columns: tuple[str, ...] = ()
        self.objects = ObjectModel(self.how.seed)
        self.regressors: dict[str, Regressor] = {}
        self.spans: dict[str, Spans] = {}
        self.typicality: dict[float, Typicality] = {}

    def fit(self, cases: Cases, *, intervals: bool = True) -> Self:
        """Learn from cases with truth.

        Args:
            cases: at least `LEAST_CASES` that are not of source `FOREIGN`. Those only show what other kinds look
                like, and F1 is learnt from none of them: else whatever the simulation lacks would pass for false.
            intervals: also calibrate intervals, which takes `how.folds` more fits.

        Raises:
            SettingsError: too few cases, or groups.
        """
        own = (cases.images["source"] != FOREIGN).to_numpy()
        mine, others = cases.where(own), cases.where(~own)
        if len(mine) < LEAST_CASES:
            raise SettingsError(
                f"a forecast is fitted on {LEAST_CASES} cases or more, {len(mine)} came; label more images"
            )
        fold = _folds(mine, self.how)
        probability = self._held_out_probability(mine, fold)
        self.objects.fit(mine)
        tables = [forecast_table(mine, score, probability, self.how.parts) for score in self.how.scores]
        truth = pd.concat([mine.truth(score) for score in self.how.scores], ignore_index=True)
        table, fold = pd.concat(tables, ignore_index=True), np.tile(fold, len(tables))
        kept, self.columns = table["n"].to_numpy(float) > 0, tuple(table.columns)
        for target in TARGETS:
            # No object asked for: no recall. Left out, as it is where nothing is kept.
            known = kept & np.isfinite(truth[target].to_numpy())
            rows, goal = table[known], truth.loc[known, target].to_numpy(float)
            self.regressors[target] = self._regressor(target).fit(rows, goal)
            if intervals:
                said = self._held_out(target, rows, goal, fold[known])
                self.spans[target] = Spans.fitted(rows, goal, said, fold[known], self.how.coverage, self.how.seed)
        for score, one in zip(self.how.scores, tables, strict=True):
            signals = _signals(one[one["n"] > 0]).dropna(axis=1, how="all")
            if any(str(name).startswith(LIKENESS) for name in signals):  # else what is typical is not known
                # What is compared does not rest on the probabilities.
                unlike = forecast_table(others, score, np.zeros(len(others.objects)), self.how.parts)
                self.typicality[score] = Typicality.of(signals, unlike[unlike["n"] > 0])
        image_alone = _of_image(tables[0]).dropna(axis=1, how="all")
        if image_alone.shape[1]:
            unlike = forecast_table(others, self.how.scores[0], np.zeros(len(others.objects)), self.how.parts)
            self.typicality[IMAGE_ALONE] = Typicality.of(image_alone, unlike)
        self.reference_n = int(mine.images["image"].nunique())
        return self

    def expect(self, cases: Cases, min_score: float) -> dict[str, Expected]:
        """F1, precision and recall of many cases at one of the fitted scores; ends are NaN without intervals."""
        return self._expect(self._table(cases, min_score))

    def snapped(self, min_score: float) -> float:
        """The fitted score nearest to the one asked for; of two equally near the lower."""
        return min(self.how.scores, key=lambda score: (round(abs(score - min_score), 9), score))

    def predict(self, described: Described, min_score: float) -> Forecast:
        """What to expect of one image.

        Args:
            described: from `trust.cases.describe`.
            min_score: from which on objects are kept; it snaps to the nearest fitted one, and the forecast says so.
        """
        if not self.spans:
            raise SettingsError("this forecast was fitted without intervals; fit it with them to ask about an image")
        used = self.snapped(min_score)
        case = gather([described], {})
        table = self._table(case, used)
        row = {str(name): float(value) for name, value in table.iloc[0].items()}
        n_kept = int(row["n"])
        common: dict[str, Any] = {
            "used_score": used, "asked_score": float(min_score), "reference_n": self.reference_n, "n_kept": n_kept,
            "flat": _known(row.get("q_flat")), "contrast_to_noise": contrast_to_noise(case.objects, used),
        }  # fmt: skip
        typical = self.typicality.get(used if n_kept else IMAGE_ALONE)
        common |= {
            "typicality": None if typical is None else float(typical.share_less_typical(table)[0]),
            "beyond": () if typical is None else typical.beyond(row), "signals": row,
        }  # fmt: skip
        if not n_kept:
            return Forecast(**common, unscored=f"nothing was found with a score of {used:g} or more")
        expected = self._expect(table)
        f1, precision, recall = (self._interval(expected[name]) for name in TARGETS)
        return Forecast(**common, f1=f1, precision=precision, recall=recall)

    def _table(self, cases: Cases, min_score: float) -> pd.DataFrame:
        if min_score not in self.how.scores:
            raise SettingsError(
                f"this forecast holds for scores of {', '.join(map(str, self.how.scores))}; not {min_score}"
            )
        table = forecast_table(cases, min_score, self.objects.predict(cases), self.how.parts)
        if tuple(table.columns) != self.columns and self.columns:
            raise RecordError("this forecast was fitted on other features than this epistem computes; fit it again")
        return table

    def _expect(self, table: pd.DataFrame) -> dict[str, Expected]:
        nothing = table["n"].to_numpy(float) == 0
        result = {}
        for target, regressor in self.regressors.items():
            value = regressor.predict(table)
            unknown = np.full(len(value), np.nan)
            ends = self.spans[target].around(table, value) if target in self.spans else (unknown, unknown)
            result[target] = Expected(*(np.where(nothing, np.nan, one) for one in (value, *ends)))
        return result

    def _interval(self, one: Expected) -> Interval:
        return Interval(float(one.low[0]), float(one.value[0]), float(one.high[0]), self.how.coverage)

    def _regressor(self, target: str) -> Regressor:
        how = self.how
        return Regressor(how.rounds, how.trees, how.seed, copies=len(how.scores), expected=f"e_{target}")

    def _held_out_probability(self, cases: Cases, fold: NDArray[np.int64]) -> Floats:
        """Of each object, by a model that has not seen its image."""
        of_case = dict(zip(cases.images["case"], fold, strict=True))
        of_object = cases.objects["case"].map(of_case).to_numpy(np.int64)
        probability = np.empty(len(cases.objects))
        for k in range(fold.max() + 1):
            model = ObjectModel(self.how.seed).fit(cases.where(fold != k))
            probability[of_object == k] = model.predict(cases.where(fold == k))
        return probability

    def _held_out(self, target: str, table: pd.DataFrame, goal: Floats, fold: NDArray[np.int64]) -> Floats:
        said = np.empty(len(goal))
        for k in range(fold.max() + 1):
            if (fold == k).any():
                learnt = self._regressor(target).fit(table[fold != k], goal[fold != k])
                said[fold == k] = learnt.predict(table[fold == k])
        return said


def _folds(cases: Cases, how: How) -> NDArray[np.int64]:
    """Groups dealt to folds of about equally many groups, (n,)."""
    group = cases.images[how.group].astype(str)
    names = np.random.default_rng(how.seed).permutation(sorted(set(group))).tolist()
    folds = min(how.folds, len(names))
    if folds < 2:
        raise SettingsError(f"held-out folds need two groups or more; all cases have {how.group} {names[0]!r}")
    number = {name: k % folds for k, name in enumerate(names)}
    return np.array([number[name] for name in group], np.int64)


def _of_image(table: pd.DataFrame) -> pd.DataFrame:
    """What an image is compared by where nothing was found in it."""
    return table[[name for name in table.columns if name.startswith("q_")]]


def _signals(table: pd.DataFrame) -> pd.DataFrame:
    """What an image is compared by: how it is and what was found, not what is expected of it."""
    return table[[name for name in table.columns if name.startswith(("s_", *LIKENESS))]]


def _known(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value
