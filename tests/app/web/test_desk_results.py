"""Results to take along: as found, as corrected, by specimen; and which image to label next."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.app.web.label_first import read_forecast, write_forecast
from epistem.core import Interval
from epistem.trust.result import Beyond, Forecast
from tests.app.web.session import Session, cavities, png, square

SIZE = "0.5 nm"


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, list[str]]:
    """Three analysed images; the first has corrections and is right."""
    session = Session(tmp_path_factory.mktemp("page"))
    ids = []
    for k in range(3):
        ids.append(session.put(f"{k}.png", png(cavities(seed=k + 4, shape=(160, 160))), detect=False))
        session.page.patch(f"/api/images/{ids[-1]}", json={"pixel_size": SIZE})
    session.work()
    session.edit(ids[0], op="add", ring=square(2, 2, 9))
    kept = [one for one in session.objects(ids[0]) if one["state"] == "found"]
    session.edit(ids[0], op="delete", id=max(kept, key=lambda one: one["score"])["id"])
    session.say_right(ids[0])
    return session, ids


def written(session: Session, which: str) -> dict[str, Any]:
    """The results, once the worker has written them."""
    job = session.post("/api/results", {"which": which})["job"]
    session.work()
    done = session.job(job)
    assert done["state"] == "done", done["why"]
    result: dict[str, Any] = done["result"]
    return result


def packed(session: Session, which: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(session.page.get(f"/api/results-{which}.zip").content))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_corrected_objects_are_measured_as_the_command_line_measures_them(
    corrected: tuple[Session, list[str]], tmp_path: Path
) -> None:
    session, ids = corrected
    written(session, "corrected")
    masks = tmp_path / "corrections.coco.json"
    masks.write_bytes(session.page.get("/api/corrections.json").content)
    image = tmp_path / "0.png"
    image.write_bytes(session.room.file_of(session.room.item(ids[0])).read_bytes())

    words = ["analyze", str(image), "--found", str(masks), "--pixel-size", SIZE, "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, words).exit_code == 0

    theirs, mine = (
        json.loads((folder / "images" / "0.png" / "result.json").read_text())["images"][0]
        for folder in (tmp_path / "out", session.room.corrected)
    )
    assert mine["n_objects"] == session.told(ids[0])["own"]["n"]  # one more, one less
    for name in ("n_objects", "quantities", "verdict", "reasons"):
        assert mine[name] == theirs[name]


def test_each_image_has_every_export_as_found_and_as_corrected(corrected: tuple[Session, list[str]]) -> None:
    session, ids = corrected
    job = session.post(f"/api/images/{ids[0]}/measure")["job"]
    session.work()
    assert session.job(job)["state"] == "done"

    for folder in ("results", "corrected"):
        for name in (
            "objects.csv",
            "objects.coco.json",
            "objects.geojson",
            "rois.zip",
            "yolo.txt",
            "labels.tif",
            "report.html",
        ):
            assert session.page.get(f"/{folder}/images/0.png/{name}").status_code == 200, name
    found, mine = (
        session.page.get(f"/{folder}/images/0.png/objects.csv").text for folder in ("results", "corrected")
    )
    assert len(rows(found)) == len(rows(mine))
    assert found != mine


def test_the_packed_results_hold_all_images_and_the_corrected_ones_those_with_corrections(
    corrected: tuple[Session, list[str]],
) -> None:
    session, _ = corrected

    assert written(session, "found")["files"] == 3
    assert written(session, "corrected")["files"] == 1

    found, mine = packed(session, "found"), packed(session, "corrected")
    assert len(rows(found.read("epistem-found/images.csv").decode())) == 3
    assert len(rows(mine.read("epistem-corrected/images.csv").decode())) == 1
    assert "epistem-corrected/corrections.coco.json" in mine.namelist()
    assert "epistem-corrected/images/0.png/rois.zip" in mine.namelist()
    assert mine.testzip() is None


def test_no_file_of_the_results_tells_where_the_server_keeps_them(corrected: tuple[Session, list[str]]) -> None:
    session, _ = corrected
    for which in ("found", "corrected"):
        written(session, which)
        archive = packed(session, which)
        for name in archive.namelist():
            assert str(session.root).encode() not in archive.read(name), name


def test_a_removed_image_is_in_no_results_written_later(tmp_path: Path) -> None:
    session = Session(tmp_path)
    ids = [session.put(f"{k}.png", png(cavities(seed=k, shape=(96, 96)))) for k in (1, 2)]
    session.work()
    session.page.delete(f"/api/images/{ids[0]}")

    assert written(session, "found")["files"] == 1
    assert not any("1.png" in name for name in packed(session, "found").namelist())


def test_results_of_nothing_are_refused_in_words(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.put("a.png", png(cavities(shape=(96, 96))), detect=False)
    job = session.post("/api/results", {"which": "corrected"})["job"]
    session.work()

    assert session.job(job)["why"] == "nothing has been corrected yet"
    assert "found or corrected" in session.refused("POST", "/api/results", {"which": "../x"})
    assert "not prepared" in session.refused("GET", "/api/results-found.zip")
    assert session.page.get("/api/results-..%2Fx.zip").status_code == 404


def test_asking_twice_for_the_same_results_queues_one_job(corrected: tuple[Session, list[str]]) -> None:
    session, _ = corrected

    first, second = (session.post("/api/results", {"which": "found"})["job"] for _ in range(2))
    other = session.post("/api/results", {"which": "corrected"})["job"]

    assert first == second != other
    session.work()


def test_a_correction_withdraws_the_results_that_do_not_have_it(corrected: tuple[Session, list[str]]) -> None:
    session, (id, *_) = corrected
    before = session.page.get("/api/corrections.json").status_code
    session.page.post(f"/api/images/{id}/0/edits", json={"op": "delete", "id": 1})

    after = [session.page.get(f"/api/{name}").status_code for name in ("corrections.json", "results-corrected.zip")]

    assert (before, after) == (200, [404, 404])


# ---- specimens


def test_specimens_typed_on_the_page_are_compared_as_the_command_line_compares_them(tmp_path: Path) -> None:
    session = Session(tmp_path / "root")
    images = tmp_path / "images"
    images.mkdir()
    table = ["image,specimen"]
    for k in range(4):
        data = png(cavities(seed=k + 4, shape=(128, 128)))
        (images / f"{k}.png").write_bytes(data)
        id = session.put(f"{k}.png", data, detect=False)
        session.page.patch(f"/api/images/{id}", json={"pixel_size": SIZE})
        assert session.page.put(f"/api/images/{id}/specimen", json={"specimen": f"S{k // 2}"}).status_code == 204
        table.append(f"{k}.png,S{k // 2}")
    session.work()
    (tmp_path / "samples.csv").write_text("\n".join(table))

    words = ["analyze", str(images), "--out", str(tmp_path / "out"), "--pixel-size", SIZE, "--samples"]
    assert CliRunner().invoke(app, [*words, str(tmp_path / "samples.csv")]).exit_code == 0
    groups = written(session, "found")["groups"]

    mine = packed(session, "found").read("epistem-found/samples.csv").decode()
    assert mine == (tmp_path / "out" / "samples.csv").read_text()
    assert [one["name"] for one in groups["groups"]] == ["S0", "S1"]
    assert groups["compared"][0]["what"] == "Mean diameter"


def test_an_uploaded_table_sets_specimens_and_foil_and_what_is_typed_changes_its_rows(tmp_path: Path) -> None:
    session = Session(tmp_path)
    ids = [session.put(f"{k}.png", png(cavities(seed=k, shape=(96, 96))), detect=False) for k in (1, 2)]
    text = "image;specimen;Thickness (nm);dose_dpa\n1.png;ref;80;0\n2;hot;;5\n9.png;gone;;1\n"

    told = session.page.put("/api/samples", content=text.encode()).json()
    session.page.put(f"/api/images/{ids[1]}/specimen", json={"specimen": "hot, again"})
    session.work()

    assert any("9.png" in one for one in told["warnings"])
    assert session.desk.specimens(session.room) == {ids[0]: "ref", ids[1]: "hot, again"}
    assert session.get("/api/state")["images"][0]["job"]["what"] == {"thickness_nm": 80.0}
    assert "5" in (session.room.folder / "samples.csv").read_text()
    session.page.put(f"/api/images/{ids[1]}/specimen", json={"specimen": " "})
    assert session.desk.specimens(session.room)[ids[1]] == ""


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "image,specimen\n1.png,\n", "image,specimen\nx,a\nx,b\n"])
def test_a_table_that_cannot_be_read_is_refused_and_the_one_before_stays(tmp_path: Path, text: str) -> None:
    session = Session(tmp_path)
    id = session.put("1.png", png(cavities(shape=(96, 96))), detect=False)
    session.page.put("/api/samples", content=b"image,specimen\n1.png,kept\n")

    answer = session.page.put("/api/samples", content=text.encode())

    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text
    assert session.desk.specimens(session.room) == {id: "kept"}


def test_a_specimens_name_is_one_short_line(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("1.png", png(cavities(shape=(96, 96))), detect=False)

    assert "one line" in session.refused("PUT", f"/api/images/{id}/specimen", {"specimen": "a\nb"})
    assert "characters" in session.refused("PUT", f"/api/images/{id}/specimen", {"specimen": "x" * 81})


# ---- what to label


def test_the_images_to_label_come_in_the_order_of_the_command_line(tmp_path: Path) -> None:
    from epistem.app.forecast import Told, first_to_label

    session = Session(tmp_path)
    ids = [session.put(f"{k}.png", png(cavities(seed=k + 4, shape=(160, 160)))) for k in range(3)]
    session.put("flat.png", png(np.full((96, 96), 7, np.uint8)))
    session.work()
    job = session.post("/api/next")["job"]
    session.work()
    first = session.job(job)["result"]["first"]

    kept = [read_forecast(session.room.look_of(one["id"])) for one in session.get("/api/state")["images"]]
    told = [Told("", one, None, ()) for one in kept if one is not None]
    names = ["0.png", "1.png", "2.png", "flat.png"]
    assert [one["name"] for one in first] == [names[pick.row] for pick in first_to_label(told, 4)]
    assert first[0]["reason"].startswith("Expected F1")
    assert not any("is image" in one["reason"] for one in first)

    session.say_right(first[0]["id"])
    job = session.post("/api/next")["job"]
    session.work()
    assert [one["id"] for one in session.job(job)["result"]["first"]] == [one["id"] for one in first[1:]]
    assert set(ids) >= {one["id"] for one in first} - {first[-1]["id"]}


def test_a_forecast_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    made = Forecast(
        0.4, 0.407, f1=Interval(0.1, 0.5, 0.9, 0.9), typicality=0.3, beyond=(Beyond("q_noise", 1.0, 0.1, 0.5),),
        reference_n=7, n_kept=3, signals={"s_cot": 0.25, "s_fringe": float("nan")},
    )  # fmt: skip
    write_forecast(tmp_path, made)

    again = read_forecast(tmp_path)

    assert again is not None
    assert np.isnan(again.signals["s_fringe"])
    assert again.signals["s_cot"] == 0.25
    assert (again.f1, again.beyond, again.used_score) == (made.f1, made.beyond, made.used_score)
    write_forecast(tmp_path, None)
    assert read_forecast(tmp_path) is None
