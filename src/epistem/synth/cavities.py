"""Cavities in a foil as a transmission electron microscope sees them: phase object, lens, camera, dose.

::

    foil and cavities -> exit wave -> objective lens -> intensity -> camera -> electrons -> counts
      σ·V0, absorption    exp(iφ)     defocus, Cs        |ψ|²        blur      Poisson    16 bit

Cavities are spheres or truncated octahedra of one orientation; what else the foil holds is in `foil.py`.
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
from epistem.synth import foil
from epistem.synth.optics import Lens, interaction_rad_per_V_nm, through_lens, wavelength_nm
from epistem.synth.shapes import Cavities, Grid, Octahedron, chords, octahedron, outlines
from epistem.synth.visibility import Layer, visibility

CAMERA_MAXIMUM = 65535


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
        speckle_length_nm: its correlation length; 0 is white, all else weaker over 1 nm² (`foil.speckle_rad`) [nm].
        bubbles: expected small bubbles besides, of `bubble_diameter_nm` ± a quarter [nm].
        faceted: share of the cavities that are truncated octahedra, all of one orientation.
        orientation_deg: the crystal's Euler angles z, x, z [degree].
        truncation: distance of the {100} over that of the {111} faces.
        wedge: change of thickness from side to side of the image and its margin, over the mean; 0 to 1.
        edge: share of the image and its margin that lies beyond the edge of the foil.
        texture_scale: factor on the lengths of the foil's texture.
        clouds: standard deviation of a cloudy diffraction background, as logarithm of the intensity.
        mottle, mottle_nm: strength and size of a fine mottling [–, nm].
        fringes: strength of a bend contour with its side fringes.
        dislocations: expected lines in the image and its margin.
        precipitates, precipitate_nm: expected dark dots and particles without a rim, and their size [–, nm].
        beam_keV: electron energy [keV].
        defocus_nm: **negative is underfocus** (bright cavities with a dark rim), positive overfocus [nm].
        cs_mm: spherical aberration [mm].
        semiangle_mrad: illumination semi-angle [mrad].
        focal_spread_nm: defocus spread, standard deviation [nm].
        camera_blur_px: standard deviation of the camera's point spread [px].
        scintillator: frequency at which the camera passes half, signal and noise alike; 0 is a counting camera
            [cycles/px].
        readout_e: its noise, in electrons a pixel, standard deviation [e].
        grains: standard deviation of the grey steps between grains, as logarithm of the intensity.
        drift_px, drift_deg: way of the image during the exposure [px] and its direction [degree].
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
    speckle_length_nm: float = 0.0
    bubbles: float = 0.0
    bubble_diameter_nm: float = 1.5
    faceted: float = 0.0
    orientation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    truncation: float = 1.155
    wedge: float = 0.0
    edge: float = 0.0
    texture_scale: float = 1.0
    clouds: float = 0.0
    mottle: float = 0.0
    mottle_nm: float = 1.5
    fringes: float = 0.0
    grains: float = 0.0
    dislocations: float = 0.0
    precipitates: float = 0.0
    precipitate_nm: float = 5.0
    beam_keV: float = 200.0
    defocus_nm: float = -1000.0
    cs_mm: float = 1.2
    semiangle_mrad: float = 0.3
    focal_spread_nm: float = 8.0
    camera_blur_px: float = 0.7
    scintillator: float = 0.0
    readout_e: float = 0.0
    drift_px: float = 0.0
    drift_deg: float = 0.0
    dose_e_per_A2: float = 100.0
    counts_per_electron: float = 4.0
    oversample: int = 2
    material: str = "simulated steel"

    def __post_init__(self) -> None:
        above_0 = ("pixel_nm", "diameter_nm", "thickness_nm", "mean_free_path_nm", "beam_keV", "dose_e_per_A2")
        lengths = ("bubble_diameter_nm", "mottle_nm", "precipitate_nm", "texture_scale")
        for name in (*above_0, *lengths, "semiangle_mrad", "counts_per_electron", "oversample"):
            if not 0 < getattr(self, name) < np.inf:
                raise SettingsError(f"{name} is a positive number, not {getattr(self, name)!r}")
        least_0 = ("number", "bubbles", "diameter_sd_nm", "mean_inner_potential_V", "thickness_sd")
        texture = ("background", "speckle_rad", "speckle_length_nm", "clouds", "mottle", "fringes", "grains")
        camera = ("focal_spread_nm", "camera_blur_px", "scintillator", "readout_e", "drift_px")
        for name in (*least_0, *texture, "dislocations", "precipitates", *camera):
            if not 0 <= getattr(self, name) < np.inf:
                raise SettingsError(f"{name} is a number of at least 0, not {getattr(self, name)!r}")
        for name in ("faceted", "edge", "wedge"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        if not 0.87 <= self.truncation <= 1.73:
            raise SettingsError(
                f"wanted a truncation from 0.87 (cuboctahedron) to 1.73 (octahedron), not {self.truncation}"
            )
        if min(self.shape) < 1:
            raise SettingsError(f"an image has at least one row and one column, not {self.shape}")
        if self.diameter_nm + self.diameter_sd_nm > self.thickness_nm:
            raise SettingsError(
                f"cavities of {self.diameter_nm} ± {self.diameter_sd_nm} nm do not fit a foil "
                f"of {self.thickness_nm} nm; make the foil thicker"
            )


class Simulated(NamedTuple):
    """A micrograph and what is truly in it."""

    micrograph: Micrograph
    truth: Instances


def simulate(scene: CavityScene, *, seed: int, cavities: Cavities | None = None, judge: bool = False) -> Simulated:
    """A 16-bit micrograph with its cavities' masks, boxes and diameters.

    Cavities, background, speckle and shot noise have their own random streams: a change of defocus or dose
    shows the same foil again.

    Args:
        scene: foil and microscope.
        seed: same seed, same image.
        cavities: these, instead of cavities drawn from the scene.
        judge: tell how well each cavity can be seen (`visibility`); costs about as much again.

    Returns:
        The image, and as truth one row for each cavity that covers a pixel, with the columns `diameter_nm`
        and `depth_nm`. Cavities may overlap and be cut by the border; their masks then are too.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    if cavities is None:
        cavities = draw_cavities(scene, margin_nm=margin_px(scene) * scene.pixel_nm, rng=streams[0])
    matrix = make_foil(scene, streams[1], streams[2], streams[4])
    if scene.edge or scene.wedge:
        cavities = cavities.take(_fits(scene, matrix, cavities))
    electrons = expected_electrons(scene, matrix, cavities)
    pixels = _counts(scene, electrons, streams[3])
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
    truth = true_instances(scene, cavities)
    if judge:
        truth = visibility(truth, _layers(scene, matrix, cavities, truth, electrons))
    return Simulated(micrograph, replace(truth, provenance=made))


