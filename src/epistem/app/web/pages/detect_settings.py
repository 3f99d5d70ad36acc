"""What an analysis is set to: pixel size, foil, names, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.pages.parts import short, tried
from epistem.app.web.rooms import Room

SHIPPED = ""
_SOURCES = {"metadata": "the file", "scalebar": "the scale bar", "user": "you", "simulation": "the simulation"}


class Scale:
    """The pixel size of the chosen image: confirmed, or typed for it or for all.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._item: Mapping[str, Any] | None = None
        self._told: Mapping[str, Any] | None = None
        self._seen: object = None
        self._draw = ui.refreshable(self._drawn)
        self._draw()

    def show(self, item: Mapping[str, Any] | None, told: Mapping[str, Any] | None) -> None:
        """Of this image, as it was analysed."""
        seen = item and (item["id"], item["confirmed"], told and told["calibration"])
        self._item, self._told = item, told
        if seen != self._seen:  # what is being typed stays
            self._seen = seen
            self._draw.refresh()

    def _drawn(self) -> None:
        if self._told is None or self._item is None:
            return
        scale, item = self._told["calibration"], self._item
        with ui.row().classes("items-center gap-2"):
            ui.label(_words(scale, item["confirmed"]))
            if scale is not None and not item["confirmed"] and scale["source"] != "user":
                ui.button(
                    "Confirm", icon="check",
                    on_click=lambda: tried(lambda: self._desk.confirm(self._room, item["id"], True)),
                ).props("dense no-caps outline")  # fmt: skip
            typed = ui.input("Other pixel size", placeholder="0.38 nm").props("dense").classes("w-36")
            typed.on("keydown.enter", lambda: self._rescale(typed.value, [item["id"]]))
            ui.button("Set", on_click=lambda: self._rescale(typed.value, [item["id"]])).props("dense no-caps outline")
            ui.button("Set for all", on_click=lambda: self._rescale(typed.value, None)).props("dense no-caps outline")

    def _rescale(self, text: str, ids: list[str] | None) -> None:
        for id in ids or [one.id for one in self._room.items()]:
            if tried(lambda id=id: self._desk.change(self._room, id, text)) is None:  # type: ignore[misc]
                return


class SettingsForm:
    """Foil thickness, object's name, weights and forecast, for one image or for all.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._item: str | None = None
        with ui.expansion("Settings of the analysis", icon="tune").classes("w-full") as self._box:
            with ui.row().classes("items-end gap-3"):
                self._thickness = ui.number("Foil thickness [nm]", min=0, placeholder="unknown").classes("w-44")
                self._error = ui.number("± [nm]", min=0, placeholder="unknown").classes("w-24")
                self._name = ui.input("One object is called", placeholder="cavity").classes("w-48")
            with ui.row().classes("items-end gap-3"):
                self._weights = ui.select({SHIPPED: "As shipped"}, value=SHIPPED, label="Weights").classes("w-64")
                self._forecast = ui.select({SHIPPED: "As shipped"}, value=SHIPPED, label="Forecast").classes("w-64")
            with ui.row():
                ui.button("Apply to this image", on_click=self._apply).props("dense no-caps outline")
                ui.button("Apply to all images", on_click=self._apply_all).props("dense no-caps outline")
        self._box.set_visibility(False)

    def show(self, item: Mapping[str, Any] | None, jobs: Sequence[Mapping[str, Any]]) -> None:
        """The settings of another image; what is typed for the one before is gone."""
        self._box.set_visibility(item is not None)
        done = [job for job in jobs if job["state"] == "done"]
        self._weights.set_options({SHIPPED: "As shipped", **_weights(done)})
        self._forecast.set_options({SHIPPED: "As shipped", **_forecasts(done)})
        if item is None or item["id"] == self._item:
            return
        self._item = item["id"]
        what = (item["job"] or {"what": {}})["what"]
        self._thickness.value, self._error.value = what.get("thickness_nm"), what.get("thickness_error_nm")
        self._name.value = what.get("object_name") or ""
        for field, name in ((self._weights, "weights"), (self._forecast, "forecast")):
            wanted = what.get(name) or SHIPPED
            field.value = wanted if wanted in field.options else SHIPPED

    def _what(self) -> dict[str, Any]:
        values = {
            "thickness_nm": self._thickness.value, "thickness_error_nm": self._error.value,
            "object_name": (self._name.value or "").strip(), "weights": self._weights.value,
            "forecast": self._forecast.value,
        }  # fmt: skip
        return {name: value for name, value in values.items() if value not in (None, "")}

    def _apply(self) -> None:
        if self._item is not None:
            own = self._desk.last_settings(self._room, self._item).get("min_score")
            what = self._what() | ({} if own is None else {"min_score": own})
            id = self._item
            tried(lambda: self._desk.analyse(self._room, what, [id]))

    def _apply_all(self) -> None:
        what = self._what()
        jobs = tried(lambda: self._desk.analyse_all(self._room, what))
        if jobs:
            ui.notify(f"{len(jobs)} images are analysed anew; corrections stay.")


def _weights(done: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        job["result"]["run"]: f"Learned from {job['result']['images']} images ({job['result']['run']})"
        for job in done
        if job["kind"] == "train"
    }


def _forecasts(done: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        job["result"]["run"]: f"Fitted on {job['result']['images']} images ({job['result']['run']})"
        for job in done
        if job["kind"] == "forecast"
    }


def _words(scale: Mapping[str, Any] | None, confirmed: bool) -> str:
    if scale is None:
        return "Pixel size not known: lengths are in pixels."
    rows, cols = short(scale["row_nm"]), short(scale["col_nm"])
    size = cols if rows == cols else f"{rows} × {cols}"
    source = _SOURCES.get(scale["source"], scale["source"])
    return f"Pixel size {size} nm (from {source}){', confirmed' if confirmed and scale['source'] != 'user' else ''}"
