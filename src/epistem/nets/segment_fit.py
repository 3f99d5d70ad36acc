"""A segmentation network: trained on tiles, kept where it scores highest on validation tiles, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from epistem.core import SettingsError
from epistem.nets.tiles import IGNORED, Image, Labelled, RandomTiles, Tile, batches, collate, cut
from epistem.nets.train import Decay, Schedule

Preset = Literal["default", "paper"]
_SMOOTH = 1.0  # pixels added to both sides of the Dice loss, so that a tile without a class costs nothing
_OVERLAP = 4  # neighbouring windows share a quarter of their side


class Learning(nn.Module):
    """A segmentation network with its loss: cross-entropy, and in the preset "default" also 1 − Dice.

    The Dice loss is soft, of the foreground classes that the batch shows, over all its pixels.
    Source: Milletari et al., V-Net, 3DV 2016, with sums instead of squares.
    """

    def __init__(self, segmenter: nn.Module, preset: Preset) -> None:
        super().__init__()
        self.segmenter, self.preset = segmenter, preset

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.segmenter(images)
        return logits

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        device = next(self.parameters()).device
        images, labels = (part.to(device) for part in batch)
        logits = self(images.contiguous(memory_format=torch.channels_last)).float()
        counted = labels != IGNORED
        if not bool(counted.any()):
            return {"entropy": logits.sum() * 0}
        losses = {"entropy": F.cross_entropy(logits, labels, ignore_index=IGNORED)}
        return losses if self.preset == "paper" else losses | {"dice": _dice_loss(logits, labels, counted)}

    @staticmethod
    def collate(tiles: Sequence[Tile]) -> tuple[Tensor, Tensor]:
        return collate(tiles)


@dataclass(frozen=True)
class Settings:
    """How a segmentation network learns; the presets' other values are in `schedule_of`.

    Attributes:
        steps: of `batch` tiles.
        tile_px: side of a tile [px].
        half: bfloat16 where torch holds it safe.
    """

    steps: int
    batch: int
    learning_rate: float
    decay: Decay
    seed: int
    tile_px: int
    preset: Preset = "default"
    half: bool = False


def schedule_of(settings: Settings) -> Schedule:
    """The schedule of a preset: "paper" is Adam with weight decay 1e-5 and no running mean of weights."""
    common: dict[str, Any] = {"decay": settings.decay, "seed": settings.seed, "half": settings.half}
    if settings.preset == "paper":
        common |= {"optimizer": "adam", "weight_decay": 1e-5, "average": 0.0, "clip": 1e9}
    return Schedule(settings.steps, settings.batch, settings.learning_rate, **common)


def steps_of(images: Sequence[Labelled], tile_px: int, batch: int, epochs: int) -> int:
    """Steps of so many epochs: in one, as many tiles are drawn as cover all images once."""
    tiles = sum(int(np.prod([-(-size // tile_px) for size in one.labels.shape])) for one in images)
    return max(1, -(-tiles // batch)) * epochs


def training_tiles(images: Sequence[Labelled], settings: Settings) -> RandomTiles:
    """What the network learns from; "paper" knows no augmentation."""
    return RandomTiles(images, settings.tile_px, augment=settings.preset == "default")


Rate = Callable[[list[NDArray[Any]], list[NDArray[Any]]], float]


def tile_score(tiles: Sequence[Tile], rate: Rate, batch: int) -> Callable[[nn.Module], float]:
    """A judge's `score`: of the labels a network gives to these tiles, by `rate(found, truth)`."""
    if not tiles:
        raise SettingsError("there is no validation image to choose the checkpoint on")

    def score(network: nn.Module) -> float:
        found = [labels for part in batches(tiles, batch) for labels in _probabilities(network, part).argmax(1)]
        return rate(found, [tile.labels for tile in tiles])

    return score


def predict_image(network: nn.Module, image: Image, *, tile_px: int, batch: int = 8) -> NDArray[np.float32]:
    """Probabilities of the classes, (K, H, W), looked at through windows as large as those learned from.

    Windows share a quarter of their side; where they overlap, the one whose edge is farther away counts more. The
    windows are not larger than in training, because encoders with global pooling answer by their whole window.
    """
    _, rows, cols = image.shape
    places = [(row, col) for row in _starts(rows, tile_px) for col in _starts(cols, tile_px)]
    whole = Labelled(image, np.zeros((rows, cols), np.int16), "")
    weight = _window(tile_px)
    sums: NDArray[np.float32] | None = None
    total = np.zeros((rows, cols), np.float32)
    for part in batches(places, batch):
        found = _probabilities(network, [cut(whole, row, col, tile_px) for row, col in part])
        sums = np.zeros((found.shape[1], rows, cols), np.float32) if sums is None else sums
        for (row, col), one in zip(part, found, strict=True):
            inside = np.s_[row : row + tile_px, col : col + tile_px]
            high, wide = total[inside].shape
            sums[(slice(None), *inside)] += (one * weight)[:, :high, :wide]
            total[inside] += weight[:high, :wide]
    assert sums is not None
    return sums / total


def predictor(network: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network as a function from images (N, C, H, W) to probabilities (N, K, H, W)."""
    ready = network.eval()
    return lambda images: _forward(ready, images)


def enlarged(probability: NDArray[np.float32], shape: tuple[int, int], shrink: int) -> NDArray[np.float32]:
    """Probabilities of blocks at the size of the image they came from, bilinear between the blocks' centres."""
    if shrink == 1:
        return probability
    maps = torch.from_numpy(probability)[None]
    large: NDArray[np.float32] = F.interpolate(maps, scale_factor=float(shrink), mode="bilinear")[0].numpy()
    return large[:, : shape[0], : shape[1]]


def _probabilities(network: nn.Module, tiles: Sequence[Tile]) -> NDArray[np.float32]:
    return _forward(network, np.stack([tile.image for tile in tiles]))


@torch.inference_mode()
def _forward(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    given = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device)
    logits = network(given.contiguous(memory_format=torch.channels_last))
    found: NDArray[np.float32] = logits.float().softmax(1).cpu().numpy()
    return found


def _dice_loss(logits: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    found = logits.softmax(1) * counted[:, None]
    n = logits.shape[1]
    truth = F.one_hot(labels.clamp(min=0), n).movedim(-1, 1).to(found.dtype) * counted[:, None]
    both, all_ = (found * truth).sum((0, 2, 3)), (found + truth).sum((0, 2, 3))
    dice = (2 * both + _SMOOTH) / (all_ + _SMOOTH)
    shown = truth.sum((0, 2, 3)) > 0
    shown[0] &= n == 1
    if not bool(shown.any()):
        return logits.sum() * 0
    return 1 - dice[shown].mean()


def _starts(size: int, tile_px: int) -> list[int]:
    """First pixels of windows that cover so many, the last ending with the image where it is large enough."""
    if size <= tile_px:
        return [0]
    step = tile_px - tile_px // _OVERLAP
    return sorted({*range(0, size - tile_px, step), size - tile_px})


def _window(side: int) -> NDArray[np.float32]:
    edge = np.minimum(np.arange(side) + 1, side - np.arange(side)).astype(np.float32)
    return np.minimum(edge[:, None], edge[None, :])
