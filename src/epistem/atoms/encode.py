"""Context in numbers: what a network is told of composition, beam, detectors and scan; unknown is marked, never 0.

Elements are described by their electron shells and by what they scatter, not by a name, so an element that was never
trained on still means something.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.context import AtomContext, expected_heights
from epistem.atoms.crystals import ATOMIC_NUMBERS, ROLES, pair_name
from epistem.atoms.dataset import ELEMENTS
from epistem.atoms.kernels import Bank
from epistem.atoms.multislice import Beam

Floats = NDArray[np.float32]

DETECTORS = 2
GLOBALS = ("beam", "probe", "pixel", "dose", "detector 1", "detector 2")
_SHELLS = ["1s", "2s", "2p", "3s", "3p", "4s", "3d", "4p", "5s", "4d", "5p", "6s", "4f", "5d"]
_ROOM = {"s": 2, "p": 6, "d": 10, "f": 14}
# Ground states that do not fill their shells in Madelung's order (NIST Atomic Spectra Database).
_EXCEPTIONS = {
    "Cr": {"4s": 1, "3d": 5}, "Cu": {"4s": 1, "3d": 10}, "Nb": {"5s": 1, "4d": 4}, "Mo": {"5s": 1, "4d": 5},
    "Ru": {"5s": 1, "4d": 7}, "Rh": {"5s": 1, "4d": 8},
}  # fmt: skip
# Covalent radii [Å]: Cordero et al., Dalton Trans. 2008, 2832 (low spin for Mn, Fe, Co).
_RADII_A = {
    "S": 1.05, "Ti": 1.60, "V": 1.53, "Cr": 1.39, "Mn": 1.39, "Fe": 1.32, "Co": 1.26, "Ni": 1.24, "Cu": 1.32,
    "Se": 1.20, "Zr": 1.75, "Nb": 1.64, "Mo": 1.54, "Ru": 1.46, "Rh": 1.42, "Te": 1.38, "Hf": 1.75, "Ta": 1.70,
    "W": 1.62, "Re": 1.51,
}  # fmt: skip
_PERIODS = {"S": (3, 16), "Se": (4, 16), "Te": (5, 16)} | {
    name: (4, 4 + at) for at, name in enumerate(("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu"))
} | {"Zr": (5, 4), "Nb": (5, 5), "Mo": (5, 6), "Ru": (5, 8), "Rh": (5, 9)} | {
    name: (6, 4 + at) for at, name in enumerate(("Hf", "Ta", "W", "Re"))
}  # fmt: skip

CHALCOGENS = np.isin(ELEMENTS, ("S", "Se", "Te"))
_STATIC = len(_SHELLS) + 4
ELEMENT_FEATURES = _STATIC + 2 + 3 + 3 * DETECTORS
GLOBAL_FEATURES = 4


class Encoded(NamedTuple):
    """A context as arrays.

    Attributes:
        elements: (20, 29): electron shells, Z, period, group, radius; Z^1.7 and Z^1.4 relative to the host's metal;
            what it is here (metal, chalcogen, candidate); for each detector the signal of one atom and of a pair
            relative to the host's brighter column, and whether that is known. What is not known is 0.
        present: (20,) bool: elements that are known to be possible; none where the composition is unknown.
        globals: (6, 4) beam, probe, pixel, dose and two detectors.
        known: (6,) bool.
        detectors: (2,) bool: which are there.
        allowed: (6, 20) bool: elements that a role can have.
    """

    elements: Floats
    present: NDArray[np.bool_]
    globals: Floats
    known: NDArray[np.bool_]
    detectors: NDArray[np.bool_]
    allowed: NDArray[np.bool_]


def encode(context: AtomContext, bank: Bank) -> Encoded:
    """The context as a network reads it.

    Raises:
        SettingsError: a beam or detector outside the bank.
    """
    context.check(bank)
    elements = np.zeros((len(ELEMENTS), ELEMENT_FEATURES), np.float32)
    elements[:, :_STATIC] = static_features()
    flags = _possible(context)
    if context.crystal is not None:
        own = ATOMIC_NUMBERS[context.crystal.metal]
        z = np.array([ATOMIC_NUMBERS[name] for name in ELEMENTS])
        elements[:, _STATIC : _STATIC + 2] = np.stack([(z / own) ** 1.7, (z / own) ** 1.4], axis=1)
        elements[:, _STATIC + 2 : _STATIC + 5] = flags.T
        for slot in range(len(context.rings)):
            elements[:, _STATIC + 5 + 3 * slot : _STATIC + 8 + 3 * slot] = _signals(context, slot, bank)
    values, known = _globals(context)
    present: NDArray[np.bool_] = np.asarray(flags.any(axis=0))
    there = np.arange(DETECTORS) < len(context.rings)
    return Encoded(elements, present, values, known, there, allowed(context))


def allowed(context: AtomContext) -> NDArray[np.bool_]:
    """(6, 20) which elements can have each role, as far as the composition is known."""
    metal, chalcogen, dopant = _possible(context)
    if context.crystal is None:
        metal, chalcogen, dopant = np.isin(ELEMENTS, ("Mo", "W")), CHALCOGENS, ~CHALCOGENS
    by_role = {"M": metal, "V_M": metal, "D_M": dopant, "X2": chalcogen, "V_X": chalcogen, "V_X2": chalcogen}
    return np.stack([by_role[role] for role in ROLES])


def _possible(context: AtomContext) -> NDArray[np.bool_]:
    """(3, 20): the host's metal, its chalcogen, and the candidates."""
    host = context.crystal
    if host is None:
        return np.zeros((3, len(ELEMENTS)), bool)
    return np.stack([np.isin(ELEMENTS, names) for names in ((host.metal,), (host.chalcogen,), context.candidates)])


