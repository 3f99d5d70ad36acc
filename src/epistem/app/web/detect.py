"""Find, measure and forecast for the page: `analyze`, and what it would say at every threshold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from epistem.app.analyze import Analysis, analyze_image
from epistem.app.batch import make_jobs
from epistem.app.settings import Settings, make_settings
from epistem.app.store import Job, finished
from epistem.app.trust_card import Unwatched, Watched
from epistem.app.web.carried import write_objects
from epistem.app.web.jobs import Bench
from epistem.app.web.label_first import write_forecast
from epistem.app.web.looks import objects_json, quantity_json, threshold_row
from epistem.app.web.rooms import Room
from epistem.app.worker import run_job
from epistem.core import Instances, Micrograph, Quantity, ReadError
from epistem.core.files import write_text, written_whole
from epistem.detect import least_score
from epistem.detect.measure import measure
from epistem.report.overlay import plain_png
from epistem.trust.cases import LEAST_CANDIDATE
from epistem.trust.forecast import GRID
from epistem.trust.result import Forecast

OWN = ("min_score", "thickness_nm", "thickness_error_nm", "object_name")
"""Settings that the page may send; the pixel size belongs to the image."""

SETTINGS = "settings.json"
"""Beside an image: what it was analysed with."""


class Remembered:
    """A detector that looks at each image once, however many thresholds are asked about.

    Args:
        detector: keeps every candidate.
        megapixels: of an image at most.
    """

    def __init__(self, detector: Callable[[Micrograph], Instances], megapixels: float) -> None:
        self._detector, self._megapixels = detector, megapixels
        self._found: dict[str, Instances] = {}

    def __call__(self, micrograph: Micrograph) -> Instances:
        if micrograph.id not in self._found:
            check_size(micrograph, self._megapixels)
            self._found[micrograph.id] = self._detector(micrograph)
        return self._found[micrograph.id]


@dataclass(frozen=True)
class Noting(Watched):
    """A watched detector that remembers the last forecast of each image."""

    forecasts: dict[str, Forecast] = field(default_factory=dict)

    def look(self, micrograph: Micrograph) -> tuple[Instances, Forecast]:
        """As every watched detector."""
        found, forecast = super().look(micrograph)
        self.forecasts[micrograph.id] = forecast
        return found, forecast


def settings_of(what: Mapping[str, Any], pixel_size: str | None, room: Room) -> Settings:
    """The settings of an analysis from what the page sent; files are named as they lie below the room.

    Raises:
        Refused: weights or a forecast that no run of the room made.
        SettingsError: a value outside its range.
    """
    from epistem.app.web.runs import forecast_of, weights_of

    values = {name: what[name] for name in OWN if what.get(name) is not None}
    if what.get("weights"):
        values["detector_settings"] = {"weights": str(weights_of(room, str(what["weights"])))}
    if what.get("forecast"):
        values["forecast"] = str(forecast_of(room, str(what["forecast"])))
    return make_settings(**values, pixel_size=pixel_size)


def run(bench: Bench) -> dict[str, Any]:
    """Analyse one image; its results are those of `epistem analyze` with the same settings.

    Returns:
        Of each image in the file: name, count, expected F1, verdict, mean diameter.
    """
    assert bench.item is not None
    room = Room(bench.room.folder.absolute())
    item, bench = room.item(bench.item), replace(bench, room=room)
    path = room.file_of(item)
    # Reports name the weights: from inside the room they do not tell where the server keeps it.
    with chdir(room.folder):
        settings = settings_of(bench.what, item.pixel_size, room)
        (job,) = make_jobs([(path, item.name)], settings)
        record = finished(room.results, job)
        if record is None or not room.look_of(item.id).is_dir():
            record = _look(bench, job, settings)
    write_text(room.folder_of(item.id) / SETTINGS, json.dumps(dict(bench.what)))
    return {
        "images": [
            {
                "name": one.name, "n": one.n_objects, "verdict": one.verdict, "folder": one.folder,
                "f1": None if "f1" not in one.expected else one.expected["f1"].value, "mean": _mean(one.quantities),
            }
            for one in record.images
        ],
    }  # fmt: skip


def _mean(quantities: Mapping[str, Quantity]) -> dict[str, Any] | None:
    """The mean diameter, in nm where the pixel size is known."""
    there = (quantities.get(f"mean_diameter_{unit}") for unit in ("nm", "px"))
    return next((quantity_json(one) for one in there if one is not None and one.value is not None), None)


def _look(bench: Bench, job: Job, settings: Settings) -> Any:
    room, item = bench.room, bench.room.item(str(bench.item))
    looker = settings.looker()
    remembered, again = _remembering(looker, bench.limits.megapixels)
    n = 0

    def show(analysis: Analysis) -> None:
        nonlocal n
        everything = remembered(analysis.micrograph) if remembered else analysis.found
        write_looks(room, item.id, n, analysis, everything, settings, again)
        n += 1

    bench.told("Looking for objects")
    return run_job(job, settings, room.results, bench.told, find=again(None), each=show)


Again = Callable[[float | None], Watched | Unwatched]


def _remembering(looker: Watched | Unwatched, megapixels: float) -> tuple[Remembered | None, Again]:
    """What keeps every candidate, and the detector as it is with another threshold, looking at them."""
    if isinstance(looker, Watched):
        kept = Remembered(looker.detector, megapixels)
        watched = Noting(kept, looker.least, looker.forecaster, looker.limits, looker.name)
        return kept, lambda least: watched if least is None else replace(watched, least=least)
    own = least_score(looker.detector)
    if own is None:
        return None, lambda least: looker
    kept = Remembered(replace(looker.detector, min_score=min(LEAST_CANDIDATE, own)), megapixels)  # type: ignore[type-var]

    def above(least: float | None) -> Unwatched:
        limit = own if least is None else least
        return replace(looker, detector=lambda m: (found := kept(m))[np.flatnonzero(found.score >= limit)])

    return kept, above


def write_looks(
    room: Room, item: str, slice_: int, analysis: Analysis, everything: Instances, settings: Settings, again: Again
) -> None:
    """What the page shows of one image: picture, outlines of every candidate, and a row for every threshold.

    Args:
        room, item, slice_: of which image.
        analysis: at the threshold of the settings.
        everything: all candidates.
        settings: of the analysis.
        again: the detector with another threshold.
    """
    folder = room.look_of(item, slice_)
    folder.mkdir(parents=True, exist_ok=True)
    micrograph, scale = analysis.micrograph, analysis.micrograph.calibration
    looker = again(None)
    write_forecast(folder, looker.forecasts[micrograph.id] if isinstance(looker, Noting) else None)
    with written_whole(folder / "picture.png") as part:
        part.write_bytes(plain_png(micrograph))
    least = _least(analysis)
    own = threshold_row(analysis, least)
    write_objects(room, item, slice_, objects_json(measure(everything, micrograph), micrograph), least)
    told: dict[str, Any] = {
        "name": micrograph.name, "own": own, "warnings": list(micrograph.warnings),
        "context": {name: str(value) for name, value in micrograph.context.known().items()},
        "calibration": None if scale is None else {
            "row_nm": scale.row_nm, "col_nm": scale.col_nm, "source": scale.source, "detail": scale.detail,
        },
    }  # fmt: skip
    # The person sees this threshold while the others are tried.
    write_text(folder / "thresholds.json", json.dumps({**told, "rows": [own]}, ensure_ascii=False))
    others = () if least is None else (score for score in _grid(looker) if score != least)
    rows = [
        threshold_row(analyze_image(micrograph, settings.model_copy(update={"min_score": one}), again(one)), one)
        for one in others
    ]
    told["rows"] = sorted([*rows, own], key=lambda row: row["score"] or 0.0)
    write_text(folder / "thresholds.json", json.dumps(told, ensure_ascii=False))


def _grid(looker: Watched | Unwatched) -> tuple[float, ...]:
    """Thresholds to try: those that its forecast was fitted at."""
    return looker.forecaster.how.scores if isinstance(looker, Watched) else GRID


def _least(analysis: Analysis) -> float | None:
    value = analysis.provenance.settings["detector"].get("min_score")
    return None if value is None else float(value)


def check_size(micrograph: Micrograph, megapixels: float) -> None:
    """
    Raises:
        ReadError: more pixels than the page takes.
    """
    if micrograph.pixels.size > megapixels * 1e6:
        rows, cols = micrograph.shape
        raise ReadError(
            f"{micrograph.name} has {rows:,} × {cols:,} pixels; this page takes {megapixels:g} million. Crop or bin "
            "it, or use the command line: epistem analyze"
        )
