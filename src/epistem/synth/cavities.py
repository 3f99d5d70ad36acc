"""Cavities in a foil as a transmission electron microscope sees them: phase object, lens, camera, dose.

::

    foil and cavities -> exit wave -> objective lens -> intensity -> camera -> electrons -> counts
      σ·V0, absorption    exp(iφ)     defocus, Cs        |ψ|²        blur      Poisson    16 bit

A first, simple foil: spheres, one mean inner potential, smooth diffraction contrast.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from epistem import __version__
from epistem.core.errors import SettingsError
from epistem.core.instances import Instances
from epistem.core.micrograph import Calibration, Context, Micrograph
from epistem.core.provenance import Provenance
from epistem.synth.optics import Lens, interaction_rad_per_V_nm, through_lens, wavelength_nm

Grid = NDArray[np.float32]

CAMERA_MAXIMUM = 65535
SUBPIXELS = 4  # a cavity of 4 camera pixels, 8 grid points, has its volume to 0.2 % wherever it lies


@dataclass(frozen=True)
class CavityScene:
    """What is in the foil and how it is looked at.

    Attributes:
        shape: rows and columns of the image.
        pixel_nm: pixel size [nm].
        number: expected cavities whose centre is in the image.
        diameter_nm: mean of the lognormal diameters [nm].
        diameter_sd_nm: their standard deviation [nm]; 0 makes all alike.
        thickness_nm: mean foil thickness [nm].
        thickness_sd: slow variation of the thickness over the image, over its mean.
        mean_inner_potential_V: of the matrix [V]; 21 is iron.
        mean_free_path_nm: for electrons lost to the image (objective aperture, inelastic) [nm].
        background: diffraction contrast of bending and strain; 0 none, 1 strong.
        speckle_rad: phase noise of the amorphous surface, standard deviation over areas of 1 nm² [rad].
        beam_keV: electron energy [keV].
        defocus_nm: **negative is underfocus** (bright cavities with a dark rim), positive overfocus [nm].
        cs_mm: spherical aberration [mm].
        semiangle_mrad: illumination semi-angle [mrad].
        focal_spread_nm: defocus spread, standard deviation [nm].
        camera_blur_px: standard deviation of the camera's point spread [px].
        dose_e_per_A2: electrons on the foil [e/Å²].
        counts_per_electron: camera gain.
        oversample: the wave is computed on a grid this many times finer than the camera.
        material: for the Context.

    Raises:
        SettingsError: a value outside what is meaningful.
    """

    shape: tuple[int, int] = (512, 512)
    pixel_nm: float = 0.3
    number: float = 45.0
    diameter_nm: float = 8.0
    diameter_sd_nm: float = 2.0
    thickness_nm: float = 100.0
    thickness_sd: float = 0.04
    mean_inner_potential_V: float = 21.0
    mean_free_path_nm: float = 120.0
    background: float = 0.5
    speckle_rad: float = 0.02
    beam_keV: float = 200.0
    defocus_nm: float = -1000.0
    cs_mm: float = 1.2
    semiangle_mrad: float = 0.3
    focal_spread_nm: float = 8.0
    camera_blur_px: float = 0.7
    dose_e_per_A2: float = 100.0
    counts_per_electron: float = 4.0
    oversample: int = 2
    material: str = "simulated steel"

    def __post_init__(self) -> None:
        above_0 = ("pixel_nm", "diameter_nm", "thickness_nm", "mean_free_path_nm", "beam_keV", "dose_e_per_A2")
        for name in (*above_0, "semiangle_mrad", "counts_per_electron", "oversample"):
            if not 0 < getattr(self, name) < np.inf:
                raise SettingsError(f"{name} is a positive number, not {getattr(self, name)!r}")
        least_0 = ("number", "diameter_sd_nm", "thickness_sd", "background", "speckle_rad")
        for name in (*least_0, "mean_inner_potential_V", "focal_spread_nm", "camera_blur_px"):
            if not 0 <= getattr(self, name) < np.inf:
                raise SettingsError(f"{name} is a number of at least 0, not {getattr(self, name)!r}")
        if min(self.shape) < 1:
            raise SettingsError(f"an image has at least one row and one column, not {self.shape}")
        if self.diameter_nm + self.diameter_sd_nm > self.thickness_nm:
            raise SettingsError(
                f"cavities of {self.diameter_nm} ± {self.diameter_sd_nm} nm do not fit a foil "
                f"of {self.thickness_nm} nm; make the foil thicker"
            )


class Cavities(NamedTuple):
    """Spheres in the foil, each array (n,) [nm]; rows and columns count from the image's top left corner."""

    row_nm: NDArray[np.float64]
    col_nm: NDArray[np.float64]
    depth_nm: NDArray[np.float64]
    diameter_nm: NDArray[np.float64]


