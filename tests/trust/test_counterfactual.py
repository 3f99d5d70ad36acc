from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from epistem.core import SettingsError, ShapeError, UnknownName
from epistem.trust.counterfactual import Floats, Heatmap, How, Mask, heatmap, minimal_change
from epistem.trust.heatmap_check import rank_agreement
from epistem.trust.perturb import KERNELS

SHAPE = (44, 60)
PLACE = (30, 44)  # what `far_seeing` looks at
SMALL = How(patch_px=8, kernel="mean", window="box")


def two_classes(probability: Floats) -> Floats:
    return np.stack([1 - probability, probability], axis=1)


def local(images: Floats) -> Floats:
    """The mean of 5 × 5 pixels: what is more than 2 px off changes nothing."""
    return two_classes(np.clip(ndimage.uniform_filter(images[:, 0], (0, 5, 5), mode="nearest"), 0, 1))


def far_seeing(images: Floats) -> Floats:
    """Everywhere class 1 if one place is bright."""
    bright = images[:, 0, PLACE[0] - 2 : PLACE[0] + 3, PLACE[1] - 2 : PLACE[1] + 3].mean(axis=(1, 2))
    return two_classes(np.broadcast_to(np.clip(bright, 0, 1)[:, None, None], images[:, 0].shape))


def textured(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (1, *SHAPE)).astype(np.float32)


def one_bright_place() -> Floats:
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, PLACE[0] - 2 : PLACE[0] + 3, PLACE[1] - 2 : PLACE[1] + 3] = 1
    return image


def square(row: int = 6, col: int = 8, side: int = 6) -> Mask:
    region = np.zeros(SHAPE, bool)
    region[row : row + side, col : col + side] = True
    return region


def at_most(heat: Heatmap) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(heat.values.argmax(), SHAPE))


def test_the_map_is_highest_at_the_one_place_that_is_looked_at_however_far_off():
    heat = heatmap(far_seeing, one_bright_place(), square(), how=How(patch_px=8))
    assert np.abs(np.subtract(at_most(heat), PLACE)).max() <= 2
    assert heat.values[square()].max() < 0.01 * heat.values.max()


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_finds_the_place(kernel):
    how = How(patch_px=8, kernel=kernel)
    image = one_bright_place()
    heat = heatmap(far_seeing, image, square(), how=how, other=np.zeros_like(image))
    assert np.abs(np.subtract(at_most(heat), PLACE)).max() <= 4


def test_a_cell_is_the_mean_change_of_the_probability_in_the_region():
    image, region = textured(), square()
    heat = heatmap(local, image, region, how=SMALL)
    for (row, col), change in zip(heat.cells[::7], heat.change[::7], strict=True):
        other = image.copy()
        other[:, row : row + 8, col : col + 8] = image.mean()
        want = np.abs(local(image[None])[0, 1] - local(other[None])[0, 1])[region].mean()
        assert change == pytest.approx(want, abs=1e-6)


def test_passes_and_their_pixels_are_counted_and_no_batch_is_larger_than_allowed():
    seen = []

    def watched(images: Floats) -> Floats:
        seen.append(images[:, 0].shape)
        return local(images)

    image_px = SHAPE[0] * SHAPE[1]
    heat = heatmap(watched, textured(), square(), how=SMALL, batch_px=5 * image_px)
    assert heat.forwards == sum(n for n, _, _ in seen)
    assert heat.forward_px == sum(n * h * w for n, h, w in seen)
    assert max(n for n, _, _ in seen) == 5


def test_every_cell_is_asked_once_and_only_a_tenth_of_them_more_finely():
    def everything_counts(images: Floats) -> Floats:
        total = (images[:, 0] ** 2).mean(axis=(1, 2))
        return two_classes(np.broadcast_to(total[:, None, None], images[:, 0].shape))

    heat = heatmap(everything_counts, textured(), square(), how=SMALL)
    assert heat.forwards == 1 + len(heat.cells)
    assert len(np.unique(heat.cells, axis=0)) == len(heat.cells)
    first = (heat.cells % 4 == 0).all(axis=1).sum()
    assert first == 10 * 14
    assert 0 < len(heat.cells) - first <= 15 * 14  # 15 of the 16 of a cell are new, 14 cells are a tenth
    one_step = heatmap(everything_counts, textured(), square(), how=How(patch_px=8, coarse_to_fine=False))
    assert len(one_step.cells) == first


def test_what_is_looked_at_again_is_what_matters_most():
    heat = heatmap(far_seeing, one_bright_place(), square(), how=SMALL)
    again = heat.cells[(heat.cells % 4 != 0).any(axis=1)] + 4
    assert np.abs(again - PLACE).max() <= 12


