"""From a whole field to a training sample: a window, turned and scaled, with a camera's and a file's marks on it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.instances import Instances, whole_boxes
from epistem.core.micrograph import Micrograph
from epistem.imaging.normalize import robust_scale
from epistem.nets.sample import Sample
from epistem.synth.fields import load_field

FAINT, PLAIN = 3.5, 5.0  # d′ below the first is background, above the second an object, between neither
ZOOMED = 0.6  # share of windows that are enlarged or shrunk


@dataclass(frozen=True)
class Augment:
    """How a window is changed; 0 switches `towards`, `marks` and `jitter` off, 1 `enlarge` and `shrink`.

    Attributes:
        window_px: edge of the sample [px].
        enlarge: largest factor by which a window is enlarged, if it is (`ZOOMED`); pictures are often stored larger
            than they resolve.
        shrink: largest factor by which it is shrunk.
        plain: d′ from which a simulated object is asked for.
        towards: share of windows laid so that they hold some object; the others lie anywhere.
        marks: share of windows that get blur, noise, another gamma, 8 bit or JPEG, each; half as many get hot pixels
            and a third as many sharpening.
        jitter: spread of the grey values' centre and logarithm of scale.
    """

    window_px: int = 256
    enlarge: float = 3.0
    shrink: float = 1.6
    towards: float = 0.6
    plain: float = PLAIN
    marks: float = 0.3
    jitter: float = 0.2


class FromFields:
    """Samples from saved fields, each as likely as the next; a field is read once and kept."""

    def __init__(self, paths: Sequence[Path], settings: Augment) -> None:
        self.paths, self.settings = tuple(paths), settings
        self._kept: dict[int, tuple[NDArray[Any], Instances]] = {}

    def __call__(self, rng: np.random.Generator, step: int = 1) -> Sample:
        number = int(rng.integers(len(self.paths)))
        if number not in self._kept:
            field = load_field(self.paths[number])
            self._kept[number] = field.pixels, field.truth
        return sample(*self._kept[number], self.settings, rng)


def sample(pixels: NDArray[Any], truth: Instances, settings: Augment, rng: np.random.Generator) -> Sample:
    """A window of a field, never the same twice.

    Args:
        pixels: (H, W) grey values, at least as large as the window; smaller ones are enlarged to it.
        truth: objects with masks; with the columns `ignored`, or `d_prime` of the simulation.
        settings: what may happen.
        rng: decides.
    """
    image = _scaled(pixels)
    edge = settings.window_px
    zoom = 1.0
    if rng.random() < ZOOMED:
        zoom = float(np.exp(rng.uniform(-np.log(settings.shrink), np.log(settings.enlarge))))
    side = min(max(round(edge / zoom), 8), *image.shape)
    state = ignored_of(truth, settings.plain)
    top, left = _corner(truth, state, image.shape, side, settings.towards, rng)
    window = image[top : top + side, left : left + side]
    objects = _cut(truth, state, top, left, side)
    if side != edge:
        window, objects = _resized(window, edge), _resized_objects(objects, edge / side, edge)
    if rng.random() < 0.5:
        window, objects = window.T, [(box[[1, 0, 3, 2]], crop.T, no) for box, crop, no in objects]
    for axis in (0, 1):
        if rng.random() < 0.5:
            window = np.flip(window, axis)
            objects = [(_flipped(box, axis, edge), np.flip(crop, axis), no) for box, crop, no in objects]
    window = _marked(np.ascontiguousarray(window, np.float32), settings, rng)
    boxes = [box for box, *_ in objects]
    ignored = np.array([no for *_, no in objects], bool)
    crops = tuple(np.ascontiguousarray(crop) for _, crop, _ in objects)
    return Sample(window, Instances.from_boxes((edge, edge), boxes, crops=crops, columns={"ignored": ignored}))


def ignored_of(truth: Instances, plain: float = PLAIN) -> NDArray[np.int8]:
    """0 asked for, 1 ignored, 2 not there, for each object; of simulated ones by their d′."""
    if "d_prime" in truth.columns:
        seen = truth.columns["d_prime"]
        size = np.sqrt(np.prod(truth.boxes[:, 2:] - truth.boxes[:, :2], axis=1))
        return np.where(seen < FAINT, 2, (seen < plain) | (size < 3)).astype(np.int8)
    return np.asarray(truth.columns.get("ignored", np.zeros(len(truth), bool)), np.int8)


_Object = tuple[NDArray[np.float64], NDArray[np.bool_], bool]


def _scaled(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Robust z-scores of the whole field, as at inference."""
    scale = robust_scale(Micrograph(pixels))
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) - np.float32(scale.centre)) / np.float32(scale.spread)
    return scaled


def _corner(
    truth: Instances,
    state: NDArray[np.int8],
    shape: tuple[int, ...],
    side: int,
    towards: float,
    rng: np.random.Generator,
) -> tuple[int, int]:
    asked = np.flatnonzero(state == 0)
    if len(asked) and rng.random() < towards:
        centre = truth.centres[asked[rng.integers(len(asked))]]
        corner = np.floor(centre - rng.random(2) * side)
    else:
        corner = np.floor(rng.random(2) * (np.array(shape) - side + 1))
    top, left = np.clip(corner, 0, np.array(shape) - side).astype(int)
    return int(top), int(left)


