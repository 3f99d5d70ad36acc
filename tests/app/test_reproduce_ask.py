from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from epistem.app.ask_numbers import judged_by
from epistem.app.reproduce_ask import PRINTED, reproduce_ask
from epistem.ask.records import CATEGORIES, Answered, Figure, Grade, Pair, Paper, write_records
from epistem.core import RecordError, SettingsError

WORTH = {"real": 60.0, "shuffled": 50.0, "blank": 40.0, "caption-only": 58.0, "untrained-projector": 30.0}


def embed(texts):  # type: ignore[no-untyped-def]
    return np.array([[len(text) % 5, len(text) % 3, 1] for text in texts], np.float32)


def pairs() -> list[Pair]:
    found = []
    for i in range(8):
        maker, paper = ("scene", f"scene:{i}") if i < 4 else ("extractive", f"10.1/{i}")
        for category in ("general", "defect_fracture", "processing_environment"):
            name = f"{i}-{category}"
            kind = "complex" if category == "processing_environment" else "simple"
            held = {"figure": str(i), "paper": paper, "question": "What is it?", "answer": "A foam.", "maker": maker}
            found.append(Pair(id=name, category=category, subcategory=kind, **held))  # type: ignore[arg-type]
            if kind == "simple":
                more = {"level": "high", "base": name, "attributes": (("appearance", "grey"), ("other", "old"))}
                found.append(Pair(id=f"{name}-high", category=category, **held, **more))  # type: ignore[arg-type]
    found.append(Pair(id="open", figure="0", paper="scene:0", question="Why?", answer="It cannot be told.",
                      category="general", answerable=False, maker="scene"))  # fmt: skip
    return found


def answers(of: list[Pair]) -> list[Answered]:
    held = []
    for pair in of:
        for condition in WORTH:
            model = "assistant:x, untrained projector" if condition == "untrained-projector" else "assistant:x"
            held.append(Answered(id=f"{pair.id}/{condition}", pair=pair.id, model=model, question=pair.question,
                                 text="Foam.", condition=condition, abstained=pair.id == "open"))  # fmt: skip
        held.append(Answered(id=f"{pair.id}/r", pair=pair.id, model="retrieval", question=pair.question, text="Rod."))
    return held


def grades(said: list[Answered], judge: str) -> list[Grade]:
    held = []
    for i, one in enumerate(said):
        worth = 55.0 if one.model == "retrieval" else WORTH[one.condition]
        more = 20 * ("-high" in str(one.pair))
        base = {"answered": one.id, "pair": one.pair, "judge": judge}
        held.append(Grade(**base, assessment="quality", score=worth + more + i % 3))  # type: ignore[arg-type]
        held.append(Grade(**base, assessment="features", score=2.0))  # type: ignore[arg-type]
        if "defect" in str(one.pair):
            verdict = "queue" if one.pair == "0-defect_fracture" else "1"
            score = None if verdict == "queue" else 1.0
            held.append(Grade(**base, assessment="defect", score=score, verdict=verdict,  # type: ignore[arg-type]
                              parts={"benchmark": 1.0}))  # fmt: skip
    return held


