"""dm3, dm4, emd, ser and emi, mrc, hspy and zspy, read by RosettaSciIO.

A file holds signals. Each becomes an image, a series, or a reason in words why it is neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from epistem.core import Axis, Context, Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging.border import as_recorded, check_declared, guarded, library
from epistem.imaging.colour import from_colour
from epistem.imaging.context import context_of
from epistem.imaging.dm_tags import check_dm
from epistem.imaging.plain import look_up, plain
from epistem.imaging.stores import check_hdf5, check_zarr
from epistem.imaging.together import together, with_warnings
from epistem.imaging.units import PixelSize, Spacing, has_unit, is_reciprocal, pixel_size, to_nm

Signal = Mapping[str, Any]
_SPECTRAL_UNITS = {"ev", "kev", "mev"}
_SPECTRAL_NAMES = ("energy", "wavelength", "raman")
_TIME_UNITS = {"s", "sec", "ms", "µs", "us", "ns", "ps", "min"}


class _Part(NamedTuple):
    title: str
    image: Micrograph | MicrographSeries
    reciprocal: bool


@guarded
def read_digitalmicrograph(path: Path) -> Micrograph | MicrographSeries:
    """Gatan's dm3 and dm4; thumbnails are left out."""
    check_dm(path)
    return _images(path, _signals("digitalmicrograph", path), "z", "Dimension Scale and Units")


@guarded
def read_emd(path: Path) -> Micrograph | MicrographSeries:
    """Thermo Fisher Velox, NCEM (Berkeley), Prismatic and py4DSTEM emd."""
    import h5py

    check_hdf5(path, skip=("SpectrumStream", "SpectrumImage"))
    with h5py.File(path, "r") as file:
        # Spectrum streams decode to far more than their size in the file, and would be refused afterwards.
        options = {"select_type": "images"} if "Version" in file and "Data" in file else {}
    signals = _signals("emd", path, **options)
    if not signals:
        raise NotAnImage("the file holds spectra only; an image was wanted")
    return _images(path, signals, "z", "PixelSize" if options else "dim units")


@guarded
def read_tia(path: Path) -> Micrograph | MicrographSeries:
    """FEI TIA: an emi with the ser files beside it, or one ser."""
    signals = _signals("tia", path)
    if not signals:
        raise NotAnImage(f"the images of an emi lie in {path.stem}_1.ser beside it, and none is there")
    return _images(path, signals, "t", "CalibrationDelta")


@guarded
def read_mrc(path: Path) -> Micrograph | MicrographSeries:
    """MRC and CCP4 maps, of either byte order; a volume is a series over z."""
    order = _check_mrc(path)
    signals = _signals("mrc", path, endianness=order)
    if order == ">":  # RosettaSciIO 0.15 turns the header's bytes, and leaves the pixels' as they are
        data = signals[0]["data"]
        signals[0]["data"] = data.view(data.dtype.newbyteorder())
    # No cell length, or a negative one (Direct Electron's), is how an MRC says that it does not know.
    for axis in signals[0]["axes"]:
        if not float(axis["scale"]) > 0:
            axis["units"] = None
    return _images(path, signals, "z", "cell size")


@guarded
def read_hspy(path: Path) -> Micrograph | MicrographSeries:
    """HyperSpy's HDF5 files."""
    check_hdf5(path)
    return _images(path, _signals("hspy", path), "z", "axis units")


@guarded
def read_zspy(path: Path) -> Micrograph | MicrographSeries:
    """HyperSpy's zarr files, folder or zip. Needs the extra `afm`, which brings zarr."""
    library("zarr", "afm")
    check_zarr(path)
    return _images(path, _signals("zspy", path), "z", "axis units")


def image_of(signal: Signal, name: str) -> Micrograph | MicrographSeries:
    """The image, or the images along what stands before rows and columns, of one signal dictionary.

    Raises:
        NotAnImage: a spectrum, a transform, 4D-STEM…, or an image of reciprocal space.
    """
    if reason := _refusal(signal):
        raise NotAnImage(f"{name} is {reason}")
    part = _part(signal, name, name, "z", "axis units")
    if part.reciprocal:
        units = " and ".join(dict.fromkeys(str(axis.get("units")) for axis in signal["axes"][-2:]))
        raise NotAnImage(f"{name} is a diffraction pattern (pixels in {units}): lengths in nm have no meaning there")
    return part.image


def _signals(plugin: str, path: Path, **options: Any) -> list[dict[str, Any]]:
    return list(import_module(f"rsciio.{plugin}").file_reader(str(path), **options))


def _check_mrc(path: Path) -> str:
    with path.open("rb") as file:
        header = file.read(1024)
    if len(header) < 1024:
        raise ReadError(f"an MRC header is 1024 bytes, the file has {len(header)}")
    for order in ("<", ">"):
        cols, rows, sections, mode = (int(value) for value in np.frombuffer(header, order + "u4", 4))
        extra = int(np.frombuffer(header, order + "u4", 1, 92)[0])
        sizes = {0: 1, 1: 2, 2: 4, 4: 8, 6: 2, 12: 2}
        if mode not in sizes:
            continue
        check_declared("the map", (sections, rows, cols), sizes[mode])
        want = 1024 + extra + cols * rows * sections * sizes[mode]
        if path.stat().st_size < want:
            raise ReadError(f"the MRC header declares {want} bytes, the file has {path.stat().st_size}: cut short?")
        return order
    raise ReadError("no MRC header: its mode is none of 0, 1, 2, 4, 6, 12")


