"""Questions and answers on the figures of papers: written by whoever can, kept where every check passes.

::

    Figure ─► Writer ─► Drafts ─► checks ─► Pairs
                 │          └──► refused, with every reason
                 └─► no usable reply: unwritten, counted

Writers are `extractive` (no model) and `chat` (any ChatModel: an endpoint, a local model, a script).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from epistem.ask.chat import ChatError, ask_json, name_of
from epistem.ask.checks import PUBLISHED, Encode, Refused, Rules, refusals
from epistem.ask.prompting import Prompt, as_data, conversation, prompt
from epistem.ask.records import CATEGORIES, Category, Figure, Pair, Subcategory, identity
from epistem.ask.unanswerable import unanswerable_pairs
from epistem.core.errors import SettingsError, UnknownName
from epistem.core.protocols import ChatModel
from epistem.core.registry import Table

LONGEST_TEXT = 12_000  # signs of a figure's text that a prompt holds
PromptStyle = Literal["bullets", "prose"]


class Draft(BaseModel):
    """A question and its answer as somebody wrote them (S1 of the published method)."""

    model_config = ConfigDict(frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    category: Category
    subcategory: Subcategory = "simple"
    evidence: list[str] = Field(default_factory=list)
    visual: Literal["visible", "partly", "text_only"] = "visible"


class Written(NamedTuple):
    """What a writer gave.

    Attributes:
        maker: for the pairs: who wrote it, with which prompt.
        refused: elements of its reply that are no drafts.
        why: there was no usable reply; "" where there was one.
    """

    drafts: list[Draft]
    maker: str
    refused: Sequence[tuple[str, Refused]] = ()
    why: str = ""


class Writer(Protocol):
    """Writes questions on a figure."""

    name: str
    rules: Rules

    def __call__(self, figure: Figure, categories: Sequence[Category], n: int) -> Written: ...


class Made(NamedTuple):
    """Questions that are kept, and what became of the others.

    Attributes:
        pairs: that passed every check.
        refused: question, and each check that it failed.
        unwritten: why there was no usable reply, once for each figure: to be counted, never guessed.
    """

    pairs: list[Pair]
    refused: list[tuple[str, list[Refused]]]
    unwritten: list[str]

    def tally(self) -> dict[str, int]:
        """How many drafts each check refused; a draft may fail several."""
        return dict(Counter(one.check for _, found in self.refused for one in found).most_common())

    def shares(self) -> dict[Category, float]:
        """Share of each category among the kept pairs [%]; empty without any (Table 1 of the published work)."""
        counted = Counter(pair.category for pair in self.pairs)
        return {name: 100 * counted[name] / len(self.pairs) for name in CATEGORIES} if self.pairs else {}


class ChatWriter:
    """Writes questions with a language model.

    Args:
        model: the ChatModel; it sees caption and mentions, not the picture, as published.
        style: rules as "bullets", or the same as "prose", which the publication found worse.
    """

    rules = PUBLISHED

    def __init__(self, model: ChatModel, *, style: PromptStyle = "bullets") -> None:
        if style not in ("bullets", "prose"):
            raise SettingsError(f"rules are written as bullets or prose, not {style!r}")
        self._model = model
        self.prompt: Prompt = prompt(f"questions_{style}")
        self.name = name_of(model)

    def __call__(self, figure: Figure, categories: Sequence[Category], n: int) -> Written:
        """Up to n questions of each category and subcategory; without an answer, why."""
        wanted = (
            f"Write up to {n} simple and {n} complex pairs for each of these categories: {', '.join(categories)}."
        )
        text = as_data("caption", figure.caption), as_data("sentences", "\n".join(figure.mentions)[:LONGEST_TEXT])
        maker = f"{self.name}, {self.prompt.name} {self.prompt.hash}"
        try:
            reply, why = ask_json(self._model, conversation(self.prompt, wanted, *text), _Reply)
        except ChatError as error:
            return Written([], maker, (), str(error))
        if reply is None:
            return Written([], maker, (), why)
        drafts, refused = _drafts(reply.root)
        return Written(drafts, maker, refused)


class _Reply(RootModel[list[dict[str, Any]]]):
    """A list of anything: one bad element costs itself, not the others."""

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, value: object) -> object:
        # Many models put the list into an object of one entry, or give a single pair without the list.
        if isinstance(value, dict) and "question" in value:
            return [value]
        if isinstance(value, dict) and len(value) == 1:
            return next(iter(value.values()))
        return value


def make_questions(
    figure: Figure,
    *,
    writer: Writer,
    categories: Collection[Category] = CATEGORIES,
    per_category: int = 2,
    keep: int | None = None,
    rules: Rules | None = None,
    encode: Encode | None = None,
    unanswerable: int = 0,
    seed: int = 0,
) -> Made:
    """Questions on a figure that pass every check.

    Args:
        writer: `Extractive()`, `ChatWriter(model)`, or another.
        categories: to write for.
        per_category: pairs of each category and subcategory that are asked for.
        keep: of those at most; None keeps as many as were asked for.
        rules: limits of the checks; None takes the writer's.
        encode: texts to vectors for the test of duplicates; None counts lemmas.
        unanswerable: questions besides, that neither image nor text answers.
        seed: of those; each figure draws its own.

    Returns:
        Pairs in the order of the categories, and every refusal with its reasons.

    Raises:
        UnknownName: no such category.
        SettingsError: fewer than one pair per category.
    """
    wanted = [name for name in CATEGORIES if name in categories]
    unknown = sorted(set(categories) - set(CATEGORIES))
    if unknown:
        raise UnknownName(f"no category is called {unknown[0]!r}; there is {', '.join(CATEGORIES)}")
    if per_category < 1:
        raise SettingsError(f"wanted one pair per category or more, not {per_category}")
    if not figure.text.strip():
        return Made([], [], [f"figure {figure.figure} of {figure.paper.id} has no text to write from"])
    written = writer(figure, wanted, per_category)
    made = Made([], [(about, [why]) for about, why in written.refused], [written.why] if written.why else [])
    counted: Counter[tuple[Category, Subcategory]] = Counter()
    for draft in sorted(written.drafts, key=lambda one: CATEGORIES.index(one.category)):
        pair = _pair(figure, draft, written.maker)
        place = (pair.category, pair.subcategory)
        found = _unwanted(draft, wanted) or refusals(
            pair, figure, kept=made.pairs, rules=rules or writer.rules, encode=encode
        )
        if found:
            made.refused.append((draft.question, found))
        elif counted[place] < (per_category if keep is None else keep):
            counted[place] += 1
            made.pairs.append(pair)
    made.pairs.extend(
        unanswerable_pairs(figure, n=unanswerable, rng=np.random.default_rng([seed, *figure.id.encode()]))
    )
    return made


def _drafts(elements: Sequence[dict[str, Any]]) -> tuple[list[Draft], list[tuple[str, Refused]]]:
    drafts, refused = [], []
    for element in elements:
        try:
            drafts.append(Draft.model_validate(element))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            why = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            refused.append((str(element.get("question", "")), Refused("schema", why)))
    return drafts, refused


def _unwanted(draft: Draft, wanted: Sequence[Category]) -> list[Refused]:
    if draft.category not in wanted:
        return [Refused("category", f"{draft.category} was not asked for")]
    if draft.category == "general" and draft.subcategory == "complex":
        return [Refused("category", "general has simple questions only")]
    return []


def _pair(figure: Figure, draft: Draft, maker: str) -> Pair:
    question, answer = " ".join(draft.question.split()), " ".join(draft.answer.split())
    return Pair(
        id=identity(figure.id, question, answer),
        figure=figure.id,
        paper=figure.paper.id,
        question=question,
        answer=answer,
        category=draft.category,
        subcategory=draft.subcategory,
        evidence=tuple(draft.evidence),
        visual=draft.visual,
        maker=maker,
        split=figure.split,
    )


WRITERS = Table(
    "writer", {"extractive": "epistem.ask.extractive:Extractive", "chat": "epistem.ask.questions:ChatWriter"}
)
