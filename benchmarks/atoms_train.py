"""How long the classifier learns from a million simulated patches on two cores, simulation included."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.record import record
from epistem.atoms.kernels import shipped_bank
from epistem.atoms.learn import build, training_sample
from epistem.nets.context import Columns, ContextClassifier
from epistem.nets.train import Schedule, fit
from scripts.make_atoms import SPEC

COMMAND = "python -m benchmarks.atoms_train"
FIELDS = 8


class Counting(ContextClassifier):
    """The classifier, counting what it learns from."""

    patches = 0

    def losses(self, fields: Sequence[Columns]) -> dict[str, torch.Tensor]:
        """As the classifier's."""
        self.patches += sum(len(one.role) for one in fields)
        return super().losses(fields)


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--steps", type=int, default=150, help="of 8 fields each")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    network = build()
    network.__class__ = Counting
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make = training_sample(SPEC, shipped_bank())
        fit(network, make, Schedule(asked.steps, FIELDS), Path(folder), workers=2)
        seconds = time.perf_counter() - start
    patches = int(network.patches)
    minutes = seconds / 60 * 1e6 / patches
    print(f"{patches} patches in {seconds:.0f} s")
    if not asked.dry:
        record(
            "atoms.train_million_minutes", minutes, target="< 60", command=COMMAND,
            data=f"{patches} patches of {asked.steps * FIELDS} simulated fields in {seconds:.0f} s, scaled to a "
            "million; two processes simulate, one learns, two cores",
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
