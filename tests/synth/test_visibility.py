from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.instances import Instances
from epistem.synth.cavities import NO_CAVITIES, CavityScene, expected_electrons, make_foil, simulate, true_instances
from epistem.synth.shapes import Cavities
from epistem.synth.visibility import Layer, contrast_to_noise, d_prime, visibility

Plane = NDArray[np.float64]
PLAIN = CavityScene(
    shape=(96, 112), number=0, background=0.0, thickness_sd=0.0, speckle_rad=0.0, semiangle_mrad=0.8, oversample=1
)
TRANSPARENT = replace(PLAIN, mean_free_path_nm=1e9)


def discs(*radii_px: float, apart_px: int = 36, shape: tuple[int, int] = (96, 112)) -> Instances:
    """Discs in a row."""
    rows, cols = np.indices(shape) + 0.5
    labels = np.zeros(shape, int)
    for i, radius in enumerate(radii_px):
        labels[np.hypot(rows - shape[0] / 2, cols - 32 - i * apart_px) < radius] = i + 1
    return Instances.from_labels(labels)


def bump(truth: Instances, height_e: float, blur_px: float = 1.0) -> Plane:
    return ndimage.gaussian_filter(height_e * (truth.to_labels() > 0), blur_px)


def spheres(*diameters_nm: float, apart_nm: float = 12.0) -> Cavities:
    n = len(diameters_nm)
    return Cavities(np.full(n, 14.4), 10.0 + apart_nm * np.arange(n), np.full(n, 50.0), np.array(diameters_nm))


def judged(scene: CavityScene, cavities: Cavities, column: str = "d_prime", seed: int = 0) -> list[float]:
    found = simulate(scene, seed=seed, cavities=cavities, judge=True).truth.columns[column]
    return [float(value) for value in found]


def test_d_prime_is_how_far_a_matched_filter_tells_an_object_from_white_noise() -> None:
    truth, rng = discs(5.0), np.random.default_rng(0)
    change, without = bump(truth, 4.0), np.full((96, 112), 100.0)
    (promised,) = d_prime(truth, change, without)
    template = change[30:66, 14:50]  # all there is of it
    answers = [
        [float((rng.poisson(mean[30:66, 14:50]) * template).sum()) for _ in range(200)]
        for mean in (without, without + change)
    ]
    separation = (np.mean(answers[1]) - np.mean(answers[0])) / np.std(answers[0])
    assert 2 < promised < 6
    assert promised == pytest.approx(separation, rel=0.1)


def test_d_prime_in_a_recorded_field_weighs_each_frequency_by_its_noise() -> None:
    # White noise of 2 and noise of 3 that neighbours share; what an ideal observer makes of it is Σ |Δ|²/P.
    rng, shape = np.random.default_rng(0), (256, 240)
    truth = discs(6.0, shape=shape)
    change = bump(truth, 2.0)
    shared = ndimage.gaussian_filter(rng.standard_normal(shape), 0.8, mode="wrap")
    recorded = 100 + 2 * rng.standard_normal(shape) + 3 * shared
    q2 = np.add.outer(*(np.square(np.fft.fftfreq(n)) for n in shape))
    power = 4 + 9 * np.exp(-((2 * np.pi * 0.8) ** 2) * q2)
    ideal = np.sqrt(np.mean(np.abs(np.fft.fft2(change)) ** 2 / power))
    assert d_prime(truth, change, recorded, counted=False) == pytest.approx([ideal], rel=0.06)


def test_d_prime_grows_with_the_object_and_with_the_square_root_of_the_dose() -> None:
    truth = discs(5.0, 8.0)
    change, without = bump(truth, 4.0), np.full((96, 112), 100.0)
    seen = d_prime(truth, change, without)
    assert d_prime(truth, 3 * change, without) == pytest.approx(3 * seen)
    assert d_prime(truth, 4 * change, 4 * without) == pytest.approx(2 * seen)
    assert d_prime(truth, -change, without) == pytest.approx(seen)
    assert seen[1] > 1.3 * seen[0]


