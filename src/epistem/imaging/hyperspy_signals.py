"""HyperSpy signals become micrographs, and micrographs HyperSpy signals.

HyperSpy puts a pixel's middle at `offset + index·scale`; a corner of pixel `i` lies half a pixel before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epistem.core import (
    Calibration,
    Context,
    DependencyMissing,
    Instances,
    Micrograph,
    MicrographSeries,
    NotAnImage,
    ShapeError,
)
from epistem.core.polygon import one_ring, trace
from epistem.imaging.border import check_declared
from epistem.imaging.plain import plain
from epistem.imaging.rosetta import image_of
from epistem.imaging.units import to_nm

UNTITLED = "signal"
_AXES = "axes"  # of the signal, in the metadata of a micrograph that was one
_INSTRUMENT = {
    "beam_keV": "beam_energy",
    "instrument": "microscope",
    "magnification": "magnification",
    "camera_length_mm": "camera_length",
    "modality": "acquisition_mode",
}
"""Our field → that of HyperSpy's Acquisition_instrument, which has the same units."""


class Analysed(Protocol):
    """An image and what was found in it, as `epistem.analyze` returns them."""

    @property
    def micrograph(self) -> Micrograph: ...
    @property
    def found(self) -> Instances: ...


def from_hyperspy(signal: Any) -> Micrograph | MicrographSeries:
    """The image of a Signal2D with pixel size, context and metadata; a series where it has navigation axes.

    The pixels are copied, so that what HyperSpy changes in place later stays there; a lazy signal is computed.

    Args:
        signal: of HyperSpy, or of a package on it, such as pyxem or eXSpy.

    Raises:
        NotAnImage: a spectrum, a complex or 4D signal, a diffraction pattern, an axis that is not uniform.
        ReadError: more pixels than one image may have.

    Axes without units give no pixel size. `to_hyperspy` gives the same signal back.
    """
    if not all(hasattr(signal, name) for name in ("data", "axes_manager", "metadata")):
        raise NotAnImage(f"wanted a HyperSpy signal, not {type(signal).__name__}; epistem.read takes files")
    title = str(signal.metadata.get_item("General.title", "") or "") or UNTITLED
    axes = [axis.get_axis_dictionary() for axis in signal.axes_manager._axes]
    for axis in axes:
        if "scale" not in axis:
            raise NotAnImage(f"{title} has an axis that is not uniform ({axis.get('name')}); interpolate it first")
    if signal.data.ndim >= 2 and signal.data.dtype.kind in "buif":
        check_declared(title, signal.data.shape, signal.data.dtype.itemsize)
    data = signal.data.compute() if hasattr(signal.data, "compute") else signal.data
    parts = {
        "data": np.array(data), "axes": axes, "metadata": signal.metadata.as_dictionary(),
        "original_metadata": signal.original_metadata.as_dictionary(),
    }  # fmt: skip
    image = image_of(parts, title)
    metadata = {_AXES: plain(axes)}
    if isinstance(image, Micrograph):
        return replace(image, metadata={**image.metadata, **metadata})
    slices = tuple(replace(one, metadata={**one.metadata, **metadata}) for one in image)
    return replace(image, slices=slices)


def to_hyperspy(image: Micrograph | MicrographSeries | Analysed) -> Any:
    """A Signal2D with scale and units on its axes, title, beam energy and metadata; found objects are its markers.

    Args:
        image: an image, a series of images of one size, or an analysis with its outlines.

    Returns:
        `hyperspy.signals.Signal2D`. What is masked stays as it was recorded.

    Raises:
        DependencyMissing: HyperSpy is not installed.
        ShapeError: images of a series differ in shape or pixel size.
    """
    try:
        import hyperspy.api as hs
    except ImportError as error:
        raise DependencyMissing('a HyperSpy signal needs hyperspy; pip install "epistem[hyperspy]"') from error

    found = None if isinstance(image, Micrograph | MicrographSeries) else image.found
    if not isinstance(image, Micrograph | MicrographSeries):
        image = image.micrograph
    images = (image,) if isinstance(image, Micrograph) else image.slices
    first = images[0]
    axes = [*_before(image, first), *_rows_and_columns(first)]
    shape = [int(axis["size"]) for axis in axes]
    signal = hs.signals.Signal2D(_stack(images).reshape(shape), axes=axes)
    _describe(signal, image.name, first.context, first.metadata)
    if found is not None:
        _mark(signal, found, axes[-2], axes[-1], hs.plot.markers.Polygons)
    return signal


