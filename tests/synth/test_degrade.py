from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from epistem.core import (
    Calibration,
    CalibrationMissing,
    Context,
    Instances,
    Micrograph,
    SettingsError,
    ShapeError,
)
from epistem.synth.cavities import CavityScene, simulate
from epistem.synth.degrade import (
    blur,
    charging,
    contrast,
    defocus,
    dose,
    dose_to,
    drift,
    gamma,
    jpeg,
    noise_sd,
    rescale,
    rescale_truth,
)

SCENE = CavityScene(shape=(160, 128))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts(electrons: float, shape: tuple[int, int] = (200, 160), grey: float = 4.0) -> Micrograph:
    """A flat field of this many electrons a pixel, each worth so many grey values."""
    return Micrograph((grey * rng(1).poisson(electrons, shape)).astype(np.float32))


def variance_px2(stripe: NDArray[np.float64]) -> float:
    """Variance of a stripe's profile about the middle of 81 pixels."""
    return float(stripe @ (np.arange(81) - 40.0) ** 2 / stripe.sum())


def stripe() -> Micrograph:
    """One bright column of 81; a straight edge has no noise that would be kept."""
    image = np.zeros((64, 81))
    image[:, 40] = 1000.0
    return Micrograph(image)


def noise(micrograph: Micrograph) -> float:
    return noise_sd(micrograph, micrograph.pixels.astype(float))


@pytest.mark.parametrize("electrons", [2.0, 40.0, 1000.0])
def test_the_noise_of_a_flat_field_is_found(electrons: float) -> None:
    assert noise(counts(electrons)) == pytest.approx(4 * np.sqrt(electrons), rel=0.03)


def test_a_slope_and_a_straight_edge_are_no_noise() -> None:
    slope = np.add.outer(np.arange(50.0), 3 * np.arange(40.0))
    slope[:, 20:] += 500
    assert noise(Micrograph(slope)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.02])
def test_a_lower_dose_has_the_noise_of_a_simulation_at_that_dose(fraction: float) -> None:
    whole = simulate(SCENE, seed=3).micrograph
    fewer = dose(whole, fraction, rng=rng())
    low = simulate(replace(SCENE, dose_e_per_A2=SCENE.dose_e_per_A2 * fraction), seed=3).micrograph
    want = low.pixels / fraction
    assert noise(fewer) == pytest.approx(noise(Micrograph(want)), rel=0.03)
    assert fewer.pixels.std() == pytest.approx(want.std(), rel=0.03)
    assert fewer.pixels.mean() == pytest.approx(whole.pixels.mean(), rel=0.01)


def test_few_electrons_stay_few_whole_electrons() -> None:
    fewer = dose(counts(3.0), 0.25, rng=rng()).pixels
    worth = np.unique(fewer)[1]
    assert worth == pytest.approx(4 / 0.25, rel=0.05)
    assert np.allclose(np.unique(fewer) / worth, np.arange(len(np.unique(fewer))))


def test_brighter_places_get_more_noise() -> None:
    halves = np.r_[np.full((100, 90), 50), np.full((100, 90), 800)]
    image = Micrograph(rng(1).poisson(halves).astype(float))
    fewer = dose(image, 0.1, rng=rng()).pixels
    assert fewer[:100].std() == pytest.approx(np.sqrt(500), rel=0.1)
    assert fewer[100:].std() == pytest.approx(np.sqrt(8000), rel=0.1)


def test_an_image_with_values_below_0_gets_noise_alike_everywhere() -> None:
    image = Micrograph(np.r_[np.full((100, 90), -300.0), np.full((100, 90), 300.0)] + rng(1).normal(0, 5, (200, 90)))
    fewer = dose(image, 0.2, rng=rng()).pixels
    assert fewer[:100].std() == pytest.approx(5 / np.sqrt(0.2), rel=0.05)
    assert fewer[100:].std() == pytest.approx(5 / np.sqrt(0.2), rel=0.05)


def test_an_image_without_noise_has_endless_electrons_unless_its_dose_is_known() -> None:
    smooth = np.full((100, 80), 0.3) + 1e-17 * np.arange(80)
    assert np.array_equal(dose(Micrograph(smooth), 0.1, rng=rng()).pixels, smooth)
    sent = Micrograph(smooth, Calibration(0.1, 0.2, "user"), Context(dose_e_per_A2=50.0))
    electrons = 50 * 1 * 2
    relative = dose(sent, 0.1, rng=rng()).pixels.std() / 0.3
    assert relative == pytest.approx(np.sqrt((1 - 0.1) / (0.1 * electrons)), rel=0.03)


