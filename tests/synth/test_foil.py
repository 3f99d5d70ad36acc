from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft, ndimage

from epistem.core.errors import SettingsError
from epistem.synth import foil
from epistem.synth.cavities import (
    NO_CAVITIES,
    CavityScene,
    Foil,
    _counts,
    expected_electrons,
    make_foil,
    margin_px,
    simulate,
)
from epistem.synth.shapes import Cavities

BARE = CavityScene(
    shape=(96, 112), number=0, background=0.0, thickness_sd=0.0, speckle_rad=0.0, semiangle_mrad=0.8, oversample=1
)
IN_FOCUS = replace(BARE, defocus_nm=0.0, cs_mm=0.0, mean_inner_potential_V=0.0, focal_spread_nm=0.0)
FLAT_E = BARE.dose_e_per_A2 * (10 * BARE.pixel_nm) ** 2 * np.exp(-BARE.thickness_nm / BARE.mean_free_path_nm)
INGREDIENTS = {
    "thickness_sd": 0.05,
    "wedge": 0.3,
    "edge": 0.3,
    "background": 0.5,
    "speckle_rad": 0.05,
    "clouds": 0.2,
    "mottle": 0.2,
    "fringes": 0.3,
    "grains": 0.2,
    "dislocations": 6.0,
    "precipitates": 12.0,
}
CANVAS = (128, 160)


def matrix(scene: CavityScene, seed: int = 0) -> Foil:
    """The foil that `simulate` makes with this seed."""
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    return make_foil(scene, streams[1], streams[2], streams[4])


def light_e(scene: CavityScene, seed: int = 0) -> NDArray[np.float64]:
    """Mean electrons of the foil without cavities."""
    return expected_electrons(scene, matrix(scene, seed), NO_CAVITIES)


