"""Disk space of `pip install "epistem[lite]"` in a fresh environment: main.lite_install_mb."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import ROOT, record

COMMAND = "python -m benchmarks.lite_size"


def main(words: Sequence[str] | None = None) -> int:
    """Install, try the default detector without torch, add up the files."""
    argparse.ArgumentParser(prog=COMMAND, description=__doc__).parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        before = _megabytes(Path(folder))
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "-c", "constraints.txt", ".[lite]"], cwd=ROOT, check=True
        )
        found = subprocess.run(
            [python, "-c", _TRY], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()  # fmt: skip
        data = f"all files that came with it, compiled ones included; cavity-dense then finds {found} without torch"
        record(
            "main.lite_install_mb",
            round(_megabytes(Path(folder)) - before),
            target="< 1000",
            command=COMMAND,
            data=data,
        )
    return 0


_TRY = """
import importlib.util
assert importlib.util.find_spec("torch") is None
from epistem.detect import detect
from epistem.synth.cavities import CavityScene, simulate
field = simulate(CavityScene(shape=(256, 256), number=12, diameter_nm=5), seed=0)
print(len(detect(field.micrograph, "cavity-dense")), "of", len(field.truth), "simulated cavities")
"""


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
