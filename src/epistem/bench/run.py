"""Jobs of a plan, trained and evaluated: each once, resumed after a kill, one failure stops no other."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from epistem.bench.images import load_part
from epistem.bench.plan import Job, Member, Plan, save_plan
from epistem.bench.profile import Profile, save_profile
from epistem.bench.scoring import score_image, training_weights
from epistem.bench.store import (
    FOUND,
    JOB_COLUMNS,
    MODEL,
    JobFailure,
    JobRecord,
    finished,
    gather,
    job_folder,
    records,
    write_record,
)
from epistem.core import EpistemError
from epistem.core.cluster import spread
from epistem.core.errors import wants_memory
from epistem.core.files import written_whole

_JUDGEMENTS = 10  # at least so many a training, whatever the length of an epoch

Told = Callable[[str, int, int, str], None]
"""What is under way, how much of it is done, of how much, and a few words."""


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs asked for.

    Attributes:
        records: those done, in the plan's order.
        failures: those not.
        reused: how many were there already.
    """

    records: tuple[JobRecord, ...]
    failures: tuple[JobFailure, ...]
    reused: int


def run_plan(
    profile: Profile, plan: Plan, run: Path, *, jobs: Sequence[str] | None = None, workers: int = 1,
    cluster: str | None = None, device: str | None = None, keep_models: bool = True,
    progress: Callable[[int, int, JobRecord | JobFailure], None] = lambda *_: None,
    told: Told = lambda *_: None,
) -> Outcome:  # fmt: skip
    """All jobs of a plan, or those asked for, that are not done yet; then the tables of the folder.

    Args:
        profile: with files where it says.
        plan: of this profile.
        run: folder to write to.
        jobs: ids, or their first digits.
        workers: jobs side by side on this machine; 1 works in this process.
        cluster: address of a running Dask scheduler instead; it must see the same files.
        device: "cpu", "cuda", "cuda:1"; None is a GPU where there is one, one for each worker in turn.
        keep_models: whether weights are kept, for `epistem segment`.
        progress: called after each job with how many are through, of how many, and what became of it.
        told: called during a job that runs in this process.

    Raises:
        UnknownName: no such job.
        SettingsError: no scheduler answers.
        ClusterError: the scheduler went away, or its workers cannot do the work.
        RecordError: the folder cannot be written to.
    """
    asked = plan.jobs if jobs is None else [plan.job(one) for one in jobs]
    wanted = list({job.id: job for job in asked}.values())
    run.mkdir(parents=True, exist_ok=True)
    save_profile(profile, run / "profile.json")
    save_plan(plan, run / "plan.json")
    done: dict[str, JobRecord | JobFailure] = {}
    for job in wanted:
        if (record := finished(run, job)) is not None:
            done[job.id] = record
    reused, waiting = len(done), [job for job in wanted if job.id not in done]
    one = partial(attempt, profile=profile, plan=plan, run=run.resolve(), device=device, keep_models=keep_models)
    outcomes: Iterator[tuple[Job, JobRecord | JobFailure | None]]
    if workers == 1 and cluster is None:
        outcomes = ((job, one(job, told=told)) for job in waiting)
    else:
        outcomes = spread(one, waiting, workers=workers, cluster=cluster) if waiting else iter(())
    for job, outcome in outcomes:
        why = "its worker process died, most often for want of memory; try fewer --workers"
        done[job.id] = outcome or JobFailure(job=job.id, kind="KilledWorker", why=why)
        progress(len(done), len(wanted), done[job.id])
    ordered = [done[job.id] for job in wanted]
    if whole := records(run, plan):
        gather(run, whole)
    return Outcome(
        tuple(one for one in ordered if isinstance(one, JobRecord)),
        tuple(one for one in ordered if isinstance(one, JobFailure)),
        reused,
    )


