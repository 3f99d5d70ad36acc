"""One small cell by multislice beside the fast renderer, for whoever wants to see the approximation hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from epistem.atoms import multislice
from epistem.atoms.crystals import Host, pair_name, supercell
from epistem.atoms.dataset import Setting
from epistem.atoms.kernels import Bank, render

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

_STEP_A = 0.5
_FINE_A = 0.1


class Compared(NamedTuple):
    """Images of one cell, (detectors, H, W) as share of the beam.

    Attributes:
        multislice, renderer: the two.
        pixel_A: distance of two pixels; along y it is within 3 % of this.
        seconds: of each.
    """

    multislice: Images
    renderer: Images
    pixel_A: float
    seconds: tuple[float, float]

    def record(self) -> dict[str, Any]:
        """Correlation, and the largest difference as a share of the contrast, of each detector."""
        r = [
            float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
            for a, b in zip(self.multislice, self.renderer, strict=True)
        ]
        far = [float(np.abs(a - b).max() / np.ptp(a)) for a, b in zip(self.multislice, self.renderer, strict=True)]
        return {
            "r": r, "largest_difference": far, "multislice_s": self.seconds[0], "renderer_s": self.seconds[1],
            "pixel_A": self.pixel_A,
        }  # fmt: skip


def compare(host: Host, dopants: Sequence[str], setting: Setting, bank: Bank, *, phonons: int = 2) -> Compared:
    """The cell with one atom of each dopant and one missing chalcogen, both ways, without noise and aberrations.

    Raises:
        DependencyMissing: without the extra `atoms`.
        SettingsError: a beam or detector outside the bank.
    """
    spectra = [bank.spectra(setting.beam, ring) for ring in setting.rings]
    atoms = supercell(host)
    soft = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == host.chalcogen)
    del atoms[int(soft[10])]
    metals = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == host.metal)
    for at, dopant in zip(metals[1::3], dopants, strict=False):
        atoms.symbols[int(at)] = dopant
    wide, high, _ = (float(length) for length in np.diag(atoms.cell))
    shape = round(high / _STEP_A), round(wide / _STEP_A)
    began = time.perf_counter()
    theirs = multislice.scan_image(atoms, setting.beam, setting.detectors, shape=shape, phonons=phonons)
    between = time.perf_counter()
    xy, names = _columns(atoms, host)
    fine = render(xy, names, spectra, (int(high / _FINE_A) + 4, int(wide / _FINE_A) + 4), _FINE_A)
    rows, cols = shape
    steps = np.arange(rows) * high / rows / _FINE_A, np.arange(cols) * wide / cols / _FINE_A
    places = np.meshgrid(*steps, indexing="ij")
    ours = np.stack([map_coordinates(image.astype(float), places, order=5, mode="nearest") for image in fine])
    seconds = between - began, time.perf_counter() - between
    return Compared(theirs.astype(np.float32), ours.astype(np.float32), wide / cols, seconds)


def _columns(atoms: Any, host: Host) -> tuple[Floats, NDArray[np.str_]]:
    """Where columns stand, with those of the neighbouring cells, and their names in the bank."""
    found: dict[tuple[float, ...], list[str]] = {}
    for symbol, place in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        found.setdefault(tuple(np.round(place[:2], 4).tolist()), []).append(symbol)
    xy = np.array(list(found))
    names = [pair_name(host) if len(symbols) == 2 else symbols[0] for symbols in found.values()]
    steps = [np.array([i, j]) * np.diag(atoms.cell)[:2] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return np.concatenate([xy + step for step in steps]), np.tile(names, 9)
