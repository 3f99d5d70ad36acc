"""What `epistem forecast` does with cases and detections: fit, predict, and which images to label next."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from epistem import __version__
from epistem.app.forecast_check import Judged, Step, checked_score, held_out, judge_all
from epistem.app.forecast_io import Origin, Seen, any_same, masks_of
from epistem.core import SettingsError, Verdict
from epistem.trust.cases import FOREIGN, GROUPS, Cases
from epistem.trust.forecast import GRID, LEAST_CASES, Forecaster, How
from epistem.trust.label_first import Pick, label_first
from epistem.trust.model import save
from epistem.trust.protocols import Fold, dealt_folds
from epistem.trust.result import Forecast
from epistem.trust.typicality import LIKENESS
from epistem.trust.verdict import Limits, decide

FEW_CASES = 200
"""Below it a person is told that errors and intervals are rough."""

LEAST_AT_SCORE = 20
"""A forecast is fitted for a score if in so many cases something is found with it."""

_CHECKED_SCORE = 0.5
_ENDING = ".npz"


# ---------------------------------------------------------------- fit


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted forecast and what it is worth.

    Attributes:
        forecaster: the models.
        skipped: scores asked for that too few cases have an object of.
        score: at which it was checked.
        check: by target, on images held out; None where there are too few images to hold some out.
    """

    forecaster: Forecaster
    skipped: tuple[float, ...]
    score: float
    check: Mapping[str, Judged] | None


def fit(
    cases: Cases, out: Path, *, how: How | None = None, source: str = "", step: Step = lambda _done, _of: None
) -> Fitted:  # fmt: skip
    """A forecast fitted on cases, saved, and checked on images held out.

    Args:
        cases: `LEAST_CASES` or more.
        out: the file, .npz.
        how: the defaults if None.
        source: what the cases are called.
        step: is told how many fits are done, of how many.

    Raises:
        SettingsError: too few cases, groups or objects; a file of another ending.
        RecordError: the file cannot be written.
    """
    how = how or How()
    if out.suffix != _ENDING:
        raise SettingsError(f"a fitted forecast ends in {_ENDING}, not {out.name}; name it so")
    able = _able_scores(cases, how.scores)
    folds = _check_folds(cases, how.seed)
    total = 1 + len(folds)
    forecaster = Forecaster(replace(how, scores=able), about_of(cases, source)).fit(cases)
    save(forecaster, out)
    step(1, total)
    score, check = forecaster.snapped(_CHECKED_SCORE), None
    if folds:
        said = held_out(cases, replace(how, scores=(score,)), folds, lambda done, _of: step(1 + done, total))
        own = (cases.images["source"] != FOREIGN).to_numpy()
        judged = judge_all(cases, score, said, {"all": own})
        check = {target: by_part["all"] for target, by_part in judged.items()}
    return Fitted(forecaster, tuple(one for one in how.scores if one not in able), score, check)


def scores_from(text: str | None) -> tuple[float, ...]:
    """Scores from "0.1,0.5"; the whole grid where nothing is said.

    Raises:
        SettingsError: no numbers.
    """
    if text is None:
        return GRID
    try:
        return tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError as error:
        raise SettingsError(f"--scores wants numbers such as 0.1,0.5, not {text!r}") from error


def _able_scores(cases: Cases, scores: Sequence[float]) -> tuple[float, ...]:
    cases = cases.own
    if len(cases) < LEAST_CASES:
        raise SettingsError(
            f"a forecast is fitted on {LEAST_CASES} cases or more, {len(cases)} came; label more images"
        )
    objects = cases.objects
    able = [one for one in scores if objects.loc[objects["score"] >= one, "case"].nunique() >= LEAST_AT_SCORE]
    if not able:
        raise SettingsError(
            f"in fewer than {LEAST_AT_SCORE} of {len(cases)} cases something is found with a score of "
            f"{min(scores):g}; give detections down to lower scores"
        )
    return tuple(able)


def _check_folds(cases: Cases, seed: int) -> list[Fold]:
    """Images dealt once, to as few folds as leave enough cases to learn from; none where there are too few."""
    cases = cases.own
    image = list(zip(cases.images["source"], cases.images["image"], strict=True))
    for number in (5, 10):
        if len(set(image)) < number:
            continue
        folds = dealt_folds(image, folds=number, repeats=1, seed=seed)
        if min(len(fold.train) for fold in folds) >= LEAST_CASES:
            return folds
    return []


def about_of(cases: Cases, source: str) -> dict[str, Any]:
    """What a forecast is for: detectors with their weights, masks or boxes, with or without the images."""
    weights = cases.provenance.get("weights")
    names = sorted({str(name) for name in cases.images["detector"]} - {""})
    hashes = {name: weights.get(name) if isinstance(weights, Mapping) else None for name in names}
    return {
        "detector": ", ".join(names) or None, "weights": hashes[names[0]] if len(names) == 1 else None,
        "detectors": hashes,
        "source": source, "sources": sorted({str(name) for name in cases.images["source"]} - {""}),
        "cases": len(cases.own), "objects": len(cases.objects), "identity": identity(cases), "masks": masks_of(cases),
        "images": bool(cases.images["q_noise"].notna().any()), "epistem": __version__,
        "least_score": round(float(cases.objects["score"].min()), 3) if len(cases.objects) else None,
    }  # fmt: skip


