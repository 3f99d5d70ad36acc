from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from epistem.bench.profile import Profile, profile_of
from epistem.bench.store import JobFailure, JobRecord, write_record
from epistem.core import DependencyMissing

pytest.importorskip("torch")
from epistem.bench.track import Tracker


class Recorder:
    """Stands in for the module: its calls, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.experiments: set[str] = set()

    def get_experiment_by_name(self, name: str) -> str | None:
        return name if name in self.experiments else None

    def create_experiment(self, name: str, *, artifact_location: str) -> None:
        self.experiments.add(name)
        self.calls.append(("create_experiment", name, artifact_location))

    def start_run(self, *, run_name: str) -> Recorder:
        self.calls.append(("start_run", run_name))
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.end_run()

    def end_run(self, status: str = "FINISHED") -> None:
        self.calls.append(("end_run", status))

    def __getattr__(self, name: str) -> Any:
        if name not in ("set_tracking_uri", "set_experiment", "set_tag", "log_params", "log_metrics", "log_artifact"):
            raise AttributeError(name)
        return lambda *given, **how: self.calls.append((name, *given, *how.values()))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    module = Recorder()
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def profile() -> Profile:
    return profile_of({"dataset": {"id": "steel"}})


def record(**values: Any) -> JobRecord:
    given = {
        "job": "abc", "dataset": "steel", "encoder": "resnet18", "decoder": "unet", "variant": "canonical",
        "weights": "none", "seed": 0, "start": "random initialisation", "undertrained": False, "steps": 4,
        "best_step": 2, "best_score": 0.5, "seconds": 1.5, "device": "cpu", "parameters": 10, "macs": 20,
        "latency_ms": 1.0, "frames_per_s": 1000.0, "peak_mb": 1.0, "tile_px": 32, "model": True, "versions": {},
    }  # fmt: skip
    return JobRecord.model_validate(given | values)


def written(run: Path, one: JobRecord) -> JobRecord:
    (run / "jobs" / one.job).mkdir(parents=True, exist_ok=True)
    write_record(run, one, pd.DataFrame({"image": ["a"], "value": [0.5]}))
    lines = [
        '{"step": 2, "entropy": 0.7, "score": 0.5, "seconds": 0.1}',
        '{"step": 4, "score": null, "seconds": 0.1}',
    ]
    (run / "jobs" / one.job / "curves.jsonl").write_text("\n".join(lines) + "\n")
    return one


def test_a_job_becomes_a_run_with_settings_curves_and_scores(tmp_path: Path, mlflow: Recorder) -> None:
    Tracker(tmp_path)(profile(), written(tmp_path, record()))
    assert mlflow.of("set_tracking_uri") == [(f"sqlite:///{tmp_path.resolve()}/mlflow.db",)]
    assert mlflow.of("start_run") == [("abc",)]
    (params,) = mlflow.of("log_params")[0]
    assert (params["encoder"], params["start"]) == ("resnet18", "random initialisation")
    assert not {"schema", "schema_id", "best_score", "seconds", "versions"} & set(params)
    assert mlflow.of("log_metrics")[0] == ({"seconds": 1.5, "best_score": 0.5},)
    assert mlflow.of("log_metrics")[1:] == [({"entropy": 0.7, "score": 0.5}, 2), ({}, 4)]
    assert mlflow.of("log_artifact") == [(str(tmp_path / "jobs" / "abc" / "scores.parquet"),)]
    assert mlflow.of("end_run") == [("FINISHED",)]


def test_files_lie_in_the_runs_folder_and_an_experiment_is_made_once(tmp_path: Path, mlflow: Recorder) -> None:
    track = Tracker(tmp_path / "run")
    for _ in range(2):
        track(profile(), written(tmp_path / "run", record()))
    assert mlflow.of("create_experiment") == [("steel", (tmp_path / "run" / "mlflow").resolve().as_uri())]
    assert mlflow.of("set_experiment") == [("steel",)] * 2


def test_a_job_without_a_score_has_none(tmp_path: Path, mlflow: Recorder) -> None:
    Tracker(tmp_path)(profile(), written(tmp_path, record(best_score=None)))
    assert mlflow.of("log_metrics")[0] == ({"seconds": 1.5},)


def test_a_failed_job_is_a_failed_run_with_the_reason_and_ends_once(tmp_path: Path, mlflow: Recorder) -> None:
    Tracker(tmp_path)(profile(), JobFailure(job="abc", kind="OSError", why="the disk is full"))
    assert mlflow.of("set_tag") == [("why", "the disk is full")]
    assert mlflow.of("end_run") == [("FAILED",)]


def test_without_mlflow_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(DependencyMissing, match=r'--track needs MLflow; pip install "epistem\[track\]"'):
        Tracker(tmp_path)
