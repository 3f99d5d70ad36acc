"""Boundaries, centrelines, objects and volumes, against brute force and pencil and paper."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from epistem.core import SettingsError, ShapeError
from epistem.segment.boundaries import (
    boundary,
    boundary_f,
    boundary_weighted_iou,
    centreline_dice,
    hd95_px,
    object_scores,
    shape_scores,
    structure,
)
from epistem.segment.metrics import confusion
from epistem.segment.summary import FOREGROUND, image_scores, macro_image

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(9, 6), (4, 5, 3)])
SCORES = (
    boundary_weighted_iou,
    boundary_f,
    centreline_dice,
    lambda a, b, **k: object_scores(a, b, **k).panoptic_quality,
)


def masks(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < rng.random()
    return truth ^ (rng.random(shape) < 0.2), truth


def square(start: int, side: int = 10, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[start : start + side, start : start + side] = True
    return mask


def brute_boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels with a face neighbour inside the image and outside the mask, one by one."""
    result = np.zeros_like(mask)
    for at in np.argwhere(mask):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            beside = at.copy()
            beside[axis] += step
            if 0 <= beside[axis] < mask.shape[axis] and not mask[tuple(beside)]:
                result[tuple(at)] = True
    return result


@settings(max_examples=25, deadline=None)
@given(seeds, shapes)
def test_boundary_f_and_hd95_equal_all_distances_between_boundaries(seed: int, shape: tuple[int, ...]) -> None:
    found, truth = masks(seed, shape)
    a, b = brute_boundary(found), brute_boundary(truth)
    assert np.array_equal(boundary(found), a)
    if not a.any() or not b.any():
        assert np.isnan(hd95_px(found, truth))
        return
    between = cdist(np.argwhere(a), np.argwhere(b))
    assert hd95_px(found, truth) == pytest.approx(max(np.percentile(between.min(k), 95) for k in (0, 1)))
    assert hd95_px(found, truth) <= hausdorff_distance(a, b) + 1e-9
    precision, recall = (between.min(1) <= 1).mean(), (between.min(0) <= 1).mean()
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert boundary_f(found, truth, tolerance_px=1) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(seeds, shapes, st.floats(0, 5))
def test_the_boundary_weighted_iou_is_that_of_pixels_weighed_one_by_one(
    seed: int, shape: tuple[int, ...], alpha: float
) -> None:
    found, truth = masks(seed, shape)
    if truth.all() or not truth.any():
        truth.flat[0] ^= True
    between = cdist(np.argwhere(np.ones(shape)), np.argwhere(np.ones(shape)))
    other = truth.ravel()[:, None] != truth.ravel()[None]
    distance = np.where(other, between, np.inf).min(1).reshape(shape)
    weight = np.exp(-alpha * distance / distance.max())
    expected = weight[found & truth].sum() / weight[found | truth].sum()
    assert boundary_weighted_iou(found, truth, alpha=alpha) == pytest.approx(expected)


def test_with_alpha_nought_the_boundary_weighted_iou_is_the_iou_and_falls_as_errors_at_the_boundary_weigh_more() -> (
    None
):
    truth, found = square(10), square(10, 9)
    plain = boundary_weighted_iou(found, truth, alpha=0)
    assert plain == pytest.approx(81 / 100)
    assert plain > boundary_weighted_iou(found, truth, alpha=3) > boundary_weighted_iou(found, truth, alpha=30)
    with pytest.raises(SettingsError, match="alpha is 0 or more"):
        boundary_weighted_iou(found, truth, alpha=-1)


def test_a_square_moved_by_three_pixels_by_hand() -> None:
    truth, found = square(10), square(10)
    found = np.roll(found, 3, axis=1)
    assert hd95_px(found, truth) == 3
    assert boundary_f(found, truth, tolerance_px=3) == 1
    # Of 36 boundary pixels on either side 8 in each row and 2 of a column are within 1 px; 9 and 4 within 2 px.
    assert boundary_f(found, truth, tolerance_px=1) == pytest.approx(18 / 36)
    assert boundary_f(found, truth) == pytest.approx(22 / 36)


