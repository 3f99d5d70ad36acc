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
*:focus-visible { outline: 3px solid #1a66c4; outline-offset: 2px; }
@media (max-width: 700px) { .q-tab__label { font-size: .75rem; } .q-tab { padding: 0 8px; } }
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
        with ui.header().classes("items-center py-1 px-3"), ui.tabs().props("dense inline-label") as tabs:
            for name in TABS:
                ui.tab(name, icon=_ICONS[name])
        with ui.tab_panels(tabs, value=next(iter(TABS))).classes("w-full").props("keep-alive"):
            for name in TABS:
                with ui.tab_panel(name):
                    TABS[name](desk, room)
        with ui.footer().classes("py-1 px-3 bg-white text-grey-8"):
            ui.label("Images stay on the machine that runs this page; nobody else sees this session.").classes(
                "text-xs"
            )
