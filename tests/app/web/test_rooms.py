"""A session's folder: its own, within limits, and gone when nobody used it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from epistem.app.web.desk import Desk
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Item, Refused, Room, Rooms, safe_name
from epistem.app.web.server import alone_in
from epistem.core import SettingsError


def store(rooms: Rooms, room: Room, name: str, data: bytes = b"II*\0") -> Item:
    id, path = rooms.reserve(room, name, len(data))
    path.write_bytes(data)
    return rooms.settle(room, id, name)


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    return Rooms(tmp_path / "root", Limits())


def test_a_key_always_leads_to_the_same_room_and_another_to_another(rooms: Rooms) -> None:
    room, key = rooms.of_key(None)

    assert rooms.of_key(key)[0].folder == room.folder
    assert rooms.of_key(None)[0].folder != room.folder
    assert key not in str(room.folder)


@pytest.mark.parametrize("key", ["", "../../etc", "a" * 31, "ä" * 32, "/" * 32])
def test_what_is_no_key_gets_a_new_room(rooms: Rooms, key: str) -> None:
    room, fresh = rooms.of_key(key)

    assert fresh != key
    assert room.folder.parent == rooms.root / "rooms"


@pytest.mark.parametrize(
    "name",
    [
        "../../x.tif",
        "/etc/passwd.tif",
        "..\\..\\x.tif",
        "C:\\x.tif",
        "a\0b.tif",
        "...tif",
        ".tif",
        "x" * 400 + ".tif",
    ],
)
def test_no_name_leads_out_of_its_folder(rooms: Rooms, name: str) -> None:
    room, _ = rooms.of_key(None)

    item = store(rooms, room, name)

    path = room.file_of(item)
    assert path.is_file()
    assert path.resolve().parent == room.folder_of(item.id).resolve()
    assert path.suffix == ".tif"
    assert len(os.fsencode(path.name)) <= 255


def test_two_images_of_one_name_are_told_apart(rooms: Rooms) -> None:
    room, _ = rooms.of_key(None)

    names = [store(rooms, room, name).name for name in ("a.tif", "a.tif", "A.TIF")]

    assert names == ["a.tif", "a (2).tif", "A (3).TIF"]


def test_the_size_of_a_room_is_known_while_files_are_renamed_and_removed(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, _ = rooms.of_key(None)
    store(rooms, room, "kept.tif", b"12345")
    gone = rooms.reserve(room, "gone.tif", 3)[1]
    gone.write_bytes(b"123")
    lstat = os.lstat

    def late(path: str) -> os.stat_result:
        gone.unlink(missing_ok=True)
        return lstat(path)

    before = room.size()
    monkeypatch.setattr("epistem.app.web.rooms.os.lstat", late)

    assert room.size() == before - 3


def test_images_come_in_the_order_they_arrived(rooms: Rooms) -> None:
    room, _ = rooms.of_key(None)
    for name in ("c.tif", "a.tif", "b.tif"):
        store(rooms, room, name)

    assert [one.name for one in room.items()] == ["c.tif", "a.tif", "b.tif"]


@pytest.mark.parametrize(("size", "status"), [(3_000_000, 413), (1_500_000, 507)])
def test_a_file_or_a_folder_beyond_its_limit_is_refused_before_it_comes(
    tmp_path: Path, size: int, status: int
) -> None:
    rooms = Rooms(tmp_path, Limits(upload_mb=2, room_mb=1))
    room, _ = rooms.of_key(None)

    with pytest.raises(Refused) as refused:
        rooms.reserve(room, "a.tif", size)

    assert refused.value.status == status
    assert not list((room.folder / "items").glob("*")) if (room.folder / "items").exists() else True


def test_more_images_than_allowed_are_refused(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits(images=1))
    room, _ = rooms.of_key(None)
    store(rooms, room, "a.tif")

    with pytest.raises(Refused, match="as many as it may"):
        rooms.reserve(room, "b.tif", 4)


@pytest.mark.parametrize("name", ["a.exe", "a", "a.tif.html", "", "a.py", "a.zarr"])
def test_what_no_reader_knows_is_refused_with_what_is_taken(rooms: Rooms, name: str) -> None:
    room, _ = rooms.of_key(None)

    with pytest.raises(Refused, match="dm4") as refused:
        rooms.reserve(room, name, 4)

    assert refused.value.status == 415


@pytest.mark.parametrize("id", ["..", "../../x", "", "0" * 15, "G" * 16, "0" * 16])
def test_no_id_leads_out_of_the_room(rooms: Rooms, id: str) -> None:
    room, _ = rooms.of_key(None)

    with pytest.raises(Refused) as refused:
        room.item(id)

    assert refused.value.status == 404


def test_a_room_that_nobody_used_is_removed_and_one_with_a_job_stays(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits(keep_h=1))
    old, busy, fresh = (rooms.of_key(None)[0] for _ in range(3))
    used_s = (old.folder / "used").stat().st_mtime

    for room in (old, busy):
        os.utime(room.folder / "used", (used_s - 7200, used_s - 7200))
    gone = rooms.sweep(lambda name: name == busy.name, now=used_s)

    assert gone == [old.name]
    assert not old.folder.exists()
    assert busy.folder.exists()
    assert fresh.folder.exists()


def test_a_removed_image_leaves_nothing_behind(rooms: Rooms) -> None:
    room, _ = rooms.of_key(None)
    item = store(rooms, room, "a.tif")
    result = room.results / "images" / "a.tif" / "result.json"
    result.parent.mkdir(parents=True)
    result.write_text("{}")

    room.remove(item.id)

    assert room.items() == []
    assert not result.exists()


def test_names_stay_readable() -> None:
    assert safe_name("Fe-9Cr 450 °C (3).dm4") == "Fe-9Cr 450 °C (3).dm4"


@pytest.mark.parametrize("name", ["漢" * 118 + ".tif", "😀" * 300 + ".tif", "a." + "ü" * 300])
def test_a_name_of_many_bytes_is_cut_to_what_a_disk_takes(name: str) -> None:
    assert len(safe_name(name).encode()) <= 120


def test_an_upload_that_a_server_did_not_see_the_end_of_is_swept(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits())
    room, _ = rooms.of_key(None)
    id, path = rooms.reserve(room, "a.tif", 4)
    path.write_bytes(b"II")
    kept = store(rooms, room, "b.tif")
    now = path.parent.stat().st_mtime

    rooms.sweep(lambda name: False, now=now + 60)
    assert path.exists()
    rooms.sweep(lambda name: False, now=now + 2 * 3600)

    assert not room.folder_of(id).exists()
    assert room.file_of(kept).exists()


def test_two_pages_cannot_share_a_folder(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(SettingsError, match="another page"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


def test_a_full_session_begins_nothing_that_writes_much(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits(room_mb=0.001))
    desk, (room, _) = Desk(tmp_path, rooms), rooms.of_key(None)
    (room.folder / "large").write_bytes(bytes(2000))

    with pytest.raises(Refused, match="full"):
        desk.queue_job(room, "train", {})
    desk.queue_job(room, "detect", {}, "0" * 16)
