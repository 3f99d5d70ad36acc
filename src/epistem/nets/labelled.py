"""A person's own labelled images: some to learn from, some held out to see whether it helped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import TrainingError
from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.imaging.normalize import normalize
from epistem.nets.augment import Augment, sample
from epistem.nets.sample import Sample

FEWEST = 4  # with fewer images none is held out: a check on one image says nothing


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image with its objects.

    Attributes:
        name: how a person calls it.
        micrograph: the image as read.
        truth: objects with masks and a bool column `ignored`.
    """

    name: str
    micrograph: Micrograph
    truth: Instances


class Split(NamedTuple):
    """Images to learn from, and images to check on."""

    learn: tuple[Labelled, ...]
    held_out: tuple[Labelled, ...]


def split(images: Sequence[Labelled], *, seed: int) -> Split:
    """A quarter of the images held out, at least two; none of fewer than four.

    Images without objects are dealt apart, so that both sides get their share of them.

    Raises:
        TrainingError: no object to learn from.
    """
    n = len(images)
    number = max(2, round(n / 4)) if n >= FEWEST else 0
    order = np.random.default_rng(seed).permutation(n).tolist()
    bare = [i for i in order if not _asked(images[i])]
    full = [i for i in order if _asked(images[i])]
    if not full:
        raise TrainingError(f"no object is labelled in any of the {n} images; there is nothing to learn")
    few = number * len(bare) // n
    held = {*bare[:few], *full[: number - few]}
    if not set(full) - held:
        raise TrainingError(
            f"only {len(full)} of the {n} images have labelled objects, and {number} are held out; label more"
        )
    return Split(
        tuple(one for i, one in enumerate(images) if i not in held),
        tuple(images[i] for i in sorted(held)),
    )


class FromImages:
    """Samples from labelled images, each image as likely as the next."""

    def __init__(self, images: Sequence[Labelled], settings: Augment) -> None:
        self.settings = settings
        # As z-scores: what is no image becomes the median, as it does when the network is used.
        self._kept = [mirrored(normalize(one.micrograph), _inward(one.truth), settings.window_px) for one in images]

    def __call__(self, rng: np.random.Generator, step: int = 1) -> Sample:
        return sample(*self._kept[int(rng.integers(len(self._kept)))], self.settings, rng)


def mirrored(image: NDArray[np.float32], truth: Instances, least_px: int) -> tuple[NDArray[np.float32], Instances]:
    """An image smaller than the window, continued by its mirror image until it is not; objects at the seam ignored.

    Args:
        image: (H, W).
        truth: objects with masks and a column `ignored`.
        least_px: wanted of each side [px].
    """
    for axis in (0, 1):
        while image.shape[axis] < least_px:
            image, truth = _doubled(image, truth, axis)
    return image, truth


def _inward(truth: Instances) -> Instances:
    # Edges on whole pixels come out of zooming and flipping a rounding error to this or that side, and then touch a
    # pixel more or less than their mask has: one sample in 750. A thousandth of a pixel inside they do not.
    return replace(truth, boxes=truth.boxes + np.array([1, 1, -1, -1]) * 1e-3)


def _doubled(image: NDArray[np.float32], truth: Instances, axis: int) -> tuple[NDArray[np.float32], Instances]:
    assert truth.crops is not None
    n = image.shape[axis]
    image = np.concatenate([image, np.flip(image, axis)], axis)
    turned = truth.boxes.copy()
    turned[:, [axis, axis + 2]] = 2 * n - truth.boxes[:, [axis + 2, axis]]
    # What the border cut is joined to its own mirror image there, and looks like nothing that is.
    ignored = truth.columns["ignored"] | (truth.boxes[:, axis + 2] >= n)
    both = Instances.from_boxes(
        (image.shape[0], image.shape[1]),
        np.concatenate([truth.boxes, turned]),
        crops=(*truth.crops, *(np.flip(crop, axis) for crop in truth.crops)),
        columns={"ignored": np.concatenate([ignored, ignored])},
    )
    return image, both


def _asked(one: Labelled) -> int:
    return int((~one.truth.columns["ignored"]).sum())
