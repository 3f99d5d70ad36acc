"""`epistem forecast cases`, `fit`, `predict`, `evaluate`, `next`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epistem.app.options import Cluster, Device, Json
from epistem.app.terminal import say

if TYPE_CHECKING:
    from epistem.app.forecast import Told
    from epistem.app.forecast_io import Origin
    from epistem.app.train import Words
    from epistem.nets.backgrounds import Backgrounds
    from epistem.trust.cases import Cases
    from epistem.trust.forecast import Forecaster

forecasting = typer.Typer(help="How well a detector did, without labels.", no_args_is_help=True)


class PlanName(StrEnum):
    """What the cases are made of."""

    shipped = "shipped"
    published = "published"


class Group(StrEnum):
    """What stays together when cases are held out."""

    by_image = "image"
    by_split = "split"
    by_source = "source"
    by_detector = "detector"


class Protocol(StrEnum):
    """What is left out."""

    random = "random"
    by_image = "image"
    by_split = "split"
    by_source = "source"
    by_detector = "detector"


Source = Annotated[Path, typer.Argument(help="A folder of cases, or detections with scores in any format.")]
Truth = Annotated[Path | None, typer.Argument(help="With detections: what is true, in any format.")]
Found = Annotated[
    Path, typer.Argument(help="Detections with scores: COCO, a table…, or a results folder of analyze.")
]
Model = Annotated[Path, typer.Option("--model", help="The fitted forecast, .npz, or shipped.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the images, whose noise and sharpness tell more.")]
MinScore = Annotated[float, typer.Option(help="Objects with a lower score are left out, 0 to 1.")]
Detector = Annotated[str | None, typer.Option(help="Who found the objects; another than the fitted one is refused.")]
Weights = Annotated[str | None, typer.Option(help="Hash of its weights; others than the fitted ones are refused.")]


@forecasting.command()
def cases(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for detectors, images and cases.")],
    plan: Annotated[PlanName, typer.Option(help="What the cases are made of.")] = PlanName.shipped,
    device: Device = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes for trainings and trials, fields and samples.")] = 1,
    cluster: Cluster = None,
    spec: Annotated[
        Path | None, typer.Option(help="TOML of a training whose recorded backgrounds the plan uses.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the cases that a forecast learns from: simulated images, searched, held against the truth.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.as_json import print_json
    from epistem.app.forecast_cases import make_cases
    from epistem.app.forecast_plan import PLANS
    from epistem.app.train import Words

    recorded = _recorded(spec)
    with Words(quiet=as_json) as words, words.stoppable(lambda: f"what was made is kept in {out}"):
        made = make_cases(
            PLANS[plan.value](), out, told=words, device=device, workers=workers, cluster=cluster,
            backgrounds=recorded,
        )  # fmt: skip
    if as_json:
        print_json({"cases": str(out), "images": len(made), "objects": len(made.objects)})
    else:
        print(f"{len(made)} cases with {len(made.objects)} objects: {out}\nNext: epistem forecast fit {out} --out …")


def _recorded(spec: Path | None) -> Backgrounds | None:
    if spec is None:
        return None
    from epistem.nets.spec import read_spec

    return read_spec(spec).backgrounds


@forecasting.command()
def fit(
    source: Source,
    truth: Truth = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The fitted forecast, .npz.")],
    images: Images = None,
    detector: Detector = None,
    weights: Weights = None,
    scores: Annotated[
        str | None, typer.Option(help="Least scores to fit for, 0.1,0.5; 0.1 to 0.9 unless told.")
    ] = None,
    group: Annotated[Group, typer.Option(help="What stays together when cases are held out.")] = Group.by_image,
    as_json: Json = False,
) -> None:
    """Fit a forecast on images with truth."""
    from epistem.app.as_json import print_json
    from epistem.app.forecast import fit as fit_cases
    from epistem.app.forecast import scores_from
    from epistem.app.forecast_table import fit_notes, fit_record, print_fitted
    from epistem.app.train import Words
    from epistem.trust.forecast import How

    how = How(scores=scores_from(scores), group=group.value)
    with Words(quiet=as_json) as words:
        learnt = _cases(source, truth, images, detector, weights, words)
        fitted = fit_cases(learnt, out, how=how, source=source.name, step=lambda k, n: words.part("Fitting", k, n))
    if as_json:
        print_json(fit_record(fitted, str(out)) | {"notes": fit_notes(fitted)})
        return
    print_fitted(fitted, str(out))
    for note in fit_notes(fitted):
        say(f"Note: {note}")


@forecasting.command()
def predict(
    found: Found,
    model: Model,
    images: Images = None,
    min_score: MinScore = 0.5,
    detector: Detector = None,
    weights: Weights = None,
    settings: Annotated[Path | None, typer.Option(help="JSON of settings, whose limits the verdict goes by.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV to write as well.")] = None,
    as_json: Json = False,
) -> None:
    """Expected F1, precision and recall of each image, and what to do with it."""
    from epistem.app.as_json import print_json
    from epistem.app.forecast_table import predict_record, predicted_rows, print_predicted

    told, notes = _told(found, model, images, min_score, detector, weights, as_json, settings)
    if out is not None:
        from epistem.report.export import write_table

        write_table(out, predicted_rows(told))
    if as_json:
        print_json(predict_record(told, notes))
    else:
        print_predicted(told)
        _say(notes)


@forecasting.command("next")
def label_next(
    found: Found,
    model: Model,
    images: Images = None,
    number: Annotated[int, typer.Option(help="How many images.")] = 10,
    min_score: MinScore = 0.5,
    detector: Detector = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Which images to label first, so that the detector and its forecast learn most."""
    from epistem.app.as_json import print_json
    from epistem.app.forecast import first_to_label
    from epistem.app.forecast_table import next_record, print_next

    told, notes = _told(found, model, images, min_score, detector, weights, as_json)
    picks = first_to_label(told, number)
    if as_json:
        print_json(next_record(told, picks, notes))
    else:
        print_next(told, picks)
        _say(notes)