def darkness(seed: int, canvas: tuple[int, int] = CANVAS, **parts: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return foil.diffraction(replace(BARE, **parts), canvas, BARE.pixel_nm, rng)  # type: ignore[arg-type]


def test_a_foil_of_nothing_is_flat_whatever_the_sizes_of_what_it_lacks() -> None:
    sizes = replace(BARE, mottle_nm=5.0, texture_scale=3.0, precipitate_nm=9.0, speckle_length_nm=2.0, drift_deg=30.0)
    assert light_e(sizes) == pytest.approx(np.full(BARE.shape, FLAT_E), rel=1e-4)


@pytest.mark.parametrize("name", INGREDIENTS)
def test_each_ingredient_shows_and_the_same_seed_shows_the_same(name: str) -> None:
    scene = replace(BARE, **{name: INGREDIENTS[name]})
    first = light_e(scene, seed=1)
    assert np.abs(np.log(first / FLAT_E)).mean() > 0.002
    assert np.array_equal(first, light_e(scene, seed=1))
    assert not np.array_equal(first, light_e(scene, seed=2))


@pytest.mark.parametrize("name", ["thickness_sd", "wedge", "background", "clouds", "mottle", "fringes", "grains"])
def test_twice_the_strength_is_twice_the_logarithm(name: str) -> None:
    # In focus and without phase the image is what the foil lets through.
    logs = [np.log(light_e(replace(IN_FOCUS, **{name: s * INGREDIENTS[name]}), seed=1) / FLAT_E) for s in (0.05, 0.1)]
    assert np.abs(logs[0]).max() > 1e-3
    assert logs[1] == pytest.approx(2 * logs[0], abs=0.05 * np.abs(logs[0]).max())


@pytest.mark.parametrize("name", ["background", "mottle", "fringes"])
def test_strain_mottling_and_bend_contours_only_darken(name: str) -> None:
    for seed in range(4):
        assert light_e(replace(IN_FOCUS, **{name: 0.5}), seed).max() <= FLAT_E * 1.0001


def test_clouds_only_darken_in_most_foils_and_do_both_in_the_others() -> None:
    both = [darkness(seed, clouds=0.3).min() < 0 for seed in range(60)]
    assert 0.2 < np.mean(both) < 0.6


def test_grains_differ_in_grey_by_the_spread_asked_for_and_are_even_inside() -> None:
    fields = [darkness(seed, (48, 48), grains=0.2) for seed in range(150)]
    assert np.std([field[24, 24] for field in fields]) == pytest.approx(0.2, rel=0.2)
    steps = [np.abs(np.diff(field)) for field in fields]
    assert np.median([np.median(step) for step in steps]) < 1e-6
    assert np.median([step.max() for step in steps]) > 0.02


def test_dislocations_and_precipitates_are_dark_more_often_than_bright() -> None:
    for part in ({"dislocations": 4.0}, {"precipitates": 15.0}):
        fields = [darkness(seed, **part) for seed in range(12)]
        assert np.mean([field.mean() for field in fields]) > 0
        assert np.mean([field.max() for field in fields]) > np.mean([-field.min() for field in fields])


def test_precipitates_are_as_many_as_asked_for() -> None:
    # The canvas is wider than the image; the number asked for is that in the image.
    canvas, image_nm = (400, 400), np.array(BARE.shape) * BARE.pixel_nm
    share = np.prod(np.array(canvas) * BARE.pixel_nm) / np.prod(image_nm)
    counts = [
        ndimage.label(np.abs(darkness(s, canvas, precipitates=4.0, precipitate_nm=1.5)) > 0.03)[1] for s in range(8)
    ]
    assert np.mean(counts) == pytest.approx(4 * share, rel=0.2)


@pytest.mark.parametrize("size_nm", [3.0, 6.0])
def test_precipitates_are_at_half_their_height_as_wide_as_asked_for(size_nm: float) -> None:
    widths_nm = []
    for seed in range(6):
        field = np.abs(darkness(seed, (300, 300), precipitates=1.0, precipitate_nm=size_nm))
        labels, n = ndimage.label(field > 0.01)
        tops = ndimage.maximum(field, labels, np.arange(n + 1))
        areas = ndimage.sum_labels(field > tops[labels] / 2, labels, np.arange(1, n + 1))
        widths_nm += (2 * np.sqrt(areas / np.pi) * BARE.pixel_nm).tolist()
    assert np.median(widths_nm) == pytest.approx(size_nm, rel=0.2)


def test_dots_near_the_border_are_cut_and_none_is_an_empty_field() -> None:
    assert np.isfinite(darkness(0, (9, 300), precipitates=30.0, precipitate_nm=20.0)).all()
    assert not darkness(0).any()


def test_a_wedge_changes_the_thickness_from_side_to_side_by_its_share() -> None:
    for seed in range(3):
        uneven_nm = matrix(replace(BARE, wedge=0.4), seed).uneven_nm
        down, across = uneven_nm[-1, 0] - uneven_nm[0, 0], uneven_nm[0, -1] - uneven_nm[0, 0]
        assert np.hypot(down, across) == pytest.approx(0.4 * BARE.thickness_nm, rel=1e-4)
        assert uneven_nm.mean() == pytest.approx(0, abs=1e-3)


def test_thickness_waves_have_the_spread_asked_for() -> None:
    wide = replace(BARE, thickness_sd=0.05)
    spread_nm = [foil.uneven_nm(wide, (64, 64), 50.0, np.random.default_rng(seed)).std() for seed in range(12)]
    assert np.mean(spread_nm) == pytest.approx(0.05 * BARE.thickness_nm, rel=0.1)


def test_beyond_the_edge_there_is_the_bare_beam() -> None:
    beam_e = BARE.dose_e_per_A2 * (10 * BARE.pixel_nm) ** 2
    for seed in range(3):
        scene = replace(IN_FOCUS, edge=0.4, background=0.5, speckle_rad=0.1)
        empty = matrix(scene, seed).uneven_nm <= -BARE.thickness_nm
        assert empty.mean() == pytest.approx(0.4, abs=0.01)
        margin = margin_px(scene)
        inside = ndimage.binary_erosion(empty, iterations=6)[margin : margin + 96, margin : margin + 112]
        seen = light_e(scene, seed)
        if inside.any():
            assert seen[inside] == pytest.approx(beam_e, rel=0.02)
        assert seen[~inside].mean() < 0.9 * beam_e


def test_no_cavity_hangs_beyond_the_edge_or_sticks_out_of_a_wedge() -> None:
    place_nm = (np.arange(1, 10) * 3.0) + 0.15
    row, col = (axis.ravel() for axis in np.meshgrid(place_nm, place_nm, indexing="ij"))
    many = Cavities(row, col, np.full(81, 10.0), np.full(81, 2.0), np.zeros(81, bool))
    left = []
    wedge = replace(BARE, wedge=1.0, thickness_nm=20)
    for scene, diameter_nm in ((replace(BARE, edge=0.5), 2.0), (replace(BARE, edge=0.5), 8.0), (wedge, 18.0)):
        for seed in range(3):
            given = many._replace(diameter_nm=np.full(81, diameter_nm))
            truth = simulate(scene, seed=seed, cavities=given).truth
            whole = (truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1) > 0.99 * diameter_nm / scene.pixel_nm
            at = (truth.centres[whole] + margin_px(scene)).astype(int)
            thickness_nm = scene.thickness_nm + matrix(scene, seed).uneven_nm[tuple(at.T)]
            assert (thickness_nm >= diameter_nm).all()
            left.append(len(truth))
    assert 0 < min(left)
    assert max(left) < 81


def test_no_part_of_a_foil_is_thinner_than_nothing() -> None:
    # In focus and without noise to speak of, nothing is brighter than the bare beam.
    beam_e = BARE.dose_e_per_A2 * (10 * BARE.pixel_nm) ** 2
    place_nm = np.arange(1, 8) * 4.0
    row, col = (axis.ravel() for axis in np.meshgrid(place_nm, place_nm, indexing="ij"))
    many = Cavities(row, col, np.full(49, 20.0), np.full(49, 12.0))
    for seed in range(3):
        scene = replace(IN_FOCUS, edge=0.3, thickness_nm=30.0)
        seen = simulate(scene, seed=seed, cavities=many).micrograph.pixels / scene.counts_per_electron
        assert ndimage.uniform_filter(seen.astype(float), 9).max() < 1.15 * beam_e


def test_an_even_foil_keeps_every_cavity_given() -> None:
    few = Cavities(np.array([9.0, 20.0]), np.array([9.0, 20.0]), np.full(2, 50.0), np.full(2, 5.0))
    assert len(simulate(BARE, seed=0, cavities=few).truth) == 2


@pytest.mark.parametrize("slope", [0.0, 2.0, 3.5])
def test_a_rough_field_has_variance_1_and_the_slope_asked_for(slope: float) -> None:
    rng = np.random.default_rng(0)
    field = foil.rough_field((256, 320), 0.5, longest_nm=40.0, shortest_nm=0.02, slope=slope, rng=rng)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.var() == pytest.approx(1, rel=1e-4)
    power = np.abs(fft.fft2(field)) ** 2
    q = 2 * np.pi * np.hypot(fft.fftfreq(256, 0.5)[:, None], fft.fftfreq(320, 0.5))
    band = (q > 10 / 40) & (q < 5)
    assert np.polyfit(np.log(q[band]), np.log(power[band]), 1)[0] == pytest.approx(-slope, abs=0.1)


def test_a_rough_field_is_smooth_below_its_shortest_length_and_even_beyond_its_longest() -> None:
    rng = np.random.default_rng(0)
    field = foil.rough_field((300, 300), 0.5, longest_nm=5.0, shortest_nm=1.0, slope=3.0, rng=rng)
    power = np.abs(fft.fft2(field)) ** 2
    q = 2 * np.pi * np.hypot(fft.fftfreq(300, 0.5)[:, None], fft.fftfreq(300, 0.5))
    assert power[(q > 0.01) & (q < 0.05)].mean() == pytest.approx(power[(q > 0.05) & (q < 0.08)].mean(), rel=0.25)
    assert power[q > 4].max() < 1e-4 * power[(q > 0.05) & (q < 0.2)].mean()


@pytest.mark.parametrize("angle_rad", [0.0, np.pi / 2])
def test_a_stretched_rough_field_is_longer_along_its_angle(angle_rad: float) -> None:
    field = foil.rough_field(
        (256, 256), 1.0, longest_nm=6.0, shortest_nm=2.0, slope=3.0, stretch=4.0, angle_rad=angle_rad,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    roughness = [float(np.mean(np.diff(field, axis=axis) ** 2)) for axis in (0, 1)]
    across, along = roughness if angle_rad == 0 else roughness[::-1]
    assert np.sqrt(across / along) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("length_nm", [1.5, 4.0])
def test_a_smooth_field_is_normal_and_forgets_over_its_length(length_nm: float) -> None:
    field = foil.smooth_field((600, 500), 0.5, length_nm, np.random.default_rng(1)).astype(float)
    assert field.mean() == pytest.approx(0, abs=0.15)
    assert field.var() == pytest.approx(1, rel=0.15)
    for lengths in (1, 2):
        lag = round(lengths * length_nm / 0.5)
        for pair in (field[lag:] * field[:-lag], field[:, lag:] * field[:, :-lag]):
            assert pair.mean() / field.var() == pytest.approx(np.exp(-(lengths**2) / 4), abs=0.08)


def test_a_length_beyond_the_canvas_is_all_but_constant() -> None:
    field = foil.smooth_field((40, 50), 0.5, 2000.0, np.random.default_rng(0))
    assert np.ptp(field) < 0.05


def test_white_speckle_has_its_spread_over_square_nanometres_whatever_the_grid() -> None:
    for step_nm in (0.1, 0.25):
        n = round(1 / step_nm)
        scene = replace(BARE, speckle_rad=0.03)
        phase = foil.speckle_rad(scene, (60 * n, 60 * n), step_nm, np.random.default_rng(0))
        assert phase.reshape(60, n, 60, n).mean(axis=(1, 3)).std() == pytest.approx(0.03, rel=0.05)


def test_correlated_speckle_is_smooth_over_its_length_and_as_strong_as_white_over_large_areas() -> None:
    scene = replace(BARE, speckle_rad=0.03, speckle_length_nm=1.0)
    phase = foil.speckle_rad(scene, (2000, 2000), 0.5, np.random.default_rng(0)).astype(float)
    assert np.mean(phase[2:] * phase[:-2]) / phase.var() == pytest.approx(np.exp(-1 / 4), abs=0.02)
    tiles = phase.reshape(50, 40, 50, 40).mean(axis=(1, 3))  # 20 nm
    assert tiles.std() * 20 == pytest.approx(0.03, rel=0.12)


@pytest.mark.parametrize("drift_deg", [0.0, 90.0, 30.0])
def test_drift_blurs_along_its_direction_only(drift_deg: float) -> None:
    still = replace(IN_FOCUS, thickness_nm=20.0, mean_free_path_nm=20.0, drift_deg=drift_deg)
    one = Cavities(*(np.array([v]) for v in (14.4, 16.8, 10.0, 4.0)))
    at = np.indices(still.shape).reshape(2, -1)
    spread = []
    for scene in (still, replace(still, drift_px=9.0)):
        clean = matrix(scene)
        signal = expected_electrons(scene, clean, one) - expected_electrons(scene, clean, NO_CAVITIES)
        spread.append((signal.sum(), np.cov(at, aweights=np.maximum(signal.ravel(), 0), ddof=0)))
    assert spread[1][0] == pytest.approx(spread[0][0], rel=1e-3)
    way = np.array([np.sin(np.deg2rad(drift_deg)), np.cos(np.deg2rad(drift_deg))])
    assert spread[1][1] - spread[0][1] == pytest.approx(9.0**2 / 12 * np.outer(way, way), abs=0.2)


def noise(seed: int = 0, *, mean_e: float = 50.0, **camera: float) -> NDArray[np.float64]:
    """Electrons that the camera tells of an even light, in fine steps of grey."""
    scene = replace(BARE, counts_per_electron=400.0, **camera)  # type: ignore[arg-type]
    return _counts(scene, np.full((256, 200), mean_e), np.random.default_rng(seed)) / 400.0


@pytest.mark.parametrize("half", [0.15, 0.3, 0.6])
def test_a_scintillator_shares_noise_with_its_neighbours_as_its_transfer_says(half: float) -> None:
    seen = noise(scintillator=half)
    assert seen.mean() == pytest.approx(50, rel=0.002)
    f = np.hypot(*np.meshgrid(fft.fftfreq(256), fft.fftfreq(256)))
    shared = fft.ifft2(50 / (1 + (f / half) ** 2) ** 2).real
    left = seen - seen.mean()
    assert left.var() == pytest.approx(shared[0, 0], rel=0.04)
    for lag in (1, 2):
        assert np.mean(left[lag:] * left[:-lag]) == pytest.approx(shared[lag, 0], abs=0.04 * shared[0, 0])
        assert np.mean(left[:, lag:] * left[:, :-lag]) == pytest.approx(shared[0, lag], abs=0.04 * shared[0, 0])


def test_a_scintillator_passes_half_at_its_frequency_signal_as_noise() -> None:
    wave = 5e4 * (1 + 0.5 * np.cos(2 * np.pi * 0.2 * np.arange(240)))
    bright = replace(BARE, counts_per_electron=0.5, scintillator=0.2)
    seen = _counts(bright, np.tile(wave, (60, 1)), np.random.default_rng(0)).mean(axis=0)[20:-20] / 0.5
    passed = 2 * abs(np.mean(seen * np.exp(2j * np.pi * 0.2 * np.arange(len(seen))))) / (0.5 * 5e4)
    assert passed == pytest.approx(0.5, abs=0.01)


def test_readout_noise_adds_its_variance_and_no_light() -> None:
    quiet, loud = noise(), noise(readout_e=6.0)
    assert loud.var() - quiet.var() == pytest.approx(36, rel=0.05)
    assert loud.mean() == pytest.approx(50, rel=0.002)
    assert noise(scintillator=0.3, readout_e=6.0).var() - noise(scintillator=0.3).var() == pytest.approx(36, rel=0.05)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"edge": 1.2}, "edge is a share from 0 to 1, not 1.2"),
        ({"faceted": -0.1}, "faceted is a share from 0 to 1"),
        ({"wedge": 1.1}, "wedge is a share from 0 to 1"),
        ({"truncation": 2.0}, r"0.87 \(cuboctahedron\) to 1.73 \(octahedron\), not 2.0"),
        ({"mottle": -1.0}, "mottle is a number of at least 0"),
        ({"mottle_nm": 0.0}, "mottle_nm is a positive number"),
        ({"texture_scale": float("inf")}, "texture_scale is a positive number"),
        ({"scintillator": float("nan")}, "scintillator is a number of at least 0"),
    ],
)
def test_meaningless_ingredients_are_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CavityScene(**setting)  # type: ignore[arg-type]
