"""Segment Anything's automatic masks, from memory or as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import Instances, RecordError
from epistem.core.polygon import tight
from epistem.detect.adapters.coco import coded_size, segmentation_item
from epistem.detect.adapters.content import (
    Content,
    Item,
    Shape,
    each,
    need_shape,
    read_json,
    same_shape,
    to_instances,
)


def from_sam(records: Sequence[Mapping[str, Any]], shape: Shape) -> Instances:
    """What `SamAutomaticMaskGenerator.generate` returns, as Instances.

    Args:
        records: one dictionary an object, `segmentation` as bool array or in COCO's coding.
        shape: rows and columns of the image.

    Returns:
        `predicted_iou` as score (where the network says more than 1, it is 1), `stability_score` as column.

    Raises:
        ShapeError: masks of another size.
        RecordError: records without masks or boxes.
    """
    return to_instances(_content(records, shape, "Segment Anything records"), source="memory", kind="sam")


def read_sam(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """A JSON list of such records, or SA-1B's dictionary with `annotations`."""
    data = read_json(path)
    records = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise RecordError(f"{path.name}: wanted a list of Segment Anything records; save what generate() returns")
    size = coded_size(records, path.name)
    if size is None:
        size = need_shape(shape, path.name, "this Segment Anything file")
    return _content(records, same_shape(size, shape, path.name), path.name)


def _content(records: Sequence[Mapping[str, Any]], shape: Shape, source: str) -> Content:
    def item(record: Mapping[str, Any]) -> Item:
        # The network's own guess of its IoU is not bounded.
        score = float(np.clip(record.get("predicted_iou", math.nan), 0, 1))
        stability = record.get("stability_score")
        more: dict[str, float | bool] = {} if stability is None else {"stability": float(stability)}
        if isinstance(record.get("segmentation"), np.ndarray):
            full = record["segmentation"]
            same_shape(full.shape, shape, source)
            return Item(tight(full.astype(bool)), None, score, "object", more)
        return segmentation_item(record, shape, source, score=score, class_name="object", more=more)

    return Content(shape, each(records, "record", source, item))