@forecasting.command()
def evaluate(
    source: Source,
    truth: Truth = None,
    *,
    model: Annotated[Path | None, typer.Option(help="A fitted forecast, .npz.")] = None,
    protocol: Annotated[
        Protocol | None, typer.Option(help="Instead: fit inside folds, and leave this out in turn.")
    ] = None,
    images: Images = None,
    min_score: MinScore = 0.5,
    detector: Detector = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Errors of a fitted forecast on images with truth; or ours and the published one, fitted inside folds."""
    from epistem.app.train import Words
    from epistem.core import SettingsError

    if (model is None) == (protocol is None):
        raise SettingsError("evaluate wants either --model FILE or --protocol NAME")
    with Words(quiet=as_json) as words:
        known = _cases(source, truth, images, detector, weights, words)
        if model is not None:
            _evaluate(model, known, _origin(source, detector, weights), min_score, as_json)
        elif protocol is not None:
            _compare(known, protocol.value, min_score, words, as_json)


def _evaluate(model: Path, known: Cases, origin: Origin, min_score: float, as_json: bool) -> None:
    from epistem.app.as_json import print_json
    from epistem.app.forecast import check_cases
    from epistem.app.forecast_check import evaluate as evaluate_cases
    from epistem.app.forecast_table import print_evaluated
    from epistem.trust.model import load

    forecaster = load(_model(model))
    notes = check_cases(forecaster, known, origin)
    evaluated = evaluate_cases(forecaster, known, min_score)
    notes += _snapped(min_score, evaluated.score)
    if as_json:
        print_json(evaluated._asdict() | {"notes": notes})
    else:
        print_evaluated(evaluated, forecaster.how.coverage)
        _say(notes)


def _compare(known: Cases, protocol: str, min_score: float, words: Words, as_json: bool) -> None:
    from epistem.app.as_json import print_json
    from epistem.app.forecast_check import compare
    from epistem.app.forecast_table import print_compared
    from epistem.trust.forecast import How

    how = How()
    compared = compare(known, protocol, min_score, how=how, step=lambda k, n: words.part("Fitting", k, n))
    if as_json:
        print_json({"protocol": protocol, **vars(compared)})
    else:
        print_compared(compared, protocol, how.coverage)


# ---------------------------------------------------------------- what they share


def _cases(
    source: Path, truth: Path | None, images: Path | None, detector: str | None, weights: str | None, words: Words
) -> Cases:
    from epistem.app.forecast_io import read_cases

    return read_cases(
        source, truth, images, origin=_origin(source, detector, weights),
        told=lambda k, n: words.part("Reading", k, n), say=words.say,
    )  # fmt: skip


def _origin(found: Path, detector: str | None, weights: str | None) -> Origin:
    from epistem.app.forecast_io import origin_of

    return origin_of(found, detector, weights)


def _told(
    found: Path, model: Path, images: Path | None, min_score: float, detector: str | None, weights: str | None,
    as_json: bool, settings: Path | None = None,
) -> tuple[list[Told], list[str]]:  # fmt: skip
    """Forecasts of all images, and what a person must know of them."""
    from epistem.app.forecast import check_depth, check_fits, masks_seen
    from epistem.app.forecast import predict as predict_seen
    from epistem.app.forecast_check import checked_score
    from epistem.app.forecast_io import read_found
    from epistem.app.settings import load_settings, make_settings
    from epistem.app.train import Words
    from epistem.app.trust_card import limits_of
    from epistem.trust.model import load

    limits = limits_of(make_settings(**load_settings(settings)).limits) if settings is not None else None
    forecaster: Forecaster = load(_model(model))
    used = forecaster.snapped(checked_score(min_score))
    origin = _origin(found, detector, weights)
    check_fits(forecaster, origin, masks=None, images=images is not None)  # before the images are read
    with Words(quiet=as_json) as words:
        seen = read_found(found, images, told=lambda k, n: words.part("Reading", k, n))
    notes = check_fits(forecaster, origin, masks=masks_seen(seen), images=images is not None)
    shallow = check_depth(forecaster, seen)
    told = predict_seen(forecaster, seen, min_score, limits)
    if shallow:
        told = [_doubted(one, shallow[0]) if one.verdict == "accept" else one for one in told]
    return told, notes + shallow + _snapped(min_score, used)


def _model(path: Path) -> Path:
    """The file; the one that comes with epistem where `shipped` is asked for and no file is called so."""
    from epistem.detect import DEFAULT
    from epistem.trust.model import SHIPPED

    return SHIPPED / f"{DEFAULT}.npz" if str(path) == "shipped" and not path.exists() else path


def _doubted(told: Told, why: str) -> Told:
    """What nobody should accept unseen."""
    return told._replace(verdict="review", reasons=(why, *told.reasons))


def _snapped(asked: float, used: float) -> list[str]:
    if used == asked:
        return []
    return [f"Objects count from a score of {used:g}: the nearest to the {asked:g} asked for that was fitted."]


def _say(notes: list[str]) -> None:
    for note in notes:
        say(f"Note: {note}")
