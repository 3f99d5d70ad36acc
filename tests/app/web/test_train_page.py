"""What corrections teach: weights and forecasts made from the page, as the command line makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from epistem.app.store import FileRecord, ImageRecord
from epistem.app.web import train as page_train
from epistem.app.web.carried import write_objects
from epistem.app.web.runs import LABELS
from epistem.detect import DEFAULT, make_detector, weights_hash
from tests.app.web.session import Session, png, square

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnx")
from epistem.app import train, train_labels  # noqa: E402
from epistem.app.cli import app  # noqa: E402
from epistem.nets import runs  # noqa: E402
from epistem.nets.dense import CavityDense, DenseSettings  # noqa: E402
from epistem.nets.restore import keep  # noqa: E402
from epistem.nets.train import Schedule  # noqa: E402

STEPS, EDGE = 3, 256
AT = ((20, 30), (90, 140), (180, 60))


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A fresh small network for the shipped one, and few steps."""
    torch.manual_seed(0)
    network = CavityDense(DenseSettings(widths=(4, 4, 4, 4), least_logit=-30.0))
    made = keep(
        tmp_path_factory.mktemp("shipped") / "small.safetensors", network, name=DEFAULT, min_score=0.5, card={}
    )  # fmt: skip
    monkeypatch.setattr(train_labels, "SHIPPED", made.path)
    monkeypatch.setattr(train, "schedule_of", lambda *_: Schedule(steps=STEPS, batch=1, learning_rate=2e-4))
    fit = runs.fit
    monkeypatch.setattr(runs, "fit", lambda *a, **k: fit(*a, **{**k, "save_every": 1, "word_every": 1}))


def squares(seed: int) -> bytes:
    """An image with dark squares on grain."""
    pixels = np.random.default_rng(seed).normal(150, 8, (EDGE, EDGE))
    for row, col in AT:
        pixels[row : row + 24, col : col + 24] -= 60
    return png(pixels.clip(0, 255).astype(np.uint8))


def looked(session: Session, id: str, *, weights: str | None, scores: tuple[float, ...] = (), size: int = 24) -> None:
    """As if it had been analysed: candidates at `AT` with these scores."""
    room, item = session.room, session.room.item(id)
    objects = [
        {"id": i, "score": score, "label": "cavity", "state": "found", "rings": [square(*AT[i], size)], "about": {}}
        for i, score in enumerate(scores)
    ]
    told = {"shape": [EDGE, EDGE], "aspect": 1.0, "nm_per_px": None, "candidates": len(objects), "objects": objects}
    write_objects(room, id, 0, told, 0.5)
    own = {"score": 0.5, "n": sum(score >= 0.5 for score in scores)}
    (room.look_of(id) / "thresholds.json").write_text(json.dumps({"name": item.name, "own": own, "rows": [own]}))
    image = ImageRecord(
        name=item.name, axis=None, slice=None, folder=f"images/{item.name}", id="0", shape=(EDGE, EDGE), row_nm=None,
        col_nm=None, n_objects=own["n"], quantities={}, warnings=(), maker="", detector_settings={}, weights=weights,
    )  # fmt: skip
    folder = room.results / "images" / item.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(
        FileRecord(file=item.name, key="0", specimen=None, images=(image,)).model_dump_json()
    )


def corrected_images(session: Session, n: int) -> list[str]:
    """Images of which a person drew every square and said that all is right."""
    ids = []
    for k in range(n):
        ids.append(session.put(f"{k}.png", squares(k), detect=False))
        looked(session, ids[-1], weights=None)
        for row, col in AT:
            session.edit(ids[-1], op="add", ring=square(row, col, 24))
        session.say_right(ids[-1])
    return ids


def trained(session: Session) -> dict[str, Any]:
    begun = session.post("/api/train")
    session.work()
    job = session.job(begun["job"])
    assert job["state"] == "done", job["why"]
    result: dict[str, Any] = job["result"]
    assert result["run"] == begun["run"]
    return result


def test_weights_learned_on_the_page_are_those_of_the_command_line(tmp_path: Path) -> None:
    session = Session(tmp_path / "root")
    corrected_images(session, 5)

    mine = trained(session)

    folder = session.room.folder / "runs" / mine["run"]
    labels, out = tmp_path / "labels.coco.json", tmp_path / "out"
    labels.write_bytes((folder / LABELS).read_bytes())
    words = [
        "train",
        "detector",
        str(labels),
        "--images",
        str(folder / "images"),
        "--from",
        "shipped",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, [*words, "--json", "--workers", "0"])
    assert done.exit_code == 0, done.output
    theirs = json.loads(done.stdout)
    for name in ("held_out", "before", "after", "worse", "gain", "min_score"):
        assert mine[name] == theirs[name]
    assert len(mine["held_out"]) == 2
    assert mine["images"] == 5