def test_with_a_known_reach_the_map_is_the_same_and_costs_a_part():
    region = square(4, 40)
    how = How(patch_px=8, coarse_to_fine=False)
    whole, part = (heatmap(local, textured(), region, how=replace(how, reach_px=r)) for r in (None, 2))
    near = ndimage.binary_dilation(region, np.ones((5, 5)))
    assert np.allclose(part.values[near], whole.values[near], atol=1e-6)
    assert part.values[40:].max() == 0
    assert part.forward_px < whole.forward_px / 5
    assert np.isnan(part.answer[:, 40:]).all()


def test_a_cell_that_reaches_the_region_has_the_same_value_in_a_window():
    how = How(patch_px=8, coarse_to_fine=False)
    whole, part = (heatmap(local, textured(), square(4, 40), how=replace(how, reach_px=r)) for r in (None, 2))
    values = {tuple(cell): change for cell, change in zip(whole.cells, whole.change, strict=True)}
    assert len(part.cells) > 10
    assert [values[tuple(cell)] for cell in part.cells] == pytest.approx(part.change, abs=1e-6)
    missed = set(values) - {tuple(cell) for cell in part.cells}
    # A patch that begins before the window belongs to the window's first.
    assert all(values[cell] == 0 for cell in missed if cell[1] >= 32)


def test_a_drop_is_negative_where_what_is_there_speaks_against_the_class():
    image = one_bright_place()
    drop = How(patch_px=8, kernel="mean", measure="drop")
    for_it = heatmap(far_seeing, image, square(), how=drop)
    against = heatmap(far_seeing, image, square(), how=How(of_class=0, patch_px=8, kernel="mean", measure="drop"))
    assert for_it.values.max() > 0.3
    assert np.allclose(against.values, -for_it.values, atol=1e-5)


def test_hard_answers_change_by_whole_pixels():
    heat = heatmap(
        far_seeing, one_bright_place(), square(), how=How(patch_px=8, kernel="mean", window="box", hard=True)
    )
    assert set(heat.change.tolist()) == {0.0, 1.0}


def test_progress_ends_where_it_said_it_would():
    told: list[tuple[int, int]] = []
    heat = heatmap(local, textured(), square(), how=SMALL, told=lambda done, total: told.append((done, total)))
    assert told[-1] == (heat.forwards - 1, heat.forwards - 1)
    assert all(done <= total for done, total in told)


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (16, 8)])
def test_an_image_hardly_larger_than_a_patch_has_a_map(shape):
    region = np.zeros(shape, bool)
    region[2, 3] = True
    heat = heatmap(local, np.ones((1, *shape), np.float32), region, how=How(patch_px=8))
    assert heat.values.shape == shape
    assert np.isfinite(heat.values).all()


def test_where_nothing_changes_the_answer_the_map_is_zero():
    heat = heatmap(local, np.full((1, *SHAPE), 0.5, np.float32), square(), how=How(patch_px=8))
    assert heat.values.max() == pytest.approx(0, abs=1e-6)


def test_nothing_is_changed_and_the_same_call_gives_the_same_map():
    image, region = textured(), square()
    kept = image.copy(), region.copy()
    a, b = (heatmap(local, image, region, how=How(patch_px=8, kernel="noise")) for _ in range(2))
    assert np.array_equal(a.values, b.values)
    assert np.array_equal(image, kept[0])
    assert np.array_equal(region, kept[1])
    assert a.provenance == b.provenance


def test_the_full_grid_is_captums_occlusion():
    ours, theirs, _ = both(How(patch_px=8, kernel="blur", window="box", stride_px=4, coarse_to_fine=False))
    assert np.allclose(ours.values, theirs, atol=1e-6)


def test_coarse_to_fine_ranks_as_captum_does_at_the_finest_stride_for_a_fifth_of_the_pixels():
    ours, theirs, theirs_px = both(How(patch_px=16, kernel="blur", window="box"))
    assert rank_agreement(ours.values, theirs) > 0.9
    assert theirs_px > 5 * ours.forward_px


def both(how: How) -> tuple[Heatmap, Floats, int]:
    """Our map, Captum's of the same question at our finest stride, and the pixels its passes had."""
    import torch
    from captum.attr import Occlusion

    image = (
        ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((1, 72, 80)), (0, 1.5, 1.5)).astype(
            np.float32
        )
        * 5
    )
    region = np.zeros((72, 80), bool)
    region[30:40, 20:34] = True

    def smooth(images: Floats) -> Floats:
        seen = sum(ndimage.gaussian_filter(images[:, 0], (0, s, s)) for s in (1, 3, 8))
        return two_classes((1 / (1 + np.exp(-3 * seen))).astype(np.float32))

    ours, passes = heatmap(smooth, image, region, how=how), []

    def change(images: torch.Tensor) -> torch.Tensor:
        passes.append(images.shape[0] * 72 * 80)
        return -torch.from_numpy(np.abs(smooth(images.numpy())[:, 1] - ours.answer[1])[:, region].mean(1))

    assert ours.patches.fills is not None
    theirs = Occlusion(change).attribute(
        torch.from_numpy(image[None]),
        sliding_window_shapes=(1, how.patch_px, how.patch_px),
        strides=(1, how.finest, how.finest),
        baselines=torch.from_numpy(ours.patches.fills),
        perturbations_per_eval=64,
    )
    return ours, theirs.numpy()[0, 0], sum(passes)


