"""Running a benchmark: progress, what came of it, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from epistem.app.terminal import SOME_FAILED, say
from epistem.report.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from epistem.bench.plan import Plan
    from epistem.bench.profile import Profile
    from epistem.bench.run import Outcome
    from epistem.bench.store import JobFailure, JobRecord


def run_profile(
    file: Path, out: Path, *, jobs: Sequence[str] | None, workers: int | None, cluster: str | None,
    device: str | None, models: bool, track: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run jobs of the profile in a file, and tell what came of them.

    Raises:
        EpistemError: in one line, what it takes.
        typer.Exit: with exit code 1 where a job failed, 130 after Ctrl-C.
    """
    from epistem.bench.profile import load_profile

    run_planned(
        load_profile(file), out, jobs=jobs, workers=workers, cluster=cluster, device=device, models=models,
        track=track, as_json=as_json,
    )  # fmt: skip


def run_planned(
    profile: Profile, out: Path, *, jobs: Sequence[str] | None = None, workers: int | None = None,
    cluster: str | None = None, device: str | None = None, models: bool = True, track: bool = False,
    as_json: bool = False,
) -> None:  # fmt: skip
    """The same of a profile at hand."""
    from epistem.app.train import Words, need_torch
    from epistem.bench.plan import make_plan
    from epistem.bench.run import run_plan
    from epistem.bench.typical import make_reference, reference_file

    need_torch()
    plan = make_plan(profile)
    for note in plan.notes:
        say(f"Note: {note}")
    tracker = _tracker(out) if track else None
    for name, step in _begun(plan, out, jobs):
        say(f"{name} was stopped before; it goes on from step {step}.")
    with Words(quiet=as_json) as words, words.stoppable(lambda: f"jobs that are done are kept in {out}"):

        def progress(done: int, of: int, one: JobRecord | JobFailure) -> None:
            words.say(f"{done} of {of}: {_said(plan, one)}")
            if tracker is not None:
                tracker(profile, one)

        outcome = run_plan(
            profile, plan, out, jobs=jobs, workers=workers or _workers(), cluster=cluster, device=device,
            keep_models=models, progress=progress, told=lambda what, done, of, more: words.show(what, done, of, more),
        )  # fmt: skip
        if plan.jobs and not (path := reference_file(out, plan.jobs[0].settings["data"])).is_file():
            words.say("Looking at the training images, so that unlike ones can be told.")
            make_reference(profile, plan, path)
    _tell(profile, plan, outcome, out, as_json)
    if outcome.failures:
        raise typer.Exit(SOME_FAILED)


def _begun(plan: Plan, out: Path, wanted: Sequence[str] | None) -> list[tuple[str, int]]:
    """Networks that a run that was stopped, or killed, left half-way, and the step they go on from."""
    from epistem.bench.store import finished, job_folder
    from epistem.nets.runs import steps_done

    asked = plan.jobs if wanted is None else [plan.job(one) for one in wanted]
    found = [(job.name, steps_done(job_folder(out, job.id))) for job in asked if finished(out, job) is None]
    return [(name, step) for name, step in found if step]


def means_of(scores: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Mean of the primary metric by network, best first, with its seeds and their standard deviation."""
    from epistem.bench.arms import LOWER, of_metric

    mine = of_metric(scores, primary)
    cell = ["encoder", "decoder", "variant", "weights"]
    by_seed = mine.groupby([*cell, "seed"], as_index=False)["value"].mean()
    means: pd.DataFrame = by_seed.groupby(cell)["value"].agg(seeds="size", value="mean", sd="std").reset_index()
    return means.sort_values("value", ascending=primary in LOWER, ignore_index=True)


def _said(plan: Plan, one: JobRecord | JobFailure) -> str:
    from epistem.bench.store import JobRecord

    name = plan.job(one.job).name
    if not isinstance(one, JobRecord):
        return f"{name} failed: {one.why}"
    short = ", UNDERTRAINED" if one.undertrained else ""
    return f"{name}: {one.validated} at step {one.best_step} of {one.steps}, {one.seconds:.0f} s{short}"


def _tell(profile: Profile, plan: Plan, outcome: Outcome, out: Path, as_json: bool) -> None:
    from epistem.app.as_json import print_json
    from epistem.app.segment import model_file
    from epistem.bench.store import read_scores

    means = means_of(read_scores(out, outcome.records), profile.task.primary) if outcome.records else None
    if as_json:
        rows: list[Any] = [] if means is None else means.astype(object).where(means.notna(), None).to_dict("records")
        told = {
            name: [one.model_dump(by_alias=True) for one in getattr(outcome, name)]
            for name in ("records", "failures")
        }
        print_json(
            {"out": str(out), "reused": outcome.reused, "primary": profile.task.primary, "models": rows, **told}
        )
        return
    for failure in outcome.failures:
        say(f"{plan.job(failure.job).name}: {failure.why}")
    if random := sorted({one.encoder for one in outcome.records if one.weights == "none"}):
        say(f"{', '.join(random)} began from RANDOM weights: expect less than from pretrained ones.")
    for why in dict.fromkeys(one.undertrained_why for one in outcome.records if one.undertrained):
        n = sum(one.undertrained and one.undertrained_why == why for one in outcome.records)
        reason = f": {why}" if why else ""
        say(f"{n} of {counted(len(outcome.records), 'network')} UNDERTRAINED, outside every ranking{reason}.")
    if means is not None:
        _print_means(means, profile.task.primary, len(plan.split.test))
    if any(one.model for one in outcome.records):
        print(f"epistem segment --model {out} takes the highest on validation, whatever the test images say:\n  "
              f"{model_file(out)[1]}")  # fmt: skip
    before = f", {outcome.reused} of them before" if outcome.reused else ""
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"{len(outcome.records)} networks done{before}{failed}: {out}\nNext: epistem bench report {out}")


def _print_means(means: pd.DataFrame, primary: str, images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{primary} of the foreground on {images} test images", title_justify="left")
    for name in ("network", "weights", "seeds", "mean", "sd of seeds"):
        table.add_column(name, justify="left" if name in ("network", "weights") else "right")
    for row in means.to_dict("records"):
        variant = "" if row["variant"] == "canonical" else f" ({row['variant']})"
        value, spread = ("–" if row[name] != row[name] else f"{row[name]:.3f}" for name in ("value", "sd"))
        network = f"{row['encoder']} + {row['decoder']}{variant}"
        table.add_row(network, str(row["weights"]), str(row["seeds"]), value, spread)
    Console().print(table)


def _workers() -> int:
    """One a GPU; on the CPU one, as torch uses all its cores."""
    import torch

    return max(1, torch.cuda.device_count())


def _tracker(out: Path) -> Any:
    from epistem.bench.track import Tracker

    return Tracker(out)
