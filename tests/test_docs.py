from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_tables_in_the_docs_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_result_says_how_on_what_and_when_it_was_measured() -> None:
    for path in (ROOT / "results").glob("*.json"):
        for row in json.loads(path.read_text("utf-8")):
            assert set(row) == {"name", "value", "low", "high", "target", "command", "data", "commit"}, row
            assert row["name"].startswith(path.stem + ".")
            assert row["command"]
            assert row["data"]


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