def test_one_patch_over_the_one_place_flips_the_answer():
    heat = heatmap(far_seeing, one_bright_place(), square(), how=SMALL)
    least = minimal_change(far_seeing, heat)
    assert least is not None
    assert len(least.cells) == 1
    assert least.area_px == 64
    assert least.share == 64 / (SHAPE[0] * SHAPE[1])
    assert least.changed[PLACE]
    assert least.dice == 0
    assert (least.answer.argmax(axis=0) == 0).all()
    assert np.array_equal(least.image != one_bright_place(), least.changed[None])


def test_no_patch_of_the_least_change_can_be_left_out():
    image = 0.5 * textured()
    image[0, 6:26, 8:28] = 0.9
    region = square(6, 8, 20)
    heat = heatmap(local, image, region, how=SMALL)
    least = minimal_change(local, heat, dice_below=0.6)
    assert least is not None
    assert len(least.cells) > 1
    assert least.dice < 0.6
    for k in range(len(least.cells)):
        weight = np.zeros(SHAPE)
        for row, col in np.delete(least.cells, k, axis=0):
            weight[row : row + 8, col : col + 8] = 1
        before, after = (local(im)[0, 1][region] > 0.5 for im in (image[None], heat.patches.changed_where(weight)))
        assert 2 * (before & after).sum() / (before.sum() + after.sum()) >= 0.6


@pytest.mark.parametrize("window", ["box", "cosine"])
def test_all_patches_together_replace_the_image_up_to_half_a_patch_from_its_border(window):
    def bright_anywhere(images: Floats) -> Floats:
        """Class 1 everywhere unless all but the border is near its mean."""
        most = np.abs(images[:, 0, 4:-4, 4:-4] - 0.5).max(axis=(1, 2))
        return two_classes(np.broadcast_to((most > 0.2).astype(np.float32)[:, None, None], images[:, 0].shape))

    image = textured()
    heat = heatmap(bright_anywhere, image, square(), how=How(patch_px=8, kernel="mean", window=window))
    least = minimal_change(bright_anywhere, heat)
    assert least is not None
    assert np.abs(least.image[0, 4:-4, 4:-4] - 0.5).max() <= 0.2


def test_more_has_to_go_for_a_larger_change():
    image = 0.5 * textured()
    image[0, 6:26, 8:28] = 0.9
    heat = heatmap(local, image, square(6, 8, 20), how=SMALL)
    areas = [found.area_px for dice in (0.9, 0.5) if (found := minimal_change(local, heat, dice_below=dice))]
    assert areas[0] < areas[1]


def test_an_answer_that_no_patch_changes_has_no_least_change():
    def always(images: Floats) -> Floats:
        return two_classes(np.ones_like(images[:, 0]))

    heat = heatmap(always, textured(), square(), how=SMALL)
    assert minimal_change(always, heat) is None


def test_an_answer_that_is_not_there_cannot_be_taken_away():
    heat = heatmap(far_seeing, np.zeros((1, *SHAPE), np.float32), square(), how=SMALL)
    with pytest.raises(SettingsError, match="finds class 1 nowhere in the region"):
        minimal_change(far_seeing, heat)


def test_questions_without_meaning_are_refused():
    image = textured()
    with pytest.raises(SettingsError, match="holds no pixel"):
        heatmap(local, image, np.zeros(SHAPE, bool))
    with pytest.raises(ShapeError, match=r"the region \(3, 3\)"):
        heatmap(local, image, np.ones((3, 3), bool))
    with pytest.raises(SettingsError, match="2 classes, from 0 on; there is no class 2"):
        heatmap(local, image, square(), how=How(of_class=2))
    with pytest.raises(SettingsError, match="not finite"):
        heatmap(local, np.full_like(image, np.nan), square())
    with pytest.raises(ShapeError, match=r"wanted \(N, K, H, W\)"):
        heatmap(lambda images: images[:, 0], image, square())
    with pytest.raises(UnknownName, match="no kernel is called 'erase'"):
        heatmap(local, image, square(), how=How(kernel="erase"))
    with pytest.raises(SettingsError, match="multiple of 8"):
        How(patch_px=12)
    with pytest.raises(SettingsError, match="change or drop"):
        How(measure="gain")
    with pytest.raises(SettingsError, match="stride_px is from 1"):
        How(stride_px=17)
    with pytest.raises(SettingsError, match="reach_px is at least 0"):
        How(reach_px=-1)
