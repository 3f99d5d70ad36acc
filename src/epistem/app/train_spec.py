"""A detector from a spec: fields, training, calibration, scores, weights; each part goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from epistem.app.card import initial_weights, plot_curves, scores_of, write_card
from epistem.core import Instances, Micrograph, RecordError, SettingsError, TrainingError
from epistem.detect import DETECTORS
from epistem.detect.calibrate import (
    ASKED,
    Judged,
    LabelledField,
    choose,
    collect,
    pooled_at,
    saved_field,
)
from epistem.nets import runs
from epistem.nets.augment import FromFields
from epistem.nets.backgrounds import load_backgrounds
from epistem.nets.engine import load_dense
from epistem.nets.restore import export_onnx, keep
from epistem.nets.spec import DetectorSpec
from epistem.nets.stars import Reading
from epistem.nets.train import CURVES, Step, device_or_best, read_curves
from epistem.nets.weights import Weights
from epistem.synth.fields import Recipe, make_fields


class Told(Protocol):
    """Who is told how far it is."""

    def part(self, what: str, done: int, of: int) -> None: ...
    def step(self, step: Step, of: int) -> None: ...
    def say(self, text: str) -> None: ...


class Silent:
    """Where nobody is told."""

    def part(self, what: str, done: int, of: int) -> None: ...
    def step(self, step: Step, of: int) -> None: ...
    def say(self, text: str) -> None: ...


def train_from_spec(
    spec: DetectorSpec, out: Path, *, told: Told, device: str | None = None, workers: int = 1
) -> Weights:
    """The detector that a spec describes, as a weights file with its card; goes on where a run before was stopped.

    Args:
        spec: what is trained, on what, how.
        out: folder of everything: fields, checkpoint, curves, weights, card.
        told: is told how far it is.
        device: "cpu", "cuda", "cuda:1"…; a GPU where there is one if None.
        workers: processes that make fields, and samples; 0 makes them in this one.

    Raises:
        TrainingError: it cannot go on; what was reached is kept.
        RecordError: the weights cannot be written.
    """
    device = device_or_best(device)
    with runs.claimed(out, {"spec": spec.as_dict()}):
        return _trained(spec, out, told, device, workers)


def _trained(spec: DetectorSpec, out: Path, told: Told, device: str, workers: int) -> Weights:
    fields = _Fields(spec, out, workers, told)
    told_of = partial(told.step, of=spec.schedule.steps)
    network: Any = runs.new_network(spec)
    network = runs.learn(
        network, fields.to_learn(), spec.schedule, out, device=device, workers=workers, told=told_of
    )  # fmt: skip
    held_out = (fields.labelled("calibration", name) for name in spec.calibration)
    min_score, scores = _calibrate(out, spec.network, network, chain.from_iterable(held_out), device)
    tests = {}
    with as_detector(out, spec.network, network, min_score, device) as detector:
        for name in spec.tests:
            judged = collect(detector, fields.labelled("tests", name))
            tests[name] = scores_of(pooled_at(judged, min_score))
    return write_weights(
        out, spec.network, network, min_score, card=_card(spec, out, device, scores, tests), told=told
    )


class _Fields:
    """The simulated fields of a spec, made when they are asked for."""

    def __init__(self, spec: DetectorSpec, out: Path, workers: int, told: Told) -> None:
        self.spec, self.out, self.workers, self.told = spec, out, workers, told

    def to_learn(self) -> FromFields:
        """Samples of the fields of all recipes."""
        return FromFields(
            [path for name in self.spec.fields for path in self._paths("fields", name)], self.spec.augment
        )

    def labelled(self, where: str, name: str) -> Iterator[LabelledField]:
        """Fields with what is asked for in them, one after the other."""
        severities = {severity for _, severity, weight in getattr(self.spec, where)[name].shares if weight}
        rule = ASKED[severities.pop() if len(severities) == 1 else "any"]
        paths = self._paths(where, name)
        for done, path in enumerate(paths, 1):
            yield saved_field(path, rule)
            self.told.part(f"Scoring {where} {name}", done, len(paths))

    def _paths(self, where: str, name: str) -> list[Path]:
        """Files of one recipe; those that are there are kept."""
        recipes: Mapping[str, Recipe] = getattr(self.spec, where)
        recipe = recipes[name]
        folder = self.out / where / f"{list(recipes).index(name):02d}"
        for part in folder.glob("*.part"):  # of a run that was killed
            part.unlink(missing_ok=True)
        missing = len(list(folder.glob("*.npz"))) < recipe.number
        try:
            return make_fields(
                folder, recipe, self._backgrounds if missing and recipe.on_backgrounds else (), workers=self.workers,
                told=lambda done, of: self.told.part(f"Simulating {where} {name}", done, of),
            )  # fmt: skip
        except BrokenProcessPool as error:
            raise TrainingError(
                "a process that makes fields died, most often for want of memory; run again with --workers 0, "
                "it goes on"
            ) from error
        except OSError as error:
            why = error.strerror or error
            raise TrainingError(
                f"a field could not be written to {folder}: {why}; make room and run the same again, it goes on"
            ) from error

    @cached_property
    def _backgrounds(self) -> Sequence[Any]:
        assert self.spec.backgrounds is not None
        return load_backgrounds(self.spec.backgrounds)


def _calibrate(
    out: Path, name: str, network: Any, fields: Iterator[LabelledField], device: str
) -> tuple[float, dict[str, Any]]:
    """Threshold, and scores on the fields it was chosen on; the network's scores are calibrated."""
    network.settings = replace(network.settings, scale=1.0, shift=0.0)
    with as_detector(out, name, network, 0.0, device) as detector:
        judged = collect(detector, fields)
    try:
        return _choose(network, judged)
    except SettingsError as error:
        raise TrainingError(
            f"the trained network cannot be calibrated, no weights were written: {error}; for more schedule.steps "
            "choose another --out"
        ) from error


