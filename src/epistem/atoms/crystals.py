"""Monolayer dichalcogenides seen from above: hosts, dopants, defects, and where every column stands.

A 1H monolayer is a honeycomb. Metal columns M stand on one of its triangular sub-lattices, columns of two chalcogens
X2 on the other; the hollow centres are empty:

    M at (0, 0)     X2 at (a₁ + a₂)/3     hollow at 2(a₁ + a₂)/3
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import SettingsError, UnknownName
from epistem.core.errors import DependencyMissing

Floats = NDArray[np.float64]

ROLES = ("M", "X2", "D_M", "V_X", "V_X2", "V_M")
"""What a column is: host metal, chalcogen pair, dopant on a metal site, and a missing X, X2 or M."""
METAL_ROLES = ("M", "D_M", "V_M")

# One value for metals and one for chalcogens: those of the frozen-phonon WSe2 images that the detector angles of real
# fields were estimated with. No refinement for each host was found; classically the displacement does not depend on
# the mass. `benchmarks/atoms_render.py` measures what 30 % more of it change.
METAL_VIBRATION_A = 0.065
CHALCOGEN_VIBRATION_A = 0.075

ATOMIC_NUMBERS = {
    "S": 16, "Ti": 22, "V": 23, "Cr": 24, "Mn": 25, "Fe": 26, "Co": 27, "Ni": 28, "Cu": 29, "Se": 34, "Zr": 40,
    "Nb": 41, "Mo": 42, "Ru": 44, "Rh": 45, "Te": 52, "Hf": 72, "Ta": 73, "W": 74, "Re": 75,
}  # fmt: skip
_COMMON_DOPANTS = ("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zr", "Nb", "Ru", "Rh", "Hf", "Ta", "Re")


class Host(NamedTuple):
    """A 1H monolayer MX2.

    Attributes:
        metal, chalcogen: symbols.
        a_A: lattice constant [Å].
        thickness_A: distance between the two chalcogen planes [Å].
    """

    metal: str
    chalcogen: str
    a_A: float
    thickness_A: float

    @property
    def name(self) -> str:
        """As a chemist writes it, without subscripts."""
        return f"{self.metal}{self.chalcogen}2"

    @property
    def dopants(self) -> tuple[str, ...]:
        """The 16 metals that stand in for the host's."""
        return (*_COMMON_DOPANTS, "Mo" if self.metal == "W" else "W")


# Lattice constants and thicknesses: those of the released simulations of doped dichalcogenides
# (github jiadongdan/random-defect-model @ b058e89).
HOSTS = {
    host.name: host
    for host in (
        Host("Mo", "S", 3.19, 3.128),
        Host("Mo", "Se", 3.32, 3.310),
        Host("Mo", "Te", 3.57, 3.579),
        Host("W", "S", 3.18, 3.120),
        Host("W", "Se", 3.32, 3.324),
        Host("W", "Te", 3.56, 3.578),
    )
}
MATERIALS = tuple((host.name, dopant) for host in HOSTS.values() for dopant in host.dopants)


def host_of(name: str) -> Host:
    """The host that a person names.

    Raises:
        UnknownName: it is none of the six.

    >>> host_of("WSe2").a_A
    3.32
    """
    if name not in HOSTS:
        raise UnknownName(f"no host is called {name!r}; there is {', '.join(HOSTS)}")
    return HOSTS[name]


