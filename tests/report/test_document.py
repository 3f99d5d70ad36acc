from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from epistem.core import Quantity, RecordError
from epistem.report.document import Cell, Column, Fact, Facts, Figure, Link, Notice, Report, Section, Table, Text

PNG = b"\x89PNG\r\n\x1a\n rest"
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)  # JSON is UTF-8: no lone surrogates
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    fact = Fact(label=draw(words), value=draw(st.none() | numbers | words), unit=draw(words), note=draw(words))
    cells = st.none() | numbers | words | st.just(fact) | st.builds(Figure.of, st.just(PNG), alt=words)
    row: tuple[Cell, ...] = (draw(cells), draw(cells))
    blocks = (
        Text(text=draw(words)),
        Notice(level="warning", text=draw(words)),
        Facts(facts=(fact,)),
        Table(columns=(Column(label=draw(words)), Column(label="b")), rows=(row,)),
    )
    section = Section(title=draw(words), id="a", blocks=blocks)
    return Report(title=draw(words), provenance={draw(words): draw(numbers)}, sections=(section,))


@settings(max_examples=50)
@given(reports())
def test_json_gives_back_the_same_report_and_the_same_bytes(report: Report) -> None:
    back = Report.from_json(report.to_json())
    assert back == report
    assert back.to_json() == report.to_json()


@pytest.mark.parametrize("value", [1, 1.0, "1", None])
def test_a_cell_keeps_its_type(value: Cell) -> None:
    table = Table(columns=(Column(label="x"),), rows=((value,),))
    report = Report(title="t", sections=(Section(title="s", id="s", blocks=(table,)),))
    block = Report.from_json(report.to_json()).sections[0].blocks[0]
    assert isinstance(block, Table)
    assert type(block.rows[0][0]) is type(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_never_holds_nan(value: float) -> None:
    with pytest.raises(ValidationError):
        Fact(label="x", value=value)
    quantity = Quantity("x_nm", "X", value, "nm", low=value, high=value)
    fact = Fact.of(quantity)
    assert (fact.value, fact.low, fact.high) == (None, None, None)
    report = Report(title="t", provenance={"settings": {"a": value, "b": np.float32(value), "c": (1, value)}})
    assert report.provenance == {"settings": {"a": None, "b": None, "c": [1, None]}}
    assert json.loads(report.to_json())["provenance"] == report.provenance


def test_settings_become_what_json_knows() -> None:
    report = Report(title="t", provenance={"path": Path("a/b"), "n": np.int64(3), "xs": np.array([1.5]), "on": True})
    assert report.provenance == {"path": str(Path("a/b")), "n": 3, "xs": [1.5], "on": True}


def test_a_count_is_a_whole_number_however_it_was_stored() -> None:
    assert repr(Fact.of(Quantity("count", "Objects", 33.0)).value) == "33"
    assert repr(Fact.of(Quantity("mean_nm", "Mean", 33.0)).value) == "33.0"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no json", '{"schema": "epistem.report/2", "title": "t"}', '{"title": "t", "extra": 1}']
)
def test_another_file_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RecordError, match=r"wanted JSON of schema epistem\.report/1") as error:
        Report.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "https://x.org/a", "//x.org/a", "/etc/passwd", "\\\\host\\a", "data:x", "a\nb"]
)
def test_a_link_that_leaves_the_report_is_refused(href: str) -> None:
    with pytest.raises(ValidationError, match="links to itself"):
        Link(text="x", href=href)


def test_a_file_of_any_name_can_be_linked() -> None:
    assert Link.to_file("x", "a b/50%:1#2?.csv").href == "a%20b/50%25%3A1%232%3F.csv"


@pytest.mark.parametrize(
    ("image", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"<svg></svg>", "image/svg+xml"),
    ],
)
def test_a_figure_knows_its_format_from_its_bytes_and_gives_them_back(image: bytes, media_type: str) -> None:
    figure = Figure.of(image, alt="a")
    assert figure.media_type == media_type
    assert figure.image == image


def test_a_figure_of_another_format_is_refused() -> None:
    with pytest.raises(RecordError, match="PNG, JPEG, WebP or SVG"):
        Figure.of(b"GIF89a", alt="a")


def test_two_sections_cannot_share_an_anchor() -> None:
    section = Section(title="s", id="s")
    with pytest.raises(ValidationError, match="must differ; twice: s"):
        Report(title="t", sections=(section, section))


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValidationError, match="row 0 has 2 cells, the table has 1 columns"):
        Table(columns=(Column(label="a"),), rows=((1, 2),))