def test_a_crack_found_too_thin_costs_cl_dice_little_and_one_found_elsewhere_all() -> None:
    truth = np.zeros((20, 60), bool)
    truth[9:12, 5:55] = True
    thin, away = np.zeros_like(truth), np.zeros_like(truth)
    thin[10, 5:55] = True
    away[2:5, 5:55] = True
    assert centreline_dice(thin, truth) > 0.98
    assert centreline_dice(away, truth) == 0
    half = truth.copy()
    half[:, 30:] = False
    # All of the found centreline is true, and about half of the true one is found.
    assert centreline_dice(half, truth) == pytest.approx(2 * 0.5 / 1.5, abs=0.03)


def test_a_block_too_small_for_a_centreline_still_agrees_with_itself() -> None:
    volume = np.zeros((6, 6, 6), bool)
    volume[2:4, 2:4, 2:4] = True
    assert centreline_dice(volume, volume) == 1


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("shape", [(6, 8), (4, 5, 6)])
def test_empty_masks_agree_and_an_empty_and_a_full_one_do_not(score, shape) -> None:  # type: ignore[no-untyped-def]
    empty, full = np.zeros(shape, bool), np.ones(shape, bool)
    assert score(empty, empty) == score(full, full) == 1
    assert score(empty, full) == score(full, empty) == 0
    assert np.isnan(score(empty, empty, valid=empty))


@pytest.mark.parametrize("score", [*SCORES, hd95_px])
def test_what_lies_among_ignored_pixels_changes_nothing(score) -> None:  # type: ignore[no-untyped-def]
    truth, found = square(8), square(9)
    valid = np.ones(truth.shape, bool)
    valid[:, 25:] = False
    plain = score(found, truth, valid=valid)
    wild = found | ~valid
    assert score(wild, truth, valid=valid) == plain
    assert score(found, truth | ~valid, valid=valid) == plain


def test_the_edge_of_ignored_pixels_is_no_boundary() -> None:
    mask = np.ones((5, 6), bool)
    valid = np.ones((5, 6), bool)
    valid[:, 4:] = False
    assert not boundary(mask & valid, valid=valid).any()
    mask[:, :1] = False
    assert np.argwhere(boundary(mask, valid=valid))[:, 1].tolist() == [1] * 5


@settings(max_examples=20, deadline=None)
@given(seeds, shapes)
def test_objects_matched_over_one_half_are_those_of_a_search_over_all_pairs(
    seed: int, shape: tuple[int, ...]
) -> None:
    from skimage.measure import label

    found, truth = masks(seed, shape)
    a, b = label(found), label(truth)
    ious = [
        ((a == i) & (b == j)).sum() / ((a == i) | (b == j)).sum()
        for i in range(1, a.max() + 1)
        for j in range(1, b.max() + 1)
    ]
    matched = [one for one in ious if one > 0.5]
    scores = object_scores(found, truth)
    assert (scores.found, scores.truth, scores.matched) == (a.max(), b.max(), len(matched))
    both = a.max() + b.max()
    assert scores.panoptic_quality == pytest.approx(2 * sum(matched) / both if both else 1)


def test_an_object_in_two_pieces_is_one_too_many() -> None:
    truth, found = square(5), square(5)
    found[9] = False
    scores = object_scores(found, truth)
    assert (scores.found, scores.truth, scores.count_error) == (2, 1, 1.0)
    assert np.isnan(object_scores(found, np.zeros_like(truth)).count_error)


