from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

import pytest

from epistem.report.document import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Figure,
    Link,
    Links,
    Notice,
    Report,
    Section,
    Table,
    Text,
)
from epistem.report.render import render_html

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>.tif"


class Page(HTMLParser):
    """Tags with their attributes; fails where one is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report_with(*blocks: Block, title: str = "area 1.dm3") -> Report:
    section = Section(title=title, id="image", blocks=blocks)
    return Report(title=title, sections=(section, Section(title="Methods", id="methods")))


def table_of(*cells: Cell, column: Column | None = None, **rest: object) -> Table:
    return Table(columns=(column or Column(label="x"),), rows=tuple((cell,) for cell in cells), **rest)  # type: ignore[arg-type]


def everything(text: str) -> Report:
    """A report with `text` wherever a text can stand."""
    fact = Fact(name=text, label=text, value=text, unit=text, note=text)
    unknown = Fact(label=text, value=None, note=text)
    figure = Figure.of(b"\x89PNG\r\n", alt=text, caption=text, title=text)
    column = Column(label=text, unit=text, note=text, missing=text)
    link = Link.to_file(text, text)
    return report_with(
        *(Text(title=text, text=text, role=role) for role in ("body", "headline", "list", "quotation")),
        Notice(level="error", text=text),
        Facts(title=text, facts=(fact, unknown, unknown)),
        Facts(facts=(fact, unknown), style="list"),
        table_of(text, 1.0, None, fact, unknown, link, figure, column=column, title=text, note=text, folded=True),
        figure,
        Links(title=text, links=(link,)),
        title=text,
    )


def test_a_file_named_like_a_script_is_shown_and_not_run() -> None:
    page = Page(render_html(everything(EVIL)))
    assert len(page.all("script")) == 1  # ours
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any(image.get("src") == "x" for image in page.all("img"))
    assert EVIL in page.text


def test_only_our_script_may_run() -> None:
    html = render_html(report_with())
    script = re.search(r"<script>(.*?)</script>", html, re.S)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = Page(html).all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_the_page_loads_nothing() -> None:
    html = render_html(everything("x"))
    page = Page(html)
    assert page.all("link") == []
    assert page.all("iframe") == []
    sources = [v for _, attributes in page.tags for name, v in attributes.items() if name in ("src", "srcset") and v]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)


def test_every_anchor_leads_somewhere_and_every_id_is_used_once() -> None:
    link = Links(links=(Link(text="to methods", href="#methods"),))
    page = Page(render_html(report_with(link)))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [href[1:] for a in page.all("a") if (href := a["href"] or "").startswith("#")]
    assert {"image", "methods"} <= set(anchors) <= set(ids)
    labelled = [attributes["aria-labelledby"] for attributes in page.all("section")]
    assert set(labelled) <= set(ids)


def test_a_page_can_be_walked_by_headings_and_keyboard() -> None:
    page = Page(render_html(everything("x")))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(image.get("alt") is not None for image in page.all("img"))
    assert all(attributes["tabindex"] == "0" for _, attributes in page.tags if attributes.get("class") == "scroll")
    assert page.all("html")[0]["lang"] == "en"


def test_above_its_title_a_page_says_what_it_is() -> None:
    assert "Micrograph report" in Page(render_html(report_with())).text
    other = Page(render_html(report_with().model_copy(update={"kind": "Published study, done again"}))).text
    assert other.index("Published study, done again") < other.index("area 1.dm3", other.index("Published"))
    assert "Micrograph report" not in other


def test_the_same_report_gives_the_same_page() -> None:
    assert render_html(everything("x")) == render_html(everything("x"))


def test_an_unknown_cell_is_a_dash_with_its_reason() -> None:
    why = Fact(value=None, note="no pixel size")
    page = Page(render_html(report_with(table_of(None, why, column=Column(label="d", missing="no mask")))))
    cells = page.all("td")
    assert [cell["title"] for cell in cells] == ["no mask", "no pixel size"]
    assert [cell["data-key"] for cell in cells] == ["", ""]
    assert page.text.count("–") == 2


def test_an_interval_stands_under_its_number_and_not_where_there_is_none() -> None:
    cells = Fact(value=6.1, low=5.8, high=6.4), Fact(value=6.1), Fact(value=None, low=5.8, high=6.4), 6.1, "text"
    page = render_html(report_with(table_of(*cells)))
    assert re.findall(r'<span class="ends">(.*?)</span>', page) == ["(5.8–6.4)"]
    assert "6.1 (5.8–6.4)" in Page(page).text


def test_a_cell_is_rounded_for_the_eye_and_sorted_by_the_whole_number() -> None:
    fact = Fact(name="m", value=6.123456, unit="nm", low=5.81, high=6.48, coverage=0.9)
    page = Page(render_html(report_with(table_of(fact, 0.123456))))
    assert [cell["data-key"] for cell in page.all("td")] == ["6.123456", "0.123456"]
    assert "6.1 nm (5.8–6.5)" in page.text
    assert "0.123456" not in page.text


def test_a_column_can_fix_its_decimals() -> None:
    page = Page(render_html(report_with(table_of(95.04, 7.0, column=Column(label="r", decimals=1)))))
    assert "95.0" in page.text
    assert "7.0" in page.text


def test_numbers_unknown_for_one_reason_are_told_in_one_line() -> None:
    reason = "no pixel size; pass --pixel-size"
    facts = tuple(Fact(label=label, value=None, note=reason) for label in ("Density", "Swelling"))
    text = Page(render_html(report_with(Facts(facts=facts, style="list")))).text
    assert text.count(reason) == 1
    assert "Density, Swelling" in text


@pytest.mark.parametrize(("rows", "folded_open"), [(3, True), (1000, False)])
def test_a_long_table_is_folded_away_and_whole(rows: int, folded_open: bool) -> None:
    page = Page(render_html(report_with(table_of(*range(rows), title="Objects", folded=True))))
    assert len(page.all("td")) == rows
    (fold,) = [details for details in page.all("details") if details.get("class") == "fold"]
    assert ("open" in fold) is folded_open


def test_an_empty_report_says_so() -> None:
    assert "This report is empty." in Page(render_html(Report(title="t"))).text
