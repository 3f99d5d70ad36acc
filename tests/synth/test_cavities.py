from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.core.errors import SettingsError
from epistem.synth.cavities import (
    EMPTY,
    Cavities,
    CavityScene,
    _poisson,
    draw_cavities,
    simulate,
)
from epistem.synth.optics import interaction_rad_per_V_nm, wavelength_nm
from epistem.synth.shapes import chords

CLEAN = CavityScene(shape=(96, 96), background=0.0, thickness_sd=0.0, speckle_rad=0.0, dose_e_per_A2=1e4)
CLEAN = replace(CLEAN, counts_per_electron=0.5)


def one(diameter_nm: float, row_px: float = 48.0, col_px: float = 48.0, pixel_nm: float = 0.3) -> Cavities:
    return Cavities(*(np.array([v]) for v in (row_px * pixel_nm, col_px * pixel_nm, 50.0, diameter_nm)))


def interior_and_rim(scene: CavityScene, diameter_nm: float) -> tuple[float, float]:
    """Contrast of the middle half of a centred cavity, and the largest around its edge, against the matrix."""
    pixels = simulate(scene, seed=0, cavities=one(diameter_nm)).micrograph.pixels.astype(float)
    radius = np.hypot(*(np.indices(pixels.shape) + 0.5 - 48)) * scene.pixel_nm / (diameter_nm / 2)
    matrix = np.median(pixels[radius > 4])
    rings = [pixels[(radius >= r) & (radius < r + 0.1)].mean() / matrix - 1 for r in np.arange(1, 1.6, 0.1)]
    return pixels[radius < 0.5].mean() / matrix - 1, max(rings, key=abs)


@pytest.mark.parametrize(
    ("keV", "pm", "sigma"), [(100, 3.7014, 9.2440), (200, 2.5079, 7.2884), (300, 1.9687, 6.5262)]
)
def test_wavelength_and_interaction_constant_are_the_tabulated_ones(keV: float, pm: float, sigma: float) -> None:
    # Kirkland 2010, tables 2.2 and 5.1, with today's constants of nature.
    assert wavelength_nm(keV) * 1000 == pytest.approx(pm, rel=1e-4)
    assert interaction_rad_per_V_nm(keV) * 1000 == pytest.approx(sigma, rel=1e-4)


def test_underfocus_makes_the_interior_bright_and_the_rim_dark_and_overfocus_reverses_both() -> None:
    transparent = replace(CLEAN, mean_free_path_nm=1e6)
    under = interior_and_rim(replace(transparent, defocus_nm=-600), 3.0)
    over = interior_and_rim(replace(transparent, defocus_nm=600), 3.0)
    assert under[0] > 0.05
    assert under[1] < -0.02
    assert over[0] < -0.05
    assert over[1] > 0.02


def test_contrast_of_a_small_cavity_rises_with_defocus() -> None:
    weak = replace(CLEAN, mean_free_path_nm=1e6, cs_mm=0.0, mean_inner_potential_V=2.0)
    contrast = [interior_and_rim(replace(weak, defocus_nm=-z), 6.0)[0] for z in (0, 50, 100, 200, 400)]
    assert abs(contrast[0]) < 0.002
    assert np.all(np.diff(contrast) > 0)


def test_without_phase_contrast_a_cavity_brightens_as_the_absorption_law_says() -> None:
    focused = replace(CLEAN, mean_inner_potential_V=0.0, defocus_nm=0.0, mean_free_path_nm=100.0)
    radius = 5.0
    seen = simulate(focused, seed=1, cavities=one(2 * radius)).micrograph.pixels[44:52, 44:52].mean()
    matrix = simulate(focused, seed=1, cavities=one(0.01)).micrograph.pixels[44:52, 44:52].mean()
    assert seen / matrix == pytest.approx(np.exp(2 * radius / 100), rel=0.01)


def test_the_matrix_lets_through_what_the_mean_free_path_says() -> None:
    pixels = simulate(replace(CLEAN, number=0, thickness_nm=60, mean_free_path_nm=80), seed=0).micrograph.pixels
    electrons = pixels.mean() / 0.5 / (1e4 * 9)
    assert electrons == pytest.approx(np.exp(-60 / 80), rel=1e-3)


@pytest.mark.parametrize(("row", "col"), [(20.0, 20.0), (20.3, 20.77), (20.5, 19.1)])
def test_projection_keeps_the_volume_of_a_small_sphere_wherever_its_centre_lies(row: float, col: float) -> None:
    vacuum = chords((40, 40), 0.5, one(4.0, row, col, 0.5), 0.0, None)
    assert vacuum.sum() * 0.25 == pytest.approx(np.pi / 6 * 4.0**3, rel=0.002)


def test_truth_of_a_whole_cavity_is_its_disc_and_diameter() -> None:
    truth = simulate(CLEAN, seed=0, cavities=one(6.0, 40.0, 50.0)).truth
    assert truth.boxes.tolist() == [[30, 40, 50, 60]]
    assert truth.columns["diameter_nm"].tolist() == [6.0]
    area = next(truth.masks()).crop.sum() * 0.09
    assert area == pytest.approx(np.pi * 9, rel=0.02)
    assert truth.classes == ("cavity",)


