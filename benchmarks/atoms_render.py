"""The fast renderer against multislice: [atoms.render_r], [atoms.render_difference_r], [atoms.render_speed_ratio],
[atoms.patches_per_s].

    pip install -e '.[atoms]'
    python -m benchmarks.atoms_render [--dry]

One run renders the same supercells by abTEM's multislice and by the bank of columns, pristine and with a dopant and a
missing chalcogen. Every shortcut has its row: atoms that stand still and that vibrate, beam energies, semi-angles
that the bank does not hold, aberrations. Vibrating atoms are moved there and back, so that on average each column
stands on its site: a few configurations of the multislice would else be displaced by more than the renderer errs.
Speed is taken in the same run, on one thread for both sides; the multislice's patches share their probes and its
atoms stand still, which is as cheap as it gets.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from benchmarks.contest import Share, told
from epistem.atoms import multislice
from epistem.atoms.crystals import HOSTS, Host, pair_name, supercell
from epistem.atoms.dataset import Setting, Spec, make_field, patches_of
from epistem.atoms.formation import Lens, relative_transfer
from epistem.atoms.kernels import Bank, Ring, grid_of, render, shipped_bank
from epistem.atoms.multislice import Beam, scan_image
from epistem.core.cluster import spread

Floats = NDArray[np.float64]

RINGS = (Ring(40, 90), Ring(85, 250))
DOPANT, PHONONS, STEP_A, FINE_A = "Ti", 8, 0.7, 0.1
IMAGE_R, DIFFERENCE_R = 0.998, 0.999
SPEED_PIXEL_A, SPEED_FIELDS, STREAM_FIELDS = 0.3, 12, 60
LENSES = (Lens(40.0), Lens(0, 20.0, 0.5), Lens(0, 0, 0, 800.0, 0.3), Lens(30.0, 15.0, 0.5, 600.0, 0.3))


class Pair(NamedTuple):
    """A supercell without and with defects; the missing atom stands last, so both vibrate alike."""

    host: Host
    pristine: Any
    defect: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Probes along rows and columns."""
        wide, high = self.pristine.cell[0, 0], self.pristine.cell[1, 1]
        return round(high / STEP_A), round(wide / STEP_A)


class Row(NamedTuple):
    """How well a shortcut does, the worse of two detectors: r, r of defect minus pristine, and error of the scale."""

    what: str
    image: float
    difference: float
    scale: float

    @property
    def accepted(self) -> bool:
        """Whether both are as good as wanted; an unknown difference does not count."""
        return self.image >= IMAGE_R and not self.difference < DIFFERENCE_R


def pair_of(host: Host) -> Pair:
    """4 × 2 cells, one metal replaced and one chalcogen of another column missing."""
    pristine = supercell(host)
    soft = np.flatnonzero(np.array(pristine.get_chemical_symbols()) == host.chalcogen)
    gone = int(soft[10])
    pristine = pristine[[*(at for at in range(len(pristine)) if at != gone), gone]]
    defect = pristine[:-1]
    metal = np.flatnonzero(np.array(defect.get_chemical_symbols()) == host.metal)
    defect.symbols[metal[9]] = DOPANT
    return Pair(host, pristine, defect)


@cache
def still_bank(keV: float) -> Bank:
    """The shipped bank at one energy, its pairs standing still: what the multislice without phonons has."""
    bank, beam = shipped_bank(), Beam(keV)
    rings = bank._rings[bank.beams.index(beam)].copy()
    corner = [(-multislice._CELL_A / 2, -multislice._CELL_A / 2)]
    empty = multislice._rings(beam, ["H"], corner, [1.0], radii_A=multislice.RADII_A[:1])
    for host in (HOSTS["WSe2"], HOSTS["MoS2"]):
        pair = multislice._rings(beam, [host.chalcogen] * 2, [(0, 0), (0, 0)], [host.thickness_A, 1.0])
        rings[bank.names.index(pair_name(host))] = pair - empty
    return Bank([beam], bank.names, rings[None])


