"""`epistem ask compare`: two folders of answers before a judge, in both orders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from epistem.app.ask_compare import compare_results, kept_comparisons
from epistem.ask.chat import ChatError, Scripted
from epistem.ask.prefer import Preference, couples
from epistem.ask.records import Answered, Pair, read_records, write_records
from epistem.ask.rubrics import ModelJudge
from epistem.core import SettingsError
from tests.app.asking import invoke, refused, serving, told

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PAIRS = [
    Pair(id=f"p{i}", figure="f", paper=str(i % 3), question=f"Question {i}?", answer="Good.", category="general")
    for i in range(6)
]


def results(folder: Path, text: str, *, model: str = "m", pairs: list[Pair] = PAIRS) -> Path:
    """A folder as `epistem ask evaluate` leaves it, with a control and another mode beside."""
    held = [
        {"id": f"{model}-{one.id}-{text}", "pair": one.id, "model": model, "question": "?", "text": text}
        for one in pairs
    ]
    more = [{**one, "id": f"{one['id']}-2", "condition": "blank"} for one in held]
    more += [{**one, "id": f"{one['id']}-3", "mode": "words", "text": "other"} for one in held]
    own = [{**one, "mode": "whole"} for one in held]
    write_records(folder / "answered.jsonl", [Answered.model_validate(one) for one in (*own, *more)])
    write_records(folder / "pairs.jsonl", pairs)
    (folder / "evaluation.json").write_text(json.dumps({"model": model, "mode": "whole"}))
    return folder


def by_content(asked: dict[str, Any]) -> str:
    """Prefers what is good, wherever it stands."""
    text = str(asked["messages"][-1]["content"])
    first = text.index("first answer")
    return json.dumps({"reason": "so", "better": "first" if "good" in text[first : first + 60] else "second"})


def by_place(asked: dict[str, Any]) -> str:
    return json.dumps({"reason": "so", "better": "first"})


def run(first: Path, second: Path, url: str) -> dict[str, Any]:
    found: dict[str, Any] = told("ask", "compare", first, second, "--judge-endpoint", url, "--judge-model", "j")
    return found


def test_a_judge_that_goes_by_content_prefers_a_side_and_never_flips(tmp_path):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", model="n")
    with serving(by_content) as (url, asked):
        found = run(one, other, url)
    assert len(asked) == 12
    assert (found["first_wins"], found["second_wins"], found["ties"], found["unscored"]) == (6, 0, 0, 0)
    assert (found["flip_rate"]["value"], found["first_position"]["value"]) == (0, 0.5)
    assert found["preferred"]["value"] == 1
    assert (found["first"]["model"], found["second"]["mode"]) == ("m", "whole")


def test_a_judge_that_goes_by_the_place_always_flips_and_prefers_nobody(tmp_path):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", model="n")
    with serving(by_place) as (url, _):
        found = run(one, other, url)
        said = invoke("ask", "compare", one, other, "--judge-endpoint", url, "--judge-model", "j").stdout
    assert (found["ties"], found["flip_rate"]["value"], found["first_position"]["value"]) == (6, 1, 1)
    assert found["flip_rate"]["low"] > 0.6
    assert "neither in 6" in said
    assert "Another verdict in the other order: 100 % (" in said
    assert "Neither is preferred" in said


def test_a_run_that_was_stopped_asks_only_what_is_left_and_the_unscored_again(tmp_path):
    asked = couples(PAIRS, *(side(tmp_path / name, name) for name in ("good", "bad")))
    replies = iter([json.dumps({"better": "first"})] * 5 + ["garbage"] * 2)

    def stops(_: object) -> str:
        try:
            return next(replies)
        except StopIteration:
            raise KeyboardInterrupt from None

    path = tmp_path / "preferences.jsonl"
    with pytest.raises(typer.Exit) as stopped:
        kept_comparisons(asked, ModelJudge(Scripted(stops)), path, quiet=True)
    assert stopped.value.exit_code == 130
    assert [one.said for one in read_records(path, Preference)] == ["first"] * 5 + [None]
    later = Scripted(lambda _: json.dumps({"better": "second"}))
    found = kept_comparisons(asked, ModelJudge(later), path, quiet=True)
    assert len(later.seen) == 7
    assert [one.said for one in found] == ["first"] * 5 + ["second"] * 7
    assert len(read_records(path, Preference)) == 6 + 7
    kept_comparisons(asked, ModelJudge(later), path, quiet=True)
    assert len(later.seen) == 7
    assert len(read_records(path, Preference)) == 6 + 7


def side(folder: Path, text: str) -> list[Answered]:
    results(folder, text)
    found = read_records(folder / "answered.jsonl", Answered)
    return [one for one in found if one.mode == "whole" and one.condition == "real"]


def test_the_same_words_are_not_asked_about(tmp_path):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", model="n")
    said = read_records(other / "answered.jsonl", Answered)
    write_records(other / "answered.jsonl", [
        answer.model_copy(update={"text": "good"}) if answer.pair == "p0" else answer for answer in said
    ])  # fmt: skip
    with serving(by_content) as (url, asked):
        found = run(one, other, url)
        assert len(asked) == 10
        assert (found["answered_by_both"], found["same_words"], found["n"]) == (6, 1, 5)
        assert "there is nothing to compare" in refused(
            "ask", "compare", one, one, "--judge-endpoint", url, "--judge-model", "j"
        )


def test_garbage_is_unscored_and_counted_and_gives_no_rates(tmp_path):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", model="n")
    with serving(lambda asked: "garbage") as (url, _):
        found = run(one, other, url)
        said = invoke("ask", "compare", one, other, "--judge-endpoint", url, "--judge-model", "j").stdout
    assert (found["n"], found["unscored"], found["flip_rate"], found["first_position"]) == (0, 6, None, None)
    assert "6 couples without a verdict in both orders" in said


def test_a_judge_that_is_not_there_is_given_up(tmp_path, monkeypatch):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", model="n")
    with serving(lambda asked: None) as (url, asked), pytest.raises(ChatError, match="refused"):
        compare_results(one, other, judge_endpoint=url, judge_model="j", key_from="NO_KEY", as_json=True)
    assert len(asked) == 5


def test_answers_to_another_set_and_folders_without_an_evaluation_are_refused(tmp_path):
    one, other = results(tmp_path / "a", "good"), results(tmp_path / "b", "bad", pairs=PAIRS[:4])
    words = ("--judge-endpoint", "http://127.0.0.1:9/v1", "--judge-model", "j")
    assert "6 questions and" in refused("ask", "compare", one, other, *words)
    (other / "evaluation.json").unlink()
    result = invoke("ask", "compare", one, other, *words)
    assert isinstance(result.exception, SettingsError)
    assert "wanted a folder of `epistem ask evaluate`" in str(result.exception)
