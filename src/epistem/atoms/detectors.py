"""Detector angles from the host's own contrast, where nobody wrote them down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from epistem.atoms.crystals import Host, Shares, host_of, lattice_vectors, make_sheet
from epistem.atoms.dataset import Setting, expose_sheet
from epistem.atoms.formation import Formation
from epistem.atoms.kernels import Bank, Ring
from epistem.atoms.multislice import Beam
from epistem.atoms.patches import levels

OUTER_MRAD = (200.0, 160.0, 130.0)
_INNER_MRAD = tuple(np.arange(34.0, 122.0, 4.0).tolist())
_RARER = 0.02  # a smaller outer angle is taken if it fits by more than this better
_FITS = 0.08  # of the logarithm: what a defocus, a tilt and the vibrations leave open
_MEASURABLE = (1e-3, 1e3)
_PIXEL_A, _BLUR_A = 0.4, 0.45


class Angles(NamedTuple):
    """Detectors that would give the contrast which was measured.

    Attributes:
        rings: of every detector; of the outer angle only three values are tried.
        metal: which sub-lattice would then be the metal's, 0 or 1.
        misfit: largest difference between measured and simulated contrast, as a logarithm.
        other_misfit: the same if the other sub-lattice were the metal's.
    """

    rings: tuple[Ring, ...]
    metal: int
    misfit: float
    other_misfit: float

    @property
    def ambiguous(self) -> bool:
        """Whether either sub-lattice could be the metal's, by this contrast alone."""
        return self.misfit < _FITS and self.other_misfit < _FITS


def effective_angles(host: Host, beam: Beam, ratios: Sequence[float], bank: Bank) -> Angles:
    """Inner angles whose simulated contrast comes nearest to the measured one, under the better assignment.

    The contrast of chalcogen to metal falls from low angles to some 90 mrad and rises again: where two angles fit,
    the lower one is taken.

    Args:
        ratios: for every detector, height of sub-lattice 1 over that of sub-lattice 0, as `patches.levels` reads
            them; one that is not positive fits no angle.

    Raises:
        SettingsError: a beam outside the bank.
    """
    bank.check_beam(beam)
    tried = [
        Ring(inner, outer)
        for outer in OUTER_MRAD
        for inner in _INNER_MRAD
        if beam.semiangle_mrad + 2 <= inner < outer - 20
    ]
    expected = np.log(_contrast(host.name, beam, bank, tuple(tried)))
    rarer = _RARER * np.array([OUTER_MRAD.index(ring.outer_mrad) for ring in tried])
    measured = np.log(np.clip(ratios, *_MEASURABLE))
    found = []
    for metal in (0, 1):
        wanted = measured if metal == 0 else -measured
        misfit = np.abs(wanted[:, None] - expected[None])
        best = (misfit + rarer).argmin(axis=1)
        found.append((float(misfit[np.arange(len(best)), best].max()), tuple(tried[at] for at in best)))
    metal = int(found[1][0] < found[0][0])
    return Angles(found[metal][1], metal, found[metal][0], found[1 - metal][0])


@cache
def _contrast(name: str, beam: Beam, bank: Bank, rings: tuple[Ring, ...]) -> tuple[float, ...]:
    """Height of the chalcogen columns over that of the metal's, by detector, on a perfect image."""
    host = host_of(name)
    rng = np.random.default_rng(0)
    vectors = lattice_vectors(host, turned=0.2)
    sheet = make_sheet(host, vectors, (40.0, 40.0), Shares({}), rng, margin_A=9.0)
    found = []
    for ring in rings:
        setting = Setting(keV=beam.keV, semiangle_mrad=beam.semiangle_mrad, detectors=(tuple(ring),))
        field = expose_sheet(sheet, setting, Formation(1e9, _BLUR_A), _PIXEL_A, (100, 100), bank, rng, dopants=())
        inside = field.whole
        host_levels = levels(
            field.counts[0], field.sites_px[inside], field.sublattice[inside], field.hollow_px, field.a_px
        )
        found.append(host_levels.dim if host_levels.bright_is == 0 else 1 / host_levels.dim)
    return tuple(found)