def brute_euler(mask: np.ndarray, connectivity: int) -> int:
    """Alternating count of cells: of the closed pixels where corners connect, of their centres' lattice where not."""
    corners = list(itertools.product((0, 1), repeat=mask.ndim))
    total = 0
    for free in corners:
        # Windows that are 2 long along the free axes, 1 along the others.
        padded = np.pad(mask, [(f, f) for f in free]) if connectivity > 1 else mask
        windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(f + 1 for f in free))
        axes = tuple(range(mask.ndim, 2 * mask.ndim))
        present = windows.any(axes) if connectivity > 1 else windows.all(axes)
        order = mask.ndim - sum(free) if connectivity > 1 else sum(free)
        total += (-1) ** order * int(present.sum())
    return total


@settings(max_examples=25, deadline=None)
@given(seeds, shapes, st.booleans())
def test_the_euler_number_is_the_alternating_count_of_cells(seed: int, shape: tuple[int, ...], corners: bool) -> None:
    mask, _ = masks(seed, shape)
    connectivity = len(shape) if corners else 1
    assert structure(mask, connectivity=connectivity).euler == brute_euler(mask, connectivity)


def test_a_channel_through_a_volume_by_hand() -> None:
    pores = np.zeros((4, 5, 6), bool)
    pores[:, 2, 2] = True
    pores[0, 0, 0] = True
    found = structure(pores)
    assert found.share == 5 / 120
    assert found.components == 2
    assert found.largest_share == 4 / 5
    assert found.percolates == (True, False, False)
    assert found.euler == 2


def test_a_ring_has_a_hole_and_a_shell_a_hollow() -> None:
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert structure(ring).euler == 0
    shell = np.ones((3, 3, 3), bool)
    shell[1, 1, 1] = False
    assert structure(shell).euler == 2


def test_steps_over_corners_percolate_only_where_corners_connect() -> None:
    stairs = np.eye(4, dtype=bool)
    assert structure(stairs).percolates == (False, False)
    assert structure(stairs, connectivity=2).percolates == (True, True)
    with pytest.raises(SettingsError, match="connectivity is 1"):
        structure(stairs, connectivity=3)


def test_porosity_is_of_the_pixels_that_count_and_unknown_where_none_does() -> None:
    pores = np.zeros((2, 10), bool)
    pores[0, :2] = True
    valid = np.zeros((2, 10), bool)
    valid[:, :4] = True
    assert structure(pores, valid=valid).share == 2 / 8
    assert np.isnan(structure(pores, valid=np.zeros((2, 10), bool)).share)
    nothing = structure(np.zeros((2, 10), bool))
    assert nothing.share == nothing.euler == nothing.components == 0
    assert np.isnan(nothing.largest_share)
    assert nothing.percolates == (False, False)


def test_masks_of_another_size_or_dimension_are_refused() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        boundary_f(np.zeros((3, 4), bool), np.zeros((4, 3), bool))
    with pytest.raises(ShapeError, match=r"\(H, W\) or \(D, H, W\)"):
        structure(np.zeros(5, bool))


def test_a_table_of_shapes_goes_below_one_of_counts_and_is_averaged_with_it() -> None:
    classes = ("background", "pore", "crack")
    truth = np.zeros((40, 40), np.uint8)
    truth[square(5)] = 1
    tables, counts = [], []
    for name, shift in (("first", 0), ("second", 1)):
        found = np.roll(truth, shift, axis=0)
        tables.append(shape_scores(found, truth, classes, image=name))
        counts.append(confusion(found, truth, classes))
    scored = image_scores(np.stack(counts), classes, weights=np.ones(3) / 3, images=["first", "second"])
    macro = macro_image(pd.concat([scored, *tables])).set_index(["class", "metric"])
    assert "background" not in macro.xs("hd95_px", level="metric").index
    assert macro.loc[("pore", "hd95_px"), "value"] == 0.5
    assert macro.loc[("crack", "boundary_f"), ["value", "empty"]].tolist() == [1, 2]
    assert macro.loc[("crack", "hd95_px"), "undefined"] == macro.loc[(FOREGROUND, "hd95_px"), "undefined"] == 2
    assert macro.loc[(FOREGROUND, "hd95_px"), "value"] == 0.5
