"""Objects as torchvision's region networks want them while they learn, and objects from what these networks give."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import roi_align

from epistem import __version__
from epistem.core import Instances, Provenance

Target = dict[str, Any]

MASK_PX = 28
# A box that lies at least half in an ignored object is that object or a part of it. Their IoU is never larger than
# this share, so it needs no look of its own.
_IN_IGNORED = 0.5


class DetectionLimit(UserWarning):
    """More objects or proposals passed than the settings let through; the weakest were left out."""


def ignored_of(truth: Instances) -> NDArray[np.bool_]:
    return np.asarray(truth.columns.get("ignored", np.zeros(len(truth))), bool)


def target_of(truth: Instances, scale: Tensor) -> Target:
    """Boxes (n, 4) as x, y, x, y in the resized image, labels (-1 is ignored, these last), masks in the original."""
    ignored = ignored_of(truth)
    order = np.argsort(ignored, kind="stable")
    truth = truth[order]
    masks = list(truth.masks())
    corners = np.array([(mask.cols.start, mask.rows.start) for mask in masks], np.float32).reshape(-1, 2)
    return {
        "boxes": scale.new_tensor(truth.boxes[:, [1, 0, 3, 2]]) * scale.repeat(2),
        "labels": torch.tensor(np.where(ignored[order], -1, truth.label + 1), device=scale.device),
        "masks": [mask.crop for mask in masks],
        "corners": scale.new_tensor(corners),
        "scale": scale,
    }


def spare(labels: Tensor, boxes: Tensor, ignored: Tensor) -> Tensor:
    """The labels with -1, which is never sampled, for negatives that lie in an ignored object."""
    enough = _IN_IGNORED * (boxes[:, 2:] - boxes[:, :2]).prod(1)
    hit = torch.zeros_like(labels, dtype=torch.bool)
    for box in ignored:
        sides = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])
        hit |= sides.clamp(min=0).prod(1) >= enough
    return torch.where(hit & (labels == 0), -1, labels)


def mask_targets(target: Target, boxes: Tensor, matched: Tensor) -> Tensor:
    """Shares (k, 28, 28) of the object in the cells of each box.

    torchvision's own `project_masks_on_boxes` lies half a pixel off, an eighth of the smallest objects.
    """
    if not len(boxes):
        return boxes.new_zeros(0, MASK_PX, MASK_PX)
    used, place = torch.unique(matched, return_inverse=True)
    crops = [target["masks"][i] for i in used.tolist()]
    rows, cols = (max(edge) for edge in zip(*(crop.shape for crop in crops), strict=True))
    stack = np.zeros((len(crops), 1, rows + 2, cols + 2), np.float32)
    for plane, crop in zip(stack, crops, strict=True):
        plane[0, 1 : crop.shape[0] + 1, 1 : crop.shape[1] + 1] = crop
    inside = boxes / target["scale"].repeat(2) - (target["corners"][matched] - 1).repeat(1, 2)
    rois = torch.cat([place[:, None].to(inside), inside], dim=1)
    targets: Tensor = roi_align(torch.from_numpy(stack).to(inside), rois, MASK_PX, aligned=True)
    return targets[:, 0]


def crop_of(share: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask over the whole pixels a box touches: where the share, linear between the cells, is at least 0.5."""
    row0, col0, row1, col1 = box
    mask: NDArray[np.bool_] = _weights(row0, row1) @ share @ _weights(col0, col1).T >= 0.5
    return mask


def _weights(low: float, high: float) -> NDArray[np.float64]:
    """How much each cell between low and high counts at a pixel's centre, (pixels, 28); none for centres outside."""
    centres = np.arange(np.floor(low), np.ceil(high)) + 0.5
    cell = np.clip((centres - low) / (high - low) * MASK_PX - 0.5, 0, MASK_PX - 1)
    tent: NDArray[np.float64] = np.maximum(0, 1 - np.abs(cell[:, None] - np.arange(MASK_PX)))
    tent[(centres < low) | (centres > high)] = 0
    return tent


def in_image(boxes: Tensor, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Boxes from x, y, x, y to rows and columns; resizing may have carried them a rounding error outside."""
    edges = np.array([*shape, *shape], float)
    inside: NDArray[np.float64] = np.clip(boxes.double().numpy()[:, [1, 0, 3, 2]], 0, edges)
    return inside


def provenance_of(net: nn.Module, settings: dict[str, Any], limit: int | None, of: str = "objects") -> Provenance:
    """Where objects come from; a limit that cut some off, with the name of what it limits, is told."""
    if limit is not None:
        text = f"the limit of {limit} {of} is reached and weaker ones were left out; detect on smaller tiles"
        warnings.warn(text, DetectionLimit, stacklevel=3)
    maker = f"{type(net).__module__}.{type(net).__name__}"
    return Provenance(maker, __version__, settings | {"limit_reached": limit})


def instances_of(
    shape: tuple[int, ...],
    boxes: NDArray[np.float64],
    found: dict[str, Tensor],
    crops: list[NDArray[np.bool_]],
    classes: tuple[str, ...],
    provenance: Provenance,
) -> Instances:
    """Those with a mask; torchvision's heads have sorted them already."""
    rows = [i for i, crop in enumerate(crops) if crop.any()]
    return Instances(
        (shape[0], shape[1]),
        boxes[rows],
        found["scores"].double().numpy()[rows],
        found["labels"].numpy()[rows] - 1,
        classes,
        tuple(crops[i] for i in rows),
        provenance=provenance,
    )


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)
