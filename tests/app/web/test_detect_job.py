"""What the page tells of an image is what the command line tells, at every threshold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from epistem.app.cli import app
from tests.app.web.session import EXAMPLES, Session, cavities, png

SIZE = "0.5 nm"


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, str, Path]:
    """A session with one analysed image, and the image as a file."""
    folder = tmp_path_factory.mktemp("page")
    session = Session(folder / "root")
    file = folder / "field.png"
    file.write_bytes(png(cavities(seed=4, shape=(192, 192))))
    id = session.put("field.png", file.read_bytes())
    assert session.page.patch(f"/api/images/{id}", json={"pixel_size": SIZE}).status_code == 200
    session.work()
    return session, id, file


def analyzed(file: Path, out: Path, *words: str) -> dict[str, Any]:
    """What `epistem analyze` records of one image."""
    done = CliRunner().invoke(app, ["analyze", str(file), "--out", str(out), "--pixel-size", SIZE, *words])
    assert done.exit_code == 0, done.output
    (image,) = json.loads((out / "images" / file.name / "result.json").read_text())["images"]
    return dict(image)


def as_row(image: dict[str, Any]) -> dict[str, Any]:
    """Of the command line, as the page's row has it."""
    quantities = {name: (one["value"], one["low"], one["high"]) for name, one in image["quantities"].items()}
    f1 = image["expected"].get("f1")
    return {
        "n": image["n_objects"], "verdict": image["verdict"], "reasons": list(image["reasons"]),
        "f1": f1 and (f1["value"], f1["low"], f1["high"]), "typicality": image["typicality"], **quantities,
    }  # fmt: skip


def of_page(row: dict[str, Any]) -> dict[str, Any]:
    quantities = {one["name"]: (one["value"], one["low"], one["high"]) for one in row["quantities"]}
    f1 = row["expected"]["f1"]
    return {
        "n": row["n"], "verdict": row["verdict"], "reasons": row["reasons"],
        "f1": f1 and (f1["value"], f1["low"], f1["high"]), "typicality": row["typicality"], **quantities,
    }  # fmt: skip


def test_the_page_has_a_row_for_every_score_of_the_forecasts_grid(looked: tuple[Session, str, Path]) -> None:
    session, id, _ = looked

    told = session.told(id)
    scores = [row["score"] for row in told["rows"]]

    assert {round(0.1 * k, 1) for k in range(1, 10)} <= set(scores)
    assert told["own"]["score"] in scores
    assert scores == sorted(scores)
    assert [row["n"] for row in told["rows"]] == sorted((row["n"] for row in told["rows"]), reverse=True)
    assert told["rows"][0]["n"] > told["rows"][-1]["n"] > 0


@pytest.mark.parametrize("score", [round(0.1 * k, 1) for k in range(1, 10)])
def test_each_row_is_what_the_command_line_says_with_that_least_score(
    looked: tuple[Session, str, Path], score: float, tmp_path: Path
) -> None:
    session, id, file = looked
    row = next(row for row in session.told(id)["rows"] if row["score"] == score)

    image = analyzed(file, tmp_path / "out", "--min-score", str(score))

    assert of_page(row) == as_row(image)


def test_without_a_choice_the_page_says_what_the_command_line_says_and_writes_the_same_files(
    looked: tuple[Session, str, Path], tmp_path: Path
) -> None:
    session, id, file = looked

    image = analyzed(file, tmp_path / "out")
    mine = json.loads((session.room.results / "images" / "field.png" / "result.json").read_text())["images"][0]

    assert of_page(session.told(id)["own"]) == as_row(image)
    assert mine == image
    theirs = tmp_path / "out" / "images" / "field.png"
    for name in ("objects.csv", "objects.coco.json", "rois.zip", "yolo.txt", "labels.tif"):
        assert (session.room.results / "images" / "field.png" / name).read_bytes() == (theirs / name).read_bytes()


def test_what_the_viewer_keeps_at_a_threshold_is_what_the_row_counts(looked: tuple[Session, str, Path]) -> None:
    session, id, _ = looked
    objects = session.objects(id)

    for row in session.told(id)["rows"]:
        assert sum(one["score"] >= row["score"] for one in objects) == row["n"]


def test_settings_of_all_images_hold_for_the_next_one_too(tmp_path: Path) -> None:
    session = Session(tmp_path)
    data = png(cavities(shape=(96, 96)))
    first = session.put("a.png", data)

    session.post("/api/detect", {"min_score": 0.7, "object_name": "bubble"})
    second = session.put("b.png", png(cavities(seed=2, shape=(96, 96))))
    session.work()

    assert [session.told(id)["own"]["score"] for id in (first, second)] == [0.7, 0.7]


def test_a_foil_thickness_gives_a_swelling(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("a.png", png(cavities(shape=(96, 96))), detect=False)
    session.page.patch(f"/api/images/{id}", json={"pixel_size": SIZE})
    session.work()
    before = {one["name"]: one["value"] for one in session.told(id)["own"]["quantities"]}

    session.post(f"/api/images/{id}/detect", {"thickness_nm": 80, "thickness_error_nm": 8})
    session.work()

    after = {one["name"]: one["value"] for one in session.told(id)["own"]["quantities"]}
    assert before["swelling_percent"] is None
    assert after["swelling_percent"] > 0


def test_settings_without_sense_are_refused_in_words(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("a.png", png(cavities(shape=(96, 96))), detect=False)

    assert "thickness" in session.refused("POST", f"/api/images/{id}/detect", {"thickness_error_nm": 3})
    assert "no weights" in session.refused("POST", f"/api/images/{id}/detect", {"weights": "train-00000000"})
    assert "no weights" in session.refused("POST", f"/api/images/{id}/detect", {"weights": "../../secret"})
    assert session.get("/api/state")["images"][0]["job"] is None


def test_a_pixel_size_from_the_file_is_confirmed_until_another_is_typed(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("A3.tif", (EXAMPLES / "A3.tif").read_bytes())
    session.work()
    assert session.told(id)["calibration"] is not None

    assert session.page.patch(f"/api/images/{id}", json={"confirmed": True}).json() == {"confirmed": True}
    assert session.get("/api/state")["images"][0]["confirmed"] is True
    session.page.patch(f"/api/images/{id}", json={"pixel_size": ""})

    assert session.get("/api/state")["images"][0]["confirmed"] is False


def test_an_unknown_pixel_size_cannot_be_confirmed(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("a.png", png(cavities(shape=(96, 96))))
    session.work()

    assert "type it" in session.refused("PATCH", f"/api/images/{id}", {"confirmed": True})


def test_every_image_of_a_stack_is_looked_at(tmp_path: Path) -> None:
    session = Session(tmp_path)
    file = tmp_path / "stack.tif"
    tifffile.imwrite(
        file, np.stack([cavities(seed, (96, 96)) for seed in (1, 2, 3)]), imagej=True, metadata={"axes": "ZYX"}
    )

    id = session.put("stack.tif", file.read_bytes())
    session.work()

    images = session.get("/api/state")["images"][0]["job"]["result"]["images"]
    assert [one["n"] for one in images] == [session.told(id, k)["own"]["n"] for k in range(3)]
    assert len({json.dumps(session.objects(id, k)) for k in range(3)}) == 3
