"""Region tables against scikit-image and scipy, and what must hold of any of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import regionprops_table

from epistem.core import Calibration, Instances, Micrograph, ShapeError
from epistem.detect import measure as measuring
from epistem.detect.hulls import Hulls, convex_hulls, feret
from epistem.detect.measure import measure, published_heywood, region_table
from epistem.detect.runs import row_lines, row_runs

OURS = {
    "area": "area_px",
    "centroid-0": "centroid_row_px",
    "centroid-1": "centroid_col_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "feret_diameter_max": "feret_max_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "intensity_mean": "intensity_mean",
    "intensity_std": "intensity_sd",
    "intensity_min": "intensity_min",
    "intensity_max": "intensity_max",
}
SQUARE_NM = Calibration(0.5, 0.5, "user")


def blobs(seed: int, shape: tuple[int, int], level: float = 0.55) -> np.ndarray:
    """Ragged objects with holes, arms and touching neighbours; some are one pixel, some reach the border."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0)
    pieces, _ = ndimage.label(field > np.quantile(field, level), structure=np.ones((3, 3)))
    return np.where(pieces > 0, 2 * pieces + np.indices(shape)[1] // 25 % 2, 0)


def same_as_skimage(labels: np.ndarray, pixels: np.ndarray) -> None:
    wanted = {name.split("-")[0] for name in OURS} | {"orientation"}
    theirs = regionprops_table(labels, pixels, properties=tuple(sorted(wanted)))
    ours = region_table(Instances.from_labels(labels), pixels=pixels)
    for name, column in OURS.items():
        np.testing.assert_allclose(ours[column], theirs[name], rtol=0, atol=1e-6, err_msg=name)
    turn = ours["orientation_rad"] - theirs["orientation"]
    # Of a round object the angle is noise; -90° and 90° are the same line.
    off = np.abs(np.sin(turn))[ours["eccentricity"] > 1e-3]
    np.testing.assert_allclose(off, 0, atol=1e-6)


@pytest.mark.parametrize("level", [0.3, 0.55, 0.8, 0.95])
def test_every_column_equals_scikit_image_on_ragged_objects(level: float) -> None:
    labels = blobs(3, (150, 211), level)
    same_as_skimage(labels, np.random.default_rng(0).normal(1000, 3, labels.shape))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_every_column_equals_scikit_image_on_any_small_mask(rows: int, cols: int, seed: int, filled: float) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, cols)) <= filled).astype(int)
    labels[rng.integers(rows), rng.integers(cols)] = 1
    same_as_skimage(labels, rng.integers(0, 2**16, labels.shape).astype(np.uint16))


def test_a_large_object_equals_scikit_image() -> None:
    row, col = np.ogrid[:700, :600]
    labels = (((row - 350) / 340) ** 2 + ((col - 300 + row / 9) / 190) ** 2 < 1).astype(int)
    labels[300:360, 250:300] = 0
    same_as_skimage(labels, np.ones(labels.shape, np.uint8))


def test_hull_corners_equal_those_of_scipy() -> None:
    found = Instances.from_labels(blobs(5, (120, 90)))
    lines = row_lines(row_runs(found))
    ours, _ = convex_hulls(lines, len(found))
    stops = np.cumsum(ours.corners)
    compared = 0
    for i, mask in enumerate(found.masks()):
        points = np.argwhere(mask.crop) + np.array([mask.rows.start, mask.cols.start])
        try:
            theirs = points[ConvexHull(points).vertices]
        except QhullError:
            continue
        part = slice(stops[i] - ours.corners[i], stops[i])
        mine = np.stack([ours.row[part], ours.col[part]], axis=1)
        assert sorted(map(tuple, mine.tolist())) == sorted(map(tuple, theirs.astype(float).tolist()))
        compared += 1
    assert compared > 20


def test_published_size_equals_its_formula_on_scipys_hull() -> None:
    found = Instances.from_labels(blobs(7, (120, 90)))
    table = region_table(found)
    compared = 0
    for i, mask in enumerate(found.masks()):
        try:
            hull = ConvexHull(np.argwhere(mask.crop))
        except QhullError:
            continue
        corners = hull.points[hull.vertices]
        reach = np.linalg.norm(corners - corners.mean(0), axis=1)
        assert table["paper_diameter_px"][i] == pytest.approx(2 * np.sqrt(reach.min() * reach.max()), abs=1e-9)
        heywood = hull.area / (2 * np.sqrt(np.pi * hull.volume))
        assert table["paper_heywood"][i] == pytest.approx(heywood, abs=1e-9)
        compared += 1
    assert compared > 20


@pytest.mark.parametrize(("mask", "length"), [(np.ones((1, 1)), 0), (np.ones((1, 5)), 4), (np.eye(4), 3 * 2**0.5)])
def test_published_size_of_a_line_is_the_distance_of_its_ends(mask: np.ndarray, length: float) -> None:
    table = region_table(Instances.from_labels(mask.astype(int)))
    assert table["paper_diameter_px"][0] == pytest.approx(length)
    assert np.isnan(table["paper_heywood"][0])


