"""The page: one tab a job, all of one session's room."""

from __future__ import annotations

from nicegui import app, ui
from starlette.requests import Request

from epistem.app.web.desk import Desk
from epistem.app.web.rooms import Room
from epistem.core import Table

TABS: Table = Table(
    "tab",
    {
        "Detect": "epistem.app.web.pages.detect:DetectTab",
        "Segment": "epistem.app.web.pages.segment:SegmentTab",
        "Atoms": "epistem.app.web.pages.atoms:AtomsTab",
        "Ask": "epistem.app.web.pages.ask:AskTab",
        "Bench": "epistem.app.web.pages.bench:BenchTab",
    },
)
_ICONS = {"Detect": "blur_circular", "Segment": "texture", "Atoms": "grain", "Ask": "forum", "Bench": "leaderboard"}
_STYLE = """
:root { color-scheme: light; }
body { font-family: system-ui, sans-serif; }
.epi-column { min-width: 0; }
.q-tab-panel { padding: 12px 8px; }
.epi-note { color: #555; font-size: .9rem; }
.epi-name { overflow-wrap: anywhere; }
*:focus-visible { outline: 3px solid #1a66c4; outline-offset: 2px; }
.q-header *:focus-visible { outline-color: white; outline-offset: -3px; }
.epi-tabs .q-tab { min-height: 44px; }
@media (max-width: 700px) {
  .epi-tabs { width: 100%; }
  .epi-tabs .q-tab { flex: 1 1 0; min-width: 0; padding: 2px 0; }
  .epi-tabs .q-tab__content { flex-direction: column; min-width: 0; padding: 2px 0; }
  .epi-tabs .q-tab__icon + .q-tab__label { padding-left: 0; font-size: .72rem; line-height: 1.3; }
}
"""


def add_pages(desk: Desk) -> None:
    """The page at /.

    Args:
        desk: what can be done.
    """
    app.colors(primary="#1a4f8b", positive="#1d6b3c", warning="#8a5a00", negative="#a3201d")

    @ui.page("/", title="epistem")
    def index(request: Request) -> None:
        room: Room = request.scope["epistem_room"]
        ui.add_css(_STYLE)
        with ui.header().classes("items-center py-0 px-1 sm:px-3"):
            tabs = ui.tabs().props("inline-label no-caps").classes("epi-tabs")
            with tabs:
                for name in TABS:
                    ui.tab(name, icon=_ICONS[name])
        first = next(iter(TABS))
        with ui.tab_panels(tabs, value=first).classes("w-full") as panels:
            opened = _Open(desk, room, {name: ui.tab_panel(name) for name in TABS})
        panels.on_value_change(lambda event: opened.show(event.value))
        opened.show(first)
        with ui.footer(fixed=False).classes("py-1 px-3 bg-white text-grey-8"):
            ui.label("Images stay on the machine that runs this page; nobody else sees this session.").classes(
                "text-xs"
            )


class _Open:
    """The tabs that a person opened: the others are not made yet, those out of sight rest.

    Args:
        desk: what can be done.
        room: of the session.
        panels: by the name of the tab.
    """

    def __init__(self, desk: Desk, room: Room, panels: dict[str, ui.tab_panel]) -> None:
        self._desk, self._room, self._panels = desk, room, panels
        self._made: set[str] = set()

    def show(self, shown: str) -> None:
        """Makes the tab where it is opened first; only its clocks run then."""
        if shown not in self._panels:  # the browser may tell anything
            return
        if shown not in self._made:
            self._made.add(shown)
            with self._panels[shown]:
                TABS[shown](self._desk, self._room)
        for name in self._made:
            for one in self._panels[name].descendants():
                if isinstance(one, ui.timer):
                    one.active = name == shown
