"""Tables of the docs from results."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "tables.py"


@pytest.fixture(scope="module")
def with_tables() -> Callable[[str, Path], str]:
    if not SCRIPT.is_file():
        pytest.skip("scripts are not here")
    spec = importlib.util.spec_from_file_location("tables", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.with_tables


def place(beginning: str) -> str:
    return f"<!-- results: {beginning} -->\nold\n<!-- end -->"


def results(folder: Path, *names: str) -> Path:
    rest = {"value": 0.5, "low": None, "high": None, "target": "1", "command": "c", "data": "a|b", "commit": "f"}
    (folder / "main.json").write_text(json.dumps([{"name": name, **rest} for name in names]), "utf-8")
    return folder


def test_a_number_stands_once_in_the_table_that_fits_it_furthest(
    with_tables: Callable[[str, Path], str], tmp_path: Path
) -> None:
    page = "\n\n".join(map(place, ["main", "main.real_", "main.real_crop."]))
    made = with_tables(page, results(tmp_path, "main.fuzz", "main.real_f1", "main.real_crop.x"))
    for part, name in zip(made.split("\n\n"), ["main.fuzz", "main.real_f1", "main.real_crop.x"], strict=True):
        rows = [line for line in part.splitlines() if line.startswith("| main")]
        assert rows == [f"| {name} | 0.5 |  | 1 | `c` | a\\|b | `f` |"]


def test_a_table_without_numbers_says_so(with_tables: Callable[[str, Path], str], tmp_path: Path) -> None:
    made = with_tables(place("main.sim_") + place("other"), results(tmp_path, "main.fuzz"))
    assert made.count("*Not measured yet.*") == 2
    assert "main.fuzz" not in made
    assert "old" not in made


def test_a_page_that_was_written_stays_as_it_is(with_tables: Callable[[str, Path], str], tmp_path: Path) -> None:
    once = with_tables("text\n" + place("main") + "\ntext" + place("main.sim_"), results(tmp_path, "main.fuzz"))
    assert with_tables(once, tmp_path) == once