def identity(cases: Cases) -> str:
    """Hash of which images these are and of what was found in them."""
    names = cases.images[[*GROUPS, "rows", "cols"]].to_csv(index=False)
    scores = cases.objects["score"].to_numpy(np.float32).tobytes()
    return hashlib.sha256(names.encode() + scores).hexdigest()[:16]


# ---------------------------------------------------------------- predict


class Told(NamedTuple):
    """What is expected of one image, and what to do."""

    name: str
    forecast: Forecast
    verdict: Verdict | None
    reasons: tuple[str, ...]


def predict(
    forecaster: Forecaster, seen: Sequence[Seen], min_score: float, limits: Limits | None = None
) -> list[Told]:
    """A forecast and a verdict, by these limits or the defaults, for each image.

    Raises:
        SettingsError: a score outside 0 to 1.
    """
    checked_score(min_score)
    told = []
    for one in seen:
        forecast = forecaster.predict(one.described, min_score)
        told.append(Told(one.name, forecast, *decide(forecast, limits)))
    return told


def first_to_label(told: Sequence[Told], number: int) -> list[Pick]:
    """Which images to label first.

    Raises:
        SettingsError: not one image is asked for.
    """
    if number < 1:
        raise SettingsError(f"--number is at least 1, not {number}")
    signals = pd.DataFrame([dict(one.forecast.signals) for one in told])
    shown = [name for name in signals if str(name).startswith(("s_", *LIKENESS))]
    return label_first([one.forecast for one in told], signals[shown], number)


def check_fits(forecaster: Forecaster, origin: Origin, *, masks: bool | None, images: bool) -> list[str]:
    """What a person must know before believing forecasts of these detections.

    Args:
        forecaster: fitted.
        origin: who found the objects.
        masks: whether they have masks; None where there is no object.
        images: whether the images are at hand.

    Raises:
        SettingsError: another detector, other weights, or boxes where masks were fitted, or the other way.
    """
    about = forecaster.about
    _check_origin(about.get("detectors") or {}, origin)
    if masks is not None and about.get("masks") not in (None, masks):
        fitted, given = ("masks", "boxes without masks") if about["masks"] else ("boxes without masks", "masks")
        raise SettingsError(f"this forecast was fitted on {fitted}, these are {given}; give {fitted}")
    if about.get("images") and not images:
        return [
            "The forecast was fitted with the images and reads their noise and sharpness; without --images what it "
            "expects is less sure than its intervals say."
        ]
    return []


def check_cases(forecaster: Forecaster, cases: Cases, origin: Origin) -> list[str]:
    """The same for cases with truth, whose tables may say more of their origin.

    Raises:
        SettingsError: as `check_fits`.
    """
    about = about_of(cases, "")
    made: dict[str, str | None] = about["detectors"]
    for one in [Origin(name, weights) for name, weights in made.items()] or [origin]:
        notes = check_fits(forecaster, one, masks=about["masks"], images=about["images"])
    if forecaster.about.get("identity") == about["identity"]:
        notes.append(
            "These are the cases that the forecast was fitted on: on others its errors are larger; see --protocol."
        )
    return notes


def _check_origin(fitted: Mapping[str, str | None], origin: Origin) -> None:
    names = ", ".join(f"{name} (weights {weights})" if weights else name for name, weights in fitted.items())
    do = "fit one for it (epistem forecast fit)"
    if fitted and origin.detector and origin.detector not in fitted:
        raise SettingsError(f"this forecast is of {names}, these are detections of {origin.detector}; {do}")
    hashes = [weights for name, weights in fitted.items() if origin.detector in (None, name)]
    if origin.weights and hashes and all(hashes) and not any_same(origin.weights, [one for one in hashes if one]):
        raise SettingsError(f"this forecast is of {names}, these are of weights {origin.weights}; {do}")


def check_depth(forecaster: Forecaster, seen: Sequence[Seen]) -> list[str]:
    """Whether detections go down to scores as low as those that the forecast was fitted on."""
    least = forecaster.about.get("least_score")
    scores = np.concatenate([one.described.objects["score"].to_numpy(float) for one in seen]) if seen else np.empty(0)
    if least is None or len(scores) < LEAST_AT_SCORE or scores.min() <= least + 0.1:
        return []
    return [
        f"No detection has a score under {scores.min():.2f}; the forecast was fitted on detections down to {least:g} "
        "and reads what was nearly found as well: let the detector keep those, or what is missed is not seen."
    ]


def masks_seen(seen: Sequence[Seen]) -> bool | None:
    """Whether the detections have masks; None where nothing was found."""
    return next((one.masks for one in seen if one.masks is not None), None)
