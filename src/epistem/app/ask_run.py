"""What `epistem ask IMAGE` does with its words."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epistem.app.ask_tools import DetectorTool, is_coloured, tools_for
from epistem.app.papers_run import chat_model
from epistem.app.terminal import say
from epistem.ask.answer import answer, intent_on, is_measurable, is_number, picture
from epistem.ask.decline import is_unanswerable
from epistem.ask.english import is_foreign
from epistem.core import Micrograph, MicrographSeries, SettingsError
from epistem.report.words import counted

if TYPE_CHECKING:
    from epistem.ask.answer import Speaker, Told
    from epistem.ask.intents import Intent
    from epistem.ask.measured import Tool
    from epistem.ask.records import Answered
    from epistem.ask.speakers import EndpointSpeaker

_IN_COLOUR = "The image is in colour, so it was not made by electrons."
_TOLD_READ = "Read from the file or its data strip."
_TOLD_ENDPOINT = "Words of a language model; nothing in them was measured, and its numbers are guesses."
_TOLD_LOCAL = "Words of a language model; nothing in them was measured."
TOLD_SHIPPED = (
    "Words of a small language model that learned from simulated scenes alone: on a real micrograph do not rely on "
    "them. Nothing in them was measured."
)


class Shown(NamedTuple):
    """The image that a question is put to.

    Attributes:
        micrograph: one image.
        of: which one it is of a series; None where the file holds one.
    """

    micrograph: Micrograph
    of: str | None


class Put(NamedTuple):
    """A question, and the image it is put to.

    Attributes:
        micrograph, of: see `Shown`.
        question: as it was asked.
        tools: that find things in the image.
        intent: what is asked for.
        larger: a model at an endpoint answers in words.
    """

    micrograph: Micrograph
    of: str | None
    question: str
    tools: tuple[DetectorTool, ...]
    intent: Intent
    larger: bool = False

    @property
    def is_spoken(self) -> bool:
        """Whether words answer it, where there is a model."""
        return _is_spoken(self.intent, self.question, self.tools, self.larger)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the image before any answer."""
        return (*((_IN_COLOUR,) if is_coloured(self.micrograph) else ()), *self.micrograph.warnings)


def ask_image(
    image: Path, question: str, *, context: str, pixel_size: str | None, number: int | None,
    segmenters: Sequence[Path], model: Path | None, language: str | None, endpoint: str | None,
    endpoint_model: str | None, key_from: str, words: bool, hub: bool, as_json: bool,
) -> Answered:  # fmt: skip
    """Answer, streaming on a terminal.

    Raises:
        EpistemError: no image, no question, an endpoint that gives no answer.
    """
    if not question.strip():
        raise SettingsError('the question is empty; ask for instance: epistem ask IMAGE "what does this image show?"')
    # First of all: half an endpoint is wrong, whatever is asked.
    seeing = endpoint_speaker(endpoint, endpoint_model, key_from)
    put = put_to(
        shown(image, pixel_size, number), question, chosen=number is not None, segmenters=segmenters,
        larger=seeing is not None,
    )  # fmt: skip
    if put.of is not None:
        say(f"Asked about {put.of}; --image N chooses another, counted from 1.")
    for note in put.notes:
        say(note)
    speaker: Speaker | None = None
    if words and put.is_spoken:
        speaker = seeing or speaker_of(model, language, None, None, key_from, hub=hub)

    def told(piece: str) -> None:
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()

    answered = reply(put, speaker=speaker, context=context, told=told)
    if as_json:
        print(answered.model_dump_json(indent=1))
        return answered
    print()
    words_are = _TOLD_ENDPOINT if seeing is not None else TOLD_SHIPPED if model is None else _TOLD_LOCAL
    for line in what_it_is(answered, put, str(image), words_are if speaker is not None else None):
        say(line)
    return answered


def put_to(
    image: Shown, question: str, *, chosen: bool, segmenters: Sequence[Path] = (), larger: bool = False
) -> Put:
    """A question put to an image.

    Args:
        chosen, segmenters: see `tools_for`.
        larger: a model at an endpoint answers in words.

    Raises:
        SettingsError, RecordError: a segmenter that is none.
    """
    tools = tools_for(image.micrograph, segmenters, chosen=chosen)
    return Put(image.micrograph, image.of, question, tools, intent_on(question, tools), larger)


def reply(
    put: Put, *, speaker: Speaker | None, context: str = "", told: Told = lambda piece: None,
    tools: Sequence[Tool] | None = None,
) -> Answered:  # fmt: skip
    """The answer of `epistem ask`, with what a person must know of the image.

    Args:
        speaker: None answers without words.
        tools: that look in place of those of `put`, as they do.
        context, told: see `ask.answer.answer`.
    """
    answered = answer_on(
        put.micrograph, put.question, speaker=speaker, tools=put.tools if tools is None else tools,
        strip=_strip(put.micrograph, put.intent), larger=put.larger, context=context, told=told,
    )  # fmt: skip
    return answered.model_copy(update={"shown": put.of, "notes": put.notes})


