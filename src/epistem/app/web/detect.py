"""Find, measure and forecast for the page: `analyze`, and what it would say at every threshold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epistem.app.analyze import Analysis, analyze_image
from epistem.app.batch import make_jobs
from epistem.app.settings import Settings, make_settings
from epistem.app.store import Job, finished
from epistem.app.trust_card import Unwatched, Watched
from epistem.app.web.jobs import Bench
from epistem.app.web.looks import objects_json, threshold_row
from epistem.app.worker import run_job
from epistem.core import Instances, Micrograph, ReadError
from epistem.detect import least_score
from epistem.detect.measure import measure
from epistem.report.export import write_text, written_whole
from epistem.report.overlay import plain_png
from epistem.trust.cases import LEAST_CANDIDATE
from epistem.trust.forecast import GRID

OWN = ("min_score", "thickness_nm", "thickness_error_nm", "object_name")
"""Settings that the page may send; the pixel size belongs to the image."""


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
            _check_size(micrograph, self._megapixels)
            self._found[micrograph.id] = self._detector(micrograph)
        return self._found[micrograph.id]


def settings_of(what: Mapping[str, Any], pixel_size: str | None, weights: Path | None = None) -> Settings:
    """The settings of an analysis from what the page sent.

    Raises:
        SettingsError: a value outside its range.
    """
    values = {name: what[name] for name in OWN if what.get(name) is not None}
    if weights is not None:
        values["detector_settings"] = {"weights": str(weights)}
    return make_settings(**values, pixel_size=pixel_size)


def run(bench: Bench) -> dict[str, Any]:
    """Analyse one image; its results are those of `epistem analyze` with the same settings.

    Returns:
        Of each image in the file: name, count, expected F1, verdict.
    """
    assert bench.item is not None
    item = bench.room.item(bench.item)
    settings = settings_of(bench.what, item.pixel_size, _weights(bench))
    (job,) = make_jobs([(bench.room.file_of(item), item.name)], settings)
    record = finished(bench.room.results, job)
    if record is None or not bench.room.look_of(item.id).is_dir():
        record = _look(bench, job, settings)
    return {
        "images": [
            {
                "name": one.name, "n": one.n_objects, "verdict": one.verdict, "folder": one.folder,
                "f1": None if "f1" not in one.expected else one.expected["f1"].value,
            }
            for one in record.images
        ],
    }  # fmt: skip


def _weights(bench: Bench) -> Path | None:
    """Weights that were trained in this room, by the name of their run."""
    run = bench.what.get("weights")
    if not run:
        return None
    from epistem.app.web.train import weights_of

    path: Path = weights_of(bench.room, str(run))
    return path


def _look(bench: Bench, job: Job, settings: Settings) -> Any:
    room, item = bench.room, bench.room.item(str(bench.item))
    looker = settings.looker()
    remembered, again = _remembering(looker, bench.limits.megapixels)
    n = 0

    def show(analysis: Analysis) -> None:
        nonlocal n
        everything = remembered(analysis.micrograph) if remembered else analysis.found
        write_looks(room.look_of(item.id, n), analysis, everything, settings, again)
        n += 1

    bench.told("Looking for objects")
    return run_job(job, settings, room.results, bench.told, find=again(None), each=show)


Again = Callable[[float | None], Watched | Unwatched]


def _remembering(looker: Watched | Unwatched, megapixels: float) -> tuple[Remembered | None, Again]:
    """What keeps every candidate, and the detector as it is with another threshold, looking at them."""
    if isinstance(looker, Watched):
        kept = Remembered(looker.detector, megapixels)
        watched = replace(looker, detector=kept)
        return kept, lambda least: watched if least is None else replace(watched, least=least)
    own = least_score(looker.detector)
    if own is None:
        return None, lambda least: looker
    kept = Remembered(replace(looker.detector, min_score=min(LEAST_CANDIDATE, own)), megapixels)  # type: ignore[type-var]

    def above(least: float | None) -> Unwatched:
        limit = own if least is None else least
        return replace(looker, detector=lambda m: (found := kept(m))[np.flatnonzero(found.score >= limit)])

    return kept, above


def write_looks(folder: Path, analysis: Analysis, everything: Instances, settings: Settings, again: Again) -> None:
    """What the page shows of one image: picture, outlines of every candidate, and a row for every threshold.

    Args:
        folder: to write to.
        analysis: at the threshold of the settings.
        everything: all candidates.
        settings: of the analysis.
        again: the detector with another threshold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    micrograph, scale = analysis.micrograph, analysis.micrograph.calibration
    with written_whole(folder / "picture.png") as part:
        part.write_bytes(plain_png(micrograph))
    found = objects_json(measure(everything, micrograph), micrograph)
    write_text(folder / "objects.json", json.dumps(found, ensure_ascii=False))
    least = _least(analysis)
    own = threshold_row(analysis, least)
    told: dict[str, Any] = {
        "name": micrograph.name, "own": own, "warnings": list(micrograph.warnings),
        "context": {name: str(value) for name, value in micrograph.context.known().items()},
        "calibration": None if scale is None else {
            "row_nm": scale.row_nm, "col_nm": scale.col_nm, "source": scale.source, "detail": scale.detail,
        },
    }  # fmt: skip
    # The person sees this threshold while the others are tried.
    write_text(folder / "thresholds.json", json.dumps({**told, "rows": [own]}, ensure_ascii=False))
    others = () if least is None else (score for score in _grid(again(None)) if score != least)
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


def _check_size(micrograph: Micrograph, megapixels: float) -> None:
    if micrograph.pixels.size > megapixels * 1e6:
        rows, cols = micrograph.shape
        raise ReadError(
            f"{micrograph.name} has {rows:,} × {cols:,} pixels; this page takes {megapixels:g} million. Crop or bin "
            "it, or use the command line: epistem analyze"
        )
