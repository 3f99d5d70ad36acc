"""What is known beside the image: composition, beam, detectors, and how the field was scanned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epistem.atoms.crystals import Host, check_dopants, host_of, pair_name
from epistem.atoms.kernels import SEMIANGLES_MRAD, Bank, Ring, check_ring
from epistem.atoms.multislice import Beam
from epistem.core import SettingsError

NEUTRAL_SEMIANGLE_MRAD = 30.0


@dataclass(frozen=True)
class AtomContext:
    """What the classifier is told; None is unknown, and it then knows that it does not know.

    Attributes:
        host: name of the crystal, "WSe2".
        dopants: metals that may stand on metal sites; empty: there is none; None: any.
        keV: beam energy.
        semiangle_mrad: convergence semi-angle.
        rings: angles of each detector, in the order of the images.
        rings_estimated: the angles were inferred from contrast or are rough, and so are signals computed from them.
        pixel_A: distance of two pixels.
        dose_e_per_A2: electrons on a square ångström.

    Raises:
        UnknownName: a host or dopant that was not simulated.
        SettingsError: values that contradict each other or lie outside what was simulated.
    """

    host: str | None = None
    dopants: tuple[str, ...] | None = None
    keV: float | None = None
    semiangle_mrad: float | None = None
    rings: tuple[Ring | None, ...] = (None,)
    rings_estimated: bool = False
    pixel_A: float | None = None
    dose_e_per_A2: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.rings) <= 2:
            raise SettingsError(f"one detector or two; got {len(self.rings)}")
        if self.host is None and self.dopants is not None:
            raise SettingsError(f"dopants {', '.join(self.dopants)} without a host; name the host as well")
        if self.crystal is not None and self.dopants is not None:
            object.__setattr__(self, "dopants", check_dopants(self.crystal, self.dopants))
        for name in ("pixel_A", "dose_e_per_A2", "keV", "semiangle_mrad"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} is a positive number, not {value!r}")
        for ring in self.rings:
            if ring is not None:
                check_ring(ring, Beam(self.keV or 80.0, self._semiangle_mrad))

    @property
    def crystal(self) -> Host | None:
        """The host, if it is known."""
        return None if self.host is None else host_of(self.host)

    @property
    def beam(self) -> Beam | None:
        """The beam, if its energy is known; without a semi-angle, of the usual one."""
        return None if self.keV is None else Beam(self.keV, self._semiangle_mrad)

    @property
    def _semiangle_mrad(self) -> float:
        """The known one, else the usual one, or as much of it as the detectors leave dark."""
        if self.semiangle_mrad is not None:
            return self.semiangle_mrad
        inner = min((ring.inner_mrad for ring in self.rings if ring is not None), default=NEUTRAL_SEMIANGLE_MRAD + 2)
        return float(np.clip(inner - 2, SEMIANGLES_MRAD[0], NEUTRAL_SEMIANGLE_MRAD))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Dopants that are possible, as far as known."""
        if self.crystal is None:
            return ()
        return self.crystal.dopants if self.dopants is None else self.dopants

    def without(self, *names: str) -> AtomContext:
        """The same, knowing less.

        Args:
            names: of `VARIABLES`.
        """
        known = replace(self)
        for name in names:
            known = _FORGET[name](known)
        return known

    def check(self, bank: Bank) -> AtomContext:
        """The same, if the bank holds the beam.

        Raises:
            SettingsError: it does not.
        """
        if self.beam is not None:
            bank.check_beam(self.beam)
        return self


_FORGET = {
    "composition": lambda known: replace(known, host=None, dopants=None),
    "dopants": lambda known: replace(known, dopants=None),
    "beam": lambda known: replace(known, keV=None),
    "probe": lambda known: replace(known, semiangle_mrad=None),
    "detectors": lambda known: replace(known, rings=(None,) * len(known.rings)),
    "pixel size": lambda known: replace(known, pixel_A=None),
    "dose": lambda known: replace(known, dose_e_per_A2=None),
}
VARIABLES = tuple(_FORGET)
"""What can be known or not."""


def expected_heights(host: Host, beam: Beam, ring: Ring, bank: Bank) -> dict[str, float]:
    """Signal of every column relative to the brighter of the host's two, integrated over its image.

    Source: the sum of a column's image is its cross-section into the detector, whatever the probe.
    """
    weights = bank.weight(beam, ring)
    bright = max(weights[host.metal], weights[pair_name(host)])
    return {name: weight / bright for name, weight in weights.items()}
