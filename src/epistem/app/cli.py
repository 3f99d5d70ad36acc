"""The command line: `epistem analyze`, `read`, `score`, `watch`, `train`, `forecast`, `bench`, `segment`,
`explain`, `typicality`, `atoms`, `papers`, `ask`, `reproduce`, `models`, `data`, `serve`, `doctor`,
`formats`.

Exit codes: 0 all good, 1 some files failed, 2 the command was wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epistem import __version__
from epistem.app.ask_cli import asking
from epistem.app.atoms_cli import atoms
from epistem.app.bench_cli import benching
from epistem.app.data_cli import data
from epistem.app.doctor_cli import doctor
from epistem.app.ending import any_sign, told_by_system
from epistem.app.forecast_cli import forecasting
from epistem.app.models_cli import models
from epistem.app.options import Cluster, Device, Json, Workers
from epistem.app.papers_cli import papers
from epistem.app.reproduce_cli import reproducing
from epistem.app.segment_cli import explain, segment, train_segmenter
from epistem.app.serve_cli import serve
from epistem.app.terminal import (
    SOME_FAILED,
    STOPPED,
    USAGE,
    Bar,
    facts_of,
    print_facts,
    say,
    tell_batch,
    tell_earlier,
    trust_lines,
)
from epistem.core.errors import EpistemError, RecordError, SettingsError
from epistem.detect import DEFAULT, DETECTORS

if TYPE_CHECKING:
    from epistem.app.samples import Samples
    from epistem.app.settings import Settings

app = typer.Typer(
    help="Find and measure what is in a micrograph, and say how far each result can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Matching(StrEnum):
    """How found and true objects are paired."""

    paper = "paper"
    score_greedy = "score-greedy"
    optimal = "optimal"


class Overlap(StrEnum):
    """What overlaps."""

    box = "box"
    mask = "mask"


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
PixelSize = Annotated[
    str | None, typer.Option(help="Overrules the file: '0.38', '1.2 µm', or rows x columns '0.38x0.40 nm'.")
]
Detector = Annotated[str, typer.Option(help=f"One of {', '.join(DETECTORS)}.")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the detector, name=value; may be repeated.")
]
Thickness = Annotated[float | None, typer.Option(help="Foil thickness in nm, for swelling.")]
ThicknessError = Annotated[float | None, typer.Option(help="Its standard deviation in nm.")]
MinScore = Annotated[
    float | None,
    typer.Option(help="Leave out objects with a lower score, 0 to 1; the detector's own threshold unless told."),
]
SamplesFile = Annotated[
    Path | None,
    typer.Option("--samples", help="CSV with columns image, specimen, thickness_nm, …; groups the images."),
]
By = Annotated[str, typer.Option("--by", help="Column of that CSV whose values make the groups: dose_dpa, …")]
ObjectName = Annotated[str, typer.Option("--call", help="What one object is called in the report.")]
Coverage = Annotated[float, typer.Option(help="Probability that an interval holds the truth.")]
Seed = Annotated[int, typer.Option(help="Of the resampling behind the intervals.")]
Forecasts = Annotated[
    str, typer.Option("--forecast", help="Of the detector's F1: shipped, none, or a file of epistem forecast fit.")
]
Typicality = Annotated[
    str | None, typer.Option(help="A reference of `epistem typicality`: is the texture like that of its images?")
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="JSON of settings, such as run.json; options given here win.")
]


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


@app.command()
def analyze(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Micrographs, or folders of them.", readable=False)],
    out: Out,
    detector: Detector = DEFAULT,
    setting: Setting = None,
    pixel_size: PixelSize = None,
    thickness_nm: Thickness = None,
    thickness_error_nm: ThicknessError = None,
    min_score: MinScore = None,
    samples: SamplesFile = None,
    by: By = "specimen",
    found: Annotated[
        Path | None,
        typer.Option(help="Measure these masks (labels, COCO, YOLO, Cellpose, SAM…) instead of detecting."),
    ] = None,
    object_name: ObjectName = "cavity",
    forecast: Forecasts = "shipped",
    typicality: Typicality = None,
    coverage: Coverage = 0.9,
    seed: Seed = 0,
    settings_file: SettingsFile = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores unless told.")] = None,
    cluster: Cluster = None,
    lean: Annotated[
        bool,
        typer.Option("--lean", help="For very many images: tables alone; no outlines, pictures or pages of each."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find and measure the objects in micrographs; write tables, masks, overlays and one HTML report.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.shards import earlier_shards
    from epistem.app.store import earlier

    settings = _settings(context, settings_file, setting)
    listed = list_files(paths, out)
    rows = _samples(samples, [name for _, name in listed])
    jobs = make_jobs(listed, settings, samples=rows, found=found)
    tell_earlier(earlier_shards(out, jobs) if lean else earlier(out, jobs), out)
    with Bar(len(jobs), quiet=as_json) as bar:
        result = run_batch(
            jobs,
            settings,
            out,
            samples=rows,
            by=by,
            workers=workers,
            cluster=cluster,
            progress=bar.advance,
            lean=lean,
        )
    tell_batch(result, out, as_json=as_json)
    if result.errors:
        raise typer.Exit(SOME_FAILED)


@app.command()
def watch(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder in which images arrive.")],
    out: Out,
    detector: Detector = DEFAULT,
    setting: Setting = None,
    pixel_size: PixelSize = None,
    thickness_nm: Thickness = None,
    thickness_error_nm: ThicknessError = None,
    min_score: MinScore = None,
    samples: SamplesFile = None,
    by: By = "specimen",
    object_name: ObjectName = "cavity",
    forecast: Forecasts = "shipped",
    typicality: Typicality = None,
    coverage: Coverage = 0.9,
    seed: Seed = 0,
    settings_file: SettingsFile = None,
    every_s: Annotated[float, typer.Option(min=0.1, help="Time between looks in seconds.")] = 2.0,
) -> None:
    """Analyse images as they arrive in a folder, until interrupted with Ctrl-C."""
    from epistem.app.store import FileError
    from epistem.app.watch import check_watched
    from epistem.app.watch import watch as watch_folder

    settings = _settings(context, settings_file, setting)
    rows = _samples(samples, [])
    check_watched(folder, out)
    say(f"Watching {folder}; results go to {out / 'report.html'}. Ctrl-C stops.")

    failed: set[str] = set()

    def tell(_done: int, _total: int, outcome: Any) -> None:
        if isinstance(outcome, FileError):
            failed.add(outcome.file)
            say(f"{outcome.file}: {outcome.why}")
        else:
            failed.discard(outcome.file)
            for image in outcome.images:
                say("\n".join(trust_lines(image)))

    with suppress(KeyboardInterrupt):  # the way to end it; whatever came is written
        watch_folder(folder, settings, out, samples=rows, by=by, every_s=every_s, progress=tell)
    if failed:
        raise typer.Exit(SOME_FAILED)


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(help="Files to look into.", readable=False)],
    pixel_size: PixelSize = None,
    as_json: Json = False,
) -> None:
    """Print shape, type, pixel size with its source, and context of each file."""
    from epistem.imaging import read as read_file

    facts, failed = [], False
    for file in files:
        try:
            image = read_file(file, pixel_size)
        except SettingsError:
            raise
        except EpistemError as error:
            failed = True
            facts.append({"file": str(file), "error": " ".join(str(error).split())})
        else:
            facts.append({"file": str(file), **facts_of(image)})
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        for one in facts:
            print_facts(one)
    if failed:
        raise typer.Exit(SOME_FAILED)


@app.command()
def score(
    found: Annotated[Path, typer.Argument(help="What was found: annotations, or a results folder of analyze.")],
    truth: Annotated[Path, typer.Argument(help="What is true: annotations in any format.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images, where no file holds their size.")] = None,
    method: Annotated[Matching, typer.Option("--match", help="Order in which pairs are made.")] = Matching.paper,
    by: Annotated[Overlap, typer.Option(help="Compare boxes or masks.")] = Overlap.box,
    iou: Annotated[float, typer.Option(help="Least overlap of a pair, 0 to 1.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Precision, recall and F1 of found objects against true ones, by image and pooled."""
    from epistem.app.score import score as score_paths
    from epistem.app.score_table import as_record, print_scores

    scores = score_paths(found, truth, images=images, method=method.value, by=by.value, iou=iou)
    if as_json:
        print(json.dumps(as_record(scores), indent=1, ensure_ascii=False))
    else:
        print_scores(scores, method=method.value, by=by.value, iou=iou)


