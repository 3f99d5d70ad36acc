"""The same seed gives the same bytes, with one thread and worker or with two."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.running import files
from tests.faults.test_command_faults import FIELD

pytest.importorskip("onnxruntime")
EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
RUN = """
import sys
from tests.faults.running import epistem
workers, image, field, out = sys.argv[1:]
own = ["--forecast", "none", "--pixel-size", "0.5 nm", "--workers", workers]
simulate = ["atoms", "simulate", field, "--workers", workers, "-o", out + "/b"]
for words in (["analyze", image, *own, "-o", out + "/a"], simulate):
    ended = epistem(*words)
    assert ended.code == 0, ended.said
"""


def test_results_are_the_same_bytes_with_one_thread_or_two(tmp_path: Path) -> None:
    """Fresh processes: how many threads there are is settled when a library is loaded."""
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.open(EXAMPLES / "A4.png").crop((0, 0, 200, 160)).save(tmp_path / "in" / "a.png")
    (tmp_path / "field.yaml").write_text(FIELD, "utf-8")
    sums = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        subprocess.run(
            [sys.executable, "-c", RUN, threads, tmp_path / "in", tmp_path / "field.yaml", out],
            env={**os.environ, **dict.fromkeys(names, threads)}, cwd=Path(__file__).parents[2], check=True,
        )  # fmt: skip
        sums.append({name: hashlib.sha256(content).hexdigest() for name, content in files(out).items()})
    assert len(sums[0]) > 15
    assert sums[0] == sums[1]
