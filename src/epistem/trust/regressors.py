"""From features to an expected share of 0 to 1, and to how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.core import SettingsError
from epistem.stats.conformal import quantile_to_cover
from epistem.trust.trees import Trees

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

Floats = NDArray[np.float64]

BINS = 3
# Under it an interval would promise more than any forecast of an image's F1 has kept.
_LEAST_ERROR = 0.02
# Of 0, a half and 1, chosen on the cases of the shipped forecast: half is as good as 0 on kinds that were seen, and
# on a source left out 3 % better.
_SHARE_EXPECTED = 0.5


class Regressor:
    """Mean of boosted and of extremely randomised trees, which err in different ways, on top of what was expected.

    Trees cannot go beyond what they have seen: on a new kind of image they say what held for others. So they learn
    what is left of the goal after half of what the counts let expect, which goes on holding.

    Args:
        rounds: of boosting.
        trees: randomised ones.
        seed: of both.
        copies: rows of the table that are of one case; leaves hold as many more.
        expected: column of the table with the expectation, 0 to 1; without that column nothing is expected.
    """

    def __init__(self, rounds: int, trees: int, seed: int = 0, *, copies: int = 1, expected: str = "") -> None:
        self.rounds, self.trees, self.seed, self.copies, self.expected = rounds, trees, seed, copies, expected
        self.boosted: Trees | None = None
        self.randomised: Trees | None = None

    @classmethod
    def of(cls, boosted: Trees, randomised: Trees, expected: str) -> Self:
        """From fitted ones."""
        made = cls(0, 0, expected=expected)
        made.boosted, made.randomised = boosted, randomised
        return made

    def fit(self, table: pd.DataFrame, goal: Floats) -> Self:
        """Learn."""
        from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

        values = learnable(_values(table))
        left = goal - self._offset(table)
        boosted = HistGradientBoostingRegressor(
            learning_rate=0.05, max_iter=self.rounds, max_leaf_nodes=8, min_samples_leaf=15 * self.copies,
            l2_regularization=2.0, max_features=0.5, random_state=self.seed,
        )  # fmt: skip
        randomised = ExtraTreesRegressor(
            self.trees, min_samples_leaf=3 * self.copies, max_features=0.5, random_state=self.seed
        )
        self.boosted = Trees.of_boosted(boosted.fit(values, left))
        self.randomised = Trees.of_forest(randomised.fit(values, left))
        return self

    def predict(self, table: pd.DataFrame) -> Floats:
        """0 to 1, (m,).

        Raises:
            SettingsError: it has not learned.
        """
        if self.boosted is None or self.randomised is None:
            raise SettingsError("this regressor has not learned; call fit first")
        values = _values(table)
        both = (self.boosted.predict(values) + self.randomised.predict(values)) / 2
        mean: Floats = (both + self._offset(table)).clip(0, 1)
        return mean

    def _offset(self, table: pd.DataFrame) -> Floats:
        if self.expected not in table:
            return np.zeros(len(table))
        offset: Floats = _SHARE_EXPECTED * np.nan_to_num(table[self.expected].to_numpy(float))
        return offset


@dataclass
class Spans:
    """Intervals from held-out residuals: each in units of the error expected there, by bin of the prediction.

    Attributes:
        error: what the absolute error is expected to be.
        edges: of the bins of the prediction, (BINS − 1,).
        below, above: by bin, how many expected errors the truth may lie below and above, (BINS,).

    Source: normalised and binned (Mondrian) split conformal: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), § 5.2;
    Vovk, Machine Learning 92, 349 (2013).
    """

    error: Trees
    edges: Floats
    below: Floats
    above: Floats

    @classmethod
    def fitted(
        cls, table: pd.DataFrame, goal: Floats, said: Floats, fold: NDArray[np.int64], coverage: float, seed: int
    ) -> Self:
        """From held-out predictions of n cases.

        Args:
            table, goal, said: features, truth and held-out prediction, (n,).
            fold: (n,), by which the expected error is held out in its turn: fitted and judged on the same cases it
                would be too small.
            coverage: of the intervals; half of the rest lies on either side.
            seed: of the boosting.
        """
        off, values = goal - said, _values(table, said)
        expected = np.empty(len(goal))
        for k in np.unique(fold):
            model = _error_model(seed).fit(learnable(values[fold != k]), np.abs(off[fold != k]))
            expected[fold == k] = _at_least(model.predict(values[fold == k]))
        edges = np.quantile(said, np.arange(1, BINS) / BINS)
        which, share = np.digitize(said, edges), (1 + coverage) / 2
        ends = [
            [_cover(scores[which == k] if (which == k).any() else scores, share) for k in range(BINS)]
            for scores in (-off / expected, off / expected)
        ]
        error = Trees.of_boosted(_error_model(seed).fit(learnable(values), np.abs(off)))
        return cls(error, edges, *(np.array(one) for one in ends))

    def around(self, table: pd.DataFrame, said: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends, 0 to 1, (m,) each; the prediction lies between them."""
        expected = _at_least(self.error.predict(_values(table, said)))
        which = np.digitize(said, self.edges)
        low, high = said - self.below[which] * expected, said + self.above[which] * expected
        return np.minimum(low, said).clip(0, 1), np.maximum(high, said).clip(0, 1)


def _cover(scores: Floats, share: float) -> float:
    reach = quantile_to_cover(scores, share)
    return reach if np.isfinite(reach) else float(scores.max(initial=0.0)) * 1.5


def _error_model(seed: int) -> HistGradientBoostingRegressor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=60, max_leaf_nodes=6, min_samples_leaf=30, l2_regularization=5.0,
        random_state=seed,
    )  # fmt: skip


def _at_least(error: Floats) -> Floats:
    return np.maximum(error, _LEAST_ERROR)


def learnable(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, (n, k), with zeros where nothing is known of a whole column: scikit-learn bins no empty one."""
    return np.where(np.isnan(values).all(axis=0), np.float32(0), values)


def _values(table: pd.DataFrame, *more: Floats) -> NDArray[np.float32]:
    values = np.column_stack([table.to_numpy(float), *more])
    values[~np.isfinite(values)] = np.nan
    return values.astype(np.float32)
