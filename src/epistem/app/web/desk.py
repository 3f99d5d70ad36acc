"""What a session can have done; pages and API ask here, so that both do the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epistem.app.store import RESULT, FileError, FileRecord, folder_of
from epistem.app.web.detect import settings_of
from epistem.app.web.edits import checked, corrected, objects_now, read_edits, write_edit
from epistem.app.web.jobs import lane_of
from epistem.app.web.queue import Queue, Queued
from epistem.app.web.rooms import Item, Refused, Room, Rooms, read_json
from epistem.report.export import write_coco

WAITING = 2000
"""Jobs of one room that may wait."""


class Desk:
    """Takes what sessions ask for.

    Args:
        root: folder of the page.
        rooms: of the sessions.
    """

    def __init__(self, root: Path, rooms: Rooms) -> None:
        self.rooms, self.queue = rooms, Queue(root / "queue.sqlite")

    def queue_job(self, room: Room, kind: str, what: Mapping[str, Any], item: str | None = None) -> str:
        """Queues a job, and tells its id.

        Raises:
            Refused: too many wait already.
        """
        own = [job for job in self.queue.of_room(room.name) if job.state == "waiting"]
        if len(own) >= WAITING:
            raise Refused(f"{len(own):,} jobs of this session wait already; let some be done first", 429)
        if kind == "detect":
            for job in own:  # only the last settings count
                if job.kind == kind and job.item == item:
                    self.queue.cancel(job.id, room.name)
        return self.queue.add(room.name, kind, what, item=item, lane=lane_of(kind))

    def state(self, room: Room) -> dict[str, Any]:
        """Images with their last detection, and all jobs that are not of detection."""
        jobs = self.queue.of_room(room.name)
        last = {job.item: job for job in jobs if job.kind == "detect" and job.state != "cancelled"}
        return {
            "images": [self._told(room, item, last.get(item.id)) for item in room.items()],
            "jobs": [_job(job) for job in jobs if job.kind != "detect"],
            "waiting": sum(job.state == "waiting" for job in jobs),
        }

    def _told(self, room: Room, item: Item, job: Queued | None) -> dict[str, Any]:
        return {
            "id": item.id, "name": item.name, "bytes": item.bytes, "pixel_size": item.pixel_size,
            "right": list(item.right), "job": None if job is None else _job(job),
        }  # fmt: skip

    def change(self, room: Room, id: str, pixel_size: str | None) -> dict[str, Any]:
        """Another pixel size; the image is measured anew.

        Raises:
            EpistemError: that is no length.
        """
        from epistem.imaging import parse_pixel_size

        typed = (pixel_size or "").strip() or None
        if typed is not None:
            parse_pixel_size(typed)
        item = room.change(id, pixel_size=typed)
        what = self._last_settings(room, id)
        return {"job": self.queue_job(room, "detect", what, id), "pixel_size": item.pixel_size}

    def _last_settings(self, room: Room, id: str) -> Mapping[str, Any]:
        own = [job for job in self.queue.of_room(room.name) if job.kind == "detect" and job.item == id]
        return own[-1].what if own else {}

    def remove(self, room: Room, id: str) -> None:
        """An image with its jobs and results."""
        for job in self.queue.of_room(room.name):
            if job.item == id:
                self.queue.cancel(job.id, room.name)
        room.remove(id)

    def abandon(self, room: Room, id: str) -> None:
        """An upload that did not end."""
        shutil.rmtree(room.folder_of(id), ignore_errors=True)

    def objects(self, room: Room, id: str, slice_: int) -> dict[str, Any]:
        """What the viewer draws."""
        return objects_now(room, id, slice_)

    def edit(
        self, room: Room, id: str, slice_: int, op: str, number: int | None, ring: Sequence[float] | None
    ) -> dict[str, Any]:
        """One correction; how many objects there are then.

        Raises:
            Refused: it makes no sense on this image.
        """
        room.item(id)
        told = objects_now(room, id, slice_)
        write_edit(room, id, slice_, checked(op, number, ring, len(told["objects"]), told["shape"]))
        return {
            "edits": len(read_edits(room, id, slice_)),
            "n": len(corrected(room, id, slice_, self.least(room, id, slice_))),
        }

    def least(self, room: Room, id: str, slice_: int) -> float | None:
        """The threshold of the last analysis."""
        told = read_json(room.look_of(id, slice_) / "thresholds.json")
        return None if told is None else told["own"]["score"]

    def say_right(self, room: Room, id: str, slice_: int, right: bool) -> dict[str, Any]:
        """The person says that every object of an image is right now, or takes it back."""
        objects_now(room, id, slice_)
        others = set(room.item(id).right) - {slice_}
        item = room.change(id, right=tuple(sorted(others | {slice_} if right else others)))
        return {"right": list(item.right)}

    def corrections(self, room: Room) -> Path:
        """A COCO file of all images that are right.

        Raises:
            Refused: there is none.
        """
        right = [(item, one) for item in room.items() for one in item.right]
        if not right:
            raise Refused("no image is marked as right yet: correct one, and say so", 404)
        path = room.folder / "corrections.coco.json"
        write_coco(
            path, [(item.name, corrected(room, item.id, one, self.least(room, item.id, one))) for item, one in right]
        )
        return path

    def records(self, room: Room) -> tuple[list[FileRecord], list[FileError]]:
        """What was analysed, and what failed."""
        records, errors = [], []
        for told in self.state(room)["images"]:
            path = folder_of(room.results, told["name"]) / RESULT
            job = told["job"]
            if job is not None and job["state"] == "failed":
                errors.append(FileError(file=told["name"], kind="failed", why=job["why"]))
            elif path.is_file():
                records.append(FileRecord.model_validate_json(path.read_text("utf-8")))
        return records, errors

    def write_results(self, room: Room) -> None:
        """The folder's tables and report, as `epistem analyze` writes them.

        Raises:
            Refused: nothing has been analysed.
        """
        from epistem.app.folder import write_folder

        records, errors = self.records(room)
        if not records:
            raise Refused("no image has been analysed yet", 404)
        write_folder(room.results, records, errors, settings_of({}, None), None)


def _job(job: Queued) -> dict[str, Any]:
    return {
        "id": job.id, "kind": job.kind, "item": job.item, "state": job.state, "words": job.words,
        "share": job.share, "why": job.why, "result": job.result, "what": dict(job.what),
    }  # fmt: skip
