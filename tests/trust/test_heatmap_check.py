from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError
from epistem.trust.counterfactual import Floats, Heatmap, How, heatmap
from epistem.trust.heatmap_check import (
    Deletion,
    deletion,
    iou_top,
    kernel_agreement,
    over_images,
    pointing,
    rank_agreement,
    similarity,
    stability,
)

SHAPE = (40, 48)
PLACE = (slice(26, 32), slice(34, 40))
REGION = np.zeros(SHAPE, bool)
REGION[4:12, 6:14] = True
SHARES = (0.02, 0.05, 0.1)


def looks_elsewhere(images: Floats) -> Floats:
    """Class 1 everywhere while a place outside the region keeps its stripes."""
    striped = images[:, 0][:, PLACE[0], PLACE[1]].std(axis=(1, 2))
    p = np.broadcast_to(np.clip(striped, 0, 1)[:, None, None], images[:, 0].shape)
    return np.stack([1 - p, p], axis=1)


def stripes() -> Floats:
    rows = np.where(np.arange(SHAPE[0]) % 2, 1.0, -1.0)
    return np.broadcast_to(rows[:, None], (1, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def heat() -> Heatmap:
    return heatmap(looks_elsewhere, stripes(), REGION, how=How(patch_px=8, coarse_to_fine=False))


def test_blurring_what_the_map_ranks_highest_takes_the_answer_and_the_lowest_leaves_it(heat):
    curve = deletion(looks_elsewhere, heat, shares=SHARES, places=39)
    assert curve.top[-1] == 1
    assert curve.bottom.max() == 0
    assert curve.gap > 0.5
    assert curve.p == 1 / 40


def test_a_map_that_shows_another_place_is_not_significant(heat):
    wrong = replace(heat, values=np.roll(heat.values, (-20, -20), (0, 1)))
    curve = deletion(looks_elsewhere, wrong, shares=SHARES, places=39)
    assert curve.top.max() == 0
    assert curve.p == 1


def test_context_alone_is_blurred_where_the_region_is_left_out(heat):
    seen = []

    def watched(images: Floats) -> Floats:
        seen.append(np.abs(images - stripes())[:, 0, 1:15, 3:17].max())
        return looks_elsewhere(images)

    curve = deletion(watched, heat, shares=SHARES, places=3, without_region=True)
    assert curve.top[-1] == 1
    assert max(seen) == 0


def test_the_same_seed_gives_the_same_places(heat):
    a, b, c = (deletion(looks_elsewhere, heat, shares=SHARES, places=8, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(a.random, b.random)
    assert not np.array_equal(a.random, c.random)


def curves(top: float, elsewhere: float) -> Deletion:
    shares = np.array([0.1, 0.3])
    return Deletion(shares, np.full(2, top), np.zeros(2), np.full((39, 2), elsewhere), False)


def test_the_gap_is_the_area_between_the_curves_over_their_width():
    assert curves(0.75, 0.25).gap == pytest.approx(0.5)
    assert curves(0.75, 0.25).p == 1 / 40
    assert curves(0.25, 0.75).p == 1


def test_over_images_the_gap_is_tested_and_the_significant_are_counted():
    together = over_images([curves(0.8 + 0.01 * i, 0.1 + 0.01 * i) for i in range(5)] + [curves(0.1, 0.2)])
    assert together.images == 6
    assert together.significant == 5
    assert together.gap == pytest.approx((5 * 0.7 - 0.1) / 6)
    assert together.p is not None
    assert together.p < 0.05
    assert over_images([curves(0.8, 0.1)]).p is None


def test_a_map_is_like_itself_whatever_its_scale_and_not_like_noise(heat):
    noise = np.random.default_rng(0).random(SHAPE)
    assert similarity(heat.values, 3 * heat.values + 1) == pytest.approx(1, abs=1e-5)
    assert similarity(heat.values, noise) < 0.3
    with pytest.raises(ShapeError, match="two maps of one shape"):
        similarity(noise, noise[:-1])


def test_ranks_agree_up_to_any_rising_function_and_a_constant_map_has_none():
    a = np.random.default_rng(0).random((5, 6))
    assert rank_agreement(a, np.exp(a)) == pytest.approx(1)
    assert rank_agreement(a, -a) == pytest.approx(-1)
    assert np.isnan(rank_agreement(a, np.ones((5, 6))))
    pairs = kernel_agreement({"blur": a, "mean": a**2, "noise": -a})
    assert {names: round(value) for names, value in pairs.items()} == {
        ("blur", "mean"): 1,
        ("blur", "noise"): -1,
        ("mean", "noise"): -1,
    }


def test_a_map_that_noise_does_not_move_is_stable(heat):
    def again(image: Floats) -> Heatmap:
        return heatmap(looks_elsewhere, image, REGION, how=heat.how)

    assert stability(again, heat, noise=0.01, draws=2) > 0.9
    rng = np.random.default_rng(0)
    assert abs(stability(lambda image: replace(heat, values=rng.random(SHAPE)), heat, draws=2)) < 0.2


def test_a_map_points_at_what_the_expert_drew(heat):
    band = np.zeros(SHAPE, bool)
    band[PLACE] = True
    assert pointing(heat.values, band)
    assert not pointing(heat.values, REGION)
    assert iou_top(heat.values, band) > 0.4
    assert iou_top(band.astype(float), band) == 1
    assert iou_top(heat.values, band, share=0.5) == pytest.approx(band.mean() / 0.5)


def test_what_has_no_meaning_is_refused(heat):
    with pytest.raises(SettingsError, match="rising shares"):
        deletion(looks_elsewhere, heat, shares=(0.3, 0.1))
    with pytest.raises(SettingsError, match="nowhere in the region"):
        deletion(looks_elsewhere, replace(heat, answer=heat.answer[::-1]))
    with pytest.raises(SettingsError, match="nothing is left to blur"):
        deletion(looks_elsewhere, replace(heat, region=np.ones(SHAPE, bool)), without_region=True)
    with pytest.raises(SettingsError, match="band holds no pixel"):
        pointing(heat.values, np.zeros(SHAPE, bool))
    with pytest.raises(ShapeError, match="expert's band"):
        iou_top(heat.values, np.ones((3, 3), bool))
    with pytest.raises(SettingsError, match="at least one"):
        over_images([])
