"""The images of a session as a table, by specimen, and how the specimens compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import run, ui

from epistem.app.web.desk import Desk
from epistem.app.web.pages.detect_card import draw_progress
from epistem.app.web.pages.parts import last_told, quantity_of, tried
from epistem.app.web.rooms import Room
from epistem.app.web.specimens import LARGEST
from epistem.core import EpistemError
from epistem.report.words import DASH, with_interval

_COLUMNS = [
    {"name": name, "label": label, "field": name, "sortable": True, "align": "left" if text else "right"}
    for name, label, text in (
        ("image", "Image", True), ("specimen", "Specimen", True), ("count", "Count", False),
        ("mean", "Mean diameter", False), ("f1", "Expected F1", False), ("verdict", "Verdict", True),
    )
]  # fmt: skip
_SPECIMEN = """
<q-td :props="props"><q-input v-model="props.row.specimen" dense maxlength="80"
  :aria-label="'Specimen of ' + props.row.image" @change="() => $parent.$emit('specimen', props.row)" /></q-td>
"""


class SampleTable:
    """Every image with its specimen, which can be typed or uploaded, and the comparison of groups.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._images: Sequence[Mapping[str, Any]] = ()
        self._job: Mapping[str, Any] | None = None
        with ui.expansion("Table of all images and specimens", icon="table_rows").classes("w-full") as self._box:
            self._table = ui.table(columns=_COLUMNS, rows=[], row_key="id", pagination=20)
            self._table.classes("w-full").props("dense flat").add_slot("body-cell-specimen", _SPECIMEN)
            self._table.on("specimen", self._typed)
            with ui.row().classes("items-center gap-3"):
                ui.upload(
                    label="Take specimens from a samples.csv", auto_upload=True, max_files=1, max_file_size=LARGEST,
                    on_upload=self._uploaded, on_rejected=lambda: ui.notify("A table of up to 1 MB is wanted."),
                ).props("flat bordered accept=.csv,.tsv,.txt").classes("w-72")  # fmt: skip
                ui.button("Compare specimens", on_click=self._compare).props("dense no-caps outline")
            self._compared = ui.refreshable(self._draw_compared)
            self._compared()
        self._box.set_visibility(False)

    def show(self, images: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]) -> None:
        """The table as it is now."""
        self._box.set_visibility(bool(images))
        job = last_told([one for one in jobs if one["what"].get("which") == "found"], "results")
        if job != self._job:
            self._job = job
            self._compared.refresh()
        self._images = images
        self._fill()

    def _fill(self) -> None:
        specimens = tried(lambda: self._desk.specimens(self._room)) or {}
        rows = [row for one in self._images for row in _rows(one, specimens.get(one["id"], ""))]
        if rows != self._table.rows:
            self._table.rows = rows
            self._table.update()

    def _typed(self, event: Any) -> None:
        row = event.args if isinstance(event.args, dict) else {}
        tried(lambda: self._desk.set_specimen(self._room, str(row.get("file")), str(row.get("specimen") or "")))
        self._fill()

    async def _uploaded(self, event: Any) -> None:
        text = (await event.file.read()).decode("utf-8-sig", "replace")
        event.sender.reset()
        try:
            told = await run.io_bound(self._desk.set_samples, self._room, text)
        except EpistemError as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return
        for words in (told or {"warnings": []})["warnings"]:  # None while the server stops
            ui.notify(words, multi_line=True)
        self._fill()

    def _compare(self) -> None:
        tried(lambda: self._desk.results(self._room, "found"))

    def _draw_compared(self) -> None:
        job = self._job
        if job is None:
            return
        if job["state"] in ("waiting", "running"):
            draw_progress(self._desk, self._room, job)
            return
        if job["state"] != "done":
            return
        groups = job["result"]["groups"]
        if groups["groups"]:
            ui.table(columns=_group_columns(groups), rows=[_group_row(one) for one in groups["groups"]]).props(
                "dense flat hide-pagination"
            ).classes("w-full")
        for one in groups["compared"]:
            ui.label(_difference(one)).classes("epi-note")
        with ui.row():
            ui.link("Images (CSV)", "/results/images.csv")
            if groups["groups"]:
                ui.link("Specimens (CSV)", "/results/samples.csv")


def _rows(one: Mapping[str, Any], specimen: str) -> list[dict[str, Any]]:
    job = one["job"]
    done = job["result"]["images"] if job and job["state"] == "done" else [None]
    return [
        {
            "id": f"{one['id']}-{i}", "file": one["id"], "specimen": specimen,
            "image": one["name"] if image is None else image["name"],
            "count": DASH if image is None else image["n"],
            "mean": DASH if image is None or image["mean"] is None else with_interval(quantity_of(image["mean"])),
            "f1": DASH if image is None or image["f1"] is None else f"{image['f1']:.2f}",
            "verdict": DASH if image is None else image["verdict"] or "no verdict",
        }
        for i, image in enumerate(done)
    ]  # fmt: skip


def _group_columns(groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = {one["name"]: one["label"] for one in groups["groups"][0]["quantities"]}
    names = {"name": "Specimen", "images": "Images", "objects": "Objects", **named}
    return [{"name": name, "label": label, "field": name, "align": "left"} for name, label in names.items()]


def _group_row(group: Mapping[str, Any]) -> dict[str, Any]:
    told = [quantity_of(one) for one in group["quantities"]]
    known = {one.name: DASH if one.value is None else with_interval(one) for one in told}
    return {"name": group["name"], "images": group["images"], "objects": group["objects"], **known}


def _difference(one: Mapping[str, Any]) -> str:
    difference = quantity_of(one["difference"])
    value = DASH if difference.value is None else with_interval(difference)
    p = "" if one["p_value"] is None else f", p = {one['p_value']:.2g}"
    return f"{one['what']}, {one['b']} against {one['a']}: {value}{p}. {one['note']}"
