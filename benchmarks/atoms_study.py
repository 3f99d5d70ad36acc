"""The classifier on simulated columns: accuracy and entropy by dose, with and without context, and what was held out.

    python -m benchmarks.atoms_study FOLDER [--dry] [--share 1]

FOLDER is the first run of `scripts/make_atoms.py`: networks trained on the same fields; beside them the shipped one.
The
fields tested on have another seed; the 576 cases are six hosts, sixteen dopants, three beams and two detectors.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.record import ROOT, record
from epistem.atoms.calibrate import calibrated
from epistem.atoms.context import VARIABLES, AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Described, Patches, stream
from epistem.atoms.encode import allowed, encode
from epistem.atoms.evaluate import (
    DOSES,
    answers,
    bound,
    drawn_cases,
    summary,
    trial_patches,
    trial_spec,
    wrong_context,
)
from epistem.atoms.kernels import Bank, shipped_bank
from epistem.atoms.learn import columns_of
from epistem.atoms.model import AtomModel
from epistem.report.document import plain
from scripts.make_atoms import COMPARED, HELD_DOPANTS, HELD_HOST, HELD_KEV, together

COMMAND = "python -m benchmarks.atoms_study FOLDER"
DETAIL = ROOT / "src/epistem/atoms/shipped/study.json"
NOTHING = lambda context: context.without(*VARIABLES)  # noqa: E731


def members(folder: Path, bank: Bank) -> dict[str, AtomModel]:
    """The shipped classifier, and every network of the run, as the mean of its weights."""
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)
    network = together()
    network.load_state_dict(kept["mean"])
    print(f"step {kept['step']} of {kept['schedule']['steps']}")
    found = {"attention": AtomModel.load()}
    for name, member in network.members.items():
        # Each with temperatures of its own: entropies of networks that doubt too much or too little do not compare.
        found["attention, equal steps" if name == "attention" else name] = calibrated(
            member, COMPARED, bank, fields=80
        )
    return found


class Boosted:
    """Gradient boosting on moments, scalars and the whole context side by side, roles only."""

    def __init__(self, bank: Bank, fields: int = 600) -> None:
        rows, labels = [], []
        for found in stream(COMPARED.model_copy(update={"seed": 11}), bank, range(fields)):
            for slots in ((0, 1), (0,), (1,)):
                context = _with_slots(found, slots)
                rows.append(self._rows(Described(*(part[:, list(slots)] for part in found.described)), context, bank))
                labels.append(found.role)
        x, y = np.concatenate(rows), np.concatenate(labels)
        self.rows = len(y)
        self.trees = HistGradientBoostingClassifier(max_iter=300, learning_rate=0.1, random_state=0).fit(x, y)

    @staticmethod
    def _rows(seen: Described, context: AtomContext, bank: Bank) -> np.ndarray[Any, Any]:
        known = encode(context, bank)
        columns = columns_of(seen, known)
        share = known.elements[known.present]
        pooled = np.concatenate([share.min(0), share.max(0)]) if len(share) else np.zeros(2 * known.elements.shape[1])
        wide = np.concatenate([pooled, known.globals.ravel(), known.detectors])
        flat = [columns.moments.flatten(1).numpy(), columns.scalars.flatten(1).numpy()]
        return np.concatenate([*flat, np.broadcast_to(wide, (len(seen.moments), len(wide)))], axis=1).astype(
            np.float32
        )

    def posterior(self, seen: Described, context: AtomContext, bank: Bank) -> tuple[Any, Any, Any]:
        role = self.trees.predict_proba(self._rows(seen, context, bank))
        within = allowed(context)
        joint = role[:, :, None] * within / np.maximum(within.sum(1, keepdims=True), 1)
        return role, joint, np.zeros((len(role), 0))


def _with_slots(found: Patches, slots: tuple[int, ...]) -> AtomContext:
    from dataclasses import replace

    return replace(found.context, rings=tuple(found.context.rings[slot] for slot in slots))


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--share", type=int, default=1, help="one in n cases, drawn")
    asked = parser.parse_args(words)
    torch.set_num_threads(2)
    bank = shipped_bank()
    models = members(asked.folder, bank)
    wanted = drawn_cases(trial_spec(1e5), asked.share)
    out: dict[str, Any] = {"cases": 2 * len(wanted), "dose": {}}
    fields = {}
    for dose in DOSES:
        fields[dose] = list(trial_patches(trial_spec(dose), bank, wanted))
        out["dose"][f"{dose:g}"] = at_dose(models, fields[dose], dose, bank, wanted)
        print(
            dose,
            json.dumps(
                {
                    k: v["accuracy"]
                    for k, v in out["dose"][f"{dose:g}"].items()
                    if isinstance(v, dict) and "accuracy" in v
                }
            ),
        )
    out["gain"] = gains(models["attention"], fields[1e5], bank)
    out["held"] = held(models, fields[1e5], bank)
    out["wrong"] = asdict(summary(answers(models["attention"], fields[1e5], bank, told=wrong_context)))
    out["natural"] = natural(models["attention"], bank, wanted)
    boosted = Boosted(bank)
    out["boosted"] = {f"{dose:g}": asdict(summary(answers(boosted, fields[dose], bank))) for dose in (1e4, 1e5)}
    out["boosted"]["rows"] = boosted.rows
    print(json.dumps({k: out[k] for k in ("gain", "held", "wrong", "natural", "boosted")}, indent=1))
    if not asked.dry:
        write(out)
    return 0


def at_dose(
    models: dict[str, AtomModel], fields: list[Patches], dose: float, bank: Bank, wanted: Any
) -> dict[str, Any]:
    """All that is told of one dose."""
    full = answers(models["attention"], fields, bank)
    rows = {
        "attention": full,
        "both detectors": answers(models["attention"], fields, bank, slots=((0, 1),)),
        "context masked": answers(models["attention"], fields, bank, told=NOTHING),
        "image-only": answers(models["image-only"], fields, bank, told=NOTHING),
        "attention, equal steps": answers(models["attention, equal steps"], fields, bank),
        "concat": answers(models["concat"], fields, bank),
        "film": answers(models["film"], fields, bank),
    }
    out: dict[str, Any] = {name: asdict(summary(one)) for name, one in rows.items()}
    out["far dopants"] = asdict(summary(full.where(full.dopant_distance >= 4)))
    out["by distance"] = {int(d): _dopant_accuracy(full, int(d)) for d in np.unique(full.dopant_distance)}
    n, right, by = bound(trial_spec(dose), bank, drawn_cases(trial_spec(dose), 6))
    out["bound"] = {
        "n": n,
        "accuracy": right / n,
        "by distance": {int(d): good / m for d, (m, good) in sorted(by.items())},
    }
    return out


def _dopant_accuracy(full: Any, distance: int) -> dict[str, float]:
    """Recall of dopants of this distance, and how many host metals beside them are called dopants."""
    here = full.where(full.dopant_distance == distance)
    said = here.posterior.argmax(axis=1)
    dopant, metal = here.role == ROLES.index("D_M"), here.role == ROLES.index("M")
    return {
        "n": int(dopant.sum()),
        "recall": float((said[dopant] == ROLES.index("D_M")).mean()),
        "false": float((said[metal] == ROLES.index("D_M")).mean()),
    }


def gains(model: AtomModel, fields: list[Patches], bank: Bank) -> dict[str, Any]:
    """Entropy that each variable takes away: what it rises by if only that one is unknown [bit]."""
    full = summary(answers(model, fields, bank))
    out: dict[str, Any] = {"all known": full.entropy_bits}
    for name in VARIABLES:
        out[name] = summary(
            answers(model, fields, bank, told=lambda context, name=name: context.without(name))
        ).entropy_bits
    out["nothing known"] = summary(answers(model, fields, bank, told=NOTHING)).entropy_bits
    return out


def held(models: dict[str, AtomModel], fields: list[Patches], bank: Bank) -> dict[str, Any]:
    """Accuracy on what a network never saw, beside that of the one which saw it."""
    shows = {
        "no-dopant": lambda c: bool(set(c.dopants or ()) & set(HELD_DOPANTS)),
        "no-host": lambda c: c.host == HELD_HOST,
        "no-setting": lambda c: c.keV == HELD_KEV,
    }
    out = {}
    for name, shown in shows.items():
        here = [one for one in fields if shown(one.context)]
        if here:
            out[name] = {
                "held out": asdict(summary(answers(models[name], here, bank))),
                "seen": asdict(summary(answers(models["attention, equal steps"], here, bank))),
            }
    return out


def natural(model: AtomModel, bank: Bank, wanted: Any) -> dict[str, Any]:
    """Every column of fields with rare defects, with the prior of balanced training and the field's own shares."""
    from epistem.atoms.classify import estimated_shares, with_shares
    from epistem.stats.multiclass import accuracy, confusion_matrix, macro_f1

    spec = trial_spec(1e5, patches="natural", defects=(0.002, 0.02))
    tables = {"balanced prior": np.zeros((6, 6), np.int64), "estimated shares": np.zeros((6, 6), np.int64)}
    for found in trial_patches(spec, bank, drawn_cases(spec, 4)):
        role, joint, _ = model.posterior(found.described, found.context, bank)
        shares = estimated_shares(role, model.trained_shares)
        adjusted, _ = with_shares(role, joint, shares, model.trained_shares)
        for name, one in (("balanced prior", role), ("estimated shares", adjusted)):
            tables[name] += confusion_matrix(found.role, one.argmax(axis=1), classes=6)
    return {name: {"accuracy": accuracy(t), "macro_f1": macro_f1(t), "n": int(t.sum())} for name, t in tables.items()}


