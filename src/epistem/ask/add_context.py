"""The same question with one, two or three things known of the sample, none of which gives the answer away (S3).

=========  ==========  ===================================================
level      attributes  each has a type of records.CONTEXT_TYPES
=========  ==========  ===================================================
none       0           the question as it was
basic      1           "The material is a sintered ceramic."
moderate   2
high       3
=========  ==========  ===================================================

Attributes come from a figure's record, from whoever knows (`known`), or from a chat model; every variant passes the
same test for leaks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, RootModel, ValidationError, model_validator

from epistem.ask.chat import ChatError, ask_json, name_of
from epistem.ask.prompting import as_data, conversation, prompt
from epistem.ask.records import LEVELS, ContextType, Figure, Level, Pair, identity
from epistem.ask.scene_words import TECHNIQUES, length
from epistem.ask.vocabulary import FUNCTION, lemma
from epistem.ask.wording import common_subsequence_f1
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel

Attribute = tuple[ContextType, str]
MOST_OVERLAP = 0.3
_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*")


class Leak(NamedTuple):
    """Whether a question gives its answer away.

    Attributes:
        overlap: ROUGE-L of question and answer, 0 to 1.
        words: of the answer, that only the context brought.
        leaks: there are such words, or the context brought the overlap to 0.3 or more.
    """

    overlap: float
    words: tuple[str, ...]
    leaks: bool


class InContext(NamedTuple):
    """Variants of a question, and why others are missing."""

    pairs: list[Pair]
    refused: list[tuple[Level, str]]


def rouge_l(one: str, other: str) -> float:
    """F1 of the longest common subsequence of words, 0 to 1.

    Source: Lin, ROUGE (ACL workshop 2004), with β = 1.

    >>> round(rouge_l("the pores are round", "the pores look round"), 2)
    0.75
    """
    first, second = ([word.lower() for word in _WORD.findall(text)] for text in (one, other))
    return common_subsequence_f1(first, second)


def leak(bare: str, question: str, answer: str) -> Leak:
    """Whether a question with context gives away what the bare one did not.

    >>> leak("What is seen?", "The sample is porous. What is seen?", "Pores are seen.").words
    ('pore',)
    """
    overlap = rouge_l(question, answer)
    words = tuple(sorted((_content(question) - _content(bare)) & _content(answer)))
    grown = overlap >= MOST_OVERLAP and overlap > rouge_l(bare, answer)
    return Leak(overlap, words, bool(words) or grown)


def known_attributes(figure: Figure) -> list[Attribute]:
    """What a figure's record says of the sample and its picture; nothing is guessed."""
    found: list[Attribute] = []
    if figure.material:
        found.append(("material_type", f"The material is {figure.material}."))
    found += [("processing_conditions", f"The sample was processed as follows: {one}.") for one in figure.processing]
    found += [("properties", f"A known property of the material: {one}.") for one in figure.properties]
    if figure.technique:
        found.append(("other", f"The image was recorded by {TECHNIQUES.get(figure.technique, figure.technique)}."))
    if figure.nm_per_px:
        found.append(("other", f"One pixel is {length(figure.nm_per_px)} wide."))
    found += [("other", f"The data strip says {name}: {value}.") for name, value in sorted(figure.strip.items())]
    return found


def add_context(
    pair: Pair,
    figure: Figure,
    *,
    model: ChatModel | None = None,
    known: Sequence[Attribute] = (),
    rng: np.random.Generator | None = None,
) -> InContext:
    """The basic, moderate and high variants of a simple question.

    Args:
        pair: a simple question without context.
        figure: its record.
        model: writes the variants; None puts known attributes before the question.
        known: more that is known of the sample, besides the record.
        rng: which attributes come first; None keeps their order, types in turn.

    Returns:
        The variants that leak nothing, each with its attributes and the bare pair's id, and why others are missing.

    Raises:
        SettingsError: a complex question, or one with context.
    """
    if pair.subcategory != "simple" or pair.level != "none":
        raise SettingsError("context is added to simple questions that have none")
    attributes = [*known, *known_attributes(figure)]
    if model is not None:
        return _written(pair, attributes, model)
    return _composed(pair, attributes, rng)


