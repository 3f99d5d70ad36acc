"""The tab Segment: the numbers of `epistem segment` and `epistem explain`, and weights that are no weights."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.app.web.api import make_api
from epistem.app.web.desk import Desk
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.queue import Queue
from epistem.app.web.rooms import Room, Rooms
from epistem.app.web.work import do

pytest.importorskip("torch")

STEM = "runs/bench-0a0a0a0a"


class World(NamedTuple):
    """A run with a network, and one of its images."""

    run: Path
    image: Path


def invoke(*words: str | Path) -> Any:
    found = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Ten steps on squares brighter than their noise: enough to find something."""
    from epistem.bench.folder import profile_from_folder
    from epistem.bench.profile import profile_of, save_profile

    root = tmp_path_factory.mktemp("segment")
    for part in ("images", "masks"):
        (root / "steel" / part).mkdir(parents=True)
    for group in range(5):
        mask = np.zeros((96, 128), np.uint8)
        mask[10 : 40 + group, 20:60] = 1
        grey = np.random.default_rng(group).normal(100, 10, mask.shape) + 80 * mask
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(root / "steel" / "images" / f"s{group}_0.png")
        Image.fromarray(mask).save(root / "steel" / "masks" / f"s{group}_0.png")
    values = profile_from_folder(root / "steel", scale_bars=False).model_dump(by_alias=True)
    values["model"] |= {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet"], "weights": ["none"]}
    values["training"] |= {
        "batch_size": 2, "max_epochs": None, "max_steps": 10, "image_size": 32, "val_tiles": 4, "seeds": [0],
    }  # fmt: skip
    save_profile(profile_of(values), root / "profile.json")
    invoke("bench", "run", root / "profile.json", "--out", root / "out", "--device", "cpu", "--json")
    return World(root / "out", root / "steel" / "images" / "s0_0.png")


class Page:
    """A page without its browser, whose jobs are done when they are asked for."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.root, self.limits = root, limits or Limits()
        rooms = Rooms(root, self.limits)
        self.desk = Desk(root, rooms)
        self.to = TestClient(Guard(make_api(self.desk), rooms, hosts=("testserver",)))

    @property
    def room(self) -> Room:
        (folder,) = (self.root / "rooms").iterdir()
        return Room(folder)

    def put(self, path: Path) -> str:
        answer = self.to.put("/api/images", params={"name": path.name, "detect": "false"}, content=path.read_bytes())
        return str(answer.json()["id"])

    def done(self) -> Any:
        """Works on all that waits; the last job."""
        queue = Queue(self.root / "queue.sqlite")
        for lane in ("quick", "long"):
            while (job := queue.take("test", lane)) is not None:
                do(queue, job, self.room, self.limits, self.root / "faults.log")
        return queue.of_room(self.room.name)[-1]

    def ask(self, path: str, **body: Any) -> Any:
        answer = self.to.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return self.done()


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def with_run(page: Page, world: World) -> str:
    """The id of the image; the run is there as the tab Bench leaves it."""
    import shutil

    id = page.put(world.image)
    shutil.copytree(world.run, page.room.folder / STEM / "out")
    return id


def send(page: Page, name: str, data: bytes) -> Any:
    return page.to.put("/api/weights", params={"name": name}, content=data)


def test_a_network_trained_here_gives_what_the_command_gives(page: Page, world: World, tmp_path: Path) -> None:
    id = with_run(page, world)
    (network,) = page.to.get("/api/weights").json()
    assert network["name"].startswith("Trained here")

    job = page.ask(f"/api/images/{id}/segment", network=network["id"], min_diameter_px=4)
    invoke("segment", world.image, "--model", world.run, "--out", tmp_path / "cli", "--min-diameter-px", 4, "--json")

    assert job.state == "done", job.why
    ours = page.to.get(f"/api/segment/{id}/files/{world.image.name}/objects.csv").text
    theirs = (tmp_path / "cli" / "images" / world.image.name / "objects.csv").read_text("utf-8")
    assert ours == theirs
    assert len(ours.splitlines()) == job.result["images"][0]["n"] + 1 > 1
    record = json.loads((tmp_path / "cli" / "images" / world.image.name / "result.json").read_text("utf-8"))
    told = page.to.get(f"/api/segment/{id}/0/told.json").json()
    assert {one["name"]: one["value"] for one in told["quantities"]} == {
        name: one["value"] for name, one in record["images"][0]["quantities"].items()
    }
    assert told["reasons"] == list(record["images"][0]["reasons"])
    assert told["typicality"] == record["images"][0]["typicality"]
    assert sum(one["n"] for one in told["classes"]) == len(
        page.to.get(f"/api/segment/{id}/0/objects.json").json()["objects"]
    )


def test_results_do_not_tell_where_the_server_keeps_them(page: Page, world: World) -> None:
    id = with_run(page, world)
    page.ask(f"/api/images/{id}/segment", network=page.to.get("/api/weights").json()[0]["id"])

    for name in ("report.html", "report.json"):
        assert str(page.root) not in page.to.get(f"/api/segment/{id}/files/{world.image.name}/{name}").text
    assert str(page.root) not in page.to.get("/api/state").text


def test_weights_that_were_sent_segment_too_and_typicality_is_said_to_be_unknown(page: Page, world: World) -> None:
    id = page.put(world.image)
    data = next(world.run.glob("jobs/*/model.safetensors")).read_bytes()

    network = send(page, "../my foil.safetensors", data).json()
    page.ask(f"/api/images/{id}/segment", network=network["network"])

    told = page.to.get(f"/api/segment/{id}/0/told.json").json()
    assert told["why"] == network["name"] == "my foil.safetensors"
    assert told["typicality"] is None
    assert any("no reference of the images learned from" in one for one in told["reasons"])
    assert page.to.delete(f"/api/weights/{network['id']}").status_code == 204
    assert page.to.get("/api/weights").json() == []


def test_a_region_is_explained_as_the_command_explains_it(page: Page, world: World, tmp_path: Path) -> None:
    id = with_run(page, world)
    page.ask(f"/api/images/{id}/segment", network=page.to.get("/api/weights").json()[0]["id"])

    job = page.ask(f"/api/images/{id}/explain", ring=[20, 10, 60, 10, 60, 40, 20, 40])
    roi = ("--roi", "10,20 10,60 40,60 40,20")
    theirs = invoke("explain", world.image, "--model", world.run, *roi, "--out", tmp_path / "cli", "--json")

    assert job.state == "done", job.why
    assert {name: job.result[name] for name in theirs if name not in ("out", "provenance")} == {
        name: value for name, value in theirs.items() if name not in ("out", "provenance")
    }
    assert job.result["holds"] == (None if theirs["deletion_p"] is None else theirs["deletion_p"] < 0.05)
    at = f"/api/explain/{id}/{job.result['name']}"
    assert page.to.get(f"{at}/heatmap.tif").content == (tmp_path / "cli" / "heatmap.tif").read_bytes()
    assert page.to.get(f"{at}/heatmap.svg").headers["content-type"].startswith("image/svg")
    assert page.to.get(f"{at}/../../item.json").status_code == 404


def test_the_classes_are_drawn_as_strongly_as_asked(page: Page, world: World) -> None:
    import io

    id = with_run(page, world)
    page.ask(f"/api/images/{id}/segment", network=page.to.get("/api/weights").json()[0]["id"])

    def drawn(opacity: int) -> np.ndarray:
        data = page.to.get(f"/api/segment/{id}/0/picture.png", params={"opacity": opacity}).content
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)

    classes = np.asarray(Image.open(io.BytesIO(page.to.get(f"/api/segment/{id}/0/classes.png").content)))
    assert 0 < (classes > 0).sum() < classes.size
    assert (drawn(100)[classes > 0] == (255, 176, 0)).all()
    assert (drawn(100)[classes == 0] == drawn(0)[classes == 0]).all()
    assert (drawn(50)[classes > 0] != drawn(0)[classes > 0]).any()


class Bomb:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (Path.touch, (Path("/tmp/epistem-was-here"),))  # type: ignore[return-value]


def changed(data: bytes, **card: Any) -> bytes:
    """The same weights with something else in their description."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    about = header["__metadata__"]
    about["card"] = json.dumps(json.loads(about["card"]) | card)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + n :]