training = typer.Typer(help="Train a network.", no_args_is_help=True)
app.add_typer(training, name="train")
app.add_typer(forecasting, name="forecast")
app.add_typer(reproducing, name="reproduce")
app.add_typer(benching, name="bench")
app.add_typer(atoms, name="atoms")
app.add_typer(papers, name="papers")
app.add_typer(asking, name="ask")
app.add_typer(models, name="models")
app.add_typer(data, name="data")
app.command()(serve)
app.command()(doctor)
app.command()(segment)
app.command()(explain)
training.command("segmenter")(train_segmenter)


@training.command("detector")
def train_detector(
    source: Annotated[Path, typer.Argument(help="A spec (.toml), or labels of your own images.", readable=False)],
    out: Out,
    start: Annotated[
        str | None, typer.Option("--from", help="With labels: shipped, or a .safetensors file to begin from.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="With labels: folder of the images.")] = None,
    category: Annotated[str | None, typer.Option(help="With labels of several classes: the one to learn.")] = None,
    kind: Annotated[str | None, typer.Option(help="With labels: their format where it is not told, binary.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="With labels: how long to learn; 300 unless told.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="With labels: how fast; 2e-4 unless told.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="With labels: of samples and held-out images.")] = None,
    device: Device = None,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Train a detector from a spec, or train the shipped one further on your own labelled images.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.train import train_detector as run

    run(
        source,
        out,
        start=start,
        images=images,
        category=category,
        kind=kind,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        workers=workers,
        as_json=as_json,
    )


@app.command()
def typicality(
    paths: Annotated[
        list[Path], typer.Argument(help="Images that are as they should be, 20 or more.", readable=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The reference to write, .npz.")],
    as_json: Json = False,
) -> None:
    """Make a reference of images of one kind; `analyze --typicality` holds the texture of others against it."""
    from epistem.app.texture import make_texture

    made = make_texture(paths, out)
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    for name, why in made["errors"].items():
        say(f"{name}: {why}")
    if made["unscored"]:
        say(f"Nothing will be scored with it: {made['unscored']}.")
    print(f"{made['images']} images, {made['windows']} windows: {out}")


@app.command()
def formats(as_json: Json = False) -> None:
    """List the files that can be read and the annotations that can be measured."""
    from epistem.detect.adapters import ADAPTERS
    from epistem.imaging.read import SUFFIXES

    known = {"micrographs": sorted(SUFFIXES), "annotations": list(ADAPTERS), "detectors": list(DETECTORS)}
    if as_json:
        print(json.dumps(known, indent=1))
    else:
        for what, names in known.items():
            print(f"{what}: {' '.join(names)}")


def _end(parent: int, number: int, _frame: object) -> None:
    """What a scheduler sends before it kills ends a run as Ctrl-C does: what was reached is kept, and told."""
    if os.getpid() == parent:
        raise KeyboardInterrupt
    # A forked worker has inherited this. It has nothing to keep, and whoever ends it waits for it.
    os._exit(128 + number)


def main() -> None:
    """Run the command line; an EpistemError is a line, or one a field to correct, and exit code 2."""
    signal.signal(signal.SIGTERM, partial(_end, os.getpid()))
    any_sign()
    try:
        with told_by_system():
            app()
    except EpistemError as error:
        first, *more = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()] or [""]
        say("\n  ".join([f"epistem: {first}{':' if more else ''}", *more]))
        if "--json" in sys.argv:
            why = f"{first}: {'; '.join(more)}" if more else first
            print(json.dumps({"error": why}, ensure_ascii=False))
        sys.exit(SOME_FAILED if isinstance(error, RecordError) else USAGE)
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        sys.exit(STOPPED)


_OF_SETTINGS = (
    "detector",
    "pixel_size",
    "thickness_nm",
    "thickness_error_nm",
    "min_score",
    "object_name",
    "forecast",
    "typicality",
    "coverage",
    "seed",
)


def _settings(context: typer.Context, file: Path | None, pairs: list[str] | None) -> Settings:
    """Settings from the file, then from the options that were really given."""
    from epistem.app.settings import load_settings, make_settings

    values: dict[str, Any] = load_settings(file) if file else {}
    for name in _OF_SETTINGS:
        given = context.get_parameter_source(name)
        if given is not None and given.name != "DEFAULT":
            values[name] = context.params[name]
    typed: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set wants name=value, such as --set min_diameter_px=6, not {pair!r}")
        typed[name] = _value(text)
    settings = make_settings(**values)
    settings = settings.model_copy(update={"detector_settings": settings.detector_settings | typed})
    settings.key(
        detects=context.params.get("found") is None
    )  # a wrong setting, or weights that are not there, are told before the work starts
    if settings.pixel_size is not None:
        from epistem.imaging import parse_pixel_size

        parse_pixel_size(settings.pixel_size)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _samples(path: Path | None, names: list[str]) -> Samples | None:
    if path is None:
        return None
    from epistem.app.samples import read_samples

    try:
        samples = read_samples(path)
    except RecordError as error:
        raise SettingsError(str(error)) from error
    for warning in samples.warnings(names) if names else ():
        say(f"Note: {warning}")
    return samples
