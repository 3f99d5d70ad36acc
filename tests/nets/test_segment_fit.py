from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epistem.core import SettingsError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from epistem.nets.judge import Judge  # noqa: E402
from epistem.nets.segment_fit import (  # noqa: E402
    Learning,
    Settings,
    enlarged,
    predict_image,
    predictor,
    schedule_of,
    steps_of,
    tile_score,
    training_tiles,
)
from epistem.nets.tiles import IGNORED, Labelled, collate, cut, spread_tiles  # noqa: E402
from epistem.nets.train import fit  # noqa: E402

SETTINGS = Settings(steps=40, batch=4, learning_rate=3e-2, decay="cosine", seed=0, tile_px=32)


class Pointwise(nn.Module):
    """Answers each pixel by itself."""

    def __init__(self, channels: int = 1, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(channels, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(images)
        return found


def images(n: int = 2, *, shape: tuple[int, int] = (48, 40)) -> list[Labelled]:
    """Noise whose bright pixels are of class 1, with some that do not count."""
    found = []
    for i in range(n):
        image = np.random.default_rng(i).normal(size=(1, *shape)).astype(np.float32)
        labels = (image[0] > 0).astype(np.int16)
        labels[:2] = IGNORED
        found.append(Labelled(image, labels, f"g{i}"))
    return found


def share_right(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    return float(np.mean([(f == t)[t != IGNORED].mean() for f, t in zip(found, truth, strict=True)]))


@pytest.mark.parametrize("shape", [(32, 32), (33, 70), (20, 40), (100, 31), (5, 3)])
def test_windows_of_a_pointwise_network_join_to_its_answer_for_the_whole(shape):
    network, image = Pointwise(2), np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found = predict_image(network, image, tile_px=32, batch=3)
    with torch.no_grad():
        whole = network(torch.from_numpy(image)[None])[0].softmax(0).numpy()
    assert found.shape == (3, *shape)
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_where_windows_overlap_the_one_whose_edge_is_farther_counts_more():
    class Place(nn.Module):
        """Says 1 in the left half of its window."""

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            left = (torch.arange(given.shape[-1]) < given.shape[-1] // 2).float() * 60 - 30
            return torch.stack([-left.expand(given.shape[0], *given.shape[-2:])] * 2, 1) * torch.tensor(
                [0.5, -0.5]
            ).view(1, 2, 1, 1)

    found = predict_image(Place(), np.zeros((1, 32, 56), np.float32), tile_px=32)[1, 10]
    # Windows at 0 and 24: columns 24 to 31 are right in the first and left in the second.
    assert (np.diff(found[24:32]) > 0).all()
    assert found[24] < 0.2
    assert found[31] > 0.8


def test_a_predictor_gives_probabilities_of_many_images_at_once():
    given = np.random.default_rng(0).normal(size=(5, 1, 16, 24)).astype(np.float32)
    network = Pointwise()
    found = predictor(network.train())(given)
    assert found.shape == (5, 3, 16, 24)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(found[3], predict_image(network, given[3], tile_px=32), atol=1e-6)


@pytest.mark.parametrize(("shape", "shrink"), [((12, 12), 1), ((12, 9), 3), ((13, 17), 4)])
def test_answers_are_enlarged_to_the_size_of_the_file_around_their_blocks_centres(shape, shrink):
    small = np.random.default_rng(0).random((2, -(-shape[0] // shrink), -(-shape[1] // shrink))).astype(np.float32)
    large = enlarged(small, shape, shrink)
    assert large.shape == (2, *shape)
    if shrink == 3:
        np.testing.assert_allclose(large[:, 1::3, 1::3], small, atol=1e-6)


def test_a_perfect_answer_costs_nearly_nothing_and_what_is_ignored_costs_nothing():
    tile = cut(images(1)[0], 0, 0, 32)
    batch = collate([tile])
    exact = nn.Conv2d(1, 2, 1)
    nn.init.constant_(exact.bias, 0)
    exact.weight.data[:] = torch.tensor([-1e6, 1e6]).view(2, 1, 1, 1)
    losses = Learning(exact, "default").losses(batch)
    assert {name: round(value.item(), 4) for name, value in losses.items()} == {"entropy": 0, "dice": 0}
    other = collate([tile._replace(image=np.where(tile.labels == IGNORED, 99, tile.image).astype(np.float32))])
    network = Learning(Pointwise(classes=2), "default")
    for name, value in network.losses(other).items():
        assert value.item() == pytest.approx(network.losses(batch)[name].item())


def test_a_batch_without_a_label_costs_nothing_and_can_be_learned_from():
    tile = cut(images(1)[0], 0, 0, 32)
    network = Learning(Pointwise(classes=2), "default")
    losses = network.losses(collate([tile._replace(labels=np.full_like(tile.labels, IGNORED))]))
    sum(losses.values()).backward()
    assert sum(value.item() for value in losses.values()) == 0
    assert not network.segmenter.layer.weight.grad.any()


def test_a_batch_of_background_alone_has_no_dice_loss():
    tile = cut(images(1)[0], 0, 0, 32)
    losses = Learning(Pointwise(classes=2), "default").losses(collate([tile._replace(labels=0 * tile.labels)]))
    assert losses["dice"].item() == 0
    assert losses["entropy"].item() > 0


def test_the_paper_has_cross_entropy_alone_adam_no_augmentation_and_no_mean_of_weights():
    paper = replace(SETTINGS, preset="paper")
    assert list(Learning(Pointwise(classes=2), "paper").losses(collate([cut(images(1)[0], 0, 0, 32)]))) == ["entropy"]
    schedule = schedule_of(paper)
    assert (schedule.optimizer, schedule.weight_decay, schedule.average) == ("adam", 1e-5, 0.0)
    assert not training_tiles(images(), paper).augment
    assert training_tiles(images(), SETTINGS).augment


def test_an_epoch_covers_all_images_once():
    assert steps_of(images(3, shape=(64, 65)), 32, 4, 1) == math.ceil(3 * 2 * 3 / 4)
    assert steps_of(images(3, shape=(64, 65)), 32, 4, 10) == 50
    assert steps_of(images(1, shape=(5, 5)), 32, 16, 7) == 7


def test_a_network_learns_what_is_bright_and_is_kept_where_it_scores_highest(tmp_path: Path):
    network = Pointwise(classes=2)
    tiles = spread_tiles(images(), 32, 8)
    judge = Judge(tile_score(tiles, share_right, 4), every=10)
    settings = replace(SETTINGS, preset="paper")
    learner = Learning(network, "paper")
    fit(learner, training_tiles(images(), settings), schedule_of(settings), tmp_path, workers=0, judge=judge)
    assert judge.score(learner) > 0.9


def test_no_validation_image_is_refused():
    with pytest.raises(SettingsError, match="no validation image to choose the checkpoint on"):
        tile_score([], share_right, 4)
