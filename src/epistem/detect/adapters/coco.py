"""COCO JSON: data sets and results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epistem.core import Mask, RecordError
from epistem.core.rle import decompress, mask_from_runs
from epistem.detect.adapters.content import (
    Content,
    Item,
    Shape,
    each,
    need_shape,
    numbers,
    polygon_mask,
    read_json,
    same_shape,
    shape_from,
    union,
)
from epistem.detect.adapters.names import fitting


def read_coco(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """One image's objects of a COCO file.

    Several polygons of one object are united; `iscrowd` becomes the column `crowd`; categories are the classes.
    A results file (a list with `image_id`) names neither size nor categories: they are its ids, and `shape` is
    needed unless masks are run-length coded.

    Raises:
        RecordError: an image that is not in the file, or not named where there are several; broken records.
    """
    data = read_json(path)
    name = path.name
    notes: list[str] = []
    if isinstance(data, list):
        entry, records, categories = _result_image(data, image, name), data, {}
    else:
        entry = _pick(_records(data, "images", name), image, name)
        records = _records(data, "annotations", name)
        listed = _records(data, "categories", name) if "categories" in data else []
        notes += _strangers(data, name)
        categories = dict(each(listed, "category", name, lambda entry: (entry["id"], str(entry["name"]))))
    mine = each(records, "annotation", name, lambda record: record if record["image_id"] == entry.get("id") else None)
    records = [record for record in mine if record is not None]
    if not isinstance(data, list):
        notes += _twice(records)
    size = _size(entry, records, shape, name)
    with_crowd = any("iscrowd" in record for record in records)

    def item(record: Mapping[str, Any]) -> Item:
        category = record.get("category_id", 0)
        return segmentation_item(
            record,
            size,
            name,
            score=float(record.get("score", math.nan)),
            class_name=categories.get(category, f"category {category}"),
            more={"crowd": bool(record.get("iscrowd", False))} if with_crowd else {},
        )

    items = each(records, "annotation", name, item)
    classes = tuple(dict.fromkeys(categories.values()))
    unlisted = tuple(sorted({item.name for item in items} - set(classes)))
    return Content(size, items, classes + unlisted, notes=tuple(notes))


def _strangers(data: Any, source: str) -> list[str]:
    known = {repr(entry.get("id")) for entry in data["images"]}
    ids = each(data["annotations"], "annotation", source, lambda record: record["image_id"])
    strange = [one for one in ids if repr(one) not in known]
    if not strange:
        return []
    return [f"{len(strange)} objects are of images that the file does not list (image_id {strange[0]!r})"]


def _twice(records: Sequence[Mapping[str, Any]]) -> list[str]:
    drawn = [repr([record.get(key) for key in ("segmentation", "bbox", "category_id")]) for record in records]
    more = len(drawn) - len(set(drawn))
    return [f"{more} of {len(drawn)} objects are listed more than once"] if more else []


def coco_images(path: Path) -> list[str]:
    """File names (ids for a results file) of the images in a COCO file."""
    data = read_json(path)
    if isinstance(data, list):
        return list(dict.fromkeys(each(data, "annotation", path.name, lambda record: str(record["image_id"]))))
    return each(_records(data, "images", path.name), "image", path.name, lambda entry: str(entry["file_name"]))


def segmentation_item(
    record: Mapping[str, Any],
    shape: Shape,
    source: str,
    *,
    score: float,
    class_name: str,
    more: Mapping[str, float | bool],
) -> Item:
    """One record with `segmentation` (polygons or run lengths) or, without it, `bbox` as x, y, width, height."""
    segmentation = record.get("segmentation")
    if segmentation:
        return Item(segmentation_mask(segmentation, shape, source), None, score, class_name, more)
    x, y, width, height = numbers(record["bbox"]).tolist()
    return Item(None, (y, x, y + height, x + width), score, class_name, more)


def segmentation_mask(segmentation: Any, shape: Shape, source: str) -> Mask | None:
    """The mask of a COCO `segmentation`.

    Raises:
        ShapeError: run lengths of an image of another size.
    """
    if isinstance(segmentation, Mapping):
        size = same_shape(shape_from(segmentation["size"], source), shape, source)
        counts = segmentation["counts"]
        return mask_from_runs(decompress(counts) if isinstance(counts, str) else counts, size)
    if not isinstance(segmentation[0], Sequence):
        segmentation = [segmentation]  # one flat polygon without its list, as some tools write it
    return union([polygon_mask(polygon, shape) for polygon in segmentation])


def _records(data: Any, key: str, source: str) -> list[dict[str, Any]]:
    records = data.get(key) if isinstance(data, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise RecordError(f"{source}: wanted COCO with a list of records under {key!r}; export it again as COCO JSON")
    return records


def _pick(entries: list[dict[str, Any]], image: str | None, source: str) -> dict[str, Any]:
    """The entry of the wanted image: by file name as `fitting` has it, then by its id."""
    if image is None:
        if len(entries) == 1:
            return entries[0]
        raise RecordError(f"{source} has {len(entries)} images; say which with image='file name or id'")
    fits = fitting(image, [str(entry.get("file_name")) for entry in entries])
    for chosen in (
        [entry for entry in entries if str(entry.get("file_name")) in fits],
        [entry for entry in entries if str(entry.get("id")) == image],
    ):
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            names = " and ".join(str(entry.get("file_name")) for entry in chosen[:2])
            raise RecordError(f"{source}: {len(chosen)} images fit {image!r}, {names}; name one by its path or id")
    some = ", ".join(str(entry.get("file_name")) for entry in entries[:3])
    raise RecordError(f"{source}: no image {image!r} among its {len(entries)} ({some}…); give one of their names")


def _result_image(data: list[Any], image: str | None, source: str) -> dict[str, Any]:
    ids = list(dict.fromkeys(each(data, "annotation", source, lambda record: record["image_id"])))
    if not ids:
        return {}
    return _pick([{"id": one, "file_name": str(one)} for one in ids], image, source)


def _size(entry: Mapping[str, Any], records: Sequence[Mapping[str, Any]], shape: Shape | None, source: str) -> Shape:
    if entry.get("height") and entry.get("width"):
        return same_shape(shape_from([entry["height"], entry["width"]], source), shape, source)
    return coded_size(records, source) or need_shape(shape, source, "this COCO file")


def coded_size(records: Sequence[Mapping[str, Any]], source: str) -> Shape | None:
    """The image size that run-length coded masks carry."""
    for record in records:
        segmentation = record.get("segmentation")
        if isinstance(segmentation, Mapping) and "size" in segmentation:
            return shape_from(segmentation["size"], source)
    return None
