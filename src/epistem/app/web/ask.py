"""Job "ask": what `epistem ask` answers to a question on an image of the session, shown as it comes.

::

    ROOM/runs/ask-<id>/
    ├── said.txt      the answer so far
    ├── answer.json   as `epistem ask --json`
    └── found.png     what was measured, drawn
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistem.app.web.detect import check_size
from epistem.app.web.jobs import Bench
from epistem.app.web.networks import network_of
from epistem.app.web.rooms import Refused, Room
from epistem.core import Quantity
from epistem.core.files import write_text, written_whole

if TYPE_CHECKING:
    from epistem.app.ask_run import Shown
    from epistem.app.web.desk import Desk
    from epistem.ask.answer import Speaker
    from epistem.ask.measured import Looked, Tool
    from epistem.ask.records import Answered, Statement
    from epistem.core import Micrograph

SAID, ANSWER, FOUND = "said.txt", "answer.json", "found.png"
LONGEST, LONGEST_CONTEXT, MOST = 500, 2000, 500
"""Characters of a question and of what is known of the sample; questions of one session."""

EXAMPLES = (
    "How many cavities are there?", "What is the mean diameter of the cavities?", "What is the pixel size?",
    "Which share of the image do the cavities cover?", "What does this image show?",
)  # fmt: skip
_NAME = re.compile(r"ask-[0-9a-f]{8}")
_WORDS = "Words of a language model"
_NO_MODEL = "no language model"


def queue_ask(
    desk: Desk, room: Room, item: str, question: str, *, context: str = "", number: int | None = None,
    words: bool = True, network: str | None = None,
) -> dict[str, str]:  # fmt: skip
    """Queues a question, and tells its job and the name of its folder.

    Args:
        item: id of the image.
        question: in English.
        context: what is known of the sample.
        number: which image of a series, counted from 1; None is the first.
        words: whether a language model may answer what is neither measured nor read.
        network: id of one of the session's segmentation networks, whose classes are measured too.

    Raises:
        Refused: no such image or network, no question, one that is too long, or too many.
    """
    question, context = question.strip(), context.strip()
    room.item(item)
    if network is not None:
        network_of(room, network)
    if not question:
        raise Refused("the question is empty; ask for instance: how many cavities are there?")
    for name, text, most in (("question", question, LONGEST), ("context", context, LONGEST_CONTEXT)):
        if len(text) > most:
            raise Refused(f"the {name} has {len(text):,} characters; up to {most:,} are taken")
    if sum(1 for _ in (room.folder / "runs").glob("ask-*")) >= MOST:
        raise Refused(f"this session has asked {MOST} questions, as many as it may; the command line is epistem ask")
    folder = room.new_run("ask")
    what = {
        "run": folder.name, "question": question, "context": context, "number": number, "words": words,
        "network": network, "image": room.item(item).name,
    }  # fmt: skip
    return {"job": desk.queue_job(room, "ask", what, item), "run": folder.name}


def said_of(room: Room, run: str) -> str:
    """The answer so far; "" where none has begun.

    Raises:
        Refused: no question of that name.
    """
    try:
        return (folder_of(room, run) / SAID).read_text("utf-8", "ignore")
    except OSError:
        return ""


def folder_of(room: Room, run: str) -> Path:
    """Of a question.

    Raises:
        Refused: there is none of that name in this session.
    """
    folder = room.folder / "runs" / run
    if not _NAME.fullmatch(run) or not folder.is_dir():
        raise Refused("there is no such question in this session", 404)
    return folder


def run(bench: Bench) -> dict[str, Any]:
    """Answer one question; the answer is that of `epistem ask --json` on the same file.

    Returns:
        `run`, the answer as JSON, its `parts` with what each is, `lines` on how to take it, and whether something is
        `drawn`.
    """
    from epistem.app.ask_run import TOLD_SHIPPED, put_to, reply, what_it_is

    assert bench.item is not None
    what, item = bench.what, bench.room.item(bench.item)
    folder = folder_of(bench.room, str(what["run"]))
    bench.told("Reading the image")
    segmenters = () if what.get("network") is None else (network_of(bench.room, str(what["network"])).path,)
    image = _read(bench.room.file_of(item), item.pixel_size, what.get("number"))
    check_size(image.micrograph, bench.limits.megapixels)
    put = put_to(image, str(what["question"]), chosen=what.get("number") is not None, segmenters=segmenters)
    speaker = _speaker(bench) if what.get("words", True) and put.is_spoken else None
    if speaker is None:
        bench.told("Looking")
    tools = [_Noting(tool) for tool in put.tools]
    with (folder / SAID).open("w", encoding="utf-8") as said:

        def told(piece: str) -> None:
            said.write(piece)
            said.flush()
            if speaker is not None:
                bench.told(_WORDS)

        answered = reply(put, speaker=speaker, context=str(what.get("context", "")), told=told, tools=tools)
    write_text(folder / ANSWER, answered.model_dump_json(indent=1))
    words_are = None if speaker is None else TOLD_SHIPPED
    return {
        "run": folder.name, "answer": answered.model_dump(mode="json"),
        "parts": [part_of(one, answered) for one in answered.statements],
        "lines": what_it_is(answered, put, item.name, words_are),
        "drawn": _draw(folder / FOUND, put.micrograph, tools, answered),
    }  # fmt: skip


def part_of(said: Statement, answered: Answered) -> dict[str, Any]:
    """A statement for the page: what it is (measured, read, declined or words), and its numbers."""
    from epistem.ask.answer import abstains

    declined = abstains(said.text) or (said.source == "language" and answered.model == _NO_MODEL)
    mark = "declined" if declined else "words" if said.source == "language" else said.source
    return {"mark": mark, **said.model_dump(mode="json")}


@dataclass
class _Noting:
    """A tool that remembers what it found, so that the very same objects are drawn."""

    tool: Tool
    looked: Looked | None = None

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def finds(self) -> tuple[str, ...]:
        return self.tool.finds

    def look(self, micrograph: Micrograph) -> Looked:
        self.looked = self.tool.look(micrograph)
        return self.looked


def _draw(path: Path, micrograph: Micrograph, tools: list[_Noting], answered: Answered) -> bool:
    """Whether something was measured, and is drawn now."""
    from epistem.report.overlay import overlay_png

    looked = next((one.looked for one in tools if one.looked is not None), None)
    if looked is None or answered.statements[0].source != "measured":
        return False
    png = overlay_png(micrograph, looked.found, max_px=1200)
    with written_whole(path) as part:
        part.write_bytes(png)
    return True


@lru_cache(maxsize=1)
def _read(path: Path, pixel_size: str | None, number: int | None) -> Shown:
    """The image that was last asked about is kept: most questions come after another one. Uploads never change."""
    from epistem.app.ask_run import shown

    return shown(path, pixel_size, number)


def _speaker(bench: Bench) -> Speaker:
    bench.told("Opening the language model")
    speaker = _assistant()
    bench.told(_WORDS)
    return speaker


@lru_cache(maxsize=1)
def _assistant() -> Speaker:
    """The shipped one, kept between questions. Never an endpoint: its address would be a visitor's to choose."""
    from epistem.app.ask_run import speaker_of

    return speaker_of(None, None, None, None, "")


def value_of(part: Mapping[str, Any]) -> str:
    """The number of a statement with its unit and interval; "" where it has none.

    >>> value_of({"value": 6.123, "unit": "nm", "low": None, "high": None, "coverage": None})
    '6.12 nm'
    >>> value_of({"value": 54.0, "unit": "1", "low": None, "high": None, "coverage": None})
    '54'
    """
    from epistem.report.words import with_interval

    value, unit = part["value"], part["unit"] or ""
    if value is None:
        return ""
    if unit == "1":  # a count
        return f"{value:,.0f}"
    return with_interval(Quantity("", "", value, unit, part["low"], part["high"], part["coverage"]))
