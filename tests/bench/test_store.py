from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from epistem.bench.plan import Job, Plan, Split
from epistem.bench.store import (
    RECORD,
    SCORES,
    JobRecord,
    finished,
    gather,
    job_folder,
    jobs_table,
    read_scores,
    records,
    write_record,
)
from epistem.core import RecordError


def record(job: str, **values: object) -> JobRecord:
    given = {
        "job": job, "dataset": "steel", "encoder": "resnet18", "decoder": "unet", "variant": "canonical",
        "weights": "none", "seed": 0, "start": "random initialisation", "undertrained": False, "steps": 3,
        "best_step": 2, "best_score": 0.5, "seconds": 1.0, "device": "cpu", "parameters": 10, "macs": 20,
        "latency_ms": 1.0, "frames_per_s": 1000.0, "peak_mb": 1.0, "tile_px": 32, "model": True, "versions": {},
    }  # fmt: skip
    return JobRecord.model_validate(given | values)


def scores(job: str) -> pd.DataFrame:
    return pd.DataFrame({"job": [job] * 2, "image": ["a", "b"], "value": [0.5, None], "empty": [0, 1]})


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    """As a training leaves them."""
    for name in "za":
        job_folder(tmp_path, name).mkdir(parents=True)


@pytest.fixture
def plan() -> Plan:
    jobs = [Job(id=name, encoder="resnet18", decoder="unet", variant="canonical", weights="none", seed=i, settings={})
            for i, name in enumerate("zab")]  # fmt: skip
    return Plan(split=Split(train=(), val=(), test=()), jobs=tuple(jobs))


def test_what_is_written_is_finished_and_listed_in_the_plans_order(tmp_path: Path, plan: Plan) -> None:
    for name in "az":
        write_record(tmp_path, record(name), scores(name))
    assert finished(tmp_path, plan.jobs[0]) == record("z")
    assert finished(tmp_path, plan.jobs[2]) is None
    assert [one.job for one in records(tmp_path, plan)] == ["z", "a"]


def test_tables_hold_one_row_a_job_and_one_an_image(tmp_path: Path) -> None:
    done = [record("z"), record("a", best_score=None, seed=1)]
    for one in done:
        write_record(tmp_path, one, scores(one.job))
    gather(tmp_path, done)
    jobs, all_scores = (pd.read_parquet(tmp_path / name) for name in ("jobs.parquet", SCORES))
    assert jobs["job"].tolist() == jobs_table(done)["job"].tolist() == ["z", "a"]
    assert jobs["best_score"].isna().tolist() == [False, True]
    assert "versions" not in jobs
    assert all_scores["job"].tolist() == ["z", "z", "a", "a"]
    assert [row["job"] for row in json.loads((tmp_path / "jobs.json").read_text())] == ["z", "a"]


@pytest.mark.parametrize("harm", ["", "{", "[]", '{"schema": "epistem.job/0"}', '{"schema": "epistem.job/1"}'])
def test_a_record_that_is_not_whole_asks_for_the_job_again(tmp_path: Path, plan: Plan, harm: str) -> None:
    write_record(tmp_path, record("z"), scores("z"))
    (job_folder(tmp_path, "z") / RECORD).write_text(harm)
    assert finished(tmp_path, plan.jobs[0]) is None


@pytest.mark.parametrize("harm", [b"", b"PAR1 and more", None])
def test_damaged_scores_are_named_with_what_to_do(tmp_path: Path, harm: bytes | None) -> None:
    write_record(tmp_path, record("z"), scores("z"))
    path = job_folder(tmp_path, "z") / SCORES
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm)
    with pytest.raises(RecordError, match=rf"{path} is no whole table .*; delete {path.parent} and run again"):
        read_scores(tmp_path, [record("z")])


def test_a_disk_that_fills_before_the_scores_leaves_no_record(tmp_path: Path, plan: Plan, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RecordError, match="No space left on device; make room on the disk"):
        write_record(tmp_path, record("z"), scores("z"))
    assert finished(tmp_path, plan.jobs[0]) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_a_score_that_is_said() -> None:
    assert record("z").validated == "validation 0.500"
    assert record("z", best_score=None).validated == "validation gave no score"
