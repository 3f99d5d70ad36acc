"""Questions in a session: the answers of `epistem ask`, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from epistem.app.cli import app
from epistem.app.web import ask
from epistem.app.web.api import make_api
from epistem.app.web.desk import Desk
from epistem.app.web.guard import Guard
from epistem.app.web.limits import Limits
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Refused, Room, Rooms
from epistem.app.web.work import do

EXAMPLE = Path(__file__).parents[3] / "examples" / "images" / "A4.png"


class Place:
    """A page without its page; its jobs are done here."""

    def __init__(self, root: Path) -> None:
        self.root, self.rooms = root, Rooms(root, Limits())
        self.desk = Desk(root, self.rooms)
        self.room: Room = self.rooms.of_key(None)[0]
        self.item, path = self.rooms.reserve(self.room, "A4.png", None)
        path.write_bytes(EXAMPLE.read_bytes())
        self.rooms.settle(self.room, self.item, "A4.png")

    def answered(self, question: str, **more: object) -> Queued:
        ask.queue_ask(self.desk, self.room, self.item, question, **more)  # type: ignore[arg-type]
        job = self.desk.queue.take("w", "quick")
        assert job is not None
        do(self.desk.queue, job, self.room, Limits(), self.root / "faults")
        return self.desk.queue.of_room(self.room.name)[-1]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Parrot:
    """Says two pieces, and what had been shown of the answer by then."""

    name = "parrot"

    def __init__(self, room: Room) -> None:
        self.room, self.shown = room, list[str]()

    def __call__(self, image: object, text: str):  # type: ignore[no-untyped-def]
        for piece in ("Rounded pores. ", "A dense matrix."):
            yield piece
            (said,) = self.room.folder.glob("runs/ask-*/said.txt")
            self.shown.append(said.read_text("utf-8"))


def test_the_answer_is_that_of_the_command_line(place: Place) -> None:
    question = "How many cavities are there?"

    job = place.answered(question)

    told = json.loads(CliRunner().invoke(app, ["ask", str(EXAMPLE), question, "--json"]).stdout)
    own = dict(job.result["answer"])
    assert told.pop("seconds") > 0 < own.pop("seconds")
    assert own == told
    (part,) = job.result["parts"]
    assert part["mark"] == "measured"
    assert ask.value_of(part) == f"{told['statements'][0]['value']:.0f}"
    assert job.result["drawn"]
    assert (ask.folder_of(place.room, job.result["run"]) / "found.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_written_is_read_and_what_no_image_shows_is_declined(place: Place) -> None:
    read = place.answered("What is the pixel size?").result
    declined = place.answered("What is the hardness of this steel?").result

    assert [one["mark"] for one in read["parts"]] == ["read"]
    assert [one["mark"] for one in declined["parts"]] == ["declined"]
    assert not read["drawn"]


def test_words_come_piece_by_piece_and_are_said_to_be_words(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    parrot = Parrot(place.room)
    monkeypatch.setattr(ask, "_assistant", lambda: parrot)

    job = place.answered("What does this image show?")

    assert [one["mark"] for one in job.result["parts"]] == ["words"]
    assert "Rounded pores." in parrot.shown[-1]
    assert "matrix" not in parrot.shown[-1]
    assert ask.said_of(place.room, job.result["run"]) == "Rounded pores. A dense matrix."
    assert "language model" in job.result["lines"][-1]


def test_without_the_switch_no_language_model_is_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> object:
        raise AssertionError("asked")

    monkeypatch.setattr(ask, "_assistant", never)

    job = place.answered("What does this image show?", words=False)

    assert job.result["answer"]["model"] == "no language model"
    assert [one["mark"] for one in job.result["parts"]] == ["declined"]


@pytest.mark.parametrize(
    ("question", "why"), [("  ", "empty"), ("x" * 501, "501 characters")], ids=["none", "too long"]
)
def test_no_question_and_one_too_long_are_refused_in_words(place: Place, question: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        ask.queue_ask(place.desk, place.room, place.item, question)


def test_a_session_reads_only_its_own_answers_and_gives_no_endpoint(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Limits())
    api = make_api(Desk(tmp_path, rooms))

    def session() -> TestClient:
        return TestClient(Guard(api, rooms, hosts=("testserver",)))

    with session() as one, session() as other:
        image = one.put("/api/images?detect=false&name=a.png", content=EXAMPLE.read_bytes()).json()["id"]
        asked = {"image": image, "question": "How many cavities are there?"}
        run = one.post("/api/ask", json=asked).json()["run"]

        assert one.get(f"/api/ask/{run}").json()["state"] == "waiting"
        assert other.get(f"/api/ask/{run}").status_code == 404
        assert other.post("/api/ask", json=asked).status_code == 404
        assert one.get("/api/ask/..%2F..%2Fused").status_code == 404
        assert one.post("/api/ask", json={**asked, "endpoint": "http://127.0.0.1:1/v1"}).status_code == 422
