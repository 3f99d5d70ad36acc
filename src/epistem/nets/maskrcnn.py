"""Mask R-CNN for hundreds of small objects in a grey image: torchvision's parts, put together anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from epistem import __version__
from epistem.core import Instances, Provenance, SettingsError, whole_boxes
from epistem.nets import lite0
from epistem.nets.sample import Sample

Target = dict[str, Any]

# Rows and columns are padded to multiples of the coarsest stride, or its cells would be spread over what is there.
_STRIDE_PX = 64
_LEVELS = ("0", "1", "2", "3")
_MASK_PX = 28
# A box that lies at least half in an ignored object is that object or a part of it. Their IoU is never larger than
# this share, so it needs no look of its own.
_IN_IGNORED = 0.5


class DetectionLimit(UserWarning):
    """More objects passed the threshold than the settings let through; the weakest were left out."""


@dataclass(frozen=True)
class MaskRCNNSettings:
    """What is needed to build the network again; the defaults are `SMALL`.

    Attributes:
        backbone: the encoder.
        pretrained: start from ImageNet weights (lite0 only); build with False to load trained weights.
        classes: names, background not among them.
        channels: width of the feature pyramid and of the mask head.
        box_features: width of the box head.
        anchors_px: edges of the anchors at strides 4, 8, 16, 32 and 64, equally many at each [px].
        anchor_ratios: their heights over their widths.
        rpn_…, box_…: torchvision's names and meanings.
        min_size_px, max_size_px: images are resized to this shorter edge, the longer one kept below the second; None
            leaves them as they are [px].
    """

    backbone: Literal["resnet50", "tf_efficientnet_lite0"] = "tf_efficientnet_lite0"
    pretrained: bool = False
    classes: tuple[str, ...] = ("cavity",)
    channels: int = 64
    box_features: int = 256
    anchors_px: tuple[tuple[int, ...], ...] = (
        (4, 8, 14),
        (20, 28, 40),
        (56, 72, 96),
        (128, 160, 200),
        (256, 320, 400),
    )
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_pre_nms_top_n_train: int = 2000
    rpn_pre_nms_top_n_test: int = 4000
    rpn_post_nms_top_n_train: int = 1000
    rpn_post_nms_top_n_test: int = 2000
    rpn_nms_thresh: float = 0.7
    rpn_fg_iou_thresh: float = 0.5
    rpn_bg_iou_thresh: float = 0.3
    rpn_batch_size_per_image: int = 256
    box_score_thresh: float = 0.05
    box_nms_thresh: float = 0.5
    box_detections_per_img: int = 1000
    box_fg_iou_thresh: float = 0.5
    box_bg_iou_thresh: float = 0.5
    box_batch_size_per_image: int = 256
    min_size_px: int | None = None
    max_size_px: int | None = None

    def __post_init__(self) -> None:
        counts = {len(edges) for edges in self.anchors_px}
        if len(self.anchors_px) != len(_LEVELS) + 1 or len(counts) != 1:
            raise SettingsError(f"anchors_px wants equally many edges at each of 5 strides, not {self.anchors_px}")
        if self.pretrained and self.backbone != lite0.ARCHITECTURE:
            raise SettingsError(
                f"there are ImageNet weights for {lite0.ARCHITECTURE}, none for {self.backbone}; set pretrained=False"
            )
        if (self.min_size_px is None) != (self.max_size_px is None):
            sizes = f"{self.min_size_px} and {self.max_size_px}"
            raise SettingsError(f"min_size_px and max_size_px go together, both or neither, not {sizes}")


SMALL = MaskRCNNSettings()
"""4 to 400 px on EfficientNet-lite0, images as they are."""

PUBLISHED = MaskRCNNSettings(
    backbone="resnet50",
    channels=256,
    box_features=1024,
    anchors_px=((4, 8, 16, 32, 64, 128, 256, 512),) * 5,
    rpn_pre_nms_top_n_test=1000,
    rpn_post_nms_top_n_test=1000,
    rpn_fg_iou_thresh=0.7,
    box_score_thresh=0.1,
    box_fg_iou_thresh=0.4,
    box_bg_iou_thresh=0.4,
    box_batch_size_per_image=128,
    min_size_px=800,
    max_size_px=1333,
)
"""A published cavity detector's settings, with Detectron2's defaults where they say nothing.

