"""What is told of one image and of one object in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.histogram import histogram_svg
from epistem.app.web.looks import is_kept, sizes
from epistem.app.web.pages.parts import quantities_table, short, trust_card
from epistem.app.web.rooms import Room
from epistem.report.words import counted

Objects = Sequence[Mapping[str, Any]]


def draw_card(row: Mapping[str, Any], objects: Objects, selected: int | None) -> None:
    """Trust, quantities, corrections, and sizes at one threshold."""
    trust_card(row)
    ui.separator()
    quantities_table(row["quantities"])
    _draw_corrections(objects, row["score"])
    values, unit = sizes(objects, row["score"])
    one = _chosen(objects, selected)
    marked = None if one is None else one["about"].get(f"equivalent_diameter_{unit}")
    ui.html(histogram_svg(values, unit, marked), sanitize=False).classes("w-full")


def draw_waiting(desk: Desk, room: Room, item: Mapping[str, Any] | None) -> None:
    """Where an image stands that has not been analysed."""
    job = None if item is None else item["job"]
    if job is None:
        return
    if job["state"] == "failed":
        ui.label(job["why"]).classes("text-negative")
    elif job["state"] in ("waiting", "running"):
        draw_progress(desk, room, job)


def draw_progress(desk: Desk, room: Room, job: Mapping[str, Any]) -> None:
    """A job under way, with a button that takes it back."""
    ui.label(job["words"] or "Waiting for its turn")
    ui.linear_progress(value=job["share"] or 0, show_value=False).props(
        f'aria-label="Progress" {"" if job["share"] else "indeterminate"}'
    )
    ui.button("Cancel", on_click=lambda: desk.queue.cancel(job["id"], room.name)).props("flat dense no-caps")


def draw_object(
    objects: Objects, selected: int | None, edit: Callable[[str, int | None, list[float] | None], None]
) -> None:
    """The numbers of the selected object, and what can be said of it."""
    one = _chosen(objects, selected)
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
            ui.button(op.capitalize(), on_click=lambda _, op=op: edit(op, one["id"], None)).props(
                "dense no-caps outline"
            )


def _draw_corrections(objects: Objects, score: float | None) -> None:
    states = [one["state"] for one in objects]
    n = {name: states.count(name) for name in ("added", "deleted", "confirmed")}
    if not any(n.values()):
        return
    kept = sum(is_kept(one, score) for one in objects)
    words = ", ".join(f"{count} {name}" for name, count in n.items() if count)
    ui.label(f"With your corrections {counted(kept, 'object')} ({words}).").classes("font-bold")


def _chosen(objects: Objects, selected: int | None) -> Mapping[str, Any] | None:
    return next((one for one in objects if one["id"] == selected), None)