def test_a_cavity_cut_by_the_border_keeps_what_is_inside_and_its_true_diameter() -> None:
    truth = simulate(CLEAN, seed=0, cavities=one(6.0, 0.0, 48.0)).truth
    assert truth.boxes.tolist() == [[0, 38, 10, 58]]
    assert truth.columns["diameter_nm"].tolist() == [6.0]
    assert next(truth.masks()).crop.shape == (10, 20)


def test_a_cavity_outside_the_image_is_not_in_the_truth() -> None:
    assert len(simulate(CLEAN, seed=0, cavities=one(6.0, -11.0, 48.0)).truth) == 0


def test_nothing_of_the_far_border_leaks_in() -> None:
    beyond = simulate(CLEAN, seed=0, cavities=one(6.0, -40.0, 48.0)).micrograph.pixels[-5:].astype(float)
    without = simulate(CLEAN, seed=0, cavities=one(0.01)).micrograph.pixels[-5:].astype(float)
    assert np.abs(beyond - without).max() < 0.01 * without.mean()


def test_more_dose_less_noise_by_the_square_root() -> None:
    flat = replace(CLEAN, number=0, mean_inner_potential_V=0, counts_per_electron=1.0)
    noise = []
    for dose in (10, 40):
        pixels = simulate(replace(flat, dose_e_per_A2=dose), seed=3).micrograph.pixels
        noise.append(pixels.std() / pixels.mean())
    assert noise[0] / noise[1] == pytest.approx(2, rel=0.05)


def test_counting_noise_has_the_mean_and_variance_of_poisson() -> None:
    for mean in (0.5, 12.0, 800.0):
        counts = _poisson(np.full(400_000, mean), np.random.default_rng(0))
        assert counts.mean() == pytest.approx(mean, rel=0.01)
        assert counts.var() == pytest.approx(mean + (mean > 10) / 12, rel=0.007)
        skew = np.mean((counts - mean) ** 3) / mean**1.5
        assert skew == pytest.approx(mean**-0.5, abs=0.05)


def test_other_dose_and_defocus_show_the_same_foil() -> None:
    scene = CavityScene(shape=(128, 96))
    first = simulate(scene, seed=4).truth
    again = simulate(replace(scene, dose_e_per_A2=7, defocus_nm=-900), seed=4).truth
    assert again.columns["depth_nm"][:3].tolist() == first.columns["depth_nm"][:3].tolist()


def test_diameters_have_the_mean_and_spread_asked_for() -> None:
    rng = np.random.default_rng(1)
    drawn = draw_cavities(CavityScene(number=20_000, diameter_nm=9, diameter_sd_nm=3), margin_nm=0.0, rng=rng)
    assert len(drawn.diameter_nm) == 20_000
    assert drawn.diameter_nm.mean() == pytest.approx(9, rel=0.01)
    assert drawn.diameter_nm.std() == pytest.approx(3, rel=0.03)
    assert (drawn.depth_nm >= drawn.diameter_nm / 2).all()
    assert (drawn.depth_nm + drawn.diameter_nm / 2 <= 100).all()


def test_oversampling_changes_the_picture_little() -> None:
    images = [
        simulate(replace(CLEAN, oversample=k), seed=0, cavities=one(6.0)).micrograph.pixels.astype(float)
        for k in (2, 4)
    ]
    assert np.abs(images[0] - images[1]).max() < 0.05 * images[1].mean()


def test_saturated_pixels_are_counted_in_a_warning() -> None:
    bright = simulate(replace(EMPTY, shape=(32, 32), counts_per_electron=400), seed=0).micrograph
    assert "100.0% of the pixels saturate" in bright.warnings[0]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"pixel_nm": 0.0}, "pixel_nm is a positive number"),
        ({"dose_e_per_A2": float("nan")}, "dose_e_per_A2 is a positive number"),
        ({"number": -1}, "number is a number of at least 0"),
        ({"diameter_nm": 120.0}, "make the foil thicker"),
        ({"shape": (0, 5)}, "at least one row"),
    ],
)
def test_meaningless_settings_are_refused(setting: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CavityScene(**setting)  # type: ignore[arg-type]


@pytest.mark.parametrize(("row", "col"), [(48.0, 48.0), (30.25, 60.6)])
def test_the_picture_lies_where_the_truth_says(row: float, col: float) -> None:
    absorbing = replace(CLEAN, thickness_nm=20.0, mean_free_path_nm=20.0, shape=(96, 80))
    focused = replace(absorbing, mean_inner_potential_V=0.0, defocus_nm=0.0)
    micrograph, truth = simulate(focused, seed=0, cavities=one(6.0, row, col))
    signal = micrograph.pixels - np.median(micrograph.pixels.astype(float))
    signal[np.abs(signal) < 0.1 * signal.max()] = 0
    centre = [(np.indices(signal.shape)[axis] + 0.5).ravel() @ signal.ravel() / signal.sum() for axis in (0, 1)]
    assert centre == pytest.approx(truth.centres[0].tolist(), abs=0.05)
