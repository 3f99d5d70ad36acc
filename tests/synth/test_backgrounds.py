from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.errors import SettingsError
from epistem.synth.backgrounds import cut, paste
from epistem.synth.cavities import CavityScene

SCENE = CavityScene(
    shape=(96, 112), number=2.0, diameter_nm=4.0, diameter_sd_nm=0.5, semiangle_mrad=0.8, oversample=1
)
EMPTY = replace(SCENE, number=0.0)


def field(seed: int = 0, shape: tuple[int, int] = (96, 112), middle: float = 120.0) -> NDArray[np.float32]:
    """Grey values as of a recorded image without cavities."""
    noise = np.random.default_rng(seed).normal(0, 8, shape)
    return (middle + noise + 20 * np.sin(np.arange(shape[1]) / 30)).astype(np.float32)


def numbered(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Each pixel tells where it is."""
    return (np.arange(shape[0])[:, None] * 1000.0 + np.arange(shape[1])).astype(np.float32)


def test_an_empty_scene_is_the_field_up_to_its_scale() -> None:
    recorded = field()
    micrograph, truth = paste(EMPTY, recorded, seed=0)
    assert len(truth) == 0
    assert {"d_prime", "contrast_to_noise"} <= set(truth.columns)
    assert micrograph.pixels.dtype == np.uint16
    assert np.abs(micrograph.pixels - 8000.0 * recorded / np.median(recorded)).max() <= 0.51


def test_far_from_cavities_the_field_comes_through_and_in_them_it_does_not() -> None:
    recorded = field()
    micrograph, truth = paste(SCENE, recorded, seed=3)
    change = micrograph.pixels / (8000.0 * recorded / np.median(recorded)) - 1
    inside = truth.to_labels() > 0
    assert inside.any()
    assert np.abs(change[inside]).mean() > 0.02
    # A cavity beyond the border may send its fringes in, hence not all.
    far = ndimage.distance_transform_edt(~inside) > 35
    assert far.sum() > 200
    assert np.median(np.abs(change[far])) < 0.003


def test_the_field_s_noise_is_still_there_inside_the_cavities() -> None:
    smooth, noisy = np.full(SCENE.shape, 120, np.float32), field()
    clean, seen = (paste(SCENE, some, seed=3).micrograph.pixels.astype(float) for some in (smooth, noisy))
    inside = paste(SCENE, noisy, seed=3).truth.to_labels() > 0
    assert seen[inside] / clean[inside] == pytest.approx(noisy[inside] / np.median(noisy), abs=3e-4)


def test_the_scale_of_the_grey_values_does_not_matter() -> None:
    plain, bright = (paste(SCENE, grey * field(), seed=1) for grey in (np.float32(1), np.float32(64)))
    assert plain.micrograph.id == bright.micrograph.id
    assert plain.truth.columns["d_prime"] == pytest.approx(bright.truth.columns["d_prime"])


def test_what_the_scene_s_own_foil_would_hold_is_left_out() -> None:
    textured = replace(
        SCENE, clouds=0.5, mottle=0.3, fringes=0.5, grains=0.2, dislocations=5, precipitates=9, wedge=0.2
    )
    textured = replace(textured, thickness_sd=0.1, speckle_rad=0.1, edge=0.2, background=1.0)
    assert paste(textured, field(), seed=1).micrograph.id == paste(SCENE, field(), seed=1).micrograph.id


def test_same_seed_same_bytes_and_another_seed_other_cavities() -> None:
    first, again, other = (paste(SCENE, field(), seed=seed) for seed in (1, 1, 2))
    assert first.micrograph.id == again.micrograph.id
    assert np.array_equal(first.truth.boxes, again.truth.boxes)
    assert first.micrograph.id != other.micrograph.id
    assert first.truth.provenance is not None
    assert first.truth.provenance.seed == 1
    assert first.micrograph.needs_calibration().row_nm == SCENE.pixel_nm


def test_a_noisier_field_hides_the_cavities() -> None:
    seen = []
    for noise in (2.0, 8.0):
        grey = 120 + noise * np.random.default_rng(0).standard_normal(SCENE.shape)
        seen.append(paste(SCENE, grey.astype(np.float32), seed=3).truth)
    for column in ("d_prime", "contrast_to_noise"):
        assert (seen[0].columns[column] > 2 * seen[1].columns[column]).all()
    assert (seen[1].columns["d_prime"] > 0).all()


def test_bright_pixels_stop_at_the_largest_grey_and_dark_ones_at_none() -> None:
    grey = field()
    grey[0, 0], grey[0, 1] = 1e5, -50
    pixels = paste(EMPTY, grey, seed=0).micrograph.pixels
    assert pixels[0, 0] == 65535
    assert pixels[0, 1] == 0


@pytest.mark.parametrize("grey", [0.0, -5.0, float("nan")])
def test_a_field_without_light_is_refused(grey: float) -> None:
    with pytest.raises(SettingsError, match="a background has grey values above 0; the median of this one is"):
        paste(SCENE, np.full(SCENE.shape, grey, np.float32), seed=0)


def test_a_field_of_another_shape_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"the scene is \(96, 112\), its background \(112, 96\); cut the background"
    ):
        paste(SCENE, field(shape=(112, 96)), seed=0)


@pytest.mark.parametrize(
    ("have", "want"), [((200, 300), (96, 112)), ((60, 70), (96, 112)), ((96, 96), (96, 96)), ((500, 100), (64, 48))]
)
def test_a_cut_has_the_shape_asked_for_and_only_what_the_background_holds(
    have: tuple[int, int], want: tuple[int, int]
) -> None:
    background = numbered(have)
    for seed in range(8):
        window = cut(background, want, rng=np.random.default_rng(seed))
        assert window.shape == want
        assert window.dtype == np.float32
        assert window.flags.c_contiguous
        assert background.min() <= window.min() < window.max() <= background.max()
    assert np.array_equal(background, numbered(have))


def test_the_same_stream_cuts_the_same_window_and_another_another() -> None:
    first, again, other = (cut(numbered((200, 300)), (64, 64), rng=np.random.default_rng(s)) for s in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_windows_come_from_everywhere_in_every_orientation_and_a_range_of_scales() -> None:
    windows = [cut(numbered((200, 300)), (48, 48), rng=np.random.default_rng(seed)) for seed in range(80)]
    slopes = np.array([[w[24, 24] - w[23, 24], w[24, 24] - w[24, 23]] for w in windows])
    turned = np.abs(slopes[:, 0]) < np.abs(slopes[:, 1])  # rows run along the columns
    assert {(bool(t), *np.sign(s).tolist()) for t, s in zip(turned, slopes, strict=True)} == {
        (t, a, b) for t in (False, True) for a in (-1.0, 1.0) for b in (-1.0, 1.0)
    }
    zoom = np.abs(slopes).max(axis=1) / 1000
    assert 0.6 < zoom.min() < 0.75
    assert 1.8 < zoom.max() <= 2.05
    middles = np.array([w[24, 24] // 1000 for w in windows])
    assert middles.min() < 60 < 140 < middles.max()


def test_windows_that_are_not_square_are_mirrored_and_not_turned() -> None:
    windows = [cut(numbered((200, 300)), (40, 60), rng=np.random.default_rng(seed)) for seed in range(20)]
    assert all(abs(w[21, 30] - w[20, 30]) > abs(w[20, 31] - w[20, 30]) for w in windows)


def test_enlarging_smooths_the_noise_and_shrinking_averages_it() -> None:
    noise = np.random.default_rng(0).normal(100, 10, (400, 400)).astype(np.float32)
    large = [cut(noise[:60, :60], (96, 96), rng=np.random.default_rng(seed)).std() for seed in range(4)]
    assert max(large) < 8


@pytest.mark.parametrize("have", [(40, 300), (300, 40)])
def test_a_background_less_than_half_as_wide_is_refused(have: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="is too small for"):
        cut(field(shape=have), (96, 112), rng=np.random.default_rng(0))
