"""The table of docs/performance.md: each claim, whether it holds, and its share of what is possible here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.claims import CLAIMS, Claim
from docs.ext.numbers_pages import reached

Row = dict[str, Any]
HEAD = (
    "| what | beside | ours | low–high | wanted | holds | share of the possible | the least it can take | commit |",
    "|---|---|--:|---|---|---|--:|---|---|",
)
NO_LIMIT = {True: "*not measured yet*", False: "no machine bounds it"}
HOLDS = {"reached": "yes", "not reached": "**no**", "reported": "no target", "in words": "to be read"}


def rows_of(results: Path) -> dict[str, Row]:
    """Every number of a folder of results by its name."""
    found = (json.loads(path.read_text("utf-8")) for path in sorted(results.glob("*.json")))
    return {row["name"]: row for rows in found for row in rows}


def race_table(results: Path) -> str:
    """Markdown; a claim that is not measured yet says so."""
    rows = rows_of(results)
    return "\n".join((*HEAD, *(_line(claim, rows) for claim in CLAIMS)))


def _line(claim: Claim, rows: dict[str, Row]) -> str:
    row, limit = rows.get(claim.name), rows.get(f"race.{claim.name}.limit_share")
    what = (f"{claim.what} (`{claim.name}`)", claim.peer or "–")
    if row is None:
        cells = (*what, "*not measured yet*", "", "", "", "", "", "")
    else:
        spread = "" if row["low"] is None else f"{row['low']:.4g}–{row['high']:.4g}"
        share = (f"{limit['value']:.2g}", limit["data"]) if limit else ("–", NO_LIMIT[claim.bounded])
        cells = (
            *what,
            f"{row['value']:.4g}",
            spread,
            row["target"],
            HOLDS[reached(row)],
            *share,
            f"`{row['commit']}`",
        )
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
