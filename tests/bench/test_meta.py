"""Meta-features of datasets whose answer is known, and what moves them."""

from __future__ import annotations

import numpy as np
import pytest

from epistem.bench.folder import profile_from_folder
from epistem.bench.masks import IGNORED
from epistem.bench.meta import META, meta_features, training_meta
from epistem.bench.plan import make_plan
from epistem.core import SettingsError, ShapeError


def square(*, noise: float = 0.1, step: float = 1.0, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A bright square in the middle of 64 × 64 pixels."""
    labels = np.zeros((64, 64), np.int16)
    labels[24 : 24 + side, 24 : 24 + side] = 1
    return step * labels + np.random.default_rng(0).normal(0, noise, labels.shape), labels


def test_a_square_has_its_own_area_rim_and_size() -> None:
    found = meta_features([square()], classes=2)
    assert tuple(found) == META
    assert 10 ** found["foreground"] == pytest.approx(256 / 4096)
    assert 10 ** found["rim_per_px"] == pytest.approx(64 / 256)
    assert 10 ** found["size_50"] == pytest.approx(2 * np.sqrt(256 / np.pi))
    assert 10 ** found["parts_per_Mpx"] == pytest.approx(1e6 / 4096)
    assert (found["n_train"], found["classes"], found["side_px"]) == (0, 2, 6)


def test_contrast_is_cohen_s_d_and_knows_no_sign_nor_gain() -> None:
    image, labels = square()
    assert meta_features([(image, labels)], classes=2)["contrast"] == pytest.approx(10, rel=0.05)
    turned = meta_features([(7 - 3 * image, labels)], classes=2)
    assert turned == pytest.approx(meta_features([(image, labels)], classes=2))


def test_more_noise_lowers_snr_and_flattens_the_spectrum() -> None:
    clean, noisy = (meta_features([square(noise=noise)], classes=2) for noise in (0.05, 30.0))
    assert noisy["snr"] < clean["snr"]
    assert clean["psd_slope"] < noisy["psd_slope"] == pytest.approx(0, abs=0.4)


def test_specks_of_a_pixel_do_not_hide_what_the_area_is_made_of() -> None:
    image, labels = square()
    labels[::8, 0] = 1
    found = meta_features([(image, labels)], classes=2)
    assert 10 ** found["size_50"] == pytest.approx(2 * np.sqrt(256 / np.pi))
    assert 10 ** found["parts_per_Mpx"] == pytest.approx(9e6 / 4096)


def test_of_several_channels_the_one_that_shows_the_classes_counts() -> None:
    image, labels = square()
    blind = np.random.default_rng(1).normal(size=image.shape)
    both = meta_features([(np.stack([blind, image]), labels)], classes=2)
    assert both["contrast"] == pytest.approx(meta_features([(image, labels)], classes=2)["contrast"])


def test_ignored_pixels_do_not_count() -> None:
    image, labels = square()
    whole = meta_features([(image, labels)], classes=2)
    labels[:16], image[:16] = IGNORED, 1000
    found = meta_features([(image, labels)], classes=2)
    assert 10 ** found["foreground"] == pytest.approx(256 / 3072)
    assert found["contrast"] == pytest.approx(whole["contrast"], rel=0.02)
    assert found["rim_per_px"] == whole["rim_per_px"]


def test_a_blank_and_empty_image_leaves_what_cannot_be_known_nan() -> None:
    found = meta_features([(np.ones((20, 30)), np.zeros((20, 30), np.int16))], classes=2)
    unknown = {name for name, value in found.items() if np.isnan(value)}
    sizes = {"foreground", "rim_per_px", "size_10", "size_50", "size_90", "parts_per_Mpx"}
    assert unknown == sizes | {"contrast", "snr", "psd_slope"}


def test_no_image_and_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingsError, match="there is none"):
        meta_features([], classes=2)
    with pytest.raises(ShapeError, match="of this image"):
        meta_features([(np.ones((20, 30)), np.zeros((30, 20), np.int16))], classes=2)


def test_of_a_study_only_the_training_images_are_looked_at(folder) -> None:  # type: ignore[no-untyped-def]
    profile = profile_from_folder(folder)
    plan = make_plan(profile)
    assert 10 ** training_meta(profile, plan)["n_train"] == pytest.approx(len(plan.split.train))
    for member in (*plan.split.val, *plan.split.test):
        (folder / member.image).unlink()
    assert np.isfinite(training_meta(profile, plan)["foreground"])