class Simulated(NamedTuple):
    """A micrograph and what is truly in it."""

    micrograph: Micrograph
    truth: Instances


def simulate(scene: CavityScene, *, seed: int, cavities: Cavities | None = None) -> Simulated:
    """A 16-bit micrograph with its cavities' masks, boxes and diameters.

    Cavities, background, speckle and shot noise have their own random streams: a change of defocus or dose
    shows the same foil again.

    Args:
        scene: foil and microscope.
        seed: same seed, same image.
        cavities: these, instead of cavities drawn from the scene.

    Returns:
        The image, and as truth one row for each cavity that covers a pixel, with the columns `diameter_nm`
        and `depth_nm`. Cavities may overlap and be cut by the border; their masks then are too.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
    margin_px = _margin_px(scene)
    if cavities is None:
        cavities = draw_cavities(scene, margin_nm=margin_px * scene.pixel_nm, rng=streams[0])
    wave = _exit_wave(scene, cavities, margin_px, streams[1], streams[2])
    lens = Lens(scene.beam_keV, scene.defocus_nm, scene.cs_mm, scene.semiangle_mrad, scene.focal_spread_nm)
    wave = through_lens(wave, lens, step_nm=scene.pixel_nm / scene.oversample)
    pixels = _counts(scene, _on_camera(scene, np.square(np.abs(wave)), margin_px), streams[3])
    settings = {**asdict(scene), "shape": list(scene.shape)}
    made = Provenance("epistem.synth.cavities.simulate", __version__, settings, seed=seed)
    micrograph = Micrograph(
        pixels,
        Calibration(scene.pixel_nm, scene.pixel_nm, "simulation"),
        Context(
            modality="TEM",
            instrument="epistem simulation",
            material=scene.material,
            beam_keV=scene.beam_keV,
            defocus_nm=scene.defocus_nm,
            dose_e_per_A2=scene.dose_e_per_A2,
            thickness_nm=scene.thickness_nm,
        ),
        name=f"simulated cavities, seed {seed}",
        warnings=_saturation(pixels),
    )
    return Simulated(micrograph, replace(true_instances(scene, cavities), provenance=made))


def draw_cavities(scene: CavityScene, *, margin_nm: float, rng: np.random.Generator) -> Cavities:
    """Cavities at random in the image and a margin around it, as dense in both, each wholly inside the foil."""
    size = np.array(scene.shape) * scene.pixel_nm
    wide = size + 2 * margin_nm
    n = round(scene.number * float(np.prod(wide / size)))
    diameter = _lognormal(scene.diameter_nm, scene.diameter_sd_nm, n, rng)
    while (thick := diameter > scene.thickness_nm).any():
        diameter[thick] = _lognormal(scene.diameter_nm, scene.diameter_sd_nm, int(thick.sum()), rng)
    row, col = (rng.random((n, 2)) * wide - margin_nm).T
    depth = diameter / 2 + rng.random(n) * (scene.thickness_nm - diameter)
    return Cavities(row, col, depth, diameter)


def true_instances(scene: CavityScene, cavities: Cavities) -> Instances:
    """The cavities' outlines on the pixel grid: a pixel belongs to a cavity if its centre does."""
    boxes, crops, kept = [], [], []
    in_pixels = (column / scene.pixel_nm for column in cavities)
    for i, (row, col, _, diameter) in enumerate(zip(*in_pixels, strict=True)):
        low = np.maximum([row - diameter / 2, col - diameter / 2], 0)
        high = np.minimum([row + diameter / 2, col + diameter / 2], scene.shape)
        if (low >= high).any():
            continue
        rows, cols = (np.arange(np.floor(a), np.ceil(b)) + 0.5 for a, b in zip(low, high, strict=True))
        crop = np.hypot(rows[:, None] - row, cols - col) <= diameter / 2
        if crop.any():
            boxes.append([*low, *high])
            crops.append(crop)
            kept.append(i)
    columns = {"diameter_nm": cavities.diameter_nm[kept], "depth_nm": cavities.depth_nm[kept]}
    return Instances.from_boxes(scene.shape, boxes, classes=("cavity",), crops=tuple(crops), columns=columns)