def _signals(context: AtomContext, slot: int, bank: Bank) -> Floats:
    """(20, 3) signal of one atom and of a pair on a detector, and 1; zeros where they cannot be known."""
    out = np.zeros((len(ELEMENTS), 3), np.float32)
    beam, ring, host = context.beam, context.rings[slot], context.crystal
    if beam is None or ring is None or host is None:
        return out
    heights = expected_heights(host, beam, ring, bank)
    out[:, 0] = [heights[name] for name in ELEMENTS]
    out[ELEMENTS.index(host.chalcogen), 1] = heights[pair_name(host)]
    out[:, 2] = 1
    return out


def _globals(context: AtomContext) -> tuple[Floats, NDArray[np.bool_]]:
    values = np.zeros((len(GLOBALS), GLOBAL_FEATURES), np.float32)
    if context.keV is not None:
        values[0, :3] = (Beam(context.keV).wavelength_A * 20, _beta_squared(context.keV), np.log10(context.keV) - 2)
    if context.semiangle_mrad is not None:
        values[1, 0] = context.semiangle_mrad / 30
    if context.pixel_A is not None:
        values[2, 0] = context.pixel_A / 0.3
    if context.dose_e_per_A2 is not None:
        values[3, 0] = np.log10(context.dose_e_per_A2) - 4
    for slot, ring in enumerate(context.rings):
        if ring is not None:
            solid = np.log10((ring.outer_mrad**2 - ring.inner_mrad**2) / 1e4)
            values[4 + slot] = (ring.inner_mrad / 100, ring.outer_mrad / 200, solid, context.rings_estimated)
    rings = [*(ring is not None for ring in context.rings), False][:DETECTORS]
    known = [context.keV, context.semiangle_mrad, context.pixel_A, context.dose_e_per_A2]
    return values, np.array([*(value is not None for value in known), *rings])


def _beta_squared(keV: float) -> float:
    """(v/c)² of the electron."""
    return 1 - 1 / (1 + keV / 510.99895) ** 2


@cache
def static_features() -> Floats:
    """(20, 18) electron shells as filled shares, Z/100, period/7, group/18, covalent radius [Å]."""
    rows = []
    for name in ELEMENTS:
        period, group = _PERIODS[name]
        rows.append([*_shells(name), ATOMIC_NUMBERS[name] / 100, period / 7, group / 18, _RADII_A[name]])
    return np.array(rows, np.float32)


def _shells(name: str) -> list[float]:
    """Filled share of every sub-shell of the atom's ground state."""
    left, filled = ATOMIC_NUMBERS[name], {}
    for shell in _SHELLS:
        filled[shell] = min(left, _ROOM[shell[1]])
        left -= filled[shell]
    filled |= _EXCEPTIONS.get(name, {})
    return [filled[shell] / _ROOM[shell[1]] for shell in _SHELLS]