def test_the_dose_that_is_left_is_told() -> None:
    whole = replace(counts(9.0, (20, 20)), context=Context(dose_e_per_A2=40.0))
    assert dose(whole, 0.1, rng=rng()).context.dose_e_per_A2 == pytest.approx(4.0)
    assert dose_to(whole, 10.0, rng=rng()).context.dose_e_per_A2 == pytest.approx(10.0)
    assert dose_to(whole, 10.0, rng=rng()).pixels.tobytes() == dose(whole, 0.25, rng=rng()).pixels.tobytes()
    assert dose(counts(9.0, (20, 20)), 0.1, rng=rng()).context.dose_e_per_A2 is None


def test_no_dose_is_guessed_and_none_is_raised() -> None:
    with pytest.raises(SettingsError, match="does not say its dose_e_per_A2"):
        dose_to(counts(9.0), 10.0, rng=rng())
    with pytest.raises(SettingsError, match="lower dose than the image's 4 e/Å², not 10"):
        dose_to(replace(counts(9.0), context=Context(dose_e_per_A2=4.0)), 10.0, rng=rng())


def test_a_stripe_is_blurred_to_the_variance_asked_for() -> None:
    blurred = blur(stripe(), 2.5, rng=rng()).pixels
    assert variance_px2(blurred[30]) == pytest.approx(6.25, rel=1e-3)
    assert np.allclose(blurred[30], blurred[30, ::-1])


@pytest.mark.parametrize(("angle_deg", "px2"), [(0, 12.0), (90, 0.0), (30, 9.0)])
def test_a_stripe_drifts_as_far_as_the_way_crosses_it_and_stays_centred(angle_deg: float, px2: float) -> None:
    # Smooth first: the even motion of one bare column rings.
    start = blur(stripe(), 1.5, rng=rng())
    moved = drift(start, 12.0, angle_deg, rng=rng()).pixels[30]
    assert variance_px2(moved) - 2.25 == pytest.approx(px2, abs=0.02)
    assert np.allclose(moved, moved[::-1], atol=1e-6)


def test_noise_is_not_blurred_because_electrons_are_counted_after_the_lens() -> None:
    image = counts(400.0)
    for harmed in (blur(image, 3.0, rng=rng()), drift(image, 9.0, 40.0, rng=rng()), contrast(image, 0.3, rng=rng())):
        assert noise(harmed) == pytest.approx(noise(image), rel=0.03)
        assert harmed.pixels.std() == pytest.approx(image.pixels.std(), rel=0.03)


def test_noise_stays_stronger_where_it_is_brighter() -> None:
    halves = np.r_[np.full((100, 90), 50), np.full((100, 90), 5000)]
    blurred = blur(Micrograph(rng(1).poisson(halves).astype(float)), 2.0, rng=rng()).pixels
    assert blurred[:80].std() == pytest.approx(np.sqrt(50), rel=0.1)
    assert blurred[120:].std() == pytest.approx(np.sqrt(5000), rel=0.1)


def test_whole_grey_values_are_rounded_not_cut() -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8), (50, 1))
    harmed = charging(Micrograph(ramp), 0.2, rng=rng()).pixels
    exact = charging(Micrograph(ramp.astype(float)), 0.2, rng=rng()).pixels
    assert np.array_equal(harmed, np.clip(np.rint(exact), 0, 255))


def test_nothing_of_the_far_border_is_blurred_in() -> None:
    image = np.zeros((60, 50))
    image[:4] = 1000.0
    assert np.abs(blur(Micrograph(image), 3.0, rng=rng()).pixels[-20:]).max() < 1e-6


def test_what_is_no_image_is_not_blurred_in() -> None:
    strip = np.full((60, 50), 10.0)
    strip[-12:] = 5000.0
    valid = np.ones(strip.shape, bool)
    valid[-12:] = False
    harmed = blur(Micrograph(strip, valid=valid), 3.0, rng=rng()).pixels
    assert np.allclose(harmed, strip)


@pytest.mark.parametrize(("start_nm", "extra_nm"), [(-1000.0, 500.0), (1000.0, 500.0), (-1000.0, -300.0)])
def test_weak_cavities_look_as_if_taken_at_the_new_defocus(start_nm: float, extra_nm: float) -> None:
    clear = replace(SCENE, diameter_nm=3.0, background=0.0, thickness_sd=0.0, speckle_rad=0.0, number=60)
    clear = replace(clear, mean_inner_potential_V=2.0, mean_free_path_nm=1e6, dose_e_per_A2=1e6)
    clear = replace(clear, counts_per_electron=5e-4)
    new_nm = start_nm + np.sign(start_nm) * extra_nm
    start, want = (simulate(replace(clear, defocus_nm=z), seed=3).micrograph for z in (start_nm, new_nm))
    harmed = defocus(start, extra_nm, rng=rng())
    assert harmed.context.defocus_nm == new_nm
    untouched, left = (np.std(image.pixels.astype(float) - want.pixels) for image in (start, harmed))
    assert left < 0.65 * untouched


