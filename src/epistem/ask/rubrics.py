"""Grades by a chat model: rubrics, the records it has to answer with, and what is checked of them.

The rubric is a file in `prompts/`; its hash goes with every grade. The judge sees question, benchmark and candidate
between marks that no text of theirs holds, and never which model or condition they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from epistem.ask.chat import ChatError, ask_json, name_of
from epistem.ask.judge import ASSESSMENTS, STATUS, Assessment, feature_score
from epistem.ask.records import Grade, identity
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel

APART_QUALITY, APART_FEATURES = 15.0, 0.5
"""How far a model's overall score may lie from what its own parts give before it is flagged."""
FLAG = "flagged: "

Percent = Annotated[float, Field(ge=0, le=100, strict=False)]
Status = Literal["identified", "similar", "deducible", "missed", "contradicted"]
Choice = Literal["first", "second", "tie"]


class _Answer(BaseModel):
    # Models add remarks; what is asked for has to be there.
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Criterion(_Answer):
    """One criterion of quality, 0 to 100, higher is better."""

    why: str = ""
    score: Percent


class QualityAnswer(_Answer):
    """S2: overall quality."""

    benchmark_reflection: str
    coverage: Criterion
    accuracy: Criterion
    relevance: Criterion
    fluency: Criterion
    contextual_understanding: Criterion
    overall: Percent


class Feature(_Answer):
    """A feature of the benchmark."""

    id: str
    text: str
    kind: str = ""


class Match(_Answer):
    """What the candidate makes of a feature."""

    id: str
    status: Status
    quote: str = ""


class FeaturesAnswer(_Answer):
    """S5: feature identification."""

    benchmark_features: list[Feature]
    matches: list[Match]
    score: float = Field(ge=1, le=4)


class DefectAnswer(_Answer):
    """S6: defects and anomalies."""

    benchmark_state: Literal["present", "absent", "irrelevant"]
    candidate_state: Literal["present", "absent", "needs_more_info", "unclear"]
    rationale: str = ""
    verdict: Literal[0, 1, "0", "1", "NA"]


class PairwiseAnswer(_Answer):
    """Which of two answers is better."""

    reason: str = ""
    better: Choice


class ModelJudge:
    """A chat model with the rubrics of `prompts/`; its grades are named after it.

    Args:
        chat: local, or behind an endpoint.
    """

    def __init__(self, chat: ChatModel) -> None:
        self.chat = chat
        # The prefix keeps any model's grades apart from those by rules, whatever the model is called.
        self.name = f"model:{name_of(chat)}"

    def grade(
        self, question: str, benchmark: str, candidate: str, assessment: Assessment, *, context: Sequence[str] = ()
    ) -> Grade:
        """The grade of one answer; unscored where the model cannot be asked or twice gives no usable JSON.

        Args:
            question, benchmark, candidate: texts.
            assessment: "quality" 0–100, "features" 1–4, "defect" 1/0/NA or for a person's queue.
            context: attributes that were added to the question.

        Raises:
            SettingsError: another assessment.
        """
        if assessment not in ASSESSMENTS:
            raise SettingsError(f"an answer is graded for {', '.join(ASSESSMENTS)}, not {assessment!r}")
        blocks = {"question": question, "context": "; ".join(context), "benchmark answer": benchmark,
                  "candidate answer": candidate}  # fmt: skip
        kind: dict[Assessment, type[BaseModel]] = {
            "quality": QualityAnswer, "features": FeaturesAnswer, "defect": DefectAnswer,
        }  # fmt: skip
        found, why = self._ask(assessment, blocks, kind[assessment])
        held: dict[str, Any] = {"score": None, "why": why}
        if isinstance(found, QualityAnswer):
            held = _quality(found)
        elif isinstance(found, FeaturesAnswer):
            held = _features(found)
        elif isinstance(found, DefectAnswer):
            held = _defect(found)
        return Grade(
            answered="", pair="", judge=self.name, assessment=assessment, prompt=prompt_hash(assessment), **held
        )

    def better(self, question: str, benchmark: str, first: str, second: str) -> tuple[Choice | None, str]:
        """Which of two answers is better, in the order given, with the reason; None where it cannot be said."""
        blocks = {"question": question, "benchmark answer": benchmark, "first answer": first, "second answer": second}
        found, why = self._ask("pairwise", blocks, PairwiseAnswer)
        return (found.better, found.reason) if isinstance(found, PairwiseAnswer) else (None, why)

    def _ask(self, rubric: str, blocks: dict[str, str], kind: type[BaseModel]) -> tuple[BaseModel | None, str]:
        messages: list[dict[str, object]] = [
            {"role": "system", "content": prompt(rubric)},
            {"role": "user", "content": marked(blocks)},
        ]
        try:
            return ask_json(self.chat, messages, kind)
        except ChatError as error:
            return None, f"not asked: {error}"


