"""What passes between papers, questions, answers and grades: one line of JSON each, checked when it is read.

::

    Paper ─► Figure (one panel of one figure) ─► Pair (question, answer, evidence) ─► Answered ─► Grade
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from epistem.core.errors import RecordError
from epistem.core.reliability import Interval, Verdict

Category = Literal[
    "general", "microstructure", "morphology", "phase_composition", "defect_fracture", "processing_environment",
    "prediction_interpretation",
]  # fmt: skip
CATEGORIES: tuple[Category, ...] = (
    "general", "microstructure", "morphology", "phase_composition", "defect_fracture", "processing_environment",
    "prediction_interpretation",
)  # fmt: skip
Subcategory = Literal["simple", "complex"]
Split = Literal["train", "validation", "test"]
ContextType = Literal["material_type", "appearance", "properties", "processing_conditions", "other"]
CONTEXT_TYPES: tuple[ContextType, ...] = (
    "material_type", "appearance", "properties", "processing_conditions", "other"
)  # fmt: skip
Level = Literal["none", "basic", "moderate", "high"]
LEVELS: tuple[Level, ...] = ("none", "basic", "moderate", "high")
Mode = Literal["whole", "words"]
Origin = Literal["measured", "read", "declined", "words"]
ORIGINS: tuple[Origin, ...] = ("measured", "read", "declined", "words")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Paper(_Record):
    """A paper, as far as it says who it is; None is unknown.

    Attributes:
        id: DOI where known, else the hash of the file: what splits are made by.
        file: name of the file it came from.
        keywords: of the paper itself.
    """

    id: str
    doi: str | None = None
    title: str | None = None
    year: int | None = None
    publisher: str | None = None
    licence: str | None = None
    file: str | None = None
    keywords: tuple[str, ...] = ()


class Figure(_Record):
    """One picture with what its paper says of it: a figure, or one panel of it.

    Attributes:
        id: hash of paper, figure and panel.
        figure: number as printed, "2" or "S1"; panel: its letter, or None.
        page: of the file, from 1; box: [left, top, right, bottom] on it in points, y downwards.
        image: file of the picture, relative to the records' folder; the data strip is cropped away.
        sha256: of the picture's bytes.
        caption: of the whole figure; caption_panel: the part on this panel.
        mentions: sentences or paragraphs that speak of it, verbatim.
        technique: "SEM", "TEM", "plot", "photo"…, or None where it cannot be told; technique_from says from what.
        strip: what the data strip says, as read: kV, working distance, magnification, detector…
        nm_per_px: from the strip's bar and number, or None.
        material, processing, properties: from metadata where it exists, never guessed.
        review: what a person decided; a reason goes with everything but acceptance.
    """

    id: str
    paper: Paper
    figure: str
    panel: str | None = None
    page: int | None = Field(None, ge=1)
    box: tuple[float, float, float, float] | None = None
    image: str | None = None
    sha256: str | None = None
    caption: str = ""
    caption_panel: str | None = None
    mentions: tuple[str, ...] = ()
    technique: str | None = None
    technique_from: str | None = None
    strip: dict[str, str] = Field(default_factory=dict)
    nm_per_px: float | None = Field(None, gt=0)
    material: str | None = None
    processing: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    review: Literal["waiting", "accepted", "fixed", "rejected"] = "waiting"
    review_reason: str | None = None
    split: Split | None = None

    @property
    def text(self) -> str:
        """All that the paper says of it: caption and mentions."""
        return "\n".join((self.caption_panel or self.caption, *self.mentions))


class Pair(_Record):
    """A question on a figure with the answer that its paper supports.

    Attributes:
        id: hash of figure, question and answer.
        figure, paper: ids.
        evidence: verbatim from the paper's text; empty only where `answerable` is False, or the truth is `exact`.
        visual: whether the picture itself shows the answer.
        answerable: False where the picture cannot tell and the right answer is to say so.
        exact: numbers the answer holds that are exact truth of a simulated scene, by name with unit ("count",
            "mean_diameter_nm"…).
        maker: what wrote it: "extractive", "endpoint:MODEL", "scene"…
        level, attributes: context that was added to the question, with its type.
        base: id of the pair whose question this one adds context to.
    """

    id: str
    figure: str
    paper: str
    question: str
    answer: str
    category: Category
    subcategory: Subcategory = "simple"
    evidence: tuple[str, ...] = ()
    visual: Literal["visible", "partly", "text_only"] = "visible"
    answerable: bool = True
    exact: dict[str, float] = Field(default_factory=dict)
    maker: str = ""
    level: Level = "none"
    attributes: tuple[tuple[ContextType, str], ...] = ()
    base: str | None = None
    split: Split | None = None


class Statement(_Record):
    """One sentence of an answer and where it comes from.

    Attributes:
        source: "measured" by epistem's own tools on this image, "read" from data strip or metadata, "language" of the
            model alone, which no measurement supports.
        value, unit: of what was measured or read; low, high: the ends of its interval, which holds the truth with
            probability `coverage`; None where it has none.
        expected: F1, precision and recall of what measured it, on this image, by name, where a forecast covers it.
        typicality: share of that forecast's reference images that are less typical than this one.
        verdict, reasons: what to do with the number, and why, as `epistem analyze` says it.
    """

    text: str
    source: Literal["measured", "read", "language"]
    value: float | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    expected: dict[str, Interval] = Field(default_factory=dict)
    typicality: float | None = None
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()


class Answered(_Record):
    """What a model said to a question.

    Attributes:
        id: hash of pair, model, condition and text.
        pair: id of the pair, or None for a question nobody has an answer to.
        model: name and identity of what answered.
        condition: what it was shown: "real", "shuffled", "blank", "caption-only", "untrained-projector"…
        abstained: it said that the image cannot tell.
        mode: "whole" as `epistem ask` answers, by measuring, reading and declining before any words; "words" is what
            answers in words alone.
        left_out: numbers of a language model that nothing measured; … stands for each in the text.
        shown: which image of a series was looked at; None where the file holds one.
        notes: what a person must know of the image before believing numbers from it.
    """

    id: str
    pair: str | None
    model: str
    question: str
    text: str
    condition: str = "real"
    statements: tuple[Statement, ...] = ()
    abstained: bool = False
    seconds: float | None = None
    mode: Mode = "words"
    left_out: int = 0
    shown: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> Origin:
        """Where it comes from: "declined" if it says that the image cannot tell, else what its first sentence is."""
        if self.abstained:
            return "declined"
        first = self.statements[0].source if self.statements else "language"
        return "words" if first == "language" else first


class Grade(_Record):
    """One judgement of one answer; unscored is None and says why.

    Attributes:
        answered, pair: ids.
        judge: name and identity; a rule-based grade always begins with "rules".
        assessment: "quality" 0–100, "features" 1–4, "defect" 1/0/None.
        score: None is unscored, or not applicable where `verdict` is "NA".
        verdict: of "defect": "1", "0" or "NA"; "queue" where a person has to look.
        parts: criteria or matched features by name.
        repeat: number of the repetition.
        prompt: hash of the prompt.
        why: reason, or why there is no score.
    """

    answered: str
    pair: str
    judge: str
    assessment: Literal["quality", "features", "defect"]
    score: float | None
    verdict: Literal["1", "0", "NA", "queue"] | None = None
    parts: dict[str, float | None] = Field(default_factory=dict)
    repeat: int = 0
    prompt: str = ""
    why: str = ""


R = TypeVar("R", bound=BaseModel)


def identity(*parts: str | None) -> str:
    """Twelve hexadecimal digits of what is given, the same on every machine."""
    return hashlib.sha256("\x1f".join("" if one is None else one for one in parts).encode()).hexdigest()[:12]


def write_records(path: Path, records: Iterable[BaseModel]) -> int:
    """One line of JSON for each record; how many were written."""
    lines = [one.model_dump_json(exclude_defaults=True) for one in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return len(lines)


def read_records(path: Path, kind: type[R]) -> list[R]:
    """The records of a file.

    Raises:
        RecordError: no such file, or a line that is no such record, with its number.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read as records: {error}") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(kind.model_validate(json.loads(line)))
        except (json.JSONDecodeError, ValidationError) as error:
            reason = str(error).splitlines()
            raise RecordError(f"{path.name}, line {number}, is no {kind.__name__}: {' '.join(reason[:3])}") from None
    return found
