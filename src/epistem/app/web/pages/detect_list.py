"""The images of a session, as they came or by what to label first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.pages.parts import attribute, last_told, tried
from epistem.app.web.rooms import Room
from epistem.core import EpistemError

_STATES = {
    "waiting": ("schedule", "Waiting"), "running": ("hourglass_top", "Working"), "done": ("check", "Done"),
    "failed": ("error", "Failed"), "cancelled": ("cancel", "Cancelled"),
}  # fmt: skip
Images = Sequence[Mapping[str, Any]]


class ImageList:
    """The list, and the button that asks what to label next.

    Args:
        desk: what can be done.
        room: of the session.
        choose: is told which image (and slice) was chosen.
        removed: is told which was removed.
    """

    def __init__(
        self, desk: Desk, room: Room, choose: Callable[..., None], removed: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._desk, self._room, self._choose, self._on_removed = desk, room, choose, removed
        self._images: Images = ()
        self._chosen: str | None = None
        self._first: dict[str, dict[str, Any]] = {}
        self._asked: str | None = None
        self._next = ui.button("Label next", icon="label", on_click=self._ask).props("dense no-caps outline")
        self._next.tooltip("Orders the images by what the detector and its forecast would learn most from.")
        self._next.set_visibility(False)
        self._draw = ui.refreshable(self._drawn)
        self._draw()

    def show(self, images: Images, jobs: Sequence[Mapping[str, Any]], chosen: str | None) -> None:
        """The list as it is now."""
        self._images, self._chosen = images, chosen
        analysed = sum(bool(one["job"] and one["job"]["state"] == "done") for one in images)
        self._next.set_visibility(analysed > 1)
        job = last_told(jobs, "next")
        if job is not None and job["id"] == self._asked and job["state"] == "done":
            self._asked = None
            self._answered(job["result"])
        self._draw.refresh()

    def _ask(self) -> None:
        self._asked = tried(lambda: self._desk.queue_job(self._room, "next", {}))

    def _answered(self, result: Mapping[str, Any]) -> None:
        self._first = {}
        for one in result["first"]:
            self._first.setdefault(one["id"], one)
        if not self._first:
            why = "no forecast covers the weights they were analysed with" if result["without"] else "all are right"
            ui.notify(f"Nothing to label next: {why}.")
            return
        best = next(iter(self._first.values()))
        self._choose(best["id"], best["slice"])

    def _drawn(self) -> None:
        if not self._images:
            ui.label("dm3, dm4, emd, ser, mrc, hspy, tif, png…").classes("epi-note")
            return
        place = {id: i for i, id in enumerate(self._first)}
        ordered = sorted(self._images, key=lambda one: place.get(one["id"], len(place)))
        if self._first:
            ui.label("Most worth labelling first.").classes("epi-note")
        with ui.list().props("dense separator").classes("w-full max-h-[50vh] overflow-auto"):
            for one in ordered:
                self._draw_image(one)

    def _draw_image(self, one: Mapping[str, Any]) -> None:
        icon, words = _words(one["job"])
        with ui.item(on_click=lambda: self._choose(one["id"])).props(
            f"clickable {'active' if one['id'] == self._chosen else ''}"
        ):
            with ui.item_section().props("avatar").classes("min-w-0 pr-3"):
                ui.icon("task_alt" if one["right"] else icon, color="negative" if icon == "error" else "primary")
            with ui.item_section():
                ui.item_label(one["name"]).classes("epi-name").props(f'lines=2 title="{attribute(one["name"])}"')
                ui.item_label(words).props("caption").classes("break-words")
                if one["id"] in self._first and not one["right"]:
                    ui.item_label(self._first[one["id"]]["reason"]).props("caption").classes("break-words")
            with ui.item_section().props("side"):
                ui.button(icon="close", on_click=lambda: self._remove(one["id"])).props(
                    f'flat dense round size=sm aria-label="Remove {attribute(one["name"])}"'
                )

    def _remove(self, id: str) -> None:
        with suppress(EpistemError):  # another tab was faster
            self._desk.remove(self._room, id)
        self._first.pop(id, None)
        self._on_removed(id)


def _words(job: Mapping[str, Any] | None) -> tuple[str, str]:
    if job is None:
        return "image", ""
    icon, words = _STATES[job["state"]]
    if job["state"] == "done":
        images = job["result"]["images"]
        f1 = "" if images[0]["f1"] is None else f", expected F1 {images[0]['f1']:.2f}"
        words = f"{sum(one['n'] for one in images)} found{f1}, {images[0]['verdict'] or 'no verdict'}"
    elif job["state"] == "failed":
        words = job["why"]
    elif job["state"] == "running":
        words = job["words"]
    return icon, words
