"""torchvision's Mask R-CNN as it comes, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn

from epistem.core import Instances, whole_boxes
from epistem.nets.regions import evaluating, ignored_of, in_image, instances_of, provenance_of, target_of
from epistem.nets.sample import Sample


class Stock(nn.Module):
    """torchvision's `maskrcnn_resnet50_fpn` as it comes, untrained, for comparison; see `stock`."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.net = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=num_classes)

    def losses(self, batch: Sequence[Sample]) -> dict[str, Tensor]:
        """As `CavityMaskRCNN.losses`, but ignored objects count as background: torchvision knows no others."""
        targets = []
        for sample in batch:
            truth = sample.truth[~ignored_of(sample.truth)]
            masks = np.zeros((len(truth), *truth.shape), np.uint8)
            for full, mask in zip(masks, truth.masks(), strict=True):
                full[mask.rows, mask.cols] = mask.crop
            target = target_of(truth, torch.ones(2, device=self._device))
            targets.append(target | {"masks": torch.tensor(masks, device=self._device)})
        losses: dict[str, Tensor] = self.net([self._three(sample.image) for sample in batch], targets)
        return losses

    @torch.no_grad()
    def detect(self, image: NDArray[np.float32]) -> Instances:
        """As `CavityMaskRCNN.detect`; 100 objects at most."""
        with evaluating(self):
            [found] = self.net([self._three(image)])
        found = {name: column.cpu() for name, column in found.items()}
        boxes = in_image(found["boxes"], image.shape)
        crops = [
            full[0, r0:r1, c0:c1].numpy() >= 0.5
            for full, (r0, c0, r1, c1) in zip(found["masks"], whole_boxes(boxes).tolist(), strict=True)
        ]
        limit = self.net.roi_heads.detections_per_img
        provenance = provenance_of(self, {"num_classes": self.num_classes}, limit if len(boxes) == limit else None)
        classes = tuple(f"class {i}" for i in range(1, self.num_classes))
        return instances_of(image.shape, boxes, found, crops, classes, provenance)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _three(self, image: NDArray[np.float32]) -> Tensor:
        # torchvision wants 0 to 1; ±5 robust standard deviations hold nearly every pixel of a micrograph.
        grey = torch.tensor(image, dtype=torch.float32, device=self._device)
        return ((grey + 5) / 10).clamp(0, 1).expand(3, -1, -1)


def stock(num_classes: int = 2) -> Stock:
    """torchvision's Mask R-CNN with ResNet-50, unchanged, behind the interface of `CavityMaskRCNN`.

    Args:
        num_classes: background included.
    """
    return Stock(num_classes)