def _images(path: Path, signals: Sequence[Signal], axis: Axis, detail: str) -> Micrograph | MicrographSeries:
    """All images of a file; the reasons for what is left out become warnings, or the refusal."""
    parts: list[_Part] = []
    left: list[str] = []
    for i, signal in enumerate(signals):
        title = str(plain(signal.get("metadata") or {}).get("General", {}).get("title") or "") or f"signal {i + 1}"
        reason = _refusal(signal)
        if reason:
            left.append(f"{title!r} is {reason}")
        else:
            parts.append(_part(signal, title, path.name, axis, detail))
    if not parts:
        raise NotAnImage("; ".join(dict.fromkeys(left)) or "no image in the file")
    if any(not part.reciprocal for part in parts):
        left += [f"{part.title!r} is reciprocal space" for part in parts if part.reciprocal]
        parts = [part for part in parts if not part.reciprocal]
    whole = together([part.image for part in parts], "channel", [part.title for part in parts], path.name)
    return with_warnings(whole, [f"left out: {'; '.join(dict.fromkeys(left))}"] if left else [])


def _refusal(signal: Signal) -> str | None:
    """Why a signal is no image, in words that follow "is"; None if it is one."""
    data, axes = signal["data"], signal["axes"]
    if data.dtype.names and not {"R", "G", "B"} <= set(data.dtype.names):
        return f"a table with columns {', '.join(data.dtype.names)}"
    if not data.dtype.names and data.dtype.kind not in "buif":
        return "a complex transform (an FFT?)" if data.dtype.kind == "c" else "text or objects, not numbers"
    if data.size == 0:
        return f"empty (shape {data.shape})"
    if any(_is_spectral(one) for one in axes) or _is_dm_spectrum(signal):
        return f"a spectrum or spectrum image (shape {data.shape})"
    shown = [one for one in axes if not one.get("navigate")]
    if data.ndim < 2 or len(shown) < 2:
        return f"a spectrum or profile, or a row of them (shape {data.shape})"
    before = axes[:-2]
    if len(before) > 1 and _is_scan(before, axes[-2:]):
        return (
            f"4D-STEM or another {data.ndim}-dimensional set (shape {data.shape}); save the image you want by itself"
        )
    return None


def _is_spectral(axis: Mapping[str, Any]) -> bool:
    unit, name = str(axis.get("units") or "").lower(), str(axis.get("name") or "").lower()
    return unit in _SPECTRAL_UNITS or any(word in name for word in _SPECTRAL_NAMES)


def _is_dm_spectrum(signal: Signal) -> bool:
    """DigitalMicrograph says in two places that a cube is spectra, even where no axis is named energy."""
    tags = look_up(signal.get("original_metadata") or {}, "ImageList.TagGroup0.ImageTags")
    return look_up(tags, "Meta Data.Format") in ("Spectrum image", "Spectrum") or look_up(tags, "spim") is not None


def _is_scan(before: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> bool:
    """Two or more leading axes are a scan unless the last two are plainly the image's own lengths."""
    lengths = sum(to_nm(1.0, str(axis.get("units") or "")) is not None for axis in before)
    unit = shown[-1].get("units")
    return lengths > 1 or is_reciprocal(unit) or not has_unit(unit)


def _part(signal: Signal, title: str, name: str, axis: Axis, detail: str) -> _Part:
    data, axes = signal["data"], signal["axes"]
    rows, cols = (Spacing(float(one.get("scale", 1.0)), one.get("units")) for one in axes[-2:])
    size = pixel_size(rows, cols, detail)
    like = _like(signal, name, size)
    images = [_plane(plane, like) for plane in data.reshape(-1, *data.shape[-2:])]
    before = [(one, length) for one, length in zip(axes[:-2], data.shape[:-2], strict=True) if length > 1]
    labels = [", ".join(words) for words in product(*(_positions(one, length) for one, length in before))]
    kind = _axis_kind(before[0][0], axis) if len(before) == 1 else "channel"
    return _Part(title, together(images, kind, labels, name), size.reciprocal)


def _like(signal: Signal, name: str, size: PixelSize) -> Micrograph:
    context: Context = context_of(signal)
    metadata = plain({"known": signal.get("metadata") or {}, "original": signal.get("original_metadata") or {}})
    return Micrograph(
        np.zeros((1, 1), np.uint8),
        calibration=size.calibration,
        context=context,
        metadata=metadata,
        name=name,
        warnings=(size.reason,) if size.reason else (),
    )


def _plane(plane: np.ndarray[Any, Any], like: Micrograph) -> Micrograph | MicrographSeries:
    if not plane.dtype.names:
        return replace(like, pixels=as_recorded(plane))
    colour = np.stack([plane[name] for name in "RGB"], axis=-1)
    # DigitalMicrograph's fourth byte is padding, written as 0 or 255 for the whole image, not transparency.
    return from_colour(colour, like)


def _positions(axis: Mapping[str, Any], length: int) -> list[str]:
    unit = axis.get("units")
    if not has_unit(unit) or not axis.get("scale"):
        return [str(i) for i in range(length)]
    start, step = float(axis.get("offset") or 0.0), float(axis["scale"])
    return [f"{start + i * step:.6g} {unit}" for i in range(length)]


def _axis_kind(axis: Mapping[str, Any], otherwise: Axis) -> Axis:
    unit, name = str(axis.get("units") or "").lower(), str(axis.get("name") or "").lower()
    if unit in _TIME_UNITS or name.startswith("time"):
        return "t"
    if "channel" in name or "detector" in name or "angle" in name:
        return "channel"
    return "z" if name in ("z", "depth") else otherwise
