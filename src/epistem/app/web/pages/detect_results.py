"""What can be taken along: of one image and of all, as found and as corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.measured import CORRECTIONS
from epistem.app.web.pages.detect_card import draw_progress
from epistem.app.web.pages.parts import last_told, tried
from epistem.app.web.rooms import Room
from epistem.app.worker import EXPORTS

_FILES = (("Report", "report.html"), *EXPORTS)
_WHICH = {"found": "As found", "corrected": "As corrected"}
Jobs = Sequence[Mapping[str, Any]]


class Results:
    """Downloads.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._images: Sequence[Mapping[str, Any]] = ()
        self._jobs: Jobs = ()
        self._item: Mapping[str, Any] | None = None
        self._slice = 0
        self._seen: object = None
        self._draw = ui.refreshable(self._drawn)
        self._draw()

    def show(self, images: Sequence[Mapping[str, Any]], jobs: Jobs) -> None:
        """What there is now."""
        self._images = images
        self._jobs = [job for job in jobs if job["kind"] in ("results", "measure")]
        self._refresh()

    def choose(self, item: Mapping[str, Any] | None, slice_: int) -> None:
        """Another image."""
        self._item, self._slice = item, slice_
        self._refresh()

    def _refresh(self) -> None:
        done = [one["id"] for one in self._images if _is_done(one)]
        seen = (done, self._jobs, self._item and (self._item["id"], _is_done(self._item)), self._slice)
        if seen != self._seen:  # a link that is being clicked stays
            self._seen = seen
            self._draw.refresh()

    def _drawn(self) -> None:
        if not any(_is_done(one) for one in self._images):
            return
        ui.label("Results").classes("font-bold mt-2")
        if self._item is not None and _is_done(self._item):
            self._draw_image(self._item)
        with ui.expansion("Of all images", value=True).classes("w-full"):
            for which in _WHICH:
                self._draw_all(which)

    def _draw_image(self, item: Mapping[str, Any]) -> None:
        with ui.expansion("Of this image").classes("w-full"):
            ui.label(_WHICH["found"])
            self._links("results", item["job"]["result"])
            ui.label(_WHICH["corrected"]).classes("mt-2")
            job = last_told([one for one in self._jobs if one["item"] == item["id"]], "measure")
            if job is not None and job["state"] in ("waiting", "running"):
                draw_progress(self._desk, self._room, job)
                return
            if job is not None and job["state"] == "done":
                self._links("corrected", job["result"])
            elif job is not None and job["state"] == "failed":
                ui.label(job["why"]).classes("text-negative")
            ui.button(
                "Measure the corrected objects",
                on_click=lambda: tried(lambda: self._desk.measure(self._room, item["id"])),
            ).props("dense no-caps outline")  # fmt: skip

    def _links(self, where: str, result: Mapping[str, Any]) -> None:
        folder = result["images"][min(self._slice, len(result["images"]) - 1)]["folder"]
        with ui.row().classes("gap-x-3 gap-y-0"):
            for label, file in _FILES:
                ui.link(label, f"/{where}/{folder}/{file}", new_tab=file.endswith(".html"))

    def _draw_all(self, which: str) -> None:
        ui.label(_WHICH[which])
        job = last_told([one for one in self._jobs if one["what"].get("which") == which], "results")
        if job is not None and job["state"] in ("waiting", "running"):
            draw_progress(self._desk, self._room, job)
            return
        where = "results" if which == "found" else "corrected"
        with ui.row().classes("gap-x-3 gap-y-0"):
            if job is not None and job["state"] == "done":
                ui.link("Report", f"/{where}/report.html", new_tab=True)
                ui.link("Images (CSV)", f"/{where}/images.csv")
                ui.link("Objects (CSV)", f"/{where}/objects.csv")
                ui.link("Everything (zip)", f"/api/results-{which}.zip")
                if which == "corrected" and (self._room.corrected / CORRECTIONS).is_file():
                    ui.link("Corrections (COCO)", "/api/corrections.json")
            elif job is not None and job["state"] == "failed":
                ui.label(job["why"]).classes("text-negative")
        words = "Write again" if job is not None and job["state"] == "done" else "Write report and tables"
        ui.button(words, on_click=lambda: tried(lambda: self._desk.results(self._room, which))).props(
            f'dense no-caps outline aria-label="{words}, {_WHICH[which].lower()}"'
        )


def _is_done(one: Mapping[str, Any]) -> bool:
    return bool(one["job"] and one["job"]["state"] == "done")