def _stack(images: Sequence[Micrograph]) -> NDArray[Any]:
    first = images[0]
    for one in images:
        if one.shape != first.shape or one.pixels.dtype != first.pixels.dtype:
            raise ShapeError(
                f"{one.name} is {one.shape} {one.pixels.dtype}, {first.name} {first.shape} {first.pixels.dtype}; a "
                "signal needs equal ones, convert the images one by one"
            )
        if _size(one.calibration) != _size(first.calibration):
            raise ShapeError(f"{one.name} and {first.name} differ in pixel size; convert the images one by one")
    return np.stack([one.pixels for one in images])


def _size(calibration: Calibration | None) -> tuple[float, float] | None:
    return None if calibration is None else (calibration.row_nm, calibration.col_nm)


def _before(image: Micrograph | MicrographSeries, first: Micrograph) -> list[dict[str, Any]]:
    """Navigation axes: those that the signal had, where the images are still as many; else one that counts."""
    if isinstance(image, Micrograph):
        return []
    kept = [dict(axis) for axis in first.metadata.get(_AXES, ())][:-2]
    if kept and prod(int(axis["size"]) for axis in kept) == len(image):
        return kept
    return [{"name": image.axis, "size": len(image), "navigate": True}]


def _rows_and_columns(first: Micrograph) -> list[dict[str, Any]]:
    """Signal axes: those that the signal had, where they still say the same; else in nm, from 0 on."""
    kept = [dict(axis) for axis in first.metadata.get(_AXES, ())][-2:] or [{}, {}]
    nm = _size(first.calibration)
    made = []
    for axis, size, spacing, name in zip(kept, first.shape, nm or (None, None), "yx", strict=True):
        same = axis.get("size") == size and _says(axis, spacing)
        fresh: dict[str, Any] = {"name": axis.get("name", name), "size": size, "navigate": False}
        made.append(axis if same else fresh | ({} if spacing is None else {"scale": spacing, "units": "nm"}))
    return made


def _says(axis: Mapping[str, Any], spacing: float | None) -> bool:
    nm = to_nm(float(axis["scale"]), str(axis.get("units") or ""))
    return nm is spacing is None or (nm is not None and spacing is not None and abs(nm / spacing - 1) < 1e-12)


def _describe(signal: Any, name: str, context: Context, metadata: Mapping[str, Any]) -> None:
    known = {key: value for key, value in dict(metadata.get("known", {})).items() if key != "_HyperSpy"}
    signal.metadata.add_dictionary(known)
    rest = {key: value for key, value in metadata.items() if key not in ("known", "original", _AXES)}
    signal.original_metadata.add_dictionary({**dict(metadata.get("original", {})), **rest})
    signal.metadata.set_item("General.title", "" if name == UNTITLED else name)
    kind = "SEM" if context.modality == "SEM" else "TEM"
    for ours, theirs in _INSTRUMENT.items():
        place, value = f"Acquisition_instrument.{kind}.{theirs}", getattr(context, ours)
        if value is not None and not signal.metadata.has_item(place):
            signal.metadata.set_item(place, value)


def _mark(signal: Any, found: Instances, rows: Mapping[str, Any], cols: Mapping[str, Any], polygons: Any) -> None:
    """Outlines as markers that are saved with the signal, and who found them."""
    if found.provenance is not None:
        signal.metadata.set_item("epistem.found", found.provenance.as_dict())
    rings = _rings(found)
    if not rings:
        return
    # Equally many corners each, the last one repeated: HyperSpy 2.5 cannot print metadata with ragged polygons.
    longest = max(len(ring) for ring in rings)
    corners = np.stack([np.pad(ring, ((0, longest - len(ring)), (0, 0)), mode="edge") for ring in rings])
    scale = np.array([cols.get("scale", 1.0), rows.get("scale", 1.0)])
    offset = np.array([cols.get("offset", 0.0), rows.get("offset", 0.0)])
    markers = polygons(
        verts=offset + (corners[..., ::-1] - 0.5) * scale, facecolors="none", edgecolors="yellow", linewidth=1
    )
    signal.add_marker(markers, permanent=True, plot_marker=False)


def _rings(found: Instances) -> list[NDArray[np.float64]]:
    """Each object's outline as (row, col) corners; the box where only that is known."""
    if found.crops is None:
        return [np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]]) for r0, c0, r1, c1 in found.boxes.tolist()]
    return [
        one_ring(trace(mask.crop)) + np.array([mask.rows.start, mask.cols.start], float) for mask in found.masks()
    ]