def _lognormal(mean: float, sd: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    spread = np.sqrt(np.log1p((sd / mean) ** 2))
    return rng.lognormal(np.log(mean) - spread**2 / 2, spread, n)


def _margin_px(scene: CavityScene) -> int:
    # A wave of frequency q is shifted by λ·Δf·q, and what comes from beyond the border mixes with the other
    # side. The illumination angle damps to 1 % what is shifted further than 0.7·λ/α, at any defocus. The mean
    # diameter more, so that cut cavities are seen with their rims.
    shift_nm = 0.7 * wavelength_nm(scene.beam_keV) / (scene.semiangle_mrad / 1000)
    return int(np.ceil((shift_nm + scene.diameter_nm) / scene.pixel_nm))


def _canvas(scene: CavityScene, margin_px: int) -> tuple[int, int]:
    rows, cols = (fft.next_fast_len((n + 2 * margin_px) * scene.oversample) for n in scene.shape)
    return rows, cols


def _exit_wave(
    scene: CavityScene,
    cavities: Cavities,
    margin_px: int,
    rng_background: np.random.Generator,
    rng_speckle: np.random.Generator,
) -> NDArray[np.complex64]:
    """Wave behind the foil; a cavity takes σ·V0·chord from the phase and chord from what absorbs."""
    canvas, step_nm = _canvas(scene, margin_px), scene.pixel_nm / scene.oversample
    sigma = interaction_rad_per_V_nm(scene.beam_keV)
    vacuum = np.minimum(_chords(canvas, step_nm, cavities, margin_px * scene.pixel_nm), scene.thickness_nm)
    uneven = scene.thickness_sd * scene.thickness_nm * _smooth_field(canvas, step_nm, 300, rng_background)
    matter = uneven - vacuum
    strain = _strain(canvas, step_nm, rng_background)
    log_amplitude = -0.5 * ((scene.thickness_nm + matter) / scene.mean_free_path_nm + scene.background * strain)
    phase = sigma * scene.mean_inner_potential_V * matter
    phase += scene.speckle_rad / step_nm * rng_speckle.standard_normal(canvas, np.float32)
    return np.exp(log_amplitude + 1j * phase).astype(np.complex64)


def _chords(canvas: tuple[int, int], step_nm: float, cavities: Cavities, margin_nm: float) -> Grid:
    """Path through vacuum at each grid point, mean over SUBPIXELS² rays [nm]."""
    total = np.zeros(canvas, np.float32)
    offsets = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS
    for row, col, _, diameter in zip(*cavities, strict=True):
        radius = diameter / 2 / step_nm
        rows, cols = (
            np.arange(max(np.floor(c - radius), 0), min(np.ceil(c + radius), n)).astype(int)
            for c, n in zip(((row + margin_nm) / step_nm, (col + margin_nm) / step_nm), canvas, strict=True)
        )
        if not (len(rows) and len(cols)):
            continue
        down = ((rows[:, None] + offsets).ravel() - (row + margin_nm) / step_nm) ** 2
        across = ((cols[:, None] + offsets).ravel() - (col + margin_nm) / step_nm) ** 2
        chord = 2 * np.sqrt(np.maximum(radius**2 - down[:, None] - across, 0)) * step_nm
        mean = chord.reshape(len(rows), SUBPIXELS, len(cols), SUBPIXELS).mean(axis=(1, 3))
        total[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += mean
    return total


def _smooth_field(canvas: tuple[int, int], step_nm: float, length_nm: float, rng: np.random.Generator) -> Grid:
    """Gaussian random field of mean 0 and variance 1, correlation exp(−d²/4L²) with L = `length_nm`."""
    spacing = length_nm / 2 / step_nm
    nodes = [np.arange(-8, np.ceil(n / spacing) + 9) * spacing for n in canvas]
    down, across = (
        np.exp(-0.5 * ((np.arange(n)[:, None] - at) * step_nm / length_nm) ** 2)
        for n, at in zip(canvas, nodes, strict=True)
    )
    noise = rng.standard_normal((len(nodes[0]), len(nodes[1])), np.float32)
    down, across = (w.astype(np.float32) / np.sqrt(np.sum(w**2, axis=1, keepdims=True)) for w in (down, across))
    field: Grid = down @ noise @ across.T
    return field


def _strain(canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Diffraction contrast, 0 (bright) upwards: dark patches where the foil is strained, bands where it bends."""
    lengths_nm = (70, 18, 6, 2.5, 160)
    wide, middle, fine, grain, bend = (_smooth_field(canvas, step_nm, length, rng) for length in lengths_nm)
    mottle = 0.05 * (middle + fine + 0.7 * grain)
    patches = np.maximum(wide + 0.6 * middle - 0.3, 0) ** 2 * np.maximum(1 + 0.5 * fine, 0)
    bands = np.exp(-np.square((bend + 0.1 * middle) / 0.12)) * np.maximum(1 + 0.5 * middle, 0)
    strain: Grid = np.maximum(0.2 + mottle + 0.3 * patches + 0.3 * bands, 0)
    return strain


def _on_camera(scene: CavityScene, intensity: Grid, margin_px: int) -> Grid:
    """What each camera pixel receives, as a share of the beam: cut out, summed over the pixel, blurred."""
    k = scene.oversample
    wide = [n // k for n in intensity.shape]
    binned = intensity[: wide[0] * k, : wide[1] * k].reshape(wide[0], k, wide[1], k).mean(axis=(1, 3))
    blurred: Grid = ndimage.gaussian_filter(binned, scene.camera_blur_px)
    rows, cols = scene.shape
    return blurred[margin_px : margin_px + rows, margin_px : margin_px + cols]


def _counts(scene: CavityScene, intensity: Grid, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Electrons after shot noise, times the gain, as 16-bit integers."""
    expected = scene.dose_e_per_A2 * (10 * scene.pixel_nm) ** 2 * intensity.astype(float)
    electrons = _poisson(expected, rng)
    return np.clip(np.rint(electrons * scene.counts_per_electron), 0, CAMERA_MAXIMUM).astype(np.uint16)


def _saturation(pixels: NDArray[np.uint16]) -> tuple[str, ...]:
    share = float(np.mean(pixels == CAMERA_MAXIMUM))
    return (f"{share:.1%} of the pixels saturate the camera; lower counts_per_electron",) if share else ()


def _poisson(mean: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Poisson counts from one normal deviate a pixel; exact draws where the mean is small.

    `Generator.poisson` throws deviates away: where another FFT changes the last digit of one pixel's mean,
    all that follow would change. Here only that pixel's count can, by one.

    Source: Cornish & Fisher 1938, quantiles from the first four moments; the variance is kept exactly.
    """
    if mean.min() < 10:
        return rng.poisson(mean).astype(float)
    z = rng.standard_normal(mean.shape)
    root = np.sqrt(mean)
    counts: NDArray[np.float64] = np.rint(mean + root * z + (z**2 - 1) / 6 + (z - z**3) / (72 * root))
    return counts


UNDERFOCUS = CavityScene()
OVERFOCUS = CavityScene(defocus_nm=1000.0)
DENSE = CavityScene(number=400.0, diameter_nm=4.0, diameter_sd_nm=0.8, dose_e_per_A2=60.0, speckle_rad=0.04)
EMPTY = CavityScene(number=0.0)
