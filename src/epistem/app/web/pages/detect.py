"""The tab that finds, measures, forecasts, takes corrections, and learns from them."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.edits import log_of, objects_now
from epistem.app.web.pages.detect_card import draw_card, draw_object, draw_waiting
from epistem.app.web.pages.detect_learn import Learn
from epistem.app.web.pages.detect_list import ImageList
from epistem.app.web.pages.detect_results import Results
from epistem.app.web.pages.detect_samples import SampleTable
from epistem.app.web.pages.detect_settings import Scale, SettingsForm
from epistem.app.web.pages.parts import tried
from epistem.app.web.pages.working import OneAtATime
from epistem.app.web.rooms import Room, read_json
from epistem.app.web.viewer import Viewer
from epistem.core import EpistemError

POLL_S = 0.5
_MODES = {"look": "Look", "add": "Add", "delete": "Delete", "confirm": "Confirm"}
_COLUMNS = "w-full grid grid-cols-1 lg:grid-cols-[260px_minmax(0,1fr)_330px] gap-4"


class DetectTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._state: dict[str, Any] = {"images": [], "jobs": []}
        self._chosen: str | None = None
        self._slice = 0
        self._told: dict[str, Any] | None = None
        self._shown: dict[str, Any] = {"objects": [], "made": None}
        self._at = 0
        self._seen: object = None
        self._said: object = None
        self._fetch = OneAtATime(lambda: desk.state(room))
        with ui.element("div").classes(_COLUMNS):
            with ui.column().classes("epi-column w-full"):
                self._left()
            with ui.column().classes("epi-column w-full"):
                self._middle()
            with ui.column().classes("epi-column w-full"):
                self._right()
        self._samples = SampleTable(desk, room)
        ui.timer(POLL_S, self._poll)

    # ---- what stands where

    def _left(self) -> None:
        Drop("/api/images", max_bytes=self._desk.rooms.limits.upload_bytes, on_done=self._stored).classes("w-full")
        self._list = ImageList(self._desk, self._room, self._choose, self._removed)

    def _middle(self) -> None:
        self._title = ui.label("Drop a micrograph to begin.").classes("text-base font-bold epi-name")
        self._slices = ui.select({0: ""}, value=0, label="Image of the stack", on_change=self._slice_chosen)
        self._slices.classes("w-48").set_visibility(False)
        self._modes = ui.toggle(_MODES, value="look", on_change=self._mode_changed).props("dense no-caps spread")
        self._modes.classes("w-full max-w-md").set_visibility(False)
        self._viewer = Viewer(on_pick=self._picked, on_edit=self._edited, on_leave=self._look_again).classes("w-full")
        self._viewer.set_visibility(False)
        self._scale = Scale(self._desk, self._room)
        self._warnings = ui.column().classes("gap-1")
        self._settings = SettingsForm(self._desk, self._room)

    def _right(self) -> None:
        with ui.column().classes("w-full gap-1") as self._threshold_box:
            self._score_words = ui.label().classes("font-bold")
            self._slider = ui.slider(min=0, max=1, step=1, value=0, on_change=self._slid).props(
                'snap markers aria-label="Score threshold"'
            )
            self._keep = ui.button("Keep this threshold", on_click=self._keep_threshold).props(
                "dense no-caps outline"
            )
            self._keep.tooltip("Tables and downloads go by the threshold that is kept.")
        self._threshold_box.set_visibility(False)
        self._card = ui.refreshable(self._draw_card)
        self._card()
        self._object = ui.refreshable(self._draw_object)
        self._object()
        self._learn = Learn(self._desk, self._room)
        self._results = Results(self._desk, self._room)

    # ---- what happens

    def _stored(self, name: str, id: str) -> None:
        if self._chosen is None:
            self._choose(id)

    async def _poll(self) -> None:
        state = await self._fetch()
        if state is None:
            return
        if state != self._state:
            self._state = state
            self._news()
        self._look_for_news()

    def _news(self) -> None:
        """Shows what has changed in the room."""
        images, jobs = self._state["images"], self._state["jobs"]
        self._list.show(images, jobs, self._chosen)
        for piece in (self._learn, self._results, self._samples):
            piece.show(images, jobs)
        if self._chosen is None and images:
            self._choose(images[0]["id"])
        if self._chosen is not None:
            self._show_of_image()
            if self._told is None:
                self._card.refresh()

    def _look_for_news(self) -> None:
        """Shows the chosen image again where a worker has written something of it."""
        if self._chosen is None:
            return
        path = self._look / "thresholds.json"
        seen = (self._chosen, self._slice, path.stat().st_mtime_ns if path.exists() else None)
        if seen != self._seen:
            self._seen = seen
            self._show()
        elif self._told is not None and self._corrections != self._said:  # in another window of this session
            self._show_corrections()

    def _choose(self, id: str, slice_: int = 0) -> None:
        self._chosen, self._slice, self._seen = id, slice_, None
        self._list.show(self._state["images"], self._state["jobs"], id)
        self._look_for_news()

    def _slice_chosen(self, event: Any) -> None:
        if self._chosen is not None and event.value is not None and event.value != self._slice:
            self._choose(self._chosen, int(event.value))

    def _removed(self, id: str) -> None:
        if id != self._chosen:
            return
        self._chosen, self._told, self._shown = None, None, {"objects": [], "made": None}
        self._title.text = "Drop a micrograph to begin."
        for piece in (self._viewer, self._modes, self._threshold_box, self._slices):
            piece.set_visibility(False)
        self._show_of_image()
        self._card.refresh()
        self._object.refresh()

    def _show(self) -> None:
        told = read_json(self._look / "thresholds.json")
        before = None if self._told is None else self._told.get("at")
        self._told = None if told is None else {**told, "at": (self._chosen, self._slice)}
        self._warnings.clear()
        for box in (self._modes, self._threshold_box):
            box.set_visibility(told is not None)
        self._show_of_image()
        if told is None:
            self._title.text = "Waiting for its turn…"
            self._card.refresh()
            return
        self._title.text = told["name"]
        self._viewer.set_visibility(True)
        with self._warnings:
            for words in told["warnings"]:
                ui.label(words).classes("epi-note")
        self._read_objects()
        if before != (self._chosen, self._slice):
            self._viewer.show(f"{self._url}/picture.png?{self._seen_at}", f"{self._url}/objects.json")
        else:
            self._viewer.refresh()
        rows = told["rows"]
        self._at = next(i for i, row in enumerate(rows) if row["score"] == told["own"]["score"])
        self._slider.props(f"max={len(rows) - 1}").set_value(self._at)
        self._threshold_box.set_visibility(len(rows) > 1)
        self._threshold_moved()

    def _show_of_image(self) -> None:
        """What stands around the picture."""
        item = self._item
        self._scale.show(item, self._told)
        self._settings.show(item, self._state["jobs"])
        self._results.choose(item, self._slice)
        made = (item or {}).get("job") or {}
        names = [one["name"] for one in (made.get("result") or {"images": []})["images"]]
        self._slices.set_visibility(len(names) > 1)
        if len(names) > 1:
            self._slices.set_options({i: f"{i + 1} of {len(names)}" for i in range(len(names))}, value=self._slice)

    def _slid(self, event: Any) -> None:
        if self._told is not None and event.value is not None:
            self._at = min(int(event.value), len(self._told["rows"]) - 1)
            self._threshold_moved()

    def _threshold_moved(self) -> None:
        score = self._row["score"]
        self._viewer.threshold = score or 0.0
        is_own = self._told is not None and score == self._told["own"]["score"]
        self._score_words.text = f"Score threshold {score:.2f}{' (kept)' if is_own else ''}" if score else ""
        self._keep.set_enabled(not is_own)
        self._card.refresh()
        self._object.refresh()

    def _keep_threshold(self) -> None:
        chosen, score = str(self._chosen), self._row["score"]
        what = {**self._desk.last_settings(self._room, chosen), "min_score": score}
        tried(lambda: self._desk.analyse(self._room, what, [chosen]))

    def _picked(self, id: int | None) -> None:
        self._object.refresh()

    def _mode_changed(self, event: Any) -> None:
        self._viewer.mode = event.value

    def _look_again(self) -> None:
        self._modes.value = "look"

    def _edited(self, op: str, id: int | None, ring: list[float] | None) -> None:
        chosen, made = str(self._chosen), self._shown["made"]
        tried(lambda: self._desk.edit(self._room, chosen, self._slice, op, id, ring, made))
        self._show_corrections()

    def _show_corrections(self) -> None:
        self._read_objects()
        self._viewer.refresh()
        self._card.refresh()
        self._object.refresh()

    @property
    def _corrections(self) -> tuple[object, ...]:
        """Is another one when a person has said something of this image."""
        right = self._slice in (self._item or {"right": ()})["right"]
        try:
            path = log_of(self._room, str(self._chosen), self._slice, str(self._shown["made"]))
            return self._shown["made"], path.stat().st_mtime_ns, right
        except OSError:
            return self._shown["made"], None, right

    def _read_objects(self) -> None:
        try:
            self._shown = objects_now(self._room, str(self._chosen), self._slice)
        except EpistemError:
            self._shown = {"objects": [], "made": None}
        self._said = self._corrections

    # ---- pieces

    def _draw_card(self) -> None:
        if self._told is None:
            draw_waiting(self._desk, self._room, self._item)
            return
        draw_card(self._row, self._shown["objects"], self._viewer.selected)
        item, slice_ = self._item, self._slice
        if item is not None:
            ui.checkbox(
                "Every object of this image is right now", value=slice_ in item["right"],
                on_change=lambda event: tried(
                    lambda: self._desk.say_right(self._room, item["id"], slice_, bool(event.value))
                ),
            ).tooltip("Only such images are learned from and exported as corrections.")  # fmt: skip

    def _draw_object(self) -> None:
        draw_object(self._shown["objects"], self._viewer.selected, self._edited)

    @property
    def _item(self) -> dict[str, Any] | None:
        return next((one for one in self._state["images"] if one["id"] == self._chosen), None)

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
