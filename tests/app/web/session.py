"""One session of the page without browser and without processes: its jobs are done when `work` is called."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from epistem.app.web.api import make_api
from epistem.app.web.desk import Desk
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Room, Rooms
from epistem.app.web.work import do
from epistem.synth.cavities import simulate
from epistem.synth.sets import draw_scene

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"


class Session:
    """A room with its page's API.

    Args:
        root: folder of the page.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.limits = root, Limits()
        rooms = Rooms(root, self.limits)
        self.desk = Desk(root, rooms)
        self.page = TestClient(Guard(make_api(self.desk), rooms, hosts=("testserver",)))
        self.page.get("/api/state")
        (self.folder,) = (root / "rooms").iterdir()

    @property
    def room(self) -> Room:
        return Room(self.folder)

    def put(self, name: str, data: bytes, *, detect: bool = True) -> str:
        answer = self.page.put("/api/images", params={"name": name, "detect": detect}, content=data)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def work(self) -> None:
        """All that waits, as a worker does it."""
        for lane in ("quick", "long"):
            while (job := self.desk.queue.take("worker", lane)) is not None:
                do(self.desk.queue, job, Room(self.root / "rooms" / job.room), self.limits, self.root / "faults.log")
        assert not (self.root / "faults.log").exists(), (self.root / "faults.log").read_text()

    def get(self, path: str) -> Any:
        answer = self.page.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, said: Any = None) -> Any:
        answer = self.page.post(path, json=said)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def refused(self, method: str, path: str, said: Any = None) -> str:
        answer = self.page.request(method, path, json=said)
        assert answer.status_code >= 400, answer.text
        return str(answer.json()["error"])

    def objects(self, id: str, slice_: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/api/images/{id}/{slice_}/objects.json")["objects"]
        return found

    def told(self, id: str, slice_: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = self.get(f"/api/images/{id}/{slice_}/thresholds.json")
        return told

    def job(self, id: str) -> dict[str, Any]:
        state = self.get("/api/state")
        jobs = [*state["jobs"], *(one["job"] for one in state["images"] if one["job"])]
        return next(one for one in jobs if one["id"] == id)

    def edit(self, image: str, **edit: Any) -> dict[str, Any]:
        told: dict[str, Any] = self.post(f"/api/images/{image}/0/edits", edit)
        return told

    def say_right(self, id: str, slice_: int = 0) -> None:
        assert self.page.put(f"/api/images/{id}/{slice_}/right", json={"right": True}).status_code == 200


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def cavities(seed: int = 1, shape: tuple[int, int] = (160, 160)) -> NDArray[np.uint8]:
    """A simulated field with some cavities, 8 bit."""
    scene = draw_scene("A:under", "clear", rng=np.random.default_rng(seed), shape=shape)
    counts = simulate(scene, seed=seed).micrograph.pixels.astype(float)
    low, high = np.quantile(counts, [0.001, 0.999])
    return (255 * ((counts - low) / (high - low)).clip(0, 1)).astype(np.uint8)


def square(row: int, col: int, edge: int) -> list[float]:
    """An outline [px]."""
    return [float(v) for v in (col, row, col + edge, row, col + edge, row + edge, col, row + edge)]
