"""`epistem doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from epistem import __version__
from epistem.app.options import Json

if TYPE_CHECKING:
    from epistem.app.doctor import Finding

BROKEN = 1
_TITLES = {"machine": "This machine", "libraries": "What is installed", "jobs": "Every job, tried in small"}
_COLOURS = {"ok": "green", "note": "yellow", "missing": "blue", "broken": "red"}


def doctor(as_json: Json = False) -> None:
    """Say what works on this machine, and how to mend what does not; ends with 1 if something installed is broken."""
    from epistem.app.doctor import examine, works

    found = examine()
    well = works(found)
    if as_json:
        told = {"version": __version__, "works": well, "findings": [asdict(one) for one in found]}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _tell(found)
    if not well:
        raise typer.Exit(BROKEN)


def _tell(found: Sequence[Finding]) -> None:
    from rich.console import Console

    console = Console()
    for group, title in _TITLES.items():
        console.print(_table(title, [one for one in found if one.group == group]))
    for line in advice(found):
        print(line)


def advice(found: Sequence[Finding]) -> list[str]:
    """What to do, the worst first, and one line of summary before it."""
    broken, noted, missing = ([one for one in found if one.state == state] for state in ("broken", "note", "missing"))
    if broken:
        head = f"Broken: {_names(broken)}. The lines below say what to do."
    else:
        head = "All that is installed works."
    lines = [head]
    lines += [f"  {one.name}: {one.mend}" for one in (*broken, *noted) if one.mend]
    if missing:
        lines.append("Not installed; each line adds one, none is needed for what works above:")
        # A job names the extra it lacks too: one line a command is enough.
        lines += [f"  {one.name}: {one.mend}" for one in missing if one.mend and one.group == "libraries"]
    return lines


def _table(title: str, found: Sequence[Finding]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "", "", title=title, title_justify="left", show_header=False)
    for one in found:
        table.add_row(Text(one.name), Text(one.state, style=_COLOURS[one.state]), Text(one.said))
    return table


def _names(found: Sequence[Finding]) -> str:
    return ", ".join(one.name for one in found)
