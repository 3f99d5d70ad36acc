"""Pages of numbers: one a file of results/*.json, and first of all what does not reach its target.

They are written anew into docs/numbers/ by every build, so no number on them is typed.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # benchmarks/race.py compares targets where no Sphinx is
    from sphinx.application import Sphinx

Row = dict[str, Any]
Reached = Literal["reached", "not reached", "reported", "in words"]

TITLES = {
    "main": "Reading, finding, measuring",
    "forecast": "Expected F1",
    "segment": "Segmentation",
    "atoms": "Atomic columns",
    "ask": "Questions and answers",
    "app": "The page for people",
    "scale": "Many images",
    "race": "Shares of the possible",
}
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_COMPARED = re.compile(rf"(low |high )?(>=|<=|>|<) {_NUMBER}")
_BETWEEN = re.compile(rf"{_NUMBER} to {_NUMBER}$")
_EXACT = re.compile(rf"{_NUMBER}(?: when .*)?$")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks which there are."""
    # Before the gallery's own handlers: they run the tutorials, and a wrong result file should be told first.
    app.connect("builder-inited", _write, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _write(app: Sphinx) -> None:
    docs = Path(app.srcdir)
    for name, text in pages(docs.parent / "results", _tables(docs.parent / "scripts" / "tables.py")).items():
        path = docs / "numbers" / name
        path.parent.mkdir(exist_ok=True)
        # A page that stays as it is need not be built again.
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def pages(results: Path, with_tables: Callable[[str, Path], str]) -> dict[str, str]:
    """Name → text of each page, index.md among them."""
    topics = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(results.glob("*.json"))}
    topics = dict(sorted(topics.items(), key=lambda one: [*TITLES, one[0]].index(one[0])))
    made = {"index.md": overview(topics)}
    for topic in topics:
        text = f"# {_title(topic)}\n\nFrom `results/{topic}.json`.\n\n<!-- results: {topic} -->\n<!-- end -->\n"
        made[f"{topic}.md"] = with_tables(text, results)
    return made


def overview(topics: dict[str, Sequence[Row]]) -> str:
    """How many numbers have a target, which miss theirs, and which targets only a person can judge."""
    every = [row for rows in topics.values() for row in rows]
    lines = [
        _HEAD,
        "",
        "| | numbers | with a target | reached | not reached | to be read |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for topic, rows in topics.items():
        count = {one: sum(reached(row) == one for row in rows) for one in ("reached", "not reached", "in words")}
        cells = (f"[{_title(topic)}]({topic}.md)", len(rows), sum(count.values()), *count.values())
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "## What does not reach its target", "", *_table([r for r in every if reached(r) == "not reached"])]
    lines += ["", "## Targets in words", "", "Read these yourself: no program compares them.", ""]
    lines += _table([row for row in every if reached(row) == "in words"])
    lines += ["", "```{toctree}", ":hidden:", "", *topics, "```", ""]
    return "\n".join(lines)


_HEAD = """\
# Numbers

Every number here was measured by a command of this repository, on the data and at the commit that its row names.
`results/*.json` holds them, and these pages are made from it. [What was tried](../experiments.md) tells what stands
behind them. Numbers *reported* had no target."""


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return ["None."]
    lines = ["| number | value | wanted | measured on |", "|---|--:|---|---|"]
    for row in rows:
        spread = "" if row["low"] is None else f" ({row['low']:.4g} to {row['high']:.4g})"
        cells = (f"`{row['name']}`", f"{row['value']:.4g}{spread}", row["target"], row["data"])
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return lines


def reached(row: Row) -> Reached:
    """Whether a number reaches what was asked for, as far as a program can tell.

    >>> reached({"value": 0.76, "low": 0.68, "target": ">= 0.80"})
    'not reached'
    """
    target: str = row["target"]
    if "reported" in target or target.startswith("no target"):
        return "reported"
    if found := _COMPARED.match(target):
        end, sign, limit = found.groups()
        value = row[end.strip()] if end else row["value"]
        return _said(_COMPARE[sign](value, float(limit)))
    if found := _BETWEEN.match(target):
        low, high = map(float, found.groups())
        return _said(low <= row["value"] <= high)
    if found := _EXACT.match(target):
        return _said(row["value"] == float(found[1]))
    return "in words"


def _said(whether: bool) -> Reached:
    return "reached" if whether else "not reached"


def _title(topic: str) -> str:
    return TITLES.get(topic, topic.capitalize())


def _tables(path: Path) -> Callable[[str, Path], str]:
    spec = importlib.util.spec_from_file_location("tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[str, Path], str] = module.with_tables
    return made