What differs: no COCO weights, one grey channel of z-scores instead of three of BGR, batch norm that learns.

Source: uw-cmg/cavity_defect_detection, detectron_maskrcnn_cavity.py and run_final_model_predictions.py.
"""


class CavityMaskRCNN(nn.Module):
    """Boxes, masks and scores of objects in a grey image.

    Source: He et al., Mask R-CNN, ICCV 2017; Lin et al., Feature pyramid networks, CVPR 2017.
    """

    Settings = MaskRCNNSettings
    settings: MaskRCNNSettings

    def __init__(self, settings: MaskRCNNSettings = SMALL) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = _Pyramid(settings)
        self.rpn = _proposer(settings)
        self.heads = _heads(settings)

    def losses(self, batch: Sequence[Sample]) -> dict[str, Tensor]:
        """What training minimises the sum of; objects with `ignored` are neither positive nor negative.

        Args:
            batch: images of any size with their objects' masks.

        Returns:
            Scalars `loss_objectness`, `loss_rpn_box_reg`, `loss_classifier`, `loss_box_reg`, `loss_mask`.

        Raises:
            SettingsError: the network is not in training mode.
        """
        if not self.training:
            raise SettingsError("losses are for training, this network is in eval mode; call train() first")
        images, scales = self._sized([sample.image for sample in batch])
        targets = [_target(sample.truth, scale) for sample, scale in zip(batch, scales, strict=True)]
        features = self.backbone(images.tensors)
        proposals, losses = self.rpn(images, features, targets)
        return {**losses, **self.heads.losses(features, proposals, images.image_sizes, targets)}

    @torch.no_grad()
    def detect(self, image: NDArray[np.float32]) -> Instances:
        """Objects with masks, surest first; those whose mask has no pixel are left out.

        Args:
            image: (H, W), robust z-scores.

        Returns:
            Scores from 0 to 1. Boxes are the network's; a mask may be smaller than its box. Provenance tells in
            `limit_reached` whether weaker objects were cut off.

        Warns:
            DetectionLimit: more than `box_detections_per_img` passed the threshold.
        """
        with _evaluating(self):
            images, [scale] = self._sized([image])
            features = self.backbone(images.tensors)
            proposals, _ = self.rpn(images, features)
            [found], _ = self.heads(features, proposals, images.image_sizes)
        limit = self.settings.box_detections_per_img
        # The heads let one more through than the limit: that tells a cut from a fit.
        cut = limit if len(found["boxes"]) > limit else None
        best = {name: column[:limit].cpu() for name, column in found.items()}
        boxes = _in_image(best["boxes"] / scale.cpu().repeat(2), image.shape)
        crops = [_crop(share, box) for share, box in zip(best["masks"][:, 0].numpy(), boxes, strict=True)]
        provenance = _provenance(self, asdict(self.settings), cut)
        return _instances(image.shape, boxes, best, crops, self.settings.classes, provenance)

    def _sized(self, images: Sequence[NDArray[np.float32]]) -> tuple[ImageList, list[Tensor]]:
        device = next(self.parameters()).device
        planes = [torch.tensor(image, dtype=torch.float32, device=device) for image in images]
        sized = [self._resized(plane) for plane in planes]
        sizes = [(plane.shape[0], plane.shape[1]) for plane in sized]
        scales = [
            torch.tensor([cols / plane.shape[1], rows / plane.shape[0]], device=device)
            for plane, (rows, cols) in zip(planes, sizes, strict=True)
        ]
        rows, cols = (-(-max(edge) // _STRIDE_PX) * _STRIDE_PX for edge in zip(*sizes, strict=True))
        batch = planes[0].new_zeros(len(sized), 1, rows, cols)
        for image, plane in zip(batch, sized, strict=True):
            image[0, : plane.shape[0], : plane.shape[1]] = plane
        return ImageList(batch, sizes), scales

    def _resized(self, plane: Tensor) -> Tensor:
        low, high = self.settings.min_size_px, self.settings.max_size_px
        if low is None or high is None:
            return plane
        factor = min(low / min(plane.shape), high / max(plane.shape))
        resized = F.interpolate(plane[None, None], scale_factor=factor, mode="bilinear", recompute_scale_factor=True)
        return resized[0, 0]


class _Pyramid(nn.Module):
    """Encoder and feature pyramid: maps at strides 4, 8, 16, 32 and 64."""

    def __init__(self, settings: MaskRCNNSettings) -> None:
        super().__init__()
        levels = (1, 2, 3, 4)
        if settings.backbone == lite0.ARCHITECTURE:
            self.body = lite0.encoder(settings.pretrained, levels)
            widths = list(lite0.CHANNELS[1:])
        else:
            body: Any = timm.create_model(settings.backbone, features_only=True, in_chans=1, out_indices=levels)
            self.body = body
            widths = body.feature_info.channels()
        self.fpn = FeaturePyramidNetwork(widths, settings.channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.fpn(dict(zip(_LEVELS, self.body(images), strict=True)))
        return maps


class _Proposer(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's, which learns nothing from anchors on ignored objects."""

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: list[Target]) -> tuple[Any, Any]:
        wanted = [{"boxes": target["boxes"][target["labels"] > 0]} for target in targets]
        labels, boxes = super().assign_targets_to_anchors(anchors, wanted)
        spared = [target["boxes"][target["labels"] < 0] for target in targets]
        return [_spare(*row) for row in zip(labels, anchors, spared, strict=True)], boxes

    def compute_loss(self, objectness: Tensor, moves: Tensor, labels: Any, wanted: Any) -> tuple[Tensor, Tensor]:
        if all((label < 0).all() for label in labels):
            return objectness.sum() * 0, moves.sum() * 0
        losses: tuple[Tensor, Tensor] = super().compute_loss(objectness, moves, labels, wanted)
        return losses


