"""An answer that says of each sentence whether it was measured, read, or is a language model's words.

::

    question ─► intent ─┬─ count, size, fraction ─► a tool for that thing ─► measured, with how far to trust it
                        ├─ voltage, scale bar… ───► metadata, data strip, bar ─► read, or "not known"
                        ├─ what no image shows ───► abstain, with the reason
                        └─ else ──────────────────► the model's words, streamed; said to be only that

A number that could be measured is never left to the language model, and a number in its words that nothing measured
is left out. Tools are handed in, so that `ask` needs no detector of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from epistem.ask.english import is_foreign
from epistem.ask.guesses import by_sentence, without_guesses
from epistem.ask.intents import THINGS, Intent, intent_of
from epistem.ask.measured import Tool, digits, length, measured, plural
from epistem.ask.records import Answered, Statement, identity
from epistem.core.micrograph import Calibration, Micrograph
from epistem.imaging.normalize import normalize
from epistem.imaging.scalebar import find_scale_bar

Told = Callable[[str], None]
_CANNOT = re.compile(
    r"cannot (?:be told|tell|answer|be determined|be answered|be seen)|can't tell|not possible to (?:tell|say)|"
    r"unable to (?:tell|determine)|is not visible in the image and",
    re.IGNORECASE,
)


class Speaker(Protocol):
    """What answers in words: a vision-language model, or a baseline.

    Attributes:
        name: with its identity.
    """

    name: str

    def __call__(self, image: Image.Image | None, text: str) -> Iterator[str]: ...


def answer(
    micrograph: Micrograph, question: str, *, speaker: Speaker | None = None, tools: Sequence[Tool] = (),
    strip: Mapping[str, str] | None = None, context: str = "", told: Told = lambda piece: None,
    pair: str | None = None, declines: Callable[[str], bool] = lambda question: False,
    guess_numbers: bool = False,
) -> Answered:  # fmt: skip
    """The answer to a question on an image.

    Args:
        speaker: for what is neither measured nor read; None answers only what can be.
        tools: that find things.
        strip: what the data strip says, by name, as it was read.
        context: what the person tells of the sample; data for the model, never an instruction.
        told: is given the answer piece by piece as it comes.
        pair: id of the question in a set.
        declines: whether a question that the rules leave to words is one that no image answers, see `ask.decline`.
        guess_numbers: let the speaker answer where a number is asked for that no tool measures, and say numbers that
            nothing measured; any other speaker's words have … for such numbers.
    """
    began = time.perf_counter()
    statement, left_out = _known(micrograph, question, tools, dict(strip or {}), declines, guess_numbers), 0
    if statement is not None:
        told(statement.text)
    elif guess_numbers:
        statement = _spoken(micrograph, question, speaker, context, told)
    else:
        known = "\n".join((context, *(strip or {}).values(), *map(str, micrograph.context.known().values())))
        statement, left_out = _spoken_without_guesses(micrograph, question, speaker, context, told, known)
    text = statement.text
    model = speaker.name if speaker is not None else "no language model"
    return Answered(
        id=identity(pair, model, "real", text), pair=pair, model=model, question=question, text=text,
        statements=(statement,), abstained=abstains(text),
        seconds=round(time.perf_counter() - began, 3), mode="whole",
        left_out=left_out,
    )  # fmt: skip


def abstains(text: str) -> bool:
    """Whether an answer says that the image cannot tell."""
    return _CANNOT.search(text) is not None


def picture(micrograph: Micrograph) -> Image.Image:
    """The image as a person would look at it, 8 bit."""
    grey = np.clip(0.5 + normalize(micrograph) / 8, 0, 1)
    return Image.fromarray(np.round(255 * grey).astype(np.uint8))


def _known(
    micrograph: Micrograph,
    question: str,
    tools: Sequence[Tool],
    strip: dict[str, str],
    declines: Callable[[str], bool],
    guess_numbers: bool,
) -> Statement | None:
    """The answer without a language model; None where one is needed."""
    intent = intent_on(question, tools)
    if intent.asked == "unseen":
        return _words(f"The image cannot tell: {intent.subject}.")
    if intent.asked == "written":
        return _written(micrograph, intent, strip)
    if intent.asked == "words":
        if not guess_numbers and is_foreign(question):
            return _words("This cannot be answered: questions are understood in English only; ask it in English.")
        return _words(_UNANSWERABLE) if declines(question) else None
    tool = _tool_for(intent, tools)
    if tool is not None and not intent.left:
        return measured(micrograph, intent, tool)
    return None if guess_numbers else _words(_not_measured(intent, tool, tools))


_UNANSWERABLE = (
    "The image cannot tell, or the question is not understood: by its words it asks for what no single picture "
    "shows. Ask in English what is seen, how many, how large, which share."
)


def _words(text: str) -> Statement:
    return Statement(text=text, source="language")


def _not_measured(intent: Intent, tool: Tool | None, tools: Sequence[Tool]) -> str:
    """Why a number is not given, where words would only guess it."""
    if tool is not None:
        every = plural(intent.thing or tool.finds[0])
        return (f"This cannot be told: measured are all {every} of the field, by their area-equivalent diameter, and "
                f'the question adds "{intent.left}", which no measurement here takes into account.')  # fmt: skip
    known = ", ".join(dict.fromkeys(plural(thing) for one in tools for thing in one.finds)) or "nothing"
    wanted = plural(intent.thing) if intent.thing else "what is meant"
    return f"This cannot be told: no detector here finds {wanted} (there is one for {known}); words would be guesses."


def intent_on(question: str, tools: Sequence[Tool]) -> Intent:
    """What a question asks for, where these tools find more than the rules have names for."""
    return intent_of(question, [thing for tool in tools for thing in tool.finds if thing not in THINGS])


def is_measurable(intent: Intent, tools: Sequence[Tool]) -> bool:
    """Whether a tool measures what is asked for."""
    return is_number(intent) and not intent.left and _tool_for(intent, tools) is not None


def is_number(intent: Intent) -> bool:
    """Whether a number is asked for."""
    return intent.asked in ("count", "size", "fraction", "density")


def _tool_for(intent: Intent, tools: Sequence[Tool]) -> Tool | None:
    """The tool for the thing that is asked of; where none is named, not even in other words, the only one."""
    if intent.thing is None:
        return tools[0] if len(tools) == 1 and not intent.left else None
    return next((tool for tool in tools if intent.thing in tool.finds), None)


def _written(micrograph: Micrograph, intent: Intent, strip: dict[str, str]) -> Statement:
    """From metadata or the strip; that it is not there is an answer too."""
    assert intent.subject is not None
    pixels = micrograph.calibration
    if intent.subject == "scale bar":
        return _scale_bar(micrograph)
    if intent.subject == "pixel size" and pixels is not None:
        text = f"The pixel size is {length(pixels.col_nm, 'nm', 4)} (from {_from(pixels)})."
        return Statement(text=text, source="read", value=pixels.col_nm, unit="nm")
    if intent.subject == "field of view" and pixels is not None:
        rows, cols = micrograph.shape
        wide, high = cols * pixels.col_nm, rows * pixels.row_nm
        text = f"The field is {length(wide, 'nm')} wide and {length(high, 'nm')} high (from {_from(pixels)})."
        return Statement(text=text, source="read", value=wide, unit="nm")
    said = _in_metadata(micrograph, intent.subject) or strip.get(intent.subject)
    if said is not None:
        return Statement(text=f"The {intent.subject} is {said} (as the file or its data strip says).", source="read")
    return Statement(
        text=f"The image cannot tell: neither the file nor a data strip states the {intent.subject}.", source="read"
    )


def _from(pixels: Calibration) -> str:
    """Where a pixel size comes from."""
    said = {"user": "what was given", "metadata": "the file", "scale bar": "the scale bar"}
    return said.get(pixels.source, pixels.source)


def _scale_bar(micrograph: Micrograph) -> Statement:
    """Of the burnt-in bar, as calibration reads it."""
    bar = find_scale_bar(micrograph.pixels)
    if bar is None:
        return Statement(text="The image cannot tell: no scale bar was found in it.", source="read")
    over = f"{digits(bar.length_px)} px"
    if bar.length_nm is None:
        label = f'its label "{bar.text}" is not clear' if bar.text else "its label was not read"
        return Statement(text=f"This cannot be told: a scale bar of {over} was found, but {label}.", source="read")
    nm = length(bar.length_nm, "nm")
    text = f'The scale bar stands for {nm}, as its label "{bar.text}" says, and is {over} long.'
    return Statement(text=text, source="read", value=bar.length_nm, unit="nm")


def _in_metadata(micrograph: Micrograph, subject: str) -> str | None:
    known = micrograph.context
    values = {
        "voltage": None if known.beam_keV is None else f"{known.beam_keV:g} kV",
        "magnification": None if known.magnification is None else f"{known.magnification:g}",
        "detector": known.detector, "instrument": known.instrument, "date": known.acquired,
        "working distance": next((v for k, v in known.extra.items() if "working distance" in k.lower()), None),
        "beam current": next((v for k, v in known.extra.items() if "current" in k.lower()), None),
    }  # fmt: skip
    return values.get(subject)


class _Spoken(NamedTuple):
    """A model's words, and how many numbers are not among them."""

    statement: Statement
    left_out: int


