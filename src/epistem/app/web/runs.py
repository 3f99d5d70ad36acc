"""Trainings and fitted forecasts of a room: their folders, and what of the room they learn from."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from epistem.app.web.edits import corrected, own_score
from epistem.app.web.rooms import Item, Refused, Room
from epistem.core import Instances, Micrograph, MicrographSeries
from epistem.core.files import written_whole
from epistem.detect import DEFAULT
from epistem.report.export import write_coco

IMAGES, LABELS, WEIGHTS, FORECAST = "images", "labels.coco.json", "weights", "forecast.npz"
_NAME = re.compile(r"(train|forecast)-[0-9a-f]{8}")


class Right(NamedTuple):
    """An image of a file, of so many in it, of which a person said that every object is right."""

    item: Item
    slice: int
    of: int


def right_images(room: Room) -> list[Right]:
    """All of them, in the order they came."""
    return [Right(item, slice_, room.slices(item.id)) for item in room.items() for slice_ in item.right]


def run_folder(room: Room, name: str) -> Path:
    """Of a run.

    Raises:
        Refused: there is none of that name in this room.
    """
    folder = room.folder / "runs" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise Refused("there is no such training in this session", 404)
    return folder


def weights_of(room: Room, name: str) -> Path:
    """The weights that a training made, as they lie below the room.

    Raises:
        Refused: no training of that name made any.
    """
    return _there(room, name, f"{WEIGHTS}/{DEFAULT}.safetensors", "weights")


def forecast_of(room: Room, name: str) -> Path:
    """The forecast that a run fitted, as it lies below the room.

    Raises:
        Refused: no run of that name fitted one.
    """
    return _there(room, name, FORECAST, "forecast")


def _there(room: Room, name: str, inside: str, what: str) -> Path:
    path = Path("runs") / name / inside
    if not _NAME.fullmatch(name) or not (room.folder / path).is_file():
        raise Refused(f"there is no {what} of that name in this session; choose others", 404)
    return path


def write_labelled(room: Room, folder: Path, chosen: Sequence[Right]) -> dict[str, Right]:
    """Images and COCO labels for `epistem train detector LABELS --images IMAGES`; the labels come last, and whole.

    Returns:
        By the name that an image has there.
    """
    (folder / IMAGES).mkdir(exist_ok=True)
    named = {}
    for one in chosen:
        name = labelled_name(one)
        _put(room, one, folder / IMAGES / name)
        named[name] = one
    write_coco(folder / LABELS, [(name, objects_of(room, one)) for name, one in named.items()])
    return named


def labelled_name(one: Right) -> str:
    """How an image is called among the labels: an image of a stack gets a file of its own."""
    return f"{one.item.name}-{one.slice:04d}.tif" if one.of > 1 else one.item.name


def objects_of(room: Room, one: Right) -> Instances:
    """What is right in an image."""
    return corrected(room, one.item.id, one.slice, own_score(room, one.item.id, one.slice))


def _put(room: Room, one: Right, path: Path) -> None:
    """The same file where it is one image; it stays if the person removes the image meanwhile."""
    if path.exists():
        return
    if one.of > 1:
        import tifffile

        with written_whole(path) as part:
            tifffile.imwrite(part, micrograph_of(room, one).pixels)
        return
    source = room.file_of(one.item)
    try:
        os.link(source, path)
    except FileNotFoundError:  # removed meanwhile
        raise
    except OSError:  # a disk without links, as exFAT
        with written_whole(path) as part:
            shutil.copyfile(source, part)


def micrograph_of(room: Room, one: Right) -> Micrograph:
    """One image of a file, read."""
    from epistem.imaging import read

    image = read(room.file_of(one.item), one.item.pixel_size)
    return image.slices[one.slice] if isinstance(image, MicrographSeries) else image
