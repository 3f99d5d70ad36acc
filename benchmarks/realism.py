"""How near simulated images come to real ones and to another's calculation: main.profile_…, main.texture_…

Profiles: one sphere at a time, our radial intensity against the computed tables of `cosmic_backgrounds`, which were
made before any camera and for a foil and microscope that are not told. Ours are those of `microscopes`, not fitted;
only the mean free path of the second and third is what the middle of the tables' large cavities says.

Textures: the real cavity-free fields, four 512 px corners of each, against simulated fields without cavities at zero
defocus, both 8 bit; and, under `….unlabelled`, the middle 512 px of unlabelled images, which hold cavities, against
simulated fields with cavities as they are drawn for training. That needs --without: the families of those images that
share a source with labelled test images, which nothing may be judged by before the test.

The classifier is tested on specimen areas it was not trained on; 0.5 is indistinguishable.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.record import record
from benchmarks.study import study_data
from epistem.core import SettingsError
from epistem.synth import SCENES
from epistem.synth.cavities import CavityScene, simulate
from epistem.synth.sets import draw_scene
from epistem.synth.shapes import Cavities

COMMAND = "python -m benchmarks.realism"
FOLDER = "cosmic_backgrounds"
UNLABELLED = "cavity_tem_unlabelled"
Array = NDArray[np.float64]

DEFOCI_NM = (-2000, -1500, -1000, -700, -500, -300, 300, 500, 700)
RADII_NM = (1, 2, 3, 5, 8, 12, 20, 30, 40)
RHO = np.linspace(0, 1.5, 151)  # of the tables, r/radius
COUNTS = 1500  # grey value of the foil: a cavity of 80 nm is 30 times brighter and still fits 16 bits

SIZE_PX = 512
SIMULATED = 120
Simulation = Literal["empty", "wide", "cavities"]


class Tables(NamedTuple):
    """Another's profiles: intensity over that of the foil, (defocus, radius, RHO), negative defocus is underfocus."""

    defocus_nm: list[int]
    radius_nm: list[int]
    profile: Array

    def at(self, defocus_nm: int, radius_nm: int) -> Array:
        """One profile, (151,)."""
        found: Array = self.profile[self.defocus_nm.index(defocus_nm), self.radius_nm.index(radius_nm)]
        return found

    def mean_free_path_nm(self) -> float:
        """What ln(intensity) = chord / mean free path says inside cavities too large for their rim to matter."""
        inside = (RHO > 0.1) & (RHO < 0.6)
        chord = [2 * radius * np.sqrt(1 - RHO[inside] ** 2) for radius in (20, 30, 40)]
        log = [np.log(self.at(-300, radius)[inside]) for radius in (20, 30, 40)]
        return float(np.sum(np.square(chord)) / np.sum(np.multiply(chord, log)))


class Agreement(NamedTuple):
    """Of two profiles: Pearson's correlation, and ours over theirs in amplitude (slope; 1 is right)."""

    correlation: float
    amplitude: float


class Texture(NamedTuple):
    """One field in numbers that neither brightness nor gain changes.

    Attributes:
        spectrum_slope: of log power over log frequency, 1/64 to 1/4 cycles/px; 0 is white, −4 smooth.
        anisotropy: 0 to 1, second harmonic of the power over the angle, each frequency alike, 1/64 to 1/8 cycles/px.
        skewness: (q95 + q05 − 2·q50) / (q95 − q05), negative with dark features.
        tails: (q97.5 − q2.5) / (q75 − q25); 2.9 is normal.
        local_contrast: median standard deviation in 16 px windows over that of the field.
        local_spread: log ratio of the 95 % to the 5 % quantile of those.
        noise_share: standard deviation of the finest diagonal Haar wavelet over that of the field; 1 is all noise.
        noise_grain: the second finest over the finest; 1 is white noise, more is noise that went through a lens.
    """

    spectrum_slope: float
    anisotropy: float
    skewness: float
    tails: float
    local_contrast: float
    local_spread: float
    noise_share: float
    noise_grain: float


def radial_profile(image: Array, radius_px: float) -> Array:
    """Mean over circles round the centre at RHO times the radius, (151,)."""
    rows, cols = (np.arange(n) - (n - 1) / 2 for n in image.shape)
    ring = np.rint(np.hypot(rows[:, None], cols)).astype(int).ravel()
    mean = np.bincount(ring, image.ravel()) / np.maximum(np.bincount(ring), 1)
    return np.interp(RHO * radius_px, np.arange(len(mean)), mean)


