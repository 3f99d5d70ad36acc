"""Writes the numbers of results/*.json into the tables of docs/*.md: `python scripts/tables.py [--check]`.

A table stands between `<!-- results: main -->` and `<!-- end -->`; after the topic may follow how the names
that it shows begin, `<!-- results: main.baseline -->`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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

    def table(place: re.Match[str]) -> str:
        head, topic, rest, end = place.groups()
        rows = json.loads((results / f"{topic}.json").read_text("utf-8"))
        chosen = [row for row in rows if row["name"].startswith(topic + rest)]
        return head + "\n".join([_HEAD, *map(_line, chosen)]) + "\n" + end

    return PLACE.sub(table, text)


_HEAD = "| name | value | low–high | wanted | measured by | on | commit |\n|---|--:|---|---|---|---|---|"


def _line(row: dict[str, object]) -> str:
    spread = "" if row["low"] is None else f"{row['low']:.4g}–{row['high']:.4g}"
    value = f"{row['value']:.4g}"
    cells = (row["name"], value, spread, row["target"], f"`{row['command']}`", row["data"], f"`{row['commit']}`")
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
