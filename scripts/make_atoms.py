"""Train the classifier that `epistem atoms` ships, and what it is compared with, all on the same simulated fields.

python scripts/make_atoms.py ALL [--steps 1500]                     train all; run again to go on
python scripts/make_atoms.py ONE --from ALL --steps 3200            train the one that ships on, alone
python scripts/make_atoms.py TWO --from ONE --steps 3000 --seed 2   and on, as often as it helps
python scripts/make_atoms.py TWO --ship                             calibrate and write weights and card
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from epistem.app.card import write_card
from epistem.atoms.calibrate import calibrated
from epistem.atoms.context import AtomContext
from epistem.atoms.dataset import Setting, Spec
from epistem.atoms.kernels import shipped_bank
from epistem.atoms.learn import build, training_sample
from epistem.nets.context import Together
from epistem.nets.train import Schedule, Step, fit
from epistem.nets.weights import SHIPPED

ENERGIES_KEV = (60.0, 80.0, 100.0, 200.0)
DETECTORS = (((40, 90), (85, 250)), ((55, 120), (70, 200)), ((36, 85), (88, 140)))
COMPARED = Spec(
    seed=1,
    settings=tuple(Setting(keV=keV, detectors=pair) for keV in ENERGIES_KEV for pair in DETECTORS),
    per_field=(1, 4),
    detector_spread_mrad=10,
    dose_e_per_A2=(1e3, 2e6),
    doubtful=0.4,
    signal_error=0.2,
)
# What ships went on where columns differ more than their electrons make them, and dopants more from their simulation.
SPEC = COMPARED.model_copy(update={"scatter": (0.0, 0.06), "signal_error": 0.3})
HELD_DOPANTS = ("V", "Rh", "Ta")
HELD_HOST = "WSe2"
HELD_KEV = 80.0


def shows_dopant(context: AtomContext) -> bool:
    return bool(set(context.dopants or ()) & set(HELD_DOPANTS))


def shows_host(context: AtomContext) -> bool:
    return context.host == HELD_HOST


def shows_setting(context: AtomContext) -> bool:
    return context.keV == HELD_KEV


HELD = (shows_dopant, shows_host, shows_setting)
MEMBERS = {
    "attention": "attention", "image-only": "image-only", "concat": "concat", "film": "film", "cnn-film": "cnn-film",
    "no-dopant": "attention", "no-host": "attention", "no-setting": "attention",
}  # fmt: skip
HOLDS = {"no-dopant": 0, "no-host": 1, "no-setting": 2}


def together() -> Together:
    return Together({name: build(kind) for name, kind in MEMBERS.items()}, HOLDS)


def told(step: Step) -> None:
    print(
        step.number,
        {name: round(value, 4) for name, value in step.losses.items()},
        f"{step.seconds:.2f} s",
        flush=True,
    )


def alone(folder: Path, began: Path, steps: int, workers: int, spec: Spec, seed: int) -> None:
    """The attention network trained on from an earlier run: comparisons are of the first, what ships is the last."""
    kept = torch.load(began / "checkpoint.pt", weights_only=True)
    prefix = "members.attention."
    network = build()
    network.load_state_dict({name.removeprefix(prefix): value for name, value in kept["mean"].items()
                             if name.startswith(prefix) or not name.startswith("members.")})  # fmt: skip
    schedule = Schedule(steps=steps, batch=8, learning_rate=1.5e-3, seed=seed)
    past = began / "before.json"
    before = json.loads(past.read_text("utf-8")) if past.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "before.json").write_text(json.dumps([*before, {"steps": kept["step"]}]), "utf-8")
    fit(network, training_sample(spec, shipped_bank()), schedule, folder, workers=workers, save_every=50, told=told)


def ship(folder: Path) -> None:
    """Calibrate the attention network of a run, and put weights and card into the package."""
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)
    network = build()
    network.load_state_dict(kept["mean"])
    model = calibrated(network, SPEC, shipped_bank(), fields=300)
    curves = [json.loads(line) for line in (folder / "curves.jsonl").read_text("utf-8").splitlines()]
    seconds = sum(
        line["seconds"] * (line["step"] - before["step"])
        for before, line in zip([{"step": 0}, *curves], curves, strict=False)
    )
    card = {
        "about": "The context-attention classifier of atomic columns in dichalcogenide monolayers, trained on "
        "simulated fields alone: no real image, no real label. The bank of columns that the fields are made of was "
        "simulated with abTEM (scripts/make_columns.py). Not blind to the real wse2_ti fields: docs/decisions/0012.",
        "licences": {"initial_weights": "none: random, from the seed", "weights": "GPL-3.0-or-later, as epistem"},
        "seed": SPEC.seed,
        "steps": kept["step"],
        "fields_a_step": kept["schedule"]["batch"],
        "training_seconds": round(seconds),
        "before": " and ".join(str(run["steps"]) for run in json.loads((folder / "before.json").read_text("utf-8")))
        + " steps of 8 fields in earlier runs, the first beside seven other networks, without scatter of the columns",
        "hardware": "two CPU cores shared with other work",
        "parameters": sum(value.numel() for value in model.network.parameters()),
        "scores": model.card["calibration"],
        "fields": SPEC.model_dump(mode="json"),
    }  # fmt: skip
    weights = model.save(SHIPPED / "atoms-context.safetensors", card)
    made = write_card(weights, card)
    made.replace(SHIPPED / "atoms-context.md")
    print(f"{weights.path}: {weights.path.stat().st_size / 1e3:.0f} kB, {weights.hash}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--from", dest="began", type=Path, help="go on alone with the attention network of this run")
    parser.add_argument("--plain", action="store_true", help="on the fields of the comparison")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ship", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.ship:
        ship(asked.folder)
        return
    if asked.began:
        alone(asked.folder, asked.began, asked.steps, asked.workers, COMPARED if asked.plain else SPEC, asked.seed)
        return
    make = training_sample(COMPARED, shipped_bank(), pixels=True, held=HELD)
    schedule = Schedule(steps=asked.steps, batch=8, learning_rate=2e-3, clip=20.0, half=True)
    fit(together(), make, schedule, asked.folder, workers=asked.workers, save_every=50, told=told)


if __name__ == "__main__":
    main()