class _Heads(RoIHeads):  # type: ignore[misc]
    """torchvision's, which learns nothing from proposals on ignored objects, and takes masks as crops."""

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], boxes: list[Tensor], labels: list[Tensor]
    ) -> tuple[Any, Any]:
        # Ignored objects come last, so an index among the others is an index among all.
        rows = list(zip(boxes, labels, strict=True))
        kept, kinds = [box[label > 0] for box, label in rows], [label[label > 0] for label in labels]
        matched, assigned = super().assign_targets_to_proposals(proposals, kept, kinds)
        spared = [box[label < 0] for box, label in rows]
        return matched, [_spare(*row) for row in zip(assigned, proposals, spared, strict=True)]

    def losses(
        self, features: dict[str, Tensor], proposals: list[Tensor], sizes: list[Any], targets: list[Target]
    ) -> dict[str, Tensor]:
        proposals, matched, labels, wanted = self.select_training_samples(proposals, targets)
        pooled = self.box_roi_pool(features, proposals, sizes)  # (k, C, 7, 7)
        logits, moves = self.box_predictor(self.box_head(pooled))
        if not len(logits):
            return {"loss_classifier": logits.sum(), "loss_box_reg": moves.sum(), "loss_mask": logits.sum()}
        loss_classifier, loss_box_reg = fastrcnn_loss(logits, moves, labels, wanted)
        objects = [label > 0 for label in labels]
        boxes = [proposal[chosen] for proposal, chosen in zip(proposals, objects, strict=True)]
        masks = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, sizes)))  # (p, 1 + n, 28, 28)
        matched = [match[chosen] for match, chosen in zip(matched, objects, strict=True)]
        truth = torch.cat([_mask_targets(*row) for row in zip(targets, boxes, matched, strict=True)])  # (p, 28, 28)
        label = torch.cat([label[chosen] for label, chosen in zip(labels, objects, strict=True)])
        own = masks[torch.arange(len(label), device=label.device), label]  # (p, 28, 28)
        loss_mask = F.binary_cross_entropy_with_logits(own, truth) if len(label) else masks.sum()
        return {"loss_classifier": loss_classifier, "loss_box_reg": loss_box_reg, "loss_mask": loss_mask}


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
            truth = sample.truth[~_ignored(sample.truth)]
            masks = np.zeros((len(truth), *truth.shape), np.uint8)
            for full, mask in zip(masks, truth.masks(), strict=True):
                full[mask.rows, mask.cols] = mask.crop
            target = _target(truth, torch.ones(2, device=self._device))
            targets.append(target | {"masks": torch.tensor(masks, device=self._device)})
        losses: dict[str, Tensor] = self.net([self._three(sample.image) for sample in batch], targets)
        return losses

    @torch.no_grad()
    def detect(self, image: NDArray[np.float32]) -> Instances:
        """As `CavityMaskRCNN.detect`; 100 objects at most."""
        with _evaluating(self):
            [found] = self.net([self._three(image)])
        found = {name: column.cpu() for name, column in found.items()}
        boxes = _in_image(found["boxes"], image.shape)
        crops = [
            full[0, r0:r1, c0:c1].numpy() >= 0.5
            for full, (r0, c0, r1, c1) in zip(found["masks"], whole_boxes(boxes).tolist(), strict=True)
        ]
        limit = self.net.roi_heads.detections_per_img
        provenance = _provenance(self, {"num_classes": self.num_classes}, limit if len(boxes) == limit else None)
        classes = tuple(f"class {i}" for i in range(1, self.num_classes))
        return _instances(image.shape, boxes, found, crops, classes, provenance)

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


