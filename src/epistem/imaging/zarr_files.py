"""zarr arrays and OME-Zarr images."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Axis, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.core.errors import wants_memory
from epistem.imaging.border import AT_ONCE, MAX_STACK, as_recorded, check_declared, guarded, library, one_line
from epistem.imaging.plain import plain
from epistem.imaging.stores import check_zarr
from epistem.imaging.together import labels_of, together, unread
from epistem.imaging.units import Spacing, pixel_size

_AXES: dict[str, Axis] = {"t": "t", "z": "z", "c": "channel"}
_SLAB = 2**29  # of chunks that hold several planes, so many bytes are kept: else each plane would unpack all of them


@guarded
def read_zarr(path: Path) -> Micrograph | MicrographSeries:
    """A zarr array, or the finest level of an OME-Zarr image. Needs the extra `afm`.

    A plain array has no axes: two are an image, three a series over z, and its pixel size is unknown. The planes of
    a large stack in a folder are read when they are asked for.
    """
    zarr = library("zarr", "afm")
    if path.is_dir():
        check_zarr(path, MAX_STACK)
        return _from_node(zarr.open(str(path), mode="r"), path)
    check_zarr(path)
    with zarr.storage.ZipStore(path, mode="r") as store:
        return _from_node(zarr.open(store, mode="r"), path)


def _from_node(node: Any, path: Path) -> Micrograph | MicrographSeries:
    if hasattr(node, "shape"):
        return _from_array(node, {}, [1.0] * node.ndim, _usual_axes(node.ndim), path)
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
    return _from_array(array, attributes, [float(step) for step in steps], axes, path)


def _usual_axes(count: int) -> list[dict[str, Any]]:
    return [{"name": letter} for letter in "tczyx"[-count:]]


def _from_array(
    array: Any, attributes: dict[str, Any], steps: list[float], axes: list[dict[str, Any]], path: Path
) -> Micrograph | MicrographSeries:
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise NotAnImage(f"the array is {array.dtype} of shape {array.shape}; an image has two axes of real numbers")
    if array.ndim > 3 and not attributes:
        raise NotAnImage(f"a plain array of shape {array.shape} does not say which axes are the image's")
    if len(axes) != array.ndim or len(steps) != array.ndim:
        raise ReadError(f"the array has {array.ndim} axes, its description {len(axes)} with {len(steps)} scales")
    later = path.is_dir() and array.ndim > 2 and array.size * array.dtype.itemsize > AT_ONCE
    check_declared("the array", array.shape, array.dtype.itemsize, limit=MAX_STACK if later else None)
    rows, cols = (Spacing(steps[i], axes[i].get("unit")) for i in (-2, -1))
    size = pixel_size(rows, cols, "OME-Zarr scale")
    metadata = plain(attributes)
    plane = _planes(array) if array.ndim > 2 else lambda _: np.asarray(array[...])

    def image(place: int) -> Micrograph:
        try:
            pixels = plane(place)
        except Exception as error:  # a damaged chunk makes codecs raise anything
            if not lengths or wants_memory(error):
                raise
            where = f"plane {place}, counted from 0, of {n} cannot be unpacked"
            raise ReadError(f"{where} ({type(error).__name__}: {one_line(error)}); save the array again") from error
        return Micrograph(
            as_recorded(pixels),
            calibration=size.calibration,
            metadata=metadata,
            name=path.name,
            warnings=(size.reason,) if size.reason else (),
        )

    lengths = array.shape[:-2]
    letters = [str(axes[i]["name"]) for i in range(len(lengths))]
    axis = _AXES.get(letters[int(np.argmax(lengths))], "z") if lengths else "z"
    label, n = labels_of(letters, lengths), prod(lengths)
    if later:
        return unread(path, n, image, axis, label)
    return together([image(i) for i in range(n)], axis, [label(i) for i in range(n)], path.name)


def _planes(array: Any) -> Callable[[int], NDArray[Any]]:
    """Planes of an array by their place, those that lie in one chunk unpacked together."""
    lengths, plane_bytes = array.shape[:-2], prod(array.shape[-2:]) * array.dtype.itemsize
    depth = max(1, min(int(array.chunks[-3]), _SLAB // plane_bytes))

    @lru_cache(maxsize=1)
    def slab(before: tuple[int, ...], first: int) -> NDArray[Any]:
        return np.asarray(array[(*before, slice(first, first + depth))])

    def plane(place: int) -> NDArray[Any]:
        *before, at = (int(i) for i in np.unravel_index(place, lengths))
        # A copy: who keeps one plane must not keep the others.
        there: NDArray[Any] = slab(tuple(before), at - at % depth)[at % depth]
        return there.copy()

    return plane
