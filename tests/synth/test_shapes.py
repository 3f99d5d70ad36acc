from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import points_in_poly

from epistem.synth.shapes import Cavities, Octahedron, chords, octahedron, outlines

REGULAR = 2 / np.sqrt(3)
ALONG_CUBE = (0.0, 0.0, 0.0)
ORIENTATIONS = [ALONG_CUBE, (0.0, 45.0, 0.0), (45.0, 54.7356, 0.0), (10.0, 20.0, 30.0), (213.0, 77.0, 140.0)]
TRUNCATIONS = (0.87, 1.0, REGULAR, 1.4, 1.73)


def volume(truncation: float) -> float:
    """Of the solid whose {111} faces are 1 from its centre: an octahedron without its six corners."""
    return float(4 * np.sqrt(3) - 4 * (np.sqrt(3) - truncation) ** 3)


def cavities(
    *diameters_nm: float, at_nm: tuple[float, float] = (0.0, 0.0), apart_nm: float = 0.0, faceted: bool = True
) -> Cavities:
    n = len(diameters_nm)
    row, col = np.full(n, at_nm[0]), at_nm[1] + apart_nm * np.arange(n)
    return Cavities(row, col, np.full(n, 50.0), np.array(diameters_nm), np.full(n, faceted))


def mask(shape: Octahedron | None, diameter_px: float, size: int = 96) -> NDArray[np.bool_]:
    """Of one cavity a little off the middle of the image."""
    (one,) = outlines((size, size), 1.0, cavities(diameter_px, at_nm=(size / 2 + 0.3, size / 2 + 0.1)), shape)
    return one.crop


def area(corners: NDArray[np.float64]) -> float:
    row, col = corners.T
    return float(abs(row @ np.roll(col, -1) - col @ np.roll(row, -1)) / 2)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_chords_hold_the_volume_of_the_regular_truncated_octahedron_however_it_is_turned(
    orientation: tuple[float, float, float],
) -> None:
    shape = octahedron(orientation, REGULAR)
    vacuum_nm = chords((64, 64), 0.25, cavities(9.0, at_nm=(8.1, 7.93)), 0.0, shape)
    edge_nm = 4.5 * shape.distances[-1] * 2 / np.sqrt(6)
    assert vacuum_nm.sum() * 0.25**2 == pytest.approx(8 * np.sqrt(2) * edge_nm**3, rel=0.002)


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize("orientation", ORIENTATIONS[::2])
def test_chords_hold_the_volume_from_the_cuboctahedron_to_the_octahedron(
    orientation: tuple[float, float, float], truncation: float
) -> None:
    shape = octahedron(orientation, truncation)
    vacuum_nm = chords((64, 64), 0.25, cavities(9.0, at_nm=(8.1, 7.93)), 0.0, shape)
    assert vacuum_nm.sum() * 0.25**2 == pytest.approx(
        volume(truncation) * (4.5 * shape.distances[-1]) ** 3, rel=0.005
    )


@pytest.mark.parametrize("at_nm", [(10.0, 10.0), (10.15, 10.38), (10.25, 9.55)])
def test_a_faceted_cavity_of_four_grid_points_keeps_its_volume_wherever_it_lies(at_nm: tuple[float, float]) -> None:
    shape = octahedron((10.0, 20.0, 30.0), REGULAR)
    vacuum_nm = chords((40, 40), 0.5, cavities(2.0, at_nm=at_nm), 0.0, shape)
    assert vacuum_nm.sum() * 0.25 == pytest.approx(volume(REGULAR) * shape.distances[-1] ** 3, rel=0.02)


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_projection_has_the_area_of_the_disc_of_its_diameter(
    orientation: tuple[float, float, float], truncation: float
) -> None:
    shape = octahedron(orientation, truncation)
    assert area(shape.outline) == pytest.approx(np.pi, rel=1e-6)
    assert mask(shape, 60.0).sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_projections_are_a_quarter_of_the_surface_on_average() -> None:
    # Cauchy's theorem for convex solids; the surface of a regular truncated octahedron is (6 + 12√3)·a².
    rng = np.random.default_rng(0)
    turns = np.rad2deg(np.column_stack([rng.uniform(0, 7, 150), np.arccos(rng.uniform(-1, 1, 150)), np.zeros(150)]))
    shown = [np.pi / octahedron((z, x, z2), REGULAR).distances[-1] ** 2 for z, x, z2 in turns.tolist()]
    assert np.mean(shown) == pytest.approx((6 + 12 * np.sqrt(3)) * 4 / 6 / 4, rel=0.01)


def test_along_a_cube_axis_an_octahedron_is_a_square_on_its_corner_and_a_cuboctahedron_one_on_its_side() -> None:
    assert octahedron(ALONG_CUBE, 1.73).reach == pytest.approx([np.sqrt(np.pi / 2)] * 2, rel=0.005)
    assert octahedron(ALONG_CUBE, 0.87).reach == pytest.approx([np.sqrt(np.pi) / 2] * 2, rel=0.005)


def test_faces_parallel_to_the_beam_are_walls() -> None:
    shape = octahedron(ALONG_CUBE, REGULAR)
    line_nm = chords((200, 200), 0.1, cavities(12.0, at_nm=(10.0, 10.0)), 0.0, shape)[100]
    side, unit_nm = 6 * shape.distances[0], 6 * shape.distances[-1]
    away_nm = np.abs((np.arange(200) + 0.5) * 0.1 - 10.0)
    assert line_nm[100] == pytest.approx(2 * side, rel=1e-5)
    just_inside = line_nm[(away_nm < side - 0.1) & (away_nm > side - 0.2)]
    assert just_inside == pytest.approx(2 * (np.sqrt(3) - REGULAR) * unit_nm, abs=0.45)
    assert not line_nm[away_nm > side + 0.1].any()