def attempt(job: Job, profile: Profile, plan: Plan, run: Path, **how: Any) -> JobRecord | JobFailure:
    """The record of a job, or why there is none; never raises for what a job can do."""
    try:
        return run_job(job, profile, plan, run, **how)
    except EpistemError as error:
        return JobFailure(job=job.id, kind=type(error).__name__, why=" ".join(str(error).split()))
    except OSError as error:
        why = f"its results could not be written: {error.strerror or error}; make room or choose another --out"
        return JobFailure(job=job.id, kind="OSError", why=why)
    except Exception as error:  # noqa: BLE001 - one job must not stop the others; the traceback is kept
        if wants_memory(error):
            return JobFailure(job=job.id, kind="MemoryError", why="needs more memory than there is; fewer --workers")
        with suppress(OSError), (run / "errors.log").open("a", encoding="utf-8") as log:
            log.write(f"{job.id}\n{traceback.format_exc()}\n")
        why = f"{type(error).__name__}: {error}; a fault of epistem, please report it with errors.log"
        return JobFailure(job=job.id, kind="fault", why=" ".join(why.split()))


def run_job(
    job: Job, profile: Profile, plan: Plan, run: Path, *, device: str | None = None, keep_models: bool = True,
    told: Told = lambda *_: None,
) -> JobRecord:  # fmt: skip
    """Train one network, keep the weights that score highest on validation, score them once on the test images.

    Raises:
        EpistemError: images that changed since the plan, a network that cannot be built, a training that went astray.
    """
    if (there := finished(run, job)) is not None:
        return there
    from epistem.bench.trained import train_job
    from epistem.nets.runs import seconds_spent
    from epistem.nets.train import CHECKPOINT

    folder = job_folder(run, job.id)
    parts = {part: load_part(profile, getattr(plan.split, part)) for part in ("train", "val", "test")}
    made = train_job(job, profile, parts, folder, device=device, told=told)
    trained = time.monotonic()
    classes = tuple(one.name for one in profile.task.classes)
    weights = training_weights(parts["train"], classes)
    tables = []
    names = image_names(plan.split.test)
    for number, (one, member, name) in enumerate(zip(parts["test"], plan.split.test, names, strict=True), 1):
        found = made.network.segment(one.seen.image, one.labels.shape)
        tables.append(score_image(found, one.labels, name, profile, weights))
        tables[-1].insert(1, "name", one.name)
        tables[-1].insert(2, "group", member.group)
        write_labels(folder / FOUND / f"{member.image_id}.png", found)
        told("Evaluation, image", number, len(plan.split.test), one.name)
    if not keep_models:
        (folder / MODEL).unlink(missing_ok=True)
    record = JobRecord(
        **{name: getattr(job, name) for name in ("encoder", "decoder", "variant", "weights", "seed")},
        **made.facts, job=job.id, dataset=plan.dataset,
        seconds=round(seconds_spent(folder) + time.monotonic() - trained, 1), model=keep_models,
    )  # fmt: skip
    scores = pd.concat(tables, ignore_index=True)
    for place, name in enumerate(JOB_COLUMNS):
        scores.insert(place, name, getattr(record, name))
    write_record(run, record, scores)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


def image_names(members: Sequence[Member]) -> list[str]:
    """What images are called in tables: by content; the same picture again, as its group may hold it, is numbered."""
    before = Counter[str]()
    names = []
    for one in members:
        before[one.image_id] += 1
        again = before[one.image_id]
        names.append(one.image_id if again == 1 else f"{one.image_id}-{again}")
    return names


def judge_every(epoch_steps: int, steps: int) -> int:
    """Steps between judgements: an epoch, or less where the whole training has few."""
    return max(1, min(epoch_steps, -(-steps // _JUDGEMENTS)))


def write_labels(path: Path, labels: NDArray[np.integer[Any]]) -> None:
    """A label map as a grey picture whose values are the classes' numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        Image.fromarray(labels.astype(np.uint8)).save(part, format="PNG")