def test_four_times_the_dose_shows_a_cavity_twice_as_well_unless_the_texture_hides_it() -> None:
    one = spheres(5.0)
    low, high = (judged(replace(PLAIN, dose_e_per_A2=dose), one)[0] for dose in (20, 80))
    assert high == pytest.approx(2 * low, rel=1e-3)
    textured = replace(PLAIN, clouds=0.3, texture_scale=0.3)
    low, high = (judged(replace(textured, dose_e_per_A2=dose), one)[0] for dose in (20, 80))
    assert low < high < 1.8 * low


def test_d_prime_of_a_transparent_cavity_grows_with_defocus() -> None:
    flat = replace(TRANSPARENT, mean_inner_potential_V=8.0, dose_e_per_A2=400.0, cs_mm=0.0)
    seen = [judged(replace(flat, defocus_nm=-z), spheres(3.0))[0] for z in (0, 100, 200, 400, 800)]
    assert np.all(np.diff(seen) > 0)
    assert seen[-1] > 3 * seen[0]


def test_a_cavity_that_changes_nothing_is_not_seen() -> None:
    invisible = replace(TRANSPARENT, mean_inner_potential_V=0.0)
    assert judged(invisible, spheres(5.0, 8.0)) == pytest.approx([0, 0], abs=0.01)
    assert judged(invisible, spheres(5.0, 8.0), "contrast_to_noise") == pytest.approx([0, 0], abs=0.001)
    truth, without = discs(5.0), np.full((96, 112), 100.0)
    assert d_prime(truth, np.zeros((96, 112)), without).tolist() == [0.0]
    assert contrast_to_noise(truth, np.zeros((96, 112)), without).tolist() == [0.0]


def test_texture_of_its_own_size_hides_an_object_more_than_slow_shades() -> None:
    truth, rng = discs(5.0), np.random.default_rng(0)
    change, even = bump(truth, 15.0), np.full((96, 112), 100.0)
    alike, slow = (ndimage.gaussian_filter(rng.standard_normal((96, 112)), sigma, mode="wrap") for sigma in (3, 30))
    seen = [d_prime(truth, change, even + 10 * noise / noise.std())[0] for noise in (alike, slow)]
    assert 2 * seen[0] < seen[1] < d_prime(truth, change, even)[0]


def test_the_smaller_of_two_overlapping_objects_has_the_pixels() -> None:
    both, without = discs(20.0, 4.0), np.full((96, 112), 100.0)
    moved = np.zeros((96, 112))
    moved[40:56, 62:74] = 5.0  # what changes is at the small one only, which lies in the reach of the large
    large, small = d_prime(both, moved, without)
    assert small > 3 * large
    assert d_prime(both[[1, 0]], moved, without).tolist() == [small, large]


def against_the_bare_foil(scene: CavityScene, cavities: Cavities, left: list[int]) -> Plane:
    """d′ of the cavities, as if only those `left` were in the foil before they came."""
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(0).spawn(5)]
    foil = make_foil(scene, streams[1], streams[2], streams[4])
    before, after = (expected_electrons(scene, foil, some) for some in (cavities.take(np.array(left, int)), cavities))
    return d_prime(true_instances(scene, cavities), after - before, before)


def test_a_small_cavity_in_the_fringe_of_a_large_one_is_judged_against_it() -> None:
    fringe = replace(PLAIN, defocus_nm=-2500.0, dose_e_per_A2=400.0)
    pair = spheres(13.0, 1.5, apart_nm=7.3)
    seen = judged(fringe, pair)[1]
    assert seen == pytest.approx(against_the_bare_foil(fringe, pair, [0])[1], rel=0.05)
    assert seen < 0.5 * against_the_bare_foil(fringe, pair, [])[1]


def test_cavities_of_more_than_a_third_of_the_largest_are_judged_against_the_bare_foil() -> None:
    fringe = replace(PLAIN, defocus_nm=-2500.0, dose_e_per_A2=400.0)
    pair = spheres(13.0, 4.5, apart_nm=9.0)
    assert judged(fringe, pair) == pytest.approx(against_the_bare_foil(fringe, pair, []).tolist())


