"""What the panel does, without a viewer: find and measure, show as labels, take corrected labels back.

A label image cannot hold two objects on one pixel. So an object whose label was not touched keeps the outline that it
was found with, and only what a person changed is taken from the labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from epistem.app.analyze import Analysis, analyze_image
from epistem.app.settings import make_settings
from epistem.core import Instances, Micrograph, Provenance, Reliability, SettingsError, ShapeError
from epistem.napari.layers import Layer, placed
from epistem.report.export import write_coco
from epistem.report.fiji import write_micrograph
from epistem.report.words import counted, number, sentence, span

FEATURES = ("score", "equivalent_diameter_nm", "equivalent_diameter_px", "area_nm2", "circularity", "touches_edge")
RESULT = "epistem.analysis"
"""Under it a labels layer's metadata hold the analysis that it shows."""


@dataclass(frozen=True)
class Choices:
    """What a person sets in the panel.

    Attributes:
        detector: name in DETECTORS.
        weights: file of one's own, or None for the shipped ones.
        min_score: least score; None keeps the detector's own threshold.
        forecast: whether the detector's F1 is forecast.
    """

    detector: str = "cavity-dense"
    weights: Path | None = None
    min_score: float | None = None
    forecast: bool = True


@dataclass(frozen=True)
class Sent:
    """Corrections on disk: image and labels, and the command that learns from them."""

    image: Path
    labels: Path
    command: str


def run(micrograph: Micrograph, choices: Choices) -> Analysis:
    """Find and measure what is in an image, as `epistem analyze` does.

    Raises:
        SettingsError: a setting outside what is meaningful, or weights for a detector that has none.
        RecordError: weights that are not there or of another network.
    """
    own: Mapping[str, Any] = {} if choices.weights is None else {"weights": str(choices.weights)}
    settings = make_settings(
        detector=choices.detector, detector_settings=dict(own), min_score=choices.min_score,
        forecast="shipped" if choices.forecast else "none",
    )  # fmt: skip
    return analyze_image(micrograph, settings, settings.looker())


def labels_of(analysis: Analysis) -> Layer:
    """Found objects as a labels layer on their image, with score and sizes for each.

    Raises:
        ShapeError: only boxes are known.
    """
    image = analysis.micrograph
    about = {
        "name": f"{image.name}: objects",
        "features": features_of(analysis),
        "metadata": {RESULT: analysis},
    }
    return analysis.found.to_labels(), {**about, **placed(image)}, "labels"


def features_of(analysis: Analysis) -> pd.DataFrame:
    """One row an object: its label (`index`, as napari wants it), score and sizes."""
    found = analysis.found
    known = {"score": found.score, **found.columns}
    return pd.DataFrame({"index": np.arange(1, len(found) + 1), **{n: known[n] for n in FEATURES if n in known}})


def corrected(labels: NDArray[Any], found: Instances) -> Instances:
    """The objects as a person left them: untouched ones as they were found, others as they are drawn.

    Args:
        labels: (H, W) as edited; object i was drawn as i + 1. 0 is nothing, other values are new objects.
        found: what was drawn.

    Returns:
        In rising order of their labels; what was drawn by hand has no score.

    Raises:
        ShapeError: labels of another size.
    """
    if labels.shape != found.shape:
        raise ShapeError(f"the labels are {labels.shape}, their image is {found.shape}; take the layer of this image")
    before = found.to_labels()
    differ = labels != before
    changed = np.unique(np.concatenate([labels[differ], before[differ]]))
    kept = np.setdiff1d(np.arange(len(found)), changed.astype(np.int64) - 1)
    drawn = Instances.from_labels(np.where(np.isin(labels, changed), labels, 0))
    values = np.setdiff1d(changed[np.isin(changed, labels)], [0])
    order = np.argsort(np.concatenate([kept + 1, values]), kind="stable")
    crops = [*((found.crops or ())[i] for i in kept), *(drawn.crops or ())]
    made = Instances(
        found.shape,
        np.concatenate([found.boxes[kept], drawn.boxes])[order],
        np.concatenate([found.score[kept], drawn.score])[order],
        np.concatenate([found.label[kept], drawn.label])[order],
        found.classes,
        tuple(crops[i] for i in order),
    )
    maker = found.provenance or Provenance("unknown", "unknown")
    settings = {**maker.settings, "corrected_by_hand": {"untouched": len(kept), "drawn": len(drawn)}}
    return replace(made, provenance=replace(maker, settings=settings))