def _composed(pair: Pair, attributes: Sequence[Attribute], rng: np.random.Generator | None) -> InContext:
    """Attributes that leak nothing go before the question, as many types as there are."""
    order = np.arange(len(attributes)) if rng is None else rng.permutation(len(attributes))
    safe = [
        attributes[i]
        for i in order
        if not leak(pair.question, f"{attributes[i][1]} {pair.question}", pair.answer).leaks
    ]
    by_type: dict[str, Attribute] = {}
    for one in safe:
        by_type.setdefault(one[0], one)
    first = list(by_type.values())
    chosen = first + [one for one in safe if one not in first]
    made = InContext([], [])
    for count, level in enumerate(LEVELS[1:], 1):
        if len(chosen) < count:
            made.refused.append((level, f"{len(chosen)} attributes are known that leak nothing, wanted {count}"))
            continue
        question = " ".join([*(text for _, text in chosen[:count]), pair.question])
        found = leak(pair.question, question, pair.answer)
        if found.leaks:
            made.refused.append((level, _leaked(found)))
        else:
            made.pairs.append(_variant(pair, level, question, chosen[:count], pair.maker))
    return made


class _Attribute(BaseModel):
    type: ContextType
    text: str


class _Variant(BaseModel):
    level: Level
    question: str
    attributes: list[_Attribute]


class _Reply(RootModel[list[dict[str, Any]]]):
    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) == 1:
            return next(iter(value.values()))
        return value


def _written(pair: Pair, attributes: Sequence[Attribute], model: ChatModel) -> InContext:
    rules = prompt("context")
    known = "\n".join(f"{kind}: {text}" for kind, text in attributes) or "nothing"
    parts = as_data("question", pair.question), as_data("answer", pair.answer), as_data("known", known)
    try:
        reply, why = ask_json(model, conversation(rules, *parts), _Reply)
    except ChatError as error:
        reply, why = None, str(error)
    if reply is None:
        return InContext([], [(level, why) for level in LEVELS[1:]])
    made, maker = InContext([], []), f"{name_of(model)}, {rules.name} {rules.hash}"
    given: dict[str, dict[str, Any]] = {}
    for element in reply.root:
        given.setdefault(str(element.get("level")), element)
    for count, level in enumerate(LEVELS[1:], 1):
        try:
            variant = _Variant.model_validate(given[level])
        except KeyError:
            made.refused.append((level, "not written"))
            continue
        except ValidationError as error:
            made.refused.append((level, error.errors(include_url=False, include_input=False)[0]["msg"]))
            continue
        wrong = _wrong(pair, variant, count)
        if wrong:
            made.refused.append((level, wrong))
        else:
            with_types: list[Attribute] = [(one.type, one.text) for one in variant.attributes]
            made.pairs.append(_variant(pair, level, variant.question, with_types, maker))
    return made


def _wrong(pair: Pair, variant: _Variant, count: int) -> str:
    """Why a variant cannot be used; "" where it can."""
    if len(variant.attributes) != count:
        return f"{len(variant.attributes)} attributes, wanted {count}"
    held = _content(variant.question)
    for one in variant.attributes:
        words = _content(one.text)
        if not words or len(words & held) < len(words) / 2:
            return f"the question does not hold {one.text!r}"
    asked = _content(pair.question)
    if len(asked & held) < len(asked) / 2:
        return "it asks another question"
    found = leak(pair.question, variant.question, pair.answer)
    return _leaked(found) if found.leaks else ""


def _leaked(found: Leak) -> str:
    return f"it gives the answer away: {', '.join(found.words[:5]) or f'overlap {found.overlap:.2f}'}"


def _variant(pair: Pair, level: Level, question: str, attributes: Sequence[Attribute], maker: str) -> Pair:
    return pair.model_copy(
        update={
            "id": identity(pair.figure, question, pair.answer),
            "question": question,
            "level": level,
            "attributes": tuple(attributes),
            "base": pair.id,
            "maker": maker,
        }
    )


def _content(text: str) -> set[str]:
    return {lemma(word) for word in _WORD.findall(text) if word.lower() not in FUNCTION}