def write(out: dict[str, Any]) -> None:
    """The table for the docs, and the numbers that were asked for."""
    DETAIL.write_text(json.dumps(plain(out), indent=1) + "\n", "utf-8")
    data = f"simulated, {out['cases']} of 576 cases, roles balanced, one detector at a time"
    high, low = out["dose"]["100000"], out["dose"]["10000"]
    known, masked = (high[name]["entropy_bits"] for name in ("attention", "context masked"))
    of_role, equal, alone = (
        high[name]["role_entropy_bits"] for name in ("attention", "attention, equal steps", "image-only")
    )
    at, lied = f"{data}, 1e5 e/Å²", f"{data}, 1e5 e/Å², told host, dopant, energy and detector wrongly"
    both = f"{at}, role and element (told host and dopant, the element is known), same network with nothing known"
    rows: list[tuple[str, float, str, str]] = [
        ("sim_accuracy", high["attention"]["accuracy"], ">= 0.98", f"{at}, all dopants; the lattice is known"),
        ("sim_accuracy_far_1e4", low["far dopants"]["accuracy"], ">= 0.98", f"{data}, |ΔZ| >= 4, 1e4 e/Å²"),
        ("entropy_reduction", 1 - known / masked, ">= 0.94", both),
        ("entropy_reduction_role", 1 - of_role / high["context masked"]["role_entropy_bits"], ">= 0.94",
         f"{at}, role alone, same network with nothing known"),
        ("entropy_reduction_image_only", 1 - equal / alone, ">= 0.94",
         f"{at}, role alone, network trained without context against attention of equal steps"),
        ("entropy_bits", known, "reported", f"{at}, with context"),
        ("entropy_bits_masked", masked, "reported", f"{at}, same network, nothing known"),
        ("role_entropy_bits", of_role, "reported", f"{at}, with context"),
        ("role_entropy_bits_image_only", alone, "reported", f"{at}, network trained without context"),
        ("nll_bits", high["attention"]["nll_bits"], "falls with the entropy", at),
        ("nll_bits_masked", high["context masked"]["nll_bits"], "reported", f"{at}, same network, nothing known"),
        ("role_nll_bits", high["attention"]["role_nll_bits"], "reported", at),
        ("role_nll_bits_image_only", high["image-only"]["role_nll_bits"], "reported", at),
        ("wrong_context_entropy_bits", out["wrong"]["entropy_bits"], "not below entropy_bits", lied),
        ("wrong_context_accuracy", out["wrong"]["accuracy"], "falls", lied),
    ]  # fmt: skip
    for dose, found in out["dose"].items():
        rows.append(
            (
                f"sim_accuracy_{float(dose):.0e}".replace("+0", ""),
                found["attention"]["accuracy"],
                "reported",
                f"{data}, {float(dose):g} e/Å²",
            )
        )
        rows.append(
            (
                f"bound_{float(dose):.0e}".replace("+0", ""),
                found["bound"]["accuracy"],
                "reported",
                "48 of the 288 pairs of cases, drawn; an observer who knows all but the column",
            )
        )
    for name, found in out["held"].items():
        rows.append(
            (
                f"{name.replace('-', '_')}_accuracy",
                found["held out"]["accuracy"],
                "reported",
                f"{data}; seen in training: {found['seen']['accuracy']:.3f}",
            )
        )
    for name, value, target, about in rows:
        record(f"atoms.{name}", float(value), target=target, command=COMMAND, data=about)


if __name__ == "__main__":
    sys.exit(main())
