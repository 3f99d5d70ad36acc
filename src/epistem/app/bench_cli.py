"""`epistem bench init`, `schema`, `plan`, `run`, `run-job`, `report`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epistem.app.options import Cluster, Device, Json
from epistem.app.terminal import say

if TYPE_CHECKING:
    from epistem.bench.plan import Plan
    from epistem.bench.profile import Profile

benching = typer.Typer(help="Which segmentation network for which images.", no_args_is_help=True)

ProfileFile = Annotated[Path, typer.Argument(help="The study as JSON, from `epistem bench init`.")]
RunFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; what is done in it is kept.")]


class Masks(StrEnum):
    """What mask files hold."""

    values = "values"
    colours = "colours"
    instances = "instances"
    polygons = "polygons"


@benching.command()
def init(
    folder: Annotated[Path | None, typer.Argument(help="Images with their masks, in any common layout.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The profile to write.")] = Path("profile.json"),
    text: Annotated[
        str | None, typer.Option("--from-text", help="The objective in words: 'identify pores in XCT slices'.")
    ] = None,
    groups: Annotated[Path | None, typer.Option(help="CSV of images and what they come from.")] = None,
    group_column: Annotated[str, typer.Option(help="Its column of groups.")] = "group",
    masks: Annotated[Masks | None, typer.Option(help="What the masks hold; found out unless told.")] = None,
    scale_bars: Annotated[bool, typer.Option(help="Read scale bars burnt into the images.")] = True,
    as_json: Json = False,
) -> None:
    """Write a profile: pairs, classes, sizes, groups, pixel size and balance of a folder, or what a sentence says."""
    from epistem.bench.folder import profile_from_folder
    from epistem.bench.groups import read_groups
    from epistem.bench.objective import profile_from_text
    from epistem.bench.profile import Profile, save_profile
    from epistem.core import SettingsError

    if folder is None and text is None:
        raise SettingsError("wanted a FOLDER of images and masks, --from-text, or both")
    profile = Profile()
    if folder is not None:
        told = None if groups is None else read_groups(groups, group_column)
        kind: Any = None if masks is None else masks.value
        profile = profile_from_folder(folder, groups=told, mask_kind=kind, scale_bars=scale_bars)
    if text is not None:
        profile = profile_from_text(text, profile)
    save_profile(profile, out)
    _tell_profile(profile, out, as_json)


@benching.command()
def schema() -> None:
    """Print the JSON Schema of a profile."""
    from epistem.app.as_json import print_json
    from epistem.bench.profile import json_schema

    print_json(json_schema())


@benching.command()
def plan(
    profile_file: ProfileFile,
    emit: Annotated[
        Path | None, typer.Option(help="Write profile, plan and one script a job to this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the networks that a profile asks for, and who is learned from, judged on and tested."""
    from epistem.app.as_json import print_json
    from epistem.bench.plan import PARTS, make_plan
    from epistem.bench.plan import emit as write_scripts
    from epistem.bench.profile import load_profile

    profile = load_profile(profile_file)
    planned = make_plan(profile)
    scripts = write_scripts(planned, profile, emit) if emit else []
    if as_json:
        print_json({**planned.model_dump(by_alias=True), "scripts": [str(path) for path in scripts]})
        return
    for part in PARTS:
        members = getattr(planned.split, part)
        print(f"{part:5} {len(members)} images, {len({one.group for one in members})} groups")
    print(_effort(profile, len(planned.jobs)))
    if few := _few_tested(planned):
        say(f"Warning: {few}")
    for note in planned.notes:
        say(f"Note: {note}")
    for job in planned.jobs:
        print(f"{job.id}  {job.name}")
    if emit:
        print(f"{len(scripts)} scripts: {emit / 'jobs'}; their table: {emit / 'jobs.csv'}")


