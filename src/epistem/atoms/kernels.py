"""The fast renderer: an image of a monolayer as the sum of one column's image at every site.

::

    bank file ──► Bank.spectra(beam, detector)  ──► render(sheet) ──► (detectors, H, W), share of the beam
    K(r) by ring       K̂(k) of every column          Σ K̂·Σ exp(−2πi k·r), and back

A scanned image without noise holds no spatial frequency above 2α/λ, so the sum is exact in Fourier space for columns
at any place between pixels, and source size, vibration and the lens are factors there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.interpolate import CubicSpline
from scipy.special import j0

from epistem.atoms.crystals import CHALCOGEN_VIBRATION_A, METAL_VIBRATION_A
from epistem.atoms.multislice import BIN_MRAD, OUTER_MRAD, RADII_A, Beam
from epistem.core import SettingsError, UnknownName
from epistem.core.errors import RecordError

Floats = NDArray[np.float64]
Spectra = dict[str, Floats]

FREQUENCIES_PER_A = np.linspace(0.0, 4.0, 801)
SEMIANGLES_MRAD = (20.0, 36.0)
_TAPER_FROM_A = 5.5
_FINE_A = 0.2


class Ring(NamedTuple):
    """An annular detector.

    Attributes:
        inner_mrad, outer_mrad: its angles.
    """

    inner_mrad: float
    outer_mrad: float


def check_ring(ring: Ring, beam: Beam) -> Ring:
    """The detector, if it is one that the bank can render.

    Raises:
        SettingsError: inner angle not below the outer one, inside the bright-field disc, or beyond the bank.
    """
    if not 0 <= ring.inner_mrad < ring.outer_mrad:
        raise SettingsError(
            f"a detector's inner angle lies below its outer one; got {ring.inner_mrad:g} to {ring.outer_mrad:g} mrad"
        )
    if ring.inner_mrad < beam.semiangle_mrad + 2:
        raise SettingsError(
            f"the detector begins at {ring.inner_mrad:g} mrad, inside the bright-field disc of "
            f"{beam.semiangle_mrad:g} mrad; only annular dark field is simulated"
        )
    if ring.outer_mrad > OUTER_MRAD + 1e-9:
        raise SettingsError(f"the bank ends at {OUTER_MRAD:g} mrad; the detector reaches {ring.outer_mrad:g}")
    return ring


class Bank:
    """Images of isolated columns, by beam, element, distance and scattering angle.

    Args:
        beams: that were simulated.
        names: of the columns.
        rings: (beams, names, radii, 54) share of the beam in rings of 5 mrad.
    """

    def __init__(self, beams: Sequence[Beam], names: Sequence[str], rings: NDArray[np.float32]) -> None:
        want = (len(beams), len(names), len(RADII_A), round(OUTER_MRAD / BIN_MRAD))
        if rings.shape != want:
            raise RecordError(f"a bank of these beams and columns has the shape {want}, not {rings.shape}")
        self.beams, self.names, self._rings = tuple(beams), tuple(names), rings

    @classmethod
    def load(cls, path: Path) -> Bank:
        """A bank from its file.

        Raises:
            RecordError: the file is no bank.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                return cls([Beam(*row) for row in held["beams"].tolist()], held["names"].tolist(), held["rings"])
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise RecordError(f"{path.name} is no bank of columns ({error})") from error

    def save(self, path: Path) -> None:
        """Write the bank to a file."""
        with path.open("wb") as file:
            np.savez_compressed(file, beams=np.array(self.beams), names=np.array(self.names), rings=self._rings)

    @cached_property
    def energies_keV(self) -> list[float]:
        """Beam energies that were simulated."""
        return sorted(beam.keV for beam in self.beams)

    def check_beam(self, beam: Beam) -> Beam:
        """The beam, if it lies among those of the bank.

        Raises:
            SettingsError: beam energy or semi-angle outside.
        """
        low, high = self.energies_keV[0], self.energies_keV[-1]
        if not low <= beam.keV <= high:
            raise SettingsError(f"a beam energy of {beam.keV:g} keV is outside the bank: {low:g} to {high:g} keV")
        if not SEMIANGLES_MRAD[0] <= beam.semiangle_mrad <= SEMIANGLES_MRAD[1]:
            raise SettingsError(
                f"a convergence semi-angle of {beam.semiangle_mrad:g} mrad is outside what is rendered: "
                f"{SEMIANGLES_MRAD[0]:g} to {SEMIANGLES_MRAD[1]:g} mrad"
            )
        return beam

    def profiles(self, beam: Beam, ring: Ring) -> dict[str, Floats]:
        """(57,) share of the beam on the detector, by distance from the column, for every column.

        Between the beams of the bank it is linear in wavelength, between its rings in angle.

        Raises:
            SettingsError: beam or detector outside the bank.
        """
        check_ring(ring, self.check_beam(beam))
        edges = np.arange(self._rings.shape[-1] + 1) * BIN_MRAD
        low, high = (np.clip(edges, *ring)[side] for side in (slice(None, -1), slice(1, None)))
        share = (high - low) / BIN_MRAD
        total = sum(weight * (self._rings[at].astype(float) @ share) for at, weight in self._neighbours(beam))
        return dict(zip(self.names, np.asarray(total), strict=True))

    def _neighbours(self, beam: Beam) -> list[tuple[int, float]]:
        """Which beams of the bank stand for this one, and how much of each."""
        known = self.energies_keV
        above = int(np.searchsorted(known, beam.keV))
        ends = [
            next(i for i, one in enumerate(self.beams) if one.keV == keV)
            for keV in known[max(0, above - 1) : above + 1]
        ]
        if known[above] == beam.keV:
            return [(ends[-1], 1.0)]
        first, last = (self.beams[at].wavelength_A for at in ends)
        part = (beam.wavelength_A - first) / (last - first)
        return [(ends[0], 1 - part), (ends[1], part)]

    def _narrowed(self, beam: Beam) -> Floats:
        """(801,) what this semi-angle passes of what the bank's does."""
        simulated = self.beams[self._neighbours(beam)[0][0]].semiangle_mrad
        if beam.semiangle_mrad == simulated:
            return np.ones(len(FREQUENCIES_PER_A))
        wanted, ideal = (_disc_transfer(beam.wavelength_A, angle) for angle in (beam.semiangle_mrad, simulated))
        return np.asarray(wanted * ideal / (ideal**2 + 1e-4))

    def spectra(self, beam: Beam, ring: Ring, *, vibration: float = 1.0) -> Spectra:
        """(801,) Fourier transform of every column's image at FREQUENCIES_PER_A, thermally blurred [Å²].

        Another semi-angle than the bank's narrows or widens the probe, by the ratio of the two pupils' transfer.

        Args:
            vibration: factor on the rms displacements of `crystals`.
        """
        still = self.profiles(beam, ring)
        matrix = _hankel() * self._narrowed(beam)[:, None]
        return {name: (matrix @ profile) * _vibration(name, vibration) for name, profile in still.items()}

    def weight(self, beam: Beam, ring: Ring) -> dict[str, float]:
        """Integrated image of every column [Å²], its scattering cross-section into the detector."""
        return {name: float(value) for name, value in zip(self.names, self._weights(beam, ring), strict=True)}

    def _weights(self, beam: Beam, ring: Ring) -> Floats:
        return np.asarray(np.stack(list(self.profiles(beam, ring).values())) @ _hankel()[0])


