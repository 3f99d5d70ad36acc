"""A report as one HTML file that loads nothing: no fonts, scripts, styles or pictures from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epistem.report.document import Cell, Column, Fact, Facts, Figure, Link, Report
from epistem.report.words import DASH, number, p_value, shown, span

LONG = 12  # rows from which a table is folded away or scrolls


def render_html(report: Report) -> str:
    """The page. What a file or a person named is shown as text, never run."""
    style, script = _template_text("report.css"), _template_text("report.js")
    # With the script's hash in the policy, nothing that slipped into the text could run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        _environment()
        .get_template("report.html")
        .render(report=report, policy=policy, style=Markup(style), script=Markup(script))
    )


def cell_text(cell: Cell, column: Column) -> str:
    """What stands in a table's cell; a number is rounded, unknown is a dash. Its interval follows by `cell_span`."""
    if isinstance(cell, Fact):
        return shown(cell) + (f" {cell.unit}" if cell.unit and not column.unit and cell.value is not None else "")
    if isinstance(cell, Link):
        return cell.text
    if isinstance(cell, Figure):
        return cell.alt
    if column.kind == "p_value" and isinstance(cell, float):
        return p_value(cell)
    return cell if isinstance(cell, str) else number(cell, decimals=column.decimals)


def cell_span(cell: Cell) -> str:
    """The interval of a number in a table's cell; it stands under the number, so that many columns fit a page."""
    return span(cell.low, cell.high, None) if isinstance(cell, Fact) and cell.value is not None else ""


def cell_key(cell: Cell) -> str:
    """What the cell is sorted by: the unrounded number, or the text; empty comes last."""
    if isinstance(cell, Fact):
        cell = cell.value
    if isinstance(cell, Link):
        return cell.text
    return "" if cell is None or isinstance(cell, Figure) else str(cell)


def cell_hint(cell: Cell, column: Column) -> str:
    """The words over a cell: why it is empty, or what its number rests on."""
    if isinstance(cell, Fact):
        return cell.note
    return column.missing if cell is None else ""


def cell_explains(cell: Cell) -> bool:
    """Whether the words over the cell are needed to understand it: it is empty, or counts what they say."""
    return cell is None or (isinstance(cell, Fact) and (cell.value is None or not cell.name) and bool(cell.note))


def shares_reason(fact: Fact, block: Facts) -> bool:
    """Whether this number is unknown for a reason that it shares with others: one line then tells it for all."""
    alike = [other for other in block.facts if other.value is None and other.note == fact.note]
    return fact.value is None and len(alike) > 1


def shared_reasons(block: Facts) -> list[tuple[str, list[str]]]:
    """Each such reason with the labels of the numbers that are unknown for it."""
    reasons: dict[str, dict[str, None]] = {}
    for fact in block.facts:
        if shares_reason(fact, block):
            reasons.setdefault(fact.note, {})[fact.label] = None
    return [(note, list(labels)) for note, labels in reasons.items()]


def paragraphs(text: str) -> list[str]:
    """The text cut at its empty lines."""
    return [part.strip() for part in text.split("\n\n") if part.strip()]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("epistem.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        paragraphs, shown, cell_text, cell_span, cell_key, cell_hint, cell_explains, shares_reason, shared_reasons,
    ):  # fmt: skip
        environment.filters[function.__name__] = function
    environment.globals.update(span=span, DASH=DASH, LONG=LONG)
    return environment


def _template_text(name: str) -> str:
    return files("epistem.report").joinpath("templates", name).read_text("utf-8")