def measure_again(analysis: Analysis, labels: NDArray[Any]) -> Analysis:
    """The analysis of the objects as a person left them, of which no forecast is; the same where nothing changed."""
    if np.array_equal(labels, analysis.found.to_labels()):
        return analysis
    found = corrected(labels, analysis.found)
    settings = make_settings(object_name=analysis.found.classes[0], forecast="none")
    again = analyze_image(analysis.micrograph, settings, lambda _: found)
    reasons = ["Corrected by hand: no forecast is of these objects.", *_in_pieces(again.found)]
    return replace(again, reliability=Reliability(reasons=tuple(reasons)))


def _in_pieces(found: Instances) -> list[str]:
    """Objects of several pieces: two drawn with one label are one."""
    several = [str(i) for i, mask in enumerate(found.masks(), 1) if ndimage.label(mask.crop, np.ones((3, 3)))[1] > 1]
    if not several:
        return []
    return [
        f"In several pieces, each counted as one object: {', '.join(several)}. Draw each piece with its own label."
    ]


def send_back(analysis: Analysis, folder: Path) -> Sent:
    """Image and objects as `epistem train detector` takes them: FOLDER/images and FOLDER/labels, named alike.

    The name holds the picture's hash: sent again it replaces itself, and no other image of that name.

    Raises:
        RecordError: they cannot be written.
    """
    image = analysis.micrograph
    name = f"{re.sub(r'[^A-Za-z0-9]+', '_', image.name).strip('_')}-{image.id[:6]}"
    images, labels = folder / "images", folder / "labels"
    for one in (images, labels):
        one.mkdir(parents=True, exist_ok=True)
    write_micrograph(images / f"{name}.tif", image)
    write_coco(labels / f"{name}.json", [(f"{name}.tif", analysis.found)])
    command = f'epistem train detector "{labels}" --from shipped --images "{images}" --out "{folder / "trained"}"'
    return Sent(images / f"{name}.tif", labels / f"{name}.json", command)


def said(analysis: Analysis) -> str:
    """What was found, how sure, and why, as a person reads it."""
    n, quantities, trust = len(analysis.found), analysis.quantities, analysis.reliability
    name = analysis.found.classes[0]
    lines = [f"{sentence(counted(n, name))} in {analysis.micrograph.name}."]
    size = quantities["mean_diameter_nm"]
    if size.value is None:
        size = quantities["mean_diameter_px"]
    if size.value is not None:
        ends = f" ({span(size.low, size.high, size.coverage)})" if size.low is not None else ""
        lines[0] = f"{lines[0][:-1]}, mean diameter {number(size.value)} {size.unit}{ends}."
    if trust.f1 is not None and not any(reason.startswith("Expected F1") for reason in trust.reasons):
        lines.append(f"Expected F1 {trust.f1.value:.2f} ({span(trust.f1.low, trust.f1.high, trust.f1.coverage)}).")
    if trust.verdict is not None:
        lines.append(f"Verdict: {trust.verdict}.")
    return "\n".join([*lines, *trust.reasons, *analysis.micrograph.warnings])


def typed_score(text: str) -> float | None:
    """The least score that a person typed; None for an empty line.

    Raises:
        SettingsError: no number from 0 to 1.
    """
    if not text.strip():
        return None
    try:
        score = float(text.replace(",", "."))
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise SettingsError(
            f"the least score is a number from 0 to 1, or nothing for the detector's own, not {text!r}"
        )
    return score
