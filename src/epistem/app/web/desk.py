"""What a session can have done; pages and API ask here, so that both do the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epistem.app.web.detect import SETTINGS, settings_of
from epistem.app.web.edits import correct, objects_now, own_score
from epistem.app.web.jobs import LONG, lane_of
from epistem.app.web.looks import is_kept
from epistem.app.web.measured import CORRECTIONS, zip_of
from epistem.app.web.queue import Queue, Queued
from epistem.app.web.rooms import Item, Refused, Room, Rooms, read_json
from epistem.app.web.runs import right_images
from epistem.app.web.specimens import keep_table, read_specimens, set_specimen, specimen_of, thickness_of
from epistem.core.files import write_text

WAITING = 2000
"""Jobs of one room that may wait."""
MOST_STEPS = 10_000
"""Of a training."""
_ONCE = frozenset({"measure", "results", "next"})
"""Jobs that need not be done twice for the same question."""


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
            Refused: too many wait already, or there is no room for what the job writes.
        """
        room.touch()
        if (waiting := self.queue.waiting(room.name)) >= WAITING:
            raise Refused(f"{waiting:,} jobs of this session wait already; let some be done first", 429)
        if kind in LONG or kind == "explain":  # what writes much; a result is never refused
            room.check_space(self.rooms.limits)
        if kind == "detect" and item is not None:
            self.queue.drop_ended(room.name, kind, item)
            for job in self.queue.of_room(room.name, kind=kind, item=item, state="waiting"):
                self.queue.cancel(job.id, room.name)  # only the last settings count
        if kind in _ONCE:
            for job in self.queue.of_room(room.name, kind=kind, item=item, state="waiting"):
                if job.item == item and dict(job.what) == dict(what):
                    return job.id
        return self.queue.add(room.name, kind, what, item=item, lane=lane_of(kind))

    def state(self, room: Room) -> dict[str, Any]:
        """Images with their last detection, and all jobs that are not of detection."""
        jobs = self.queue.of_room(room.name)
        last = {job.item: job for job in jobs if job.kind == "detect" and job.state != "cancelled"}
        return {
            "images": [_image(item, last.get(item.id)) for item in room.items()],
            "jobs": [_job(job) for job in jobs if job.kind != "detect"],
            "waiting": sum(job.state == "waiting" for job in jobs),
        }

    def change(self, room: Room, id: str, pixel_size: str | None) -> dict[str, Any]:
        """Another pixel size; the image is measured anew.

        Raises:
            EpistemError: that is no length.
        """
        from epistem.imaging import parse_pixel_size

        typed = (pixel_size or "").strip() or None
        if typed is not None:
            parse_pixel_size(typed)
        item = room.change(id, lambda _: {"pixel_size": typed, "confirmed": typed is not None})
        what = self.last_settings(room, id)
        return {"job": self.queue_job(room, "detect", what, id), "pixel_size": item.pixel_size}

    def confirm(self, room: Room, id: str, confirmed: bool) -> dict[str, Any]:
        """The person says that the pixel size that was read from the file is right, or takes it back.

        Raises:
            Refused: there is none to confirm.
        """
        told = read_json(room.look_of(id) / "thresholds.json")
        if confirmed and (told is None or told["calibration"] is None):
            raise Refused("the pixel size of this image is not known; type it")
        return {"confirmed": room.change(id, lambda _: {"confirmed": confirmed}).confirmed}

    def analyse(self, room: Room, what: Mapping[str, Any], ids: Sequence[str]) -> list[str]:
        """Images analysed with these settings; the jobs.

        Raises:
            EpistemError: a setting outside its range, or weights that are not there.
        """
        settings_of(what, None, room)
        return [self.queue_job(room, "detect", what, room.item(id).id) for id in ids]

    def analyse_all(self, room: Room, what: Mapping[str, Any]) -> list[str]:
        """All images with these settings, those too that are yet to come."""
        jobs = self.analyse(room, what, [item.id for item in room.items()])
        write_text(room.folder / SETTINGS, json.dumps(dict(what)))
        return jobs

    def first_look(self, room: Room, id: str) -> str:
        """An image that has just come, analysed as the others; the job."""
        return self.queue_job(room, "detect", read_json(room.folder / SETTINGS) or {}, id)

    def last_settings(self, room: Room, id: str) -> Mapping[str, Any]:
        """What an image was last to be analysed with."""
        own = self.queue.of_room(room.name, kind="detect", item=id)
        return own[-1].what if own else {}

    def remove(self, room: Room, id: str) -> None:
        """An image with its jobs and results."""
        for job in self.queue.of_room(room.name, item=id):
            self.queue.cancel(job.id, room.name)
        room.remove(id)

    def abandon(self, room: Room, id: str) -> None:
        """An upload that did not end."""
        shutil.rmtree(room.folder_of(id), ignore_errors=True)

    def objects(self, room: Room, id: str, slice_: int) -> dict[str, Any]:
        """What the viewer draws."""
        return objects_now(room, id, slice_)

    def edit(
        self, room: Room, id: str, slice_: int, op: str, number: int | None, ring: Sequence[float] | None,
        made: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """One correction; how many objects there are then.

        Args:
            made: of the candidates that the person saw.

        Raises:
            Refused: it makes no sense on this image, or the image was analysed anew since.
        """
        room.item(id)
        correct(room, id, slice_, op, number, ring, made)
        for stale in (zip_of(room, "corrected"), room.corrected / CORRECTIONS):  # nobody takes old numbers for new
            stale.unlink(missing_ok=True)
        objects = objects_now(room, id, slice_)["objects"]
        least = own_score(room, id, slice_)
        return {"n": sum(is_kept(one, least) for one in objects)}

    def say_right(self, room: Room, id: str, slice_: int, right: bool) -> dict[str, Any]:
        """The person says that every object of an image is right now, or takes it back."""
        objects_now(room, id, slice_)

        def said(item: Item) -> dict[str, Any]:
            others = set(item.right) - {slice_}
            return {"right": tuple(sorted(others | {slice_} if right else others))}

        return {"right": list(room.change(id, said).right)}

    def train(self, room: Room, steps: int | None = None) -> dict[str, str]:
        """A training on all images that are right; its job, and the name of its run.

        Args:
            steps: how long to learn; as the command line where None.

        Raises:
            Refused: no image is right, no such number of steps, or a training is under way.
        """
        if steps is not None and not 1 <= steps <= MOST_STEPS:
            raise Refused(f"a training has 1 to {MOST_STEPS:,} steps, not {steps:,}")
        if not right_images(room):
            raise Refused("no image is marked as right yet: correct one, and say so")
        return self._begin(room, "train", {"steps": steps})

    def forecast(self, room: Room, weights: str | None) -> dict[str, str]:
        """A forecast fitted on all images that are right; its job, and the name of its run.

        Raises:
            Refused: too few images are right, no such weights, or one is under way.
        """
        from epistem.trust.forecast import LEAST_CASES

        settings_of({"weights": weights}, None, room)
        missing = LEAST_CASES - len(right_images(room))
        if missing > 0:
            raise Refused(f"a forecast is fitted on {LEAST_CASES} corrected images or more; {missing} are missing")
        return self._begin(room, "forecast", {"weights": weights})

    def _begin(self, room: Room, kind: str, what: Mapping[str, Any]) -> dict[str, str]:
        jobs = self.queue.of_room(room.name, kind=kind)
        if any(job.state in ("waiting", "running") for job in jobs):
            raise Refused(f"a {'training' if kind == 'train' else 'fit'} is under way already; wait for it", 409)
        folder = room.new_run(kind)
        return {"job": self.queue_job(room, kind, {**what, "run": folder.name}), "run": folder.name}

    def results(self, room: Room, which: str) -> str:
        """The job that writes tables, report and zip of all images.

        Raises:
            Refused: neither of what was found nor of what was corrected.
        """
        if which not in ("found", "corrected"):
            raise Refused(f"results are as found or corrected, not {which[:20]!r}")
        told = self.state(room)["images"]
        failed = {one["name"]: one["job"]["why"] for one in told if one["job"] and one["job"]["state"] == "failed"}
        return self.queue_job(room, "results", {"which": which, "failed": failed})

    def measure(self, room: Room, id: str) -> str:
        """The job that measures what the person left of an image."""
        objects_now(room, room.item(id).id, 0)
        return self.queue_job(room, "measure", {}, id)

    def set_samples(self, room: Room, text: str) -> dict[str, Any]:
        """A table of specimens; images whose foil it tells are measured anew.

        Raises:
            EpistemError: it cannot be read.
        """
        samples = keep_table(room, text)
        items = room.items()
        jobs = [
            self.queue_job(room, "detect", {**self.last_settings(room, item.id), **foil}, item.id)
            for item in items
            if (foil := thickness_of(samples, item.name))
        ]
        return {"warnings": list(samples.warnings(item.name for item in items)), "jobs": jobs}

    def set_specimen(self, room: Room, id: str, specimen: str) -> None:
        """Of one image; an empty name takes it back."""
        set_specimen(room, room.item(id).name, specimen)

    def specimens(self, room: Room) -> dict[str, str]:
        """By image."""
        samples = read_specimens(room)
        return {item.id: specimen_of(samples, item.name) for item in room.items()}


def _image(item: Item, job: Queued | None) -> dict[str, Any]:
    return {
        "id": item.id, "name": item.name, "bytes": item.bytes, "pixel_size": item.pixel_size,
        "confirmed": item.confirmed, "right": list(item.right), "job": None if job is None else _job(job),
    }  # fmt: skip


def _job(job: Queued) -> dict[str, Any]:
    return {
        "id": job.id, "kind": job.kind, "item": job.item, "state": job.state, "words": job.words,
        "share": job.share, "why": job.why, "result": job.result, "what": dict(job.what),
    }  # fmt: skip
