"""Corrections by hand: a log, one line an edit, so that two open tabs lose nothing of each other.

::

    {"op": "add", "ring": [x0, y0, x1, y1, …]}    an object that was missed, in image pixels
    {"op": "delete", "id": 3}                       candidate 3 is none
    {"op": "confirm", "id": 3}                      candidate 3 is one, whatever its score
    {"op": "restore", "id": 3}                      as the detector had it; an added one is taken away
    {"op": "replace", "id": 3}                      candidate 3 lies where a person drew one; `carried` writes it

Candidates are numbered as they were found, added objects go on from there. So a log belongs to one set of
candidates, `made` in objects.json; `carried` takes it over to the next one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from epistem.app.web.lock import locked
from epistem.app.web.looks import is_kept
from epistem.app.web.rooms import Item, Refused, Room, read_json
from epistem.core import Instances, Provenance
from epistem.core.polygon import fill
from epistem.report.methods_text import BY_HAND

Op = Literal["add", "delete", "confirm", "restore", "replace"]
FAR = 1e9  # px; no image reaches so far, and no float there loses a pixel
LONGEST_RING = 2000
MOST_OBJECTS = 20_000
_STATES = {"delete": "deleted", "confirm": "confirmed", "replace": "replaced"}


class Edit(NamedTuple):
    """One correction; see the module."""

    op: Op
    id: int | None = None
    ring: tuple[float, ...] = ()


Edits = Sequence[Edit]


def checked(op: str, id: int | None, ring: Sequence[float] | None, objects: int, shape: Sequence[int]) -> Edit:
    """An edit as the page sent it.

    Args:
        objects: how many there are, added ones included.
        shape: of the image.

    Raises:
        Refused: it makes no sense on this image.
    """
    if op == "add":
        points = [float(value) for value in ring or ()]
        if not 6 <= len(points) <= 2 * LONGEST_RING or len(points) % 2 or not all(abs(one) <= FAR for one in points):
            raise Refused(f"an outline has 3 to {LONGEST_RING:,} corners on the image")
        if fill([_rows_cols(points)], (int(shape[0]), int(shape[1]))) is None:
            raise Refused("the outline holds no pixel of the image; draw it larger")
        return Edit("add", None, tuple(round(value, 2) for value in points))
    if op not in ("delete", "confirm", "restore") or id is None or not 0 <= id < objects:
        raise Refused("there is no such object; look at the image again")
    return Edit(op, id)  # type: ignore[arg-type]


def correct(
    room: Room, item: str, slice_: int, op: str, id: int | None, ring: Sequence[float] | None,
    made: str | None = None,
) -> None:  # fmt: skip
    """One more correction, kept.

    Args:
        made: of the candidates that the person saw; None takes those that are there.

    Raises:
        Refused: it makes no sense, or the image was analysed anew since.
    """
    _told(room, item, slice_)  # no lock for what is not there
    with locked(lock_of(room, item, slice_)):
        told = _told(room, item, slice_)
        if made not in (None, told["made"]):
            raise Refused("the image was analysed anew meanwhile; look at it again", 409)
        room.touch()
        path = log_of(room, item, slice_, told["made"])
        total = told["candidates"] + sum(edit.op == "add" for edit in read_edits(path))
        if op == "add" and total >= MOST_OBJECTS:
            raise Refused(f"this image has {total:,} objects, as many as the page takes")
        line = line_of(checked(op, id, ring, total, told["shape"]))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def line_of(edit: Edit) -> str:
    """As it stands in the log."""
    return json.dumps({k: v for k, v in edit._asdict().items() if v not in (None, ())}) + "\n"


def read_edits(path: Path) -> list[Edit]:
    """The corrections in a log so far."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            said = json.loads(line)
            found.append(Edit(said["op"], said.get("id"), tuple(said.get("ring", ()))))
        except (ValueError, KeyError):  # a line that a crash cut off
            continue
    return found


def states(edits: Edits) -> dict[int, str]:
    """By candidate, what was said of it last; those of which nothing was said are not in it."""
    said: dict[int, str] = {}
    for edit in edits:
        if edit.id is None:
            continue
        if edit.op == "restore":
            said.pop(edit.id, None)
        else:
            said[edit.id] = _STATES[edit.op]
    return said