def _proposer(settings: MaskRCNNSettings) -> _Proposer:
    anchors = AnchorGenerator(settings.anchors_px, (settings.anchor_ratios,) * len(settings.anchors_px))
    return _Proposer(
        anchors,
        RPNHead(settings.channels, anchors.num_anchors_per_location()[0]),
        settings.rpn_fg_iou_thresh,
        settings.rpn_bg_iou_thresh,
        settings.rpn_batch_size_per_image,
        0.5,
        {"training": settings.rpn_pre_nms_top_n_train, "testing": settings.rpn_pre_nms_top_n_test},
        {"training": settings.rpn_post_nms_top_n_train, "testing": settings.rpn_post_nms_top_n_test},
        settings.rpn_nms_thresh,
    )


def _heads(settings: MaskRCNNSettings) -> _Heads:
    width, kinds = settings.channels, len(settings.classes) + 1
    return _Heads(
        _pool(7),
        TwoMLPHead(width * 7**2, settings.box_features),
        FastRCNNPredictor(settings.box_features, kinds),
        settings.box_fg_iou_thresh,
        settings.box_bg_iou_thresh,
        settings.box_batch_size_per_image,
        0.25,
        None,
        settings.box_score_thresh,
        settings.box_nms_thresh,
        settings.box_detections_per_img + 1,
        _pool(_MASK_PX // 2),
        MaskRCNNHeads(width, (width,) * 4, 1),
        MaskRCNNPredictor(width, width, kinds),
    )


def _pool(size: int) -> MultiScaleRoIAlign:
    pool = MultiScaleRoIAlign(list(_LEVELS), size, sampling_ratio=2)
    # Left alone, it guesses the strides from the first image it sees, and wrongly where that was mostly padding.
    pool.scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    pool.map_levels = initLevelMapper(2, 5, canonical_scale=224, canonical_level=4)
    return pool


def _ignored(truth: Instances) -> NDArray[np.bool_]:
    return np.asarray(truth.columns.get("ignored", np.zeros(len(truth))), bool)


def _target(truth: Instances, scale: Tensor) -> Target:
    """Boxes (n, 4) as x, y, x, y in the resized image, labels (-1 is ignored, these last), masks in the original."""
    ignored = _ignored(truth)
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


def _spare(labels: Tensor, boxes: Tensor, ignored: Tensor) -> Tensor:
    """The labels with -1, which is never sampled, for negatives that lie in an ignored object."""
    enough = _IN_IGNORED * (boxes[:, 2:] - boxes[:, :2]).prod(1)
    hit = torch.zeros_like(labels, dtype=torch.bool)
    for box in ignored:
        sides = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])
        hit |= sides.clamp(min=0).prod(1) >= enough
    return torch.where(hit & (labels == 0), -1, labels)


