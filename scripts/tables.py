"""Writes the numbers of results/*.json into the tables of docs/*.md: `python scripts/tables.py [--check]`.

A table stands between `<!-- results: main -->` and `<!-- end -->`; after the topic may follow how the names
that it shows begin, `<!-- results: main.baseline -->`. A number stands once on a page, in the table whose beginning
fits it the furthest; a table without numbers says that they are not measured yet. `<!-- costs -->` is the place of
what follows from the numbers by benchmarks/extrapolate.py, `<!-- race -->` that of the claims of speed.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # of a script Python knows the own folder alone
from benchmarks.extrapolate import cost_table  # noqa: E402
from benchmarks.race_table import race_table  # noqa: E402

COSTS = re.compile(r"(<!-- costs -->\n).*?(<!-- end -->)", re.DOTALL)
RACE = re.compile(r"(<!-- race -->\n).*?(<!-- end -->)", re.DOTALL)
PLACE = re.compile(r"(<!-- results: (\w+)([\w.-]*) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Write, or with --check only say which pages are behind; 1 if any is."""
    behind = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text("utf-8")
        fresh = with_tables(text, ROOT / "results")
        if fresh != text:
            behind.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(fresh, "utf-8")
    print(f"{'behind' if '--check' in sys.argv else 'written'}: {', '.join(behind) or 'nothing'}")
    return int("--check" in sys.argv and bool(behind))


def with_tables(text: str, results: Path) -> str:
    """The page with every table made anew."""
    beginnings = {topic + rest for _, topic, rest, _ in PLACE.findall(text)}

    def place_of(name: str) -> str:
        return max((one for one in beginnings if name.startswith(one)), key=len, default="")

    def table(place: re.Match[str]) -> str:
        head, topic, rest, end = place.groups()
        chosen = [row for row in _rows(results / f"{topic}.json") if place_of(row["name"]) == topic + rest]
        return head + "\n".join([_HEAD, *map(_line, chosen)] if chosen else ["*Not measured yet.*"]) + "\n" + end

    def costs(place: re.Match[str]) -> str:
        measured = {path.stem: _rows(path) for path in results.glob("*.json")}
        return place[1] + "\n".join(cost_table(measured)) + "\n" + place[2]

    text = COSTS.sub(costs, PLACE.sub(table, text))
    return RACE.sub(lambda place: f"{place[1]}{race_table(results)}\n{place[2]}", text)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return rows


_HEAD = "| name | value | low–high | wanted | measured by | on | commit |\n|---|--:|---|---|---|---|---|"


def _line(row: dict[str, Any]) -> str:
    spread = "" if row["low"] is None else f"{row['low']:.4g}–{row['high']:.4g}"
    value = f"{row['value']:.4g}"
    cells = (row["name"], value, spread, row["target"], f"`{row['command']}`", row["data"], f"`{row['commit']}`")
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
