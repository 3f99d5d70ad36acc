"""What the how-tos tell people to type runs, and prints what stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOWTO = ROOT / "docs" / "howto"
BLOCK = re.compile(r"```python\n(.*?)```\s+```text\n(.*?)```", re.DOTALL)
PAGES = {page.stem: page.read_text("utf-8") for page in sorted(HOWTO.glob("*.md"))}
CODE = [(name, *found) for name, text in PAGES.items() for found in BLOCK.findall(text)]
LOOKED = re.compile(r"```console\n\$ epistem (read examples/[^\n]*)\n(.*?)```", re.DOTALL)


def test_there_is_code_with_output() -> None:
    assert CODE


@pytest.mark.parametrize(("page", "code", "printed"), CODE, ids=[page for page, _, _ in CODE])
def test_code_prints_what_the_page_says(page: str, code: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == (printed.strip(), 0), done.stderr


def test_epistem_read_prints_what_the_page_says() -> None:
    pytest.importorskip("rapidocr")
    (words, printed), *more = LOOKED.findall(PAGES["calibrate"])
    assert not more
    done = subprocess.run(
        [sys.executable, "-m", "epistem", *words.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == printed, done.stderr
