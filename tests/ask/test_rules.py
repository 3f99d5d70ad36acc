from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from epistem.ask.rules import RulesJudge, criteria
from epistem.core.errors import SettingsError

WRITTEN = [json.loads(line) for line in (Path(__file__).parent / "written_pairs.jsonl").read_text().splitlines()]
JUDGE = RulesJudge()
QUESTION = "How large are the pores?"
BENCHMARK = "The pores are round and 5 µm wide. There are 12 pores."


def quality(candidate: str, **more: object) -> float:
    score = JUDGE.grade(QUESTION, BENCHMARK, candidate, "quality", **more).score  # type: ignore[arg-type]
    assert score is not None
    return score


def test_a_right_answer_in_other_words_gets_more_than_a_wrong_one_for_each_of_forty_pairs() -> None:
    scores = np.array([
        [JUDGE.grade(one["question"], one["answer"], one[kind], "quality").score for kind in ("right", "wrong")]
        for one in WRITTEN
    ], float)  # fmt: skip
    assert (scores[:, 0] > scores[:, 1]).all()
    assert np.median(scores[:, 0]) > 80
    assert np.median(scores[:, 1]) < 10


def test_features_are_found_in_a_right_answer_and_not_in_a_wrong_one() -> None:
    scores = np.array([
        [JUDGE.grade(one["question"], one["answer"], one[kind], "features").score for kind in ("right", "wrong")]
        for one in WRITTEN
    ], float)  # fmt: skip
    assert (scores[:, 0] > scores[:, 1]).all()
    assert ((scores >= 1) & (scores <= 4)).all()


def test_the_benchmark_itself_gets_everything() -> None:
    assert quality(BENCHMARK) == 100
    assert JUDGE.grade(QUESTION, BENCHMARK, BENCHMARK, "features").score == 4


@pytest.mark.parametrize(
    "text", ["12", "Yes.", "5 µm", "Glass.", "No cracks, but pores.", "It cannot be determined."]
)
def test_the_shortest_benchmark_gets_everything_too(text: str) -> None:
    assert JUDGE.grade("How?", text, text, "quality").score == 100
    assert JUDGE.grade("How?", "It is.", text, "quality").score is None


def test_another_unit_is_an_error_and_the_same_length_in_another_unit_is_none() -> None:
    assert quality("The pores are round and 5000 nm wide. There are 12 pores.") == 100
    assert quality("The pores are round and 5 nm wide. There are 12 pores.") < 70


def test_a_wrong_count_costs_more_than_a_missing_one() -> None:
    missing = quality("The pores are round and 5 µm wide.")
    assert quality("The pores are round and 5 µm wide. There are 90 pores.") < missing < 100


def test_denying_everything_is_worse_than_saying_half() -> None:
    assert quality("There are no pores.") < quality("The pores are round and 5 µm wide.")


def test_empty_and_unrelated_answers_get_nothing() -> None:
    assert quality("") == 0
    assert quality("Bananas ripen in a bowl on the kitchen table.") == 0


def test_length_is_not_rewarded() -> None:
    half = "The pores are round."
    assert quality(f"Many thanks for asking me about that. {half} Have a wonderful day.") == pytest.approx(
        quality(half), abs=3
    )


def test_to_abstain_is_right_only_where_the_benchmark_does() -> None:
    unsure = "The image cannot tell: more information is needed."
    assert quality(unsure) == 0
    assert JUDGE.grade(QUESTION, "It cannot be determined from the image.", unsure, "quality").score == 100
    assert JUDGE.grade(QUESTION, "It cannot be determined from the image.", BENCHMARK, "quality").score == 0


def test_context_that_the_benchmark_uses_is_missed_where_an_answer_does_not() -> None:
    benchmark = "The annealed alumina has round grains of equal size."
    parts = [
        criteria("Describe the grains.", benchmark, text, ["annealed alumina"])["contextual"]
        for text in (benchmark, "Round grains of equal size.")
    ]
    assert parts[1] < parts[0] == 1


def test_without_a_benchmark_nothing_is_scored() -> None:
    grade = JUDGE.grade(QUESTION, " ", "Round pores.", "quality")
    assert grade.score is None
    assert "no benchmark" in grade.why


@pytest.mark.parametrize(
    ("benchmark", "candidate", "verdict"),
    [
        ("Cracks are visible.", "Fissures run through it.", "1"),
        ("Cracks are visible.", "There are no cracks.", "0"),
        ("No cracks are visible.", "It is free of cracks.", "1"),
        ("No cracks are visible.", "Cracks are visible.", "0"),
        ("Cracks are visible.", "More information is needed.", "0"),
        ("Cracks are visible.", "The grains are round.", "0"),
        ("Cracks are visible.", "This may be a crack.", "queue"),
        ("The grains are round.", "There are no cracks.", "NA"),
    ],
)
def test_a_verdict_on_defects(benchmark: str, candidate: str, verdict: str) -> None:
    grade = JUDGE.grade("Are cracks visible?", benchmark, candidate, "defect")
    assert grade.verdict == verdict
    assert grade.score == {"1": 1.0, "0": 0.0}.get(verdict)


def test_a_question_that_states_the_absence_is_not_applicable() -> None:
    assert JUDGE.grade("Why are there no cracks?", "Cracks healed.", "No cracks.", "defect").verdict == "NA"


def test_a_grade_by_rules_says_so_and_another_assessment_is_refused() -> None:
    assert JUDGE.grade(QUESTION, BENCHMARK, BENCHMARK, "quality").judge.startswith("rules")
    with pytest.raises(SettingsError, match="quality, features, defect"):
        JUDGE.grade(QUESTION, BENCHMARK, BENCHMARK, "beauty")  # type: ignore[arg-type]
