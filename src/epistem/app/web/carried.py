"""What a person said of the old candidates, taken over to the new ones when an image is analysed anew.

=============================  ==================================  ==========================
the person said                 a new candidate lies there           none does
=============================  ==================================  ==========================
it is one (confirmed)           that one is confirmed                the outline stays, as added
it is none (deleted)            that one is deleted                  nothing
here is one (added)             the drawn outline stands for it      the outline stays
=============================  ==================================  ==========================

Of an image whose every object was said to be right, what was found counts as confirmed, and what is found now where
nothing was counts as none. "There" is a mask IoU of 0.5, pairs chosen so that most find a partner.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from epistem.app.web.edits import Edit, instances_of, line_of, lock_of, log_of, objects_now, own_score
from epistem.app.web.lock import locked
from epistem.app.web.looks import is_kept
from epistem.app.web.rooms import Room, read_json
from epistem.core.files import write_text
from epistem.detect.match import match

LEAST_IOU = 0.5


def write_objects(room: Room, item: str, slice_: int, told: Mapping[str, Any], least: float | None) -> None:
    """The candidates of an image for the viewer, and with them the corrections of those before.

    Args:
        told: as `looks.objects_json` made it.
        least: from which score on they count.
    """
    made = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    path = room.look_of(item, slice_) / "objects.json"
    with locked(lock_of(room, item, slice_)):
        before = read_json(path)
        if before is not None and before["made"] != made:
            old, strangers_from = objects_now(room, item, slice_), None
            if slice_ in room.item(item).right:
                old["objects"] = _all_right(old["objects"], own_score(room, item, slice_))
                strangers_from = least or 0.0
            edits = carried(old, told, strangers_from)
            # Before the candidates: whoever sees these finds the corrections that belong to them.
            write_text(log_of(room, item, slice_, made), "".join(map(line_of, edits)))
        write_text(path, json.dumps({**told, "made": made}, ensure_ascii=False))


def carried(old: Mapping[str, Any], told: Mapping[str, Any], strangers_from: float | None = None) -> list[Edit]:
    """The corrections of the old objects as corrections of new candidates.

    Args:
        old: with their states, as `edits.objects_now` tells them.
        told: the new candidates, as `looks.objects_json` made them.
        strangers_from: new candidates from this score on that match nothing are deleted; None leaves them.
    """
    new, shape = told["objects"], told["shape"]
    said = [one for one in old["objects"] if one["state"] != "found"]
    # A drawing that was taken back says nothing of what is there.
    said = [one for one in said if one["state"] != "deleted" or one["id"] < old["candidates"]]
    pairs = match(
        instances_of(new, shape), instances_of(said, shape), method="optimal", by="mask", iou=LEAST_IOU
    ).pairs
    partner = {int(one): int(other) for other, one in pairs}
    adds: list[Edit] = []
    more: list[Edit] = []
    for i, one in enumerate(said):
        there = partner.get(i)
        if one["state"] == "added" or (one["state"] == "confirmed" and there is None):
            adds.append(Edit("add", None, tuple(_shell(one["rings"]))))
        if there is not None:
            op = {"added": "replace", "confirmed": "confirm", "deleted": "delete"}[one["state"]]
            more.append(Edit(op, there))  # type: ignore[arg-type]
    if strangers_from is not None:
        met = set(partner.values())
        strangers = (one["id"] for one in new if one["id"] not in met and is_kept(one, strangers_from))
        more += [Edit("delete", id) for id in strangers]
    return adds + more


def _all_right(old: Sequence[Mapping[str, Any]], least: float | None) -> list[dict[str, Any]]:
    """What counted as found, as if the person had confirmed each."""
    return [
        {**one, "state": "confirmed"} if one["state"] == "found" and is_kept(one, least) else dict(one) for one in old
    ]


def _shell(rings: Sequence[Sequence[float]]) -> Sequence[float]:
    """The ring that holds the most; a drawn outline has no holes."""

    def area(ring: Sequence[float]) -> float:
        x, y = np.asarray(ring, float).reshape(-1, 2).T
        return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))

    return max(rings, key=area)
