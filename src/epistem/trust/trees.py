"""Fitted trees as plain arrays: asked without the library that fitted them, kept without code.

scikit-learn takes longer to import than an image to analyse, and a forecast is asked once an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor

Floats = NDArray[np.float64]

_AT_ONCE = 2_000_000
"""Rows times trees that go down together: some tens of MB."""


@dataclass(frozen=True, eq=False)
class Trees:
    """t trees of m nodes in all: what they sum to, times a factor, above a start.

    Attributes:
        feature: (m,) column that a node asks for; of a leaf 0.
        threshold: (m,) up to it a row goes left.
        left, right: (m,) nodes that follow; of a leaf the leaf itself.
        unknown_left: (m,) whether NaN goes left.
        value: (m,) of the leaves.
        roots: (t,) first nodes.
        start, factor: of the sum.

    Raises:
        ValueError: arrays of other lengths, nodes or columns that are not there, or nodes that lead back.
    """

    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    unknown_left: NDArray[np.bool_]
    value: Floats
    roots: NDArray[np.int32]
    start: float = 0.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        nodes = len(self.value)
        if any(len(getattr(self, name)) != nodes for name in _OF_NODES):
            raise ValueError("trees whose nodes do not agree in number")
        followers = np.concatenate([self.left, self.right, self.roots])
        if not len(self.roots) or followers.min(initial=0) < 0 or followers.max(initial=0) >= nodes:
            raise ValueError("trees that lead to nodes that are not there")
        own = np.arange(nodes)
        leaf = self.left == own
        if not np.array_equal(leaf, self.right == own) or (np.minimum(self.left, self.right) < own).any():
            raise ValueError("trees that lead back, without an end")
        if self.feature.min(initial=0) < 0:
            raise ValueError("trees that ask for columns that are not there")

    @classmethod
    def of_boosted(cls, model: HistGradientBoostingRegressor | HistGradientBoostingClassifier) -> Self:
        """From a fitted model of numbers; of a classifier of two classes the sum is the logit of the second."""
        parts = []
        for (predictor,) in model._predictors:
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise ValueError("trees that ask for categories")
            parts.append(_part(
                nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"],
                nodes["missing_go_to_left"], nodes["value"], nodes["is_leaf"].astype(bool),
            ))  # fmt: skip
        return cls(**_joined(parts), start=float(model._baseline_prediction[0, 0]))

    @classmethod
    def of_forest(cls, model: ExtraTreesRegressor) -> Self:
        """From a fitted forest of one goal: the mean of its trees."""
        parts = []
        for one in model.estimators_:
            tree = one.tree_
            parts.append(_part(
                tree.feature, tree.threshold, tree.children_left, tree.children_right, tree.missing_go_to_left,
                tree.value[:, 0, 0], tree.children_left < 0,
            ))  # fmt: skip
        return cls(**_joined(parts), factor=1 / len(parts))

    def predict(self, values: NDArray[np.floating]) -> Floats:
        """Sum of the leaves that rows of values (n, k) come to, (n,); NaN is unknown.

        Raises:
            ValueError: fewer columns than the trees ask for.
        """
        if len(values) and self.feature.max() >= values.shape[1]:
            raise ValueError(f"trees that ask for {self.feature.max() + 1} columns; {values.shape[1]} came")
        rows = max(1, _AT_ONCE // len(self.roots))
        parts = [self._sums(values[i : i + rows]) for i in range(0, len(values), rows)]
        return self.start + self.factor * np.concatenate([np.empty(0), *parts])

    def _sums(self, values: NDArray[np.floating]) -> Floats:
        row = np.arange(len(values))[:, None]
        node = np.broadcast_to(self.roots, (len(values), len(self.roots)))
        unknown = np.isnan(values)
        has_unknown = bool(unknown.any())
        while True:
            feature = self.feature[node]
            goes_left = values[row, feature] <= self.threshold[node]
            if has_unknown:
                goes_left |= unknown[row, feature] & self.unknown_left[node]
            following = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                return np.asarray(self.value[node].sum(axis=1), np.float64)
            node = following

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """For a file."""
        return {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """From `as_arrays`.

        Raises:
            KeyError, ValueError: something is missing or does not fit.
        """
        made: dict[str, Any] = {name: np.asarray(arrays[name], kind) for name, kind in _KINDS.items()}
        return cls(**made, start=float(arrays["start"]), factor=float(arrays["factor"]))


_OF_NODES = ("feature", "threshold", "left", "right", "unknown_left")
_KINDS: Mapping[str, type[np.generic]] = {
    "feature": np.int32, "threshold": np.float64, "left": np.int32, "right": np.int32, "unknown_left": np.bool_,
    "value": np.float64, "roots": np.int32,
}  # fmt: skip


def _part(
    feature: NDArray[Any], threshold: NDArray[Any], left: NDArray[Any], right: NDArray[Any],
    unknown_left: NDArray[Any], value: NDArray[Any], leaf: NDArray[np.bool_],
) -> dict[str, NDArray[Any]]:  # fmt: skip
    own = np.arange(len(leaf))
    return {
        "feature": np.where(leaf, 0, feature).astype(np.int32),
        "threshold": np.where(leaf, 0.0, threshold).astype(np.float64),
        "left": np.where(leaf, own, left).astype(np.int32),
        "right": np.where(leaf, own, right).astype(np.int32),
        "unknown_left": np.where(leaf, False, unknown_left).astype(bool),
        # What stands between root and leaf is never asked for.
        "value": np.where(leaf, value, 0.0).astype(np.float64),
    }  # fmt: skip


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Any]:
    sizes = np.array([len(part["value"]) for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    shift = np.repeat(roots, sizes)
    made = {name: np.concatenate([part[name] for part in parts]) for name in (*_OF_NODES, "value")}
    return made | {"left": made["left"] + shift, "right": made["right"] + shift, "roots": roots}
