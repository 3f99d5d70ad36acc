"""How well a score tells typical items from foreign ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from epistem.core import SettingsError


class Separation(NamedTuple):
    """How well scores tell n typical items from m foreign ones; typical is the positive class.

    Attributes:
        auroc: 0 to 1, 0.5 is chance.
        fpr95: share of the foreign items called typical where 95 % of the typical ones are; lower is better.
        auprc: average precision, 0 to 1.
        precision, f1: of calling typical what reaches the threshold that was set before; None without one.
        oracle_f1: the best of any threshold, chosen with the answers known: no threshold in use reaches it.
    """

    auroc: float
    fpr95: float
    auprc: float
    precision: float | None
    f1: float | None
    oracle_f1: float
    n_typical: int
    n_foreign: int


def separation(typical: ArrayLike, foreign: ArrayLike, *, threshold: float | None = None) -> Separation:
    """Compare the scores of typical items, (n,), with those of foreign ones, (m,).

    Raises:
        SettingsError: a side is empty, or scores are not finite.
    """
    ours, theirs = np.asarray(typical, float), np.asarray(foreign, float)
    score, truth = np.concatenate([ours, theirs]), np.repeat([1, 0], [len(ours), len(theirs)])
    if not len(ours) or not len(theirs) or not np.isfinite(score).all():
        raise SettingsError(
            f"wanted finite scores of both sides; got {len(ours)} typical and {len(theirs)} foreign, "
            f"{int((~np.isfinite(score)).sum())} of them not finite; leave unscored items out and count them"
        )
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(truth, score)
    oracle = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    right = called = None
    if threshold is not None:
        right, called = int((ours >= threshold).sum()), int((score >= threshold).sum())
    return Separation(
        float(roc_auc_score(truth, score)), float(fpr[np.argmax(tpr >= 0.95)]),
        float(average_precision_score(truth, score)), right / called if called and right is not None else None,
        None if right is None or called is None else 2 * right / (called + len(ours)), float(oracle.max()),
        len(ours), len(theirs),
    )  # fmt: skip
