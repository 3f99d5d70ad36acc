"""Studies in a session: the numbers of `epistem bench`, what a zip may hold, and what a profile may name."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.app.web import bench, bench_sets
from epistem.app.web.desk import Desk
from epistem.app.web.limits import Limits
from epistem.app.web.networks import networks
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Refused, Room, Rooms
from epistem.app.web.work import do
from epistem.core import SettingsError
from epistem.synth.scenes import draw_scene


class Place:
    """A page without its page; its jobs are done here."""

    def __init__(self, root: Path) -> None:
        self.root, self.rooms = root, Rooms(root, Limits(room_mb=50))
        self.desk = Desk(root, self.rooms)
        self.room: Room = self.rooms.of_key(None)[0]

    def did(self, lane: str) -> Queued:
        job = self.desk.queue.take("w", lane)
        assert job is not None
        do(self.desk.queue, job, self.room, self.rooms.limits, self.root / "faults")
        return next(one for one in self.desk.queue.of_room(self.room.name) if one.id == job.id)

    def sent(self, data: bytes) -> tuple[str, Queued]:
        name, path = bench_sets.reserve_set(self.room, self.rooms.limits, "steel.zip", len(data))
        path.write_bytes(data)
        bench.queue_init(self.desk, self.room, name, "steel")
        return name, self.did("quick")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def labelled() -> dict[str, bytes]:
    files = {}
    for seed in range(3):
        scene = draw_scene("pores", seed=seed, shape=(64, 64))
        for part, pixels in (("images", scene.micrograph.pixels), ("masks", scene.truth.labels)):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            files[f"steel/{part}/s{seed}_1.png"] = buffer.getvalue()
    return files


def small(text: str, **parts: dict[str, Any]) -> str:
    values = json.loads(text)
    values["model"] |= {"decoders": ["unet"], "weights": ["none"]}
    values["training"] |= {"batch_size": 2, "max_steps": 2, "image_size": 32, "val_tiles": 2}
    for part, changes in parts.items():
        values[part] |= changes
    return json.dumps(values)


def test_a_study_is_that_of_the_command_line_and_is_not_done_twice(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    name, made = place.sent(zipped(labelled()))
    assert (made.state, made.why) == ("done", None)
    assert bench.keep_profile(place.room, name, small(bench.profile_text(place.room, name)))["networks"] == 1
    bench.queue_bench(place.desk, place.room, name)

    told = place.did("long")

    assert (told.state, told.why) == ("done", None)
    study, out = bench.study_of(place.room, name), tmp_path / "out"
    words = ["bench", "run", str(study / "profile.json"), "--out", str(out), "--device", "cpu", "--json"]
    same = json.loads(CliRunner().invoke(app, words).stdout)
    assert [told.result[one] for one in ("primary", "models")] == [same[one] for one in ("primary", "models")]
    assert told.result["done"] == 1
    assert bench.ranking_of(place.room, name) == {k: told.result[k] for k in bench.ranking_of(place.room, name) or ()}
    assert bench.report_of(place.room, name) == f"/runs/{name}/run/report.html"
    assert str(place.root) not in (study / "run" / "report.html").read_text("utf-8")
    assert str(place.root) not in (study / "run" / "profile.json").read_text("utf-8")
    assert bench.segmenters(place.room) == [(one.name, one.path) for one in networks(place.room)] != []
    bench.queue_bench(place.desk, place.room, name)
    assert place.did("long").result["reused"] == 1


def test_fields_to_correct_are_told_in_the_words_of_the_command_line(place: Place) -> None:
    name, _ = place.sent(zipped(labelled()))
    text = bench.profile_text(place.room, name)

    with pytest.raises(SettingsError, match=r"model.encoders\[0\]: no encoder is called 'resnet5'; did you mean"):
        bench.keep_profile(place.room, name, small(text, model={"encoders": ["resnet5"]}))
    with pytest.raises(SettingsError, match="is not JSON at line 1"):
        bench.keep_profile(place.room, name, "{")
    assert bench.profile_text(place.room, name) == "{"


@pytest.mark.parametrize("leads", ["../../../used", "/etc/hostname", "..", "a\0b"])
def test_a_profile_names_files_of_its_own_study_alone(place: Place, leads: str) -> None:
    name, _ = place.sent(zipped(labelled()))
    values = json.loads(small(bench.profile_text(place.room, name)))
    values["dataset"]["pairs"][0]["mask"] = leads

    with pytest.raises(Refused, match="not below the folder of the images"):
        bench.keep_profile(place.room, name, json.dumps(values))


def test_another_root_is_not_looked_into(place: Place) -> None:
    name, _ = place.sent(zipped(labelled()))

    bench.keep_profile(place.room, name, small(bench.profile_text(place.room, name), dataset={"root": "/etc"}))

    assert bench.read_profile(place.room, name).dataset.root == "../set"


def test_a_grid_that_would_keep_the_machine_for_ever_is_refused(place: Place) -> None:
    name, _ = place.sent(zipped(labelled()))
    text = bench.profile_text(place.room, name)

    with pytest.raises(Refused, match="201 are more than this page takes"):
        bench.keep_profile(place.room, name, small(text, training={"seeds": list(range(201))}))
    with pytest.raises(Refused, match="image_size"):
        bench.keep_profile(place.room, name, small(text, training={"image_size": 2048}))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no zip", "no whole .zip"),
        (zipped({"notes.txt": b"x"}), "holds no image"),
        (zipped({"../../out.png": b"x"}), "leads out of its folder"),
        (zipped({"images/a.png": bytes(10_000_000)}), "times its size"),
    ],
    ids=["no zip", "no image", "out of its folder", "bomb"],
)
def test_a_zip_that_cannot_be_taken_is_refused_in_words_and_leaves_nothing(
    place: Place, data: bytes, why: str
) -> None:
    name, job = place.sent(data)

    assert job.state == "failed"
    assert why in str(job.why)
    assert str(place.root) not in str(job.why)
    assert list(bench.study_of(place.room, name).iterdir()) == []
    assert not list(place.root.rglob("out.png"))


def test_a_link_in_a_zip_is_refused(place: Place) -> None:
    link = zipfile.ZipInfo("images/a.png")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/hostname")

    _, job = place.sent(buffer.getvalue())

    assert "a link or device" in str(job.why)


def test_simulated_images_make_a_study_with_named_classes(place: Place) -> None:
    name = bench.simulate(place.desk, place.room)["id"]

    job = place.did("quick")

    assert list(job.result["classes"]) == ["matrix", "pore"]
    assert job.result["images"] == job.result["groups"] == bench_sets.SCENES
    assert bench.keep_profile(place.room, name, bench.profile_text(place.room, name))["networks"] == 2
