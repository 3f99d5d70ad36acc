"""The tab that finds, measures, forecasts, and takes corrections."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nicegui import run, ui

from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.edits import objects_now
from epistem.app.web.histogram import histogram_svg
from epistem.app.web.looks import is_kept, sizes
from epistem.app.web.pages.parts import quantities_table, short, trust_card
from epistem.app.web.rooms import Room, read_json
from epistem.app.web.viewer import Viewer
from epistem.core import EpistemError
from epistem.report.words import counted

POLL_S = 0.5
_MODES = {"look": "Look", "add": "Add", "delete": "Delete", "confirm": "Confirm"}
_STATES = {
    "waiting": ("schedule", "Waiting"), "running": ("hourglass_top", "Working"), "done": ("check", "Done"),
    "failed": ("error", "Failed"), "cancelled": ("cancel", "Cancelled"),
}  # fmt: skip


class DetectTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._images: list[dict[str, Any]] = []
        self._chosen: str | None = None
        self._slice = 0
        self._told: dict[str, Any] | None = None
        self._objects: list[dict[str, Any]] = []
        self._at = 0
        self._seen: object = None
        self._busy = False
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-[260px_minmax(0,1fr)_330px] gap-4"):
            with ui.column().classes("epi-column w-full"):
                self._left()
            with ui.column().classes("epi-column w-full"):
                self._middle()
            with ui.column().classes("epi-column w-full"):
                self._right()
        ui.timer(POLL_S, self._poll)

    # ---- what stands where

    def _left(self) -> None:
        Drop("/api/images", max_bytes=self._desk.rooms.limits.upload_bytes, on_done=self._stored).classes("w-full")
        self._list = ui.refreshable(self._draw_list)
        self._list()
        self._downloads = ui.refreshable(self._draw_downloads)
        self._downloads()

    def _middle(self) -> None:
        self._title = ui.label("Drop a micrograph to begin.").classes("text-base font-bold break-all")
        self._modes = ui.toggle(_MODES, value="look", on_change=self._mode_changed).props("dense no-caps spread")
        self._modes.classes("w-full max-w-md").set_visibility(False)
        self._viewer = Viewer(on_pick=self._picked, on_edit=self._edited, on_leave=self._look_again).classes("w-full")
        self._scale = ui.refreshable(self._draw_scale)
        self._scale()
        self._warnings = ui.column().classes("gap-1")

    def _right(self) -> None:
        with ui.column().classes("w-full gap-1") as self._threshold_box:
            self._score_words = ui.label().classes("font-bold")
            self._slider = ui.slider(min=0, max=1, step=1, value=0, on_change=self._slid).props(
                'snap markers aria-label="Score threshold"'
            )
        self._threshold_box.set_visibility(False)
        self._card = ui.refreshable(self._draw_card)
        self._card()
        self._object = ui.refreshable(self._draw_object)
        self._object()

    # ---- what happens

    def _stored(self, name: str, id: str) -> None:
        if self._chosen is None:
            self._choose(id)

    async def _poll(self) -> None:
        if self._busy:  # the one before is still under way
            return
        self._busy = True
        try:
            state = await run.io_bound(self._desk.state, self._room)
        finally:
            self._busy = False
        if state is None:  # the server stops
            return
        if state["images"] != self._images:
            self._images = state["images"]
            self._list.refresh()
            self._downloads.refresh()
            if self._chosen is None and self._images:
                self._choose(self._images[0]["id"])
        self._look_for_news()

    def _look_for_news(self) -> None:
        """Shows the chosen image again where a worker has written something of it."""
        if self._chosen is None:
            return
        path = self._room.look_of(self._chosen, self._slice) / "thresholds.json"
        seen = (self._chosen, self._slice, path.stat().st_mtime_ns if path.exists() else None)
        if seen != self._seen:
            self._seen = seen
            self._show()

    def _choose(self, id: str, slice_: int = 0) -> None:
        self._chosen, self._slice, self._seen = id, slice_, None
        self._list.refresh()
        self._look_for_news()

    def _show(self) -> None:
        told = read_json(self._look / "thresholds.json")
        before = None if self._told is None else (self._told["name"], self._slice)
        self._told = told
        self._warnings.clear()
        for box in (self._modes, self._threshold_box):
            box.set_visibility(told is not None)
        if told is None:
            self._title.text = "Waiting for its turn…"
            self._card.refresh()
            self._scale.refresh()
            return
        self._title.text = told["name"]
        self._viewer.set_visibility(True)
        with self._warnings:
            for words in told["warnings"]:
                ui.label(words).classes("epi-note")
        self._read_objects()
        if before != (told["name"], self._slice):
            self._viewer.show(f"{self._url}/picture.png?{self._seen_at}", f"{self._url}/objects.json")
        else:
            self._viewer.refresh()
        rows = told["rows"]
        own = next(i for i, row in enumerate(rows) if row["score"] == told["own"]["score"])
        self._slider.props(f"max={len(rows) - 1}").set_value(own)
        self._threshold_box.set_visibility(len(rows) > 1)
        self._at = own
        self._threshold_moved()
        self._scale.refresh()

    def _slid(self, event: Any) -> None:
        if self._told is not None and event.value is not None:
            self._at = min(int(event.value), len(self._told["rows"]) - 1)
            self._threshold_moved()

    def _threshold_moved(self) -> None:
        score = self._row["score"]
        self._viewer.threshold = score or 0.0
        is_own = self._told is not None and score == self._told["own"]["score"]
        self._score_words.text = (
            f"Score threshold {score:.2f}{' (the detector’s own)' if is_own else ''}" if score else ""
        )
        self._card.refresh()
        self._object.refresh()

    def _picked(self, id: int | None) -> None:
        self._object.refresh()

    def _mode_changed(self, event: Any) -> None:
        self._viewer.mode = event.value

    def _look_again(self) -> None:
        self._modes.value = "look"

    def _edited(self, op: str, id: int | None, ring: list[float] | None) -> None:
        assert self._chosen is not None
        try:
            self._desk.edit(self._room, self._chosen, self._slice, op, id, ring)
        except EpistemError as error:
            ui.notify(str(error), type="warning")
            return
        self._read_objects()
        self._viewer.refresh()
        self._card.refresh()
        self._object.refresh()

    def _read_objects(self) -> None:
        try:
            self._objects = objects_now(self._room, str(self._chosen), self._slice)["objects"]
        except EpistemError:
            self._objects = []

    # ---- pieces

    def _draw_list(self) -> None:
        if not self._images:
            ui.label("dm3, dm4, emd, ser, mrc, hspy, tif, png…").classes("epi-note")
            return
        with ui.list().props("dense separator").classes("w-full max-h-[50vh] overflow-auto"):
            for one in self._images:
                self._draw_image(one)

    def _draw_image(self, one: Mapping[str, Any]) -> None:
        job = one["job"]
        icon, words = _STATES[job["state"]] if job else ("image", "")
        if job and job["state"] == "done":
            first = job["result"]["images"][0]
            f1 = "" if first["f1"] is None else f", expected F1 {first['f1']:.2f}"
            n = sum(image["n"] for image in job["result"]["images"])
            words = f"{n} found{f1}, {first['verdict'] or 'no verdict'}"
        elif job and job["state"] == "failed":
            words = job["why"]
        elif job and job["state"] == "running":
            words = job["words"]
        with ui.item(on_click=lambda id=one["id"]: self._choose(id)).props(
            f"clickable {'active' if one['id'] == self._chosen else ''}"
        ):
            with ui.item_section().props("avatar"):
                ui.icon("task_alt" if one["right"] else icon, color="negative" if icon == "error" else "primary")
            with ui.item_section():
                ui.item_label(one["name"]).classes("break-all")
                ui.item_label(words).props("caption").classes("break-words")
            with ui.item_section().props("side"):
                ui.button(icon="close", on_click=lambda _, id=one["id"]: self._remove(id)).props(
                    f'flat dense round size=sm aria-label="Remove {_attribute(one["name"])}"'
                )

    def _remove(self, id: str) -> None:
        with suppress(EpistemError):  # another tab was faster
            self._desk.remove(self._room, id)
        if id == self._chosen:
            self._chosen, self._told, self._objects = None, None, []
            self._show_nothing()

    def _show_nothing(self) -> None:
        self._title.text = "Drop a micrograph to begin."
        self._viewer.set_visibility(False)
        for box in (self._modes, self._threshold_box):
            box.set_visibility(False)
        self._card.refresh()
        self._scale.refresh()
        self._object.refresh()

    def _draw_downloads(self) -> None:
        if not any(one["job"] and one["job"]["state"] == "done" for one in self._images):
            return
        ui.label("Results").classes("font-bold mt-2")
        with ui.column().classes("gap-0"):
            ui.link("Report of all images", "/results/report.html", new_tab=True)
            ui.link("Everything, as a zip", "/api/results.zip")
            if any(one["right"] for one in self._images):
                ui.link("Corrections (COCO)", "/api/corrections.json")

    def _draw_scale(self) -> None:
        if self._told is None:
            return
        scale = self._told["calibration"]
        words = "Pixel size not known: lengths are in pixels." if scale is None else (
            f"Pixel size {short(scale['col_nm'])} nm (from {scale['source']})"
        )  # fmt: skip
        with ui.row().classes("items-center gap-2"):
            ui.label(words)
            typed = ui.input("Other pixel size", placeholder="0.38 nm").props("dense").classes("w-40")
            typed.on("keydown.enter", lambda: self._rescale(typed.value))
            ui.button("Set", on_click=lambda: self._rescale(typed.value)).props("dense no-caps outline")

    def _rescale(self, text: str) -> None:
        assert self._chosen is not None
        try:
            self._desk.change(self._room, self._chosen, text)
        except EpistemError as error:
            ui.notify(str(error), type="warning")

    def _draw_card(self) -> None:
        if self._told is None:
            self._draw_waiting()
            return
        trust_card(self._row)
        ui.separator()
        quantities_table(self._row["quantities"])
        self._draw_corrections()
        values, unit = sizes(self._objects, self._row["score"])
        ui.html(histogram_svg(values, unit, self._selected_size(unit)), sanitize=False).classes("w-full")
        self._draw_right()

    def _draw_waiting(self) -> None:
        job = next((one["job"] for one in self._images if one["id"] == self._chosen), None)
        if job is None:
            return
        if job["state"] == "failed":
            ui.label(job["why"]).classes("text-negative")
            return
        if job["state"] in ("waiting", "running"):
            ui.label(job["words"] or "Waiting for its turn")
            ui.linear_progress(value=job["share"] or 0, show_value=False).props(
                "" if job["share"] else "indeterminate"
            )
            ui.button("Cancel", on_click=lambda: self._desk.queue.cancel(job["id"], self._room.name)).props(
                "flat no-caps"
            )

    def _draw_corrections(self) -> None:
        states = [one["state"] for one in self._objects]
        n = {name: states.count(name) for name in ("added", "deleted", "confirmed")}
        if not any(n.values()):
            return
        kept = sum(is_kept(one, self._row["score"]) for one in self._objects)
        words = ", ".join(f"{count} {name}" for name, count in n.items() if count)
        ui.label(f"With your corrections {counted(kept, 'object')} ({words}).").classes("font-bold")

    def _draw_right(self) -> None:
        item = next((one for one in self._images if one["id"] == self._chosen), None)
        if item is None:
            return
        ui.checkbox(
            "Every object of this image is right now", value=self._slice in item["right"],
            on_change=lambda event: self._desk.say_right(self._room, item["id"], self._slice, bool(event.value)),
        ).tooltip("Only such images are learned from and exported as corrections.")  # fmt: skip

    def _draw_object(self) -> None:
        one = next((each for each in self._objects if each["id"] == self._viewer.selected), None)
        if one is None:
            return
        ui.separator()
        ui.label(f"Object {one['id'] + 1}: {one['label']}, {one['state']}").classes("font-bold")
        about = {"score": one["score"], **one["about"]}
        with ui.grid(columns="auto auto").classes("gap-x-4 gap-y-0"):
            for name, value in about.items():
                if value is not None:
                    ui.label(name.replace("_", " "))
                    ui.label(("yes" if value else "no") if isinstance(value, bool) else short(value))
        with ui.row():
            for op in ("confirm", "delete", "restore"):
                ui.button(op.capitalize(), on_click=lambda _, op=op: self._edited(op, one["id"], None)).props(
                    "dense no-caps outline"
                )

    def _selected_size(self, unit: str) -> float | None:
        one = next((each for each in self._objects if each["id"] == self._viewer.selected), None)
        return None if one is None else one["about"].get(f"equivalent_diameter_{unit}")

    @property
    def _row(self) -> dict[str, Any]:
        assert self._told is not None
        row: dict[str, Any] = self._told["rows"][min(self._at, len(self._told["rows"]) - 1)]
        return row

    @property
    def _look(self) -> Any:
        return self._room.look_of(str(self._chosen), self._slice)

    @property
    def _url(self) -> str:
        return f"/api/images/{self._chosen}/{self._slice}"

    @property
    def _seen_at(self) -> str:
        return str(self._seen[2]) if isinstance(self._seen, tuple) else ""


def _attribute(name: str) -> str:
    """For an HTML attribute in NiceGUI's props."""
    return name.replace('"', "'").replace("\\", "")
