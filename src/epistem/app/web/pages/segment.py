"""The tab that segments with a network of the person's own, and shows what an answer hangs on."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from nicegui import ui

from epistem.app.web.desk import Desk
from epistem.app.web.drop import Drop
from epistem.app.web.networks import HOW, Network, networks
from epistem.app.web.pages.parts import VERDICTS, attribute, quantities_table, quantity_of
from epistem.app.web.pages.working import POLL_S, OneAtATime, asked, draw_job, last_job, offer
from epistem.app.web.queue import Queued
from epistem.app.web.rooms import Item, Room
from epistem.app.web.segment import look_of, queue_explain, queue_segment, told_of
from epistem.app.web.viewer import Viewer
from epistem.app.worker import EXPORTS
from epistem.core import EpistemError
from epistem.report.words import percent, with_interval

_MODES = {"look": "Look", "region": "Explain a region"}
_HOLDS = {
    True: ("Holds", "positive", "check_circle"), False: ("Does not hold", "negative", "block"),
    None: ("Not tested", "grey-7", "help"),
}  # fmt: skip
_LEGEND = (
    "Left: the image with your region outlined. Middle: bright is what the answer in the region hangs on; it changes "
    "most when that place is blurred. Right: the test; the line “highest” has to run above the grey band."
)


class SegmentTab:
    """What one open page shows of its room.

    Args:
        desk: what can be done.
        room: of the session.
    """

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._items: list[Item] = []
        self._networks: list[Network] = []
        self._jobs: list[Queued] = []
        self._slice = 0
        self._told: dict[str, Any] | None = None
        self._seen: object = None
        self._drawn: object = None
        self._fetch = OneAtATime(self._fetched)
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-[280px_minmax(0,1fr)_340px] gap-4"):
            with ui.column().classes("epi-column w-full gap-3"):
                self._left()
            with ui.column().classes("epi-column w-full"):
                self._middle()
            with ui.column().classes("epi-column w-full"):
                self._card = ui.refreshable(self._draw_card)
                self._card()
        ui.timer(POLL_S, self._poll)

    # ---- what stands where

    def _left(self) -> None:
        most = self._desk.rooms.limits.upload_bytes
        Drop("/api/images?detect=false", max_bytes=most, on_done=self._stored).classes("w-full")
        self._image = ui.select({}, label="Image", on_change=self._chosen).classes("w-full")
        self._network = ui.select({}, label="Network", on_change=lambda: self._card.refresh()).classes("w-full")
        with ui.expansion("Add weights", icon="upload_file").classes("w-full") as self._weights:
            ui.label("model.safetensors of epistem; other kinds of files are not opened.").classes("epi-note")
            Drop("/api/weights", max_bytes=most, words="Drop weights here, or choose a file", on_done=self._sent)
        self._how = ui.label(HOW).classes("epi-note")
        self._least = ui.number("Leave out parts smaller than [px]", value=0, min=0, format="%g").classes("w-full")
        with ui.row().classes("gap-2"):
            self._go = ui.button("Segment", on_click=self._segment).props("no-caps")
            self._all = ui.button("Segment all images", on_click=self._segment_all).props("no-caps outline")

    def _middle(self) -> None:
        self._title = ui.label("Choose an image and a network.").classes("text-base font-bold epi-name")
        with ui.column().classes("w-full gap-1") as self._tools:
            self._modes = ui.toggle(_MODES, value="look", on_change=self._mode_changed).props("dense no-caps spread")
            self._modes.classes("w-full max-w-md")
            self._slices = ui.select({}, label="Image of the file", on_change=self._sliced).classes("w-48")
            with ui.row().classes("items-center w-full no-wrap gap-3"):
                ui.label("Fill").classes("shrink-0")
                self._opacity = ui.slider(min=0, max=100, step=10, value=40, on_change=self._shaded).props(
                    'aria-label="Opacity of the classes in percent" label'
                )
        self._tools.set_visibility(False)
        self._viewer = Viewer(on_region=self._region, on_leave=self._look_again).classes("w-full")
        self._viewer.set_visibility(False)
        self._heat = ui.refreshable(self._draw_heat)
        self._heat()

    # ---- what happens

    async def _poll(self) -> None:
        found = await self._fetch()
        if found is None:
            return
        items, nets, self._jobs = found
        self._offer(items, nets)
        self._look_for_news()
        now = (self._image.value, self._slice, [(job.id, job.state, job.words) for job in self._own_jobs()])
        if now != self._drawn:
            self._drawn = now
            self._card.refresh()
            self._heat.refresh()

    def _fetched(self) -> tuple[list[Item], list[Network], list[Queued]]:
        return self._room.items(), networks(self._room), self._desk.queue.of_room(self._room.name)

    def _own_jobs(self) -> list[Queued]:
        return [job for job in self._jobs if job.kind in ("segment", "explain") and job.item == self._image.value]

    def _offer(self, items: list[Item], nets: list[Network]) -> None:
        if items != self._items:
            self._items = items
            offer(self._image, items)
        if nets != self._networks:
            fresh = [one.id for one in nets if one not in self._networks]
            self._networks = nets
            offered = {one.id: one.name for one in nets}
            before = [self._network.value] if self._network.value in offered else []
            kept = next(iter([*fresh, *before, *offered]), None)
            self._network.set_options(offered, value=kept)
        self._how.set_visibility(not nets)
        for button in (self._go, self._all):
            button.set_enabled(bool(items and nets))
        self._all.set_visibility(len(items) > 1)

    def _stored(self, name: str, id: str) -> None:
        with suppress(EpistemError):  # the browser may tell anything
            item = self._room.item(id)
            self._items = [*self._items, item]
            self._image.set_options({one.id: one.name for one in self._items}, value=id)

    def _sent(self, name: str, id: str) -> None:
        self._weights.value = False

    def _chosen(self) -> None:
        self._slice, self._seen, self._told = 0, None, None
        self._look_for_news()
        self._card.refresh()
        self._heat.refresh()

    def _sliced(self, event: Any) -> None:
        if event.value is not None and event.value != self._slice:
            self._slice, self._seen = int(event.value), None
            self._look_for_news()

    def _segment(self) -> None:
        if self._image.value and self._network.value:
            asked(lambda: self._queue(self._image.value))

    def _segment_all(self) -> None:
        asked(lambda: [self._queue(one.id) for one in self._items])

    def _queue(self, id: str) -> str:
        return queue_segment(self._desk, self._room, id, str(self._network.value), float(self._least.value or 0))

    def _region(self, ring: list[float]) -> None:
        if self._slices.options and len(self._slices.options) > 1:
            ui.notify("The file holds several images; save the one to explain as a file.", type="warning")
            return
        if asked(lambda: queue_explain(self._desk, self._room, str(self._image.value), ring)):
            self._look_again()

    def _mode_changed(self, event: Any) -> None:
        self._viewer.mode = event.value

    def _look_again(self) -> None:
        self._modes.value = "look"

    def _shaded(self) -> None:
        if self._told is not None:
            self._viewer.show(self._picture, f"{self._url}/objects.json?{self._version}")

    def _look_for_news(self) -> None:
        """Shows the chosen image again where a worker has written something of it."""
        id = self._image.value
        if id is None:
            self._show(None)
            return
        path = look_of(self._room, id, self._slice) / "told.json"
        try:
            seen = (id, self._slice, path.stat().st_mtime_ns)
        except OSError:
            seen = (id, self._slice, 0)
        if seen != self._seen:
            self._seen = seen
            told = None
            with suppress(EpistemError):
                told = told_of(self._room, id, self._slice)
            self._show(told)

    def _show(self, told: dict[str, Any] | None) -> None:
        self._told = told
        for part in (self._tools, self._viewer):
            part.set_visibility(told is not None)
        if told is None:
            self._title.text = "Choose an image and a network." if self._image.value is None else "Not segmented yet."
            self._card.refresh()
            return
        self._title.text = told["name"]
        n = len(list(look_of(self._room, str(self._image.value)).parent.glob("[0-9]*")))
        self._slices.set_options({i: f"{i + 1} of {n}" for i in range(n)}, value=self._slice)
        self._slices.set_visibility(n > 1)
        self._shaded()
        self._card.refresh()

    # ---- pieces

    def _draw_card(self) -> None:
        id = self._image.value
        draw_job(last_job(self._jobs, "segment", id), self._desk, self._room, "Segmenting")
        if self._told is None:
            return
        told = self._told
        ui.label(f"By {told['why']}").classes("epi-note break-words")
        words, colour, icon = VERDICTS[told["verdict"]]
        with ui.row().classes("items-center gap-2"):
            ui.icon(icon, color=colour, size="sm")
            ui.label(words).classes(f"text-lg font-bold text-{colour}")
        if told["typicality"] is not None:
            share = percent(told["typicality"])
            ui.label(f"Typicality {share}: so many of the {told['reference']} are less typical.")
        for words in (*told["reasons"], *told["warnings"]):
            ui.label(words).classes("epi-note")
        ui.separator()
        self._draw_classes(told)
        quantities_table(told["quantities"])
        if told["calibration"] is None:
            ui.label("Pixel size not known: lengths are in pixels. Set it in the tab Detect.").classes("epi-note")
        self._draw_downloads()

    def _draw_classes(self, told: dict[str, Any]) -> None:
        by_name = {one["name"]: quantity_of(one) for one in told["quantities"]}
        with ui.grid(columns="auto auto auto").classes("gap-x-4 gap-y-1 items-center"):
            for heading in ("Class", "Parts", "Area"):
                ui.label(heading).classes("font-bold")
            for k, one in enumerate(told["classes"]):
                share = by_name.get(f"class_{k + 1}_area_fraction_percent", by_name["area_fraction_percent"])
                with ui.row().classes("items-center gap-2 no-wrap"):
                    ui.element("span").style(
                        f"width:14px;height:14px;flex:none;border:1px solid #0008;background:{one['colour']}"
                    )
                    ui.label(one["name"]).classes("epi-name")
                ui.label(f"{one['n']:,}")
                ui.label(with_interval(share)).tooltip(share.note or share.label)

    def _draw_downloads(self) -> None:
        job = last_job([one for one in self._jobs if one.state == "done"], "segment", self._image.value)
        if job is None or self._slice >= len(job.result["images"]):
            return
        folder = job.result["images"][self._slice]["folder"].removeprefix("images/")
        at = f"/api/segment/{self._image.value}/files/{quote(folder)}"
        ui.label("Results").classes("font-bold mt-2")
        ui.link("Report", f"{at}/report.html", new_tab=True)
        with ui.row().classes("gap-x-3 gap-y-0"):
            for label, name in EXPORTS:
                ui.link(label, f"{at}/{name}").props(f'download="{name}"')

    def _draw_heat(self) -> None:
        if self._told is None:
            return
        job = last_job(self._jobs, "explain", self._image.value)
        if job is None:
            ui.label(
                "To see what an answer hangs on, choose “Explain a region” and draw around it; that takes up to two "
                "minutes on a processor without a GPU."
            ).classes("epi-note")
            return
        draw_job(job, self._desk, self._room, "Explaining")
        if job.state != "done":
            return
        told = job.result
        words, colour, icon = _HOLDS[told["holds"]]
        with ui.row().classes("items-center gap-2"):
            ui.icon(icon, color=colour, size="sm")
            ui.label(f"Heatmap: {words.lower()}").classes(f"text-lg font-bold text-{colour}")
        for line in told["words"]:
            ui.label(line)
        at = f"/api/explain/{job.item}/{told['name']}"
        with ui.element("div").classes("w-full overflow-x-auto"):
            ui.element("img").props(f'src="{at}/heatmap.svg" alt="{words}: {attribute(told["words"][0])}"').classes(
                "w-full"
            ).style("min-width:560px")
        ui.label(_LEGEND).classes("epi-note")
        with ui.row().classes("gap-x-3"):
            for name in ("heatmap.svg", "heatmap.tif", "explain.json"):
                ui.link(name, f"{at}/{name}").props(f'download="{name}"')

    @property
    def _url(self) -> str:
        return f"/api/segment/{self._image.value}/{self._slice}"

    @property
    def _version(self) -> str:
        return str(self._seen[2]) if isinstance(self._seen, tuple) else ""

    @property
    def _picture(self) -> str:
        return f"{self._url}/picture.png?opacity={int(self._opacity.value)}&v={self._version}"