def _mask_targets(target: Target, boxes: Tensor, matched: Tensor) -> Tensor:
    """Shares (k, 28, 28) of the object in the cells of each box.

    torchvision's own `project_masks_on_boxes` lies half a pixel off, an eighth of the smallest objects.
    """
    if not len(boxes):
        return boxes.new_zeros(0, _MASK_PX, _MASK_PX)
    used, place = torch.unique(matched, return_inverse=True)
    crops = [target["masks"][i] for i in used.tolist()]
    rows, cols = (max(edge) for edge in zip(*(crop.shape for crop in crops), strict=True))
    stack = np.zeros((len(crops), 1, rows + 2, cols + 2), np.float32)
    for plane, crop in zip(stack, crops, strict=True):
        plane[0, 1 : crop.shape[0] + 1, 1 : crop.shape[1] + 1] = crop
    inside = boxes / target["scale"].repeat(2) - (target["corners"][matched] - 1).repeat(1, 2)
    rois = torch.cat([place[:, None].to(inside), inside], dim=1)
    targets: Tensor = roi_align(torch.from_numpy(stack).to(inside), rois, _MASK_PX, aligned=True)
    return targets[:, 0]


def _crop(share: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask over the whole pixels a box touches: where the share, linear between the cells, is at least 0.5."""
    row0, col0, row1, col1 = box
    mask: NDArray[np.bool_] = _weights(row0, row1) @ share @ _weights(col0, col1).T >= 0.5
    return mask


def _weights(low: float, high: float) -> NDArray[np.float64]:
    """How much each cell between low and high counts at a pixel's centre, (pixels, 28); none for centres outside."""
    centres = np.arange(np.floor(low), np.ceil(high)) + 0.5
    cell = np.clip((centres - low) / (high - low) * _MASK_PX - 0.5, 0, _MASK_PX - 1)
    tent: NDArray[np.float64] = np.maximum(0, 1 - np.abs(cell[:, None] - np.arange(_MASK_PX)))
    tent[(centres < low) | (centres > high)] = 0
    return tent


def _in_image(boxes: Tensor, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Boxes from x, y, x, y to rows and columns; resizing may have carried them a rounding error outside."""
    edges = np.array([*shape, *shape], float)
    inside: NDArray[np.float64] = np.clip(boxes.double().numpy()[:, [1, 0, 3, 2]], 0, edges)
    return inside


def _provenance(net: nn.Module, settings: dict[str, Any], limit: int | None) -> Provenance:
    if limit is not None:
        text = f"the limit of {limit} objects is reached and weaker ones were left out; detect on smaller tiles"
        warnings.warn(text, DetectionLimit, stacklevel=3)
    maker = f"{type(net).__module__}.{type(net).__name__}"
    return Provenance(maker, __version__, settings | {"limit_reached": limit})


def _instances(
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
def _evaluating(net: nn.Module) -> Iterator[None]:
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)
