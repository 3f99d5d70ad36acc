"""The tab Atoms: the numbers of `epistem atoms classify`, what the files say, and what other shares would give."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
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

SPEC = """\
seed: 3
hosts: [WSe2]
dopants: [Ti]
settings: [{keV: 80, detectors: [[40, 90], [85, 250]]}]
size_A: 46
pixel_A: [0.35, 0.35]
dose_e_per_A2: [100000, 100000]
defects: [0.08, 0.08]
"""
CONTEXT: dict[str, Any] = {
    "host": "WSe2", "dopants": ["Ti"], "beam_keV": 80, "semiangle_mrad": 30, "dose_e_per_A2": 100000,
    "detectors": [{"inner_mrad": 40, "outer_mrad": 90}, {"inner_mrad": 85, "outer_mrad": 250}],
}  # fmt: skip


def invoke(*words: str | Path) -> str:
    found = CliRunner().invoke(app, ["atoms", *map(str, words)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


class World(NamedTuple):
    """A simulated field of two detectors in one file, and what the command says of it."""

    image: Path
    cli: Path
    told: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("atoms")
    (root / "spec.yaml").write_text(SPEC, "utf-8")
    invoke("simulate", root / "spec.yaml", "--out", root / "fields")
    (root / "context.yaml").write_text(json.dumps(CONTEXT), "utf-8")  # JSON is YAML too
    image = root / "fields" / "field_00000" / "image.tif"
    said = invoke("classify", image, "-c", root / "context.yaml", "-o", root / "cli", "--json")
    return World(image, root / "cli", json.loads(said))


class Page:
    """A page without its browser, whose jobs are done when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rooms = Rooms(root, Limits())
        self.desk = Desk(root, rooms)
        self.to = TestClient(Guard(make_api(self.desk), rooms, hosts=("testserver",)))

    @property
    def room(self) -> Room:
        (folder,) = (self.root / "rooms").iterdir()
        return Room(folder)

    def put(self, path: Path) -> str:
        answer = self.to.put("/api/images", params={"name": path.name, "detect": "false"}, content=path.read_bytes())
        return str(answer.json()["id"])

    def ask(self, path: str, **body: Any) -> Any:
        answer = self.to.post(path, json=body)
        assert answer.status_code == 200, answer.text
        queue = Queue(self.root / "queue.sqlite")
        while (job := queue.take("test", "quick")) is not None:
            do(queue, job, self.room, Limits(), self.root / "faults.log")
        return queue.of_room(self.room.name)[-1]

    def get(self, path: str, **query: Any) -> Any:
        answer = self.to.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def without_names(told: dict[str, Any]) -> dict[str, Any]:
    """Who said a value is called differently on the page than in the file."""
    return {name: value for name, value in told.items() if name not in ("context_from", "out")}


def test_the_page_gives_what_the_command_gives(page: Page, world: World) -> None:
    id = page.put(world.image)

    job = page.ask("/api/atoms/classify", images=[id], context=CONTEXT)

    assert job.state == "done", job.why
    ours = page.get(f"/api/atoms/{id}/told.json")["record"]
    assert without_names(ours) == without_names(world.told)
    assert len(ours["what_if"]) == len(world.told["what_if"]) > 5
    table = page.to.get(f"/api/atoms/{id}/files/columns.csv").text
    assert table == (world.cli / "columns.csv").read_text("utf-8")
    assert "the form" in page.to.get(f"/api/atoms/{id}/files/report.html").text
    again = page.to.get(f"/api/atoms/{id}/files/context.yaml").text
    assert "host: WSe2" in again
    assert "{inner_mrad: 40, outer_mrad: 90}" in again


