"""Precision, recall, density and coverage against their definitions, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from epistem.core import SettingsError, ShapeError
from epistem.stats import prdc as module
from epistem.stats.prdc import PrdcReference, neighbour_distance, point_prdc, prdc

Floats = NDArray[np.float64]


def cloud(n: int, seed: int, away: float = 0.0, width: int = 12) -> Floats:
    return np.random.default_rng(seed).normal(away, 1, (n, width))


def kth(points: Floats, k: int) -> Floats:
    return np.asarray(np.sort(cdist(points, points), axis=1)[:, k])


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many blocks":
        monkeypatch.setattr(module, "_BLOCK", 0)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 5, 17])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_whole_set_agrees_with_naeem_pair_by_pair(k: int, kind: type) -> None:
    real, fake = cloud(300, 0).astype(kind), cloud(211, 1, 0.3).astype(kind)
    apart, r, g = cdist(real, fake), kth(real, k), kth(fake, k)
    found = prdc(real, fake, k=k)
    assert found.precision == pytest.approx((apart < r[:, None]).any(0).mean(), abs=1e-12)
    assert found.recall == pytest.approx((apart < g).any(1).mean(), abs=1e-12)
    assert found.density == pytest.approx((apart < r[:, None]).sum(0).mean() / k, abs=1e-12)
    assert found.coverage == pytest.approx((apart.min(1) < r).mean(), abs=1e-12)


@pytest.mark.usefixtures("blocks")
def test_each_point_agrees_with_forte_pair_by_pair() -> None:
    real, fake = cloud(300, 0), np.concatenate([cloud(100, 1), cloud(50, 2, 1.5)])
    apart, r, g = cdist(real, fake), kth(real, 5), kth(fake, 5)
    found = point_prdc(real, fake)
    inside = (apart < r[:, None]).sum(0)
    expected = np.stack([(apart < g).mean(0), inside / (5 * 300), inside > 0, apart.min(0) < g], axis=1)
    np.testing.assert_array_equal(found.columns, expected)
    np.testing.assert_allclose(found.radius, g, rtol=1e-12)


@pytest.mark.usefixtures("blocks")
def test_a_point_alone_is_judged_as_in_company() -> None:
    reference = PrdcReference.of(cloud(200, 0), cloud(150, 3))
    new = np.concatenate([cloud(70, 1), cloud(30, 2, 1.0)])
    together = reference.score(new)
    alone = [reference.score(one[None]) for one in new]
    np.testing.assert_array_equal(np.concatenate([one.columns for one in alone]), together.columns)
    np.testing.assert_array_equal(np.concatenate([one.radius for one in alone]), together.radius)


def test_neighbours_of_a_new_point_are_sought_in_the_third_set() -> None:
    points, third, new = cloud(200, 0), cloud(150, 3), cloud(40, 1)
    away = np.sort(cdist(new, third), axis=1)[:, 4]
    reference = PrdcReference.of(points, third)
    found = reference.score(new)
    assert reference.reach == pytest.approx(np.quantile(kth(third, 5), 0.8))
    np.testing.assert_allclose(found.radius, away, rtol=1e-12)
    np.testing.assert_array_equal(found.recall, (cdist(points, new) < np.minimum(away, reference.reach)).mean(0))
    np.testing.assert_allclose(neighbour_distance(new, third, k=5), away, rtol=1e-12)


def test_points_of_the_third_set_are_not_their_own_neighbours() -> None:
    third = cloud(150, 3)
    np.testing.assert_allclose(PrdcReference.of(cloud(200, 0), third).score_third().radius, kth(third, 5), rtol=1e-12)


@pytest.mark.parametrize("third", [None, cloud(150, 3)])
def test_a_point_far_off_has_nothing_in_common_with_the_reference(third: Floats | None) -> None:
    # By the distance to its neighbours alone its ball would hold as many reference points as a typical one's.
    found = PrdcReference.of(cloud(200, 0), third).score(np.concatenate([cloud(20, 1), cloud(20, 2, 9.0)]))
    assert found.columns[:20].any(axis=1).mean() > 0.8
    assert not found.columns[20:].any()


@pytest.mark.parametrize("seed", range(3))
def test_far_from_the_origin_nothing_changes(seed: int) -> None:
    # Sums of squares there are 1e12 times the distances.
    real, fake = np.round(cloud(200, seed), 3), np.round(cloud(200, seed + 9, 0.2), 3)
    assert prdc(real + 2.0**20, fake + 2.0**20) == prdc(real, fake)


def test_a_distance_that_only_double_precision_tells_from_the_radius_is_told() -> None:
    real = np.array([[0.0], [1.0], [10.0], [11.0]])
    assert prdc(real, [[2.0 - 1e-9], [40.0]], k=1).precision == 0.5
    assert prdc(real, [[2.0 + 1e-9], [40.0]], k=1).precision == 0.0


def test_a_far_cluster_does_not_blur_a_tight_one() -> None:
    tight = cloud(200, 0) * 1e-4
    fake = cloud(200, 1) * 1e-4
    far = np.full((20, 12), 1e4) + cloud(20, 2)
    apart = cdist(tight, fake)
    found = point_prdc(np.concatenate([tight, far]), fake)
    assert found.precision.tolist() == (apart < kth(tight, 5)[:, None]).any(0).astype(float).tolist()


def test_turned_shifted_and_scaled_alike_nothing_changes() -> None:
    real, fake = cloud(200, 0), cloud(150, 1, 0.4)
    turn = np.linalg.qr(cloud(12, 5))[0]
    assert prdc(3 * real @ turn + 1, 3 * fake @ turn + 1) == prdc(real, fake)


def test_another_order_of_points_changes_no_point() -> None:
    real, fake = cloud(200, 0), cloud(150, 1, 0.4)
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(point_prdc(real[::-1], fake[order]).columns, point_prdc(real, fake).columns[order])


def test_points_sorted_by_cluster_have_the_radii_of_shuffled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 0)
    points = np.concatenate([cloud(130, i, 8.0 * i) for i in range(4)])
    np.testing.assert_allclose(point_prdc(points + 1, points).radius, kth(points, 5), rtol=1e-12)


def test_copies_of_one_point_have_no_ball() -> None:
    assert prdc(np.ones((9, 3)), np.ones((8, 3)), k=2) == (0, 0, 0, 0)
    assert prdc(np.repeat(cloud(3, 0), 7, axis=0), cloud(20, 1), k=5)[::2] == (0, 0)


def test_no_new_point_gets_no_number() -> None:
    assert PrdcReference.of(cloud(20, 0)).score(np.empty((0, 12))).columns.shape == (0, 4)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(SettingsError, match="6 points or more; 5 points came"):
        prdc(cloud(5, 0), cloud(9, 1))
    with pytest.raises(SettingsError, match="k from 1"):
        prdc(cloud(5, 0), cloud(9, 1), k=0)
    with pytest.raises(SettingsError, match="third set needs 6 points"):
        PrdcReference.of(cloud(9, 0), cloud(5, 0))
    with pytest.raises(SettingsError, match="3 came"):
        neighbour_distance(cloud(2, 0), cloud(3, 0), k=4)
    with pytest.raises(ShapeError, match=r"\(n, 12\)"):
        prdc(cloud(9, 0), cloud(9, 1, width=11))
    with pytest.raises(ShapeError, match="one row a point"):
        PrdcReference.of(cloud(9, 0)).score(np.zeros(12))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
def test_features_that_are_not_finite_are_refused(wrong: float) -> None:
    bad = cloud(9, 1)
    bad[3, 4] = wrong
    for real, fake in ((bad, cloud(9, 0)), (cloud(9, 0), bad)):
        with pytest.raises(SettingsError, match="finite"):
            prdc(real, fake)