def test_a_mirrored_image_is_judged_alike() -> None:
    rng, labels = np.random.default_rng(0), np.zeros((96, 128), int)
    labels[20:29, 3:15], labels[60:90, 70:95] = 1, 2
    change = ndimage.gaussian_filter(5.0 * (labels > 0), 2)
    without = 100 + 5 * ndimage.gaussian_filter(rng.standard_normal((96, 128)), 1)
    for judge in (d_prime, contrast_to_noise):
        seen = judge(Instances.from_labels(labels), change, without)
        mirrored = judge(Instances.from_labels(labels[::-1, ::-1]), change[::-1, ::-1], without[::-1, ::-1])
        assert mirrored == pytest.approx(seen, rel=1e-6)


def test_contrast_to_noise_follows_change_dose_and_texture() -> None:
    truth = discs(6.0)
    change, without = bump(truth, 8.0), np.full((96, 112), 100.0)
    (seen,) = contrast_to_noise(truth, change, without)
    assert 0.4 < seen <= 0.8  # 8 electrons at most over a pixel's noise of 10
    assert contrast_to_noise(truth, 2 * change, without) == pytest.approx([2 * seen])
    assert contrast_to_noise(truth, 4 * change, 4 * without) == pytest.approx([2 * seen])
    assert contrast_to_noise(truth, -change, without) == pytest.approx([seen])
    assert contrast_to_noise(truth, change + 3, without) == pytest.approx([seen])
    rough = without + np.random.default_rng(0).normal(0, 10, (96, 112))
    assert contrast_to_noise(truth, change, rough) == pytest.approx([seen / np.sqrt(2)], rel=0.25)
    assert contrast_to_noise(truth, change, rough, counted=False) == pytest.approx([seen], rel=0.3)


def test_contrast_to_noise_sees_the_rim_of_a_cavity_whose_middle_is_grey() -> None:
    truth = discs(12.0)
    rows, cols = np.indices((96, 112)) + 0.5
    away = np.hypot(rows - 48, cols - 32)
    rim = np.where(np.abs(away - 11) < 1.5, -9.0, 0.0)
    assert contrast_to_noise(truth, rim, np.full((96, 112), 100.0))[0] > 0.5


def test_an_object_without_surroundings_has_no_contrast() -> None:
    whole = Instances.from_labels(np.ones((20, 24), int))
    ramp = np.tile(np.linspace(0, 9, 24), (20, 1))
    assert contrast_to_noise(whole, ramp, np.full((20, 24), 100.0)).tolist() == [0.0]


def test_nothing_to_judge_gives_empty_columns() -> None:
    empty, plane = Instances.empty((96, 112)), np.full((96, 112), 100.0)
    told = visibility(empty, [Layer(np.zeros(0, bool), plane, plane)])
    assert {name: len(column) for name, column in told.columns.items()} == {"d_prime": 0, "contrast_to_noise": 0}
    assert judged(PLAIN, NO_CAVITIES) == []


def test_every_object_is_judged_in_its_layer() -> None:
    truth, without = discs(4.0, 9.0), np.full((96, 112), 100.0)
    change = bump(truth, 5.0)
    first = np.array([True, False])
    told = visibility(truth, [Layer(first, without + change, without), Layer(~first, without + 3 * change, without)])
    apart = [d_prime(truth[[0]], change, without)[0], d_prime(truth[[1]], 3 * change, without)[0]]
    assert told.columns["d_prime"] == pytest.approx(apart)


@pytest.mark.parametrize("shape", [(31, 45), (64, 40), (70, 129)])
def test_images_smaller_than_a_block_or_no_multiple_of_it_are_judged_alike(shape: tuple[int, int]) -> None:
    truth = discs(5.0, shape=shape)
    seen = d_prime(truth, bump(truth, 4.0), np.full(shape, 100.0))
    whole = discs(5.0)
    assert seen == pytest.approx(d_prime(whole, bump(whole, 4.0), np.full((96, 112), 100.0)), rel=0.02)


def test_judging_changes_neither_image_nor_truth_but_for_two_columns() -> None:
    scene = replace(PLAIN, number=6.0, clouds=0.1)
    plain, told = (simulate(scene, seed=2, judge=judge) for judge in (False, True))
    assert told.micrograph.id == plain.micrograph.id
    assert np.array_equal(told.truth.boxes, plain.truth.boxes)
    assert set(told.truth.columns) - set(plain.truth.columns) == {"d_prime", "contrast_to_noise"}
    assert told.truth.provenance == plain.truth.provenance
