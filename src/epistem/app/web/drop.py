"""Where micrographs are dropped on the page."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import NamedTuple

from nicegui import ui
from nicegui.events import GenericEventArguments

from epistem.app.web.viewer import LEFT_OUT, own_address
from epistem.core.errors import SettingsError

MICROGRAPHS = "Drop micrographs here, or choose files"
LONGEST_NAME = 1000
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """A file that the browser says is stored: its name there, and the server's id."""

    name: str
    id: str


class Drop(ui.element, component="drop.js"):
    """Files and folders dropped or chosen, each sent as the body of `PUT {url}?name=…`.

    The server answers with JSON: `{"id": …}`, or `{"error": "in words"}` and a status.

    Args:
        url: where the files go, on this server.
        words: what may be dropped, on the button; other than micrographs come one by one, not as folders.
        max_bytes: larger files are refused before they are sent; the server must still check. None: no limit.
        on_done: name and id of each stored file, both as the browser tells them and so not to be trusted;
            whether this user has a file of that id the page must ask.

    Raises:
        SettingsError: an address that is not on this server.
    """

    def __init__(
        self, url: str, *, words: str = MICROGRAPHS, max_bytes: int | None = None,
        on_done: Callable[[str, str], object] | None = None,
    ) -> None:  # fmt: skip
        own_address(url)
        super().__init__()
        self._on_done = on_done
        self._props.update({"url": url, "max-bytes": max_bytes, "words": words, "folders": words == MICROGRAPHS})
        self.on("done", self._done)

    def _done(self, event: GenericEventArguments) -> object:
        try:
            stored = read_done(event.args)
        except SettingsError as error:
            log.warning(LEFT_OUT, error)
            return None
        return self._on_done(*stored) if self._on_done else None


def read_done(args: object) -> Stored:
    """
    Raises:
        SettingsError: not the name and id of a file.
    """
    name, key = (args.get("name"), args.get("id")) if isinstance(args, dict) else (None, None)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise SettingsError(f"a file has a name of up to {LONGEST_NAME} characters, got {str(name)[:40]!r}")
    if not isinstance(key, str) or not ID.fullmatch(key):
        raise SettingsError(f"the id of a file is letters, digits, - and _, got {str(key)[:40]!r}")
    return Stored(name, key)
