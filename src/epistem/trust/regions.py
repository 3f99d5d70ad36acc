"""Regions whose answer is explained, how far around them counts, and detectors as what an explanation asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import Detector, Instances, Micrograph, SettingsError
from epistem.core.polygon import fill
from epistem.imaging.normalize import robust_scale
from epistem.trust.patch_grid import Counted, Predict
from epistem.trust.perturb import Floats, perturber

Mask = NDArray[np.bool_]


def object_region(found: Instances, which: int) -> Mask:
    """Pixels of one object, (H, W).

    Raises:
        SettingsError: there is no such object.
    """
    if not 0 <= which < len(found):
        raise SettingsError(f"{len(found)} objects were found, counted from 0; there is no object {which}")
    region = np.zeros(found.shape, bool)
    mask = next(iter(found[np.array([which])].masks()))
    region[mask.rows, mask.cols] = mask.crop
    return region


def polygon_region(corners: Sequence[tuple[float, float]], shape: tuple[int, int]) -> Mask:
    """Pixels of an image of `shape` whose centre lies in the polygon of corners (row, col).

    Raises:
        SettingsError: fewer than three corners, or no pixel's centre inside.
    """
    mask = fill([np.asarray(corners, float).reshape(-1, 2)], shape) if len(corners) >= 3 else None
    if mask is None:
        raise SettingsError(
            f"a region is a polygon of at least 3 corners (row, col) that holds pixels of the {shape[0]} × "
            f"{shape[1]} image; got {list(corners)}"
        )
    region = np.zeros(shape, bool)
    region[mask.rows, mask.cols] = mask.crop
    return region


def detector_predict(detector: Detector, micrograph: Micrograph) -> Predict:
    """A detector as (N, 1, H, W) normalised images -> (N, 2, H, W): nothing | an object, of which score.

    A pixel has the score of the best object that covers it, so that heatmaps see outlines move and scores fall, not
    only objects vanish. The whole detector answers, whatever it is made of; objects without a score count as 1.

    Args:
        detector: any; one with a `min_score` is asked for all it can find.
        micrograph: the image that is explained: its grey values are what normalised ones are turned back into.
    """
    scale = robust_scale(micrograph)
    asked: Any = replace(detector, min_score=0.0) if hasattr(detector, "min_score") else detector  # type: ignore[type-var]

    def predict(images: Floats) -> Floats:
        # What is no image is 0 in a normalised one, and the images may be windows that `valid` does not fit.
        given = (replace(micrograph, pixels=_recorded(one[0]), valid=None) for one in images)
        scores = np.stack([_painted(asked(one)) for one in given])
        return np.stack([1 - scores, scores], axis=1)

    def _recorded(image: Floats) -> Floats:
        return (image * scale.spread + scale.centre).astype(np.float32)

    return predict


def _painted(found: Instances) -> Floats:
    """(H, W) score of the best object at each pixel; 0 where there is none."""
    scores = np.nan_to_num(found.score, nan=1.0)
    image = np.zeros(found.shape, np.float32)
    for mask, score in zip(found.masks(), scores, strict=True):
        here = image[mask.rows, mask.cols]
        np.maximum(here, np.float32(score), out=here, where=mask.crop)
    return image


class Reach(NamedTuple):
    """How far a changed patch is felt.

    Attributes:
        px: from the patch's edge, the farther of rows and columns [px].
        beyond: share of the change that is farther off, mean over patches; at most the tolerance.
        tolerance: what was asked for.
        spots: patches it was measured with.
        forward_px: pixels of all passes it took.
    """

    px: int
    beyond: float
    tolerance: float
    spots: int
    forward_px: int


def measured_reach(
    predict: Predict,
    images: Floats,
    *,
    kernel: str = "blur",
    patch_px: int = 16,
    tolerance: float = 0.01,
    spots: int = 8,
    seed: int = 0,
) -> Reach:
    """How far most of what a patch does to the answer goes: an effective reach, where the true one may be unlimited.

    A network with global pooling or squeeze-and-excitation answers everywhere to a change anywhere, a little. What is
    left out beyond the reach is told, not zero. Images smaller than the reach cut it: it is then their size.

    Args:
        predict: (N, C, H, W) -> (N, K, H, W).
        images: (n, C, H, W) of the kind that will be explained.
        kernel, patch_px: as the heatmap will change them; not "swap".
        tolerance: share of the change that may lie beyond.
        spots: patches an image.
        seed: same seed, same places.

    Raises:
        SettingsError: a tolerance that has no meaning, or no patch changed anything.
    """
    if not 0 < tolerance < 1:
        raise SettingsError(f"a tolerance is above 0 and below 1, not {tolerance}")
    rng, counted, tails = np.random.default_rng(seed), Counted(predict), []
    for image in images:
        patches = perturber(image, kernel, patch_px=patch_px, seed=seed)
        before = counted(image[None])
        for _ in range(spots):
            row, col = (int(rng.integers(size - patch_px + 1)) for size in image.shape[1:])
            change = np.abs(counted(patches.changed(row, col)) - before).sum((0, 1), dtype=float)
            tails.append(_tail(change, row, col, patch_px))
    known = np.array([tail for tail in tails if tail is not None])
    if not len(known):
        raise SettingsError("no patch changed the answer anywhere; take a larger patch_px, or check the predictor")
    beyond = known.mean(axis=0)
    px = int(np.argmax(beyond <= tolerance))
    return Reach(px, float(beyond[px]), tolerance, len(known), counted.forward_px)


def _tail(change: NDArray[np.float64], row: int, col: int, patch_px: int) -> NDArray[np.float64] | None:
    """Share of the change farther off than 0, 1, 2… px; None where nothing changed."""
    off = [
        np.maximum(np.maximum(at - np.arange(size), np.arange(size) - (at + patch_px - 1)), 0)
        for at, size in zip((row, col), change.shape, strict=True)
    ]
    distance = np.maximum(off[0][:, None], off[1][None])
    by_distance = np.bincount(distance.ravel(), change.ravel(), minlength=max(change.shape))
    total = by_distance.sum()
    return None if not total else 1 - np.minimum(np.cumsum(by_distance) / total, 1)
