"""A pair of files as arrays: what a network sees, and what it should say."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.bench.masks import IGNORED, Labels, MaskFile, labels_of, painted, read_mask
from epistem.bench.profile import Pair, Profile
from epistem.core import Micrograph, MicrographSeries, RecordError, ShapeError
from epistem.imaging.read import READERS, identify


class Example(NamedTuple):
    """One image with its truth.

    Attributes:
        name: how a person calls it.
        image: (C, H, W) as recorded.
        labels: (H, W) index into the task's classes; IGNORED where a pixel is not asked for or is no image.
        image_id: content id, the same for the same picture under any name.
        labels_id: content id of the labels.
        twice: pixels that polygons of two classes cover.
        valid: (H, W) pixels that are an image; None: all.
    """

    name: str
    image: NDArray[Any]
    labels: Labels
    image_id: str
    labels_id: str
    twice: int = 0
    valid: NDArray[np.bool_] | None = None


class Frame(NamedTuple):
    """One picture of a file: its channels, and which pixels were recorded."""

    channels: tuple[Micrograph, ...]
    valid: NDArray[np.bool_] | None


def read_example(profile: Profile, pair: Pair, folder: Path) -> Example:
    """The arrays of one pair; data strips and scale bars are not looked for.

    Args:
        profile: with classes and mask kind.
        pair: of its pairs.
        folder: `profile.folder()`.

    Raises:
        ReadError: an image that cannot be read.
        ShapeError: image and mask differ in size; the pair is named.
        RecordError: a mask that cannot be read, or a value in it that no class has.
    """
    channels, valid = _frame(profile, pair, frames_of(folder / pair.image))
    shape = channels[0].shape
    mask_path = folder / pair.mask
    twice = 0
    if profile.task.mask_kind == "polygons":
        labels, twice = painted(mask_path, pair.image, shape, profile.task.classes)
    else:
        mask, position = mask_of(mask_path), pair.slice or 0
        _check_size(pair, shape, mask, position)
        labels = labels_of(mask, position, profile.task, pair.mask)
    if valid is not None:
        labels[~valid] = IGNORED
    ids = [image.id for image in channels]
    image_id = ids[0] if len(ids) == 1 else _digest("".join(ids).encode())
    pixels = np.stack([image.pixels for image in channels])
    labels_id = _digest(str(shape).encode() + labels.tobytes())
    return Example(pair.name, pixels, labels, image_id, labels_id, twice, valid)


def frames_of(path: Path) -> tuple[Frame, ...]:
    """The pictures of a file: slices of a stack; the channels of one picture stay together.

    Raises:
        ReadError: it cannot be read.
    """
    return _frames(path, *_state(path))


def mask_of(path: Path) -> MaskFile:
    """What a mask file holds, read once for all slices of a stack.

    Raises:
        RecordError: it cannot be read.
    """
    return _mask(path, *_state(path))


def _frame(profile: Profile, pair: Pair, frames: tuple[Frame, ...]) -> Frame:
    if pair.slice is None and len(frames) > 1:
        raise RecordError(f"{pair.image} holds {len(frames)} images; say which by `slice` in dataset.pairs")
    position = pair.slice or 0
    if position >= len(frames):
        raise RecordError(f"{pair.name}: the file holds {len(frames)} images, counted from 0; correct `slice`")
    frame = frames[position]
    wanted = profile.dataset.channels
    if len(frame.channels) == 1 and len(wanted) <= 1:
        return frame
    by_name = {_label(image): image for image in frame.channels}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise RecordError(
            f"{pair.image} has no channel {missing[0]!r}, it has {', '.join(by_name)}; correct dataset.channels"
        )
    return frame if not wanted else Frame(tuple(by_name[name] for name in wanted), frame.valid)


def channel_names(frame: Frame) -> tuple[str, ...]:
    """Names of the channels; none of a picture that has one."""
    return tuple(_label(image) for image in frame.channels) if len(frame.channels) > 1 else ()


def _label(image: Micrograph) -> str:
    return image.slice.label if image.slice is not None else "grey"


def _check_size(pair: Pair, shape: tuple[int, int], mask: MaskFile, position: int) -> None:
    n, rows, cols = mask.values.shape
    if (pair.slice is None and n > 1) or position >= n:
        raise ShapeError(
            f"{pair.mask} holds {n} slices and {pair.name} needs one of them; give a mask for each slice"
        )
    if (rows, cols) != shape:
        raise ShapeError(
            f"{pair.name} is {shape[0]} × {shape[1]} (rows × columns) and its mask {pair.mask} is {rows} × {cols}; "
            "give the mask of this image, uncropped and not rescaled"
        )


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}; was it moved since the profile?") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def _mask(path: Path, modified: int, size: int) -> MaskFile:
    return read_mask(path)


@lru_cache(maxsize=1)
def _frames(path: Path, modified: int, size: int) -> tuple[Frame, ...]:
    found: Micrograph | MicrographSeries = READERS[identify(path)[0]](path)
    if isinstance(found, Micrograph):
        return (Frame((found,), found.valid),)
    if found.axis == "channel":
        masks = [image.valid for image in found.slices if image.valid is not None]
        return (Frame(tuple(found.slices), np.logical_and.reduce(masks) if masks else None),)
    return tuple(Frame((image,), image.valid) for image in found.slices)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
