"""The tab that answers questions on an image, and says of each answer what it is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from nicegui import run, ui

from epistem.app.web.ask import EXAMPLES, FOUND, LONGEST, LONGEST_CONTEXT, queue_ask, said_of, value_of
from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.networks import networks
from epistem.app.web.pages.parts import VERDICTS
from epistem.app.web.pages.working import POLL_S, OneAtATime, asked, draw_job, last_job, offer
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Item, Room
from epistem.core import EpistemError

STREAM_S = 0.15
_MARKS = {
    "measured": ("Measured", "positive", "straighten"), "read": ("Read", "primary", "description"),
    "declined": ("Declined", "grey-8", "block"), "words": ("Words of a language model", "warning", "chat"),
}  # fmt: skip


class _News(NamedTuple):
    items: list[Item]
    networks: dict[str, str]
    questions: list[Queued]
    jobs: list[Queued]


class AskTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._items: list[Item] = []
        self._jobs: list[Queued] = []
        self._questions: list[Queued] = []
        self._drawn: object = None
        self._fetch = OneAtATime(self._fetched)
        self._live: dict[str, ui.label] = {}
        self._said: dict[str, str] = {}
        self._progress: dict[str, ui.column] = {}
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-[300px_minmax(0,1fr)] gap-4"):
            with ui.column().classes("epi-column w-full gap-3"):
                self._left()
            with ui.column().classes("epi-column w-full gap-3"):
                self._right()
        ui.timer(POLL_S, self._poll)
        ui.timer(STREAM_S, self._stream)

    # ---- what stands where

    def _left(self) -> None:
        most = self._desk.rooms.limits.upload_bytes
        Drop("/api/images?detect=false", max_bytes=most, on_done=self._stored).classes("w-full")
        self._image = ui.select({}, label="Image").classes("w-full")

    def _right(self) -> None:
        with ui.row().classes("w-full items-center no-wrap gap-2"):
            self._question = ui.input("Question").props(f"maxlength={LONGEST} outlined").classes("grow")
            self._question.on("keydown.enter", self._ask)
            self._go = ui.button("Ask", on_click=self._ask).props("no-caps")
        with ui.row().classes("gap-1"):
            for example in EXAMPLES:
                ui.button(example, on_click=lambda _, text=example: self._take(text)).props(
                    "outline dense no-caps rounded size=12px padding='4px 10px'"
                )
        self._words = ui.switch("Words by a language model, where nothing can be measured or read", value=True)
        with ui.expansion("More", icon="tune").classes("w-full"):
            ui.label(
                "Numbers are measured or read, never made up by the language model. It is small and learned from "
                "simulated scenes: on a real image it is often wrong."
            ).classes("epi-note")
            self._context = ui.textarea("Known of the sample").props(f"autogrow maxlength={LONGEST_CONTEXT}")
            self._context.classes("w-full")
            self._number = ui.number("Image of a stack or series, from 1", min=1, precision=0).classes("w-full")
            self._network = ui.select({}, label="Measure with a network of yours, too", clearable=True)
            self._network.classes("w-full")
        self._history = ui.refreshable(self._draw_history)
        self._history()

    # ---- what happens

    def _stored(self, name: str, id: str) -> None:
        with suppress(EpistemError):  # the browser may tell anything
            item = self._room.item(id)
            self._items = [*self._items, item]
            self._image.set_options({one.id: one.name for one in self._items}, value=id)

    def _take(self, question: str) -> None:
        self._question.value = question
        self._question.run_method("focus")

    async def _ask(self) -> None:
        if self._image.value is None:
            ui.notify("Choose an image, or drop one.", type="warning")
            return
        number = None if self._number.value is None else int(self._number.value)
        if asked(lambda: queue_ask(
            self._desk, self._room, str(self._image.value), str(self._question.value or ""),
            context=str(self._context.value or ""), number=number, words=bool(self._words.value),
            network=self._network.value,
        )):  # fmt: skip
            await self._poll()

    async def _poll(self) -> None:
        news = await self._fetch()
        if news is None:
            return
        self._questions, self._jobs = news.questions, news.jobs
        if news.items != self._items or not self._image.options:
            self._items = news.items
            offer(self._image, news.items)
        if news.networks != self._network.options:
            self._network.set_options(news.networks)
        self._network.set_visibility(bool(news.networks))
        now = [(one.id, one.state) for one in self._questions]
        if now != self._drawn:
            self._drawn = now
            self._live.clear()
            self._progress.clear()
            self._history.refresh()
            return
        for job in self._questions:
            if job.id in self._progress:
                self._draw_progress(job)

    def _fetched(self) -> _News:
        jobs = self._desk.queue.of_room(self._room.name)
        nets = {one.id: one.name for one in networks(self._room)}
        questions = [job for job in jobs if job.kind == "ask" and job.state != "cancelled"]
        return _News(self._room.items(), nets, questions, jobs)

    async def _stream(self) -> None:
        """What an answer has come to, and the answer itself once it is whole."""
        open_ = [one for one in self._questions if one.state in ("waiting", "running")]
        if not open_:
            return
        for job in open_:
            said = await run.io_bound(said_of, self._room, str(job.what["run"]))
            if said and job.id in self._live:
                self._said[job.id] = self._live[job.id].text = said
        states = await run.io_bound(lambda: [self._desk.queue.state_of(one.id) for one in open_])
        if states is not None and states != [one.state for one in open_]:
            await self._poll()

    # ---- pieces

    def _draw_history(self) -> None:
        if not self._questions:
            ui.label(
                "Each answer says whether it was measured, read from the file, declined, or is only words."
            ).classes("epi-note")
        for job in reversed(self._questions):
            with ui.card().classes("w-full gap-1").props(f'data-question="{job.id}"'):
                ui.label(str(job.what["question"])).classes("font-bold break-words")
                ui.label(str(job.what["image"])).classes("epi-note epi-name")
                if job.state == "done":
                    self._draw_answer(job)
                else:
                    self._live[job.id] = (
                        ui.label(self._said.get(job.id, ""))
                        .classes("break-words")
                        .props('role="status" aria-live="polite"')
                    )
                    self._progress[job.id] = ui.column().classes("w-full gap-1")
                    self._draw_progress(job)

    def _draw_progress(self, job: Queued) -> None:
        self._progress[job.id].clear()
        with self._progress[job.id]:
            draw_job(job, self._desk, self._room, "Answering")

    def _draw_answer(self, job: Queued) -> None:
        told, answer = job.result, job.result["answer"]
        for note in (*((f"Asked about {answer['shown']}.",) if answer["shown"] else ()), *answer["notes"]):
            ui.label(note).classes("epi-note")
        for part in told["parts"]:
            self._draw_part(part)
        if not told["drawn"]:
            for line in told["lines"]:
                ui.label(line).classes("epi-note break-words")
            return
        at = f"/runs/{told['run']}/{FOUND}"
        with ui.link(target=at, new_tab=True).classes("w-full max-w-md"):
            image = ui.element("img").classes("w-full")
            image.props(f'src="{at}" alt="The image with what was measured outlined" loading="lazy"')
        ui.label("Outlined is what was measured.").classes("epi-note")
        seen = last_job(self._jobs, "detect", job.item)
        if seen is not None and seen.state == "done":
            folder = seen.result["images"][0]["folder"]
            ui.link("Its detection: report", f"/results/{quote(folder)}/report.html", new_tab=True)

    def _draw_part(self, part: dict[str, Any]) -> None:
        words, colour, icon = _MARKS[part["mark"]]
        with ui.row().classes("items-center gap-2"):
            ui.icon(icon, color=colour, size="sm")
            ui.label(words).classes(f"font-bold text-{colour}")
            if part["mark"] == "measured" and (value := value_of(part)):
                ui.label(value).classes("text-lg")
        ui.label(part["text"]).classes("break-words whitespace-pre-line")
        if part["verdict"] is not None:
            words, colour, icon = VERDICTS[part["verdict"]]
            with ui.row().classes("items-center gap-2"):
                ui.icon(icon, color=colour, size="xs")
                ui.label(words).classes(f"text-{colour}")