def _cut(truth: Instances, state: NDArray[np.int8], top: int, left: int, side: int) -> list[_Object]:
    """Objects in a window, cut by it; of which less than a third is left is ignored."""
    origin = np.array([top, left, top, left])
    result: list[_Object] = []
    whole = whole_boxes(truth.boxes) - origin
    for i in np.flatnonzero((state < 2) & (whole[:, :2] < side).all(axis=1) & (whole[:, 2:] > 0).all(axis=1)):
        assert truth.crops is not None
        r0, c0 = whole[i][:2]
        crop = truth.crops[i][max(-r0, 0) : side - r0, max(-c0, 0) : side - c0]
        if not crop.any():
            continue
        box = np.clip(truth.boxes[i] - origin, 0, side)
        cut = crop.sum() < truth.crops[i].sum() / 3 or min(box[2] - box[0], box[3] - box[1]) < 2
        result.append((box, crop, bool(state[i]) or bool(cut)))
    return result


def _resized(window: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    from PIL import Image

    image = Image.fromarray(window).resize((edge, edge), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def _resized_objects(objects: list[_Object], factor: float, edge: int) -> list[_Object]:
    result: list[_Object] = []
    for box, crop, no in objects:
        new = np.minimum(box * factor, edge)  # 187·(96/187) is a rounding error more than 96
        (r0, c0, r1, c1), origin = whole_boxes(new[None])[0], whole_boxes(box[None])[0]
        rows = np.floor((np.arange(r0, r1) + 0.5) / factor).astype(int) - origin[0]
        cols = np.floor((np.arange(c0, c1) + 0.5) / factor).astype(int) - origin[1]
        rows, cols = np.clip(rows, 0, crop.shape[0] - 1), np.clip(cols, 0, crop.shape[1] - 1)
        scaled = crop[np.ix_(rows, cols)]
        if scaled.any():
            result.append((new, scaled, no or bool(np.sqrt(np.prod(new[2:] - new[:2])) < 3)))
    return result


def _flipped(box: NDArray[np.float64], axis: int, edge: int) -> NDArray[np.float64]:
    box = box.copy()
    box[[axis, axis + 2]] = edge - box[[axis + 2, axis]]
    return box


def _marked(window: NDArray[np.float32], settings: Augment, rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur (of some along one axis), blurred noise, sharpening, gamma, 8 bit, JPEG, hot pixels, and another scale."""

    def now() -> bool:
        return bool(rng.random() < settings.marks)

    if now():
        along = float(np.exp(rng.uniform(np.log(0.3), np.log(2.5))))
        across = along * (float(rng.uniform(0.2, 1)) if rng.random() < 0.3 else 1.0)
        window = ndimage.gaussian_filter(window, (along, across))
    if now():
        noise = rng.standard_normal(window.shape, np.float32)
        sigma = rng.uniform(0, 1.5)
        if sigma > 0.3:
            noise = ndimage.gaussian_filter(noise, sigma) * np.float32(2 * np.sqrt(np.pi) * max(sigma, 0.3))
        window = window + np.float32(rng.uniform(0.05, 0.5)) * noise
    if rng.random() < settings.marks / 3:
        window = window + np.float32(rng.uniform(0.3, 1.5)) * (window - ndimage.gaussian_filter(window, 1.0))
    if now():
        low, high = np.quantile(window, [0.001, 0.999])
        unit = np.clip((window - low) / max(high - low, 1e-6), 0, 1)
        bent = unit ** np.float32(np.exp(rng.normal(0, 0.35)))
        window = ((bent - np.median(bent)) / max(float(bent.std()), 1e-6) * window.std()).astype(np.float32)
    if now():
        window = _through_a_file(window, int(rng.integers(30, 96)) if rng.random() < 0.5 else None)
    if rng.random() < settings.marks / 2:
        window = _with_hot_pixels(window, rng)
    if settings.jitter:
        window = window * np.float32(np.exp(rng.normal(0, settings.jitter))) + np.float32(
            rng.normal(0, settings.jitter)
        )
    return window


def _with_hot_pixels(window: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Single bright pixels, as X-rays and bad camera pixels leave them: some ten a megapixel."""
    window = window.copy()
    number = 1 + rng.poisson(20e-6 * window.size)
    at = tuple(rng.integers(0, n, number) for n in window.shape)
    window[at] += (rng.uniform(7, 40, number) * window.std()).astype(np.float32)
    return window


def _through_a_file(window: NDArray[np.float32], quality: int | None) -> NDArray[np.float32]:
    """As an 8-bit picture, and a JPEG if a quality is given."""
    from PIL import Image

    low, high = (float(q) for q in np.quantile(window, [0.002, 0.998]))
    span = max(high - low, 1e-6)
    picture = np.clip(np.rint((window - low) / span * 255), 0, 255).astype(np.uint8)
    if quality is not None:
        held = io.BytesIO()
        Image.fromarray(picture).save(held, "JPEG", quality=quality)
        picture = np.asarray(Image.open(held))
    read: NDArray[np.float32] = picture.astype(np.float32) / 255 * span + low
    return read
