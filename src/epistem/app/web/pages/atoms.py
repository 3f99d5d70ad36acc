"""The tab that says what every atomic column is: context form, columns by posterior, what if."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from nicegui import run, ui

from epistem.app.web.atoms import DEFECTS, UNSURE, atoms_of, columns_of, is_shown, queue_atoms, queue_read, told_of
from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.pages.atoms_form import ContextForm
from epistem.app.web.pages.atoms_tables import before_table, counts_table, shares_table, what_if_table
from epistem.app.web.pages.working import POLL_S, OneAtATime, asked, draw_job, last_job
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Item, Room, read_json
from epistem.app.web.viewer import Viewer
from epistem.core import EpistemError
from epistem.report.words import percent, sentence

ALL = "all columns"
SHARES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Of the metal sites, to try beside the image's own."""
_FILES = (
    ("Report", "report.html"), ("Columns (CSV)", "columns.csv"), ("Columns (parquet)", "columns.parquet"),
    ("Numbers (JSON)", "classification.json"), ("context.yaml", "context.yaml"), ("Overlay", "overlay.png"),
)  # fmt: skip
_KEY = (
    "Colour: posterior of the likeliest role, blue 0 to yellow 1. Small hexagons are the host’s columns, rings "
    "dopants, squares missing atoms."
)


class AtomsTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._items: list[Item] = []
        self._jobs: list[Queued] = []
        self._told: dict[str, Any] | None = None
        self._steps: list[float] = []
        self._columns: list[dict[str, Any]] = []
        self._other: dict[str, Any] | None = None
        self._asked: list[str] = []
        self._seen: object = None
        self._drawn: object = None
        self._unshared = self._shown_before = False
        self._fetch = OneAtATime(lambda: (room.items(), desk.queue.of_room(room.name)))
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-[290px_minmax(0,1fr)_350px] gap-4"):
            with ui.column().classes("epi-column w-full gap-2"):
                self._left()
            with ui.column().classes("epi-column w-full gap-2"):
                self._middle()
            with ui.column().classes("epi-column w-full gap-2"):
                self._right()
        ui.timer(POLL_S, self._poll)

    # ---- what stands where

    def _left(self) -> None:
        most = self._desk.rooms.limits.upload_bytes
        Drop("/api/images?detect=false", max_bytes=most, on_done=self._stored).classes("w-full")
        self._image = ui.select({}, label="Image", on_change=self._chosen).classes("w-full").props("dense")
        self._second = ui.select({}, label="Second detector", on_change=self._chosen)
        self._second.classes("w-full").props('clearable dense hint="of the same scan, where there is one"')
        self._form = ContextForm()
        self._what_if = ui.checkbox("Ask what wrong metadata would change", value=True)
        ui.label("That takes some fifteen times as long; the answer itself is shown first.").classes("epi-note")
        self._go = ui.button("Classify", on_click=self._classify).props("no-caps")
        self._progress = ui.refreshable(self._draw_progress)
        self._progress()

    def _middle(self) -> None:
        self._title = ui.label("Drop an annular dark-field image of a dichalcogenide monolayer.")
        self._title.classes("text-base font-bold break-words")
        with ui.row().classes("w-full gap-4 items-center") as self._tools:
            self._label = ui.select([ALL], value=ALL, label="Show", on_change=self._draw).classes("w-56")
            self._detector = ui.toggle({0: "First detector", 1: "Second"}, value=0, on_change=self._draw)
            self._detector.props("dense no-caps")
        self._tools.set_visibility(False)
        self._viewer = Viewer(on_pick=lambda id: self._column.refresh()).classes("w-full")
        self._viewer.set_visibility(False)
        self._key = ui.label(_KEY).classes("epi-note")
        self._key.set_visibility(False)
        self._column = ui.refreshable(self._draw_column)
        self._column()

    def _right(self) -> None:
        self._card = ui.refreshable(self._draw_card)
        self._card()
        with ui.column().classes("w-full gap-1") as self._shares_box:
            ui.label("What if more or fewer metal sites were dopants?").classes("font-bold")
            self._share_words = ui.label()
            self._share = ui.slider(min=0, max=len(SHARES), step=1, value=0, on_change=self._shared)
            self._share.props('snap markers aria-label="Share of the metal sites that are dopants"')
            self._shares = ui.refreshable(self._draw_shares)
            self._shares()
        self._shares_box.set_visibility(False)
        self._more = ui.refreshable(self._draw_more)
        self._more()

    # ---- what happens

    async def _poll(self) -> None:
        found = await self._fetch()
        if found is None:
            return
        items, self._jobs = found
        if items != self._items:
            self._offer(items, self._image.value)
        self._look_for_news()
        if self._unshared:
            await self._shared()
        own = [job for job in self._jobs if job.item == self._image.value and job.kind in ("atoms", "atoms_read")]
        now = [(job.id, job.state, job.words) for job in own]
        if now != self._drawn:
            self._drawn = now
            self._progress.refresh()

    def _offer(self, items: list[Item], chosen: str | None) -> None:
        self._items = items
        offered = {one.id: one.name for one in items}
        self._image.set_options(offered, value=chosen if chosen in offered else next(iter(offered), None))
        self._second.set_options(offered, value=self._second.value if self._second.value in offered else None)

    def _stored(self, name: str, id: str) -> None:
        with suppress(EpistemError):  # the browser may tell anything
            item = self._room.item(id)
            fresh = self._image.value is None
            self._offer([*(one for one in self._items if one.id != id), item], id if fresh else self._image.value)

    @property
    def _field(self) -> list[str]:
        return [one for one in dict.fromkeys((self._image.value, self._second.value)) if one]

    def _chosen(self) -> None:
        """Asks what the files say, where nobody has; shows what there is."""
        self._seen = None
        if self._field and self._field != self._asked and self._file is None:
            self._asked = self._field
            asked(lambda: queue_read(self._desk, self._room, self._field))
        self._look_for_news()

    @property
    def _file(self) -> dict[str, Any] | None:
        """What the files of this very field say."""
        if not self._field:
            return None
        said = read_json(self._folder / "file.json")
        return said if said and said["of"] == self._field else None

    def _classify(self) -> None:
        if self._field:
            asked(
                lambda: queue_atoms(
                    self._desk, self._room, self._field, self._form.values(), bool(self._what_if.value)
                )
            )

    def _look_for_news(self) -> None:
        """Shows the field again where a worker has written something of it."""
        seen: list[object] = [self._field]
        for name in ("file.json", "told.json"):
            try:
                seen.append((self._folder / name).stat().st_mtime_ns)
            except (OSError, EpistemError):
                seen.append(None)
        if seen != self._seen:
            self._seen = seen
            self._show()

    def _show(self) -> None:
        said, told = self._file, None
        if self._field:
            with suppress(EpistemError):
                told = told_of(self._room, self._field[0])
        self._told = told if told and told["of"] == self._field else None
        self._form.offer(said)
        self._other, self._columns = None, []
        self._steps = []
        if self._told is not None:
            self._columns = columns_of(self._room, self._field[0])["objects"]
        drawn = said or self._told
        self._viewer.set_visibility(drawn is not None)
        self._tools.set_visibility(drawn is not None)
        self._key.set_visibility(self._told is not None)
        self._shares_box.set_visibility(bool(self._told and self._told["record"]["labels"]))
        if drawn is not None:
            self._title.text = " + ".join(dict.fromkeys(drawn["images"]))
            self._detector.set_visibility(len(drawn["images"]) > 1)
            self._offer_labels()
            self._draw()
        self._unshared = True
        for part in (self._card, self._more, self._column):
            part.refresh()

    def _offer_labels(self) -> None:
        labels = [] if self._told is None else list(self._told["record"]["labels"])
        counted = {name: sum(one["label"] == name for one in self._columns) for name in [*labels, "unknown"]}
        special = {name: sum(is_shown(one, name) for one in self._columns) for name in (DEFECTS, UNSURE)}
        offered = {ALL: f"All columns ({len(self._columns)})"}
        offered |= {name: f"{name} ({n})" for name, n in counted.items() if n}
        offered |= {name: f"{sentence(name)} ({n})" for name, n in special.items() if n}
        # Dots on every column of the host hide the image; what is not the host is what one looks for.
        first = DEFECTS if DEFECTS in offered and not self._shown_before else ALL
        kept = self._label.value if self._shown_before and self._label.value in offered else first
        self._shown_before = self._told is not None
        self._label.set_options(offered, value=kept)

    def _draw(self) -> None:
        if not self._field or (self._told is None and self._file is None):
            return
        at = f"/api/atoms/{self._field[0]}"
        picture = f"{at}/picture{'_2' if self._detector.value and self._detector.visible else ''}.png"
        columns = None
        if self._told is not None:
            chosen = "" if self._label.value in (ALL, None) else f"label={quote(self._label.value)}&"
            columns = f"{at}/columns.json?{chosen}v={self._version}"
        self._viewer.show(picture, columns)

    async def _shared(self) -> None:
        self._unshared = False
        if self._told is None or not self._told["record"]["labels"] or not self._field:
            return
        from epistem.app.web.atoms_looks import with_dopants

        share = self._steps[int(self._share.value or 0)] if self._steps else None
        with suppress(EpistemError):
            self._other = await run.io_bound(with_dopants, self._folder, share)
        if self._other is None:
            return
        own = self._other["own"]
        if not self._steps:
            self._steps = sorted((*SHARES, own))
            self._share.set_value(self._steps.index(own))
        is_own = share is None or share == own
        words = "as estimated from this image" if is_own else f"the image itself says {percent(own)}"
        self._share_words.text = f"{percent(self._other['share'])} of the metal sites ({words})"
        self._shares.refresh()

    # ---- pieces

    def _draw_progress(self) -> None:
        for kind, what in (("atoms_read", "Reading"), ("atoms", "Classifying")):
            draw_job(last_job(self._jobs, kind, self._image.value), self._desk, self._room, what)

    def _draw_column(self) -> None:
        one = next((each for each in self._columns if each["id"] == self._viewer.selected), None)
        if one is None:
            return
        ui.label(f"Column {one['id'] + 1}: {one['label']}").classes("font-bold")
        ui.label(f"Likeliest role {one['role']}{', ' + one['element'] if one['element'] else ''}").classes("epi-note")
        with ui.grid(columns="auto auto auto auto").classes("gap-x-4 gap-y-0"):
            for name, value in one["about"].items():
                ui.label("entropy [bit]" if name == "entropy" else name)
                ui.label(f"{value:.3g}" if isinstance(value, float) else str(value))

    def _draw_card(self) -> None:
        if self._told is None:
            return
        record = self._told["record"]
        ui.label(self._told["headline"]).classes("font-bold")
        for note in record["notes"]:
            with ui.row().classes("no-wrap items-start gap-1"):
                ui.icon("info", color="warning", size="xs").classes("mt-1")
                ui.label(note)
        if record["labels"]:
            counts_table(record["labels"])
        if self._told["before"] is not None:
            before_table(self._told["before"], record["labels"])

    def _draw_shares(self) -> None:
        if self._told is not None and self._other is not None:
            shares_table(self._told["record"], self._other)

    def _draw_more(self) -> None:
        if self._told is None:
            return
        what_if_table(self._told["record"]["what_if"], self._told["asks"])
        with ui.expansion("How far to trust this", icon="help_outline").classes("w-full"):
            for words in (*self._told["card"], *self._told["limits"]):
                ui.label(words).classes("epi-note mb-1")
        ui.label("Results").classes("font-bold mt-2")
        with ui.row().classes("gap-x-3 gap-y-0"):
            for label, name in _FILES:
                link = ui.link(label, f"/api/atoms/{self._field[0]}/files/{name}", new_tab=name == "report.html")
                if name != "report.html":
                    link.props(f'download="{name}"')

    @property
    def _folder(self) -> Any:
        return atoms_of(self._room, self._field[0] if self._field else "")

    @property
    def _version(self) -> str:
        return str(self._seen[-1]) if isinstance(self._seen, list) else ""