def _choose(network: Any, judged: Judged) -> tuple[float, dict[str, Any]]:
    choice = choose(judged)
    network.settings = replace(network.settings, scale=choice.scale, shift=choice.shift)
    return choice.min_score, {**scores_of(choice.pooled), "calibration_error": choice.calibration_error}


@contextmanager
def as_detector(
    out: Path, name: str, network: Any, min_score: float, device: str
) -> Iterator[Callable[[Micrograph], Instances]]:
    """The network as a person would run it: from a file, in half precision. The file goes afterwards."""
    path = keep(out / "candidate.safetensors", network, name=name, min_score=min_score, card={}).path
    load_dense.cache_clear()  # it knows files by name, and this name is used again
    try:
        yield DETECTORS[name](weights=str(path), min_score=min_score, device=device)
    finally:
        load_dense.cache_clear()
        path.unlink(missing_ok=True)


def write_weights(
    out: Path, name: str, network: Any, min_score: float, *, card: Mapping[str, Any], told: Told
) -> Weights:
    """Weights, ONNX, card.md and curves.png; the weights come whole or not at all.

    Raises:
        RecordError: they cannot be written.
    """
    path = out / f"{name}.safetensors"
    path.with_suffix(".onnx").unlink(missing_ok=True)  # never an old one beside new weights
    weights = keep(path, network, name=name, min_score=min_score, card=card)
    load_dense.cache_clear()
    if isinstance(network.settings, Reading):
        try:
            export_onnx(weights)
        except ImportError as error:
            told.say(f"No ONNX file was written: {error}. pip install onnx, and run the same again.")
        except OSError as error:
            raise RecordError(f"{weights.onnx} could not be written: {error}; make room and run again") from error
    write_card(weights, card)
    plot_curves(read_curves(out / CURVES), out / "curves.png")
    return weights


def _card(
    spec: DetectorSpec, out: Path, device: str, scores: Mapping[str, Any], tests: Mapping[str, Any]
) -> dict[str, Any]:
    used = spec.backgrounds
    number = sum(recipe.number for recipe in spec.fields.values())
    plain = spec.as_dict()
    recorded = any(recipe.on_backgrounds for recipe in spec.fields.values())
    learned = "TEM fields with simulated cavities, some on recorded cavity-free fields," if recorded else (
        "simulated TEM fields"
    )  # fmt: skip
    return {
        "about": f"{spec.network}, trained on {number} {learned} and on no labelled image. The "
        "threshold was chosen on the calibration fields" + ("; nothing was chosen on the others." if tests else "."),
        "seed": spec.schedule.seed,
        "training_seconds": round(runs.seconds_spent(out), 1),
        "calibration_error": scores.get("calibration_error"),
        "scores": {"calibration fields": {k: v for k, v in scores.items() if k != "calibration_error"}, **tests},
        "data": {
            **{where: {name: dict(one) for name, one in plain[where].items()} for where in ("fields", "calibration")},
            "backgrounds": [one.name for one in used.files] if used else [],
        },
        "schedule": plain["schedule"],
        "augment": plain["augment"],
        "hardware": runs.hardware(device),
        "licences": {
            "initial_weights": initial_weights(spec.settings),
            "backgrounds": used.licence if used else "none used",
        },
        "versions": runs.versions(),
    }
