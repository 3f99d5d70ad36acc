"""Corrected objects measured, and folders of results to take along: `epistem analyze --found` of the corrections."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from epistem.app.folder import write_folder
from epistem.app.settings import Settings
from epistem.app.store import RESULT, FileError, FileRecord, Job, finished, folder_of, job_key
from epistem.app.web.detect import SETTINGS, settings_of
from epistem.app.web.edits import corrected, has_corrections, own_score
from epistem.app.web.jobs import Bench, Told
from epistem.app.web.rooms import Item, Refused, Room, read_json
from epistem.app.web.runs import labelled_name, objects_of, right_images
from epistem.app.web.specimens import grouping_json, read_specimens, with_specimens
from epistem.app.worker import run_job
from epistem.core import Instances, Micrograph
from epistem.core.files import written_whole
from epistem.report.export import write_coco

Which = Literal["found", "corrected"]
CORRECTIONS = "corrections.coco.json"
BY_HAND = "corrections by hand"


def measure(bench: Bench) -> dict[str, Any]:
    """The objects of one file as the person left them, with everything that `epistem analyze --found` writes.

    Returns:
        Of each image in the file: name, count, folder.
    """
    record = measured(bench.room, bench.room.item(str(bench.item)), bench.told)
    return {"images": [{"name": one.name, "n": one.n_objects, "folder": one.folder} for one in record.images]}


def measured(room: Room, item: Item, told: Told) -> FileRecord:
    """The record of a file's corrected objects; what was measured before and is the same stays.

    Raises:
        Refused: the file has not been analysed.
    """
    what = read_json(room.folder_of(item.id) / SETTINGS)
    n = room.slices(item.id)
    if what is None or not n:
        raise Refused(f"{item.name} has not been analysed yet", 404)
    # Below which score nothing counts is in the objects already.
    own = {name: value for name, value in what.items() if name not in ("min_score", "weights", "forecast")}
    settings = settings_of(own, item.pixel_size, room)
    objects = [corrected(room, item.id, i, own_score(room, item.id, i)) for i in range(n)]
    path = room.file_of(item).absolute()
    key = job_key(settings.key(detects=False), path, *(_identity(one) for one in objects))
    job = Job(path, item.name, key)
    done = finished(room.corrected, job)

    def given(micrograph: Micrograph) -> Instances:
        return objects[0 if micrograph.slice is None else micrograph.slice.position]

    return done or run_job(job, settings, room.corrected, told, find=given)


def results(bench: Bench) -> dict[str, Any]:
    """Tables, report and a zip of all images: as they were found, or as they were corrected.

    Args:
        bench: with `which` ("found" or "corrected") and `failed`, what could not be analysed and why, by file.

    Returns:
        How many files are in it, and how the groups of specimens compare.

    Raises:
        Refused: nothing was analysed, or nothing corrected.
    """
    room, which = bench.room, bench.what["which"]
    failed: Mapping[str, str] = bench.what.get("failed", {})
    folder = room.corrected if which == "corrected" else room.results
    records = _corrected(room, bench.told) if which == "corrected" else _found(room)
    if not records:
        why = "nothing has been corrected yet" if which == "corrected" else "no image has been analysed yet"
        raise Refused(why, 404)
    samples = read_specimens(room)
    records = with_specimens(records, samples)
    errors = [] if which == "corrected" else [FileError(file=k, kind="failed", why=v) for k, v in failed.items()]
    bench.told("Writing tables and report", 0.7)
    grouping = write_folder(folder, records, errors, _shared(room, records), samples, found=_by_hand(which, records))
    if which == "corrected" and (right := right_images(room)):
        write_coco(folder / CORRECTIONS, [(labelled_name(one), objects_of(room, one)) for one in right])
    else:
        (folder / CORRECTIONS).unlink(missing_ok=True)
    bench.told("Packing", 0.9)
    _pack(folder, records, zip_of(room, which))
    return {"which": which, "files": len(records), "groups": grouping_json(grouping)}


def zip_of(room: Room, which: str) -> Path:
    """Where the packed results lie."""
    return room.folder / "zips" / f"epistem-{which}.zip"


def _found(room: Room) -> list[FileRecord]:
    paths = (folder_of(room.results, item.name) / RESULT for item in room.items())
    return [FileRecord.model_validate(told) for path in paths if (told := read_json(path)) is not None]


def _corrected(room: Room, told: Told) -> list[FileRecord]:
    touched = [item for item in room.items() if room.slices(item.id) and has_corrections(room, item)]
    records = []
    for done, item in enumerate(touched):
        told(f"Measuring {item.name}", 0.7 * done / len(touched))
        records.append(measured(room, item, lambda words, share=None: None))
    return records


def _by_hand(which: str, records: list[FileRecord]) -> dict[str, str]:
    return {record.file: BY_HAND for record in records} if which == "corrected" else {}


def _shared(room: Room, records: list[FileRecord]) -> Settings:
    """The settings as far as all images have the same; each image's own report has all of its own."""
    files = {one.file for one in records}
    items = [item for item in room.items() if item.name in files]
    every = [read_json(room.folder_of(item.id) / SETTINGS) or {} for item in items]
    sizes = {item.pixel_size for item in items}
    same = {name: value for name, value in every[0].items() if all(one.get(name) == value for one in every)}
    return settings_of(same, sizes.pop() if len(sizes) == 1 else None, room)


def _identity(found: Instances) -> str:
    """Hash of outlines, scores and classes."""
    digest = hashlib.sha256(found.boxes.tobytes() + found.score.tobytes() + json.dumps(found.classes).encode())
    digest.update(found.label.tobytes())
    for mask in found.masks():
        digest.update(mask.crop.tobytes())
    return digest.hexdigest()[:16]


def _pack(folder: Path, records: list[FileRecord], path: Path) -> None:
    """What belongs to these records; results of images that were removed are not among them."""
    images = [file for one in records for file in folder_of(folder, one.file).rglob("*")]
    path.parent.mkdir(exist_ok=True)
    with written_whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(one for one in [*folder.glob("*"), *images] if one.is_file()):
            archive.write(file, Path(path.stem) / file.relative_to(folder))