def added_objects(edits: Edits, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Objects that were drawn, for the viewer; what was taken away again keeps its number.

    Args:
        edits: of the image.
        told: its candidates, as `looks.objects_json` wrote them.
    """
    candidates = told["candidates"]
    label = told["objects"][0]["label"] if candidates else "cavity"
    adds = [edit for edit in edits if edit.op == "add"]
    gone = {edit.id for edit in edits if edit.op in ("delete", "restore")}
    return [
        {
            "id": candidates + i, "score": None, "label": label,
            "state": "deleted" if candidates + i in gone else "added", "rings": [list(edit.ring)],
            "about": _size(edit.ring, told),
        }
        for i, edit in enumerate(adds)
    ]  # fmt: skip


def corrected(room: Room, item: str, slice_: int, least: float | None) -> Instances:
    """The objects of an image as the person left them: what a threshold finds, less and plus the corrections.

    Raises:
        Refused: the image has not been looked at yet.
    """
    told = objects_now(room, item, slice_)
    return instances_of((one for one in told["objects"] if is_kept(one, least)), told["shape"])


def instances_of(objects: Iterable[Mapping[str, Any]], shape: Sequence[int]) -> Instances:
    """Objects of the viewer with masks; a score that a person overruled is unknown."""
    rows_cols = (int(shape[0]), int(shape[1]))
    masks, scores, labels = [], [], []
    for one in objects:
        mask = fill([_rows_cols(ring) for ring in one["rings"]], rows_cols)
        if mask is not None:
            masks.append(mask)
            scores.append(np.nan if one["state"] != "found" or one["score"] is None else one["score"])
            labels.append(one["label"])
    if not masks:
        return Instances.empty(rows_cols, ("cavity",))
    classes = tuple(dict.fromkeys(labels))
    boxes = [[m.rows.start, m.cols.start, m.rows.stop, m.cols.stop] for m in masks]
    return Instances(
        rows_cols, np.array(boxes, float), np.array(scores), np.array([classes.index(one) for one in labels]),
        classes, tuple(mask.crop for mask in masks), provenance=Provenance(BY_HAND, "1"),
    )  # fmt: skip


def objects_now(room: Room, item: str, slice_: int) -> dict[str, Any]:
    """What the viewer draws: candidates as they were found, with the corrections made since.

    Raises:
        Refused: the image has not been looked at yet.
    """
    told = _told(room, item, slice_)
    edits = read_edits(log_of(room, item, slice_, told["made"]))
    said, drawn = states(edits), added_objects(edits, told)
    seen = [{**one, "state": said.get(one["id"], "found")} for one in told["objects"]]
    # What a drawn one stands for is not shown a second time.
    told["objects"] = [one for one in seen if one["state"] != "replaced"] + drawn
    return told


def has_corrections(room: Room, item: Item) -> bool:
    """Whether a person said anything of any image of a file."""
    if item.right:
        return True
    for path in (room.folder_of(item.id) / "looks").glob("*/objects.json"):
        told = read_json(path)
        if told is not None and read_edits(log_of(room, item.id, int(path.parent.name), told["made"])):
            return True
    return False


def own_score(room: Room, item: str, slice_: int) -> float | None:
    """The threshold of the last analysis of an image."""
    told = read_json(room.look_of(item, slice_) / "thresholds.json")
    return None if told is None else told["own"]["score"]


def log_of(room: Room, item: str, slice_: int, made: str) -> Path:
    """The corrections of one set of candidates; its folder is made."""
    return _folder(room, item) / f"{slice_:04d}-{made}.jsonl"


def lock_of(room: Room, item: str, slice_: int) -> Path:
    """Held while the candidates or the corrections of an image change."""
    return _folder(room, item) / f"{slice_:04d}.lock"


def _folder(room: Room, item: str) -> Path:
    folder = room.folder_of(item) / "edits"
    folder.mkdir(exist_ok=True)
    return folder


def _told(room: Room, item: str, slice_: int) -> dict[str, Any]:
    told: dict[str, Any] | None = read_json(room.look_of(item, slice_) / "objects.json")
    if told is None:
        raise Refused("this image has not been analysed yet", 404)
    return told


def _size(ring: Sequence[float], told: Mapping[str, Any]) -> dict[str, float]:
    """Area-equivalent diameter of a drawn object (ISO 9276-6), by its pixels as everywhere."""
    mask = fill([_rows_cols(ring)], (int(told["shape"][0]), int(told["shape"][1])))
    if mask is None:
        return {}
    diameter_px = 2 * math.sqrt(float(mask.crop.sum()) / math.pi)
    about = {"equivalent_diameter_px": round(diameter_px, 3)}
    if told["nm_per_px"] is not None:
        about["equivalent_diameter_nm"] = round(diameter_px * told["nm_per_px"] * math.sqrt(told["aspect"]), 3)
    return about


def _rows_cols(flat: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(flat, float).reshape(-1, 2)[:, ::-1]