def test_the_published_factor_alone_is_that_of_the_table() -> None:
    found = Instances.from_labels(ndimage.label(blobs(3, (60, 80)))[0])
    np.testing.assert_array_equal(published_heywood(found), region_table(found)["paper_heywood"])
    empty = replace(found[:2], crops=(np.zeros_like(found.crops[0]), found.crops[1]))
    np.testing.assert_array_equal(published_heywood(empty), region_table(empty)["paper_heywood"])
    boxes = Instances.from_boxes(found.shape, found.boxes)
    assert np.isnan(published_heywood(boxes)).all()


def test_a_tilted_bar_has_its_width_as_smallest_feret_diameter() -> None:
    row, col = np.mgrid[:200, :200] - 100
    along, across = (row + col) / 2**0.5, (row - col) / 2**0.5
    bar = (np.abs(along) < 70) & (np.abs(across) < 10)
    table = region_table(Instances.from_labels(bar.astype(int)))
    assert table["feret_min_px"][0] == pytest.approx(20, abs=1)
    upright = region_table(Instances.from_labels(np.pad(np.ones((4, 9), int), 2)))
    assert upright["feret_min_px"].tolist() == [4.0]


def test_smallest_feret_diameter_is_the_least_width_over_all_directions() -> None:
    labels = blobs(2, (60, 80), 0.8)
    table = region_table(Instances.from_labels(labels))
    hull = regionprops_table(labels, properties=("image_convex",))["image_convex"]
    diamonds = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    angles = np.linspace(0, np.pi, 3601)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    for ours, image in zip(table["feret_min_px"], hull, strict=True):
        outline = (np.argwhere(image)[:, None] + diamonds).reshape(-1, 2)
        widths = np.ptp(outline @ directions, axis=0)
        assert widths.min() - 0.02 * widths.max() <= ours <= widths.min() + 1e-9


@pytest.mark.parametrize("turn", [1, -1])
def test_a_hull_may_be_narrowest_square_to_a_side_of_the_diamond(turn: int) -> None:
    # Across the diagonal it is 2/√2 and a diamond 1/√2; no edge of its own runs along the diagonal.
    rhomb = Hulls(np.array([4]), np.array([0.0, 2, 3, 1]) * turn, np.array([0.0, 1, 3, 2]))
    assert feret(rhomb).smallest[0] == pytest.approx(3 / 2**0.5)


def test_twice_the_pixel_size_gives_twice_the_length_and_four_times_the_area() -> None:
    found = Instances.from_labels(blobs(1, (60, 50)))
    small = region_table(found, calibration=SQUARE_NM)
    large = region_table(found, calibration=Calibration(1.0, 1.0, "user"))
    for name, column in small.items():
        factor = 4 if name.endswith("_nm2") else 2 if name.endswith("_nm") else 1
        np.testing.assert_allclose(large[name], factor * column, rtol=1e-12, err_msg=name)


def test_an_image_drawn_with_pixels_twice_as_wide_measures_the_same_in_nm() -> None:
    def drawn(row_nm: float, col_nm: float) -> dict[str, np.ndarray]:
        row, col = np.ogrid[row_nm / 2 : 60 : row_nm, col_nm / 2 : 80 : col_nm]
        ellipse = ((row - 30) / 25) ** 2 + ((col - 40 + (row - 30) / 2) / 20) ** 2 < 1
        return region_table(
            Instances.from_labels(ellipse.astype(int)), calibration=Calibration(row_nm, col_nm, "user")
        )

    square, wide = drawn(0.1, 0.1), drawn(0.1, 0.2)
    for name in square:
        if name.endswith(("_nm", "_nm2")) or name in ("orientation_rad", "eccentricity", "solidity"):
            assert wide[name][0] == pytest.approx(square[name][0], rel=0.05), name


def test_lengths_in_pixels_are_unknown_where_pixels_are_not_square() -> None:
    table = region_table(Instances.from_labels(np.ones((3, 4), int)), calibration=Calibration(1.0, 2.0, "user"))
    assert np.isnan(table["equivalent_diameter_px"][0])
    assert (table["area_px"][0], table["area_nm2"][0]) == (12, 24)


def test_without_calibration_there_is_no_column_in_nm() -> None:
    table = region_table(Instances.from_labels(np.ones((3, 4), int)))
    assert not [name for name in table if "nm" in name]


def test_moving_an_object_moves_its_centroid_and_nothing_else() -> None:
    here = np.zeros((40, 50), int)
    here[5:13, 6:11] = 1
    there = np.roll(here, (17, 20), (0, 1))
    first, second = region_table(Instances.from_labels(here)), region_table(Instances.from_labels(there))
    for name, column in first.items():
        move = {"centroid_row_px": 17, "centroid_col_px": 20}.get(name, 0)
        np.testing.assert_allclose(second[name], column + move, atol=1e-9, err_msg=name)


def test_each_object_measures_alone_as_among_others() -> None:
    found = Instances.from_labels(blobs(4, (90, 70)))
    together = region_table(found)
    for i in range(len(found)):
        alone = region_table(found[[i]])
        for name, column in alone.items():
            np.testing.assert_allclose(column[0], together[name][i], rtol=1e-12, err_msg=name)


