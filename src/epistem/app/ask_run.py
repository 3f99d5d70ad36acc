"""What `epistem ask IMAGE` does with its words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from epistem.app.ask_tools import tools_for
from epistem.app.papers_run import chat_model
from epistem.app.terminal import say
from epistem.ask.answer import answer, picture
from epistem.ask.decline import is_unanswerable
from epistem.ask.intents import intent_of
from epistem.core import Micrograph, SettingsError

if TYPE_CHECKING:
    from epistem.ask.answer import Speaker
    from epistem.ask.records import Answered

_TOLD = {
    "measured": "Measured on this image, with the detector's own errors: look at what it found with epistem analyze.",
    "read": "Read from the file or its data strip.",
    "language": "Words of a language model; nothing in them was measured, and its numbers are guesses.",
}


def ask_image(
    image: Path, question: str, *, context: str, pixel_size: str | None, model: Path | None, language: str | None,
    endpoint: str | None, endpoint_model: str | None, key_from: str, words: bool, as_json: bool,
) -> Answered:  # fmt: skip
    """Answer, streaming on a terminal.

    Raises:
        EpistemError: no image, no question, an endpoint that gives no answer.
    """
    from epistem.imaging.read import read

    if not question.strip():
        raise SettingsError('the question is empty; ask for instance: epistem ask IMAGE "what does this image show?"')
    found = read(image, pixel_size)
    micrograph = found if isinstance(found, Micrograph) else found[0]
    intent = intent_of(question)
    tools = tools_for(micrograph)
    is_number = intent.asked in ("count", "size", "fraction", "density")
    measurable = is_number and not intent.left and any(intent.thing in tool.finds for tool in tools)
    # A number that is not measured is declined, unless a larger model at an endpoint is asked for it.
    spoken = words and (intent.asked == "words" or (is_number and not measurable and endpoint is not None))
    speaker = speaker_of(model, language, endpoint, endpoint_model, key_from) if spoken else None
    strip = _strip(micrograph) if intent.asked == "written" else {}

    def told(piece: str) -> None:
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()

    # A larger model at an endpoint knows better than a regression on words what it can see.
    declines = is_unanswerable if speaker is not None and endpoint is None else lambda question: False
    answered = answer(
        micrograph, question, speaker=speaker, tools=tools, strip=strip, context=context, told=told,
        declines=declines, guess_numbers=endpoint is not None,
    )  # fmt: skip
    if as_json:
        print(answered.model_dump_json(indent=1))
        return answered
    print()
    told_more = any(one.source != "language" for one in answered.statements) and not answered.abstained
    if speaker is not None or told_more:
        for source in dict.fromkeys(one.source for one in answered.statements):
            say(_TOLD[source])
    return answered


def speaker_of(
    model: Path | None, language: str | None, endpoint: str | None, endpoint_model: str | None, key_from: str,
    *, untrained: bool = False,
) -> Speaker:  # fmt: skip
    """What answers in words: an endpoint where one is given, else the local assistant."""
    from epistem.ask.speakers import EndpointSpeaker, LocalAssistant

    if endpoint == "local":
        raise SettingsError("a local model that sees images is given by --model and --language, not as an endpoint")
    chat = chat_model(endpoint, endpoint_model, key_from)
    if chat is not None:
        if untrained:
            raise SettingsError("the projector of a model behind an endpoint cannot be taken away")
        return EndpointSpeaker(chat)
    return LocalAssistant(model or "assistant", language=language, untrained=untrained)


def _strip(micrograph: Micrograph) -> dict[str, str]:
    """What the data strip says, by the names that questions have."""
    from epistem.ask.picture_kind import read_strip

    said = read_strip(picture(micrograph)).said
    voltage = {"voltage": f"{said['kV']} kV"} if "kV" in said else {}
    return voltage | {name: value for name, value in said.items() if name != "kV"}