def stored(folder: Path) -> Path:
    of = pairs()
    said = answers(of)
    write_records(folder / "pairs.jsonl", of)
    write_records(folder / "answered.jsonl", said)
    write_records(folder / "grades.jsonl", grades(said, "rules-1"))
    write_records(folder / "figures.jsonl", [
        Figure(id=str(i), paper=Paper(id=f"scene:{i}" if i < 4 else f"10.1/{i}"), figure="1",
               caption="pore " * (i + 1), split="train" if i % 2 else "test")
        for i in range(8)
    ])  # fmt: skip
    (folder / "log.json").write_text(json.dumps([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.0}]))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return stored(tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all there is, made once."""
    folder = stored(tmp_path_factory.mktemp("store"))
    return reproduce_ask(folder, folder / "out", embed=embed)


def numbers(page: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((page.parent / "numbers.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_printed_numbers_stand_beside_ours_and_are_told_apart(page: Path) -> None:
    html = page.read_text("utf-8")
    report = json.loads((page.parent / "report.json").read_text("utf-8"))
    table = report["sections"][1]["blocks"][0]
    assert [row[2] for row in table["rows"]] == ["67", "77", "81", "68.84", "92.56", "2.35", "3.58", "75", "95"]
    assert len(table["rows"]) == len(PRINTED)
    assert "printed (GPT-4 and people)" in html
    assert "ours, by rules-1" in html
    beside = {one["what"]: one for one in numbers(page)["judges"]["rules-1"]["beside"]}
    assert beside["Quality, simple questions"]["value"] == pytest.approx(61, abs=1)
    assert beside["Quality, General, high context"]["value"] == pytest.approx(81, abs=1)
    assert beside["Quality, simple questions"]["n"] == 17
    assert beside["Features, Morphology, no context"]["value"] is None
    assert beside["Defects found or denied rightly, no context"]["value"] == 100
    assert beside["Defects found or denied rightly, no context"]["n"] == 7
    assert {one.category for one in PRINTED} <= {*CATEGORIES, "all"}


def test_rules_are_said_to_be_rules_wherever_a_picture_shows_their_grades(page: Path) -> None:
    report = json.loads((page.parent / "report.json").read_text("utf-8"))
    blocks = [block for section in report["sections"] for block in section["blocks"]]
    assert any(block["kind"] == "notice" and "no language model's score" in block["text"] for block in blocks)
    pictures = [block for block in blocks if block["kind"] == "figure"]
    graded = [one for one in pictures if "Judged" in one["caption"]]
    assert len(graded) == 7
    assert all("Judged by rules that" in one["caption"] and "not by a language" in one["caption"] for one in graded)
    assert len(list((page.parent / "figures").glob("*.svg"))) == len(pictures) == 10
    assert judged_by("model:endpoint:gpt") == "by a language model (endpoint:gpt)"


def test_every_control_is_asked_the_same_questions_scenes_and_real_apart(page: Path) -> None:
    found = numbers(page)["judges"]["rules-1"]
    gains = {one["against"]: one for one in found["gains"]}
    assert list(gains) == ["shuffled", "blank", "caption-only", "untrained-projector", "retrieval"]
    assert gains["shuffled"]["value"] == pytest.approx(10, abs=1)
    assert gains["retrieval"]["value"] == pytest.approx(5, abs=2)
    assert gains["shuffled"]["low"] > 0
    assert {one["images"] for one in found["gains_by_images"]} == {"simulated scenes", "real sources"}
    parts = [one["n"] for one in found["gains_by_images"] if one["against"] == "shuffled"]
    assert sum(parts) == gains["shuffled"]["n"]


def test_each_judge_has_a_section_and_people_and_models_come_before_rules(store: Path) -> None:
    said = answers(pairs())
    both = [*grades(said, "rules-1"), *grades(said, "model:endpoint:m")]
    write_records(store / "grades.jsonl", both)
    (store / "figures.jsonl").unlink()
    report = json.loads((reproduce_ask(store, store / "out").parent / "report.json").read_text("utf-8"))
    titles = [section["title"] for section in report["sections"]]
    assert titles[2:4] == ["Judge 1: model:endpoint:m", "Judge 2: rules-1"]
    assert "no language model's score" not in json.dumps(report)


def test_unanswerable_questions_and_a_person_s_queue_are_counted(page: Path) -> None:
    report = json.loads((page.parent / "report.json").read_text("utf-8"))
    facts = {one["label"]: one["value"] for block in report["sections"][0]["blocks"] if block["kind"] == "facts"
             for one in block["facts"]}  # fmt: skip
    assert facts["unanswerable questions that were declined, of 1"] == 100
    assert facts["answerable questions that were declined, of 40"] == 0
    assert facts["for a person to decide"] == 1
    assert "Answered by assistant:x, its words alone." in json.dumps(report)


def test_without_figures_log_and_controls_the_page_says_what_is_not_known(store: Path, tmp_path: Path) -> None:
    for name in ("figures.jsonl", "log.json"):
        (store / name).unlink()
    said = [one for one in answers(pairs()) if one.condition == "real" and one.model != "retrieval"]
    write_records(store / "answered.jsonl", said)
    write_records(store / "grades.jsonl", grades(said, "rules-1"))
    html = reproduce_ask(store, tmp_path / "out").read_text("utf-8")
    assert "no answers to shuffled images are graded" in html


def test_a_folder_without_records_or_grades_and_a_model_that_is_not_there_are_refused(store: Path) -> None:
    with pytest.raises(SettingsError, match="no graded answer is by 'other'"):
        reproduce_ask(store, store / "out", model="other", embed=embed)
    write_records(store / "grades.jsonl", [])
    with pytest.raises(RecordError, match="grade them first"):
        reproduce_ask(store, store / "out", embed=embed)
    (store / "grades.jsonl").unlink()
    with pytest.raises(SettingsError, match=r"grades\.jsonl: wanted what `epistem ask evaluate` writes"):
        reproduce_ask(store, store / "out", embed=embed)
