"""What grades an answer against a benchmark: by rules, or by a chat model with a rubric."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

from epistem.ask.records import Answered, Grade
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel
from epistem.core.registry import Table

Assessment = Literal["quality", "features", "defect"]
ASSESSMENTS: tuple[Assessment, ...] = get_args(Assessment)

STATUS = {"identified": 1.0, "similar": 0.8, "deducible": 0.5, "missed": 0.0, "contradicted": -0.5}
"""What a feature of the benchmark counts, by what the candidate makes of it."""

JUDGES = Table("judge", {"rules": "epistem.ask.rules:RulesJudge", "model": "epistem.ask.rubrics:ModelJudge"})
"""`rules` needs nothing; `model` is made with a chat model, local or behind an endpoint."""


@runtime_checkable
class Judge(Protocol):
    """Grades one answer. Sees texts only, never which model or condition they come from.

    What cannot be graded has no score and says why. `answered`, `pair` and `repeat` of the grade are filled in by
    whoever knows them.
    """

    name: str

    def grade(
        self, question: str, benchmark: str, candidate: str, assessment: Assessment, *, context: Sequence[str] = ()
    ) -> Grade: ...


# Brackets that say by what, from where or how surely a number was had; they may hold brackets of one level.
_ASIDE = re.compile(r"\s*\((?:measured by|as the file|from|[\d.]+ % interval)\b(?:[^()]|\([^()]*\))*\)")
_TRUST = re.compile(r"Refuse:\s*Found, but not backed:\s*|\s*Review:\s*")


def claim(said: Answered) -> str:
    """What an answer claims: its text without how a number was had and how far it can be trusted.

    A benchmark answer holds none of that, and other numbers, as of an interval, would pass for wrong ones.
    """
    text = said.text
    for reason in (reason for one in said.statements for reason in one.reasons):
        text = text.replace(reason, "")
    return _ASIDE.sub("", _TRUST.sub("", text)).strip() if said.mode == "whole" else text


def feature_score(weights: Sequence[float]) -> float:
    """Score of feature identification, 1 to 4, higher is better, from what each feature counts.

    Source: 1 + 3·Σw/|F|, clipped: the published scale, made continuous.

    >>> feature_score([1.0, 0.5, 0.0])
    2.5
    """
    return 1 + 3 * min(max(sum(weights) / len(weights), 0.0), 1.0)


def make_judge(name: str, chat: ChatModel | None = None) -> Judge:
    """The judge of that name.

    Args:
        name: entry of JUDGES.
        chat: the model that a judge "model" asks.

    Raises:
        SettingsError: no such judge, or one that needs a chat model and got none.
    """
    kind = JUDGES[name]
    if name == "rules":
        if chat is not None:
            raise SettingsError("the rule-based judge asks no chat model; use the judge 'model'")
        judge: Judge = kind()
        return judge
    if chat is None:
        raise SettingsError("the judge 'model' needs a chat model: a local one, or an endpoint")
    asking: Judge = kind(chat)
    return asking