def test_every_column_is_drawn_where_it_is_with_its_posterior(page: Page, world: World) -> None:
    id = page.put(world.image)
    page.ask("/api/atoms/classify", images=[id], context=CONTEXT, what_if=False)

    found = page.get(f"/api/atoms/{id}/columns.json")

    with (world.cli / "columns.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(found["objects"]) == len(rows) == world.told["columns"]
    for one, row in list(zip(found["objects"], rows, strict=True))[::37]:
        ring = np.reshape(one["rings"][0], (-1, 2))
        assert ring.mean(0) == pytest.approx([float(row["col [px]"]) + 0.5, float(row["row [px]"]) + 0.5], abs=0.02)
        assert one["label"] == row["label"]
        roles = [float(row[f"p {name}"]) for name in ("M", "X2", "D M", "V X", "V X2", "V M")]
        assert one["score"] == pytest.approx(max(roles), abs=1e-4)
        assert [one["about"][f"p {name}"] for name in ("M", "D_M")] == pytest.approx([roles[0], roles[2]], abs=1e-4)
    some = page.get(f"/api/atoms/{id}/columns.json", label="Ti on W")["objects"]
    assert len(some) == world.told["labels"]["Ti on W"]["called"]
    assert {one["label"] for one in some} == {"Ti on W"}
    defects = page.get(f"/api/atoms/{id}/columns.json", label="defects")["objects"]
    host = sum(world.told["labels"][name]["called"] for name in ("W", "Se2"))
    assert len(defects) == len(rows) - host > 0
    assert found["nm_per_px"] == pytest.approx(0.035)


def test_what_the_file_says_is_read_and_said_to_be(page: Page, world: World) -> None:
    id = page.put(world.image)

    page.ask("/api/atoms/read", images=[id])

    said = json.loads((page.room.folder_of(id) / "atoms" / "file.json").read_text("utf-8"))
    assert said["values"] == {"pixel_A": pytest.approx(0.35)}
    assert len(said["images"]) == 2
    for name in ("picture.png", "picture_2.png"):
        assert page.to.get(f"/api/atoms/{id}/{name}").headers["content-type"] == "image/png"


def test_another_share_of_dopants_gives_what_the_classifier_would_have_given(page: Page, world: World) -> None:
    from epistem.app.atoms_context import told
    from epistem.app.atoms_images import read_field
    from epistem.app.atoms_run import load_model
    from epistem.app.web.atoms import person_of
    from epistem.atoms.classify import classify
    from epistem.atoms.crystals import ROLES
    from epistem.atoms.kernels import shipped_bank

    id = page.put(world.image)
    page.ask("/api/atoms/classify", images=[id], context=CONTEXT, what_if=False)
    own, more = (page.get(f"/api/atoms/{id}/shares.json", **asked) for asked in ({}, {"dopants": 0.5}))

    images = read_field([world.image])
    context = told(person_of(CONTEXT), images, shipped_bank()).context
    first = classify([one.pixels for one in images], context, load_model(None), shipped_bank())
    shares = first.shares.copy()
    metals = [ROLES.index("M"), ROLES.index("V_M")]
    shares[metals] *= 0.25 / shares[metals].sum()
    shares[ROLES.index("D_M")] = 0.25
    asked = classify([one.pixels for one in images], context, load_model(None), shipped_bank(), shares=shares)

    expected = {one["label"]: one["expected"] for one in more["labels"]}
    dopant = asked.joint[:, ROLES.index("D_M")].sum()
    assert expected["Ti on W"] == pytest.approx(dopant, rel=1e-6)
    assert {one["label"]: one["called"] for one in own["labels"]} == {
        name: one["called"] for name, one in world.told["labels"].items()
    }
    assert own["changed"] == 0
    assert own["share"] == pytest.approx(2 * first.shares[ROLES.index("D_M")])
    assert expected["Ti on W"] > next(one["expected"] for one in own["labels"] if one["label"] == "Ti on W")
    assert page.to.get(f"/api/atoms/{id}/shares.json", params={"dopants": 2}).status_code == 422


def test_another_beam_is_set_beside_the_answer_before(page: Page, world: World) -> None:
    id = page.put(world.image)
    page.ask("/api/atoms/classify", images=[id], context=CONTEXT, what_if=False)
    assert page.get(f"/api/atoms/{id}/told.json")["before"] is None
    page.ask("/api/atoms/classify", images=[id], context=CONTEXT | {"beam_keV": 200}, what_if=False)

    before = page.get(f"/api/atoms/{id}/told.json")["before"]

    assert before["differs"] == {"beam_keV": [80.0, 200.0]}
    assert before["labels"]["W"]["called"] == world.told["labels"]["W"]["called"]
    (asked,) = [one for one in world.told["what_if"] if one["told"] == "200 keV"]
    assert before["changed"] == pytest.approx(asked["changed"])


def test_two_files_of_one_scan_are_one_field(page: Page, world: World, tmp_path: Path) -> None:
    pages = tifffile.imread(world.image)
    ids = []
    for i in range(2):
        path = tmp_path / f"adf{i}.tif"
        tifffile.imwrite(
            path, pages[i], imagej=True, resolution=(10 / 0.35, 10 / 0.35), metadata={"unit": "nm", "axes": "YX"}
        )
        ids.append(page.put(path))

    page.ask("/api/atoms/classify", images=ids, context=CONTEXT, what_if=False)

    record = page.get(f"/api/atoms/{ids[0]}/told.json")["record"]
    assert record["labels"] == world.told["labels"]
    answer = page.to.post("/api/atoms/classify", json={"images": [ids[0], ids[0]]})
    assert "a field is one image, or two" in answer.json()["error"]


@pytest.mark.parametrize(
    ("context", "want"),
    [
        ({"host": "WSe3"}, "no host is called 'WSe3'"),
        ({"host": "WSe2", "beam_keV": 300}, "outside the bank"),
        ({"dopants": ["Ti"]}, "without a host"),
        ({"host": "WSe2", "detectors": [{"inner_mrad": 200, "outer_mrad": 40}, None]}, "inner angle"),
        ({"host": "WSe2", "detectors": [None]}, "names 1 detectors, there are 2 images"),
    ],
)
def test_a_context_that_cannot_be_fails_in_words(page: Page, world: World, context: Any, want: str) -> None:
    id = page.put(world.image)

    job = page.ask("/api/atoms/classify", images=[id], context=context, what_if=False)

    assert job.state == "failed"
    assert want in job.why
    assert str(page.root) not in job.why


def test_an_unknown_name_in_a_context_is_refused_at_once(page: Page, world: World) -> None:
    id = page.put(world.image)

    assert page.to.post("/api/atoms/classify", json={"images": [id], "context": {"hots": "WSe2"}}).status_code == 422
    assert page.to.post("/api/atoms/classify", json={"images": ["f" * 16]}).status_code == 404


def test_noise_has_no_lattice_and_says_so(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "noise.tif"
    tifffile.imwrite(path, np.random.default_rng(0).normal(100, 10, (128, 128)).astype(np.float32))

    job = page.ask("/api/atoms/classify", images=[page.put(path)], context={"host": "WSe2"})

    assert job.state == "failed"
    assert "no lattice stands out" in job.why


def test_an_image_without_pixel_size_is_unknown_and_has_no_shares_to_try(
    page: Page, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "bare.tif"
    tifffile.imwrite(path, tifffile.imread(world.image)[0])
    id = page.put(path)

    page.ask("/api/atoms/classify", images=[id], context={"host": "WSe2"})

    told = page.get(f"/api/atoms/{id}/told.json")
    assert not told["record"]["known"]
    assert {one["score"] for one in page.get(f"/api/atoms/{id}/columns.json")["objects"]} == {None}
    assert page.to.get(f"/api/atoms/{id}/shares.json").status_code == 404


def test_a_field_of_another_session_cannot_be_seen(page: Page, world: World) -> None:
    id = page.put(world.image)
    page.ask("/api/atoms/classify", images=[id], context=CONTEXT, what_if=False)
    page.to.cookies.clear()

    for name in ("told.json", "columns.json", "shares.json", "picture.png", "files/columns.csv"):
        assert page.to.get(f"/api/atoms/{id}/{name}").status_code == 404, name


def test_a_real_field_of_ti_in_wse2_is_as_on_the_command_line(page: Page, tmp_path: Path) -> None:
    folder = os.environ.get("EPISTEM_STUDY_DATA")
    if not folder or not (Path(folder) / "wse2_ti").is_dir():
        pytest.skip("set EPISTEM_STUDY_DATA to the folder with wse2_ti to classify a real image")
    image = Path(folder) / "wse2_ti" / "1028_ADF2_2.dm4"
    id = page.put(image)

    job = page.ask("/api/atoms/classify", images=[id], context={"host": "WSe2", "dopants": ["Ti"]}, what_if=False)
    said = invoke(
        "classify", image, "--host", "WSe2", "--dopant", "Ti", "-o", tmp_path / "cli", "--no-what-if", "--json"
    )

    assert job.state == "done", job.why
    record = page.get(f"/api/atoms/{id}/told.json")["record"]
    assert record["labels"] == json.loads(said)["labels"]
    assert record["labels"]["Ti on W"]["called"] > 0
