"""Labelled images of a session: a zip that a person sent, or a few simulated ones; what a zip may hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

from epistem.app.web.jobs import Told
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Refused, Room, safe_name

SET, ZIP = "set", "set.zip"
MOST_FILES, MOST_PACKED = 10_000, 200
"""Files in a zip, and how many times its size it may unpack to."""

SCENE, SCENES, SIDE_PX, CLASSES = "pores", 15, 160, ("matrix", "pore")
_NOT_ONE_FILE = (".zarr", ".zspy", ".emi")  # folders, archives, or names of other files


def reserve_set(room: Room, limits: Limits, name: str, size: int | None) -> tuple[str, Path]:
    """A place for a zip that is about to come: the name of its study, and where its bytes go.

    Raises:
        Refused: too large, no room left, or another kind of file.
    """
    if not name.lower().endswith(".zip"):
        raise Refused(f"{safe_name(name)} is no .zip; pack the images and their masks into one", 415)
    if size is not None and size > limits.upload_bytes:
        raise Refused(f"the file has {size / 1e6:,.0f} MB; this page takes up to {limits.upload_mb:,.0f} MB", 413)
    room.check_space(limits, size or 0)
    folder = room.new_run("bench")
    return folder.name, folder / ZIP


def unpack_set(folder: Path, most_bytes: int) -> None:
    """The zip of a study as its images; the zip is then gone.

    Args:
        folder: of the study.
        most_bytes: of all files together.

    Raises:
        Refused: too many or too large files, or far larger than they can be.
        RecordError: a damaged zip, a name that leads out of it, or a link.
    """
    from epistem.app.data_fetch import unpack

    path = folder / ZIP
    try:
        _check_zip(path, most_bytes)
        unpack(path, most_bytes=most_bytes)
    finally:
        path.unlink(missing_ok=True)
    for one in sorted((folder / SET).rglob("*"), reverse=True):
        if one.is_file() and not _is_wanted(one.name):
            one.unlink()


def check_images(folder: Path, megapixels: float, told: Told) -> None:
    """Opens every picture once, so that none larger than the page takes is learned from.

    Raises:
        Refused: too large a picture.
        ReadError: one that cannot be read.
    """
    from epistem.bench.examples import frames_of
    from epistem.imaging.read import SUFFIXES

    pictures = sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES)
    for done, path in enumerate(pictures):
        told(f"Reading picture {done + 1} of {len(pictures)}", done / len(pictures))
        rows, cols = frames_of(path)[0].channels[0].shape
        if rows * cols > megapixels * 1e6:
            raise Refused(
                f"{path.relative_to(folder).as_posix()} has {rows:,} × {cols:,} pixels; this page takes "
                f"{megapixels:g} million. Crop or bin it, or use the command line: epistem bench"
            )


def simulate_set(folder: Path, told: Told) -> None:
    """A few simulated SEM images of pores with their masks, each a specimen of its own."""
    from PIL import Image

    from epistem.synth.scenes import draw_scene

    for part in ("images", "masks"):
        (folder / SET / part).mkdir(parents=True, exist_ok=True)
    for seed in range(SCENES):
        told(f"Drawing image {seed + 1} of {SCENES}", seed / SCENES)
        scene = draw_scene(SCENE, seed=seed, shape=(SIDE_PX, SIDE_PX))
        name = f"specimen{seed}_1.png"
        Image.fromarray(scene.micrograph.pixels).save(folder / SET / "images" / name)
        Image.fromarray(scene.truth.labels).save(folder / SET / "masks" / name)


def _check_zip(path: Path, most_bytes: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise Refused(f"this is no whole .zip: {error}; pack the images again") from error
    total, size = sum(one.file_size for one in members), path.stat().st_size
    if len(members) > MOST_FILES:
        raise Refused(f"the zip holds {len(members):,} files; up to {MOST_FILES:,} are taken", 413)
    if total > min(most_bytes, MOST_PACKED * size):
        raise Refused(
            f"the zip unpacks to {total / 1e6:,.0f} MB, {total / max(size, 1):,.0f} times its size; this session has "
            f"{max(most_bytes, 0) / 1e6:,.0f} MB left, and up to {MOST_PACKED} times the size is taken",
            413,
        )
    if not any(_is_wanted(one.filename) for one in members):
        raise Refused(
            "the zip holds no image; wanted images/ and masks/ with the same names, or a.tif and a_mask.png"
        )


def _is_wanted(name: str) -> bool:
    from epistem.imaging.read import SUFFIXES

    suffix = Path(name).suffix.lower()
    return suffix not in _NOT_ONE_FILE and (suffix in SUFFIXES or suffix == ".json")
