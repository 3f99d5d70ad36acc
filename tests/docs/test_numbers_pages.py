"""The pages of numbers say plainly what does not reach its target."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]
ROOT = Path(__file__).resolve().parents[2]


def row(target: str, value: float = 0.5, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    rest = {"command": "c", "data": "ten images", "commit": "f"}
    return {"name": "ask.x", "value": value, "low": low, "high": high, "target": target, **rest}


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (">= 0.5", "reached"),
        ("> 0.5", "not reached"),
        ("<= 0.49", "not reached"),
        ("< 5", "reached"),
        (">= 2000 damaged files, none of which crashes", "not reached"),
        ("0.4 to 0.6", "reached"),
        ("0.6 to 0.7", "not reached"),
        ("0.5", "reached"),
        ("1 when all hold", "not reached"),
        ("reported", "reported"),
        ("1, reported", "reported"),
        ("no target was set; right is within 2 %", "reported"),
        ("falls with the entropy", "in words"),
    ],
)
def test_a_target_is_read_as_it_is_written(extension: Load, target: str, wanted: str) -> None:
    assert extension("numbers_pages").reached(row(target)) == wanted


def test_a_target_of_the_lower_end_is_held_against_that(extension: Load) -> None:
    reached = extension("numbers_pages").reached
    assert reached(row("low > 0", 0.5, -0.1, 1.0)) == "not reached"
    assert reached(row("low > 0", 0.5, 0.1, 1.0)) == "reached"


def test_what_misses_its_target_stands_on_the_first_page_with_its_data(extension: Load) -> None:
    page = extension("numbers_pages").overview({"ask": [row(">= 0.9"), row(">= 0.1")]})
    missed = page.partition("## What does not reach its target")[2].partition("##")[0]
    assert missed.count("`ask.x`") == 1
    assert "| 0.5 | >= 0.9 | ten images |" in missed
    assert "| 2 | 2 | 1 | 1 | 0 |" in page


def test_every_result_has_its_page_and_every_target_is_understood(extension: Load) -> None:
    module = extension("numbers_pages")
    made = module.pages(ROOT / "results", module._tables(ROOT / "scripts" / "tables.py"))
    files = sorted((ROOT / "results").glob("*.json"))
    assert sorted(made) == sorted([f"{path.stem}.md" for path in files] + ["index.md"])
    for path in files:
        for one in json.loads(path.read_text("utf-8")):
            assert f"| {one['name']} |" in made[f"{path.stem}.md"]
