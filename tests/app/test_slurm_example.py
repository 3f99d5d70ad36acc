"""examples/cluster on a stand-in for SLURM: `sbatch` runs the job here, and `scancel` ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster" / "analyze_on_slurm.py"
SBATCH = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh {folder}/job.sh > {folder}/job.log 2>&1 < /dev/null &
echo $! >> {folder}/submitted
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >> {folder}/cancelled
kill -- "-$1" 2> /dev/null
exit 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SLURM's commands are stood in for by shell scripts")
def test_the_slurm_example_asks_for_a_job_analyses_on_it_and_lets_go_of_it(
    tmp_path: Path, discs: Callable[..., None]
) -> None:
    pytest.importorskip("dask_jobqueue")
    commands, images = tmp_path / "bin", tmp_path / "images"
    images.mkdir()
    commands.mkdir()
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (commands / name).write_text(script.format(folder=tmp_path), "utf-8")
        (commands / name).chmod(0o755)
    for n in (4, 6):
        discs(images / f"{n}.tif", n=n)
    words = ("--jobs", "1", "--cores", "1", "--memory", "2GB", "--interface", "lo", "--account", "em-group")
    run = subprocess.run(
        [sys.executable, str(EXAMPLE), str(images), "--out", str(tmp_path / "out"), *words, "--detector", "log",
         "--forecast", "none"],
        cwd=tmp_path, env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}, text=True,
        capture_output=True, timeout=200,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert {path.parent.name for path in (tmp_path / "out").glob("images/*/result.json")} == {"4.tif", "6.tif"}
    job = (tmp_path / "job.sh").read_text("utf-8")
    assert "#SBATCH -A em-group" in job
    assert "--nthreads 1" in job
    submitted = (tmp_path / "submitted").read_text().split()
    assert (tmp_path / "cancelled").read_text().split() == submitted
