"""The benchmark study on real images: run within a budget of minutes, kept, and shown beside the printed tables."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from epistem import __version__
from epistem.bench.meta import training_meta
from epistem.bench.plan import Plan, load_plan, make_plan
from epistem.bench.profile import Profile, load_profile, save_profile
from epistem.bench.real_sets import SOURCES, Arm, grids, study_profile
from epistem.bench.store import JobFailure, JobRecord, jobs_table, read_scores, records
from epistem.bench.study import BenchStudy
from epistem.core import RecordError, SettingsError
from epistem.core.files import write_text
from epistem.report.export import write_table

if TYPE_CHECKING:
    from epistem.app.train import Words

DATA = "EPISTEM_STUDY_DATA"
PAGE = "bench.html"
SHIPPED = Path(__file__).parents[1] / "bench" / "shipped"
ORDER: tuple[Arm, ...] = ("random", "imagenet", "large", "paper")
"""Arms by what the claim rests on: when the time is up, the rest stays undone."""


def data_folder() -> Path:
    """Where the study's images lie.

    Raises:
        SettingsError: the variable is not set.
    """
    if DATA not in os.environ:
        raise SettingsError(f"the study's images are found through {DATA}; set it to their folder")
    return Path(os.environ[DATA])


def run_study(out: Path, data: Path, *, budget_s: float, steps: int, device: str | None, words: Words) -> None:
    """Jobs of all arms and data sets until the time is up; what is done is kept, and a job under way goes on later.

    Raises:
        SettingsError: a data set is not there.
        RecordError: `out` cannot be written to, or holds a study of other length.
    """
    from epistem.bench.run import run_plan

    words.say("Reading the images of all data sets first; the minutes count from the first network on.")
    failed, todo = 0, list(_todo(out, data, steps))
    until = time.monotonic() + budget_s
    jobs = [(run, profile, plan, job) for run, profile, plan in todo for job in plan.jobs]
    for number, (run, profile, plan, job) in enumerate(jobs, 1):
        if time.monotonic() > until:
            words.say(
                f"The time is up after {number - 1} of {len(jobs)} networks; the same command goes on from here."
            )
            return

        def told(what: str, done: int, of: int, more: str) -> None:
            words.show(what, done, of, more)

        def progress(
            _done: int, _of: int, one: JobRecord | JobFailure, number: int = number, name: str = job.name
        ) -> None:
            why = one.why if isinstance(one, JobFailure) else f"{one.validated}, {one.seconds:.0f} s"
            words.say(f"{number} of {len(jobs)}, {profile.dataset.id}: {name}: {why}")  # noqa: B023

        outcome = run_plan(profile, plan, run, jobs=[job.id], device=device, told=told, progress=progress)
        failed += len(outcome.failures)
    if failed:
        words.say(
            f"{failed} networks failed, as told above; the page is of the others. The same command tries again."
        )


def read_study(out: Path) -> BenchStudy:
    """What is done of a study in a folder of `run_study`.

    Raises:
        RecordError: nothing is done.
    """
    jobs, scores, meta = [], [], {}
    profiles: dict[str, tuple[Profile, Plan]] = {}
    for arm in ORDER:
        for name in SOURCES:
            run = out / arm / name
            if not (run / "plan.json").is_file():
                continue
            plan = load_plan(run / "plan.json")
            if not (done := records(run, plan)):
                continue
            jobs.append(jobs_table(done))
            scores.append(read_scores(run, done))
            profiles.setdefault(name, (load_profile(run / "profile.json"), plan))
    if not jobs:
        raise RecordError(
            f"no network of the study is done in {out}; run `epistem reproduce bench --budget-minutes 60`"
        )
    for name, (profile, plan) in profiles.items():
        meta[name] = training_meta(profile, plan)
    made = {"epistem": __version__, "data": ", ".join(profiles)}
    return BenchStudy(
        with_costs(pd.concat(jobs, ignore_index=True)), pd.concat(scores, ignore_index=True),
        {name: profile for name, (profile, _) in profiles.items()}, pd.DataFrame(meta).T, provenance=made,
    )  # fmt: skip


def with_costs(jobs: pd.DataFrame) -> pd.DataFrame:
    """The table of jobs with what each network costs, measured one after the other: trainings side by side disturb.

    Parameters, multiply-adds and memory do not change by it; times do.
    """
    from epistem.nets.cost import cost_of
    from epistem.nets.segmenters import build_segmenter

    cell = ["encoder", "decoder", "variant", "tile_px"]
    costs = []
    for one in jobs[cell].drop_duplicates().to_dict("records"):
        variant: Any = one["variant"]
        network = build_segmenter(str(one["encoder"]), str(one["decoder"]), variant=variant).eval()
        costs.append(one | asdict(cost_of(network, channels=1, side_px=int(one["tile_px"]))))
    known = pd.DataFrame(costs)
    old = [name for name in known if name not in cell]
    return jobs.drop(columns=old).merge(known, on=cell, how="left")[list(jobs)]


def keep_study(study: BenchStudy, folder: Path) -> None:
    """The study's tables and profiles as files that need no images.

    Raises:
        RecordError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "jobs.parquet", _columns(study.jobs))
    write_table(folder / "scores.parquet", _columns(study.scores))
    if study.meta is not None:
        write_table(folder / "meta.parquet", _columns(study.meta.reset_index(names="dataset")))
    for name, profile in study.profiles.items():
        dataset = profile.dataset.model_copy(update={"root": f"${DATA}/{name}"})
        save_profile(profile.model_copy(update={"dataset": dataset}), folder / f"{name}.json")


def kept_study(folder: Path = SHIPPED) -> BenchStudy:
    """The study as `keep_study` wrote it; the one that comes with epistem unless told.

    Raises:
        RecordError: it is not there.
    """
    try:
        jobs, scores, meta = (pd.read_parquet(folder / f"{name}.parquet") for name in ("jobs", "scores", "meta"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{folder} holds no study ({error}); run one with --budget-minutes") from error
    profiles = {path.stem: load_profile(path) for path in sorted(folder.glob("*.json"))}
    made = {"epistem": __version__, "data": ", ".join(profiles)}
    return BenchStudy(jobs, scores, profiles, meta.set_index("dataset"), provenance=made)


def write_study(study: BenchStudy, out: Path) -> Path:
    """The study's page.

    Raises:
        RecordError: it cannot be written.
    """
    from epistem.bench.study_page import study_html

    write_text(out / PAGE, study_html(study))
    return out / PAGE


def _todo(out: Path, data: Path, steps: int) -> Iterator[tuple[Path, Profile, Plan]]:
    by_arm = grids(steps)
    for arm in ORDER:
        for name in SOURCES:
            profile = study_profile(data, name, by_arm[arm])
            yield out / arm / name, profile, make_plan(profile)


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): table[name].to_numpy() for name in table}
