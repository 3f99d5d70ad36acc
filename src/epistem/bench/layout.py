"""Which files of a folder are images, and which is the mask of which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from epistem.bench.masks import SUFFIXES, read_mask
from epistem.core import RecordError, SettingsError
from epistem.detect.adapters import format_of, listed_images
from epistem.detect.adapters.names import pair, parts_of
from epistem.imaging.read import SUFFIXES as IMAGE_SUFFIXES

MASK_FOLDERS = {"mask", "label", "labels", "gt", "ground_truth", "groundtruth", "annotation", "annotations"}
MASK_FOLDERS |= {"masks", "segmentation", "segmentations", "target", "targets", "truth"}
IMAGE_FOLDERS = {"image", "images", "img", "imgs", "raw", "input", "inputs"}
_MASK_ENDING = re.compile(r"[_\-. ](mask|masks|label|labels|lbl|gt|ground_?truth|seg|segmentation|annotation)$", re.I)
_IMAGE_ENDING = re.compile(r"[_\-. ](image|img|raw|input|orig|original)$", re.I)


class Layout(NamedTuple):
    """Image → its mask, both as paths below the folder, in order; and what was seen on the way.

    Attributes:
        pairs: (image, mask).
        are_polygons: masks are COCO files.
        notes: what was left out.
    """

    pairs: list[tuple[str, str]]
    are_polygons: bool
    notes: list[str]


def find_pairs(folder: Path) -> Layout:
    """Images and their masks.

    Understood: `images/` beside `masks/` (or `labels/`, `gt/`…), in sub-folders too; `a.tif` beside `a_mask.png` (or
    `_label`, `_gt`, `_seg`…); `a.jpg` beside `a.png`; a COCO file.

    Raises:
        SettingsError: no such folder, or no pair in it.
        RecordError: two files fit as mask of one image, or as image of one mask.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder; give the one that holds images and masks")
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    pictures = [name for name in files if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    masks = [name for name in pictures if _is_mask(name)]
    images = [name for name in pictures if not _is_mask(name)]
    polygons = _coco_files(folder, files)
    if masks:
        return _by_key(images, masks, polygons)
    if polygons:
        return _by_coco(folder, images, polygons)
    if twins := _twins(folder, images):
        return twins
    raise SettingsError(
        f"{folder} holds {len(images)} images and no masks; wanted images/ beside masks/ (or labels/), a.tif beside "
        "a_mask.png (or _label, _gt), or a COCO .json with polygons"
    )


def bare_name(name: str) -> str:
    """The path of an image without the folder and the ending that only say that it is one.

    >>> bare_name("train/images/s1_07_raw.tif")
    'train/s1_07.tif'
    """
    path = PurePosixPath(name)
    folders = [part for part in path.parent.parts if part.lower() not in IMAGE_FOLDERS | MASK_FOLDERS]
    return "/".join([*folders, _IMAGE_ENDING.sub("", path.stem) + path.suffix])


def _is_mask(name: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() not in SUFFIXES:
        return False
    # The innermost folder that says anything decides: labels/raw/a.tif is an image.
    for part in reversed(path.parent.parts):
        if part.lower() in IMAGE_FOLDERS | MASK_FOLDERS:
            return part.lower() in MASK_FOLDERS
    return _MASK_ENDING.search(path.stem) is not None


def _key(name: str, ending: re.Pattern[str]) -> str:
    bare = PurePosixPath(bare_name(name))
    return (bare.parent / ending.sub("", bare.stem)).as_posix()


def _by_key(images: Sequence[str], masks: Sequence[str], polygons: Sequence[str]) -> Layout:
    image_of = _keyed(images, _IMAGE_ENDING, "images")
    mask_of = _keyed(masks, _MASK_ENDING, "masks")
    pairs = [(image, mask_of[key]) for key, image in image_of.items() if key in mask_of]
    if not pairs:
        raise SettingsError(
            f"{len(images)} images and {len(masks)} masks, and no two have the same name ({_some(images, 1)}; "
            f"{_some(masks, 1)}); name them alike"
        )
    bare = [image for key, image in image_of.items() if key not in mask_of]
    strange = [mask for key, mask in mask_of.items() if key not in image_of]
    notes = [f"{len(bare)} images have no mask and are left out: {_some(bare)}"] if bare else []
    notes += [f"{len(strange)} masks have no image and are left out: {_some(strange)}"] if strange else []
    notes += [f"masks are used; the polygons in {_some(polygons)} are not"] if polygons else []
    return Layout(pairs, False, notes)


def _keyed(names: Sequence[str], ending: re.Pattern[str], what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        key = _key(name, ending)
        if key in found:
            raise RecordError(f"{found[key]} and {name} are {what} of the same name; keep one of them in the folder")
        found[key] = name
    return found


def _coco_files(folder: Path, files: Sequence[str]) -> list[str]:
    found = []
    for name in files:
        if name.lower().endswith(".json"):
            try:
                if format_of(folder / name) == "coco" and listed_images(folder / name):
                    found.append(name)
            except RecordError:
                continue  # some other JSON; it may well lie here
    return found


def _by_coco(folder: Path, images: Sequence[str], polygons: Sequence[str]) -> Layout:
    source: dict[str, str] = {}
    listed = 0
    for name in polygons:
        theirs = listed_images(folder / name)
        listed += len(theirs)
        for image in pair(_parts(images), _parts(theirs)):
            if image in source:
                raise RecordError(f"{source[image]} and {name} both list {image}; keep one of them in the folder")
            source[image] = name
    if not source:
        raise SettingsError(
            f"{_some(polygons)} names none of the {len(images)} images in {folder}; put them together"
        )
    bare = [image for image in images if image not in source]
    notes = [f"{len(bare)} images are not in {_some(polygons)} and are left out: {_some(bare)}"] if bare else []
    if listed > len(source):
        notes.append(f"{listed - len(source)} images that {_some(polygons)} lists are not in the folder")
    return Layout([(image, source[image]) for image in images if image in source], True, notes)


def _twins(folder: Path, images: Sequence[str]) -> Layout | None:
    """Files of one name and two suffixes; the one with fewer values is the mask, if it is the same suffix in all."""
    by_key: dict[str, list[str]] = {}
    for name in images:
        by_key.setdefault(PurePosixPath(name).with_suffix("").as_posix(), []).append(name)
    twins = [names for names in by_key.values() if len(names) == 2]
    if not twins:
        return None
    masks = [min(names, key=lambda name: _values(folder / name)) for names in twins]
    suffixes = {PurePosixPath(mask).suffix for mask in masks}
    if len(suffixes) > 1:
        raise SettingsError(
            f"{_some(twins[0])} have one name, and which is the mask is not clear; call masks a_mask.png"
        )
    pairs = [(next(name for name in names if name != mask), mask) for names, mask in zip(twins, masks, strict=True)]
    bare = [names[0] for names in by_key.values() if len(names) == 1]
    notes = [f"of two files of one name the {suffixes.pop()} is taken for the mask: it has fewer values"]
    notes += [f"{len(bare)} images have no mask and are left out: {_some(bare)}"] if bare else []
    return Layout(pairs, False, notes)


def _values(path: Path) -> int:
    import numpy as np

    try:
        return len(np.unique(read_mask(path).values))
    except RecordError:
        return 1 << 62


def _parts(names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    return {name: parts_of(name) for name in names}


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + ("…" if len(names) > most else "")
