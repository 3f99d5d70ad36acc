"""The folder of a benchmark: what lies where, and what is done in it.

::

    RUN/
    ├── profile.json, plan.json         what was asked for; jobs/<id>.py with `plan --emit`
    ├── scores.parquet                  one row an image, class and metric of every job
    ├── jobs.parquet, jobs.json         one row a job: start, steps, cost
    └── jobs/<id>/
        ├── job.json                    written last: it says that the rest is whole
        ├── scores.parquet, curves.jsonl
        ├── model.safetensors           what `epistem segment --model` takes
        └── found/<image>.png           label maps of the test images
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from epistem.bench.plan import Job, Plan
from epistem.bench.profile import Part
from epistem.core import RecordError
from epistem.core.files import write_text
from epistem.report.export import write_table

SCHEMA: Literal["epistem.job/1"] = "epistem.job/1"
RECORD, SCORES, MODEL, FOUND = "job.json", "scores.parquet", "model.safetensors", "found"
JOB_COLUMNS = ("job", "dataset", "encoder", "decoder", "variant", "weights", "seed")


class JobRecord(Part):
    """What became of one job.

    Attributes:
        job: its id.
        start: what the encoder began with, in words.
        undertrained: whether it learned for too short a time (`undertrained.too_short`), so that it stands outside
            rankings.
        undertrained_why: in words; "" where it is not, or in records of before.
        steps, best_step: of training, and the one whose weights were kept.
        best_score: of the primary metric on the validation tiles, higher is better; None where it gave no number.
        seconds: training, whatever number of starts it took, and evaluation.
        macs: multiply-accumulates of one tile.
        latency_ms, frames_per_s: of one tile on one thread of the CPU, or on the GPU.
        peak_mb: memory of one tile's forward pass, as `nets.cost` defines it.
        model: whether the weights were kept.
    """

    schema_id: Literal["epistem.job/1"] = Field(SCHEMA, alias="schema")
    job: str
    dataset: str | None
    encoder: str
    decoder: str
    variant: str
    weights: str
    seed: int
    start: str
    undertrained: bool
    undertrained_why: str = ""
    steps: int
    best_step: int
    best_score: float | None
    seconds: float
    device: str
    parameters: int
    macs: int
    latency_ms: float
    frames_per_s: float
    peak_mb: float
    tile_px: int
    model: bool
    versions: dict[str, str]

    @property
    def validated(self) -> str:
        """What validation gave, in words."""
        return "validation gave no score" if self.best_score is None else f"validation {self.best_score:.3f}"


class JobFailure(Part):
    """Why a job has no result."""

    job: str
    kind: str
    why: str


def job_folder(run: Path, job: str) -> Path:
    """Where a job's files lie."""
    return run / "jobs" / job


def finished(run: Path, job: Job) -> JobRecord | None:
    """The record of a job that is whole; None where it is to be done."""
    return _record(job_folder(run, job.id) / RECORD)


def records(run: Path, plan: Plan) -> list[JobRecord]:
    """Of all jobs of a plan that are done, in its order."""
    return [record for job in plan.jobs if (record := finished(run, job)) is not None]


def write_record(run: Path, record: JobRecord, scores: pd.DataFrame) -> None:
    """Scores first, the record last.

    Raises:
        RecordError: they cannot be written.
    """
    folder = job_folder(run, record.job)
    write_table(folder / SCORES, _columns(scores))
    write_text(folder / RECORD, record.model_dump_json(by_alias=True, indent=1) + "\n")


def gather(run: Path, done: Sequence[JobRecord]) -> None:
    """The tables of all jobs that are done, for people and other programs.

    Raises:
        RecordError: a job's scores cannot be read, or the tables not be written.
    """
    rows = [record.model_dump(by_alias=True, exclude={"versions"}) for record in done]
    write_text(run / "jobs.json", json.dumps(rows, indent=1) + "\n")
    write_table(run / "jobs.parquet", _columns(jobs_table(done)))
    write_table(run / SCORES, _columns(read_scores(run, done)))


def jobs_table(done: Sequence[JobRecord]) -> pd.DataFrame:
    """One row a job."""
    kept = [name for name in JobRecord.model_fields if name not in ("schema_id", "versions", "undertrained_why")]
    return pd.DataFrame([{name: getattr(one, name) for name in kept} for one in done], columns=kept)


def read_scores(run: Path, done: Sequence[JobRecord]) -> pd.DataFrame:
    """One row an image, class and metric of these jobs, with the job's columns before.

    Raises:
        RecordError: a file is damaged; it is named.
    """
    return pd.concat([_scores(job_folder(run, one.job) / SCORES) for one in done], ignore_index=True)


def _scores(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is no whole table ({error}); delete {path.parent} and run again") from error


def _record(path: Path) -> JobRecord | None:
    try:
        return JobRecord.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None  # never begun, cut off, or of another version: it is done again


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): table[name].to_numpy() for name in table}