def draw_cavities(scene: CavityScene, *, margin_nm: float, rng: np.random.Generator) -> Cavities:
    """Cavities at random in the image and a margin around it, as dense in both, each wholly inside the foil."""
    size = np.array(scene.shape) * scene.pixel_nm
    wide = size + 2 * margin_nm
    n = round(scene.number * float(np.prod(wide / size)))
    diameter = _lognormal(scene.diameter_nm, scene.diameter_sd_nm, n, rng)
    while (thick := diameter > scene.thickness_nm).any():
        diameter[thick] = _lognormal(scene.diameter_nm, scene.diameter_sd_nm, int(thick.sum()), rng)
    if scene.bubbles:
        more = round(scene.bubbles * float(np.prod(wide / size)))
        small = _lognormal(scene.bubble_diameter_nm, scene.bubble_diameter_nm / 4, more, rng)
        diameter = np.concatenate([diameter, np.minimum(small, scene.thickness_nm)])
    row, col = (rng.random((len(diameter), 2)) * wide - margin_nm).T
    depth = diameter / 2 + rng.random(len(diameter)) * (scene.thickness_nm - diameter)
    faceted = rng.random(len(diameter)) < scene.faceted if scene.faceted else None
    return Cavities(row, col, depth, diameter, faceted)


def true_instances(scene: CavityScene, cavities: Cavities) -> Instances:
    """The cavities' outlines on the pixel grid: a pixel belongs to a cavity if its centre does."""
    seen = list(outlines(scene.shape, scene.pixel_nm, cavities, _facets(scene)))
    kept = [one.number for one in seen]
    return Instances.from_boxes(
        scene.shape,
        [one.box for one in seen],
        classes=("cavity",),
        crops=tuple(one.crop for one in seen),
        columns={"diameter_nm": cavities.diameter_nm[kept], "depth_nm": cavities.depth_nm[kept]},
    )


def _facets(scene: CavityScene) -> Octahedron | None:
    return octahedron(scene.orientation_deg, scene.truncation) if scene.faceted else None