def columns_of(atoms: Any, host: Host) -> tuple[Floats, NDArray[np.str_]]:
    """Where columns stand, with those of the neighbouring cells, and their names in the bank."""
    found: dict[tuple[float, ...], list[str]] = {}
    for symbol, place in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        found.setdefault(tuple(np.round(place[:2], 4)), []).append(symbol)
    xy = np.array(list(found))
    names = [pair_name(host) if len(symbols) == 2 else symbols[0] for symbols in found.values()]
    steps = [np.array([i, j]) * np.diag(atoms.cell)[:2] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return np.concatenate([xy + step for step in steps]), np.tile(names, 9)


def fast(atoms: Any, pair: Pair, beam: Beam, bank: Bank, *, lens: Lens = Lens(), vibration: float = 0.0) -> Floats:
    """(2, H, W) the renderer's image at the probes of the multislice, whose steps along x and y differ a little."""
    wide, high = atoms.cell[0, 0], atoms.cell[1, 1]
    fine = (int(high / FINE_A) + 4, int(wide / FINE_A) + 4)
    xy, names = columns_of(atoms, pair.host)
    spectra = [bank.spectra(beam, ring, vibration=vibration) for ring in RINGS]
    transfer = relative_transfer(lens, beam, grid_of(fine, FINE_A))
    images = render(xy, names, spectra, fine, FINE_A, transfer=transfer)
    rows, cols = pair.shape
    places = np.meshgrid(
        np.arange(rows) * high / rows / FINE_A, np.arange(cols) * wide / cols / FINE_A, indexing="ij"
    )
    return np.stack([map_coordinates(image.astype(float), places, order=5, mode="nearest") for image in images])


def slow(atoms: Any, pair: Pair, beam: Beam, *, lens: Lens = Lens(), vibrating: bool = False) -> Floats:
    """(2, H, W) the multislice's."""
    aberrations = lens.abtem
    # abTEM takes a defocus as -C10; `scan_image` focuses on the middle of the cell.
    aberrations["defocus"] = -aberrations.pop("C10") + atoms.cell[2, 2] / 2
    stand = list(moved_there_and_back(atoms, beam)) if vibrating else [atoms]
    runs = [scan_image(one, beam, RINGS, shape=pair.shape, aberrations=aberrations) for one in stand]
    return np.asarray(np.mean(runs, axis=0), float)


def moved_there_and_back(atoms: Any, beam: Beam) -> Iterator[Any]:
    """Vibrating atoms, each time by the opposite as well; the same for cells that differ in their last atoms only."""
    cell = np.diag(atoms.cell)[:2]
    step = cell / [multislice._divided(float(length), beam, 24) for length in cell]
    for seed in range(PHONONS // 2):
        moved = multislice._moved(atoms, step, np.random.default_rng(seed))
        shift = moved.positions[:, :2] - atoms.positions[:, :2]
        shift -= np.round(shift / cell) * cell
        for sign in (1, -1):
            other = atoms.copy()
            other.positions[:, :2] += sign * shift
            other.wrap()
            yield other


def agreement(what: str, pair: Pair, make: Callable[[Any], Floats], render_it: Callable[[Any], Floats]) -> Row:
    """Both sides of a pristine and a defective cell."""
    theirs, ours = ([side(atoms) for atoms in (pair.pristine, pair.defect)] for side in (make, render_it))
    image = min(_least_r(a, b) for a, b in zip(theirs, ours, strict=True))
    return _said(Row(what, image, _least_r(theirs[1] - theirs[0], ours[1] - ours[0]), _scale(theirs[0], ours[0])))


def _least_r(theirs: Floats, ours: Floats) -> float:
    return min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(theirs, ours, strict=True))


def _scale(theirs: Floats, ours: Floats) -> float:
    return float(np.abs(ours.mean(axis=(1, 2)) / theirs.mean(axis=(1, 2)) - 1).max())


def _said(row: Row) -> Row:
    verdict = "accepted" if row.accepted else "NOT accepted"
    numbers = f"r {row.image:.5f}  difference {row.difference:.5f}  scale {100 * row.scale:4.1f} %"
    print(f"{row.what:54} {numbers}  {verdict}", flush=True)
    return row


def exact_rows() -> list[Row]:
    """The renderer as it is: two hosts, two energies, standing still; and vibrating with the shipped columns."""
    rows = []
    for keV in (80.0, 200.0):
        beam, bank = Beam(keV), still_bank(keV)
        for name in ("WSe2", "MoS2"):
            pair = pair_of(HOSTS[name])
            rows.append(agreement(
                f"{name}, {keV:g} keV, standing still", pair,
                lambda atoms, pair=pair, beam=beam: slow(atoms, pair, beam),
                lambda atoms, pair=pair, beam=beam, bank=bank: fast(atoms, pair, beam, bank),
            ))  # fmt: skip
    beam, pair = Beam(80.0), pair_of(HOSTS["WSe2"])
    rows.append(agreement(
        f"WSe2, 80 keV, {PHONONS} phonon configurations", pair, lambda atoms: slow(atoms, pair, beam, vibrating=True),
        lambda atoms: fast(atoms, pair, beam, shipped_bank(), vibration=1.0),
    ))  # fmt: skip
    return rows


def shortcut_rows() -> tuple[list[Row], list[Row]]:
    """Aberrations as a factor on the perfect lens's image, and semi-angles that were not simulated."""
    pair = pair_of(HOSTS["WSe2"])
    bank = still_bank(80.0)
    lenses, angles = [], []
    for lens in LENSES:
        theirs, ours = (
            slow(pair.defect, pair, Beam(80.0), lens=lens),
            fast(pair.defect, pair, Beam(80.0), bank, lens=lens),
        )
        words = f"{lens.defocus_A:g} Å defocus, {lens.astigmatism_A:g} Å astigmatism, {lens.coma_A:g} Å coma"
        lenses.append(_said(Row(words, _least_r(theirs, ours), np.nan, _scale(theirs, ours))))
    for angle in (25.0, 35.0):
        beam = Beam(80.0, angle)
        theirs, ours = slow(pair.defect, pair, beam), fast(pair.defect, pair, beam, bank)
        words = f"semi-angle {angle:g} mrad from a bank of 30"
        angles.append(_said(Row(words, _least_r(theirs, ours), np.nan, _scale(theirs, ours))))
    return lenses, angles


def vibration_matters() -> str:
    """What 30 % more vibration does to the height of the chalcogens over the metal's, in words."""
    pair, beam, parts = pair_of(HOSTS["WSe2"]), Beam(80.0), []
    xy, names = columns_of(pair.pristine, pair.host)
    height = {
        factor: np.stack([_heights(xy, names, pair, beam, ring, factor) for ring in RINGS]) for factor in (1.0, 1.3)
    }
    for at, ring in enumerate(RINGS):
        change = height[1.3][at] / height[1.0][at] - 1
        parts.append(
            f"{ring.inner_mrad:g}-{ring.outer_mrad:g} mrad Se2/W {height[1.0][at]:.3f} ({100 * change:+.1f} %)"
        )
    return "30 % more lateral vibration: " + ", ".join(parts)


def _heights(xy: Floats, names: NDArray[np.str_], pair: Pair, beam: Beam, ring: Ring, factor: float) -> float:
    """Se2 over W, at the columns' centres."""
    middle = names[: len(names) // 9 * 5]
    at = [int(np.flatnonzero(middle == name)[-1]) for name in (pair_name(pair.host), pair.host.metal)]
    spectra = [shipped_bank().spectra(beam, ring, vibration=factor)]
    soft, hard = (float(render(xy - xy[one], names, spectra, (2, 2), FINE_A)[0, 0, 0]) for one in at)
    return soft / hard


def speed() -> tuple[Share, str]:
    """Patches a second of ours over multislice's, at the same pixel, on one thread; and both in words."""
    pair, beam = pair_of(HOSTS["WSe2"]), Beam(80.0)
    start = time.process_time()
    scan_image(pair.defect, beam, RINGS, shape=pair.shape)
    a_probe = (time.process_time() - start) / np.prod(pair.shape)
    wide, high, _ = np.diag(pair.pristine.cell)
    probes = wide * high / 32 / SPEED_PIXEL_A**2
    theirs = 1 / (a_probe * probes)
    spec = Spec(hosts=("WSe2",), settings=(Setting(keV=80.0, detectors=tuple(map(tuple, RINGS))),),
                pixel_A=(SPEED_PIXEL_A, SPEED_PIXEL_A))  # fmt: skip
    make_field(spec, 0, shipped_bank())
    rates = []
    for number in range(1, SPEED_FIELDS + 1):
        start = time.process_time()
        field = make_field(spec, number, shipped_bank())
        rates.append(field.whole.sum() / (time.process_time() - start))
    ours = np.array(rates)
    words = (
        f"{np.median(ours):.0f} against {theirs:.3g} patches/s (WSe2, 80 keV, two detectors, {SPEED_PIXEL_A:g} Å/px, "
        f"{1e3 * a_probe:.1f} ms a probe, {probes:.0f} probes a column; potential to 275 mrad, no phonons)"
    )
    return Share(*(round(float(one / theirs), 0) for one in (np.median(ours), ours.min(), ours.max()))), words


def described(number: int) -> int:
    """Labelled patches with their features of one field of the default dataset."""
    spec = Spec(patches="natural")
    found = patches_of(make_field(spec, number, shipped_bank()), spec, number)
    assert len(found.role) == len(found.described.moments)
    return len(found.role)


def stream_rate() -> float:
    """Patches a second through features on two processes, once both are warm."""
    warm, start, patches = 6, 0.0, 0
    for done, (_, count) in enumerate(spread(described, range(STREAM_FIELDS + warm), workers=2), 1):
        if done == warm:
            start = time.perf_counter()
        elif done > warm:
            patches += count or 0
    return patches / (time.perf_counter() - start)


def main(dry: bool) -> None:
    """Render, compare, time, record."""
    began = time.perf_counter()
    rows = exact_rows()
    # Eight configurations of vibrating atoms are a noisy reference: they have a number of their own.
    exact, vibrating = (
        [row for row in rows if ("phonon" in row.what) == with_phonons] for with_phonons in (False, True)
    )
    lenses, angles = shortcut_rows()
    vibration = vibration_matters()
    print(vibration)
    command = "python -m benchmarks.atoms_render"
    seen = "4 × 2 cells with a Ti and a missing chalcogen, detectors 40-90 and 85-250 mrad, the worse: "
    for name, value, target, rows in (
        ("atoms.render_r", min(row.image for row in exact), f">= {IMAGE_R}", exact),
        ("atoms.render_r.phonons", min(row.image for row in vibrating), "reported", vibrating),
        ("atoms.render_r.aberrations", min(row.image for row in lenses), f"reported; accepted at {IMAGE_R}", lenses),
        ("atoms.render_r.semiangle", min(row.image for row in angles), f"reported; accepted at {IMAGE_R}", angles),
    ):
        words = seen + "; ".join(f"{row.what} {row.image:.5f}" for row in rows)
        data = f"{words}; {vibration}" if rows is exact else words
        told(name, Share(round(value, 5), None, None), target=target, command=command, data=data, dry=dry)
    told(
        "atoms.render_difference_r", Share(round(min(row.difference for row in exact), 5), None, None),
        target=f">= {DIFFERENCE_R}", command=command, dry=dry,
        data="defect minus pristine, "
        + "; ".join(f"{row.what} {row.difference:.5f}" for row in [*exact, *vibrating]),
    )  # fmt: skip
    ratio, words = speed()
    told("atoms.render_speed_ratio", ratio, target=">= 1000", command=command, dry=dry,
         data=f"{words}; one thread, processor time; low and high: of {SPEED_FIELDS} fields")  # fmt: skip
    rate = stream_rate()
    told("atoms.patches_per_s", Share(round(rate), None, None), target=">= 5000", command=command, dry=dry,
         data=f"{STREAM_FIELDS} fields of 80 Å, every whole patch, 0.1 to 0.45 Å/px, two detectors, 66 moments "
         "each; two processes, by the clock")  # fmt: skip
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main("--dry" in sys.argv[1:])
