"""Which of the objects found are right: a probability for each, learnt from images with truth.

A detector's own score is one of several signs. Size, contrast, crowding and the image around tell more, above all on
images unlike those that the detector was trained on.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from epistem.core import SettingsError
from epistem.trust.cases import Cases
from epistem.trust.quality import BANDS
from epistem.trust.regressors import learnable
from epistem.trust.trees import Trees

Floats = NDArray[np.float64]

# More teach little and cost minutes.
_MOST_OBJECTS = 30_000

# Of the image, what changes how far a score or a contrast can be believed.
_OF_IMAGE = ("q_noise", "q_neighbour", "q_uneven", *(f"q_band_{k}" for k in range(1, BANDS + 1)))


class ObjectModel:
    """Probability that a found object is right.

    Args:
        seed: of the boosting.

    Source: gradient-boosted trees on log loss (Friedman, Ann. Statist. 29, 1189 (2001)), by scikit-learn.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.trees: Trees | None = None

    @classmethod
    def of(cls, trees: Trees) -> Self:
        """From fitted ones."""
        made = cls()
        made.trees = trees
        return made

    def fit(self, cases: Cases) -> Self:
        """Learn from cases with truth; an image weighs as the root of the number of objects found in it.

        Raises:
            SettingsError: not one object that is right and one that is wrong.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        objects = cases.objects
        chosen = np.flatnonzero(~objects["neither"].to_numpy(bool))
        right = objects["right"].to_numpy(bool)[chosen]
        if right.all() or not right.any():
            raise SettingsError(
                f"a forecast learns from objects that are right and wrong; of {len(right)}, {right.sum()} are right"
            )
        case, number = np.unique(objects["case"].to_numpy()[chosen], return_inverse=True, return_counts=True)[1:]
        # The square root lies between one weight an image and one an object: crowded images tell more, but not all.
        # Drawn and not weighted: scikit-learn bins weighted values a hundred times more slowly.
        weight = 1 / np.sqrt(number[case])
        drawn = np.random.default_rng(self.seed).choice(
            len(chosen), min(len(chosen), _MOST_OBJECTS), p=weight / weight.sum()
        )
        model = HistGradientBoostingClassifier(
            learning_rate=0.06, max_iter=120, max_leaf_nodes=12, min_samples_leaf=40, l2_regularization=5.0,
            random_state=self.seed,
        )  # fmt: skip
        self.trees = Trees.of_boosted(model.fit(learnable(object_table(cases)[chosen[drawn]]), right[drawn]))
        return self

    def predict(self, cases: Cases) -> Floats:
        """Probability of each of `cases.objects`, (n,).

        Raises:
            SettingsError: it has not learned.
        """
        if not len(cases.objects):
            return np.empty(0)
        if self.trees is None:
            raise SettingsError("this model of objects has not learned; call fit first")
        probability: Floats = expit(self.trees.predict(object_table(cases)))
        return probability


def object_table(cases: Cases) -> NDArray[np.float32]:
    """What is known of each object, (n, k); NaN where unknown."""
    objects, images = cases.objects, cases.images
    row = cases.row
    score = objects["score"].to_numpy(float)
    sizes = objects[["row0", "col0", "row1", "col1"]].to_numpy(float)
    height, width = sizes[:, 2] - sizes[:, 0], sizes[:, 3] - sizes[:, 1]
    edge = np.minimum(
        sizes[:, :2].min(axis=1), (images[["rows", "cols"]].to_numpy(float)[row] - sizes[:, 2:]).min(axis=1)
    )
    diameter, spread = objects["diameter_px"].to_numpy(float), objects["c_spread"].to_numpy(float)
    ahead = score > 0.5
    n_all, n_sure = (np.bincount(row, weights, len(images))[row] for weights in (None, ahead.astype(float)))
    mean = np.bincount(row, score, len(images))[row] / n_all
    middle = pd.Series(np.log(np.maximum(diameter, 1))).groupby(row).transform("median").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [
            logit(score.clip(1e-4, 1 - 1e-4)), np.log(np.maximum(diameter, 1)), np.abs(np.log(height / width)),
            edge / diameter, objects["heywood"], objects["c_core"] / spread, objects["c_rim"] / spread, spread,
            objects["c_core"], objects["c_rim"], objects["c_fringe"] / spread,
            *(objects[name] for name in ("c_round", "c_ragged", "c_lean", "c_long")), np.log(n_all), n_sure / n_all,
            mean, score - mean, np.log(np.maximum(diameter, 1)) - middle,
        ]  # fmt: skip
    of_image = [
        images[name].to_numpy(float)[row] if name in images else np.full(len(row), np.nan) for name in _OF_IMAGE
    ]
    table: NDArray[Any] = np.column_stack([*(np.asarray(one, float) for one in columns), *of_image])
    table[~np.isfinite(table)] = np.nan
    return table.astype(np.float32)