def test_learned_weights_can_be_downloaded_and_chosen(tmp_path: Path) -> None:
    session = Session(tmp_path)
    (id, *_) = corrected_images(session, 4)
    result = trained(session)
    run = result["run"]

    assert session.page.get(f"/runs/{run}/weights/{DEFAULT}.safetensors").status_code == 200
    assert session.page.get(f"/runs/{run}/weights/card.md").status_code == 200
    session.post(f"/api/images/{id}/detect", {"weights": run})
    session.work()

    record = json.loads((session.room.results / "images" / "0.png" / "result.json").read_text())["images"][0]
    assert record["weights"] == result["hash"]
    assert str(tmp_path) not in json.dumps(record)
    assert sum(one["state"] == "added" for one in session.objects(id)) == 3


def test_a_training_that_was_stopped_goes_on_with_the_images_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(tmp_path)
    ids = corrected_images(session, 4)
    steps: list[int] = []

    class Killed(BaseException):
        pass

    def step(self: page_train.Heard, one: Any, of: int) -> None:
        steps.append(one.number)
        if len(steps) == 2:
            raise Killed

    monkeypatch.setattr(page_train.Heard, "step", step)
    begun = session.post("/api/train")
    with pytest.raises(Killed):
        session.work()
    session.page.delete(f"/api/images/{ids[0]}")
    session.desk.queue.restart()
    session.work()

    job = session.job(begun["job"])
    assert job["state"] == "done", job["why"]
    assert job["result"]["images"] == 4
    assert steps == [1, 2, 2, 3]


def test_there_is_nothing_to_learn_before_an_image_is_right(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.put("a.png", squares(0), detect=False)

    assert "no image is marked as right" in session.refused("POST", "/api/train")


def test_a_second_training_waits_for_the_first_to_be_done(tmp_path: Path) -> None:
    session = Session(tmp_path)
    corrected_images(session, 1)
    session.post("/api/train")

    assert "under way" in session.refused("POST", "/api/train")
    assert len(session.get("/api/state")["jobs"]) == 1


def test_images_without_a_single_object_teach_nothing_and_it_says_so(tmp_path: Path) -> None:
    session = Session(tmp_path)
    id = session.put("a.png", squares(0), detect=False)
    looked(session, id, weights=None)
    session.say_right(id)
    begun = session.post("/api/train")
    session.work()

    job = session.job(begun["job"])
    assert job["state"] == "failed"
    assert "no object is labelled" in job["why"]
    assert str(tmp_path) not in job["why"]


# ---- a forecast


def test_a_forecast_says_how_many_images_are_missing(tmp_path: Path) -> None:
    session = Session(tmp_path)
    corrected_images(session, 2)

    assert "48 are missing" in session.refused("POST", "/api/forecast", {})


def test_a_forecast_is_fitted_on_what_these_weights_found_and_can_be_chosen(tmp_path: Path) -> None:
    session = Session(tmp_path)
    shipped = weights_hash(make_detector(DEFAULT))
    rng = np.random.default_rng(0)
    for k in range(50):
        id = session.put(f"{k}.png", squares(k), detect=False)
        looked(session, id, weights=shipped, scores=tuple(np.sort(rng.uniform(0.3, 0.99, 3))[::-1].round(3).tolist()))
        session.edit(id, op="delete" if k % 2 else "confirm", id=2)
        session.say_right(id)

    begun = session.post("/api/forecast", {})
    session.work()

    job = session.job(begun["job"])
    assert job["state"] == "done", job["why"]
    assert job["result"]["images"] == 50
    assert job["result"]["about"]["weights"] == shipped
    assert session.page.get(f"/runs/{begun['run']}/forecast.npz").status_code == 200
    session.post(f"/api/images/{id}/detect", {"forecast": begun["run"]})
    session.work()
    assert "50 reference images" in session.told(id)["own"]["reference"]


def test_images_searched_with_other_weights_do_not_count_for_a_forecast(tmp_path: Path) -> None:
    session = Session(tmp_path)
    for k in range(50):
        id = session.put(f"{k}.png", squares(k), detect=False)
        looked(session, id, weights="another", scores=(0.9,))
        session.say_right(id)
    begun = session.post("/api/forecast", {})
    session.work()

    job = session.job(begun["job"])
    assert job["state"] == "failed"
    assert "50 corrected images or more, 0" in job["why"]
