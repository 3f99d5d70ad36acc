"""The folder of results: what lies where, and how a run that was killed finds what is done.

::

    RESULTS/
    ├── report.html, report.json      what a person reads and forwards
    ├── images.csv                    one row an image
    ├── objects.csv, objects.parquet  one row an object, all images
    ├── samples.csv                   one row a specimen, where samples were given
    ├── errors.csv                    one row a file that failed, and why
    ├── methods.txt, run.json         how it was made
    ├── shards/                       with --lean, instead of images/: see app/shards.py
    └── images/<path as in the folder>/
        ├── result.json               written last: its key says that the rest is whole
        ├── brief.json, report.json  what the folder's report takes, and the page's own
        ├── objects.*, overlay.png, labels.tif, rois.zip, …   (in one folder a slice for a series)
        ├── slice.json            in each of those, written last: a killed run goes on after it
        └── labels.ome.zarr       of a series: its label images as one stack, where zarr is installed
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from epistem.core import Axis, Quantity, Verdict

RESULT, SLICE = "result.json", "slice.json"
BRIEF = "brief.json"
LABELS = "labels.tif"
READ_AGAIN = ("objects.parquet", "report.json", BRIEF)
SCHEMA: Final = "epistem.result/1"
REPLACED = "another run with other settings has replaced its result; choose another --out, and run again"
_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


class ImageRecord(BaseModel):
    """One analysed image, as the overview and the sample tables need it.

    Attributes:
        name: file, with the slice in brackets where it is of a series.
        axis, slice: which image of its series it is, counted from 0; None for a single image.
        folder: where its files lie, relative to the results folder; "" where it has none.
        id: hash of the pixels.
        row_nm, col_nm, scale_source: pixel size and who says so.
        noun: what one object is called.
        foil: thickness of the foil and its standard error [nm].
        n_objects: how many were found.
        quantities: by name.
        expected: F1, precision and recall, by name, where a forecast covers the detector.
        typicality: share of the reference images that are less typical, or None.
        verdict: accept, review or refuse; None where nothing entitles to one.
        reasons: for the verdict, or why there is no forecast.
        warnings: what a person must know.
        maker, detector_settings: who found the objects, and how it was set.
        weights: hash of those it used; None where it has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    axis: Axis | None
    slice: int | None
    folder: str
    id: str
    shape: tuple[int, int]
    row_nm: float | None
    col_nm: float | None
    scale_source: str | None = None
    foil: tuple[float | None, float | None] = (None, None)
    noun: str = "object"
    n_objects: int
    quantities: dict[str, Quantity]
    expected: dict[str, Quantity] = Field(default_factory=dict)
    typicality: float | None = None
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...]
    maker: str
    detector_settings: dict[str, Any]
    weights: str | None = None


class FileRecord(BaseModel):
    """One analysed file: one image or the slices of a series.

    Attributes:
        sums: SHA-256 of what the folder's tables and report are made from, by path in the file's folder, as it was
            written: what another run has put in its place does not count as this one's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    key: str
    specimen: str | None
    images: tuple[ImageRecord, ...]
    sums: dict[str, str] = Field(default_factory=dict)
    schema_name: Literal["epistem.result/1"] = SCHEMA


class FileError(BaseModel):
    """One file that failed, and why, in one line."""

    model_config = ConfigDict(frozen=True)

    file: str
    kind: str
    why: str


@dataclass(frozen=True)
class Job:
    """One file to analyse.

    Attributes:
        path: where it is.
        name: how it is called in the results: its path below the folder that was asked for.
        key: hash of everything the result depends on.
        specimen: from samples.csv.
        thickness_nm, thickness_error_nm: from samples.csv; they stand before those of the settings [nm].
        found: annotations to measure instead of running the detector.
        refused: why this file cannot be analysed, known before it is opened.
    """

    path: Path
    name: str
    key: str
    specimen: str | None = None
    thickness_nm: float | None = None
    thickness_error_nm: float | None = None
    found: Path | None = None
    refused: str | None = None


def job_key(settings_key: str, *parts: Path | str | float | None) -> str:
    """Hash of the settings, of the content of files and of further values."""
    digest = hashlib.sha256(settings_key.encode())
    for part in parts:
        digest.update(b"\0")
        content = _content(part) if isinstance(part, Path) else None
        digest.update(content or str(part).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _content(path: Path) -> bytes | None:
    """Hash of what a file or a zarr folder holds; None if it cannot be opened, which its reader will say better."""
    try:
        if path.is_dir():
            digest = hashlib.sha256()
            for name, one in _inside(path):
                digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + (_content(one) or b""))
            return digest.digest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


def _inside(folder: Path) -> list[tuple[str, Path]]:
    """Files anywhere in a folder with their names in it; links are followed, and what file managers leave is not."""

    def stop(error: OSError) -> None:
        raise error

    files, met = [], set()
    for here, _, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(here)
        if real in met:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), here)
        met.add(real)
        files += [Path(here, name) for name in names if name not in _LEFT_BY_SYSTEMS]
    return sorted((file.relative_to(folder).as_posix(), file) for file in files)


def folder_of(results: Path, name: str) -> Path:
    """Where the results of a file go; `..` in a name cannot lead out of it."""
    parts = [part for part in Path(name).parts if part not in ("..", "/", Path(name).anchor)]
    return results / "images" / Path(*parts)


def finished(results: Path, job: Job) -> FileRecord | None:
    """The record of a job that was done before under the same key, or None; damaged results count as none."""
    return _record(folder_of(results, job.name), RESULT, job.key)


def finished_slice(folder: Path, key: str, image: str) -> FileRecord | None:
    """The record of one slice that was done before under the key of its file and with these pixels, or None."""
    record = _record(folder, SLICE, key)
    return record if record and [one.id for one in record.images] == [image] else None


def _record(folder: Path, name: str, key: str) -> FileRecord | None:
    try:
        record = FileRecord.model_validate_json((folder / name).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if record.key != key or not record.sums:
        return None
    whole = all((_content(folder / file) or b"").hex() == wanted for file, wanted in record.sums.items())
    return record if whole else None


class Earlier(NamedTuple):
    """How many files an earlier run has done in this folder, by what another run makes of them.

    Attributes:
        kept: done under the same key.
        replaced: done under another one: the image, the settings or the version differ.
        left: not asked for now; they stay, and the tables of the folder do not have them any more.
    """

    kept: int
    replaced: int
    left: int


def earlier(results: Path, jobs: Sequence[Job]) -> Earlier:
    """What was done in the folder before these jobs are."""
    again = [job for job in jobs if (folder_of(results, job.name) / RESULT).is_file()]
    kept = sum(finished(results, job) is not None for job in again)
    return Earlier(kept, len(again) - kept, sum(1 for _ in (results / "images").rglob(RESULT)) - len(again))
