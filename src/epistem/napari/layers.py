"""Micrographs as napari layers, and layers as micrographs; nothing here needs napari.

A layer is (data, what it is called and how it lies, its kind), as napari's readers give them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import Calibration, Micrograph, MicrographSeries, ShapeError
from epistem.imaging.calibrate import parse_pixel_size, settle
from epistem.imaging.read import SUFFIXES, read
from epistem.imaging.units import Spacing, pixel_size

Layer = tuple[Any, dict[str, Any], str]
KEY = "epistem"
"""Under it a layer's metadata hold the micrographs that it shows, in the order of its slices."""


def get_reader(path: str | list[str]) -> Callable[[str], list[Layer]] | None:
    """What napari asks of a file: the reader of it, or None where it is none of ours or several are to be stacked."""
    if not isinstance(path, str):
        return None
    suffix = Path(path).suffix.lower()
    return read_layers if suffix in SUFFIXES and (not Path(path).is_dir() or suffix in (".zarr", ".zspy")) else None


def read_layers(path: str) -> list[Layer]:
    """A file as image layers: one, with a slider where it is a series; several where its images differ in size.

    Raises:
        ReadError: the file cannot become an image.
    """
    image = read(path)
    images = (image,) if isinstance(image, Micrograph) else image.slices
    first = images[0]
    if len(images) == 1:
        return [_layer(first.pixels, images, first.name)]
    alike = all((one.shape, _size(one)) == (first.shape, _size(first)) for one in images)
    if alike and isinstance(image, MicrographSeries):
        return [_layer(np.stack([one.pixels for one in images]), images, image.name)]
    return [_layer(one.pixels, (one,), one.name) for one in images]


def micrograph_of(layer: Any, step: tuple[int, ...] = (), typed: str = "") -> Micrograph:
    """The image that an image layer shows.

    Args:
        layer: of napari, ours or any other.
        step: where the viewer's sliders stand, one number an axis.
        typed: pixel size as a person typed it, which wins; "" takes that of the layer.

    Raises:
        ShapeError: a colour layer.
        SettingsError: what was typed is no length.
    """
    if getattr(layer, "rgb", False):
        raise ShapeError(f"{layer.name} is in colour; open it with epistem's reader, or split its channels")
    user = parse_pixel_size(typed) if typed.strip() else None
    place = tuple(int(i) for i in step[-layer.ndim : len(step) - 2]) if layer.ndim > 2 else ()
    place = place if len(place) == layer.ndim - 2 else (0,) * (layer.ndim - 2)
    ours = layer.metadata.get(KEY)
    if ours is not None:
        return _settled(ours[place[0] if place else 0], user)
    label = f" [{', '.join(map(str, place))}]" if place else ""
    pixels = np.asarray(layer.data[place] if place else layer.data)
    rows, cols = (
        Spacing(float(scale), str(unit)) for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True)
    )
    found = pixel_size(rows, cols, "scale of the layer")
    warnings = (found.reason,) if found.reason else ()
    return settle(Micrograph(pixels, found.calibration, name=f"{layer.name}{label}", warnings=warnings), user)


def placed(micrograph: Micrograph) -> dict[str, Any]:
    """Scale and units that put a layer of this image's shape on it; nothing without a pixel size."""
    size = _size(micrograph)
    return {} if size is None else {"scale": size, "units": ("nm", "nm")}


def _layer(pixels: Any, images: Sequence[Micrograph], name: str) -> Layer:
    where = placed(images[0])
    if pixels.ndim == 3 and where:
        where = {"scale": (1.0, *where["scale"]), "units": ("pixel", *where["units"])}
    return pixels, {"name": name, "metadata": {KEY: images}, **where}, "image"


def _size(image: Micrograph) -> tuple[float, float] | None:
    size = image.calibration
    return None if size is None else (size.row_nm, size.col_nm)


def _settled(image: Micrograph, user: Calibration | None) -> Micrograph:
    """The user's word wins; strip and scale bar were looked for when the file was read."""
    return image if user is None else settle(replace(image, calibration=None), user, look=False)
