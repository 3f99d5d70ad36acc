"""What the page is told of one image: outlines with their numbers, and a row for every threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epistem.app.analyze import Analysis
from epistem.core import Instances, Interval, Micrograph, Quantity
from epistem.report.export import outlines

ABOUT = {
    "equivalent_diameter_nm": 3, "equivalent_diameter_px": 3, "area_nm2": 3, "circularity": 2, "touches_edge": 0,
}  # fmt: skip
"""Columns that a click on an object tells, with digits."""


def objects_json(found: Instances, micrograph: Micrograph) -> dict[str, Any]:
    """Outlines of all candidates for the viewer, in image pixels (x, y); `edits.objects_now` adds the corrections.

    Args:
        found: measured.
        micrograph: it was found in.
    """
    scale = micrograph.calibration
    known = {name: found.columns[name] for name in ABOUT if name in found.columns}
    objects = []
    for i, parts in enumerate(outlines(found)):
        score = float(found.score[i])
        objects.append({
            "id": i, "score": round(score, 4) if math.isfinite(score) else None,
            "label": found.classes[found.label[i]], "state": "found",
            "rings": [_flat(ring) for part in parts for ring in (part.shell, *part.holes)],
            "about": {name: _value(column[i], ABOUT[name]) for name, column in known.items()},
        })  # fmt: skip
    return {
        "shape": list(found.shape), "aspect": 1.0 if scale is None else scale.row_nm / scale.col_nm,
        "nm_per_px": None if scale is None else scale.col_nm, "candidates": len(objects),
        "objects": objects,
    }  # fmt: skip


def threshold_row(analysis: Analysis, score: float | None) -> dict[str, Any]:
    """What one threshold gives: count, quantities, expected F1, verdict with its reasons."""
    reliability = analysis.reliability
    return {
        "score": score, "n": len(analysis.found),
        "quantities": [quantity_json(one) for one in analysis.quantities.values()],
        "expected": {name: _span(getattr(reliability, name)) for name in ("f1", "precision", "recall")},
        "typicality": reliability.typicality, "verdict": reliability.verdict, "reasons": list(reliability.reasons),
        "reference": reliability.reference,
    }  # fmt: skip


def quantity_json(one: Quantity) -> dict[str, Any]:
    """A quantity, NaN as None: JSON has no NaN."""
    return {
        "name": one.name, "label": one.label, "unit": one.unit, "value": _known(one.value), "low": _known(one.low),
        "high": _known(one.high), "coverage": one.coverage, "note": one.note,
    }  # fmt: skip


def sizes(objects: Sequence[Mapping[str, Any]], least: float | None) -> tuple[list[float], str]:
    """Diameters of what a threshold keeps, and their unit: nm where the pixel size is known."""
    kept = [one for one in objects if is_kept(one, least)]
    unit = "nm" if any("equivalent_diameter_nm" in one["about"] for one in objects) else "px"
    values = [one["about"].get(f"equivalent_diameter_{unit}") for one in kept]
    return [float(value) for value in values if value is not None], unit


def is_kept(one: Mapping[str, Any], least: float | None) -> bool:
    """Whether an object counts: found at this threshold and not deleted, or confirmed, or added."""
    if one["state"] != "found":
        return one["state"] not in ("deleted", "replaced")
    return least is None or one["score"] is None or bool(one["score"] >= least)


def _flat(ring: Any) -> list[float]:
    return [round(float(value), 2) for value in np.asarray(ring, float)[:, ::-1].ravel()]


def _value(value: Any, digits: int) -> float | bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = float(value)
    return round(number, digits) if math.isfinite(number) else None


def _span(span: Interval | None) -> dict[str, float] | None:
    if span is None:
        return None
    return {"value": span.value, "low": span.low, "high": span.high, "coverage": span.coverage}


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
