"""A built page that would fetch something when it is opened is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


def found(extension: Load, folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text, "utf-8")
    return [address for _, address in extension("offline").fetched(folder)]


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://x.org/a.js"></script>',
        '<script src="//x.org/a.js"></script>',
        '<link rel="stylesheet" href="http://x.org/a.css">',
        '<img src="HTTPS://x.org/a.png">',
        '<img srcset="a.png 1x, https://x.org/b.png 2x">',
        '<iframe src="https://x.org"></iframe>',
        "<style>@import 'https://x.org/a.css';</style>",
        '<style media="print">@font-face { src: url(https://x.org/a.woff2) }</style>',
        '<p style="background: url(//x.org/a.png)">',
        '<svg><image xlink:href="https://x.org/a.png"/></svg>',
    ],
)
def test_what_a_browser_fetches_by_itself_is_found(extension: Load, tmp_path: Path, text: str) -> None:
    assert len(found(extension, tmp_path, "page.html", f"<html><body>{text}</body></html>")) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://x.org">a link</a>',
        '<script src="_static/a.js"></script>',
        '<img src="data:image/png;base64,AAAA//AA">',
        "<p>see https://x.org/a.js</p>",
        "<script>// https://x.org in a remark of a script</script>",
        "<style>p { background: url(a.png) }</style>",
        "<style>p { color: red }</style><code>url(https://x.org/a.png)</code>",
    ],
)
def test_links_words_and_what_lies_beside_the_page_are_not(extension: Load, tmp_path: Path, text: str) -> None:
    assert found(extension, tmp_path, "page.html", f"<html><body>{text}</body></html>") == []


def test_styles_are_looked_at_too(extension: Load, tmp_path: Path) -> None:
    assert found(extension, tmp_path, "a.css", "@font-face { src: url('https://x.org/a.woff2') }") == [
        "https://x.org/a.woff2"
    ]
