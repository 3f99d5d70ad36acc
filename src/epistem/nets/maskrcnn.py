"""Mask R-CNN for hundreds of small objects in a grey image: torchvision's parts, put together anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from epistem.core import Instances, SettingsError
from epistem.nets import lite0
from epistem.nets.regions import (
    MASK_PX,
    Target,
    crop_of,
    evaluating,
    in_image,
    instances_of,
    mask_targets,
    provenance_of,
    spare,
    target_of,
)
from epistem.nets.sample import Sample

# Rows and columns are padded to multiples of the coarsest stride, or its cells would be spread over what is there.
_STRIDE_PX = 64
_LIKE_OBJECT = 0.7  # objectness of a proposal; before any training it is about 0.5 everywhere
_LEVELS = ("0", "1", "2", "3")


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
        scale, shift: calibrated score = σ(scale·logit + shift), the share of such objects that are true on the data
            the network was calibrated on; `box_score_thresh` is of the score before.
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
    scale: float = 1.0
    shift: float = 0.0
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

What differs: no COCO weights, one grey channel of z-scores instead of three of BGR, batch norm that
learns, AdamW instead of SGD.

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
        targets = [target_of(sample.truth, scale) for sample, scale in zip(batch, scales, strict=True)]
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
            DetectionLimit: more than `box_detections_per_img` passed the threshold, or more than
                `rpn_post_nms_top_n_test` proposals look like objects.
        """
        with evaluating(self):
            images, [scale] = self._sized([image])
            features = self.backbone(images.tensors)
            proposals, _ = self.rpn(images, features)
            [found], _ = self.heads(features, proposals, images.image_sizes)
        limit = self.settings.box_detections_per_img
        # The heads let one more through than the limit: that tells a cut from a fit.
        is_cut = len(found["boxes"]) > limit
        cut, of = (limit, "objects") if is_cut else (self.rpn.cut, "proposals")
        best = {name: column[:limit].cpu() for name, column in found.items()}
        best["scores"] = self._calibrated(best["scores"])
        boxes = in_image(best["boxes"] / scale.cpu().repeat(2), image.shape)
        crops = [crop_of(share, box) for share, box in zip(best["masks"][:, 0].numpy(), boxes, strict=True)]
        provenance = provenance_of(self, asdict(self.settings), cut, of)
        return instances_of(image.shape, boxes, best, crops, self.settings.classes, provenance)

    def _calibrated(self, scores: Tensor) -> Tensor:
        if (self.settings.scale, self.settings.shift) == (1.0, 0.0):
            return scores
        # A score of exactly 0 or 1 has no finite logit.
        logits = torch.logit(scores.double().clamp(1e-6, 1 - 1e-6))
        return torch.sigmoid(self.settings.scale * logits + self.settings.shift)

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
    """torchvision's, which learns nothing from anchors on ignored objects.

    Attributes:
        cut: the limit on proposals if those of the last image were cut by it, None if not.
    """

    cut: int | None = None

    def filter_proposals(self, *given: Any) -> tuple[list[Tensor], list[Tensor]]:
        boxes, objectness = super().filter_proposals(*given)
        if not self.training:
            # Background fills the list up to the limit in every large image; a cut through objects is what matters.
            limit = self.post_nms_top_n()
            is_cut = any(len(one) >= limit and float(one.min()) > _LIKE_OBJECT for one in objectness)
            self.cut = limit if is_cut else None
        return boxes, objectness

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: list[Target]) -> tuple[Any, Any]:
        wanted = [{"boxes": target["boxes"][target["labels"] > 0]} for target in targets]
        labels, boxes = super().assign_targets_to_anchors(anchors, wanted)
        spared = [target["boxes"][target["labels"] < 0] for target in targets]
        return [spare(*row) for row in zip(labels, anchors, spared, strict=True)], boxes

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
        return matched, [spare(*row) for row in zip(assigned, proposals, spared, strict=True)]

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
        truth = torch.cat([mask_targets(*row) for row in zip(targets, boxes, matched, strict=True)])  # (p, 28, 28)
        label = torch.cat([label[chosen] for label, chosen in zip(labels, objects, strict=True)])
        own = masks[torch.arange(len(label), device=label.device), label]  # (p, 28, 28)
        loss_mask = F.binary_cross_entropy_with_logits(own, truth) if len(label) else masks.sum()
        return {"loss_classifier": loss_classifier, "loss_box_reg": loss_box_reg, "loss_mask": loss_mask}


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
        _pool(MASK_PX // 2),
        MaskRCNNHeads(width, (width,) * 4, 1),
        MaskRCNNPredictor(width, width, kinds),
    )


def _pool(size: int) -> MultiScaleRoIAlign:
    pool = MultiScaleRoIAlign(list(_LEVELS), size, sampling_ratio=2)
    # Left alone, it guesses the strides from the first image it sees, and wrongly where that was mostly padding.
    pool.scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    pool.map_levels = initLevelMapper(2, 5, canonical_scale=224, canonical_level=4)
    return pool
