"""zarr arrays and OME-Zarr images."""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import Axis, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging.border import as_recorded, check_declared, guarded, library
from epistem.imaging.plain import plain
from epistem.imaging.stores import check_zarr
from epistem.imaging.together import together
from epistem.imaging.units import Spacing, pixel_size

_AXES: dict[str, Axis] = {"t": "t", "z": "z", "c": "channel"}


@guarded
def read_zarr(path: Path) -> Micrograph | MicrographSeries:
    """A zarr array, or the finest level of an OME-Zarr image. Needs the extra `afm`.

    A plain array has no axes: two are an image, three a series over z, and its pixel size is unknown.
    """
    zarr = library("zarr", "afm")
    check_zarr(path)
    if path.is_dir():
        return _from_node(zarr.open(str(path), mode="r"), path.name)
    with zarr.storage.ZipStore(path, mode="r") as store:
        return _from_node(zarr.open(store, mode="r"), path.name)


def _from_node(node: Any, name: str) -> Micrograph | MicrographSeries:
    if hasattr(node, "shape"):
        return _from_array(node, {}, [1.0] * node.ndim, _usual_axes(node.ndim), name)
    attributes = dict(node.attrs)
    scales = (attributes.get("ome") or attributes).get("multiscales")
    if not scales:
        raise NotAnImage("a zarr group without OME multiscales; give the path of one array in it")
    first = scales[0]
    level = first["datasets"][0]
    array = node[level["path"]]
    axes = [one if isinstance(one, dict) else {"name": one} for one in first.get("axes", [])]
    axes = axes or _usual_axes(array.ndim)
    steps = np.ones(array.ndim)
    for change in (*level.get("coordinateTransformations", []), *first.get("coordinateTransformations", [])):
        if change.get("type") == "scale":
            steps = steps * np.asarray(change["scale"], float)
    return _from_array(array, attributes, [float(step) for step in steps], axes, name)


def _usual_axes(count: int) -> list[dict[str, Any]]:
    return [{"name": letter} for letter in "tczyx"[-count:]]


def _from_array(
    array: Any, attributes: dict[str, Any], steps: list[float], axes: list[dict[str, Any]], name: str
) -> Micrograph | MicrographSeries:
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise NotAnImage(f"the array is {array.dtype} of shape {array.shape}; an image has two axes of real numbers")
    if array.ndim > 3 and not attributes:
        raise NotAnImage(f"a plain array of shape {array.shape} does not say which axes are the image's")
    if len(axes) != array.ndim or len(steps) != array.ndim:
        raise ReadError(f"the array has {array.ndim} axes, its description {len(axes)} with {len(steps)} scales")
    check_declared("the array", array.shape, array.dtype.itemsize)
    rows, cols = (Spacing(steps[i], axes[i].get("unit")) for i in (-2, -1))
    size = pixel_size(rows, cols, "OME-Zarr scale")
    planes = np.asarray(array[...]).reshape(prod(array.shape[:-2]), *array.shape[-2:])
    images = [
        Micrograph(
            as_recorded(plane),
            calibration=size.calibration,
            metadata=plain(attributes),
            name=name,
            warnings=(size.reason,) if size.reason else (),
        )
        for plane in planes
    ]
    lengths = array.shape[:-2]
    letters = [str(axes[i]["name"]) for i in range(len(lengths))]
    axis = _AXES.get(letters[int(np.argmax(lengths))], "z") if lengths else "z"
    labels = [
        ", ".join(f"{letter}{i}" for letter, i in zip(letters, index, strict=True))
        for index in product(*(range(n) for n in lengths))
    ]
    return together(images, axis, labels, name)
