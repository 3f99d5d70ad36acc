"""Jobs written to MLflow, too: one run a job, in a sqlite file of the benchmark's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epistem.bench.profile import Profile
from epistem.bench.store import SCORES, JobFailure, JobRecord, job_folder
from epistem.core import DependencyMissing
from epistem.nets.train import CURVES, read_curves

DATABASE = "mlflow.db"


class Tracker:
    """Writes what became of a job to RUN/mlflow.db; `mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db` shows it.

    Raises:
        DependencyMissing: MLflow is not installed.
    """

    def __init__(self, run: Path) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise DependencyMissing(
                "--track needs MLflow; pip install 'epistem[track]', or leave it out"
            ) from error
        self.mlflow: Any = mlflow
        self.run = run
        run.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(run / DATABASE).resolve()}")

    def __call__(self, profile: Profile, one: JobRecord | JobFailure) -> None:
        """One job; a failed one becomes a failed run with the reason as a tag."""
        self.mlflow.set_experiment(profile.dataset.id or "epistem")
        with self.mlflow.start_run(run_name=one.job):
            if isinstance(one, JobFailure):
                self.mlflow.set_tag("why", one.why)
                self.mlflow.end_run("FAILED")
                return
            told = one.model_dump(by_alias=True, exclude={"schema_id", "versions", "best_score", "seconds"})
            self.mlflow.log_params(told)
            self.mlflow.log_metrics({"best_score": one.best_score, "seconds": one.seconds})
            folder = job_folder(self.run, one.job)
            for line in read_curves(folder / CURVES):
                losses = {name: value for name, value in line.items() if name not in ("step", "seconds")}
                self.mlflow.log_metrics(losses, step=int(line["step"]))
            self.mlflow.log_artifact(str(folder / SCORES))