@pytest.mark.parametrize("tilt_deg", [1e-9, 1e-6, 1e-4])
def test_a_face_almost_parallel_to_the_beam_changes_nothing_that_can_be_seen(tilt_deg: float) -> None:
    where = cavities(12.0, at_nm=(8.05, 8.02))
    straight, tilted = (
        chords((80, 80), 0.2, where, 0.0, octahedron((0.0, tilt, 0.0), REGULAR)) for tilt in (0.0, tilt_deg)
    )
    assert np.abs(straight - tilted).max() < 0.01


def test_the_outlines_of_one_orientation_are_similar() -> None:
    shape = octahedron((10.0, 20.0, 30.0), REGULAR)
    diameters = (20.0, 40.0, 80.0)
    found = list(outlines((120, 460), 1.0, cavities(*diameters, at_nm=(60.0, 60.0), apart_nm=150.0), shape))
    sides = np.array([one.box[2:] - one.box[:2] for one in found]) / np.array(diameters)[:, None]
    assert sides == pytest.approx(np.tile(sides[0], (3, 1)))
    assert abs(sides[0, 0] - sides[0, 1]) > 0.01
    moments = np.array([np.cov(np.nonzero(one.crop)) for one in found]) / np.square(diameters)[:, None, None]
    assert moments == pytest.approx(np.tile(moments[-1], (3, 1, 1)), abs=0.0015)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_pixel_is_in_the_mask_if_its_centre_is_inside_the_outline(orientation: tuple[float, float, float]) -> None:
    shape = octahedron(orientation, REGULAR)
    (one,) = outlines((70, 90), 0.5, cavities(23.0, at_nm=(17.13, 22.71)), shape)
    low = np.floor(one.box[:2])
    centres = np.argwhere(np.ones(one.crop.shape)) + low + 0.5
    inside = points_in_poly(centres, np.array([17.13, 22.71]) / 0.5 + shape.outline * 23)
    assert np.array_equal(one.crop.ravel(), inside)
    assert one.box == pytest.approx(
        [*(np.array([34.26, 45.42]) - 23 * shape.reach), *(34.26, 45.42) + 23 * shape.reach]
    )


def test_vacuum_is_where_the_mask_is() -> None:
    shape = octahedron((213.0, 77.0, 140.0), REGULAR)
    where = cavities(20.0, at_nm=(20.2, 24.7))
    vacuum_nm = chords((48, 48), 1.0, where, 0.0, shape)
    (one,) = outlines((48, 48), 1.0, where, shape)
    whole = np.zeros((48, 48), bool)
    row, col = np.floor(one.box[:2]).astype(int)
    whole[row : row + one.crop.shape[0], col : col + one.crop.shape[1]] = one.crop
    assert not (whole & (vacuum_nm == 0)).any()
    assert vacuum_nm[whole].sum() > 0.98 * vacuum_nm.sum()


def test_spheres_do_not_mind_the_shape_of_the_faceted() -> None:
    shape = octahedron((10.0, 20.0, 30.0), REGULAR)
    round_ones = cavities(6.0, 9.0, at_nm=(12.0, 8.0), apart_nm=14.0, faceted=False)
    alone = chords((48, 60), 0.5, round_ones._replace(faceted=None), 0.0, None)
    assert chords((48, 60), 0.5, round_ones, 0.0, shape).tobytes() == alone.tobytes()
    mixed = round_ones._replace(faceted=np.array([False, True]))
    facets = chords((48, 60), 0.5, mixed.take(np.array([1])), 0.0, shape)
    assert np.array_equal(chords((48, 60), 0.5, mixed, 0.0, shape), alone * (np.arange(60) < 30) + facets)


def test_a_faceted_cavity_is_cut_by_the_border_and_gone_beyond_it() -> None:
    shape = octahedron(ALONG_CUBE, REGULAR)
    (half,) = outlines((40, 40), 1.0, cavities(20.0, at_nm=(0.0, 20.0)), shape)
    (whole,) = outlines((40, 40), 1.0, cavities(20.0, at_nm=(20.0, 20.0)), shape)
    assert half.box[0] == 0
    assert half.crop.sum() * 2 == whole.crop.sum()
    assert not list(outlines((40, 40), 1.0, cavities(20.0, at_nm=(-12.0, 20.0)), shape))
    assert not chords((40, 40), 1.0, cavities(20.0, at_nm=(-12.0, 20.0)), 0.0, shape).any()


def test_the_margin_moves_the_chords_and_nothing_else() -> None:
    shape = octahedron((10.0, 20.0, 30.0), REGULAR)
    where = cavities(9.0, at_nm=(10.0, 12.0))
    plain, moved = (chords((80, 80), 0.5, where, margin_nm, shape) for margin_nm in (0.0, 5.0))
    assert np.allclose(np.roll(plain, (10, 10), (0, 1)), moved, atol=1e-4)


def test_no_cavities_no_vacuum_and_no_outlines() -> None:
    nothing = cavities()
    assert not chords((20, 30), 0.5, nothing, 0.0, None).any()
    assert not list(outlines((20, 30), 0.5, nothing, None))


def test_taken_cavities_keep_their_rows_together() -> None:
    some = Cavities(*np.arange(12.0).reshape(4, 3), np.array([True, False, True]))  # type: ignore[arg-type]
    taken = some.take(np.array([True, False, True]))
    assert [column.tolist() for column in taken if column is not None] == [
        [0.0, 2.0],
        [3.0, 5.0],
        [6.0, 8.0],
        [9.0, 11.0],
        [True, True],
    ]
    assert some._replace(faceted=None).take(np.array([1])).faceted is None
