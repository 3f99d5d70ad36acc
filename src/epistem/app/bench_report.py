"""`epistem bench report`: the loop's one report of a run, read from its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from epistem import __version__
from epistem.bench.advise import Advice, advise
from epistem.bench.arms import LEAST_GROUPS
from epistem.bench.images import load_part, recorded
from epistem.bench.meta import training_meta
from epistem.bench.plan import Plan, load_plan
from epistem.bench.profile import Profile, load_profile
from epistem.bench.report import BenchResults, MaskPicture, best_job, images_to_show, report
from epistem.bench.scoring import IGNORED, training_weights
from epistem.bench.signals import mask_signals
from epistem.bench.store import FOUND, JobRecord, job_folder, jobs_table, read_scores, records
from epistem.bench.study import quality_table
from epistem.core import EpistemError, RecordError, SettingsError
from epistem.core.files import write_text
from epistem.report.words import counted
from epistem.segment.metrics import confusion
from epistem.segment.summary import micro_pixel
from epistem.trust.heatmap_check import LEAST_IMAGES

PAGE = "report.html"


def write_report(run: Path, **more: Any) -> Path:
    """The page of a run; with `more`, what else `BenchResults` holds.

    Raises:
        SettingsError: no run.
        RecordError: nothing done in it, or the page cannot be written.
    """
    write_text(run / PAGE, report(read_results(run, **more)))
    return run / PAGE


def full_report(
    run: Path, *, signals: bool, heatmaps: int | None, regions: Path | None, past: Path | None,
    told: Callable[[str, int, int, str], None], said: Callable[[str], None],
) -> Path:  # fmt: skip
    """The page with all that can be asked of a run; written first without what takes long, and again with it.

    Args:
        run: its folder.
        signals: whether failed masks would be noticed.
        heatmaps: of so many test images; None: of `LEAST_IMAGES`, none where there are fewer, as their test could
            then not decide.
        regions: folder of an expert's masks for them.
        past: folder of a study, for advice; the one that comes with epistem if None, and where there is none, none.
        told: how far it is.
        said: a line for people.
    """
    if regions is not None and not regions.is_dir():
        raise SettingsError(f"--regions {regions}: wanted a folder of masks called like the images; there is none")
    profile, plan, _ = open_run(run)
    wanted, why = _heatmaps_of(len(plan.split.test), heatmaps, asked=regions is not None)
    more: dict[str, Any] = {"advice": _advice(profile, plan, past), "no_heatmaps": why}
    best = best_job(read_results(run)) if wanted else None
    page = write_report(run, **more)
    if signals:
        told("Mask signals", 0, 1, "")
        more["typicality"], more["untypical_found"] = mask_signals(profile, plan, _found(run, profile, plan))
        told("Mask signals", 1, 1, "")
        page = write_report(run, **more)
    if best is not None:
        from epistem.app.bench_explain import explain_run

        said(f"{page} is there, without heatmaps; they are made now.")
        found = explain_run(run, profile, plan, best, images=wanted, regions=regions, told=told)
        more |= {"heatmaps": found.pictures, "alignment": found.alignment}
        page = write_report(run, **more)
    elif heatmaps is None:
        said(why)
    return page


def _heatmaps_of(images: int, wanted: int | None, *, asked: bool) -> tuple[int, str]:
    """How many test images to explain, and what stands in the page as long as there are none."""
    late = (
        "Not there yet: heatmaps were still being made when this page was written; `epistem bench report` makes them."
    )
    if wanted == 0:
        return 0, "Not asked: --heatmaps 0."
    if wanted is None and images < LEAST_IMAGES and not asked:
        return 0, (
            f"No heatmaps were made: there are {counted(images, 'test image')}, and the test whether heatmaps hold "
            f"needs {LEAST_IMAGES} to decide. --heatmaps {images} makes them all the same."
        )
    return (LEAST_IMAGES if wanted is None else wanted), late


def _found(run: Path, profile: Profile, plan: Plan) -> dict[str, NDArray[np.int16]]:
    """Masks of the test images by the best network, at the size in which it sees them."""
    from epistem.nets.tiles import shrunk_labels

    best = best_job(read_results(run))
    if best is None:
        return {}
    shrink = profile.training.shrink
    return {name: shrunk_labels(_labels(path), shrink) for name, path in _masks_of(run, plan, best).items()}


def _masks_of(run: Path, plan: Plan, job: str) -> dict[str, Path]:
    """Where a job's masks of the test images lie."""
    return {one.image_id: job_folder(run, job) / FOUND / f"{one.image_id}.png" for one in plan.split.test}


def _advice(profile: Profile, plan: Plan, past: Path | None) -> Advice | None:
    from epistem.app.reproduce_bench import SHIPPED, kept_study

    try:
        study = kept_study(past or SHIPPED)
    except RecordError:
        if past is not None:
            raise
        return None
    scores = study.compared(study.arms[0])
    if scores is None or study.meta is None:
        return None
    return advise(training_meta(profile, plan), study.meta, quality_table(scores))


def read_results(run: Path, **more: Any) -> BenchResults:
    """What a run's folder holds; raises as `write_report`."""
    profile, plan, done = open_run(run)
    results = BenchResults(profile, plan, jobs_table(done), read_scores(run, done), **more)
    best = best_job(results)
    if best is None:
        return results
    found = _masks_of(run, plan, best)
    pictures, pooled = _pictures(profile, plan, images_to_show(results), found), _pooled(profile, plan, found)
    made = {"epistem": __version__, "run": run.name, "jobs": [one.job for one in done]}
    return BenchResults(
        **{**vars(results), "pictures": pictures, "pooled": pooled, "provenance": {**made, **results.provenance}}
    )


def open_run(run: Path) -> tuple[Profile, Plan, list[JobRecord]]:
    """Profile, plan and what is done.

    Raises:
        SettingsError: no run.
        RecordError: nothing done in it.
    """
    if not (run / "plan.json").is_file():
        raise SettingsError(
            f"{run} is no run: it has no plan.json; make one with `epistem bench run PROFILE --out {run}`"
        )
    profile, plan = load_profile(run / "profile.json"), load_plan(run / "plan.json")
    done = records(run, plan)
    if not done:
        raise RecordError(f"no job of {run} is done yet; `epistem bench run` goes on with it")
    return profile, plan, done


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
    members = plan.split.test
    # Of fewer nothing can be drawn: images then stand for themselves, as in `arms.comparable`.
    many = len({member.group for member in members}) >= LEAST_GROUPS
    groups = [member.group if many else member.image_id for member in members]
    return micro_pixel(counts, classes, weights=weights, background=classes[0], groups=groups)


def _labels(path: Path) -> NDArray[np.int16]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture, np.int16)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error}; delete its job's folder and run again") from error
