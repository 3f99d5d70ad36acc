"""Corrections by hand: a log, one line an edit, so that two open tabs lose nothing of each other.

::

    {"op": "add", "ring": [x0, y0, x1, y1, …]}    an object that was missed, in image pixels
    {"op": "delete", "id": 3}                       candidate 3 is none
    {"op": "confirm", "id": 3}                      candidate 3 is one, whatever its score
    {"op": "restore", "id": 3}                      as the detector had it; an added one is taken away

Candidates are numbered as they were found, added objects go on from there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from epistem.app.web.looks import is_kept
from epistem.app.web.rooms import Refused, Room, read_json
from epistem.core import Instances, Provenance
from epistem.core.polygon import fill

Op = Literal["add", "delete", "confirm", "restore"]
LONGEST_RING = 2000
_STATES = {"delete": "deleted", "confirm": "confirmed"}


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
        if not 6 <= len(points) <= 2 * LONGEST_RING or len(points) % 2 or not all(map(math.isfinite, points)):
            raise Refused(f"an outline has 3 to {LONGEST_RING:,} corners")
        if fill([_rows_cols(points)], (int(shape[0]), int(shape[1]))) is None:
            raise Refused("the outline holds no pixel of the image; draw it larger")
        return Edit("add", None, tuple(round(value, 2) for value in points))
    if op not in ("delete", "confirm", "restore") or id is None or not 0 <= id < objects:
        raise Refused("there is no such object; look at the image again")
    return Edit(op, id)  # type: ignore[arg-type]


def read_edits(room: Room, item: str, slice_: int) -> list[Edit]:
    """The corrections of one image so far."""
    try:
        lines = _path(room, item, slice_).read_text("utf-8").splitlines()
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


def write_edit(room: Room, item: str, slice_: int, edit: Edit) -> None:
    """One more correction: one write of one line, which other tabs cannot cut in two."""
    path = _path(room, item, slice_)
    path.parent.mkdir(exist_ok=True)
    line = json.dumps({k: v for k, v in edit._asdict().items() if v not in (None, ())}) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


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
    shape = (int(told["shape"][0]), int(told["shape"][1]))
    kept = [one for one in told["objects"] if is_kept(one, least)]
    masks, scores, labels = [], [], []
    for one in kept:
        mask = fill([_rows_cols(ring) for ring in one["rings"]], shape)
        if mask is not None:
            masks.append(mask)
            scores.append(np.nan if one["state"] != "found" or one["score"] is None else one["score"])
            labels.append(one["label"])
    if not masks:
        return Instances.empty(shape, ("cavity",))
    classes = tuple(dict.fromkeys(labels))
    boxes = [[m.rows.start, m.cols.start, m.rows.stop, m.cols.stop] for m in masks]
    return Instances(
        shape, np.array(boxes, float), np.array(scores), np.array([classes.index(one) for one in labels]), classes,
        tuple(mask.crop for mask in masks), provenance=Provenance("corrected by hand", "1"),
    )  # fmt: skip


def objects_now(room: Room, item: str, slice_: int) -> dict[str, Any]:
    """What the viewer draws: candidates as they were found, with the corrections made since.

    Raises:
        Refused: the image has not been looked at yet.
    """
    told = read_json(room.look_of(item, slice_) / "objects.json")
    if told is None:
        raise Refused("this image has not been analysed yet", 404)
    edits = read_edits(room, item, slice_)
    said, n = states(edits), told["candidates"]
    found: list[Mapping[str, Any]] = told["objects"][:n]
    drawn = added_objects(edits, told)
    told["objects"] = [{**one, "state": said.get(one["id"], "found")} for one in found]
    told["objects"] += drawn
    return dict(told)


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


def _path(room: Room, item: str, slice_: int) -> Any:
    return room.folder_of(item) / "edits" / f"{slice_:04d}.jsonl"
