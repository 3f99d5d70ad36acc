"""A trained segmentation network in a file: opened, and used on whole images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epistem.core import RecordError
from epistem.nets.segment_fit import enlarged, predict_image
from epistem.nets.segmenters import Segmenter, build_segmenter
from epistem.nets.weights import Weights, open_weights

NETWORK = "segmenter"
MODEL = "model.safetensors"


@dataclass(frozen=True, eq=False)
class Trained:
    """A segmentation network that is ready for use.

    Attributes:
        network: in evaluation mode.
        tile_px, shrink: how it looks at an image.
        card: of its file: classes, channels, data, start.
    """

    network: Segmenter
    tile_px: int
    shrink: int
    card: Mapping[str, Any]

    def probability(self, image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """(K, H, W) at the size of the file, of an image from `network_input`."""
        return enlarged(predict_image(self.network, image, tile_px=self.tile_px), shape, self.shrink)

    def segment(self, image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.int16]:
        """(H, W) the most probable class."""
        labels: NDArray[np.int16] = self.probability(image, shape).argmax(0).astype(np.int16)
        return labels


def open_segmenter(path: Path) -> Trained:
    """The network that a job kept.

    Args:
        path: a job's folder or its model.safetensors.

    Raises:
        RecordError: not there, or no segmentation network.
    """
    weights = segmenter_weights(path)
    look = weights.card["look"]
    return Trained(restore_segmenter(weights), look["tile_px"], look["shrink"], weights.card)


def segmenter_weights(path: Path) -> Weights:
    """The file of a job's network, described but not loaded; raises as `open_segmenter`."""
    file = path / MODEL if path.is_dir() else path
    weights = open_weights(file)
    if weights.network != NETWORK:
        raise RecordError(f"{file} holds {weights.network}, no segmentation network; give one of `epistem bench run`")
    return weights


def restore_segmenter(weights: Weights) -> Segmenter:
    """The network in a file.

    Raises:
        RecordError: its tensors do not fit the network that it names.
    """
    network = build_segmenter(**weights.settings, weights="none")
    try:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.tensors().items()})
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise RecordError(f"{weights.path} does not fit this version's network: {why}; train it again") from error
    network.to(memory_format=torch.channels_last)
    return network.eval()