def test_defocus_keeps_slow_changes_and_the_mean() -> None:
    slow = np.tile(1000 + 100 * np.cos(np.arange(256) * np.pi / 128), (64, 1))
    taken = Context(beam_keV=200.0, defocus_nm=-1000.0)
    harmed = defocus(Micrograph(slow, Calibration(0.3, 0.3, "user"), taken), 700.0, rng=rng())
    assert harmed.pixels == pytest.approx(slow, abs=0.5)


def test_pixels_that_are_not_square_are_defocused_alike_in_nm() -> None:
    rows, cols = (np.arange(n) - n // 2 for n in (96, 192))
    spot = 1000 + 50 * np.exp(-(np.add.outer((rows * 0.4) ** 2, (cols * 0.2) ** 2)) / 2)
    image = Micrograph(spot, Calibration(0.4, 0.2, "user"), Context(beam_keV=200.0, defocus_nm=-1000.0))
    harmed = defocus(image, 500.0, rng=rng()).pixels - 1000
    assert np.abs(harmed[48, 96::2][:40] - harmed[48:88, 96]).max() < 0.02 * harmed.max()
    assert np.abs(harmed - (spot - 1000)).max() > 5


def test_what_defocus_needs_is_asked_for() -> None:
    pixels, scale = np.ones((9, 9)), Calibration(0.3, 0.3, "user")
    taken = Context(beam_keV=200.0, defocus_nm=-1000.0)
    with pytest.raises(CalibrationMissing, match="no pixel size"):
        defocus(Micrograph(pixels, None, taken), 100.0, rng=rng())
    for name in ("beam_keV", "defocus_nm"):
        with pytest.raises(SettingsError, match=f"does not say its {name}"):
            defocus(Micrograph(pixels, scale, replace(taken, **{name: None})), 100.0, rng=rng())
    with pytest.raises(SettingsError, match="wanted a TEM image, not 'SEM'"):
        defocus(Micrograph(pixels, scale, replace(taken, modality="SEM")), 100.0, rng=rng())


def test_contrast_brings_a_signal_nearer_to_the_mean() -> None:
    steps = np.tile([100.0, 100.0, 100.0, 200.0, 200.0, 200.0], (12, 2))
    assert contrast(Micrograph(steps), 0.4, rng=rng()).pixels == pytest.approx(150 + 0.4 * (steps - 150))


def test_charging_is_as_strong_as_asked_for_and_runs_along_the_rows() -> None:
    image = counts(400.0, (128, 96))
    spread = 1.4826 * np.median(np.abs(image.pixels - np.median(image.pixels)))
    added = charging(image, 0.7, rng=rng()).pixels - image.pixels
    assert added.std() == pytest.approx(0.7 * spread, rel=1e-3)
    assert added.mean() == pytest.approx(0, abs=1e-2)
    assert np.abs(np.diff(added, axis=1)).mean() < 0.2 * np.abs(np.diff(added, axis=0)).mean()


def test_gamma_keeps_the_ends_and_the_order_and_darkens_the_middle() -> None:
    ramp = Micrograph(np.arange(256, dtype=np.uint8)[None])
    dark = gamma(ramp, 2.0).pixels[0].astype(int)
    assert (dark[0], dark[128], dark[255]) == (0, round(255 * (128 / 255) ** 2), 255)
    assert (np.diff(dark) >= 0).all()


def test_an_8_bit_image_becomes_the_jpeg_that_pillow_writes() -> None:
    pixels = rng().integers(0, 256, (40, 50)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=60)
    assert np.array_equal(jpeg(Micrograph(pixels), 60).pixels, np.asarray(Image.open(file)))


def test_a_jpeg_of_16_bits_has_256_steps_over_the_display_range() -> None:
    pixels = rng().normal(20_000, 300, (200, 200)).astype(np.uint16)
    pixels[0, 0] = 65_535
    harmed = jpeg(Micrograph(pixels), 95).pixels
    assert len(np.unique(harmed)) <= 256
    assert harmed.max() < 22_000
    assert np.abs(harmed - pixels.astype(float))[1:].mean() < 20


def test_a_jpeg_cannot_be_larger_than_a_jpeg_can_be() -> None:
    with pytest.raises(ShapeError, match="at most 65500"):
        jpeg(Micrograph(np.zeros((1, 65_501), np.uint8)), 90)


def test_half_the_pixels_are_means_of_four_at_twice_the_size() -> None:
    image = Micrograph(rng().random((6, 11)), Calibration(0.3, 0.4, "user", 0.02), Context(magnification=9e4))
    half = rescale(image, 0.5)
    assert half.pixels == pytest.approx(image.pixels[:, :10].reshape(3, 2, 5, 2).mean(axis=(1, 3)))
    assert half.calibration == Calibration(0.6, 0.8, "user", 0.02, "rescaled × 0.5")
    assert half.context.magnification is None


@pytest.mark.parametrize("factor", [0.25, 0.37, 0.8, 1.7, 3.0])
def test_a_slope_stays_the_same_slope_in_nm(factor: float) -> None:
    place = np.add.outer(2 * (np.arange(60) + 0.5), np.arange(45) + 0.5)
    scaled = rescale(Micrograph(place, Calibration(1.0, 1.0, "user")), factor)
    pixel_nm = scaled.needs_calibration().row_nm
    rows, cols = (np.arange(n) + 0.5 for n in scaled.shape)
    want = np.add.outer(2 * rows, cols) * pixel_nm
    inside = slice(4, -4) if factor > 1 else slice(None)
    # A new edge that cuts an old pixel takes it as evenly bright.
    assert scaled.pixels[inside, inside] == pytest.approx(want[inside, inside], abs=0.25)
    assert (scaled.pixels - want)[inside, inside].mean() == pytest.approx(0, abs=0.1)


def test_a_new_pixel_is_image_only_if_all_of_it_is() -> None:
    valid = np.ones((12, 12), bool)
    valid[9:] = False
    pixels = np.full((12, 12), 5.0)
    pixels[9:] = np.nan
    half = rescale(Micrograph(pixels, valid=valid), 0.5)
    assert half.valid is not None
    assert half.valid.all(axis=1).tolist() == [True, True, True, True, False, False]
    assert (half.pixels[half.valid] == 5).all()


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.77, 2.2])
def test_the_truth_lies_where_the_rescaled_picture_is(factor: float) -> None:
    rows, cols = np.indices((120, 150)) + 0.5
    inside = np.hypot(rows - 50.3, cols - 97.8) < 20
    truth = rescale_truth(Instances.from_labels(inside.astype(int)), factor)
    picture = rescale(Micrograph(inside.astype(float)), factor).pixels > 0.5
    drawn = truth.to_labels() > 0
    assert drawn.shape == picture.shape
    before, after, seen = (np.mean(np.nonzero(image), axis=1) + 0.5 for image in (inside, drawn, picture))
    assert after == pytest.approx(before * factor, abs=0.15)
    assert after == pytest.approx(seen, abs=0.15)
    assert drawn.sum() == pytest.approx(np.pi * (20 * factor) ** 2, rel=0.03)


