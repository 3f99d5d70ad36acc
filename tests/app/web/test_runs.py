"""The images that a training learns from, beside its labels."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from epistem.app.web import runs
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Item, Room, Rooms
from epistem.app.web.runs import Right

PIXELS = b"II*\0" + bytes(1000)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Rooms(tmp_path, Limits()).of_key(None)[0]


@pytest.fixture
def item(tmp_path: Path, room: Room) -> Item:
    rooms = Rooms(tmp_path, Limits())
    id, path = rooms.reserve(room, "a.tif", len(PIXELS))
    path.write_bytes(PIXELS)
    return rooms.settle(room, id, "a.tif")


def without_links(number: int) -> Any:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return link


def test_an_image_that_is_learned_from_takes_no_room_twice(room: Room, item: Item) -> None:
    folder = room.new_run("train")
    before = room.size()

    runs._put(room, Right(item, 0, 1), folder / "a.tif")

    assert (folder / "a.tif").read_bytes() == PIXELS
    assert room.size() == before


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.EMLINK])
def test_a_disk_without_links_gets_a_copy_that_is_counted(
    number: int, room: Room, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links(number))
    folder = room.new_run("train")
    before = room.size()

    runs._put(room, Right(item, 0, 1), folder / "a.tif")

    assert [one.name for one in folder.iterdir()] == ["a.tif"]
    assert (folder / "a.tif").read_bytes() == PIXELS
    assert room.size() == before + len(PIXELS)


def test_an_image_that_was_removed_meanwhile_leaves_nothing(room: Room, item: Item) -> None:
    folder = room.new_run("train")
    room.remove(item.id)

    with pytest.raises(FileNotFoundError):
        runs._put(room, Right(item, 0, 1), folder / "a.tif")
    assert list(folder.iterdir()) == []
