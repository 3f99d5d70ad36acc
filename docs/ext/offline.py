"""Fails a build whose pages would fetch fonts, scripts, styles or pictures from elsewhere when they are opened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_LOADED = {
    "script": ("src",), "link": ("href",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"),
    "video": ("src", "poster"), "audio": ("src",), "object": ("data",), "embed": ("src",), "input": ("src",),
    "track": ("src",), "use": ("href", "xlink:href"), "image": ("href", "xlink:href"),
}  # fmt: skip
"""Attributes that a browser follows by itself; that of <a> it follows when clicked."""
_STYLED = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^\s'")]+)""", re.IGNORECASE)
_ELSEWHERE = re.compile(r"\s*(?:https?:|wss?:)?//", re.IGNORECASE)


class Fetched(NamedTuple):
    """An address that opening a page would fetch, and where it stands."""

    page: Path
    address: str


def setup(app: Sphinx) -> dict[str, Any]:
    """Look at what was built."""
    app.connect("build-finished", _check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def fetched(folder: Path) -> Iterator[Fetched]:
    """What the pages and styles of a folder would fetch from elsewhere."""
    for page in sorted(folder.rglob("*")):
        if page.suffix == ".html":
            for address in _of_page(page.read_text("utf-8")):
                yield Fetched(page.relative_to(folder), address)
        elif page.suffix in (".css", ".svg"):
            for address in _STYLED.findall(page.read_text("utf-8")):
                yield Fetched(page.relative_to(folder), address)


def _of_page(html: str) -> list[str]:
    reader = _Reader()
    reader.feed(html)
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        for name, value in attrs:
            if name == "style":
                self.found += _STYLED.findall(value or "")
            elif name in _LOADED.get(tag, ()):
                parts = (value or "").split(",") if name == "srcset" else [value or ""]
                self.found += [one.strip() for one in parts if _ELSEWHERE.match(one)]

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.found += _STYLED.findall(data)


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        found = list(fetched(Path(app.outdir)))
        if found:
            lines = "\n".join(f"  {page}: {address}" for page, address in found[:20])
            raise ExtensionError(f"{len(found)} addresses would be fetched by opening these pages:\n{lines}")
