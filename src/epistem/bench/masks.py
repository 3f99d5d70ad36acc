"""Mask files into whole numbers, and those into classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.bench.profile import Class, Task
from epistem.core import RecordError
from epistem.detect.adapters import load_instances

IGNORED = -1
"""Label of a pixel that is neither learned nor scored."""

MOST_CLASSES = 16
"""More values than this are no classes, but grey levels or numbered objects."""

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg")
_LEAST_PX = 4  # of a numbered object, in the mean
_PALETTE_OR_GREY = ("1", "L", "P", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")

Labels = NDArray[np.int16]


class MaskFile(NamedTuple):
    """What a mask file holds: (n, H, W) whole numbers of n slices; colours as 0xRRGGBB."""

    values: NDArray[np.integer[Any]]
    is_colour: bool


def read_mask(path: Path) -> MaskFile:
    """The values of a mask file; a palette's numbers, not its colours.

    Raises:
        RecordError: it cannot be read, or its values are no whole numbers.
    """
    try:
        mask = _tiff(path) if path.suffix.lower() in (".tif", ".tiff") else _picture(path)
    except RecordError:
        raise
    except Exception as error:  # decoders of foreign files raise anything
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"mask {path.name} cannot be read ({what}); save it again as PNG or TIFF") from error
    if not mask.values.size:
        raise RecordError(f"mask {path.name} has no pixels; save it again")
    return mask


def labels_of(mask: MaskFile, position: int, task: Task, name: str) -> Labels:
    """The class of every pixel.

    Args:
        mask: from `read_mask`.
        position: of the slice in it.
        task: its classes, mask kind and ignored values.
        name: of the mask, for errors.

    Returns:
        (H, W): index into `task.classes`, or IGNORED.

    Raises:
        RecordError: a value that no class has.
    """
    values = mask.values[position]
    table = {value: i for i, one in enumerate(task.classes) for value in one.values}
    table |= dict.fromkeys(task.ignore_values, IGNORED)
    found, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    if task.mask_kind == "instances":
        indices = [table.get(int(value), int(value != 0)) for value in found]
    else:
        keys = [_key(int(value), mask.is_colour, task.mask_kind == "colours") for value in found]
        strange = [i for i, key in enumerate(keys) if key not in table]
        if strange:
            raise RecordError(_unknown(name, [keys[i] for i in strange], counts[strange].sum() / values.size, table))
        indices = [table[key] for key in keys]
    return np.array(indices, np.int16)[place].reshape(values.shape)


def painted(path: Path, image: str, shape: tuple[int, int], classes: Sequence[Class]) -> tuple[Labels, int]:
    """The class of every pixel from one image's polygons in a COCO file; where two overlap the smaller is on top.

    Args:
        path: of the COCO file.
        image: its name there.
        shape: rows and columns.
        classes: the first is what no polygon covers.

    Returns:
        (H, W) indices into `classes`, and how many pixels lie in two classes.

    Raises:
        RecordError: boxes without outlines, or a category that no class has.
    """
    found = load_instances(path, shape=shape, image=image, kind="coco")
    labels = np.zeros(shape, np.int16)
    if not len(found):
        return labels, 0
    if found.crops is None:
        raise RecordError(
            f"{path.name}: objects of {image} have boxes without outlines; export polygons or masks, then try again"
        )
    table = {value: i for i, one in enumerate(classes) for value in one.values}
    twice = 0
    objects = zip(found.label, found.masks(), strict=True)
    for category, (rows, cols, crop) in sorted(objects, key=lambda one: -int(one[1].crop.sum())):
        name = found.classes[category]
        if name not in table:
            raise RecordError(_unknown(f"{path.name} of {image}", [name], None, table))
        here = labels[rows, cols]
        twice += int(((here != 0) & (here != table[name]) & crop).sum())
        here[crop] = table[name]
    return labels, twice


def kind_of(masks: Iterable[tuple[Path, MaskFile]]) -> tuple[str, list[int | str]]:
    """Whether masks hold values, colours or numbered objects, and which values, in order (none for objects).

    Raises:
        RecordError: pictures rather than masks: an overlay on the image, smoothed edges, a micrograph.
    """
    values: set[int] = set()
    colours: set[int] = set()
    worst: tuple[int, Path, bool] | None = None
    numbered = True
    for path, mask in masks:
        found = np.unique(mask.values)
        if worst is None or len(found) > worst[0]:
            worst = len(found), path, mask.is_colour
        (colours if mask.is_colour else values).update(found[: 4 * MOST_CLASSES].tolist())
        numbered = numbered and not mask.is_colour and _is_numbered(mask, len(found))
    assert worst is not None
    if colours:
        colours |= {0x010101 * value for value in values if value < 256}
        if len(colours) <= MOST_CLASSES:
            return "colours", [_hex(colour) for colour in sorted(colours)]
    elif len(values) <= MOST_CLASSES:
        return "values", sorted(values)
    if numbered:
        return "instances", []
    raise RecordError(_no_mask(*worst))


def _tiff(path: Path) -> MaskFile:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        array, axes = series.asarray(), series.axes
    if "S" in axes:
        return _colours(np.moveaxis(array, axes.index("S"), -1))
    return MaskFile(_whole(array, path.name).reshape(-1, *array.shape[-2:]), False)


def _picture(path: Path) -> MaskFile:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode in _PALETTE_OR_GREY:
            return MaskFile(_whole(np.asarray(picture), path.name)[None], False)
        if picture.mode in ("LA", "La"):
            return MaskFile(np.asarray(picture)[None, ..., 0], False)
        return _colours(np.asarray(picture.convert("RGB")))


def _colours(samples: NDArray[Any]) -> MaskFile:
    """(…, H, W, 3 or more) samples; grey ones where the three agree everywhere."""
    red, green, blue = (samples[..., min(i, samples.shape[-1] - 1)] for i in range(3))
    shape = (-1, *red.shape[-2:])
    if (red == green).all() and (green == blue).all():
        return MaskFile(red.reshape(shape), False)
    if samples.dtype != np.uint8:
        raise RecordError(f"colours of 8 bits are wanted in a mask, these are {samples.dtype}; save grey values")
    packed = red.astype(np.int64) << 16 | green.astype(np.int64) << 8 | blue
    return MaskFile(packed.reshape(shape), True)


def _whole(array: NDArray[Any], name: str) -> NDArray[np.integer[Any]]:
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    # ImageJ saves labels as 32-bit floats.
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.round(array)).all():
        return array.astype(np.int64)
    if array.dtype.kind not in "ui":
        raise RecordError(f"mask {name} holds {array.dtype} that are no whole numbers; save the class of each pixel")
    return array


def _is_numbered(mask: MaskFile, n_values: int) -> bool:
    """Whether a value is one piece of some size, as with numbered objects; a grey level is in many small ones."""
    from skimage.measure import label

    pieces = sum(int(label(one, background=0, connectivity=2).max()) for one in mask.values)
    return pieces <= 2 * n_values and int(np.count_nonzero(mask.values)) >= _LEAST_PX * pieces


def _key(value: int, is_colour: bool, want_colour: bool) -> int | str:
    if not (want_colour or is_colour):
        return value
    return _hex(value if is_colour else 0x010101 * value)


def _hex(colour: int) -> str:
    return f"#{colour:06x}"


def _unknown(name: str, strange: Sequence[int | str], share: float | None, table: dict[Any, int]) -> str:
    some = ", ".join(map(str, strange[:5])) + ("…" if len(strange) > 5 else "")
    part = "" if share is None else f" ({share:.2%} of its pixels)"
    known = ", ".join(map(str, table))
    return (
        f"{name} holds {some}{part}, which no class has; the classes have {known}. Add it to a class in task.classes "
        "or to task.ignore_values"
    )


def _no_mask(n_values: int, path: Path, is_colour: bool) -> str:
    want = (
        f"save the class of each pixel as a grey value (0, 1, 2, …) or as one of up to {MOST_CLASSES} plain colours"
    )
    if is_colour:
        return f"{path.name} has {n_values} colours: an overlay on the image rather than a mask; {want}"
    cause = (
        "JPEG changes values" if path.suffix.lower() in (".jpg", ".jpeg") else "smoothed edges, or the image itself"
    )
    return f"{path.name} has {n_values} grey values, too many for classes ({cause}); {want}, as PNG or TIFF"
