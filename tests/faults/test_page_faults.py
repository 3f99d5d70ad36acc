"""The page with a full disk, a damaged queue and a clock that is set."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from epistem.app.web import crew
from epistem.app.web.api import make_api
from epistem.app.web.crew import Crew
from epistem.app.web.desk import Desk
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.queue import Queue
from epistem.app.web.rooms import Rooms

PNG = (Path(__file__).parents[2] / "examples" / "images" / "A4.png").read_bytes()
DAY_S = 24 * 3600


def page(root: Path) -> TestClient:
    rooms = Rooms(root, Limits())
    return TestClient(Guard(make_api(Desk(root, rooms)), rooms, hosts=("testserver",)), raise_server_exceptions=False)


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/rooms/secret")


# ---- the disk


def test_a_new_session_on_a_full_disk_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = page(tmp_path)
    monkeypatch.setattr(Path, "mkdir", full)

    answer = to.get("/api/state")

    assert answer.status_code == 507
    assert "disk of this page is full" in answer.json()["error"]


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (errno.ENOSPC, 507, "disk of this page is full"),
        (errno.EDQUOT, 507, "disk of this page is full"),
        (errno.EACCES, 503, "the page's disk does not answer as it should"),
        (errno.EROFS, 503, "the page's disk does not answer as it should"),
        (errno.EIO, 503, "the page's disk does not answer as it should"),
    ],
)
def test_only_a_full_disk_is_called_full(
    number: int, status: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new session and one that is there are told the same."""
    known = page(tmp_path)
    known.get("/api/state")

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number), "/srv/rooms/secret")

    with monkeypatch.context() as during:
        during.setattr(Path, "mkdir", refused)
        first = TestClient(known.app, raise_server_exceptions=False).get("/api/state")
    monkeypatch.setattr(Queue, "add", refused)
    later = known.post("/api/next")

    for answer in (first, later):
        assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text
        assert "secret" not in answer.text


def test_a_folder_of_the_page_that_was_deleted_is_not_called_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    to = page(tmp_path)
    (tmp_path / "rooms").rmdir()

    answer = to.get("/api/state")

    assert answer.status_code == 503
    assert "FileNotFoundError" in caplog.text


def test_a_session_goes_on_reading_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = page(tmp_path)
    assert to.get("/api/state").status_code == 200
    monkeypatch.setattr(Path, "touch", full)

    assert to.get("/api/state").json()["images"] == []


def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = page(tmp_path)
    to.get("/api/state")
    real = Path.open

    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        return full() if path.name == ".coming" else real(path, mode, *more, **named)

    with monkeypatch.context() as during:
        during.setattr(Path, "open", opened)
        answer = to.put("/api/images?name=a.png", content=PNG)

    assert answer.status_code == 507
    assert "secret" not in answer.text
    (room,) = (tmp_path / "rooms").iterdir()
    assert list((room / "items").iterdir()) == []
    assert to.put("/api/images?name=a.png", content=PNG).status_code == 201


def test_a_queue_that_cannot_be_written_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = page(tmp_path)
    to.get("/api/state")

    def no_room(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Queue, "add", no_room)
    answer = to.post("/api/next")

    assert answer.status_code == 507
    assert "ask whoever runs it to make room" in answer.json()["error"]


def test_the_watch_over_the_workers_outlives_a_queue_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "EVERY_S", 0.01)
    (tmp_path / "rooms").mkdir()
    with Crew(tmp_path, Limits(), ()) as watched:
        asked: list[int] = []

        def running() -> dict[str, Any]:
            asked.append(1)
            if len(asked) < 3:
                raise sqlite3.OperationalError("database or disk is full")
            return {}

        monkeypatch.setattr(watched._queue, "running", running)
        until = time.monotonic() + 10
        while len(asked) < 5 and time.monotonic() < until:
            time.sleep(0.01)
    assert len(asked) >= 5


# ---- the queue


@pytest.mark.parametrize("damage", ["other bytes", "a page overwritten", "cut"])
def test_a_damaged_queue_is_put_aside_and_begun_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "queue.sqlite"
    queue = Queue(path)
    for _ in range(200):
        queue.add("room", "detect", {"pixel_size": "1 nm" * 20})
    with sqlite3.connect(path) as base:  # all in the one file
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()
    whole = path.read_bytes()
    at = 4 * len(whole) // 10 // 4096 * 4096
    overwritten = whole[:at] + b"\x5a" * 4096 + whole[at + 4096 :]
    broken = {"other bytes": b"no queue at all", "a page overwritten": overwritten, "cut": whole[:at]}[damage]
    path.write_bytes(broken)

    mended = Queue(path)

    assert mended.of_room("room") == []
    assert mended.add("room", "detect", {})
    assert (tmp_path / "queue.sqlite.damaged").read_bytes() == broken
    assert "is damaged" in caplog.text


def test_a_sound_queue_keeps_its_jobs(tmp_path: Path) -> None:
    Queue(tmp_path / "queue.sqlite").add("room", "detect", {})

    assert len(Queue(tmp_path / "queue.sqlite").of_room("room")) == 1
    assert not (tmp_path / "queue.sqlite.damaged").exists()


# ---- the clock


def used_h_ago(rooms: Rooms, hours: float) -> Path:
    room, _ = rooms.of_key(None)
    then = time.time() - 3600 * hours
    os.utime(room.folder / "used", (then, then))
    return room.folder


def test_a_room_used_in_the_future_counts_as_used_now(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits(keep_h=24))
    folder = used_h_ago(rooms, -1000)

    assert rooms.sweep(lambda _: False) == []
    assert rooms.sweep(lambda _: False, now=time.time() + 2 * DAY_S) == [folder.name]


def test_a_clock_that_jumps_ahead_removes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "EVERY_S", 0.01)
    monkeypatch.setattr(crew, "SWEEP_S", 0.05)
    rooms = Rooms(tmp_path, Limits(keep_h=24))
    kept, left = used_h_ago(rooms, 1), used_h_ago(rooms, 30)
    real = time.time
    with Crew(tmp_path, Limits(keep_h=24), ()):
        wait_until(lambda: not left.exists())
        # Ten days on, as after a first look at a time server.
        monkeypatch.setattr(time, "time", lambda: real() + 10 * DAY_S)
        monkeypatch.setattr(Path, "touch", touched_by(time))
        wait_until(lambda: (kept / "used").stat().st_mtime > real() + 9 * DAY_S)
        time.sleep(0.2)
    assert kept.is_dir()


def touched_by(clock: Any) -> Any:
    def touch(path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"")
        os.utime(path, (clock.time(),) * 2)

    return touch


def wait_until(true: Any) -> None:
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    assert true()
