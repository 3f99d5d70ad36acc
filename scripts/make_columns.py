"""Make the bank of column profiles that `epistem atoms` ships: every column under every beam, by multislice.

python scripts/make_columns.py FOLDER [--workers N]     simulate; finished columns are kept, run again to go on
python scripts/make_columns.py FOLDER --pack            put what is there into src/epistem/atoms/shipped
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from epistem.atoms.kernels import Bank
from epistem.atoms.multislice import Beam, column_profile, columns
from epistem.core.cluster import spread

BEAMS = [Beam(keV) for keV in (60.0, 80.0, 100.0, 200.0)]
SHIPPED = Path(__file__).parent.parent / "src/epistem/atoms/shipped/columns.npz"


def place_of(folder: Path, beam: Beam, name: str) -> Path:
    return folder / f"{beam.keV:g}keV_{beam.semiangle_mrad:g}mrad" / f"{name}.npy"


def simulate(job: tuple[Path, Beam, str]) -> float:
    """Simulate one column, written whole or not at all; the seconds it took."""
    folder, beam, name = job
    started = time.perf_counter()
    target = place_of(folder, beam, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("wb") as file:
        np.save(file, column_profile(name, beam))
    draft.replace(target)
    return time.perf_counter() - started


def pack(folder: Path) -> None:
    """All columns in one file of the package."""
    rings = [[np.load(place_of(folder, beam, name)) for name in columns()] for beam in BEAMS]
    SHIPPED.parent.mkdir(parents=True, exist_ok=True)
    Bank(BEAMS, list(columns()), np.array(rings)).save(SHIPPED)
    print(f"{SHIPPED}: {SHIPPED.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pack", action="store_true")
    asked = parser.parse_args()
    jobs = [(asked.folder, beam, name) for beam in BEAMS for name in columns()]
    if asked.pack:
        pack(asked.folder)
        return
    left = [job for job in jobs if not place_of(*job).exists()]
    print(f"{len(left)} of {len(jobs)} columns to simulate, about 5 s and under 1 GB each (pairs 9 times that)")
    for done, (job, seconds) in enumerate(spread(simulate, left, workers=asked.workers), 1):
        said = "its worker died; run again" if seconds is None else f"{seconds:.1f} s"
        print(f"{done}/{len(left)} {job[1].keV:g} keV {job[2]}: {said}", flush=True)


if __name__ == "__main__":
    main()