@cache
def shipped_bank() -> Bank:
    """The bank that comes with the package."""
    return Bank.load(Path(str(files("epistem.atoms") / "shipped" / "columns.npz")))


def render(
    xy_A: Floats, column: NDArray[np.str_], spectra: Sequence[Spectra], shape: tuple[int, int], pixel_A: float,
    *, transfer: NDArray[np.complex64] | None = None, blur_A: float = 0.0, strength: Floats | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """Image of columns at these places.

    Args:
        xy_A: (n, 2) x and y from the centre of the first pixel [Å]; columns within 7 Å outside belong to the image.
        column: (n,) names in the bank; "" is nothing.
        spectra: of each detector, as `Bank.spectra`.
        shape: rows and columns of the image.
        pixel_A: distance of two pixels.
        transfer: what a lens with aberrations passes of what a perfect one does: `formation.relative_transfer` on the
            grid of `grid_of(shape, pixel_A)`.
        blur_A: standard deviation of the source's image.
        strength: (n,) factor on each column's signal, where they are not as the bank has them.

    Returns:
        (detectors, H, W) share of the beam.

    Raises:
        UnknownName: a column that the bank does not hold.
    """
    grid = grid_of(shape, pixel_A)
    length = grid.frequency
    damping: NDArray[Any] = (
        np.exp(-2 * (np.pi * blur_A * length) ** 2) / _spline_window(grid) / grid.step_A**2
    ).astype(np.float32)
    if transfer is not None:
        damping = damping * transfer
    total = np.zeros((len(spectra), *length.shape), np.complex64)
    place = np.minimum(length / FREQUENCIES_PER_A[1], len(FREQUENCIES_PER_A) - 1.001)
    below = place.astype(np.int32)
    part = (place - below).astype(np.float32)
    for name in sorted(set(column.tolist()) - {""}):
        if name not in spectra[0]:
            raise UnknownName(f"the bank has no column {name!r}; it holds {', '.join(spectra[0])}")
        of_name = column == name
        here = rfft2(_deposit(xy_A[of_name] + grid.margin_A, grid, None if strength is None else strength[of_name]))
        for out, spectrum in zip(total, spectra, strict=True):
            value = spectrum[name].astype(np.float32)
            out += here * (value[below] * (1 - part) + value[below + 1] * part)
    fine = irfft2(total * damping, s=grid.shape)
    start = grid.margin_px
    rows, cols = (slice(start, start + n * grid.every, grid.every) for n in shape)
    return np.asarray(fine[:, rows, cols], np.float32)


class Grid(NamedTuple):
    """The fine, padded grid that an image is rendered on.

    Attributes:
        shape: rows and columns.
        step_A: distance of two points.
        every: points to a pixel.
        margin_px: points before the first pixel.
    """

    shape: tuple[int, int]
    step_A: float
    every: int
    margin_px: int

    @property
    def margin_A(self) -> float:
        """Distance before the first pixel [Å]."""
        return self.margin_px * self.step_A

    @property
    def axes_per_A(self) -> tuple[Floats, Floats]:
        """Frequencies of rows (H, 1) and columns (1, W/2 + 1)."""
        rows, cols = self.shape
        down, right = np.fft.fftfreq(rows, self.step_A), np.fft.rfftfreq(cols, self.step_A)
        return np.asarray(down[:, None], float), np.asarray(right[None], float)

    @property
    def frequency(self) -> Floats:
        """Length of the spatial frequency, (H, W/2 + 1) [1/Å]."""
        return np.hypot(*self.axes_per_A)


def grid_of(shape: tuple[int, int], pixel_A: float) -> Grid:
    """The grid for an image: a whole fraction of the pixel, no coarser than 0.2 Å, with 7 Å around."""
    every = int(np.ceil(pixel_A / _FINE_A - 1e-9))
    step = pixel_A / every
    margin = int(np.ceil(RADII_A[-1] / step)) + 2
    rows, cols = (next_fast_len(n * every + 2 * margin, real=True) for n in shape)
    return Grid((rows, cols), step, every, margin)


def _deposit(xy_A: Floats, grid: Grid, strength: Floats | None) -> NDArray[np.float32]:
    """Points spread over 4 × 4 grid points by the cubic B-spline, whose window `render` divides out."""
    rows, cols = grid.shape
    place = xy_A[:, ::-1] / grid.step_A
    inside = ((place > 2) & (place < np.array(grid.shape) - 3)).all(axis=1)
    place = place[inside]
    first = np.floor(place).astype(np.int64)
    part = place - first
    weights = np.stack([(1 - part) ** 3, 3 * part**3 - 6 * part**2 + 4, 3 * (1 - part) ** 3 - 6 * (1 - part) ** 2 + 4,
                        part**3]) / 6  # fmt: skip
    step = np.arange(-1, 3)
    flat = (first[:, 0, None, None] + step[:, None]) * cols + first[:, 1, None, None] + step[None]
    value = weights[:, :, 0].T[:, :, None] * weights[:, :, 1].T[:, None]
    if strength is not None:
        value = value * strength[inside, None, None]
    return np.bincount(flat.ravel(), value.ravel(), rows * cols).reshape(rows, cols).astype(np.float32)


def _spline_window(grid: Grid) -> Floats:
    rows, cols = grid.axes_per_A
    return (np.sinc(rows * grid.step_A) * np.sinc(cols * grid.step_A)) ** 4


def _vibration(name: str, factor: float) -> Floats:
    """What thermal motion leaves of each frequency: exp(−2π²σ²k²); a pair's centre moves by σ/√2."""
    if name in ("S", "Se", "Te"):
        sigma = CHALCOGEN_VIBRATION_A
    else:
        sigma = CHALCOGEN_VIBRATION_A / np.sqrt(2) if "@" in name else METAL_VIBRATION_A
    return np.asarray(np.exp(-2 * (np.pi * factor * sigma * FREQUENCIES_PER_A) ** 2))


def _disc_transfer(wavelength_A: float, semiangle_mrad: float) -> Floats:
    """Optical transfer of a round pupil without aberrations, 2/π·(arccos ν − ν√(1 − ν²)), ν = k·λ/2α (Goodman)."""
    part = np.minimum(FREQUENCIES_PER_A * wavelength_A / (2e-3 * semiangle_mrad), 1.0)
    return np.asarray(2 / np.pi * (np.arccos(part) - part * np.sqrt(1 - part**2)))


@cache
def _hankel() -> Floats:
    """(801, 57): from a round profile at RADII_A to its Fourier transform, 2π∫K(r)·J₀(2πkr)·r dr."""
    fine = np.linspace(0, RADII_A[-1], 1401)
    taper = np.where(
        fine > _TAPER_FROM_A, np.cos(np.pi / 2 * (fine - _TAPER_FROM_A) / (RADII_A[-1] - _TAPER_FROM_A)) ** 2, 1.0
    )
    spline = CubicSpline(RADII_A, np.eye(len(RADII_A)), bc_type=((1, np.zeros(len(RADII_A))), "not-a-knot"))(fine)
    weights = np.gradient(fine)
    weights[[0, -1]] /= 2
    waves = j0(2 * np.pi * np.outer(FREQUENCIES_PER_A, fine))
    return np.asarray(2 * np.pi * waves @ (spline * (fine * taper * weights)[:, None]))
