"""`make quick` leaves out what is there, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_modules_that_are_left_out_are_there_in_order_and_no_others_are() -> None:
    slow = (ROOT / "tests" / "slow.txt").read_text("utf-8").split()
    assert slow == sorted(set(slow))
    assert [path for path in slow if not (ROOT / path).is_file()] == []
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "--collect-only", "-q", "tests/core", "tests/nets"]
    told = subprocess.run([*words, "--quick"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    modules = {line.partition("::")[0] for line in told.splitlines() if "::" in line}
    there = {
        path.relative_to(ROOT).as_posix()
        for part in ("core", "nets")
        for path in ROOT.glob(f"tests/{part}/test_*.py")
    }
    assert modules == there - set(slow)
    assert len(there & set(slow)) > 3
