from __future__ import annotations

import pytest

from epistem.ask.chat import Scripted
from epistem.ask.judge import ASSESSMENTS, JUDGES, Judge, make_judge
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
