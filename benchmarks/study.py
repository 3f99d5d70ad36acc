"""Where the real images are, and how the labelled cavities are read; nothing of them lies in this repository."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epistem.core import Instances, Micrograph
from epistem.imaging import read


def study_data(folder: str) -> Path | None:
    """A folder of real images, or None where EPISTEM_STUDY_DATA does not lead to it."""
    root = os.environ.get("EPISTEM_STUDY_DATA")
    path = Path(root) / folder if root else None
    return path if path is not None and path.is_dir() else None


@dataclass(frozen=True, eq=False)
class Labelled:
    """One crop as one annotator saw it.

    Attributes:
        sure: the truth, boxes clipped to the crop.
        ambiguous: objects the annotator was not sure of.
        window: [x0, y0, x1, y1]; only objects with their centre inside were annotated.
    """

    sure: Instances
    ambiguous: Instances
    window: tuple[float, float, float, float]
    focus: str

    def inside(self, found: Instances) -> Instances:
        """The found objects whose centre lies where the annotator looked."""
        x0, y0, x1, y1 = self.window
        row, col = found.centres.T
        return found[(col >= x0) & (col < x1) & (row >= y0) & (row < y1)]


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop with its annotators, by their letter."""

    name: str
    micrograph: Micrograph
    annotators: dict[str, Labelled]


def labelled_cavities() -> list[Crop]:
    """The crops of `cavity_tem_labelled`; empty where they are not here."""
    folder = study_data("cavity_tem_labelled")
    if folder is None:
        return []
    records = json.loads((folder / "annotations.json").read_text("utf-8"))
    return [_crop(name, record, folder / "images" / f"{name}.png") for name, record in records.items()]


def _crop(name: str, record: dict, path: Path) -> Crop:
    micrograph = read(path)
    assert isinstance(micrograph, Micrograph)
    by_letter = {letter: _labelled(one, micrograph.shape) for letter, one in record["annotators"].items()}
    return Crop(name, micrograph, by_letter)


def _labelled(one: dict, shape: tuple[int, int]) -> Labelled:
    window = tuple(one["window"] or (0, 0, shape[1], shape[0]))
    rows = np.array([[c["cx"], c["cy"], c["w"], c["h"], c["sure"]] for c in one["cavities"]], float).reshape(-1, 5)
    x, y, w, h, sure = rows.T
    boxes = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1)
    boxes = np.clip(boxes, 0, [shape[0], shape[1], shape[0], shape[1]])
    there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    inside = (x >= window[0]) & (x < window[2]) & (y >= window[1]) & (y < window[3])
    is_truth = (sure > 0) & inside
    # Objects with their centre outside were not asked for: they may be matched, and count neither way.
    return Labelled(
        Instances.from_boxes(shape, boxes[is_truth & there]),
        Instances.from_boxes(shape, boxes[~is_truth & there]),
        window,
        one["focus"],
    )
