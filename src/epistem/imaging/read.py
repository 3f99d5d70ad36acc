"""From a file to a Micrograph, a MicrographSeries, or one clear line that says why not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from epistem.core import Calibration, Micrograph, MicrographSeries, NotAnImage, ReadError, Table

READERS = Table(
    "reader",
    {
        "digitalmicrograph": "epistem.imaging.rosetta:read_digitalmicrograph",
        "emd": "epistem.imaging.rosetta:read_emd",
        "tia": "epistem.imaging.rosetta:read_tia",
        "mrc": "epistem.imaging.rosetta:read_mrc",
        "hspy": "epistem.imaging.rosetta:read_hspy",
        "zspy": "epistem.imaging.rosetta:read_zspy",
        "tiff": "epistem.imaging.tiff:read_tiff",
        "picture": "epistem.imaging.pictures:read_picture",
        "gwyddion": "epistem.imaging.afm:read_gwyddion",
        "igor": "epistem.imaging.afm:read_igor",
        "nanoscope": "epistem.imaging.afm:read_nanoscope",
        "zarr": "epistem.imaging.zarr_files:read_zarr",
    },
)

SUFFIXES = {
    **dict.fromkeys((".dm3", ".dm4"), "digitalmicrograph"),
    ".emd": "emd",
    **dict.fromkeys((".ser", ".emi"), "tia"),
    **dict.fromkeys((".mrc", ".mrcs", ".ali", ".rec", ".st", ".map"), "mrc"),
    ".hspy": "hspy",
    ".zspy": "zspy",
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".gif", ".webp"), "picture"),
    ".gwy": "gwyddion",
    ".ibw": "igor",
    ".spm": "nanoscope",
    ".zarr": "zarr",
}
"""Reader by file name; what the file begins with decides where the two disagree."""

_BURNT_IN = ("tiff", "picture")  # where a data strip or a scale bar may be drawn into the pixels
_WITHOUT_MARK = ("mrc", "igor")  # nothing tells these from other files, so their readers check for themselves


def read(path: str | Path, pixel_size: str | Calibration | None = None) -> Micrograph | MicrographSeries:
    """The image or the images of a file.

    Args:
        path: any format of READERS.
        pixel_size: overrules what the file says: "0.38", "1.2 µm", "0.38x0.40 nm" (rows x columns).

    Returns:
        One image; or a series for a stack, a video or several channels. Of a zarr or TIFF stack above 64 MiB each
        image is read when it is asked for; an error in it comes then.

    Raises:
        ReadError: the file cannot be read; the message is one line and names the file.
        NotAnImage: it was understood, and is a spectrum, a transform, 4D-STEM…
        DependencyMissing: the format needs an extra.
        SettingsError: `pixel_size` is no length.
    """
    from epistem.imaging.calibrate import parse_pixel_size, settle

    path = Path(path)
    user = parse_pixel_size(pixel_size) if isinstance(pixel_size, str) else pixel_size
    _check_file(path)
    name, note = identify(path)
    found: Micrograph | MicrographSeries = READERS[name](path)
    look = name in _BURNT_IN
    with np.errstate(all="ignore"):  # recorded numbers may be infinite or 1e38, and are no reason to warn
        if isinstance(found, Micrograph):
            _check_finite(path, [found])
            return settle(found.with_warning(*note), user, look=look)
        _check_finite(path, found)
        settled = found.mapped(lambda image: settle(image.with_warning(*note), user, look=look))
    return replace(settled, warnings=found.warnings + note)


def identify(path: Path) -> tuple[str, tuple[str, ...]]:
    """Name of the reader for a file, and a warning if its suffix promised another.

    Raises:
        ReadError: nothing here reads it.
    """
    suffix = path.suffix.lower()
    named = SUFFIXES.get(suffix)
    if path.is_dir():
        if named in ("zarr", "zspy"):
            return named, ()
        raise ReadError(f"{path} is a folder; wanted an image file (or a zarr or zspy folder)")
    begins = _begins(path)
    seen = _seen(begins, path)
    if seen == "zip":
        seen = named if named in ("zspy", "zarr") else None
    elif seen is None and (named in _WITHOUT_MARK or (suffix == ".emi" and not _is_text(begins))):
        seen = named
    if seen is not None:
        lies = named is not None and seen != named
        return seen, (f"called {suffix}, but holds {seen}; read as that",) if lies else ()
    what = "text" if _is_text(begins) else "something else"
    if named:
        raise ReadError(f"{path} is called {suffix} but holds {what}; rename it or save it again")
    raise ReadError(f"{path} holds {what} that no reader knows; wanted an image ({', '.join(READERS)})")


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            raise ReadError(f"{path} is a device, pipe or socket; wanted an image file")
        if status.st_size == 0:
            raise ReadError(f"{path} is empty (0 bytes); copy it again from the microscope")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise ReadError(f"{path} does not exist; check the name") from None
    except PermissionError:
        raise ReadError(f"{path} may not be read by this user; change its permissions") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ReadError(f"{path} cannot be opened: {reason}") from error


def _check_finite(path: Path, images: Iterable[Micrograph]) -> None:
    if not any(image.valid is None or image.valid.any() for image in images):
        raise NotAnImage(f"{path} holds no finite value (NaN, infinite or transparent throughout); nothing to see")


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}") from error


def _seen(begins: bytes, path: Path) -> str | None:
    """Reader for what the file begins with, "zip" for an archive, None if no mark is known."""
    if begins.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")):
        return "picture"
    if (begins[:2] == b"BM" and begins[6:10] == bytes(4)) or (begins[:4] == b"RIFF" and begins[8:12] == b"WEBP"):
        return "picture"
    if begins[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "tiff"
    if begins[:8] == b"\x89HDF\r\n\x1a\n":
        return _hdf5_kind(path)
    if begins[:4] in (b"\x00\x00\x00\x03", b"\x00\x00\x00\x04") and _is_dm(begins):
        return "digitalmicrograph"
    if begins[:4] == b"II\x97\x01":
        return "tia"
    if begins[:4] == b"GWYP":
        return "gwyddion"
    if begins.startswith((b"\\*File list", b"\\*Force file list")):
        return "nanoscope"
    if begins[208:212] in (b"MAP ", b"MAP\x00"):
        return "mrc"
    return "zip" if begins[:4] == b"PK\x03\x04" else None


def _is_dm(begins: bytes) -> bool:
    """A DigitalMicrograph header goes on with its length and whether numbers are little-endian (0 or 1)."""
    at = 8 if begins[3] == 3 else 12
    return begins[at : at + 4] in (b"\x00\x00\x00\x00", b"\x00\x00\x00\x01")


def _hdf5_kind(path: Path) -> str:
    """HyperSpy or EMD, by the name or else by the group that HyperSpy always writes."""
    named = SUFFIXES.get(path.suffix.lower())
    if named in ("hspy", "emd"):
        return str(named)
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "hspy" if "Experiments" in file else "emd"
    except Exception as error:  # h5py raises what it likes on a damaged file
        raise ReadError(f"{path} is a damaged HDF5 file; copy it again") from error


def _is_text(begins: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n\f" for byte in begins)
