"""Workers that die, take too long or are called back, and a server that is started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app.web.crew import Crew
from epistem.app.web.desk import Desk
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Room, Rooms
from epistem.app.web.work import do

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
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, Limits())


def declares_100_000_squared(folder: Path) -> bytes:
    """A small TIFF whose header lies."""
    path = folder / "large.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((16, 16), np.uint8), metadata=None)
    data = bytearray(path.read_bytes())
    for tag in (256, 257):  # width and height
        at = data.index(tag.to_bytes(2, "little"), 8)
        data[at + 2 : at + 4] = (4).to_bytes(2, "little")
        data[at + 8 : at + 12] = (100_000).to_bytes(4, "little")
    return bytes(data)


def test_no_image_is_lost_whatever_happens_to_workers_and_server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {
        "cut.png": EXAMPLE.read_bytes()[:2000],
        "no.tif": b"MZ no image",
        "huge.tif": declares_100_000_squared(tmp_path),
    }
    items = [place.put(f"{i}.png", EXAMPLE.read_bytes()) for i in range(3)]
    called_back, *others = items
    failing = {name: place.put(name, data) for name, data in broken.items()}

    with Crew(place.root, place.limits, ("quick",)) as crew:
        place.wait(lambda: place.job(called_back)["state"] == "running")
        (first,) = crew.pids
        os.kill(first, signal.SIGKILL)
        place.wait(lambda: crew.pids != [first])
        place.wait(lambda: place.job(called_back)["state"] == "running")
    # The server stopped in the middle; it is started again, with its folder named as it is seen from beside it.
    assert place.job(called_back)["state"] == "waiting"
    monkeypatch.chdir(place.root.parent)
    with Crew(Path(place.root.name), place.limits, ("quick",)):
        place.wait(lambda: place.job(called_back)["state"] == "running")
        place.desk.queue.cancel(str(place.job(called_back)["id"]), place.room.name)
        place.wait(lambda: place.done(*others, *failing.values()))

    assert place.desk.queue.of_room(place.room.name)[0].state == "cancelled"
    assert [place.job(one)["state"] for one in others] == ["done"] * 2, place.desk.state(place.room)
    assert (place.room.results / "images" / "2.png" / "result.json").is_file()
    for name, item in failing.items():
        job = place.job(item)
        assert job["state"] == "failed", job
        assert name in str(job["why"])
        assert str(place.root) not in str(job["why"])


def test_what_takes_too_long_is_stopped_and_told(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(job_s=0.05))
    item = place.put("a.png", EXAMPLE.read_bytes())
    with Crew(place.root, place.limits, ("quick",)):
        place.wait(lambda: place.done(item))

    assert place.job(item)["state"] == "failed"
    assert "longer than" in str(place.job(item)["why"])


def test_an_image_beyond_the_page_s_pixels_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(megapixels=0.01))
    item = place.put("a.png", EXAMPLE.read_bytes())
    job = place.desk.queue.take("w", "quick")
    assert job is not None

    do(place.desk.queue, job, place.room, place.limits, tmp_path / "faults.log")

    assert "0.01 million" in str(place.job(item)["why"])
