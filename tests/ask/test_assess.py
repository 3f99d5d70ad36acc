from __future__ import annotations

import numpy as np
import pytest

from epistem.ask.assess import (
    by_types,
    context_gains,
    defect_table,
    grade_all,
    leak_table,
    level_table,
    quality_table,
    queue,
    scored_rows,
    type_counts,
)
from epistem.ask.judge import make_judge
from epistem.ask.records import Answered, Grade, Pair, read_records, write_records
from epistem.core.errors import RecordError

LEVEL_TYPES = {"none": (), "basic": ("appearance",), "moderate": ("appearance", "properties")}


def pair(name: str, **more: object) -> Pair:
    held = {"id": name, "figure": name, "paper": name, "question": "What is it?", "answer": "A foam of glass.",
            "category": "general", **more}  # fmt: skip
    return Pair.model_validate(held)


def said(of: Pair, text: str = "A foam of glass.") -> Answered:
    return Answered(id=f"answer-{of.id}", pair=of.id, model="m", question=of.question, text=text)


def grade(of: Pair, score: float | None, **more: object) -> Grade:
    held = {"answered": f"answer-{of.id}", "pair": of.id, "judge": "rules-1", "assessment": "quality", "score": score,
            **more}  # fmt: skip
    return Grade.model_validate(held)


def table_of(pairs: list[Pair], grades: list[Grade]):  # type: ignore[no-untyped-def]
    return scored_rows(pairs, [said(one) for one in pairs], grades)


def test_stored_answers_are_graded_without_asking_the_model_and_come_back_from_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pairs = [pair("a"), pair("b", answer="A steel of ferrite.")]
    answers = [
        said(pairs[0]),
        said(pairs[1], "Ferrite steel."),
        Answered(id="x", pair=None, model="m", question="?", text=""),
    ]
    grades = list(grade_all(pairs, answers, make_judge("rules"), "quality"))
    assert [(one.answered, one.pair) for one in grades] == [("answer-a", "a"), ("answer-b", "b")]
    write_records(tmp_path / "grades.jsonl", grades)
    assert read_records(tmp_path / "grades.jsonl", Grade) == grades


def test_what_is_graded_is_kept_and_what_was_unscored_is_asked_again() -> None:
    class Counting:
        name = "rules-1"
        asked = 0

        def grade(self, question, benchmark, candidate, assessment, *, context=()):  # type: ignore[no-untyped-def]
            self.asked += 1
            return Grade(answered="", pair="", judge=self.name, assessment=assessment, score=1.0)

    pairs = [pair("a"), pair("b")]
    judge = Counting()
    before = [grade(pairs[0], 77.0), grade(pairs[1], None, why="down")]
    again = list(grade_all(pairs, [said(one) for one in pairs], judge, "quality", done=before))
    assert [one.score for one in again] == [77.0, 1.0]
    assert judge.asked == 1
    assert len(list(grade_all(pairs, [said(pairs[0])], judge, "quality", repeats=3))) == 3


def test_only_questions_on_defects_are_graded_for_defects_and_strangers_are_refused() -> None:
    pairs = [pair("a"), pair("d", category="defect_fracture", question="Are cracks visible?", answer="No cracks.")]
    answers = [said(one) for one in pairs]
    assert [one.pair for one in grade_all(pairs, answers, make_judge("rules"), "defect")] == ["d"]
    with pytest.raises(RecordError, match="not among the 1 pairs"):
        list(grade_all(pairs[:1], answers, make_judge("rules"), "quality"))


def test_repetitions_are_averaged_and_their_spread_is_kept() -> None:
    pairs = [pair("a")]
    rows = table_of(pairs, [grade(pairs[0], score, repeat=i) for i, score in enumerate([70.0, 80.0, None])])
    assert rows.loc[0, "score"] == 75
    assert rows.loc[0, "sd"] == pytest.approx(np.sqrt(50))
    assert (rows.loc[0, "repeats"], rows.loc[0, "unscored"]) == (3, 1)


def test_unscored_answers_are_counted_and_are_no_zero() -> None:
    pairs = [pair("a"), pair("b"), pair("c")]
    found = quality_table(table_of(pairs, [grade(pairs[0], 80.0), grade(pairs[1], 60.0), grade(pairs[2], None)]))
    assert found["category"].tolist() == ["general", "all"]
    assert found.loc[0, ["n", "unscored", "mean"]].tolist() == [2, 1, 70]
    assert found.loc[0, "low"] <= 70 <= found.loc[0, "high"]


def test_scores_that_are_all_the_same_have_no_interval() -> None:
    pairs = [pair("a"), pair("b"), pair("c")]
    found = quality_table(table_of(pairs, [grade(one, 100.0) for one in pairs]))
    assert found.loc[0, "mean"] == 100
    assert np.isnan(found.loc[0, "low"])


def test_nothing_scored_has_no_mean() -> None:
    pairs = [pair("a")]
    found = quality_table(table_of(pairs, [grade(pairs[0], None)]))
    assert np.isnan(found.loc[0, "mean"])
    assert np.isnan(found.loc[0, "low"])
    assert quality_table(table_of([], [])).loc[0, "n"] == 0


