"""The connected parts of a segmentation as objects: a network of `epistem bench run` as a detector."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from epistem import __version__
from epistem.core import Instances, Micrograph, Provenance, SettingsError, ShapeError


@dataclass(frozen=True)
class Segmented:
    """Connected parts of each class but the background; parts that touch at a corner are one.

    The score is the mean probability of the class over the part. It is not calibrated.

    Attributes:
        weights: model.safetensors of a job of `epistem bench run`; none is shipped.
        min_diameter_px: leave out smaller parts (area-equivalent) [px].
        device: cpu, cuda, cuda:1…; None takes a GPU if there is one.
    """

    weights: str = "segmenter"
    min_diameter_px: float = 0.0
    device: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_diameter_px < np.inf:
            raise SettingsError(f"min_diameter_px is at least 0, not {self.min_diameter_px}")

    def __call__(self, micrograph: Micrograph) -> Instances:
        """Objects with masks, class by class from above."""
        from epistem.nets.weights import open_weights

        file = open_weights(self.weights)
        network = _network(file.path, file.hash, self.device)
        if (channels := network.card["channels"]) and len(channels) > 1:
            raise ShapeError(
                f"{self.weights} was trained on {len(channels)} channels ({', '.join(channels)}), and images are "
                "looked at one channel at a time; train on one of them (dataset.channels of the profile)"
            )
        probability = network.probability(self.seen(micrograph), micrograph.shape)
        settings = {**asdict(self), "job": network.card["job"]}
        made = Provenance("epistem.detect.Segmented", __version__, settings, weights=file.hash)
        return parts(probability, network.card["classes"], micrograph, self.min_diameter_px, made)

    def seen(self, micrograph: Micrograph) -> np.ndarray[Any, Any]:
        """The image as the network takes it, (1, H, W)."""
        from epistem.nets.segment_use import segmenter_weights
        from epistem.nets.tiles import network_input

        shrink = segmenter_weights(Path(self.weights)).card["look"]["shrink"]
        return network_input(micrograph.pixels[None], valid=micrograph.valid, shrink=shrink)


def parts(
    probability: np.ndarray[Any, Any],
    classes: list[str],
    micrograph: Micrograph,
    min_diameter_px: float,
    made: Provenance,
) -> Instances:
    """Connected parts of the most probable class, with the mean probability as score.

    Args:
        probability: (K, H, W), background first.
        classes: K names.
        micrograph: pixels that are no image belong to no part.
        min_diameter_px: smallest area-equivalent diameter [px].
        made: whose work it is.
    """
    best = probability.argmax(0)
    if micrograph.valid is not None:
        best[~micrograph.valid] = 0
    numbered = np.zeros(best.shape, np.int32)
    label: list[int] = []
    score: list[float] = []
    for k in range(1, len(classes)):
        here, n = ndimage.label(best == k, np.ones((3, 3)))
        index = np.arange(1, n + 1)
        area = np.bincount(here.ravel(), minlength=n + 1)[1:]
        kept = index[np.sqrt(4 * area / np.pi) >= min_diameter_px]
        new = np.zeros(n + 1, np.int32)
        new[kept] = np.arange(1, len(kept) + 1) + len(label)
        numbered = np.where(here > 0, new[here], numbered)
        label += [k - 1] * len(kept)
        score += list(np.atleast_1d(ndimage.mean(probability[k], here, kept))) if len(kept) else []
    found = Instances.from_labels(numbered, np.array(score, float), classes=tuple(classes[1:]), provenance=made)
    return replace(found, label=np.array(label, np.int64))


@lru_cache(maxsize=1)
def _network(path: Path, hash_now: str, device: str | None) -> Any:
    """The network of that file; its hash is there so that another file of that name is read anew."""
    from epistem.nets.segment_use import open_segmenter
    from epistem.nets.train import device_or_best

    network = open_segmenter(path)
    network.network.to(device_or_best(device))
    return network