def test_cutting_the_work_into_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = blobs(4, (90, 70))
    found, pixels = Instances.from_labels(labels), np.random.default_rng(0).random(labels.shape)
    valid = pixels > 0.1
    whole = region_table(found, pixels=pixels, valid=valid)
    monkeypatch.setattr(measuring, "_PIXELS_AT_ONCE", 40)
    for name, column in region_table(found, pixels=pixels, valid=valid).items():
        np.testing.assert_allclose(column, whole[name], atol=1e-9, err_msg=name)


def test_objects_that_overlap_are_measured_each_for_itself() -> None:
    found = Instances.from_boxes((9, 9), [[0, 0, 4, 4], [2, 2, 6, 6]], crops=(np.ones((4, 4)), np.ones((4, 4))))
    assert region_table(found)["area_px"].tolist() == [16, 16]


def test_an_object_at_the_border_touches_the_edge() -> None:
    labels = np.zeros((8, 9), int)
    labels[0, 3], labels[3, 0], labels[7, 5], labels[5, 8], labels[4, 4] = 1, 2, 3, 4, 5
    assert region_table(Instances.from_labels(labels))["touches_edge"].tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("masked", [(4, 5), (7, 5), (5, 3), (5, 7), (5, 5)])
def test_an_object_on_or_beside_a_masked_pixel_touches_it(masks: bool, masked: tuple[int, int]) -> None:
    labels = np.zeros((12, 20), int)
    labels[5:7, 4:7], labels[5:7, 14:17] = 1, 2
    valid = np.ones(labels.shape, bool)
    valid[masked] = False
    found = Instances.from_labels(labels)
    found = found if masks else Instances.from_boxes(found.shape, found.boxes)
    assert region_table(found, valid=valid)["touches_invalid"].tolist() == [True, False]


def test_intensities_leave_masked_pixels_out() -> None:
    pixels = np.array([[1.0, 3.0, np.nan]])
    image = Micrograph(pixels)
    measured = measure(Instances.from_labels(np.ones((1, 3), int)), image)
    assert measured.columns["intensity_mean"].tolist() == [2.0]
    assert measured.columns["intensity_sd"].tolist() == [1.0]


def test_an_object_that_is_masked_all_over_has_no_intensity() -> None:
    valid = np.array([[True, False]])
    table = region_table(Instances.from_labels(np.array([[1, 2]])), pixels=np.full((1, 2), 7.0), valid=valid)
    for name in ("intensity_mean", "intensity_min", "intensity_max", "intensity_sd"):
        assert np.isnan(table[name]).tolist() == [False, True], name


def test_a_constant_image_has_no_spread_however_large_its_values() -> None:
    table = region_table(Instances.from_labels(blobs(1, (40, 30))), pixels=np.full((40, 30), 1e9))
    assert table["intensity_sd"].max() == 0


def test_boxes_alone_tell_place_and_border_but_no_size() -> None:
    table = region_table(Instances.from_boxes((9, 9), [[0, 2, 4, 5]]), calibration=SQUARE_NM, pixels=np.ones((9, 9)))
    known = {name for name, column in table.items() if not np.isnan(column).any()}
    assert known == {"centroid_row_px", "centroid_col_px", "touches_edge", "touches_invalid"}
    assert (table["centroid_row_px"][0], table["centroid_col_px"][0]) == (1.5, 3.0)


def test_nothing_found_gives_the_same_columns_without_rows() -> None:
    some = region_table(Instances.from_labels(np.ones((3, 3), int)), calibration=SQUARE_NM, pixels=np.ones((3, 3)))
    none = region_table(Instances.empty((3, 3)), calibration=SQUARE_NM, pixels=np.ones((3, 3)))
    assert list(none) == list(some)
    assert {len(column) for column in none.values()} == {0}


def test_an_empty_mask_has_area_zero_and_no_shape() -> None:
    found = Instances.from_boxes((5, 9), [[0, 0, 2, 2], [2, 4, 4, 6]], crops=(np.zeros((2, 2)), np.ones((2, 2))))
    table = region_table(found, pixels=np.ones((5, 9)))
    assert table["area_px"].tolist() == [0, 4]
    assert np.isnan(table["equivalent_diameter_px"]).tolist() == [True, False]
    assert table["centroid_row_px"].tolist() == [0.5, 2.5]


def test_pixels_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="found in an image of"):
        region_table(Instances.empty((3, 3)), pixels=np.ones((4, 3)))


def test_digital_discs_come_nearer_to_the_true_disc_as_they_grow() -> None:
    def errors(radius: int) -> list[float]:
        row, col = np.ogrid[-radius - 2 : radius + 3, -radius - 2 : radius + 3]
        table = region_table(Instances.from_labels((row**2 + col**2 <= radius**2).astype(int)))
        return [abs(table[name][0] / (2 * radius) - 1) for name in ("equivalent_diameter_px", "major_axis_px")]

    sizes = [max(errors(radius)) for radius in (4, 16, 64)]
    assert all(large > small for large, small in pairwise(sizes))
