"""The tab that compares segmentation networks on a person's own labelled images."""

from __future__ import annotations

from typing import Any

from nicegui import run, ui

from epistem.app.web.bench import (
    keep_profile,
    profile_text,
    queue_bench,
    quick,
    ranking_of,
    report_of,
    segmenters,
    simulate,
)
from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.pages.parts import short
from epistem.app.web.pages.working import POLL_S, OneAtATime, asked, draw_job
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Room
from epistem.core import EpistemError
from epistem.report.words import counted, percent

_HOW = (
    "A zip with images/ and masks/ of the same names, or a.tif beside a_mask.png, or a COCO .json. Three specimens "
    "or more: names begin with theirs."
)


class BenchTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._jobs: list[Queued] = []
        self._ranking: dict[str, Any] | None = None
        self._report: str | None = None
        self._offered: list[str] = []
        self._shown: str | None = None
        self._drawn: object = None
        self._fetch = OneAtATime(self._fetched)
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-[280px_minmax(0,1fr)_380px] gap-4"):
            with ui.column().classes("epi-column w-full gap-3"):
                self._left()
            with ui.column().classes("epi-column w-full gap-2"):
                self._middle()
            with ui.column().classes("epi-column w-full gap-2"):
                self._results = ui.refreshable(self._draw_results)
                self._results()
        ui.timer(POLL_S, self._poll)

    # ---- what stands where

    def _left(self) -> None:
        Drop(
            "/api/bench", max_bytes=self._desk.rooms.limits.upload_bytes,
            words="Drop a zip of images with their masks", on_done=self._stored,
        ).classes("w-full")  # fmt: skip
        ui.label(_HOW).classes("epi-note")
        ui.button("Try it with simulated images", on_click=self._simulate).props("no-caps outline")
        self._study = ui.select({}, label="Images", on_change=self._chosen).classes("w-full")
        self._found = ui.refreshable(self._draw_found)
        self._found()

    def _middle(self) -> None:
        with ui.column().classes("w-full gap-2") as self._edit:
            ui.label("Profile: which networks, trained how, on which images").classes("font-bold")
            self._text = ui.textarea().props(
                'outlined input-class="font-mono text-xs" rows=22 aria-label="Profile (JSON)" spellcheck=false'
            )
            self._text.classes("w-full")
            with ui.row().classes("gap-2"):
                self._go = ui.button("Run", on_click=self._run).props("no-caps")
                ui.button("Check", on_click=self._check).props("no-caps outline")
                ui.button("Make it a quick look", on_click=self._quick).props("no-caps flat")
            self._told = ui.label().classes("whitespace-pre-line break-words").props('role="status"')
        self._edit.set_visibility(False)

    # ---- what happens

    def _stored(self, name: str, id: str) -> None:
        self._shown = id  # to be chosen once its job is seen

    def _simulate(self) -> None:
        def made() -> None:
            self._shown = simulate(self._desk, self._room)["id"]

        asked(made)

    def _chosen(self) -> None:
        self._text.value, self._told.text, self._drawn = "", "", None

    async def _check(self) -> bool:
        name, text = str(self._study.value), str(self._text.value or "")
        try:
            found = await run.io_bound(keep_profile, self._room, name, text)
        except EpistemError as error:
            self._told.text = str(error)
            return False
        if found is None:  # the server stops
            return False
        job = self._last("bench_init")
        before = job.result["notes"] if job is not None and job.state == "done" else ()
        news = [note for note in found["notes"] if note not in before]
        self._told.text = "\n".join([f"{counted(found['networks'], 'network')} in the grid.", *news])
        return True

    async def _quick(self) -> None:
        try:
            keep_profile(self._room, str(self._study.value), str(self._text.value or ""))
            self._text.value = quick(self._room, str(self._study.value))
        except EpistemError as error:
            self._told.text = str(error)
            return
        await self._check()

    async def _run(self) -> None:
        if await self._check():
            asked(lambda: queue_bench(self._desk, self._room, str(self._study.value)))

    async def _poll(self) -> None:
        jobs = await self._fetch()
        if jobs is None:
            return
        self._jobs = jobs
        studies = {str(one.what["run"]): str(one.what["called"]) for one in jobs if one.kind == "bench_init"}
        if studies != self._study.options:
            fresh = self._shown if self._shown in studies else None
            kept = fresh or (self._study.value if self._study.value in studies else next(iter(studies), None))
            self._study.set_options(_apart(studies), value=kept)
        if self._study.value is None:
            return
        await self._look()

    def _fetched(self) -> list[Queued]:
        return [job for job in self._desk.queue.of_room(self._room.name) if job.kind in ("bench_init", "bench")]

    async def _look(self) -> None:
        name = str(self._study.value)
        seen = await run.io_bound(self._seen, name)
        if seen is None:  # the server stops
            return
        text, self._ranking, self._report, self._offered = seen
        now = (name, bool(text), self._report, self._ranking, [(one.id, one.state, one.words) for one in self._own()])
        if now == self._drawn:
            return
        before, self._drawn = self._drawn, now
        self._edit.set_visibility(bool(text))
        if text and (not isinstance(before, tuple) or before[:2] != now[:2]):
            self._text.value = text
        job = self._last("bench")
        self._go.set_text("Go on" if job is not None and job.state in ("cancelled", "failed") else "Run")
        self._go.set_enabled(job is None or job.state not in ("waiting", "running"))
        self._found.refresh()
        self._results.refresh()

    def _seen(self, name: str) -> tuple[str, dict[str, Any] | None, str | None, list[str]]:
        room = self._room
        offered = [called for called, path in segmenters(room) if path.parent.name == name]
        return profile_text(room, name), ranking_of(room, name), report_of(room, name), offered

    def _own(self) -> list[Queued]:
        return [one for one in self._jobs if one.what["run"] == self._study.value]

    def _last(self, kind: str) -> Queued | None:
        own = [one for one in self._own() if one.kind == kind]
        return own[-1] if own else None

    # ---- pieces

    def _draw_found(self) -> None:
        job = self._last("bench_init")
        draw_job(job, self._desk, self._room, "Looking at the images")
        if job is None or job.state != "done":
            return
        told = job.result
        ui.label(f"{counted(told['images'], 'image')} of {counted(told['groups'], 'group')}").classes("font-bold")
        for name, share in told["classes"].items():
            ui.label(f"{name}: {percent(share)} of the pixels")
        for note in told["notes"]:
            ui.label(note).classes("epi-note break-words")

    def _draw_results(self) -> None:
        job = self._last("bench")
        draw_job(job, self._desk, self._room, "Training networks")
        if job is not None and job.state == "cancelled":
            ui.label("Cancelled. What is done is kept; “Go on” does the rest.").classes("epi-note")
        for one in job.result["failed"] if job is not None and job.state == "done" else ():
            with ui.row().classes("items-start no-wrap gap-2"):
                ui.icon("error", color="negative", size="sm")
                ui.label(f"{one['network']}: {one['why']}").classes("break-words")
        if self._ranking is not None:
            self._draw_ranking(self._ranking)
        if self._report is not None:
            ui.link("Report: masks, differences beyond chance, ready or revise", self._report, new_tab=True)
        for name in self._offered:
            ui.label(f"To use it on new images, choose “{name}” in the tab Segment.").classes("break-words")

    def _draw_ranking(self, told: dict[str, Any]) -> None:
        if not told["models"]:
            return
        many = any(row["sd"] is not None for row in told["models"])
        ui.label(f"{told['primary']} of the foreground on {counted(told['images'], 'test image')}").classes(
            "font-bold"
        )
        with ui.element("div").classes("w-full overflow-x-auto"), ui.element("table").classes("w-full text-sm"):
            with ui.element("tr"):
                for heading in ("Network", "Start", "Seeds", "Mean", "SD")[: None if many else 4]:
                    with ui.element("th").classes("text-left pr-3"):
                        ui.label(heading)
            for row in told["models"]:
                variant = "" if row["variant"] == "canonical" else f" ({row['variant']})"
                network = f"{row['encoder']} + {row['decoder']}"
                weak = ", undertrained" if network in told["undertrained"] else ""
                cells = (
                    f"{network}{variant}{weak}", "random" if row["weights"] == "none" else row["weights"],
                    str(row["seeds"]), short(row["value"]), *([short(row["sd"])] if many else []),
                )  # fmt: skip
                with ui.element("tr"):
                    for text in cells:
                        with ui.element("td").classes("pr-3 py-1 align-top"):
                            ui.label(text)
        if told["best"]:
            ui.label(f"Used on new images: {told['best']}.").classes("break-words")


def _apart(studies: dict[str, str]) -> dict[str, str]:
    """Names of studies, told apart by number where two are called alike."""
    every = list(studies.values())
    return {
        name: called if every.count(called) == 1 else f"{called} ({every[: i + 1].count(called)})"
        for i, (name, called) in enumerate(studies.items())
    }
