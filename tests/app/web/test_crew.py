"""Workers that die, take too long or are called back, and a server that is started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app.web.crew import Crew
from epistem.app.web.desk import Desk
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Room, Rooms

EXAMPLE = Path(__file__).parents[3] / "examples" / "images" / "A4.png"


class Place:
    """A page without its page."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self.rooms = Rooms(root, limits)
        self.desk = Desk(root, self.rooms)
        self.room: Room = self.rooms.of_key(None)[0]

    def put(self, name: str, data: bytes) -> str:
        id, path = self.rooms.reserve(self.room, name, len(data))
        path.write_bytes(data)
        self.rooms.settle(self.room, id, name)
        self.desk.queue_job(self.room, "detect", {}, id)
        return id

    def job(self, item: str) -> dict[str, object]:
        told: dict[str, object] = next(
            one["job"] for one in self.desk.state(self.room)["images"] if one["id"] == item
        )
        return told

    def wait(self, until: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, self.desk.state(self.room)
            time.sleep(0.05)

    def done(self, *items: str) -> bool:
        return all(self.job(one)["state"] in ("done", "failed") for one in items)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path, Limits())


def test_a_killed_worker_loses_no_image_and_another_takes_its_place(place: Place) -> None:
    items = [place.put(f"{i}.png", EXAMPLE.read_bytes()) for i in range(3)]
    with Crew(place.root, place.limits, ("quick",)) as crew:
        place.wait(lambda: place.job(items[0])["state"] == "running")
        (first,) = crew.pids
        os.kill(first, signal.SIGKILL)
        place.wait(lambda: place.done(*items))
        assert crew.pids != [first]

    assert [place.job(one)["state"] for one in items] == ["done"] * 3
    assert (place.room.results / "images" / "0.png" / "result.json").is_file()


def test_a_server_that_stopped_goes_on_with_what_was_queued(place: Place) -> None:
    items = [place.put(f"{i}.png", EXAMPLE.read_bytes()) for i in range(2)]
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.job(items[0])["state"] == "running")
    assert place.job(items[0])["state"] == "waiting"

    again = Place(place.root, place.limits)
    again.room = place.room
    with Crew(again.root, again.limits, ("quick",)):
        again.wait(lambda: again.done(*items))

    assert [again.job(one)["state"] for one in items] == ["done"] * 2


def test_what_takes_too_long_is_stopped_and_told(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(job_s=0.05))
    item = place.put("a.png", EXAMPLE.read_bytes())
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.done(item))

    assert place.job(item)["state"] == "failed"
    assert "longer than" in str(place.job(item)["why"])


def test_a_broken_image_fails_in_words_without_the_server_s_paths(place: Place, tmp_path: Path) -> None:
    large = tmp_path / "large.tif"
    with tifffile.TiffWriter(large) as file:
        file.write(np.zeros((16, 16), np.uint8), metadata=None)
    header = bytearray(large.read_bytes())
    for tag in (256, 257):  # width and height: 100,000 each
        at = header.index(tag.to_bytes(2, "little"), 8)
        header[at + 2 : at + 4] = (4).to_bytes(2, "little")
        header[at + 8 : at + 12] = (100_000).to_bytes(4, "little")
    items = [place.put("cut.png", EXAMPLE.read_bytes()[:2000]), place.put("no.tif", b"MZ no image"),
             place.put("huge.tif", bytes(header))]  # fmt: skip
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.done(*items))

    for item, name in zip(items, ("cut.png", "no.tif", "huge.tif"), strict=True):
        job = place.job(item)
        assert job["state"] == "failed", job
        assert name in str(job["why"])
        assert str(place.root) not in str(job["why"])


def test_an_image_beyond_the_page_s_pixels_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(megapixels=0.01))
    item = place.put("a.png", EXAMPLE.read_bytes())
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.done(item))

    assert "0.01 million" in str(place.job(item)["why"])


def test_a_cancelled_job_is_stopped_and_the_next_one_done(place: Place) -> None:
    items = [place.put(f"{i}.png", EXAMPLE.read_bytes()) for i in range(2)]
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.job(items[0])["state"] == "running")
        place.desk.queue.cancel(str(place.job(items[0])["id"]), place.room.name)
        place.wait(lambda: place.done(items[1]))

    assert place.desk.queue.of_room(place.room.name)[0].state == "cancelled"
    assert place.job(items[1])["state"] == "done"
