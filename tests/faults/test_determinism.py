"""The same seed gives the same bytes, with one thread and worker or with two."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.running import files
from tests.faults.test_command_faults import FIELD

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
RUN = """
import sys
from tests.faults.running import epistem
workers, image, field, many, out = sys.argv[1:]
own = ["--pixel-size", "0.5 nm", "--workers", workers]
simulate = ["atoms", "simulate", field, "--fields", "3", "--workers", workers, "-o", out + "/b"]
first = out + "/b/field_00000/"
known = ["-c", first + "context.yaml", "--no-what-if"]
classify = ["atoms", "classify", first + "image.tif", *known, "-o", out + "/c"]
typical = ["typicality", many, "-o", out + "/d"]
for words in (["analyze", image, *own, "-o", out + "/a"], simulate, classify, typical):
    ended = epistem(*words)
    assert ended.code == 0, ended.said
"""


def test_results_are_the_same_bytes_with_one_thread_or_two(tmp_path: Path) -> None:
    """Fresh processes: how many threads there are is settled when a library is loaded."""
    from PIL import Image

    (tmp_path / "in").mkdir()
    for name, left in (("a", 0), ("b", 100)):
        Image.open(EXAMPLES / "A4.png").crop((left, 0, left + 200, 160)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "many").mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        grey = rng.normal(120, 20, (160, 160)).clip(0, 255).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "many" / f"{number}.png")
    (tmp_path / "field.yaml").write_text(FIELD, "utf-8")
    sums = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        subprocess.run(
            [sys.executable, "-c", RUN, threads, tmp_path / "in", tmp_path / "field.yaml", tmp_path / "many", out],
            env={**os.environ, **dict.fromkeys(names, threads)}, cwd=Path(__file__).parents[2], check=True,
        )  # fmt: skip
        sums.append({name: hashlib.sha256(content).hexdigest() for name, content in files(out).items()})
    assert len(sums[0]) > 15
    assert sums[0] == sums[1]
