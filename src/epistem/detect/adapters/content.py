"""What every reader hands over, and how it becomes Instances."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from epistem.core import Instances, Mask, Provenance, RecordError, ShapeError
from epistem.core.polygon import fill

Box = tuple[float, float, float, float]
Shape = tuple[int, int]
T = TypeVar("T")
R = TypeVar("R")

# Beyond this no image goes [px]; larger values overflow on the way to pixels.
FAR = 1e9


class Item(NamedTuple):
    """One object as its file has it.

    Attributes:
        mask: its pixels inside the image.
        box: `[row0, col0, row1, col1]` where no mask is known. Neither: it has no pixel in the image.
        score: in [0, 1], NaN where the file gives none.
        name: its class.
        more: further columns; what another object lacks is NaN there.
    """

    mask: Mask | None = None
    box: Box | None = None
    score: float = math.nan
    name: str = "object"
    more: Mapping[str, float | bool] = {}


@dataclass(frozen=True)
class Content:
    """All objects of one image in a file.

    Attributes:
        shape: rows and columns of the image.
        items: the objects, in the file's order.
        classes: names in the file's order; empty where it lists none.
        notes: what a person must know, in sentences.
    """

    shape: Shape
    items: Sequence[Item]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def to_instances(content: Content, *, source: str, kind: str, inputs: tuple[str, ...] = ()) -> Instances:
    """Content as Instances, cut at the image's edge.

    What has no pixel in the image is left out and counted in `provenance.settings["notes"]`.

    Raises:
        RecordError: a score outside 0…1.
    """
    placed = [(item, _box(item, content.shape)) for item in content.items]
    kept = [(item, box) for item, box in placed if box is not None]
    items = [item for item, _ in kept]
    notes = list(content.notes)
    if len(kept) < len(placed):
        notes.append(
            f"{len(placed) - len(kept)} of {len(placed)} objects have no pixel in the image and are left out"
        )
    masks = [item.mask for item in items if item.mask is not None]
    if 0 < len(masks) < len(items):
        notes.append(f"{len(items) - len(masks)} of {len(items)} objects have no mask, so boxes are used for all")
    _check_scores(items, source)
    classes = content.classes or tuple(sorted({item.name for item in items})) or ("object",)
    index = {name: i for i, name in enumerate(classes)}
    columns = {name: np.array([item.more.get(name, math.nan) for item in items]) for name in _names(items)}
    return Instances(
        content.shape,
        np.array([box for _, box in kept]).reshape(-1, 4),
        np.array([item.score for item in items], float),
        np.array([index[item.name] for item in items], np.int64),
        classes,
        tuple(mask.crop for mask in masks) if len(masks) == len(items) else None,
        columns,
        _provenance({"format": kind, "file": source, "notes": tuple(notes)}, inputs),
    )


def _box(item: Item, shape: Shape) -> Box | None:
    if item.mask is not None:
        rows, cols, _ = item.mask
        return rows.start, cols.start, rows.stop, cols.stop
    if item.box is None:
        return None
    row0, col0, row1, col1 = item.box
    box = max(row0, 0.0), max(col0, 0.0), min(row1, float(shape[0])), min(col1, float(shape[1]))
    return box if box[0] < box[2] and box[1] < box[3] else None


def _names(items: Iterable[Item]) -> list[str]:
    return list(dict.fromkeys(name for item in items for name in item.more))


def _check_scores(items: Sequence[Item], source: str) -> None:
    for i, item in enumerate(items):
        if not (math.isnan(item.score) or 0 <= item.score <= 1):
            raise RecordError(f"{source}: a score lies in 0…1, object {i} has {item.score:g}; rescale the scores")


def _provenance(settings: dict[str, Any], inputs: tuple[str, ...]) -> Provenance:
    from epistem import __version__

    return Provenance("load_instances", __version__, settings, inputs)


def each(records: Sequence[T], what: str, source: str, parse: Callable[[T], R]) -> list[R]:
    """`parse` of every record; one that it cannot read is named.

    Raises:
        RecordError: a record without what it should hold.
    """
    parsed = []
    for i, record in enumerate(records):
        try:
            parsed.append(parse(record))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, ShapeError):
                raise
            missing = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
            raise RecordError(f"{source}: {what} {i} {missing}; export it again or correct the file") from error
    return parsed


def numbers(values: Iterable[Any]) -> NDArray[np.float64]:
    """Finite numbers of a size that an image can have.

    Raises:
        ValueError: something else.
    """
    array = np.array([float(value) for value in values])
    if not (np.abs(array) < FAR).all():
        raise ValueError("wanted finite pixel coordinates")
    return array


def polygon_mask(xy: Iterable[Any], shape: Shape) -> Mask | None:
    """The mask of one flat polygon `x, y, x, y…`.

    Raises:
        ValueError: an odd count, or less than three points.
    """
    flat = numbers(xy)
    if len(flat) % 2 or len(flat) < 6:
        raise ValueError(f"a polygon is x, y pairs of at least 3 points, not {len(flat)} numbers")
    return fill([flat.reshape(-1, 2)[:, ::-1]], shape)


def union(masks: Sequence[Mask | None]) -> Mask | None:
    """Pixels that lie in any of the masks."""
    real = [mask for mask in masks if mask is not None]
    if len(real) < 2:
        return real[0] if real else None
    row0, row1 = min(m.rows.start for m in real), max(m.rows.stop for m in real)
    col0, col1 = min(m.cols.start for m in real), max(m.cols.stop for m in real)
    crop = np.zeros((row1 - row0, col1 - col0), bool)
    for rows, cols, piece in real:
        crop[rows.start - row0 : rows.stop - row0, cols.start - col0 : cols.stop - col0] |= piece
    return Mask(slice(row0, row1), slice(col0, col1), crop)


def need_shape(shape: Shape | None, source: str, kind: str) -> Shape:
    """The image's shape for a format that does not hold it.

    Raises:
        RecordError: the caller gave none.
    """
    if shape is None:
        raise RecordError(f"{source}: {kind} does not say how large its image is; pass shape=(rows, columns)")
    return shape


def shape_from(sides: Any, source: str) -> Shape:
    """Rows and columns as a record states them.

    Raises:
        RecordError: not two positive whole numbers.
    """
    good = isinstance(sides, list | tuple) and len(sides) == 2 and all(type(s) is int and s > 0 for s in sides)
    if not good:
        raise RecordError(f"{source}: an image's size is [rows, columns], not {sides!r}; correct it")
    return sides[0], sides[1]


def same_shape(found: Shape, wanted: Shape | None, source: str) -> Shape:
    """`found`, if it is what the caller wanted.

    Raises:
        ShapeError: it is not.
    """
    if wanted is not None and tuple(found) != tuple(wanted):
        raise ShapeError(
            f"{source}: masks are for an image of {found[0]} × {found[1]} (rows × columns), "
            f"the image is {wanted[0]} × {wanted[1]}; give the masks of this image"
        )
    return found


def read_text(path: Path) -> str:
    """The whole file as UTF-8.

    Raises:
        RecordError: it is not text.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path.name}: wanted UTF-8 text, byte {error.start} is none; export it again") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds; parsed once though asked for each of its images. Not to be changed.

    Raises:
        RecordError: it is not JSON.
    """
    status = path.stat()
    return _parsed(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _parsed(path: Path, modified: int, size: int) -> Any:
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"{path.name}: wanted JSON, found something else ({error}); export it again") from error
