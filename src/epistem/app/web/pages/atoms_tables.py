"""Tables of the tab Atoms: counts, and how they move with what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from epistem.app.atoms_report import NAMES
from epistem.app.web.pages.atoms_form import told_value
from epistem.report.words import number, percent


def counts_table(labels: Mapping[str, Mapping[str, Any]]) -> None:
    """Called, expected, and the share of the sites with its interval."""
    coverage = next(iter(labels.values()))["coverage"]
    _table(
        ("Column", "Called", "Expected", f"% of its sites ({percent(coverage)})"),
        [
            (name, number(one["called"]), number(one["expected"], decimals=1), _share(one))
            for name, one in labels.items()
        ],
    )
    ui.label(
        "Called: likeliest there. Expected: sum of the posteriors. The interval holds chance alone, not what the "
        "classifier gets wrong."
    ).classes("epi-note")


def before_table(before: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]]) -> None:
    """This answer beside that to the context before."""
    ui.label("Against what you asked before").classes("font-bold mt-2")
    for name, (was, now) in before["differs"].items():
        words, unit = NAMES.get(name, (name.replace("_", " "), ""))
        ui.label(f"{words}: {told_value(was)} → {told_value(now)} {unit}".strip())
    changed = before["changed"]
    ui.label(
        "The columns are not the same ones, or one answer is unknown." if changed is None
        else f"{percent(changed)} of the columns have another likeliest role."
    )  # fmt: skip
    _moved(before["labels"], labels)


def shares_table(record: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Counts with another share of dopants, beside the image's own."""
    if other["share"] == other["own"]:
        ui.label("Move the slider to see how the counts follow.").classes("epi-note")
        return
    _moved(record["labels"], {one["label"]: one for one in other["labels"]})
    ui.label(
        f"{percent(other['changed'])} of the columns are called otherwise; mean entropy "
        f"{number(record['mean_entropy_bits'])} → {number(other['entropy_bits'])} bit."
    ).classes("epi-note")


def what_if_table(rows: Sequence[Mapping[str, Any]] | None, under_way: bool) -> None:
    """The same image, told something else, as in the report."""
    if rows is None and not under_way:
        return
    ui.label("What if the metadata are wrong?").classes("font-bold mt-2")
    if rows is None:
        ui.label("Being asked…").classes("epi-note")
        return
    _table(
        ("Told", "Otherwise [%]", "Entropy [bit]"),
        [
            (one["told"], one["refused"], "") if one["changed"] is None
            else (one["told"], number(100 * one["changed"], decimals=1), number(one["entropy_bits"], decimals=3))
            for one in rows
        ],
    )  # fmt: skip
    ui.label(
        "Otherwise: columns whose likeliest role is another. An answer that changes hangs on your metadata."
    ).classes("epi-note")


def _moved(was: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> None:
    """Labels whose counts are others now; the rest are not worth a line."""
    nothing = {"called": 0, "expected": 0.0}
    rows = []
    for name in dict.fromkeys([*was, *now]):
        a, b = was.get(name, nothing), now.get(name, nothing)
        ends = [number(one["expected"], decimals=1) for one in (a, b)]
        if a["called"] != b["called"] or ends[0] != ends[1]:
            rows.append((name, f"{number(a['called'])} → {number(b['called'])}", f"{ends[0]} → {ends[1]}"))
    if rows:
        _table(("Column", "Called", "Expected"), rows)
    else:
        ui.label("No count moves.").classes("epi-note")


def _share(one: Mapping[str, Any]) -> str:
    if one["share"] is None:
        return "–"
    return f"{100 * one['share']:.2f} ({100 * one['low']:.2f}–{100 * one['high']:.2f})"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Cells that keep to themselves what others typed."""
    with ui.element("div").classes("w-full overflow-x-auto"), ui.element("table").classes("w-full text-[.82rem]"):
        with ui.element("thead"), ui.element("tr"):
            for i, text in enumerate(headings):
                with ui.element("th").props('scope="col"').classes("text-left pr-2" if i == 0 else "text-right pl-2"):
                    ui.label(text)
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for i, text in enumerate(row):
                        with ui.element("td").classes(
                            "pr-2 align-top whitespace-nowrap" if i == 0 else "text-right pl-2 align-top"
                        ):
                            ui.label(text)
