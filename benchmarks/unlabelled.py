"""Every real unlabelled image through `epistem analyze`: main.unlabelled_crashes counts files that gave no result."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import record
from benchmarks.study import study_data

COMMAND = "python -m benchmarks.unlabelled"


def main() -> int:
    """Run, count, record; 0 also where the images are not here, which is said."""
    folder = study_data("cavity_tem_unlabelled")
    if folder is None:
        print("skipped: EPISTEM_STUDY_DATA does not lead to cavity_tem_unlabelled")
        return 0
    with tempfile.TemporaryDirectory() as out:
        words = ["analyze", str(folder / "images"), "--out", out, "--json"]
        done = subprocess.run([sys.executable, "-m", "epistem", *words], capture_output=True, text=True)
        print(done.stderr, end="")
        told = json.loads(done.stdout)
        pages = [Path(out) / image["folder"] / "report.html" for image in told["images"]]
        crashes = len(told["errors"]) + sum(not page.is_file() for page in pages)
        if "Traceback" in done.stderr or done.returncode != 0:
            crashes = max(crashes, 1)
    n_objects = sum(image["n_objects"] for image in told["images"])
    data = f"cavity_tem_unlabelled, {len(told['images'])} images analysed, {n_objects} objects"
    record("main.unlabelled_crashes", crashes, target="0", command=COMMAND, data=data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
