from __future__ import annotations

import pytest

from epistem.ask.chat import Scripted
from epistem.ask.judge import ASSESSMENTS, JUDGES, Judge, claim, make_judge
from epistem.ask.records import Answered, Statement
from epistem.core.errors import SettingsError, UnknownName


@pytest.mark.parametrize("name", list(JUDGES))
def test_every_judge_leaves_what_it_cannot_read_unscored_and_never_gives_it_zero(name: str) -> None:
    judge = make_judge(name, None if name == "rules" else Scripted(lambda _: "garbage"))
    assert isinstance(judge, Judge)
    for assessment in ASSESSMENTS:
        grade = judge.grade("Are cracks visible?", "", "Cracks.", assessment)
        assert grade.score is None
        assert grade.why
        assert grade.judge == judge.name


def test_only_the_rules_call_themselves_so() -> None:
    assert make_judge("rules").name.startswith("rules")
    assert not make_judge("model", Scripted([])).name.startswith("rules")


def test_a_judge_gets_a_chat_model_if_and_only_if_it_asks_one() -> None:
    with pytest.raises(SettingsError, match="needs a chat model"):
        make_judge("model")
    with pytest.raises(SettingsError, match="asks no chat model"):
        make_judge("rules", Scripted([]))
    with pytest.raises(UnknownName, match="no judge is called"):
        make_judge("rule")


WHY = "Less typical than 98.9 % of the reference images."


@pytest.mark.parametrize(
    ("said", "claimed"),
    [
        ("There are 3 pores in the field (measured by dark, otsu (3 px); expected F1 0.61, 90 % interval 0.0–1.0).",
         "There are 3 pores in the field."),
        ("The pores cover 1.85 (90 % interval 0.785–3.14) % of the field.", "The pores cover 1.85 % of the field."),
        ("The voltage is 5 kV (as the file or its data strip says).", "The voltage is 5 kV."),
        (f"Refuse: {WHY} Found, but not backed: there are 8 pores (measured by x).", "there are 8 pores."),
        (f"There are 8 pores (measured by x). Review: {WHY}", "There are 8 pores."),
        ("The pores (dark) are round.", "The pores (dark) are round."),
    ],
)  # fmt: skip
def test_what_is_graded_is_the_claim_without_how_it_was_had(said: str, claimed: str) -> None:
    held = {"id": "a", "pair": "p", "model": "m", "question": "?", "text": said}
    one = Statement(text=said, source="measured", reasons=(WHY,))
    assert claim(Answered(**held, statements=(one,), mode="whole")) == claimed
    assert claim(Answered(**held)) == said
