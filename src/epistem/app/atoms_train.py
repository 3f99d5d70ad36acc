"""`epistem atoms train`: a classifier from a specification, calibrated, with its card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistem import __version__
from epistem.app.atoms_use import bank_hash
from epistem.app.card import plot_curves, write_card
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Spec
from epistem.atoms.kernels import shipped_bank
from epistem.core import RecordError
from epistem.core.files import write_text

if TYPE_CHECKING:
    from epistem.nets.context import Kind
    from epistem.nets.train import Schedule, Step
    from epistem.nets.weights import Weights

CALIBRATION_SEED = 1_000_003
WEIGHTS = "classifier.safetensors"


def train_classifier(
    spec: Spec, out: Path, schedule: Schedule, *, kind: Kind, workers: int, device: str, fields: int = 100,
    told: Callable[[Step], None], calibrating: Callable[[int, int], None],
) -> Weights:  # fmt: skip
    """Train, calibrate on fields of another seed, and write weights, card and curves; a run goes on where it was.

    Raises:
        RecordError: the folder holds another run, or cannot be written.
        TrainingError: as `nets.train.fit`.
    """
    from epistem.atoms.calibrate import calibrated
    from epistem.atoms.learn import train

    _same_run(spec, kind, out)
    bank = shipped_bank()
    network = train(spec, bank, schedule, out, kind=kind, workers=workers, device=device, told=told)
    seed = CALIBRATION_SEED + (spec.seed == CALIBRATION_SEED)
    model = calibrated(network, spec, bank, fields=fields, seed=seed, told=calibrating)
    weights = model.save(out / WEIGHTS, card_of(spec, schedule, kind, model.card))
    write_card(weights, weights.card)
    curves = [json.loads(line) for line in (out / "curves.jsonl").read_text("utf-8").splitlines()]
    plot_curves(
        [{name: value for name, value in line.items() if value is not None} for line in curves], out / "curves.png"
    )
    return weights


def card_of(spec: Spec, schedule: Schedule, kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """What stands in a classifier's card."""
    return {
        "about": "Role and element of atomic columns in annular dark-field images of doped 1H dichalcogenide "
        "monolayers, trained on simulated fields only.",
        "kind": kind, "roles": list(ROLES), "steps": schedule.steps, "fields_a_step": schedule.batch,
        "learning_rate": schedule.learning_rate, "seed": schedule.seed, "epistem": __version__, "bank": bank_hash(),
        "specification": json.loads(spec.model_dump_json()), **found,
    }  # fmt: skip


def _same_run(spec: Spec, kind: str, out: Path) -> None:
    """What the folder's run learns from is this, or becomes it."""
    file, mine = out / "spec.json", {"kind": kind, "spec": json.loads(spec.model_dump_json())}
    if file.is_file():
        try:
            held = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{file} cannot be read ({error}); choose another --out") from error
        if held != mine:
            raise RecordError(f"{out} holds a run of another specification or kind; choose another --out")
        return
    write_text(file, json.dumps(mine, indent=1) + "\n")