def test_what_is_no_network_is_refused_in_words_and_not_kept(page: Page, world: World) -> None:
    from epistem.nets.weights import SHIPPED

    data = next(world.run.glob("jobs/*/model.safetensors")).read_bytes()
    bad = {
        "model.pth": (pickle.dumps(Bomb()), "can run code"),
        "a.safetensors": (pickle.dumps(Bomb()), "cannot be read as weights"),
        "b.safetensors": ((SHIPPED / "atoms-context.safetensors").read_bytes(), "no segmentation network"),
        "c.safetensors": (changed(data, look={"tile_px": 10**9, "shrink": 1}), "lacks part of its description"),
        "d.safetensors": (changed(data, classes=["one", "two", "three"]), "contradicts itself"),
        "e.safetensors": (data[:5000], "cannot be read as weights"),
    }
    for name, (sent, want) in bad.items():
        answer = send(page, name, sent)
        assert answer.status_code in (415, 422), name
        assert want in answer.json()["error"], name
        assert str(page.root) not in answer.json()["error"], name
    assert not list((page.room.folder).glob("weights/*"))


def test_weights_larger_than_the_page_takes_are_refused(tmp_path: Path) -> None:
    page = Page(tmp_path, Limits(upload_mb=0.001))

    answer = send(page, "a.safetensors", b"0" * 2000)

    assert answer.status_code == 413
    assert not list(page.room.folder.glob("weights/*"))


def test_a_network_of_another_session_cannot_be_used(page: Page, world: World) -> None:
    data = next(world.run.glob("jobs/*/model.safetensors")).read_bytes()
    network = send(page, "a.safetensors", data).json()["network"]
    page.to.cookies.clear()
    page.to.get("/api/state")
    id = page.put(world.image)

    answer = page.to.post(f"/api/images/{id}/segment", json={"network": network})

    assert answer.status_code == 404
    assert "no such network" in answer.json()["error"]


def test_more_pixels_than_the_page_takes_fail_in_words(world: World, tmp_path: Path) -> None:
    page = Page(tmp_path, Limits(megapixels=0.01))
    id = with_run(page, world)

    job = page.ask(f"/api/images/{id}/segment", network=page.to.get("/api/weights").json()[0]["id"])

    assert job.state == "failed"
    assert "this page takes 0.01 million" in job.why


def test_a_heatmap_before_a_segmentation_and_a_line_for_a_region_are_refused(page: Page, world: World) -> None:
    id = with_run(page, world)

    before = page.to.post(f"/api/images/{id}/explain", json={"ring": [1, 1, 5, 5, 9, 1]})
    page.ask(f"/api/images/{id}/segment", network=page.to.get("/api/weights").json()[0]["id"])
    line = page.to.post(f"/api/images/{id}/explain", json={"ring": [1, 1, 5, 5]})

    assert before.status_code == 404
    assert "not been segmented" in before.json()["error"]
    assert "three corners" in line.json()["error"]
