"""How long the tests take on two cores: [scale.suite_minutes], and their fast part.

    python -m benchmarks.suite_time [--list JUNIT.xml]

All of them as `make test` runs them, then those of `make quick`. A run that fails records nothing. With --list,
tests/slow.txt, the modules that `make quick` leaves out, is written anew from the times of a whole run that was made
before (`pytest --numprocesses 2 --quiet --junitxml=JUNIT.xml`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.record import ROOT, record

COMMAND = "python -m benchmarks.suite_time"
SLOW_S = 3.0
"""A module that takes longer is no part of the fast ones."""


def main() -> int:
    """Run both, record both."""
    options = argparse.ArgumentParser(prog=COMMAND)
    options.add_argument("--list", type=Path, metavar="JUNIT.xml")
    options.add_argument("--quick", action="store_true", help="only the fast part")
    asked = options.parse_args()
    if asked.list:
        (ROOT / "tests" / "slow.txt").write_text("\n".join(slow_modules(asked.list)) + "\n", "utf-8")
        return 0
    both = (("suite_minutes", [], "< 15"), ("quick_minutes", ["--quick"], "< 2"))
    rows = []
    for name, words, target in both[1:] if asked.quick else both:
        began = time.monotonic()
        pytest = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--quiet", *words]
        done = subprocess.run(pytest, cwd=ROOT, capture_output=True, text=True, check=False)
        minutes = (time.monotonic() - began) / 60
        told = done.stdout.strip().splitlines()[-1]
        print(told)
        if done.returncode:
            print(done.stdout[-5000:])
            return 1
        counts = ", ".join(re.findall(r"\d+ (?:passed|skipped)", told))
        data = f"two processes on two cores, clock of the whole command, one run; {counts}"
        rows.append((f"scale.{name}", round(minutes, 2), target, data))
    for name, value, target, data in rows:  # now, as a test holds the tables of the docs against the rows
        record(name, value, target=target, command=COMMAND, data=data)
    return 0


def slow_modules(junit: Path) -> list[str]:
    """Paths of the test modules that took longer than SLOW_S in a run."""
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        seconds[f"{case.get('classname', '').replace('.', '/')}.py"] += float(case.get("time", 0))
    return sorted(path for path, taken in seconds.items() if taken > SLOW_S and (ROOT / path).is_file())


if __name__ == "__main__":
    sys.exit(main())
