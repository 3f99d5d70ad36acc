"""A forecast fitted on the images that a person corrected: `epistem forecast fit FOUND TRUTH --images …`."""

from __future__ import annotations

from contextlib import chdir
from typing import Any

from epistem.app.store import RESULT, FileRecord, folder_of
from epistem.app.web.detect import settings_of
from epistem.app.web.edits import instances_of
from epistem.app.web.jobs import Bench
from epistem.app.web.rooms import Room, read_json
from epistem.app.web.runs import FORECAST, IMAGES, LABELS, Right, right_images, run_folder, write_labelled
from epistem.core import SettingsError
from epistem.detect import weights_hash
from epistem.report.export import write_coco
from epistem.trust.forecast import LEAST_CASES

FOUND = "found.coco.json"


def run(bench: Bench) -> dict[str, Any]:
    """A forecast for the detector with the weights asked for.

    Returns:
        As `epistem forecast fit … --json`, without paths, and the weights it is for.

    Raises:
        SettingsError: too few images are right, or too few of them were searched with these weights.
    """
    from epistem.app.as_json import named_values
    from epistem.app.forecast import fit
    from epistem.app.forecast_io import Origin, read_cases
    from epistem.app.forecast_table import fit_notes, fit_record

    room = Room(bench.room.folder.absolute())
    folder = run_folder(room, str(bench.what["run"]))
    with chdir(room.folder):
        settings = settings_of({"weights": bench.what.get("weights")}, None, room)
        weights = weights_hash(settings.finder())
    chosen = [one for one in right_images(room) if _searched_with(room, one) == weights]
    if len(chosen) < LEAST_CASES:
        raise SettingsError(
            f"a forecast is fitted on {LEAST_CASES} corrected images or more, {len(chosen)} that are marked as right "
            "were searched with these weights; correct more, or analyse those that are right with these weights"
        )
    named = write_labelled(room, folder, chosen)
    write_coco(folder / FOUND, [(name, _candidates(room, one)) for name, one in named.items()])
    cases = read_cases(
        folder / FOUND, folder / LABELS, folder / IMAGES, origin=Origin(settings.detector, weights),
        told=lambda k, n: bench.told(f"Reading image {k} of {n}", k / n / 2),
    )  # fmt: skip
    fitted = fit(
        cases, folder / FORECAST, source="corrected by hand",
        step=lambda k, n: bench.told(f"Fitting {k} of {n}", 0.5 + k / n / 2),
    )  # fmt: skip
    told: dict[str, Any] = named_values(fit_record(fitted, FORECAST) | {"notes": fit_notes(fitted)})
    return {"run": folder.name, "weights": bench.what.get("weights"), "images": len(chosen), **told}


def _searched_with(room: Room, one: Right) -> str | None:
    """Hash of the weights that found the candidates of an image."""
    record = read_json(folder_of(room.results, one.item.name) / RESULT)
    if record is None:
        return None
    return FileRecord.model_validate(record).images[one.slice].weights


def _candidates(room: Room, one: Right) -> Any:
    """Everything that was nearly found, with its score: what a forecast reads."""
    told = read_json(room.look_of(one.item.id, one.slice) / "objects.json")
    return instances_of(told["objects"], told["shape"])
