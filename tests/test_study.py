"""On real images, where EPISTEM_STUDY_DATA leads to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from epistem.app.batch import list_files, make_jobs, run_batch
from epistem.app.settings import make_settings

pytestmark = pytest.mark.study
DATA = os.environ.get("EPISTEM_STUDY_DATA")


def images(folder: str) -> Path:
    path = Path(DATA or "", folder, "images")
    if DATA is None or not path.is_dir():
        pytest.skip(f"EPISTEM_STUDY_DATA does not lead to {folder}")
    return path


@pytest.mark.parametrize(
    ("folder", "every"), [("cavity_tem_unlabelled", 12), ("cavity_tem_labelled", 7), ("particles_emps", 40)]
)
def test_real_images_are_analysed_without_a_failure(folder: str, every: int, tmp_path: Path) -> None:
    settings = make_settings()
    listed = list_files([images(folder)], tmp_path)[::every]
    result = run_batch(make_jobs(listed, settings), settings, tmp_path, workers=1)
    assert [error.why for error in result.errors] == []
    assert len(result.records) == len(listed)
    assert all((tmp_path / i.folder / "report.html").is_file() for r in result.records for i in r.images)
