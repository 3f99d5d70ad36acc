from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError, UnknownName
from epistem.trust.perturb import KERNELS, NOISE_DRAWS, Floats, perturber

PATCH = 8


def textured(channels: int = 2, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((channels, 24, 32)).astype(np.float32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("row", "col"), [(4, 10), (20, 28), (-4, -3)])
def test_only_the_patch_changes_and_the_border_cuts_it(kernel, row, col):
    image = textured()
    before = image.copy()
    changed = perturber(image, kernel, patch_px=PATCH, window="box", other=textured(seed=1)).changed(row, col)
    outside = np.ones(image.shape[1:], bool)
    outside[max(row, 0) : row + PATCH, max(col, 0) : col + PATCH] = False
    assert np.array_equal(image, before)
    assert np.array_equal(changed[..., outside], np.broadcast_to(image[:, outside], changed[..., outside].shape))
    assert (changed[..., ~outside] != image[:, ~outside]).mean() > 0.9


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_window_of_the_image_is_changed_as_the_image_is(kernel):
    patches = perturber(textured(), kernel, patch_px=PATCH, other=textured(seed=1))
    window = patches.cropped(slice(0, 24), slice(4, 32))
    assert np.allclose(window.changed(8, 12), patches.changed(8, 16)[..., 4:], atol=1e-5)


def test_patches_half_a_width_apart_add_up_to_all_of_the_image():
    weight = perturber(textured(), patch_px=PATCH).weight
    total = sum(np.roll(np.pad(weight, 8), (4 * i, 4 * j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    assert np.allclose(total[8:16, 8:16], 1)


def test_blurring_takes_less_than_the_grey_box():
    image = textured()
    spread = {
        name: perturber(image, name, patch_px=PATCH, window="box").changed(8, 8)[0, :, 8:16, 8:16].std()
        for name in ("blur", "mean")
    }
    assert 0 < spread["blur"] < image.std()
    assert spread["mean"] < 0.1


def test_what_is_inpainted_carries_on_a_ramp():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32), (1, 24, 32)).copy()
    assert np.allclose(perturber(ramp, "inpaint", patch_px=PATCH, window="box").changed(8, 12), ramp, atol=1e-2)


def test_a_bump_is_added_and_taken_away_and_the_larger_answer_counts():
    image = textured()
    patches = perturber(image, "gauss", patch_px=PATCH)
    up, down = patches.changed(8, 8) - image
    assert np.allclose(up, -down, atol=1e-6)
    # The patch's middle lies between four pixels, each half a pixel off in rows and columns; σ is 2 px.
    assert up[:, 11, 11] == pytest.approx(0.25 * image.std(axis=(1, 2)) * np.exp(-0.0625), rel=1e-4)
    assert patches.reduced(np.array([[1.0, 3.0]])).tolist() == [3.0]


def test_noise_is_drawn_five_times_and_the_same_for_the_same_seed():
    a, b, c = (perturber(textured(), "noise", patch_px=PATCH, seed=seed).changed(0, 0) for seed in (1, 1, 2))
    assert len(a) == NOISE_DRAWS
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert len(np.unique(a[:, 0, 4, 4])) == NOISE_DRAWS


@pytest.mark.parametrize("kernel", ["blur", "mean", "inpaint"])
def test_nothing_can_be_taken_from_a_constant_image(kernel):
    flat = np.full((1, 24, 32), 3.0, np.float32)
    assert np.allclose(perturber(flat, kernel, patch_px=PATCH).changed(8, 8), flat, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_all_of_an_image_or_none_of_it_can_be_replaced(kernel):
    image = textured()
    patches = perturber(image, kernel, patch_px=PATCH, other=textured(seed=1))
    assert np.array_equal(patches.changed_where(np.zeros((24, 32))), np.repeat(image[None], patches.draws, axis=0))
    assert (patches.changed_where(np.ones((24, 32))) != image).mean() > 0.9


def test_swapping_needs_another_image_that_covers_this_one():
    with pytest.raises(SettingsError, match="give it as `other`"):
        perturber(textured(), "swap", patch_px=PATCH)
    with pytest.raises(ShapeError, match=r"has to cover \(2, 24, 32\)"):
        perturber(textured(), "swap", patch_px=PATCH, other=textured()[:, :20])


def test_what_has_no_meaning_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'blur'"):
        perturber(textured(), "blurr", patch_px=PATCH)
    with pytest.raises(SettingsError, match="shorter side 24, not 25"):
        perturber(textured(), patch_px=25)
    with pytest.raises(SettingsError, match="cosine or box"):
        perturber(textured(), patch_px=PATCH, window="round")
    with pytest.raises(ShapeError, match=r"\(C, H, W\), not \(24, 32\)"):
        perturber(textured()[0], patch_px=PATCH)