def shown(image: Path, pixel_size: str | None, number: int | None) -> Shown:
    """The image of a file that is asked, the first one unless told.

    Args:
        number: of a series, counted from 1.

    Raises:
        ReadError: the file cannot become an image.
        SettingsError: it does not hold so many.
    """
    from epistem.imaging.read import read

    found = read(image, pixel_size)
    images = found.slices if isinstance(found, MicrographSeries) else (found,)
    if number is not None and not 1 <= number <= len(images):
        raise SettingsError(f"{image.name} holds {counted(len(images), 'image')}; --image {number} is none of them")
    at = (number or 1) - 1
    if len(images) == 1:
        return Shown(images[0], None)
    assert isinstance(found, MicrographSeries)
    place = images[at].slice
    label = "" if place is None or place.label.isdigit() else f": {place.label}"
    return Shown(images[at], f"image {at + 1} of {len(images)} ({found.axis}{label})")


def asked_tool(intent: Intent, tools: Sequence[DetectorTool]) -> DetectorTool | None:
    """The one that is asked for the thing."""
    return next((tool for tool in tools if intent.thing in tool.finds), None)


def _is_spoken(intent: Intent, question: str, tools: Sequence[Tool], larger: bool) -> bool:
    """Whether words answer it: what is declined, and a number, only where a larger model at an endpoint is asked."""
    if intent.asked == "words":
        return larger or not (is_foreign(question) or is_unanswerable(question))
    return larger and is_number(intent) and not is_measurable(intent, tools)


def what_it_is(answered: Answered, put: Put, image: str, words_are: str | None) -> list[str]:
    """How the answer is to be taken; `words_are` is what is said of words, None where no model was asked."""
    source, tool = answered.statements[0].source, asked_tool(put.intent, put.tools)
    if source == "measured" and tool is not None:
        again = tool.again.replace("IMAGE", shlex.quote(image))
        return [f"Measured on this image. To see what was found: {again} --out FOLDER"]
    if source == "read" and not answered.abstained:
        return [_TOLD_READ]
    if source != "language" or words_are is None:
        return []
    left_out = f"… stands for {counted(answered.left_out, 'number')} of the model's that nothing here measured."
    return [left_out, words_are] if answered.left_out else [words_are]


def answer_on(
    micrograph: Micrograph, question: str, *, speaker: Speaker | None, tools: Sequence[Tool],
    strip: Mapping[str, str], larger: bool, context: str = "", told: Told = lambda piece: None,
    pair: str | None = None,
) -> Answered:  # fmt: skip
    """The answer as `epistem ask` gives it.

    Args:
        larger: the speaker is a model at an endpoint: it knows better than a regression on words what it can see, and
            is asked for numbers that no tool measures.
        speaker, tools, strip, context, told, pair: see `ask.answer.answer`.
    """
    declines = (lambda question: False) if larger else is_unanswerable
    return answer(
        micrograph, question, speaker=speaker, tools=tools, strip=strip, context=context, told=told, pair=pair,
        declines=declines, guess_numbers=larger,
    )  # fmt: skip


def speaker_of(
    model: Path | None, language: str | None, endpoint: str | None, endpoint_model: str | None, key_from: str,
    *, untrained: bool = False, hub: bool = False,
) -> Speaker:  # fmt: skip
    """What answers in words: an endpoint where one is given, else the local assistant; `hub` lets it be fetched."""
    from epistem.ask.speakers import local_speaker

    seeing = endpoint_speaker(endpoint, endpoint_model, key_from)
    if seeing is None:
        return local_speaker(model, language=language, untrained=untrained, offline=not hub)
    if untrained:
        raise SettingsError("the projector of a model behind an endpoint cannot be taken away")
    return seeing


def endpoint_speaker(endpoint: str | None, model: str | None, key_from: str) -> EndpointSpeaker | None:
    """The model at the endpoint that is given, or None; nothing is sent yet.

    Raises:
        SettingsError: an endpoint without a model's name, or the other way round.
    """
    if endpoint == "local":
        raise SettingsError("a local model that sees images is given by --model and --language, not as an endpoint")
    chat = chat_model(endpoint, model, key_from)
    if chat is None:
        return None
    from epistem.ask.speakers import EndpointSpeaker

    return EndpointSpeaker(chat)


_IN_STRIP = ("voltage", "magnification", "working distance", "detector")


def _strip(micrograph: Micrograph, intent: Intent) -> dict[str, str]:
    """What the data strip says, by the names that questions have; it is read only for what may stand in it."""
    if intent.asked != "written" or intent.subject not in _IN_STRIP:
        return {}
    from epistem.ask.picture_kind import read_strip

    return by_question(read_strip(picture(micrograph)).said)


def by_question(said: Mapping[str, str]) -> dict[str, str]:
    """Words of a data strip by the names that questions have."""
    voltage = {"voltage": f"{said['kV']} kV"} if "kV" in said else {}
    return voltage | {name: value for name, value in said.items() if name != "kV"}
