"""`epistem atoms evaluate`: a classified field against labels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from epistem.app.atoms_truth import Truth, meanings
from epistem.app.atoms_use import Field
from epistem.atoms.classify import METAL, Classified
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import ELEMENTS
from epistem.core import Interval, RecordError
from epistem.report.document import plain
from epistem.stats.agreement import block_interval, cohen_kappa, landis_koch, pabak
from epistem.stats.multiclass import balanced_accuracy, class_scores, confusion_matrix, macro_f1
from epistem.stats.posterior import brier, calibration_error, log_loss

Floats = NDArray[np.float64]
_NEAR = 0.4  # of the neighbours' distance
_BLOCK_A = 40.0
_BLOCK_CELLS = 12.0
K = len(ROLES)


def evaluate(field: Field, truth: Truth, *, seed: int = 0, coverage: float = 0.9) -> dict[str, Any]:
    """How far the classification of a field agrees with labels.

    Intervals draw whole spatial blocks again, since neighbouring columns share noise, focus and drift.

    Args:
        field: classified.
        truth: labels; each goes to the nearest column within 0.4 of the neighbours' distance.
        seed: of the intervals.
        coverage: of the intervals, 0 to 1.

    Raises:
        RecordError: the image was not classified, or no label falls on a column and means something.
    """
    found = field.found
    if not found.known or found.lattice is None:
        raise RecordError(f"{field.name} was not classified, so nothing can be compared: {' '.join(field.notes)}")
    near = found.lattice.neighbour_px * _NEAR
    far, at = cKDTree(found.places_px).query(truth.places_px, distance_upper_bound=near)
    hit = np.isfinite(far)
    host = found.context.crystal
    known, left = meanings([one for one, there in zip(truth.labels, hit, strict=True) if there], host)
    means = [known.get(one) if there else None for one, there in zip(truth.labels, hit, strict=True)]
    scored = np.array([one is not None for one in means], bool)
    if not scored.any():
        raise RecordError(
            f"none of {len(truth.labels)} labels falls on one of {len(found)} classified columns and means "
            f"something here (left over: {dict(left) or 'none'}); wanted places in px of this image and labels as "
            "`epistem atoms evaluate --help` says"
        )
    rows = at[scored]
    role = np.array([one.role for one in means if one is not None], np.int64)
    said = found.role[rows].argmax(axis=1)
    blocks = _blocks(found, rows)

    def with_interval(
        values: Floats, statistic: Callable[[Floats], float | None], kept: NDArray[np.bool_] | None = None
    ) -> dict[str, Any]:
        mine = np.ones(len(values), bool) if kept is None else kept
        here = [block for block, one in zip(blocks, mine, strict=True) if one]
        value = statistic(values[mine]) if mine.any() else None
        ends = block_interval(values[mine], here, statistic, seed=seed, coverage=coverage) if mine.any() else None
        return _ends(value, ends)

    pair = np.stack([role, said], axis=1).astype(float)
    table = confusion_matrix(role, said, classes=K)
    posteriors = np.column_stack([role, found.role[rows]])
    kappa = with_interval(pair, _kappa)
    loss = log_loss(found.role[rows], role)
    told: dict[str, Any] = plain({
        "images": [image.name for image in field.images],
        "labels": len(truth.labels), "scored": int(scored.sum()), "without_column": int((~hit).sum()),
        "columns_without_label": len(found) - len(set(rows.tolist())), "left_over": dict(left.most_common()),
        "kappa": {**kappa, "band": None if kappa["value"] is None else landis_koch(kappa["value"])},
        "kappa_metal": with_interval(pair, _kappa, METAL[role]), "pabak": pabak(table),
        "accuracy": with_interval(pair, lambda drawn: float((drawn[:, 0] == drawn[:, 1]).mean())),
        "balanced_accuracy": balanced_accuracy(table), "macro_f1": macro_f1(table),
        "classes": {
            name: {
                "n": int(table[c].sum()), **_scores(table, c),
                "f1_interval": with_interval(pair, partial(_f1, c=c)),
            }
            for c, name in enumerate(ROLES)
        },
        "dopant_element": _elements(found, rows, role, [one.element for one in means if one is not None]),
        "ece": with_interval(posteriors, lambda drawn: calibration_error(drawn[:, 1:], drawn[:, 0].astype(int))),
        "brier": brier(found.role[rows], role), "nll_bits": loss and loss.bits,
        "mean_entropy_bits": float(found.entropy_bits[rows].mean()),
        "covered_by_sets": float(found.sets[rows, role].mean()),
        "confusion": {"rows_true_columns_called": list(ROLES), "counts": table.tolist()},
        "coverage": coverage,
        "block": f"{_BLOCK_A:g} Å" if found.context.pixel_A else f"{_BLOCK_CELLS:g} lattice constants",
        "notes": field.notes, "provenance": field.provenance.as_dict(),
    })  # fmt: skip
    return told


def _blocks(found: Classified, rows: NDArray[np.int64]) -> Sequence[Hashable]:
    assert found.lattice is not None
    pixel = found.context.pixel_A
    side = _BLOCK_A / pixel if pixel else _BLOCK_CELLS * found.lattice.a_px
    return [tuple(one) for one in (found.places_px[rows] // side).astype(int).tolist()]


def _kappa(drawn: Floats) -> float | None:
    return cohen_kappa(confusion_matrix(drawn[:, 0].astype(int), drawn[:, 1].astype(int), classes=K))


def _f1(drawn: Floats, *, c: int) -> float | None:
    true, called = drawn[:, 0] == c, drawn[:, 1] == c
    both = int(true.sum() + called.sum())
    return 2 * float((true & called).sum()) / both if both else None


def _scores(table: NDArray[np.int64], c: int) -> dict[str, float | None]:
    one = class_scores(table)[c]
    return {"precision": one.precision, "recall": one.recall, "f1": one.f1}


def _elements(
    found: Classified, rows: NDArray[np.int64], role: NDArray[np.int64], named: Sequence[str | None]
) -> dict[str, Any]:
    """Of dopants that are called dopants and whose element the truth names: how many have the right one."""
    dopant = ROLES.index("D_M")
    called = found.role[rows].argmax(axis=1) == dopant
    mine = [i for i, name in enumerate(named) if name and role[i] == dopant and called[i]]
    right = sum(ELEMENTS[int(found.joint[rows[i], dopant].argmax())] == named[i] for i in mine)
    return {"n": len(mine), "right": right, "share": right / len(mine) if mine else None}


def _ends(value: float | None, ends: Interval | None) -> dict[str, float | None]:
    return {"value": value, "low": None if ends is None else ends.low, "high": None if ends is None else ends.high}
