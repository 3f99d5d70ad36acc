"""The reference: what a STEM detector records of columns and of whole monolayers, by multislice (abTEM).

Atoms stand on points of the potential's grid. abTEM spreads an atom between grid points over its neighbours, and at
the 0.05 Å that the detectors ask for W half a point off scatters 13 % more beyond 85 mrad than W on a point, which is
right to 1 % already (docs/experiments.md).

abTEM is an optional extra and slow to load; nothing here is imported before an image is asked for.

Here x runs to the right and y down, as in `crystals`; abTEM's scans come as [x, y] and are turned to rows and columns
in one place, `scan_image`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.crystals import (
    ATOMIC_NUMBERS,
    CHALCOGEN_VIBRATION_A,
    HOSTS,
    METAL_VIBRATION_A,
    Host,
    pair_name,
)  # fmt: skip
from epistem.core.errors import DependencyMissing

Floats = NDArray[np.float64]

BIN_MRAD = 5.0
OUTER_MRAD = 270.0
_CELL_A = 18.0
RADII_A = np.linspace(0.0, 7.0, 57)


class Beam(NamedTuple):
    """How the specimen is lit.

    Attributes:
        keV: beam energy.
        semiangle_mrad: convergence semi-angle of a probe without aberrations.
    """

    keV: float
    semiangle_mrad: float = 30.0

    @property
    def wavelength_A(self) -> float:
        """Relativistic wavelength [Å], h/√(2·m·E·(1 + E/2mc²))."""
        volts = self.keV * 1e3
        return float(12.2642596 / np.sqrt(volts * (1 + 0.978475598e-6 * volts)))

    @property
    def sampling_A(self) -> float:
        """Coarsest potential that clips no detector: λ/(3·θ) for the largest angle θ, with a little to spare [Å]."""
        return self.wavelength_A / (3 * (OUTER_MRAD + 5) * 1e-3)


def columns() -> dict[str, Host | None]:
    """Every column of the bank: single atoms, and pairs of chalcogens with the host whose thickness they have."""
    singles: dict[str, Host | None] = dict.fromkeys(sorted(ATOMIC_NUMBERS, key=ATOMIC_NUMBERS.__getitem__))
    return singles | {pair_name(host): host for host in HOSTS.values()}


def column_profile(name: str, beam: Beam) -> NDArray[np.float32]:
    """What each ring of the detector records over one isolated column, by distance of the probe.

    The lens has no aberrations, the atoms stand still but for the distance between the two of a pair: lateral
    vibration of a whole column is a convolution and left to `kernels`. One line of probes is enough because the
    average is round.

    Args:
        name: of a column, as in `columns()`.

    Returns:
        Shape (57, 54): share of the beam at RADII_A, in rings of 5 mrad from 0, without what vacuum puts there.

    Raises:
        DependencyMissing: without the extra `atoms`.
    """
    host = columns()[name]
    if host is None:
        total = _rings(beam, [name], [(0.0, 0.0)], [1.0])
    else:
        total = np.zeros((len(RADII_A), round(OUTER_MRAD / BIN_MRAD)))
        for (dx, dy), weight in _half_distances(_CELL_A / _column_gpts(beam)):
            ends = [(dx, dy), (-dx, -dy)]
            total += weight * _rings(beam, [host.chalcogen] * 2, ends, [host.thickness_A, 1.0])
    # Far off in the corner the lightest atom scatters nothing to speak of, and abTEM wants one.
    empty = _rings(beam, ["H"], [(-_CELL_A / 2, -_CELL_A / 2)], [1.0], radii_A=RADII_A[:1])
    return (total - empty).astype(np.float32)


def scan_image(
    atoms: Any, beam: Beam, detectors: Sequence[tuple[float, float]], *, shape: tuple[int, int], phonons: int = 0,
    seed: int = 0, aberrations: dict[str, float] | None = None, prism: bool = False,
) -> Floats:  # fmt: skip
    """Images of a whole cell by multislice, the lens focused on its middle.

    Args:
        atoms: an orthogonal `ase.Atoms` whose atoms stand on 24ths of it, as `crystals.supercell` makes them: the
            grid is divided so that they stand on its points.
        detectors: inner and outer angle of each ring [mrad].
        shape: probes along rows and columns.
        phonons: configurations of vibrating atoms that are averaged; 0 lets them stand still.
        aberrations: coefficients as abTEM names them, [Å] and [rad].
        prism: by the scattering matrix, which is faster for many probes.

    Returns:
        (detectors, rows, columns): share of the beam.

    Raises:
        DependencyMissing: without the extra `atoms`.
    """
    wide, high, depth = (float(length) for length in np.diag(atoms.cell))
    gpts = (_divided(wide, beam, 24), _divided(high, beam, 24))
    step = np.array([wide / gpts[0], high / gpts[1]])
    rng = np.random.default_rng(seed)
    with _abtem() as abtem:
        scan = abtem.GridScan(start=(0, 0), end=(wide, high), gpts=shape[::-1], endpoint=False)
        rings = [abtem.AnnularDetector(inner, outer) for inner, outer in detectors]
        lens = {"defocus": depth / 2} | (aberrations or {})
        images = []
        for _ in range(max(1, phonons)):
            moved = _moved(atoms, step, rng) if phonons else atoms
            potential = _potential(abtem, moved, gpts, [depth / 3] * 3)
            if prism:
                source = abtem.SMatrix(
                    energy=beam.keV * 1e3, semiangle_cutoff=beam.semiangle_mrad, potential=potential, downsample=False
                )
                found = source.scan(scan=scan, ctf=abtem.CTF(**lens), detectors=rings, lazy=False)
            else:
                probe = abtem.Probe(energy=beam.keV * 1e3, semiangle_cutoff=beam.semiangle_mrad, **lens)
                probe.grid.match(potential)
                found = probe.scan(potential, scan=scan, detectors=rings, lazy=False)
            images.append([np.asarray(one.array, float).T for one in (found if isinstance(found, list) else [found])])
    return np.asarray(np.mean(images, axis=0))


def _divided(length_A: float, beam: Beam, parts: int) -> int:
    """Points along a length, no coarser than the beam asks for and a multiple of these parts."""
    return parts * int(np.ceil(length_A / beam.sampling_A / parts))


def _moved(atoms: Any, step_A: Floats, rng: np.random.Generator) -> Any:
    """The atoms as they vibrate, moved to the next grid points: it widens the motion by step²/12 only."""
    soft = np.isin(atoms.get_chemical_symbols(), ("S", "Se", "Te"))
    width = np.where(soft, CHALCOGEN_VIBRATION_A, METAL_VIBRATION_A)[:, None]
    moved = atoms.copy()
    moved.positions[:, :2] += np.round(width * rng.standard_normal((len(atoms), 2)) / step_A) * step_A
    moved.wrap()
    return moved


def _rings(
    beam: Beam, symbols: Sequence[str], places_A: Sequence[tuple[float, float]], slices_A: Sequence[float],
    *, radii_A: Floats = RADII_A,
) -> Floats:  # fmt: skip
    """(radii, 54) share of the beam in rings of 5 mrad, over one atom in each slice, focused on the middle."""
    with _abtem() as abtem:
        import ase

        middle = _CELL_A / 2
        tops = np.cumsum([0.0, *slices_A])
        atoms = ase.Atoms(
            list(symbols),
            [(middle + x, middle + y, top + 0.5) for (x, y), top in zip(places_A, tops, strict=False)],
            cell=(_CELL_A, _CELL_A, tops[-1]),
        )
        gpts = _column_gpts(beam)
        potential = _potential(abtem, atoms, (gpts, gpts), slices_A)
        probe = abtem.Probe(energy=beam.keV * 1e3, semiangle_cutoff=beam.semiangle_mrad, defocus=tops[-2] / 2)
        probe.grid.match(potential)
        places = np.stack([middle + radii_A, np.full(len(radii_A), middle)], axis=1)
        detector = abtem.FlexibleAnnularDetector(step_size=BIN_MRAD, inner=0)
        rings = probe.scan(potential, scan=abtem.CustomScan(places), detectors=detector, lazy=False)
    return np.asarray(rings.array, float).reshape(len(radii_A), -1)[:, : round(OUTER_MRAD / BIN_MRAD)]


def _half_distances(step_A: float) -> Iterator[tuple[tuple[float, float], float]]:
    """Half the displacement of one chalcogen of a pair from the other [Å], on grid points, with weights.

    Of two independent Gaussian displacements of width σ, half the difference is Gaussian of width σ/√2. Summed over
    the grid, or every second point of a fine one; the mirrors leave a quadrant.
    """
    step = step_A * max(1, round(0.05 / step_A))
    width = CHALCOGEN_VIBRATION_A / np.sqrt(2)
    reach = int(np.ceil(2.8 * width / step))
    points = [(i, j) for i in range(reach + 1) for j in range(reach + 1) if np.hypot(i, j) * step <= 2.8 * width]
    weights = np.array([
        (1 + (i > 0)) * (1 + (j > 0)) * np.exp(-(i * i + j * j) * step**2 / (2 * width**2)) for i, j in points
    ])  # fmt: skip
    for (i, j), weight in zip(points, weights / weights.sum(), strict=True):
        yield (i * step, j * step), float(weight)


def _column_gpts(beam: Beam) -> int:
    """Points along the cell of a column, even: the column stands on the middle one."""
    return 2 * int(np.ceil(_CELL_A / beam.sampling_A / 2))


def _potential(abtem: Any, atoms: Any, gpts: tuple[int, int], slices_A: Sequence[float]) -> Any:
    return abtem.Potential(
        atoms, gpts=gpts, slice_thickness=tuple(slices_A), parametrization="lobato", projection="infinite"
    )


@contextmanager
def _abtem() -> Iterator[Any]:
    """abTEM, quiet, on one thread of its own making."""
    try:
        import abtem
    except ImportError as error:
        raise DependencyMissing('multislice needs abTEM; pip install "epistem[atoms]"') from error
    with (
        warnings.catch_warnings(),
        abtem.config.set({"diagnostics.progress_bar": False, "diagnostics.task_progress": False}),
    ):
        warnings.simplefilter("ignore")
        yield abtem
