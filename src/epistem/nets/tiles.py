"""Tiles of labelled images: what a segmentation network learns from, is judged on, and looks through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from epistem.core import SettingsError, ShapeError
from epistem.stats.robust import mad_sd

IGNORED = -1
LIMIT = 10.0  # grey values beyond it [robust standard deviations] are cut: a spike must not outweigh an image

Image = NDArray[np.float32]
Labels = NDArray[np.int16]


class Tile(NamedTuple):
    """One training example: image (C, s, s) as networks take it, labels (s, s) with `IGNORED` where none is."""

    image: Image
    labels: Labels


@dataclass(frozen=True, eq=False)
class Labelled:
    """One whole image as networks take it.

    Attributes:
        image: (C, H, W), of `network_input`.
        labels: (H, W) index of the class, or `IGNORED`.
        group: what it shares with images that are not independent of it.
    """

    image: Image
    labels: Labels
    group: str

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[1:] != self.labels.shape:
            raise ShapeError(
                f"an image is (C, H, W) and its labels (H, W), not {self.image.shape}, {self.labels.shape}"
            )


def network_input(channels: ArrayLike, *, valid: NDArray[np.bool_] | None = None, shrink: int = 1) -> Image:
    """Grey values as segmentation networks take them: robust z-scores of each channel, cut at ±10.

    Args:
        channels: (C, H, W) as recorded.
        valid: (H, W) pixels that are an image; the others become 0, the median. None: all.
        shrink: blocks of so many pixels a side become their mean; a rest at the right and lower edge is filled with
            the edge's pixels.

    Returns:
        (C, ⌈H/shrink⌉, ⌈W/shrink⌉).

    Source: median and 1.4826·MAD after Huber, Robust Statistics (1981), § 5.1; where the MAD is 0, the standard
    deviation.
    """
    raw = np.asarray(channels, np.float32)
    if raw.ndim != 3:
        raise ShapeError(f"wanted channels (C, H, W), not {raw.shape}")
    counted = np.ones(raw.shape[1:], bool) if valid is None else valid
    scaled = np.stack([_scaled(channel, counted) for channel in raw])
    return _blocks(scaled, shrink).mean(axis=(2, 4), dtype=np.float32) if shrink > 1 else scaled


def shrunk_labels(labels: Labels, shrink: int) -> Labels:
    """Labels at the size of `network_input`: of each block the label that most of its pixels have; IGNORED if none.

    A tie goes to the higher label, so that thin objects do not vanish into the background.
    """
    if shrink == 1:
        return labels
    blocks = _blocks(labels[None], shrink)[0].transpose(0, 2, 1, 3)
    blocks = blocks.reshape(*blocks.shape[:2], -1)  # (h, w, shrink²)
    counts = np.stack([(blocks == label).sum(-1) for label in range(max(int(labels.max()), 0) + 1)], -1)
    most = counts.shape[-1] - 1 - counts[..., ::-1].argmax(-1)
    return np.where(counts.sum(-1) > 0, most, IGNORED).astype(np.int16)


class RandomTiles:
    """Training tiles: a group, an image of it and a place in it are drawn, each as likely as the next."""

    def __init__(self, images: Sequence[Labelled], side_px: int, *, augment: bool) -> None:
        if not images:
            raise SettingsError("there is no image to learn from")
        self.by_group: dict[str, list[Labelled]] = {}
        for one in images:
            self.by_group.setdefault(one.group, []).append(one)
        self.groups = sorted(self.by_group)
        self.side_px, self.augment = side_px, augment

    def __call__(self, rng: np.random.Generator, step: int = 1) -> Tile:
        members = self.by_group[self.groups[rng.integers(len(self.groups))]]
        one = members[rng.integers(len(members))]
        rows, cols = (int(rng.integers(max(size - self.side_px, 0) + 1)) for size in one.labels.shape)
        tile = cut(one, rows, cols, self.side_px)
        return changed(tile, rng) if self.augment else tile


def cut(one: Labelled, row: int, col: int, side_px: int) -> Tile:
    """The tile from (row, col); beyond the image it goes on mirrored, with labels ignored."""
    image = one.image[:, row : row + side_px, col : col + side_px]
    labels = one.labels[row : row + side_px, col : col + side_px]
    short = [side_px - size for size in labels.shape]
    if any(short):
        image = np.pad(image, ((0, 0), *((0, gap) for gap in short)), mode="symmetric")
        labels = np.pad(labels, [(0, gap) for gap in short], constant_values=IGNORED)
    return Tile(image, labels)


def changed(tile: Tile, rng: np.random.Generator) -> Tile:
    """The tile flipped, turned by quarters, with another gain, offset and gamma, and with noise."""
    image, labels = tile
    if rng.random() < 0.5:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    turns = int(rng.integers(4))
    image, labels = np.rot90(image, turns, axes=(1, 2)), np.rot90(labels, turns)
    # z-scores have both signs: the gamma bends each side of the median.
    bent: NDArray[Any] = np.sign(image) * np.abs(image) ** rng.uniform(0.8, 1.25)
    bent = bent * rng.uniform(0.8, 1.25) + rng.uniform(-0.2, 0.2)
    if rng.random() < 0.5:
        bent = bent + rng.normal(0, rng.uniform(0, 0.3), bent.shape)
    return Tile(np.ascontiguousarray(bent, np.float32), np.ascontiguousarray(labels))


def spread_tiles(images: Sequence[Labelled], side_px: int, most: int) -> list[Tile]:
    """At most so many tiles without overlap, evenly over all images: always the same."""
    places = [
        (one, row, col)
        for one in images
        for row in range(0, one.labels.shape[0], side_px)
        for col in range(0, one.labels.shape[1], side_px)
    ]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return [cut(*places[int(i)], side_px) for i in chosen]


def batches(tiles: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """So many at a time, the last maybe fewer."""
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]


def collate(tiles: Sequence[Tile]) -> tuple[Tensor, Tensor]:
    """Images (B, C, s, s) and labels (B, s, s) as torch takes them."""
    images = torch.from_numpy(np.stack([tile.image for tile in tiles]))
    return images, torch.from_numpy(np.stack([tile.labels for tile in tiles]).astype(np.int64))


def _scaled(channel: NDArray[np.float32], counted: NDArray[np.bool_]) -> Image:
    values = channel[counted]
    if not values.size:
        return np.zeros_like(channel)
    centre = np.float32(np.median(values))
    spread = mad_sd(values - centre) or float(values.std()) or 1.0
    scaled: Image = np.clip((channel - centre) / np.float32(spread), -LIMIT, LIMIT)
    scaled[~counted] = 0
    return scaled


def _blocks(maps: NDArray[Any], side: int) -> NDArray[Any]:
    """(C, H, W) as (C, h, side, w, side)."""
    c, rows, cols = maps.shape
    gaps = [(-size) % side for size in (rows, cols)]
    whole = np.pad(maps, ((0, 0), *((0, gap) for gap in gaps)), mode="edge") if any(gaps) else maps
    return whole.reshape(c, whole.shape[1] // side, side, whole.shape[2] // side, side)
