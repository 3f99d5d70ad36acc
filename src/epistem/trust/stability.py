"""Whether a detector finds the same again when the image is turned over, made smaller or a little noisier.

==========  ===========================================================================
flip-rows   first row last
flip-cols   first column last
scale-0.9   0.9 times as many pixels a side, each the mean of what it covers
noise       with Gaussian noise of half the standard deviation of its own
==========  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import Detector, Instances, Micrograph, SettingsError, ShapeError, UnknownName
from epistem.detect.match import match
from epistem.synth.pixels import as_recorded, whole_pixels
from epistem.synth.rescale import rescale
from epistem.trust.quality import pixel_noise

Floats = NDArray[np.float64]
Shape = tuple[int, int]

_SCALE = 0.9
_NOISE_SHARE = 0.5


class View(NamedTuple):
    """Another look at an image.

    Attributes:
        make: the image as it is seen.
        back: boxes (n, 4) found in it, and the image's own shape → boxes in the image.
    """

    make: Callable[[Micrograph], Micrograph]
    back: Callable[[Floats, Shape], Floats]


def stability(
    detector: Detector, micrograph: Micrograph, found: Instances, *, min_score: float,
    views: Sequence[str] = ("flip-rows", "flip-cols", "scale-0.9", "noise"),
) -> dict[str, float]:  # fmt: skip
    """How much of what was found is found again, 0 to 1, higher is better. Costs one pass of the detector a view.

    `st_iou_…` is the mean IoU of boxes with their partner of the other pass, over the boxes of both; one without
    partner counts as 0. `st_f1_…` is the F1 of one pass against the other. `st_iou` and `st_f1` are means over views.

    Args:
        detector: made `found` of this image, and looks again.
        micrograph: the image.
        found: n objects with scores, down to `min_score` at least.
        min_score: objects below it are left out of both passes.
        views: names in `VIEWS`.

    Returns:
        NaN where neither pass found anything: nothing is known of its stability then.

    Raises:
        UnknownName: no such view.
        ShapeError: objects of an image of another shape.
        SettingsError: objects without a score.

    Source: Yang et al., ICLR 2024, arXiv:2403.13803 (box stability score); views instead of dropout, which needs no
    access to the detector's inside.
    """
    if unknown := [name for name in views if name not in VIEWS]:
        raise UnknownName(f"no view is called {unknown[0]!r}; there is {', '.join(VIEWS)}")
    clean = _kept(found, micrograph, min_score)
    values = {}
    for name in views:
        seen = VIEWS[name].make(micrograph)
        again = _kept(detector(seen), seen, min_score)
        boxes = VIEWS[name].back(again.boxes, micrograph.shape)
        agreed = _agreement(clean, Instances.from_boxes(micrograph.shape, boxes, again.score))
        for measure, value in zip(("iou", "f1"), agreed, strict=True):
            values[f"st_{measure}_{name.replace('-', '_')}"] = value
    for measure in ("iou", "f1"):
        known = [v for name, v in values.items() if name.startswith(f"st_{measure}_") and np.isfinite(v)]
        values[f"st_{measure}"] = float(np.mean(known)) if known else np.nan
    return values


def _kept(found: Instances, seen: Micrograph, min_score: float) -> Instances:
    if found.shape != seen.shape:
        raise ShapeError(f"objects were found in an image of {found.shape}, the image is {seen.shape}")
    if not np.isfinite(found.score).all():
        raise SettingsError("stability is that of objects from a least score on; some have none. Give each its score")
    return found[found.score >= min_score]


def _agreement(clean: Instances, again: Instances) -> tuple[float, float]:
    """Mean IoU and F1 of one pass against the other."""
    both = len(clean) + len(again)
    if not both:
        return np.nan, np.nan
    agreed = match(again, clean, method="optimal")
    return float(2 * agreed.pair_iou.sum() / both), agreed.f1


def _flip(axis: int) -> View:
    def make(micrograph: Micrograph) -> Micrograph:
        valid = None if micrograph.valid is None else np.flip(micrograph.valid, axis)
        return replace(micrograph, pixels=np.ascontiguousarray(np.flip(micrograph.pixels, axis)), valid=valid)

    def back(boxes: Floats, shape: Shape) -> Floats:
        turned = boxes.copy()
        turned[:, [axis, axis + 2]] = shape[axis] - boxes[:, [axis + 2, axis]]
        return turned

    return View(make, back)


def _smaller(micrograph: Micrograph) -> Micrograph:
    return rescale(micrograph, _SCALE)


def _larger(boxes: Floats, shape: Shape) -> Floats:
    return boxes / _SCALE


def _noisier(micrograph: Micrograph) -> Micrograph:
    """The same noise at every call: it is drawn from the image's id."""
    if min(micrograph.shape) < 2:
        return micrograph
    image = whole_pixels(micrograph)
    rng = np.random.default_rng(int(micrograph.id, 16))
    image = image + _NOISE_SHARE * pixel_noise(image) * rng.standard_normal(image.shape, np.float32)
    pixels = as_recorded(image, micrograph.pixels.dtype)
    if micrograph.valid is not None:
        pixels = np.where(micrograph.valid, pixels, micrograph.pixels)
    return replace(micrograph, pixels=pixels)


def _in_place(boxes: Floats, shape: Shape) -> Floats:
    return boxes


VIEWS: dict[str, View] = {
    "flip-rows": _flip(0),
    "flip-cols": _flip(1),
    "scale-0.9": View(_smaller, _larger),
    "noise": View(_noisier, _in_place),
}