def _spoken(micrograph: Micrograph, question: str, speaker: Speaker | None, context: str, told: Told) -> Statement:
    text = ""
    for piece in _pieces(micrograph, question, speaker, context):
        text += piece
        told(piece)
    return _words(text.strip() or "The model gave no answer.")


def _spoken_without_guesses(
    micrograph: Micrograph, question: str, speaker: Speaker | None, context: str, told: Told, known: str
) -> _Spoken:
    """The model's words, sentence by sentence, with … for numbers that are not known."""
    kept, left_out = list[str](), 0
    for sentence in by_sentence(_pieces(micrograph, question, speaker, context)):
        text, blanks = without_guesses(sentence, known)
        left_out += blanks
        told(f"{' ' if kept else ''}{text}")
        kept.append(text)
    if not kept:
        kept = ["The model gave no answer."]
        told(kept[0])
    return _Spoken(_words(" ".join(kept)), left_out)


_NO_MODEL = "Without a language model only counts, sizes, area shares and what the file says can be answered."


def _pieces(micrograph: Micrograph, question: str, speaker: Speaker | None, context: str) -> Iterator[str]:
    if speaker is None:
        return iter([_NO_MODEL])
    asked = f"Known of the sample: {context.strip()}\n{question}" if context.strip() else question
    return speaker(picture(micrograph), asked)