@benching.command()
def run(
    profile_file: ProfileFile,
    out: RunFolder,
    jobs: Annotated[str | None, typer.Option(help="Only these: ids, or their first digits, with commas.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Jobs side by side; one a GPU unless told.")] = None,
    cluster: Cluster = None,
    device: Device = None,
    models: Annotated[bool, typer.Option(help="Keep the weights, for `epistem segment`.")] = True,
    track: Annotated[bool, typer.Option("--track", help="Write to mlflow.db in the folder, too.")] = False,
    as_json: Json = False,
) -> None:
    """Train and test every network of a profile. A run that was stopped goes on: the same command again."""
    from epistem.app.bench_run import run_profile

    wanted = None if jobs is None else [one.strip() for one in jobs.split(",")]
    run_profile(
        profile_file, out, jobs=wanted, workers=workers, cluster=cluster, device=device, models=models, track=track,
        as_json=as_json,
    )  # fmt: skip


@benching.command("run-job")
def run_job(
    profile_file: ProfileFile,
    job: Annotated[str, typer.Argument(help="Id of the job, or its first digits.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's folder; the profile's unless told.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Train and test one network of a plan; what a script of `plan --emit` calls."""
    from epistem.app.bench_run import run_profile

    run_profile(
        profile_file, out or profile_file.parent, jobs=[job], workers=1, cluster=None, device=device, models=True,
        track=False, as_json=as_json,
    )  # fmt: skip


@benching.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    signals: Annotated[bool, typer.Option(help="Score whether failed masks would be noticed.")] = True,
    heatmaps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Test images to explain, a minute or two each on a CPU; 5 unless told, none of fewer than 5."
        ),
    ] = None,
    regions: Annotated[
        Path | None, typer.Option(help="Folder of an expert's regions, masks called like the images.")
    ] = None,
    past: Annotated[
        Path | None, typer.Option(help="Folder of a study, for advice; the one that comes with epistem.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the run's report: masks, scores, differences beyond chance, cost, and whether a network is ready."""
    from epistem.app.as_json import print_json
    from epistem.app.bench_report import full_report
    from epistem.app.train import AGAIN, Words

    with Words(quiet=as_json) as words, words.stoppable(
        lambda: f"{run_folder / 'report.html'} has what was done till then, if anything", again=AGAIN
    ):  # fmt: skip
        page = full_report(
            run_folder, signals=signals, heatmaps=heatmaps, regions=regions, past=past, told=words.show,
            said=words.say,
        )  # fmt: skip
    if as_json:
        print_json({"page": str(page)})
    else:
        print(f"Report: {page}")


def _effort(profile: Profile, jobs: int) -> str:
    """How much is to be trained; how long a step takes is known once the first network learns."""
    training = profile.training
    tiles = f"{training.batch_size} tiles of {training.image_size} px"
    if training.max_steps is None:
        return f"{jobs} networks × up to {training.max_epochs} epochs; a step has {tiles}"
    steps = jobs * training.max_steps
    return f"{jobs} networks × up to {training.max_steps:,} steps = {steps:,} steps of {tiles}"


def _few_tested(planned: Plan) -> str:
    """What so few test images cannot tell; "" where there are enough."""
    test = planned.split.test
    groups = len({one.group for one in test})
    if len(test) == 1:
        return "there is one test image, so scores have no interval and networks cannot be compared; add images"
    if groups == 1:
        return f"all {len(test)} test images are of one group: what is found holds for that specimen only"
    return ""


def _tell_profile(profile: Profile, out: Path, as_json: bool) -> None:
    from epistem.app.as_json import print_json

    if as_json:
        print_json({"profile": str(out), **profile.model_dump(by_alias=True)})
        return
    counted = profile.dataset.metadata.counted
    if counted is not None:
        print(f"{counted.images} images in {counted.groups} groups")
        for name, share in counted.class_share.items():
            print(f"  {name}: {share:.1%} of the pixels")
    for note in profile.notes():
        say(f"Note: {note}")
    lacking = profile.lacking()
    for line in lacking:
        say(f"To fill in: {line}")
    print(f"Profile: {out}")
    if not lacking:
        print(f"Next: epistem bench plan {out}")