def our_profile(microscope: CavityScene, defocus_nm: float, radius_nm: float) -> Array:
    """Intensity over that of the foil of one sphere at RHO, (151,): no noise to speak of, no camera, nothing else."""
    pixel_nm = float(np.clip(radius_nm / 25, 0.05, 0.5))
    half_px = int((2.4 * radius_nm + 4) / pixel_nm)
    foil_nm = max(microscope.thickness_nm, 2.5 * radius_nm)
    electrons = 1e7
    scene = replace(
        microscope, shape=(2 * half_px + 1, 2 * half_px + 1), pixel_nm=pixel_nm, defocus_nm=defocus_nm,
        number=0, diameter_nm=2 * radius_nm, diameter_sd_nm=0, thickness_nm=foil_nm,
        thickness_sd=0, background=0, speckle_rad=0, camera_blur_px=0,
        dose_e_per_A2=electrons / (10 * pixel_nm) ** 2 * np.exp(foil_nm / microscope.mean_free_path_nm),
        counts_per_electron=COUNTS / electrons,
    )  # fmt: skip
    middle = (half_px + 0.5) * pixel_nm
    sphere = Cavities(*(np.array([value]) for value in (middle, middle, foil_nm / 2, 2.0 * radius_nm)))
    pixels = simulate(scene, seed=0, cavities=sphere).micrograph.pixels
    return radial_profile(pixels.astype(float) / COUNTS, radius_nm / pixel_nm)


def agreement(ours: Array, theirs: Array) -> Agreement:
    """Of two profiles at the same radii."""
    return Agreement(float(np.corrcoef(ours, theirs)[0, 1]), float(np.polyfit(theirs, ours, 1)[0]))


def texture(image: Array) -> Texture:
    """Of a square field, side divisible by 16."""
    image = image.astype(float)
    q = np.quantile(image, [0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975])
    n, sd = len(image) // 16, image.std()
    windows = image.reshape(n, 16, n, 16).swapaxes(1, 2).reshape(n * n, 256).std(axis=1) / sd
    low, middle, high = np.quantile(windows, [0.05, 0.5, 0.95])
    quarters = image.reshape(8 * n, 2, 8 * n, 2).sum(axis=(1, 3)) / 2
    fine = _diagonal(image)
    return Texture(
        *_spectrum(image),
        skewness=float((q[5] + q[1] - 2 * q[3]) / (q[5] - q[1])),
        tails=float((q[6] - q[0]) / (q[4] - q[2])),
        local_contrast=float(middle),
        local_spread=float(np.log(high / low)),
        noise_share=fine / sd,
        noise_grain=_diagonal(quarters) / fine,
    )


def _spectrum(image: Array) -> tuple[float, float]:
    """Slope and anisotropy."""
    n = len(image)
    window = np.hanning(n)
    power = np.abs(np.fft.fft2((image - image.mean()) * np.outer(window, window))) ** 2
    down, across = np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)
    frequency = np.hypot(down, across)
    ring = np.rint(frequency * n).astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    edges = np.geomspace(1 / 64, 1 / 4, 9)
    at = np.arange(len(mean)) / n
    bands = [mean[(at >= low) & (at < high)].mean() for low, high in pairwise(edges)]
    slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(bands), 1)[0]
    band = (frequency >= 1 / 64) & (frequency <= 1 / 8)
    alike = power[band] / mean[ring[band]]
    turned = np.exp(2j * np.arctan2(*np.broadcast_arrays(down, across))[band])
    return float(slope), float(np.abs(np.sum(alike * turned)) / np.sum(alike))


def _diagonal(image: Array) -> float:
    # The median of 8-bit values without noise is 0, hence the mean: σ = √(π/2)·mean(|HH|).
    diagonal = image[::2, ::2] - image[1::2, ::2] - image[::2, 1::2] + image[1::2, 1::2]
    return float(np.abs(diagonal).mean() / 2 * np.sqrt(np.pi / 2))


def within(real: Array, simulated: Array) -> Array:
    """Share of real values (n, k) in the 5–95 % range of simulated ones (m, k), for each of k; 0.9 is ideal."""
    low, high = np.quantile(simulated, [0.05, 0.95], axis=0)
    share: Array = ((real >= low) & (real <= high)).mean(axis=0)
    return share


