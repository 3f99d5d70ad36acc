"""Jobs written to MLflow, too: one run a job, in a sqlite file of the benchmark's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epistem.bench.profile import Profile
from epistem.bench.store import SCORES, JobFailure, JobRecord, job_folder
from epistem.core import DependencyMissing
from epistem.nets.train import CURVES, read_curves

DATABASE, ARTIFACTS = "mlflow.db", "mlflow"


class Tracker:
    """Writes what became of a job to RUN/mlflow.db; `mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db` shows it.

    Raises:
        DependencyMissing: MLflow is not installed.
    """

    def __init__(self, run: Path) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise DependencyMissing('--track needs MLflow; pip install "epistem[track]", or leave it out') from error
        self.mlflow: Any = mlflow
        self.run = run
        run.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(run / DATABASE).resolve()}")

    def __call__(self, profile: Profile, one: JobRecord | JobFailure) -> None:
        """One job; a failed one becomes a failed run with the reason as a tag."""
        self._choose(profile.dataset.id or "epistem")
        if isinstance(one, JobFailure):
            self.mlflow.start_run(run_name=one.job)
            self.mlflow.set_tag("why", one.why)
            self.mlflow.end_run("FAILED")
            return
        with self.mlflow.start_run(run_name=one.job):
            told = one.model_dump(by_alias=True, exclude={"schema_id", "versions", "best_score", "seconds"})
            self.mlflow.log_params(told)
            known = {} if one.best_score is None else {"best_score": one.best_score}
            self.mlflow.log_metrics({"seconds": one.seconds, **known})
            folder = job_folder(self.run, one.job)
            for line in read_curves(folder / CURVES):
                losses = {n: value for n, value in line.items() if n not in ("step", "seconds") and value is not None}
                self.mlflow.log_metrics(losses, step=int(line["step"]))
            self.mlflow.log_artifact(str(folder / SCORES))

    def _choose(self, name: str) -> None:
        """The experiment of a data set; its files lie in the run's folder, not where the command was given."""
        if self.mlflow.get_experiment_by_name(name) is None:
            self.mlflow.create_experiment(name, artifact_location=(self.run / ARTIFACTS).resolve().as_uri())
        self.mlflow.set_experiment(name)
