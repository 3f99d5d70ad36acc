"""From what a perfect microscope would record to what comes out of a real one.

::

    sheet ─ drift, shear ─► render × lens with aberrations, source size ─► line jitter ─► contamination ─► dose
          ─► Poisson ─► read noise, gain, offset
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq, ifft2, irfft, rfft
from scipy.ndimage import zoom

from epistem.atoms.kernels import Grid
from epistem.atoms.multislice import Beam
from epistem.atoms.patches import bilinear
from epistem.core import SettingsError

Floats = NDArray[np.float64]
Image = NDArray[np.float32]


class Lens(NamedTuple):
    """Aberrations of the probe; all 0 is the perfect lens.

    Attributes:
        defocus_A: how far the focus lies behind the layer [Å]; C1 = −defocus.
        astigmatism_A, astigmatism_angle: twofold, A1 [Å] and its direction [rad].
        coma_A, coma_angle: axial coma, Krivanek's C21 = 3·B2 [Å], and its direction [rad].
    """

    defocus_A: float = 0.0
    astigmatism_A: float = 0.0
    astigmatism_angle: float = 0.0
    coma_A: float = 0.0
    coma_angle: float = 0.0

    @property
    def perfect(self) -> bool:
        """Whether it has no aberration."""
        return not (self.defocus_A or self.astigmatism_A or self.coma_A)

    @property
    def abtem(self) -> dict[str, float]:
        """The same as abTEM names it."""
        return {
            "C10": -self.defocus_A, "C12": self.astigmatism_A, "phi12": self.astigmatism_angle,
            "C21": self.coma_A, "phi21": self.coma_angle,
        }  # fmt: skip


class Formation(NamedTuple):
    """How an image came about, apart from what it shows.

    Attributes:
        dose_e_per_A2: electrons that fell on a square ångström.
        blur_A: standard deviation of the source's image.
        lens: aberrations.
        jitter_A: standard deviation of a scan line's start, along the line.
        shear: (row, col) drift for each line, in lines: shear and stretch of the scan.
        contamination: strength of what lies on the layer, as a share of its mean signal.
        contamination_power: β, its power spectrum falls as 1/f^β.
        read_noise: standard deviation, in electrons.
        dark: mean electrons a pixel without signal.
    """

    dose_e_per_A2: float = 1e5
    blur_A: float = 0.35
    lens: Lens = Lens()
    jitter_A: float = 0.0
    shear: tuple[float, float] = (0.0, 0.0)
    contamination: float = 0.0
    contamination_power: float = 2.0
    read_noise: float = 0.0
    dark: float = 0.0

    def checked(self) -> Formation:
        """The same.

        Raises:
            SettingsError: something negative, or no dose.
        """
        for name in ("blur_A", "jitter_A", "contamination", "read_noise", "dark"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is 0 or more, not {getattr(self, name):g}")
        if not self.dose_e_per_A2 > 0:
            raise SettingsError(f"a dose is a positive number of electrons per Å², not {self.dose_e_per_A2:g}")
        return self


def relative_transfer(lens: Lens, beam: Beam, grid: Grid) -> NDArray[np.complex64] | None:
    """Optical transfer of a lens as a share of the perfect one's, on `grid`; None for the perfect lens.

    An ADF image is nearly the probe's intensity convolved with the object, so what a small aberration does to the
    probe it does to every column's image. How near is measured against multislice (`benchmarks/atoms_render.py`).

    Returns:
        (H, W/2 + 1), complex: real for aberrations that leave the probe even.
    """
    if lens.perfect:
        return None
    step = beam.wavelength_A / (5e-3 * beam.semiangle_mrad)
    aberrated, ideal = _transfer(lens, beam, step), _transfer(Lens(), beam, step).real
    # Where the perfect lens passes next to nothing, neither does the image hold anything to correct.
    ratio = np.fft.fftshift(aberrated * ideal / (ideal**2 + 1e-4))
    places = np.broadcast_arrays(*(axis * (_PUPIL * step) + _PUPIL // 2 for axis in grid.axes_per_A))
    rows, cols = (np.clip(place, 0, _PUPIL - 1).astype(np.float32) for place in places)
    parts = [bilinear(np.ascontiguousarray(part, np.float32), rows, cols) for part in (ratio.real, ratio.imag)]
    return np.asarray(parts[0] + 1j * parts[1], np.complex64)


_PUPIL = 192


def _transfer(lens: Lens, beam: Beam, step_A: float) -> NDArray[np.complex128]:
    """Autocorrelation of the pupil: Fourier transform of the probe's intensity turned by 180°, 1 at frequency 0.

    A scan records how the probe *correlates* with the object: coma to the right smears columns to the left. On 192²
    points of a step that holds twice the pupil, for a probe within some 50 Å; it is smooth and interpolated.
    """
    axis = fftfreq(_PUPIL, step_A)
    ky, kx = axis[:, None], axis[None]
    angle, turn = np.hypot(kx, ky) * beam.wavelength_A, np.arctan2(ky, kx)
    # A soft edge one point wide, as the discs of the multislice have.
    edge = beam.wavelength_A / (_PUPIL * step_A)
    pupil = np.clip((beam.semiangle_mrad * 1e-3 - angle) / edge + 0.5, 0, 1)
    path = angle**2 / 2 * (-lens.defocus_A + lens.astigmatism_A * np.cos(2 * (turn - lens.astigmatism_angle)))
    path = path + angle**3 / 3 * lens.coma_A * np.cos(turn - lens.coma_angle)
    probe = np.abs(ifft2(pupil * np.exp(-2j * np.pi / beam.wavelength_A * path))) ** 2
    return np.asarray(np.conj(fft2(probe / probe.sum())))


def drifted(xy_A: Floats, shear: tuple[float, float]) -> Floats:
    """Where columns appear when the specimen moves (row, col) lines during each line.

    >>> drifted(np.array([[0.0, 10.0]]), (0.0, 0.1)).tolist()
    [[1.0, 10.0]]
    """
    rows, cols = shear
    return np.asarray(xy_A @ np.array([[1.0, 0.0], [cols, 1 + rows]]))


def expose(ideal: Image, formation: Formation, pixel_A: float, rng: np.random.Generator) -> Image:
    """Electrons counted at every pixel.

    Args:
        ideal: (detectors, H, W) share of the beam; blur and lens are in it already.
        pixel_A: distance of two pixels.

    Returns:
        (detectors, H, W) float32, in electrons.
    """
    image = np.asarray(ideal, np.float32)
    if formation.jitter_A:
        image = _jittered(image, formation.jitter_A / pixel_A, rng)
    if formation.contamination:
        field = power_law_field(image.shape[1:], formation.contamination_power, rng)
        image = image + formation.contamination * image.mean(axis=(1, 2), keepdims=True) * field
    mean = (np.maximum(image, 0) * (formation.dose_e_per_A2 * pixel_A**2) + formation.dark).astype(np.float32)
    counts = counted(mean, rng)
    if formation.read_noise:
        counts += formation.read_noise * rng.standard_normal(counts.shape, np.float32)
    return counts


def counted(mean: Image, rng: np.random.Generator) -> Image:
    """Poisson counts; above 60 a Gaussian of the same variance, which no classifier can tell from them.

    >>> counted(np.zeros((2, 2), np.float32), np.random.default_rng(0)).max()
    np.float32(0.0)
    """
    few = mean < 60
    out = np.empty(mean.shape, np.float32)
    out[few] = rng.poisson(mean[few])
    many = mean[~few]
    out[~few] = many + np.sqrt(many) * rng.standard_normal(many.shape, np.float32)
    return out


def power_law_field(shape: tuple[int, ...], power: float, rng: np.random.Generator) -> Image:
    """A smooth random thickness, 0 to 1, whose power spectrum falls as 1/f^power."""
    rows, cols = (max(4, -(-n // 4)) for n in shape)
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols)[None]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((rows, cols)))
    # Made on a four times coarser grid: the fine structure would be noise, and this is made for every field.
    field = np.real(np.fft.ifft2(noise * frequency ** (-power / 2)))
    field = zoom(field, (shape[0] / rows, shape[1] / cols), order=1)
    low, high = field.min(), field.max()
    return np.asarray((field - low) / (high - low), np.float32)


def _jittered(image: Image, spread_px: float, rng: np.random.Generator) -> Image:
    """Every line begins a little to the left or right; both detectors see the same."""
    shift = np.asarray(spread_px * rng.standard_normal(image.shape[1]))
    frequency = np.fft.rfftfreq(image.shape[2])
    phase = np.exp(-2j * np.pi * frequency * shift[:, None]).astype(np.complex64)
    return np.asarray(irfft(rfft(image, axis=2) * phase, n=image.shape[2], axis=2), np.float32)
