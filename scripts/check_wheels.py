"""Whether every library of `epistem[lite]` has a wheel for the Pythons and systems we name; asks the package index.

    python scripts/check_wheels.py                 the newest that fit pyproject.toml
    python scripts/check_wheels.py --constrained   those of constraints.txt

Nothing is installed, and nothing of another system is run: a wheel that is there is no proof that it works. pip
asks for what the system that it runs on needs: a library that only another system wants (`; sys_platform == "win32"`)
is not asked for.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "Linux x86-64": (
        "manylinux_2_28_x86_64",
        "manylinux_2_27_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ),
    "Linux ARM64": (
        "manylinux_2_28_aarch64",
        "manylinux_2_27_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ),
    "Windows x86-64": ("win_amd64",),
    "macOS ARM64": tuple(f"macosx_{version}_0_arm64" for version in (15, 14, 13, 12, 11)),
}
"""System → the names under which its wheels go, the newest first."""


def main(words: Sequence[str] | None = None) -> int:
    """A line for each Python on each system; 1 if any lacks a wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--constrained", action="store_true", help="take the versions of constraints.txt")
    told = parser.parse_args(words)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["lite"]]
    lacking = 0
    for system, platforms in SYSTEMS.items():
        for python in PYTHONS:
            why = _lacks(wanted, python, platforms, constrained=told.constrained)
            lacking += bool(why)
            print(f"{system}, Python {python}: {why or 'a wheel for all'}")
    return 1 if lacking else 0


def _lacks(wanted: Sequence[str], python: str, platforms: Sequence[str], *, constrained: bool) -> str:
    """What pip says where not all are found; "" else."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--dry-run"]
    names = [word for platform in platforms for word in ("--platform", platform)]
    held = ["--constraint", str(ROOT / "constraints.txt")] if constrained else []
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [*pip, "--target", nowhere, "--only-binary=:all:", "--python-version", python, *names, *held, *wanted],
            capture_output=True, encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return ""
    told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "; ".join(told) or f"pip ended with {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
