"""`epistem bench report`: the loop's one report of a run, read from its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from epistem import __version__
from epistem.bench.arms import Arm
from epistem.bench.images import load_part, recorded
from epistem.bench.plan import Plan, load_plan
from epistem.bench.profile import Profile, load_profile
from epistem.bench.report import BenchResults, MaskPicture, best_job, images_to_show, report
from epistem.bench.scoring import IGNORED, training_weights
from epistem.bench.store import FOUND, JobRecord, job_folder, jobs_table, read_scores, records
from epistem.core import EpistemError, RecordError
from epistem.report.export import write_text
from epistem.segment.metrics import confusion
from epistem.segment.summary import micro_pixel

PAGE = "report.html"


def write_report(run: Path, **more: Any) -> Path:
    """The page of a run; with `more`, what else `BenchResults` holds.

    Raises:
        RecordError: no run, nothing done in it, or the page cannot be written.
    """
    write_text(run / PAGE, report(read_results(run, **more)))
    return run / PAGE


def read_results(run: Path, **more: Any) -> BenchResults:
    """What a run's folder holds; raises as `write_report`."""
    profile, plan, done = open_run(run)
    results = BenchResults(profile, plan, jobs_table(done), read_scores(run, done), **more)
    best = best_job(results)
    if best is None:
        return results
    found = {one.image_id: job_folder(run, best) / FOUND / f"{one.image_id}.png" for one in plan.split.test}
    pictures, pooled = _pictures(profile, plan, images_to_show(results), found), _pooled(profile, plan, found)
    made = {"epistem": __version__, "run": run.name, "jobs": [one.job for one in done]}
    return BenchResults(
        **{**vars(results), "pictures": pictures, "pooled": pooled, "provenance": {**made, **results.provenance}}
    )


def open_run(run: Path) -> tuple[Profile, Plan, list[JobRecord]]:
    """Profile, plan and what is done.

    Raises:
        RecordError: no run, or nothing done in it.
    """
    if not (run / "plan.json").is_file():
        raise RecordError(
            f"{run} is no run: it has no plan.json; make one with `epistem bench run PROFILE --out {run}`"
        )
    profile, plan = load_profile(run / "profile.json"), load_plan(run / "plan.json")
    done = records(run, plan)
    if not done:
        raise RecordError(f"no job of {run} is done yet; `epistem bench run` goes on with it")
    return profile, plan, done


def arms_of(done: Sequence[JobRecord]) -> list[Arm]:
    """Starts and variants that these jobs have."""
    return list(dict.fromkeys(Arm(one.weights, one.variant) for one in done))


def _pictures(
    profile: Profile, plan: Plan, wanted: Sequence[str], found: Mapping[str, Path]
) -> dict[str, MaskPicture]:
    """Test images with truth and answer; none where the images are no longer there."""
    shown = {}
    for member in plan.split.test:
        if member.image_id in wanted:
            # A run that was sent on without its images still has its scores.
            with contextlib.suppress(EpistemError):
                image, labels = recorded(profile, member)
                shown[member.image_id] = MaskPicture(image, labels, _labels(found[member.image_id]))
    return shown


def _pooled(profile: Profile, plan: Plan, found: Mapping[str, Path]) -> pd.DataFrame | None:
    classes = tuple(one.name for one in profile.task.classes)
    try:
        weights = training_weights(load_part(profile, plan.split.train), classes)
        truth = load_part(profile, plan.split.test)
        counts = [
            confusion(_labels(found[member.image_id]), one.labels, classes, ignore=IGNORED)
            for member, one in zip(plan.split.test, truth, strict=True)
        ]
    except EpistemError:
        return None
    groups = [member.group for member in plan.split.test]
    return micro_pixel(counts, classes, weights=weights, background=classes[0], groups=groups)


def _labels(path: Path) -> NDArray[np.int16]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture, np.int16)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error}; delete its job's folder and run again") from error