def test_lengths_in_px_follow_and_others_stay_as_they_are() -> None:
    columns = {"area_px": [49], "side_px": [7.0], "area_px2": [49.0], "side_nm": [2.1], "ignored": [True]}
    crop = (np.ones((7, 7), bool),)
    truth = Instances.from_boxes((20, 20), [[3, 4, 10, 11]], crops=crop, columns=columns)
    half = rescale_truth(truth, 0.5)
    assert half.boxes.tolist() == [[1.5, 2.0, 5.0, 5.5]]
    assert {name: half.columns[name].tolist() for name in ("side_px", "area_px2", "side_nm", "ignored")} == {
        "side_px": [3.5],
        "area_px2": [12.25],
        "side_nm": [2.1],
        "ignored": [True],
    }
    assert half.columns["ignored"].dtype == bool


def test_objects_without_a_pixel_are_gone_with_all_their_columns() -> None:
    boxes = [[0, 0, 1, 1], [4, 4, 12, 12], [20.4, 4, 21, 12]]
    crops = (np.ones((1, 1), bool), np.ones((8, 8), bool), np.ones((1, 8), bool))
    truth = Instances.from_boxes((21, 21), boxes, [0.1, 0.2, 0.3], crops=crops)
    assert rescale_truth(truth, 0.25).score.tolist() == [0.2]
    bare = Instances.from_boxes((21, 21), boxes, [0.1, 0.2, 0.3])
    assert rescale_truth(bare, 0.25).score.tolist() == [0.1, 0.2]
    assert len(rescale_truth(Instances.empty((21, 21)), 0.25)) == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_meaningless_amounts_are_refused(wrong: float) -> None:
    image = counts(9.0, (8, 8))
    for harm in (dose, blur, contrast, charging, defocus):
        if harm is defocus and wrong == -1.0:
            continue
        with pytest.raises(SettingsError, match="not"):
            harm(image, wrong, rng=rng())
    for plain in (gamma, jpeg, rescale):
        with pytest.raises(SettingsError, match="not"):
            plain(image, wrong)
    with pytest.raises(SettingsError, match="not"):
        drift(image, wrong, 0.0, rng=rng())
    with pytest.raises(SettingsError, match="at least one pixel"):
        rescale(image, 0.1)