def with_context() -> tuple[list[Pair], list[Grade]]:
    pairs, grades = [], []
    for name in "abcdef":
        for i, (level, types) in enumerate(LEVEL_TYPES.items()):
            one = pair(
                f"{name}-{level}", paper=name, level=level, base=None if level == "none" else f"{name}-none",
                attributes=[(kind, "x") for kind in types],
            )  # fmt: skip
            pairs.append(one)
            grades.append(grade(one, 50.0 + 10 * i + ord(name) % 3))
    return pairs, grades


def test_scores_rise_with_context_by_what_was_put_in() -> None:
    rows = table_of(*with_context())
    found = level_table(rows, "quality")
    general = found[found["category"] == "general"].set_index("level")["mean"]
    assert general.tolist() == [51, 61, 71]
    gains = context_gains(rows)
    assert [one.name for one in gains] == ["basic − none", "moderate − none"]
    assert [one.n for one in gains] == [6, 6]
    assert gains[1].difference is not None
    assert gains[1].difference.value == pytest.approx(20)
    assert gains[1].difference.low > 0


def test_complex_questions_are_not_in_the_context_assessment() -> None:
    pairs, grades = with_context()
    complex_ones = [one.model_copy(update={"subcategory": "complex"}) for one in pairs]
    assert level_table(table_of(complex_ones, grades), "quality").empty


def test_types_of_context_are_counted_by_level_and_scored_by_combination() -> None:
    pairs, grades = with_context()
    counts = type_counts(pairs)
    assert counts.loc["moderate", ["appearance", "properties", "other"]].tolist() == [6, 6, 0]
    assert counts.loc["none"].sum() == 0
    found = by_types(table_of(pairs, grades))
    assert found["types"].tolist() == ["appearance", "appearance + properties"]
    assert found["spread"].tolist() == [0, 0]


def test_a_question_that_holds_its_answer_leaks() -> None:
    open_one = pair("a", question="How wide are the cracks?", answer="They measure 2 µm.")
    leaky = pair("b", question="Are the cracks in the glass narrow?", answer="The cracks in the glass are narrow.")
    found = leak_table([open_one, leaky]).set_index("pair")
    assert found["leaks"].tolist() == [False, True]
    assert leak_table([]).empty


def defects(*verdicts: tuple[str, str | None]) -> tuple[list[Pair], list[Grade]]:
    pairs = [
        pair(f"{i}", paper=str(i % 3), category="defect_fracture", question="Are cracks visible?")
        for i in range(len(verdicts))
    ]
    grades = [
        grade(one, float(v) if v in ("0", "1") else None, assessment="defect", verdict=v,
              parts={"benchmark": 1.0 if state == "present" else 0.0, "candidate": None})
        for one, (state, v) in zip(pairs, verdicts, strict=True)
    ]  # fmt: skip
    return pairs, grades


def test_detection_is_told_with_sensitivity_specificity_and_what_guessing_would_reach() -> None:
    verdicts = [("present", "1")] * 6 + [("present", "0")] * 2 + [("absent", "1")] + [("absent", "0")]
    verdicts += [("present", "NA"), ("present", "queue"), ("present", None)]
    pairs, grades = defects(*verdicts)
    found = defect_table(table_of(pairs, grades)).set_index("level").loc["none"]
    assert found[["n", "not_applicable", "queued", "unscored"]].tolist() == [10, 1, 1, 1]
    assert found["accuracy"] == pytest.approx(0.7)
    assert (found["sensitivity"], found["specificity"]) == (0.75, 0.5)
    assert found["balanced_accuracy"] == pytest.approx(0.625)
    assert (found["prevalence"], found["majority"]) == (0.8, 0.8)


def test_without_a_negative_case_there_is_no_specificity() -> None:
    found = defect_table(table_of(*defects(("present", "1"), ("present", "0")))).set_index("level").loc["all"]
    assert np.isnan(found["specificity"])
    assert np.isnan(found["balanced_accuracy"])


def test_repeated_verdicts_that_tie_go_to_a_person() -> None:
    pairs, grades = defects(("present", "1"))
    rows = table_of(pairs, [*grades, grades[0].model_copy(update={"verdict": "0", "score": 0.0, "repeat": 1})])
    assert rows.loc[0, "verdict"] == "queue"
    assert np.isnan(rows.loc[0, "score"])


def test_hedged_answers_wait_for_a_person_with_everything_to_decide_by() -> None:
    pairs, grades = defects(("present", "queue"), ("present", "1"))
    waiting = queue(pairs, [said(one, "It may be a crack.") for one in pairs], grades)
    assert [one["pair"] for one in waiting] == ["0"]
    assert waiting[0]["candidate"] == "It may be a crack."


def test_tables_are_of_one_judge_and_rubric_and_their_grades_have_answers() -> None:
    pairs = [pair("a"), pair("b")]
    both = [grade(pairs[0], 80.0), grade(pairs[0], 60.0, judge="model:x")]
    with pytest.raises(RecordError, match="of one judge"):
        quality_table(table_of(pairs, both))
    with pytest.raises(RecordError, match="several versions"):
        table_of(pairs, [grade(pairs[0], 80.0, prompt="old"), grade(pairs[1], 80.0, prompt="new")])
    with pytest.raises(RecordError, match="not both given"):
        scored_rows(pairs, [], both)