def _lognormal(mean: float, sd: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    spread = np.sqrt(np.log1p((sd / mean) ** 2))
    return rng.lognormal(np.log(mean) - spread**2 / 2, spread, n)


def margin_px(scene: CavityScene) -> int:
    """Pixels that are computed around the image and cut away."""
    # A wave of frequency q is shifted by λ·Δf·q, and what comes from beyond the border mixes with the other
    # side. The illumination angle damps to 1 % what is shifted further than 0.7·λ/α, at any defocus. The mean
    # diameter more, so that cut cavities are seen with their rims.
    shift_nm = 0.7 * wavelength_nm(scene.beam_keV) / (scene.semiangle_mrad / 1000)
    return int(np.ceil((shift_nm + scene.diameter_nm) / scene.pixel_nm))


def _canvas(scene: CavityScene) -> tuple[int, int]:
    rows, cols = (fft.next_fast_len((n + 2 * margin_px(scene)) * scene.oversample) for n in scene.shape)
    return rows, cols


class Foil(NamedTuple):
    """The foil without cavities on the grid of the wave."""

    uneven_nm: Grid
    strain: Grid
    speckle_rad: Grid


def make_foil(
    scene: CavityScene,
    rng_background: np.random.Generator,
    rng_speckle: np.random.Generator,
    rng_more: np.random.Generator,
) -> Foil:
    """Everything the foil holds but its cavities.

    Args:
        scene: the foil and how it is seen.
        rng_background: of thickness and bending.
        rng_speckle: of the amorphous skin.
        rng_more: of what came later (edges, grains, lines…), so that older scenes keep their bytes.
    """
    canvas, step_nm = _canvas(scene), scene.pixel_nm / scene.oversample
    uneven = foil.uneven_nm(scene, canvas, step_nm, rng_background)
    darkness = scene.background * foil.strain(canvas, step_nm, scene.texture_scale, rng_background)
    darkness += foil.diffraction(scene, canvas, step_nm, rng_more)
    speckle = foil.speckle_rad(scene, canvas, step_nm, rng_speckle)
    if scene.edge:
        share = foil.edge_share(scene, canvas, step_nm, rng_more)
        uneven, darkness = (scene.thickness_nm + uneven) * share - scene.thickness_nm, darkness * share
        speckle = speckle * (share > 0)  # an amorphous skin is as thick on a thin foil, and ends with it
    return Foil(uneven, darkness, speckle)


def _layers(
    scene: CavityScene, matrix: Foil, cavities: Cavities, truth: Instances, electrons: NDArray[np.float64]
) -> list[Layer]:
    """Large cavities against the bare foil, those below a third of the largest against the foil with the large."""
    limit = cavities.diameter_nm.max(initial=0.0) / 3
    large = truth.columns["diameter_nm"] >= limit
    without = expected_electrons(scene, matrix, NO_CAVITIES)
    if large.all():
        return [Layer(large, electrons, without)]
    between = expected_electrons(scene, matrix, cavities.take(cavities.diameter_nm >= limit))
    return [Layer(large, between, without), Layer(~large, electrons, between)]


def _fits(scene: CavityScene, matrix: Foil, cavities: Cavities) -> NDArray[np.bool_]:
    """Which cavities have the foil around them; near an edge or the thin side of a wedge some would stick out."""
    step_nm, margin_nm = scene.pixel_nm / scene.oversample, margin_px(scene) * scene.pixel_nm
    angle = np.arange(8) * np.pi / 4
    fits = np.ones(len(cavities.diameter_nm), bool)
    for out in (0.0, 0.5, 0.8, 0.95):  # of the radius; a sphere's chord there is √(1 − out²) of the diameter
        reach_nm = out * cavities.diameter_nm[:, None] / 2
        at = tuple(
            np.clip((along[:, None] + reach_nm * way + margin_nm) / step_nm, 0, n - 1).astype(int)
            for along, way, n in zip(
                (cavities.row_nm, cavities.col_nm),
                (np.sin(angle), np.cos(angle)),
                matrix.uneven_nm.shape,
                strict=True,
            )
        )
        thickness_nm = scene.thickness_nm + matrix.uneven_nm[at].min(axis=1)
        fits &= thickness_nm >= np.sqrt(1 - out**2) * cavities.diameter_nm
    return fits


def expected_electrons(scene: CavityScene, matrix: Foil, cavities: Cavities) -> NDArray[np.float64]:
    """Mean number of electrons in each camera pixel, (H, W): the image without shot noise."""
    lens = Lens(scene.beam_keV, scene.defocus_nm, scene.cs_mm, scene.semiangle_mrad, scene.focal_spread_nm)
    wave = through_lens(_exit_wave(scene, matrix, cavities), lens, step_nm=scene.pixel_nm / scene.oversample)
    intensity = _on_camera(scene, np.square(np.abs(wave)))
    electrons: NDArray[np.float64] = scene.dose_e_per_A2 * (10 * scene.pixel_nm) ** 2 * intensity.astype(float)
    return electrons


def _exit_wave(scene: CavityScene, matrix: Foil, cavities: Cavities) -> NDArray[np.complex64]:
    """Wave behind the foil; a cavity takes σ·V0·chord from the phase and chord from what absorbs."""
    sigma = interaction_rad_per_V_nm(scene.beam_keV)
    margin_nm, step_nm = margin_px(scene) * scene.pixel_nm, scene.pixel_nm / scene.oversample
    vacuum = chords(_canvas(scene), step_nm, cavities, margin_nm, _facets(scene))
    # Overlapping cavities may hold more vacuum than there is foil.
    matter: Grid = np.maximum(matrix.uneven_nm - vacuum, -scene.thickness_nm)
    log_amplitude = -0.5 * ((scene.thickness_nm + matter) / scene.mean_free_path_nm + matrix.strain)
    phase = sigma * scene.mean_inner_potential_V * matter
    phase += matrix.speckle_rad
    return np.exp(log_amplitude + 1j * phase).astype(np.complex64)


def _on_camera(scene: CavityScene, intensity: Grid) -> Grid:
    """What each camera pixel receives, as a share of the beam: cut out, summed over the pixel, blurred."""
    k, margin = scene.oversample, margin_px(scene)
    wide = [n // k for n in intensity.shape]
    binned = intensity[: wide[0] * k, : wide[1] * k].reshape(wide[0], k, wide[1], k).mean(axis=(1, 3))
    if scene.drift_px:
        binned = _drifted(binned, scene.drift_px, scene.drift_deg)
    blurred: Grid = ndimage.gaussian_filter(binned, scene.camera_blur_px)
    rows, cols = scene.shape
    return blurred[margin : margin + rows, margin : margin + cols]


def _drifted(image: Grid, drift_px: float, drift_deg: float) -> Grid:
    """Mean over the image's way, as exact as Fourier interpolation."""
    down, across = (f(n).astype(np.float32) for f, n in zip((fft.fftfreq, fft.rfftfreq), image.shape, strict=True))
    angle = np.deg2rad(drift_deg)
    way = drift_px * (np.sin(angle) * down[:, None] + np.cos(angle) * across)
    drifted: Grid = fft.irfft2(fft.rfft2(image) * np.sinc(way).astype(np.float32), s=image.shape)
    return drifted


def _counts(scene: CavityScene, expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Electrons after shot noise, times the gain, as 16-bit integers."""
    electrons = _poisson(np.maximum(expected, 0), rng)
    if scene.scintillator:
        electrons = _spread(electrons, scene.scintillator)
    if scene.readout_e:
        electrons = electrons + rng.normal(0, scene.readout_e, electrons.shape)
    return np.clip(np.rint(electrons * scene.counts_per_electron), 0, CAMERA_MAXIMUM).astype(np.uint16)


def _spread(electrons: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Light of the scintillator: each electron gives a spot, so that neighbouring pixels share their noise.

    Source: transfer 1/(1 + (f/f½)²) as fitted to CCD cameras by Meyer & Kirkland, Microsc. Res. Tech. 49 (2000) 269.
    """
    pad = 16
    wide = np.pad(electrons, pad, mode="symmetric")
    q2 = np.add.outer(np.square(fft.fftfreq(wide.shape[0])), np.square(fft.rfftfreq(wide.shape[1])))
    spread: NDArray[np.float64] = fft.irfft2(fft.rfft2(wide) / (1 + q2 / half**2), s=wide.shape)
    return spread[pad:-pad, pad:-pad]


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


NO_CAVITIES = Cavities(np.empty(0), np.empty(0), np.empty(0), np.empty(0))

UNDERFOCUS = CavityScene()
OVERFOCUS = CavityScene(defocus_nm=1000.0)
DENSE = CavityScene(number=400.0, diameter_nm=4.0, diameter_sd_nm=0.8, dose_e_per_A2=60.0, speckle_rad=0.04)
EMPTY = CavityScene(number=0.0)
