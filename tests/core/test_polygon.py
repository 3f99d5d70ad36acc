from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from epistem.core import Mask
from epistem.core.polygon import fill, fill_ellipse, one_ring, tight, trace

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=10))


def drawn(mask: Mask | None, shape: tuple[int, int]) -> np.ndarray:
    full = np.zeros(shape, bool)
    if mask is not None:
        full[mask.rows, mask.cols] = mask.crop
    return full


def twice_area(ring: np.ndarray) -> int:
    row, col = ring.T
    return int((col * np.roll(row, -1) - np.roll(col, -1) * row).sum())


@given(MASKS)
def test_every_mask_comes_back_from_its_outline_pixel_for_pixel(full):
    rings = [ring for part in trace(full) for ring in (part.shell, *part.holes)]
    np.testing.assert_array_equal(drawn(fill(rings, full.shape), full.shape), full)


@given(MASKS)
def test_holes_and_pieces_joined_to_one_ring_fill_the_same_pixels(full):
    parts = trace(full)
    if parts:
        np.testing.assert_array_equal(drawn(fill([one_ring(parts)], full.shape), full.shape), full)


@given(MASKS)
def test_outlines_surround_the_area_of_the_mask_and_touch_themselves_nowhere(full):
    parts = trace(full)
    rings = [ring for part in parts for ring in (part.shell, *part.holes)]
    assert sum(twice_area(ring) for ring in rings) == 2 * full.sum()
    assert all(len({tuple(corner) for corner in ring.tolist()}) == len(ring) for ring in rings)
    assert all(twice_area(part.shell) > 0 for part in parts)
    assert all(twice_area(hole) < 0 for part in parts for hole in part.holes)


def test_a_hole_belongs_to_the_innermost_part_around_it():
    full = np.ones((9, 9), bool)
    full[1:8, 1:8] = False
    full[2:7, 2:7] = True
    full[4, 4] = False
    outer, inner = trace(full)
    assert [hole.min(axis=0).tolist() for hole in outer.holes] == [[1, 1]]
    assert [hole.min(axis=0).tolist() for hole in inner.holes] == [[4, 4]]


def test_pixels_that_meet_at_a_corner_are_two_parts():
    assert len(trace(np.eye(2, dtype=bool))) == 2
    assert len(trace(np.eye(2, dtype=bool)[::-1])) == 2


def test_halves_of_a_frame_that_meet_at_corners_are_two_parts_without_a_hole():
    halves = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], bool)
    for full in (halves, halves[:, ::-1]):
        assert [len(part.holes) for part in trace(full)] == [0, 0]


def test_an_empty_mask_has_no_outline():
    assert trace(np.zeros((3, 2), bool)) == []


@given(st.floats(20, 60), st.floats(20, 60), st.floats(5, 18), st.integers(3, 12))
def test_a_filled_polygon_has_its_analytic_area_to_its_rim(row, col, radius, corners):
    angle = np.arange(corners) * 2 * np.pi / corners
    ring = np.stack([row + radius * np.sin(angle), col + radius * np.cos(angle)], axis=1)
    area = corners / 2 * radius**2 * np.sin(2 * np.pi / corners)
    assert fill([ring], (80, 90)).crop.sum() == pytest.approx(area, abs=2 * radius + 4)


def test_many_small_shifts_average_to_the_analytic_area():
    rng = np.random.default_rng(0)
    triangle = np.array([[2.0, 3.0], [9.0, 5.0], [4.0, 14.0]])
    filled = [fill([triangle + rng.random(2)], (20, 30)).crop.sum() for _ in range(3000)]
    assert np.mean(filled) == pytest.approx(abs(np.cross([7, 2, 0], [2, 11, 0])[2]) / 2, abs=0.1)


def test_neighbours_that_share_an_edge_share_no_pixel_and_leave_none_out():
    left = fill([np.array([[0, 0], [0, 5.5], [7, 2.5], [7, 0]])], (7, 9))
    right = fill([np.array([[0, 5.5], [0, 9], [7, 9], [7, 2.5]])], (7, 9))
    assert (drawn(left, (7, 9)).astype(int) + drawn(right, (7, 9)) == 1).all()


def test_what_lies_outside_the_image_is_cut_off():
    mask = fill([np.array([[-5, -5], [-5, 3], [2, 3], [2, -5]])], (4, 6))
    assert (mask.rows, mask.cols, mask.crop.all()) == (slice(0, 2), slice(0, 3), True)


@pytest.mark.parametrize("corner", [[10, 0], [0, 10], [-9, 0], [0, -9], [1.6, 1.6]])
def test_a_polygon_without_a_pixel_centre_in_the_image_is_none(corner):
    square = np.array([[0, 0], [0, 0.8], [0.8, 0.8], [0.8, 0]])
    assert fill([square + corner], (4, 6)) is None


def test_an_ellipse_has_its_analytic_area_and_stands_upright():
    mask = fill_ellipse((50.0, 40.0), 30.0, 60.0, (100, 80))
    assert mask.crop.sum() == pytest.approx(np.pi * 15 * 30, rel=0.01)
    assert mask.crop.shape == (30, 60)


def test_an_ellipse_is_cut_at_the_edge_and_none_beyond_it():
    assert fill_ellipse((0.0, 3.0), 4.0, 4.0, (10, 10)).rows == slice(0, 2)
    assert fill_ellipse((-5.0, 3.0), 4.0, 4.0, (10, 10)) is None
    assert fill_ellipse((5.0, 5.0), 0.1, 0.1, (10, 10)) is None


def test_tight_cuts_to_the_set_pixels_and_keeps_their_place():
    full = np.zeros((5, 6), bool)
    full[2, 3:5] = True
    mask = tight(full, 10, 20)
    assert (mask.rows, mask.cols, mask.crop.tolist()) == (slice(12, 13), slice(23, 25), [[True, True]])
    assert tight(np.zeros((2, 2), bool)) is None


def test_many_pieces_with_many_holes_are_traced_in_a_moment() -> None:
    mask = np.random.default_rng(0).random((300, 300)) < 0.6
    begun = time.perf_counter()
    parts = trace(mask)
    assert time.perf_counter() - begun < 10  # asking each shell for each hole took longer than a minute
    assert sum(map(len, (part.holes for part in parts))) > 1000
    again = fill([ring for part in parts for ring in (part.shell, *part.holes)], mask.shape)
    assert again is not None
    assert np.array_equal(again.crop, mask[again.rows, again.cols])
    # Each hole lies in the box of its own shell.
    for part in parts:
        for hole in part.holes:
            assert (hole.min(0) > part.shell.min(0)).all()
            assert (hole.max(0) < part.shell.max(0)).all()
