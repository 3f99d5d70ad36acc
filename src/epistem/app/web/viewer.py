"""The zoomable micrograph of the page, and what it may ask of the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from nicegui import ui
from nicegui.events import GenericEventArguments

from epistem.core.errors import SettingsError
from epistem.report.overlay import RAMP

Mode = Literal["look", "add", "delete", "confirm", "region"]
Op = Literal["add", "delete", "confirm"]

# An outline has this many corners at most; a drawn one is thinned to it in the browser.
MOST_POINTS = 2000
# No image is larger [px]; what lies farther out was not drawn in one.
FARTHEST_PX = 1e6
LEFT_OUT = "left out what a browser sent: %s"

log = logging.getLogger(__name__)


class Edit(NamedTuple):
    """A correction: an outline to add, or the number of an object to delete or confirm."""

    op: Op
    id: int | None
    ring: list[float] | None


class Viewer(
    ui.element,
    component="viewer.js",
    dependencies=[
        "viewer_keys.js",
        "viewer_paint.js",
        "viewer_pointers.js",
        "viewer_shapes.js",
        "viewer_style.js",
        "viewer_view.js",
        "viewer_words.js",
    ],
):
    """A picture with outlines on it; the browser fetches both from this server.

    The objects come as JSON, `{"shape": [H, W], "aspect": row_nm / col_nm, "nm_per_px": col_nm or null,
    "objects": [{"id", "score" or null, "label", "state", "rings": [[x0, y0, x1, y1, …]], "about": {…}}]}`, with
    x along columns and y along rows [px], corners of pixels at integers, and the state "found", "confirmed",
    "added" or "deleted". The picture may have fewer pixels than the image.

    Args:
        on_pick: an object was selected, or none (None).
        on_edit: op, object, outline [px] as x0, y0, x1, y1, …; the page stores it and calls `refresh`.
        on_region: outline [px] of a region, drawn in the mode "region".
        on_leave: Escape with nothing left to leave, for instance to go back to the mode "look".

    The handlers see numbers that were checked for kind and size; whether there is such an object they must ask.
    """

    def __init__(
        self,
        *,
        on_pick: Callable[[int | None], object] | None = None,
        on_edit: Callable[[Op, int | None, list[float] | None], object] | None = None,
        on_region: Callable[[list[float]], object] | None = None,
        on_leave: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        self._on_pick, self._on_edit, self._on_region, self._on_leave = on_pick, on_edit, on_region, on_leave
        self._props.update(
            {
                "picture": None,
                "objects": None,
                "version": 0,
                "threshold": 0.0,
                "selected": None,
                "mode": "look",
                "ramp": RAMP.astype(int).tolist(),
                "most-points": MOST_POINTS,
            }
        )
        self.on("pick", self._picked)
        self.on("edit", self._edited)
        self.on("region", self._outlined)
        self.on("leave", self._left)

    def show(self, picture_url: str, objects_url: str | None) -> None:
        """Another picture, seen whole, with its objects.

        Raises:
            SettingsError: an address that is not on this server.
        """
        for url in (picture_url, objects_url):
            if url is not None:
                own_address(url)
        self._props.update({"picture": picture_url, "objects": objects_url, "selected": None})

    def refresh(self) -> None:
        """Fetches the objects again; the view stays where it is."""
        self._props["version"] += 1

    @property
    def threshold(self) -> float:
        """Objects with a lower score are hidden, 0 to 1; those without score or put by hand are always shown."""
        return float(self._props["threshold"])

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._props["threshold"] = float(value)

    @property
    def selected(self) -> int | None:
        """The number of the selected object."""
        chosen: int | None = self._props["selected"]
        return chosen

    @selected.setter
    def selected(self, value: int | None) -> None:
        self._props["selected"] = value

    @property
    def mode(self) -> Mode:
        """What a click or a drag does."""
        mode: Mode = self._props["mode"]
        return mode

    @mode.setter
    def mode(self, value: Mode) -> None:
        if value not in get_args(Mode):
            raise SettingsError(f"viewer mode {value!r}; one of {', '.join(get_args(Mode))}")
        self._props["mode"] = value

    def _picked(self, event: GenericEventArguments) -> object:
        try:
            chosen = read_pick(event.args)
        except SettingsError as error:
            log.warning(LEFT_OUT, error)
            return None
        # The browser has it already; sent back, it would undo a faster next pick.
        with self._props.suspend_updates():
            self._props["selected"] = chosen
        return self._on_pick(chosen) if self._on_pick else None

    def _edited(self, event: GenericEventArguments) -> object:
        try:
            edit = read_edit(event.args)
        except SettingsError as error:
            log.warning(LEFT_OUT, error)
            return None
        return self._on_edit(*edit) if self._on_edit else None

    def _outlined(self, event: GenericEventArguments) -> object:
        try:
            ring = read_ring(_fields(event.args).get("ring"))
        except SettingsError as error:
            log.warning(LEFT_OUT, error)
            return None
        return self._on_region(ring) if self._on_region else None

    def _left(self) -> object:
        return self._on_leave() if self._on_leave else None


def own_address(url: str) -> None:
    """
    Raises:
        SettingsError: an address that is not on this server.
    """
    if not url.startswith("/") or url.startswith("//") or "\\" in url:
        raise SettingsError(f"the page fetches from its own server only, want /…, got {url!r}")


def read_pick(args: object) -> int | None:
    """The object that was selected in the browser, or None for none.

    Raises:
        SettingsError: not a number of an object.
    """
    chosen = _fields(args).get("id")
    return None if chosen is None else _number(chosen)


def read_edit(args: object) -> Edit:
    """A correction from the browser.

    Raises:
        SettingsError: not a correction.
    """
    fields = _fields(args)
    match fields.get("op"):
        case "add":
            return Edit("add", None, read_ring(fields.get("ring")))
        case "delete" | "confirm" as op:
            return Edit(op, _number(fields.get("id")), None)
        case other:
            raise SettingsError(f"a correction adds, deletes or confirms, got {str(other)[:40]!r}")


def read_ring(value: object) -> list[float]:
    """Corners x0, y0, x1, y1, … [px] of an outline from the browser.

    Raises:
        SettingsError: not 3 to 2,000 corners of finite numbers.
    """
    if not isinstance(value, list) or len(value) % 2 or not 6 <= len(value) <= 2 * MOST_POINTS:
        size = len(value) if isinstance(value, list) else type(value).__name__
        raise SettingsError(f"an outline is x, y of 3 to {MOST_POINTS} corners, got {size} numbers")
    for number in value:
        # Also false for NaN and for whole numbers too large for a float.
        if type(number) not in (int, float) or not -FARTHEST_PX <= number <= FARTHEST_PX:
            raise SettingsError(f"a corner within {FARTHEST_PX:.0f} px is wanted, got {str(number)[:40]!r}")
    return [float(number) for number in value]


def _fields(args: object) -> dict[str, Any]:
    if not isinstance(args, dict):
        raise SettingsError(f"an event with named values is wanted, got {type(args).__name__}")
    return args


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise SettingsError(f"an object has a number from 0 on, got {str(value)[:40]!r}")
    return value