def told_apart(real: Array, simulated: Array, areas: list[str]) -> tuple[float, float, float]:
    """Area under the ROC curve of a random forest, real against simulated: lowest fold, all, highest fold."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    x = np.concatenate([real, simulated])
    is_real = np.arange(len(x)) < len(real)
    groups = np.array([*areas, *(f"seed {i}" for i in range(len(simulated)))])
    score, by_fold = np.zeros(len(x)), []
    for train, test in StratifiedGroupKFold(4, shuffle=True, random_state=0).split(x, is_real, groups):
        forest = RandomForestClassifier(300, class_weight="balanced", min_samples_leaf=3, random_state=0)
        score[test] = forest.fit(x[train], is_real[train]).predict_proba(x[test])[:, 1]
        by_fold.append(float(roc_auc_score(is_real[test], score[test])))
    everything = float(roc_auc_score(is_real, score))
    return min(*by_fold, everything), everything, max(*by_fold, everything)


def specimen_area(file: str) -> str:
    """Fields of one area must not be on both sides of a split; the file names tell which are."""
    if "TEM-BF" in file:
        return "TEM-BF"
    return "x350" if "_x35" in file else file.split("_")[0]


def real_fields(folder: Path) -> tuple[Array, list[str], list[float]]:
    """Textures (n, k), areas and pixel sizes [nm] of the four corners of each real field."""
    rows, areas, pixels_nm = [], [], []
    for line in csv.DictReader((folder / "images.csv").read_text("utf-8").splitlines()):
        image = np.asarray(Image.open(folder / "images" / line["file"]).convert("L"))
        for down in (image[:SIZE_PX], image[-SIZE_PX:]):
            for corner in (down[:, :SIZE_PX], down[:, -SIZE_PX:]):
                rows.append(texture(corner))
                areas.append(specimen_area(line["file"]))
                pixels_nm.append(float(line["nm_per_px"]))
    return np.array(rows), areas, pixels_nm


def unlabelled_fields(folder: Path, without: Sequence[str]) -> tuple[Array, list[str]]:
    """Textures (n, k) and areas of the middle of each unlabelled image that is here and of no family left out.

    Raises:
        SettingsError: a family that no image is of.
    """
    lines = list(csv.DictReader((folder / "images.csv").read_text("utf-8").splitlines()))
    known = {line["family"] for line in lines}
    if strange := sorted(set(without) - known):
        raise SettingsError(f"no image is of the family {', '.join(strange)}; there are {', '.join(sorted(known))}")
    rows, areas = [], []
    for line in lines:
        path = folder / "images" / line["file"]
        if line["family"] in without or not path.is_file():
            continue
        image = np.asarray(Image.open(path).convert("L"))
        top, left = ((edge - SIZE_PX) // 2 for edge in image.shape)
        # The middle, as scale bars lie at the edge.
        rows.append(texture(image[top : top + SIZE_PX, left : left + SIZE_PX]))
        # 04.png and 04_02.png, or 5-1_59K.png and 5-3_59K.png, may show one specimen.
        areas.append(f"{line['family']} {re.split('[-_.]', line['file'])[0]}")
    return np.array(rows), areas


def simulated_fields(name: Simulation, pixels_nm: list[float]) -> Array:
    """Textures (m, k) of fields without cavities in focus, the scene `empty` at the real pixel sizes or of a set; of
    the set `wide` with its cavities and defocus for `cavities`."""
    rows = []
    for i in range(SIMULATED):
        if name == "empty":
            scene = replace(SCENES["empty"], pixel_nm=pixels_nm[4 * i % len(pixels_nm)])
        elif name == "cavities":
            scene = draw_scene("wide", "any", rng=np.random.default_rng(i))
        else:
            scene = replace(draw_scene(name, "any", rng=np.random.default_rng(i)), number=0, bubbles=0, defocus_nm=0)
        pixels = simulate(scene, seed=i).micrograph.pixels.astype(float)
        black, white = pixels.min(), pixels.max()
        rows.append(texture(np.rint((pixels - black) * (255 / (white - black)))))
    return np.array(rows)


def microscopes(tables: Tables) -> dict[str, CavityScene]:
    """Stated, not fitted: a steel, the same as absorbing as the tables, and that with coherent light."""
    steel = CavityScene()
    absorbing = replace(steel, mean_free_path_nm=tables.mean_free_path_nm())
    coherent = replace(absorbing, semiangle_mrad=0.1, focal_spread_nm=0)
    return {"": steel, ".absorbing": absorbing, ".coherent": coherent}


def measure_profiles(tables: Tables, *, dry: bool) -> None:
    """Correlation and amplitude for every microscope, by focus and radius."""
    grid = [(defocus, radius) for defocus in DEFOCI_NM for radius in RADII_NM]
    under = np.array([defocus < 0 for defocus, _ in grid])
    for name, scene in microscopes(tables).items():
        found = np.array([agreement(our_profile(scene, *at), tables.at(*at)) for at in grid])
        of_radius = {r: np.median(found[[at[1] == r for at in grid]], axis=0).round(3).tolist() for r in RADII_NM}
        print(f"profiles{name}: by radius [nm] (correlation, amplitude) {of_radius}")
        worst = grid[int(found[:, 0].argmin())]
        lens = f"{scene.beam_keV:g} keV, Cs {scene.cs_mm:g} mm, {scene.semiangle_mrad:g} mrad"
        matter = f"{scene.mean_inner_potential_V:g} V, mean free path {scene.mean_free_path_nm:.1f} nm"
        by_focus = f"under {np.median(found[under, 0]):.3f}, over {np.median(found[~under, 0]):.3f}"
        what = (
            f"{lens}, {matter}; median, 5 and 95 % over {len(grid)} pairs of defocus and radius of {FOLDER}; "
            f"{by_focus}, worst {found[:, 0].min():.2f} at defocus {worst[0]} nm, radius {worst[1]} nm"
        )
        _tell(f"main.profile_correlation{name}", np.quantile(found[:, 0], [0.05, 0.5, 0.95]), what, dry=dry)
        _tell(f"main.profile_amplitude{name}", np.quantile(found[:, 1], [0.05, 0.5, 0.95]), what, dry=dry)


def measure_textures(folder: Path, *, dry: bool) -> None:
    """Cavity-free fields against the plain scene and the training set without cavities."""
    real, areas, pixels_nm = real_fields(folder)
    names: tuple[Simulation, ...] = ("wide", "empty")
    for name in names:
        what = f"{len(real)} corners of {len(real) // 4} fields of {FOLDER} against {SIMULATED} of '{name}'"
        suffix = "" if name == "wide" else f".{name}"
        tell_textures(suffix, real, simulated_fields(name, pixels_nm), areas, what, dry=dry)


def measure_unlabelled(folder: Path, without: Sequence[str], *, dry: bool) -> None:
    """Images with cavities against the training set with its own."""
    real, areas = unlabelled_fields(folder, without)
    what = (
        f"the middle of {len(real)} images of {UNLABELLED} without {', '.join(without)} against {SIMULATED} of "
        "'wide' with cavities, defocused"
    )
    command = f"{COMMAND} --without {' '.join(without)}"
    tell_textures(".unlabelled", real, simulated_fields("cavities", []), areas, what, dry=dry, command=command)


def tell_textures(
    suffix: str, real: Array, simulated: Array, areas: list[str], what: str, *, dry: bool, command: str = COMMAND
) -> None:
    """Share within, Kolmogorov–Smirnov distance and area under the curve."""
    from scipy.stats import ks_2samp

    share = within(real, simulated)
    distance = np.array([ks_2samp(a, b).statistic for a, b in zip(real.T, simulated.T, strict=True)])
    for i, feature in enumerate(Texture._fields):
        spread = [np.quantile(x[:, i], [0.05, 0.5, 0.95]).round(3).tolist() for x in (real, simulated)]
        print(f"{what}: {feature} within {share[i]:.2f}, KS {distance[i]:.2f}; real {spread[0]}, ours {spread[1]}")
    over = f"{what}; mean, lowest and highest of {len(share)} features"
    folds = f"{what}; all, lowest and highest of 4 folds that share no specimen area"
    for name, spread, data in (
        ("within", (share.min(), share.mean(), share.max()), over),
        ("distance", (distance.min(), distance.mean(), distance.max()), over),
        ("auc", told_apart(real, simulated, areas), folds),
    ):
        _tell(f"main.texture_{name}{suffix}", spread, data, dry=dry, command=command)


def _tell(name: str, spread: tuple[float, ...] | Array, data: str, *, dry: bool, command: str = COMMAND) -> None:
    low, value, high = (round(float(x), 3) for x in spread)
    if dry:
        print(f"{name} = {value} ({low} to {high}); {data}")
    else:
        record(name, value, low=low, high=high, target="reported", command=command, data=data)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record, or with --dry only print; 0 also where the data are not here, which is said."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--without", nargs="+", metavar="FAMILY", help=f"of {UNLABELLED}, which then are measured")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    dry = asked.dry
    folder = study_data(FOLDER)
    if folder is None:
        print(f"skipped: EPISTEM_STUDY_DATA does not lead to {FOLDER}")
        return 0
    with np.load(folder / "fresnel_contrast_tables.npz") as stored:
        tables = Tables(stored["defocus"].tolist(), stored["r0"].tolist(), stored["profile"].astype(float))
    measure_profiles(tables, dry=dry)
    measure_textures(folder, dry=dry)
    unlabelled = study_data(UNLABELLED)
    if unlabelled is None or not asked.without:
        print(f"skipped {UNLABELLED}: " + ("--without is not given" if unlabelled else "it is not here"))
    else:
        measure_unlabelled(unlabelled, asked.without, dry=dry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
