"""Corrections: kept whatever happens, and carried over when the image is analysed anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from epistem.app.web.carried import carried, write_objects
from epistem.app.web.edits import added_objects, correct, corrected, objects_now, states
from epistem.app.web.limits import Limits
from epistem.app.web.looks import is_kept
from epistem.app.web.rooms import Item, Refused, Room, Rooms
from tests.app.web.session import square

SHAPE = [64, 80]


def candidates(*at: tuple[int, int], edge: int = 10, scores: Sequence[float] | None = None) -> dict[str, Any]:
    """Squares by their upper left corners (row, col), as a detector would have found them."""
    objects = [
        {
            "id": i, "score": 0.9 if scores is None else scores[i], "label": "cavity", "state": "found",
            "rings": [square(row, col, edge)], "about": {},
        }
        for i, (row, col) in enumerate(at)
    ]  # fmt: skip
    return {"shape": SHAPE, "aspect": 1.0, "nm_per_px": 0.5, "candidates": len(at), "objects": objects}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Rooms(tmp_path, Limits()).of_key(None)[0]


@pytest.fixture
def item(room: Room) -> Item:
    rooms = Rooms(room.folder.parents[1], Limits())
    id, path = rooms.reserve(room, "a.png", 1)
    path.write_bytes(b"x")
    return rooms.settle(room, id, "a.png")


def look(room: Room, item: Item, told: dict[str, Any], least: float = 0.5) -> None:
    """As the worker does at an analysis."""
    write_objects(room, item.id, 0, told, least)
    path = room.look_of(item.id) / "thresholds.json"
    path.write_text(json.dumps({"own": {"score": least}, "rows": [{"score": least}]}))


def places(room: Room, item: Item, least: float = 0.5) -> set[tuple[int, int]]:
    """Upper left corners (row, col) of what counts."""
    return {(int(box[0]), int(box[1])) for box in corrected(room, item.id, 0, least).boxes}


def state_at(room: Room, item: Item, row: int, col: int) -> list[str]:
    shown = objects_now(room, item.id, 0)["objects"]
    return [one["state"] for one in shown if one["rings"][0][:2] == [float(col), float(row)]]


def test_a_correction_is_there_after_it_was_made_and_gone_after_it_was_taken_back(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20), (40, 40), scores=[0.9, 0.8, 0.2]))

    correct(room, item.id, 0, "delete", 0, None)
    correct(room, item.id, 0, "confirm", 2, None)
    correct(room, item.id, 0, "add", None, square(20, 60, 8))

    assert places(room, item) == {(20, 20), (40, 40), (20, 60)}
    for id in (0, 2, 3):
        correct(room, item.id, 0, "restore", id, None)
    assert places(room, item) == {(0, 0), (20, 20)}


OUTSIDE = [900.0, 900.0, 950.0, 900.0, 950.0, 950.0]


@pytest.mark.parametrize(
    "edit",
    [
        ("delete", 3, None), ("delete", -1, None), ("explode", 0, None), ("replace", 0, None),
        ("add", None, [1.0, 2.0]), ("add", None, OUTSIDE),
    ],
)  # fmt: skip
def test_a_correction_without_sense_is_refused(room: Room, item: Item, edit: tuple[Any, Any, Any]) -> None:
    look(room, item, candidates((0, 0), (20, 20), (40, 40)))

    with pytest.raises(Refused):
        correct(room, item.id, 0, *edit)
    assert len(places(room, item)) == 3


def test_corrections_of_many_tabs_at_once_are_all_kept(room: Room, item: Item) -> None:
    look(room, item, candidates())

    with ThreadPoolExecutor(8) as tabs:
        list(tabs.map(lambda k: correct(room, item.id, 0, "add", None, square(k, k, 5)), range(40)))

    assert places(room, item) == {(k, k) for k in range(40)}


def test_a_line_that_a_crash_cut_off_spoils_no_other(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    correct(room, item.id, 0, "delete", 0, None)
    (log,) = (room.folder_of(item.id) / "edits").glob("*.jsonl")
    log.write_text(log.read_text() + '{"op": "del')

    assert places(room, item) == {(20, 20)}


def test_corrections_follow_the_candidates_when_their_numbers_change(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20), (40, 40), scores=[0.9, 0.8, 0.2]))
    correct(room, item.id, 0, "delete", 0, None)
    correct(room, item.id, 0, "confirm", 2, None)

    look(room, item, candidates((40, 41), (20, 20), (1, 0), scores=[0.3, 0.8, 0.95]))

    assert places(room, item) == {(20, 20), (40, 41)}
    assert state_at(room, item, 40, 41) == ["confirmed"]
    assert state_at(room, item, 1, 0) == ["deleted"]
    assert state_at(room, item, 20, 20) == ["found"]


def test_what_was_confirmed_stays_where_nothing_is_found_any_more(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    correct(room, item.id, 0, "confirm", 1, None)

    look(room, item, candidates((0, 0)))

    assert places(room, item) == {(0, 0), (20, 20)}
    assert state_at(room, item, 20, 20) == ["added"]


def test_what_was_deleted_is_forgotten_where_nothing_is_found_any_more(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    correct(room, item.id, 0, "delete", 1, None)

    look(room, item, candidates((0, 0)))

    assert len(objects_now(room, item.id, 0)["objects"]) == 1
    assert places(room, item) == {(0, 0)}


def test_a_drawn_outline_stays_as_drawn_and_counts_once_when_the_detector_finds_it_too(
    room: Room, item: Item
) -> None:
    look(room, item, candidates((0, 0)))
    correct(room, item.id, 0, "add", None, square(30, 30, 10))

    look(room, item, candidates((0, 0), (31, 31)))

    assert places(room, item) == {(0, 0), (30, 30)}
    assert len(objects_now(room, item.id, 0)["objects"]) == 2
    correct(room, item.id, 0, "restore", 2, None)
    assert places(room, item) == {(0, 0)}


def test_a_drawing_that_was_taken_back_does_not_come_again(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0)))
    correct(room, item.id, 0, "add", None, square(30, 30, 10))
    correct(room, item.id, 0, "delete", 1, None)

    look(room, item, candidates((0, 0), (31, 31)))

    assert places(room, item) == {(0, 0), (31, 31)}


def test_half_of_an_object_is_not_that_object(room: Room, item: Item) -> None:
    look(room, item, candidates((20, 20)))
    correct(room, item.id, 0, "delete", 0, None)

    # Moved by 4 of 10 px: IoU 6/14.
    look(room, item, candidates((20, 24)))

    assert places(room, item) == {(20, 24)}


def test_the_same_candidates_leave_the_corrections_as_they_are(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    correct(room, item.id, 0, "delete", 0, None)
    (log,) = (room.folder_of(item.id) / "edits").glob("*.jsonl")
    before = log.read_bytes()

    look(room, item, candidates((0, 0), (20, 20)))

    assert log.read_bytes() == before
    assert places(room, item) == {(20, 20)}


def test_an_image_that_was_all_right_stays_all_right_with_another_detector(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20), (40, 40), scores=[0.9, 0.8, 0.2]))
    correct(room, item.id, 0, "add", None, square(20, 60, 8))
    room.change(item.id, lambda _: {"right": (0,)})

    # It misses one, finds one that a person saw was none, and a faint one again.
    look(room, item, candidates((0, 1), (40, 40), (50, 0), scores=[0.9, 0.2, 0.9]))

    assert places(room, item) == {(0, 1), (20, 20), (20, 60)}


def test_an_image_that_nobody_said_is_right_shows_what_another_detector_finds(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))

    look(room, item, candidates((0, 1), (50, 0)))

    assert places(room, item) == {(0, 1), (50, 0)}


def test_corrections_survive_two_analyses_one_after_the_other(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    correct(room, item.id, 0, "delete", 0, None)
    correct(room, item.id, 0, "add", None, square(40, 40, 10))

    for shift in (1, 2):
        look(room, item, candidates((20, 20 + shift), (0, shift), (41, 40)))

    assert places(room, item) == {(20, 22), (40, 40)}


def test_who_saw_the_candidates_before_is_told_to_look_again(room: Room, item: Item) -> None:
    look(room, item, candidates((0, 0), (20, 20)))
    seen = objects_now(room, item.id, 0)["made"]
    look(room, item, candidates((20, 20)))

    with pytest.raises(Refused, match="anew"):
        correct(room, item.id, 0, "delete", 0, None, seen)
    assert places(room, item) == {(20, 20)}


def test_of_no_candidates_and_no_corrections_nothing_is_carried() -> None:
    assert carried({**candidates(), "objects": []}, candidates()) == []
    assert carried(candidates((0, 0)), candidates()) == []


def test_what_counts_is_what_is_found_confirmed_or_added() -> None:
    def one(state: str, score: float | None = 0.4) -> dict[str, Any]:
        return {"state": state, "score": score}

    assert [is_kept(one(state), 0.5) for state in ("found", "confirmed", "added", "deleted", "replaced")] == [
        False, True, True, False, False,
    ]  # fmt: skip
    assert is_kept(one("found"), 0.4)
    assert is_kept(one("found", None), 0.5)
    assert states([]) == {}
    assert added_objects([], candidates()) == []