@cache
def prompt(name: str) -> str:
    """The rubric of that name: "quality", "features", "defect" or "pairwise"."""
    return files("epistem.ask").joinpath("prompts", f"{name}.md").read_text("utf-8")


def prompt_hash(name: str) -> str:
    """What is stored with a grade to tell which rubric it was given by."""
    return identity(prompt(name))


def marked(blocks: dict[str, str]) -> str:
    """Texts between marks that none of them holds; empty ones are left out.

    >>> print(marked({"question": "Why?", "context": ""}).replace(identity("Why?", ""), "MARK"))
    <<<question MARK>>>
    Why?
    <<<end of question MARK>>>
    """
    # A text cannot hold the hash of itself.
    mark = identity(*blocks.values())
    parts = [f"<<<{name} {mark}>>>\n{text}\n<<<end of {name} {mark}>>>" for name, text in blocks.items() if text]
    return "\n\n".join(parts)


def _quality(said: QualityAnswer) -> dict[str, Any]:
    parts = {
        "coverage": said.coverage.score, "accuracy": said.accuracy.score, "relevance": said.relevance.score,
        "fluency": said.fluency.score, "contextual": said.contextual_understanding.score,
    }  # fmt: skip
    mean = float(np.mean(list(parts.values())))
    why = said.benchmark_reflection
    if abs(said.overall - mean) > APART_QUALITY:
        why = f"{FLAG}overall {said.overall:g}, mean of the criteria {mean:.1f}. {why}"
    return {"score": said.overall, "parts": parts, "why": why}


def _features(said: FeaturesAnswer) -> dict[str, Any]:
    status = {one.id: one.status for one in said.matches}
    ids = [one.id for one in said.benchmark_features]
    if not ids:
        return {"score": None, "why": "the judge found no feature in the benchmark"}
    if len(status) != len(said.matches) or set(status) != set(ids) or len(set(ids)) != len(ids):
        return {"score": None, "why": "the judge's matches are not one for each of its features"}
    parts = {one.text: STATUS[status[one.id]] for one in said.benchmark_features}
    check = feature_score([STATUS[status[one]] for one in ids])
    apart = abs(said.score - check) > APART_FEATURES
    why = (
        f"{FLAG}score {said.score:g}, from its own matches {check:.2f}" if apart else f"from its matches {check:.2f}"
    )
    return {"score": said.score, "parts": parts, "why": why}


def _defect(said: DefectAnswer) -> dict[str, Any]:
    """The verdict follows from the states; where the model's own differs, it is flagged and a person looks."""
    known = {"present": 1.0, "absent": 0.0}
    parts = {"benchmark": known.get(said.benchmark_state), "candidate": known.get(said.candidate_state)}
    if said.benchmark_state == "irrelevant":
        verdict = "NA"
    elif said.candidate_state == "unclear":
        verdict = "queue"
    else:
        verdict = "1" if said.candidate_state == said.benchmark_state else "0"
    why = f"benchmark {said.benchmark_state}, candidate {said.candidate_state}. {said.rationale}"
    if verdict != "queue" and str(said.verdict) != verdict:
        verdict, why = "queue", f"{FLAG}verdict {said.verdict} does not follow from the states. {why}"
    score = float(verdict) if verdict in ("0", "1") else None
    return {"score": score, "verdict": verdict, "parts": parts, "why": why}
