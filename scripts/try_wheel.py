"""Installs the wheel with one extra in a clean environment and uses it from another folder, without the checkout.

python scripts/try_wheel.py                               with this Python
python scripts/try_wheel.py --python python3.13           with another
python scripts/try_wheel.py --extra ""                    base only: analysed by the detector log
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_RUNS = 9


def main(words: Sequence[str] | None = None) -> int:
    """Build, install, ask for help, be examined, analyse the examples; 1 if anything of it fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="that makes the environment")
    parser.add_argument("--extra", default="lite", help="to install with it")
    told = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="epistem-wheel-") as made:
        folder = Path(made)
        python = _environment(folder, told.python, told.extra)
        images = shutil.copytree(ROOT / "examples" / "images", folder / "images")
        _said(python, folder, "--help")
        doctor = json.loads(_said(python, folder, "doctor", "--json", may_fail=True))
        broken = [one for one in doctor["findings"] if one["state"] == "broken"]
        detector = ["--detector", "log"] if told.extra == "" else []
        started = time.monotonic()
        found = json.loads(_said(python, folder, "analyze", str(images), "--out", "out", "--json", *detector))
        taken = time.monotonic() - started
        starts = sorted(_start(python, folder) for _ in range(START_RUNS))
    objects = sum(image["n_objects"] for image in found["images"])
    version = next(one["said"] for one in doctor["findings"] if one["name"] == "Python").partition(",")[0]
    print(f"{version}, epistem[{told.extra}]: {objects} objects in {len(found['images'])} images, {taken:.0f} s;")
    print(f"  --help in {starts[START_RUNS // 2]:.2f} s ({starts[0]:.2f} to {starts[-1]:.2f}, {START_RUNS} starts)")
    for one in broken:
        print(f"  broken: {one['name']}: {one['said']}")
    return 1 if broken or found["errors"] or not objects else 0


def _environment(folder: Path, python: str, extra: str) -> Path:
    """The interpreter of a new environment in which the wheel is installed, and nothing of the checkout."""
    subprocess.run([python, "-m", "venv", str(folder / "env")], check=True)
    inside = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(inside), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(folder / "wheel")], check=True)
    (wheel,) = (folder / "wheel").glob("*.whl")
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    subprocess.run([*pip, "install", "--constraint", str(ROOT / "constraints.txt"), wanted], check=True)
    return inside


def _said(python: Path, folder: Path, *words: str, may_fail: bool = False) -> str:
    done = subprocess.run(
        [str(python), "-m", "epistem", *words], cwd=folder, env=_alone(), capture_output=True, encoding="utf-8",
        errors="replace", check=False,
    )  # fmt: skip
    if done.returncode and not may_fail:
        sys.exit(f"epistem {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _start(python: Path, folder: Path) -> float:
    started = time.perf_counter()
    _said(python, folder, "--help")
    return time.perf_counter() - started


def _alone() -> dict[str, str]:
    """Without what could lead back to the checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return kept | {"PYTHONUTF8": "1"}


if __name__ == "__main__":
    sys.exit(main())