def check_dopants(host: Host, dopants: Iterable[str]) -> tuple[str, ...]:
    """The dopants in order of atomic number, each once.

    Raises:
        UnknownName: an element without a simulated column.
        SettingsError: the host's own metal or a chalcogen.
    """
    wanted = sorted(set(dopants), key=lambda name: (ATOMIC_NUMBERS.get(name, 0), name))
    for name in wanted:
        if name == host.metal:
            raise SettingsError(f"{name} is the metal of {host.name} and cannot be its dopant; leave it out")
        if name not in host.dopants:
            raise UnknownName(f"no dopant of {host.name} is called {name!r}; there is {', '.join(host.dopants)}")
    return tuple(wanted)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A piece of a monolayer, column by column.

    Attributes:
        host: its crystal.
        xy_A: (n, 2) where each column's site is, x to the right and y down [Å].
        role: (n,) index into ROLES.
        element: (n,) symbol of the atom that makes the role: the metal, the dopant, the chalcogen; of a missing atom,
            the one that is missing.
        vectors_A: (2, 2) lattice vectors, a row each [Å].
    """

    host: Host
    xy_A: Floats
    role: NDArray[np.int64]
    element: NDArray[np.str_]
    vectors_A: Floats

    def __len__(self) -> int:
        return len(self.role)

    @property
    def column(self) -> NDArray[np.str_]:
        """(n,) name of the column in the bank, "" where nothing is left."""
        x, kinds = self.host.chalcogen, np.asarray(ROLES)[self.role]
        names = np.where(np.isin(kinds, ("M", "D_M")), self.element, "").astype("U10")
        names = np.where(kinds == "X2", pair_name(self.host), names)
        return np.where(kinds == "V_X", x, names)


def pair_name(host: Host) -> str:
    """Name of the column of two chalcogens: it differs between hosts by their thickness.

    >>> pair_name(HOSTS["WSe2"])
    'Se2@WSe2'
    """
    return f"{host.chalcogen}2@{host.name}"


def lattice_vectors(host: Host, *, turned: float = 0.0, strain: Sequence[float] = (0.0, 0.0, 0.0)) -> Floats:
    """Lattice vectors of a turned, strained sheet, (2, 2), a row each [Å].

    Args:
        turned: angle of the first vector from x [rad].
        strain: components xx, yy and xy.
    """
    first = np.array([np.cos(turned), np.sin(turned)])
    second = np.array([np.cos(turned + np.pi / 3), np.sin(turned + np.pi / 3)])
    xx, yy, xy = strain
    stretch = np.array([[1 + xx, xy], [xy, 1 + yy]])
    return np.asarray(host.a_A * np.stack([first, second]) @ stretch)


def sites(
    vectors_A: Floats, size_A: tuple[float, float], *, margin_A: float = 0.0
) -> tuple[Floats, NDArray[np.int64]]:
    """Every site of the honeycomb in a field.

    Args:
        vectors_A: (2, 2) lattice vectors, a row each.
        size_A: width and height of the field.
        margin_A: how far outside it sites are still wanted.

    Returns:
        (n, 2) x and y [Å], and (n,) sub-lattice: 0 metal, 1 chalcogen.
    """
    width, height = size_A
    middle = np.array([width, height]) / 2
    reach = np.hypot(width, height) / 2 + margin_A
    many = int(np.ceil(reach / (np.linalg.norm(vectors_A, axis=1).min() * np.sqrt(3) / 2))) + 2
    index = np.stack(np.meshgrid(np.arange(-many, many + 1), np.arange(-many, many + 1)), axis=-1).reshape(-1, 2)
    metal = index @ vectors_A + middle
    both = np.concatenate([metal, metal + vectors_A.sum(axis=0) / 3])
    kind = np.repeat([0, 1], len(metal))
    low, high = -margin_A, np.array([width, height]) + margin_A
    inside = ((both >= low) & (both < high)).all(axis=1)
    order = np.lexsort(np.round(both[inside], 6).T)
    return both[inside][order], kind[inside][order]


class Shares(NamedTuple):
    """How often each defect stands in for what the host has there, of all sites of its kind, 0 to 1.

    Attributes:
        dopants: symbol → share of the metal sites.
        no_metal: of the metal sites.
        no_chalcogen, no_pair: of the chalcogen sites: one or both missing.
    """

    dopants: dict[str, float]
    no_metal: float = 0.0
    no_chalcogen: float = 0.0
    no_pair: float = 0.0


def make_sheet(
    host: Host, vectors_A: Floats, size_A: tuple[float, float], shares: Shares, rng: np.random.Generator,
    *, margin_A: float = 0.0,
) -> Sheet:  # fmt: skip
    """A sheet with defects put at random sites, independently of each other.

    Raises:
        SettingsError: shares below 0 or that add up to more than 1.
        UnknownName, SettingsError: dopants, as `check_dopants`.
    """
    dopants = check_dopants(host, shares.dopants)
    metal = [*(shares.dopants[name] for name in dopants), shares.no_metal]
    chalcogen = [shares.no_chalcogen, shares.no_pair]
    for name, parts in (("metal", metal), ("chalcogen", chalcogen)):
        if min(parts) < 0 or sum(parts) > 1 + 1e-9:
            raise SettingsError(f"shares of the {name} sites are 0 to 1 and at most 1 together; these are {parts}")
    xy, kind = sites(vectors_A, size_A, margin_A=margin_A)
    chance = rng.random(len(xy))
    role = np.where(kind == 0, ROLES.index("M"), ROLES.index("X2"))
    element = np.where(kind == 0, host.metal, host.chalcogen).astype("U2")
    low = 0.0
    for name, share in zip((*dopants, ""), metal, strict=True):
        hit = (kind == 0) & (chance >= low) & (chance < low + share)
        role[hit] = ROLES.index("D_M" if name else "V_M")
        element[hit] = name or host.metal
        low += share
    low = 0.0
    for name, share in zip(("V_X", "V_X2"), chalcogen, strict=True):
        role[(kind == 1) & (chance >= low) & (chance < low + share)] = ROLES.index(name)
        low += share
    return Sheet(host, xy, role, element, vectors_A)


def supercell(host: Host, repeat: tuple[int, int] = (4, 2)) -> Any:
    """An orthogonal cell of the pristine monolayer, for multislice, as `ase.Atoms`.

    Its three planes of atoms stand in the middle of the thirds of its depth: with three slices the wave travels
    between them as far as it must. At other slices the pair of chalcogens interferes wrongly (a fifth of its HAADF
    signal).

    Args:
        repeat: orthogonal cells along x and y; one is a × √3·a.

    Raises:
        DependencyMissing: without the extra `atoms`.
    """
    try:
        import ase
    except ImportError as error:
        raise DependencyMissing('building crystals for multislice needs ase; pip install "epistem[atoms]"') from error
    a, half = host.a_A, host.thickness_A / 2
    high = a * np.sqrt(3)
    cell = [(0, 0), (a / 2, high / 2)]
    positions, symbols = [], []
    for x, y in cell:
        positions += [(x, y, 0), *((x + a / 2, y + high / 6, z) for z in (-half, half))]
        symbols += [host.metal, host.chalcogen, host.chalcogen]
    atoms: Any = ase.Atoms(symbols, positions, cell=(a, high, 3 * half), pbc=(True, True, False))
    atoms.positions[:, 2] += 1.5 * half
    atoms.wrap()
    return atoms.repeat((*repeat, 1))
