from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from epistem.atoms.columns import NoLattice, extra_peaks
from epistem.atoms.lattice import Lattice, find_lattice, wrong_size
from epistem.core import SettingsError, ShapeError


class Drawn(NamedTuple):
    """An image and the places its columns were drawn at, (n, 2) [px]; B over A is 0.5; hollow centres too."""

    image: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    hollow: NDArray[np.float64]
    missing: NDArray[np.float64]


def drawn(
    side: int | tuple[int, int] = 256, a_px: float = 12.0, turn: float = 11.0, *, shear: float = 0.0,
    bend_px: float = 0.0, missing: int = 0, b: float = 0.5, counts: float | None = 400.0, sigma: float = 0.16,
) -> Drawn:  # fmt: skip
    """A honeycomb of Gaussians of σ = sigma·a_px; Poisson noise of `counts` a pixel at A's top, None for none."""
    rng = np.random.default_rng(0)
    shape = np.array((side, side) if isinstance(side, int) else side)
    t = np.radians(turn)
    ideal = a_px * np.array([[0.0, 1.0], [np.sqrt(3) / 2, 0.5]])
    vectors = ideal @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]) @ np.array([[1, shear], [0, 1]])
    reach = int(2 * max(shape) / a_px) + 4
    index = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
    kinds = []
    for origin in (0, 1 / 3, 2 / 3):
        straight = (index + origin + 0.137) @ vectors + shape / 2
        bent = straight + bend_px * np.stack(
            [np.sin(straight[:, 1] / shape[1] * 4), np.cos(straight[:, 0] / shape[0] * 5)], axis=1
        )
        kinds.append(bent[((bent > -2 * a_px) & (bent < shape + 2 * a_px)).all(axis=1)])
    inner = np.flatnonzero(((kinds[0] > 2 * a_px) & (kinds[0] < shape - 2 * a_px)).all(axis=1))
    out = rng.choice(inner, missing, replace=False)
    height = np.ones(len(kinds[0]))
    height[out] = 0.0
    image = 0.05 + _gaussians(shape, kinds[0], height, sigma * a_px)
    image += _gaussians(shape, kinds[1], np.full(len(kinds[1]), b), sigma * a_px)
    if counts is not None:
        image = rng.poisson(counts * image).astype(float)
    shown = [kind[((kind >= 0) & (kind <= shape - 1)).all(axis=1)] for kind in kinds]
    return Drawn(image, *shown, kinds[0][out])


def _gaussians(
    shape: NDArray[np.int64], places: NDArray[np.float64], heights: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    image = np.zeros(shape)
    reach = int(5 * sigma) + 1
    for (row, col), height in zip(places, heights, strict=True):
        rows = np.arange(max(0, int(row) - reach), min(shape[0], int(row) + reach + 1))
        cols = np.arange(max(0, int(col) - reach), min(shape[1], int(col) + reach + 1))
        if len(rows) and len(cols):
            image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += height * np.outer(
                np.exp(-((rows - row) ** 2) / (2 * sigma**2)), np.exp(-((cols - col) ** 2) / (2 * sigma**2))
            )
    return image


def away(found: NDArray[np.float64], wanted: NDArray[np.float64], lattice: Lattice) -> NDArray[np.float64]:
    """Distance from each wanted place to the nearest found one, but at the image's edge [px]."""
    edge = np.minimum(wanted, np.array(lattice.mask.shape) - 1 - wanted).min(axis=1)
    return cKDTree(found).query(wanted[edge > 0.9 * lattice.a_px])[0]


def rms(distances: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(distances**2)))


@pytest.mark.parametrize("turn", [-30, -17, 0, 11, 29, 30])
def test_sites_of_both_sublattices_and_hollows_are_found_at_any_turn(turn: float) -> None:
    scene = drawn(turn=turn)
    lattice = find_lattice([scene.image])
    assert lattice.kind == "honeycomb"
    assert lattice.a_px == pytest.approx(12, rel=0.002)
    assert abs((lattice.turn - turn + 30) % 60 - 30) < 0.1
    for found, wanted in (
        (lattice.sites[lattice.sublattice == 0], scene.a),
        (lattice.sites[lattice.sublattice == 1], scene.b),
        (lattice.hollow, scene.hollow),
    ):
        assert rms(away(found, wanted, lattice)) < 0.05
    assert rms(away(lattice.refined, np.concatenate([scene.a, scene.b]), lattice)) < 0.1


@pytest.mark.parametrize(("a_px", "side"), [(7.4, 111), (12.0, 180), (33.0, 495)])
def test_fifteen_cells_are_enough_from_a_tenth_to_almost_half_an_angstrom_a_pixel(a_px: float, side: int) -> None:
    scene = drawn(side, a_px)
    lattice = find_lattice([scene.image])
    assert lattice.a_px == pytest.approx(a_px, rel=0.003)
    assert away(lattice.refined[lattice.sublattice == 0], scene.a, lattice).max() < 0.2


@pytest.mark.parametrize(("shear", "bend_px", "told"), [(0.05, 0.0, "sheared by 5"), (0.02, 3.0, "bent by up to")])
def test_sites_follow_shear_and_drift(shear: float, bend_px: float, told: str) -> None:
    scene = drawn(shear=shear, bend_px=bend_px)
    lattice = find_lattice([scene.image])
    assert rms(away(lattice.sites[lattice.sublattice == 0], scene.a, lattice)) < 0.1
    assert rms(away(lattice.sites[lattice.sublattice == 1], scene.b, lattice)) < 0.1
    assert any(told in word for word in lattice.warnings)


def test_missing_columns_keep_their_site_and_are_said_to_be_empty() -> None:
    scene = drawn(missing=8)
    lattice = find_lattice([scene.image])
    empty = np.flatnonzero(~lattice.occupied)
    assert len(empty) == 8
    assert cKDTree(scene.missing).query(lattice.sites[empty])[0].max() < 0.15
    assert (lattice.offset_px[empty] == 0).all()


def test_no_site_is_made_up_where_the_honeycomb_has_none() -> None:
    scene = drawn(missing=8)
    lattice = find_lattice([scene.image])
    true = np.concatenate([scene.a, scene.b])
    assert cKDTree(true).query(lattice.sites[lattice.inside])[0].max() < 0.2
    assert len(cKDTree(true).query_pairs(1.0)) == len(cKDTree(lattice.sites).query_pairs(1.0)) == 0


def test_the_faint_chalcogen_of_a_heavy_metal_is_still_a_sublattice() -> None:
    scene = drawn(b=0.15)
    lattice = find_lattice([scene.image])
    assert lattice.kind == "honeycomb"
    assert lattice.ratios[0] == pytest.approx(0.15, abs=0.01)
    assert rms(away(lattice.sites[lattice.sublattice == 1], scene.b, lattice)) < 0.1


def test_two_detectors_share_sites_and_have_their_own_ratio() -> None:
    bright, even = drawn(b=0.4), drawn(b=0.9)
    lattice = find_lattice([bright.image, even.image])
    assert lattice.ratios == pytest.approx((0.4, 0.9), abs=0.02)
    assert rms(away(lattice.sites[lattice.sublattice == 0], bright.a, lattice)) < 0.05


def test_a_second_image_of_reversed_contrast_is_named() -> None:
    image = drawn().image
    assert any("darker than the hollows" in word for word in find_lattice([image, 700 - 0.5 * image**0.5]).warnings)


def test_a_hundredth_of_the_dose_still_shows_the_lattice() -> None:
    scene = drawn(counts=4)
    lattice = find_lattice([scene.image])
    assert rms(away(lattice.sites[lattice.sublattice == 0], scene.a, lattice)) < 0.25


def test_a_patch_fits_round_every_site_called_inside_and_no_other() -> None:
    lattice = find_lattice([drawn((120, 200)).image])
    half = np.sqrt(3) / 2 * lattice.a_px
    room = np.minimum(lattice.sites, np.array([119, 199]) - lattice.sites).min(axis=1)
    assert ((room >= half) == lattice.inside).all()
    assert 0 < lattice.inside.sum() < len(lattice.inside)


def test_sites_stay_where_the_lattice_is() -> None:
    scene = drawn(256)
    rng = np.random.default_rng(1)
    image = scene.image.copy()
    image[:, 150:] = rng.poisson(60, (256, 106))
    lattice = find_lattice([image])
    assert lattice.sites[:, 1].max() < 150 + lattice.a_px
    assert lattice.mask[:, :140].mean() > 0.97
    assert any("of the field" in word for word in lattice.warnings)
    kept = scene.a[scene.a[:, 1] < 130]
    assert away(lattice.sites[lattice.sublattice == 0], kept, lattice).max() < 0.5


def test_graphene_is_told_by_its_lattice_constant_and_its_even_sublattices() -> None:
    scene = drawn(b=1.0)
    lattice = find_lattice([scene.image], pixel_A=2.46 / 12, a_A=3.32)
    assert lattice.kind == "honeycomb"
    assert any("equally bright" in word for word in lattice.warnings)
    assert any("measures 2.46 Å, wanted 3.32 Å" in word for word in lattice.warnings)


@pytest.mark.parametrize(("a_px", "sigma", "counts"), [(20.0, 0.1, 400.0), (32.0, 0.08, 0.3)])
def test_a_sharp_probe_on_even_sublattices_does_not_hide_the_large_cell(
    a_px: float, sigma: float, counts: float
) -> None:
    assert find_lattice([drawn(a_px=a_px, b=1.0, sigma=sigma, counts=counts).image]).a_px == pytest.approx(
        a_px, rel=0.01
    )


def test_the_pixel_size_that_would_fit_is_named_only_beyond_eight_percent() -> None:
    assert wrong_size(10, 0.35, 3.32) == []
    (word,) = wrong_size(10, 0.4, 3.32)
    assert "0.3320 Å per pixel" in word
    assert wrong_size(10, None, 3.32) == wrong_size(10, 0.4, None) == []


def test_one_column_a_cell_is_triangular() -> None:
    lattice = find_lattice([drawn(b=0.0).image])
    assert (lattice.kind, len(lattice.hollow)) == ("triangular", 0)


@pytest.mark.parametrize("angle", [90.0, 70.5])
def test_a_square_and_a_silicon_lattice_are_other_with_their_angle(angle: float) -> None:
    second = 14 * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    index = np.stack(np.meshgrid(*[np.arange(-40, 41)] * 2), axis=-1).reshape(-1, 2)
    places = index @ np.array([[0.0, 14.0], second]) + 100
    image = _gaussians(np.array([200, 200]), places, np.ones(len(places)), 2.5)
    lattice = find_lattice([np.random.default_rng(0).poisson(100 * image + 5).astype(float)])
    assert lattice.kind == "other"
    assert min(lattice.angle, 180 - lattice.angle) == pytest.approx(angle, abs=0.3)
    assert any("not a hexagonal lattice" in word for word in lattice.warnings)
    assert rms(away(lattice.sites, places[((places > 0) & (places < 199)).all(axis=1)], lattice)) < 0.3


def noise(colour_px: float, seed: int) -> NDArray[np.float64]:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(256, 256)), colour_px)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("colour_px", [0.0, 1.5, 4.0])
def test_noise_of_any_colour_has_no_lattice(colour_px: float, seed: int) -> None:
    with pytest.raises(NoLattice, match="lattice"):
        find_lattice([noise(colour_px, seed)])


@pytest.mark.parametrize("seed", range(3))
def test_an_amorphous_film_has_no_lattice(seed: int) -> None:
    with pytest.raises(NoLattice, match="lattice"):
        find_lattice([noise(1.5, seed) - noise(2.5, seed)])


def test_stripes_have_no_lattice() -> None:
    wave = np.sin(np.arange(256) / 2) * np.ones((256, 1))
    with pytest.raises(NoLattice, match="no three fit one lattice"):
        find_lattice([wave + 0.1 * noise(0, 0)])


def test_a_saturated_image_is_refused_and_a_few_clipped_pixels_are_named() -> None:
    image = drawn().image
    with pytest.raises(NoLattice, match="saturated"):
        find_lattice([np.minimum(image, 250)])
    clipped = find_lattice([np.minimum(image, np.percentile(image, 99.5))])
    assert any("highest value" in word for word in clipped.warnings)
    assert not any("highest value" in word for word in find_lattice([image]).warnings)


def test_few_cells_and_columns_too_close_are_refused() -> None:
    with pytest.raises(NoLattice):
        find_lattice([drawn(40, 14.0).image])
    with pytest.raises(NoLattice, match="px"):
        find_lattice([drawn(128, 4.2, sigma=0.18).image])


def test_what_cannot_be_looked_at_is_refused() -> None:
    image = drawn(64).image
    with pytest.raises(NoLattice, match="all pixels are 3"):
        find_lattice([np.full((64, 64), 3.0)])
    with pytest.raises(NoLattice, match="not finite"):
        find_lattice([np.where(image > image.mean(), np.nan, image)])
    with pytest.raises(ShapeError, match="one shape"):
        find_lattice([image, image[:-1]])
    with pytest.raises(ShapeError, match="one shape"):
        find_lattice([])
    with pytest.raises(SettingsError, match="pixel_A"):
        find_lattice([image], pixel_A=0.0)


def test_gain_and_offset_do_not_matter() -> None:
    image = drawn().image
    plain, changed = find_lattice([image]), find_lattice([7 * image - 300])
    assert np.abs(plain.refined - changed.refined).max() < 1e-4
    assert plain.ratios == pytest.approx(changed.ratios)


def test_the_image_is_not_changed_and_twice_gives_the_same() -> None:
    image = drawn(bend_px=2).image
    before = image.copy()
    first, second = find_lattice([image]), find_lattice([image])
    assert (image == before).all()
    assert (first.refined == second.refined).all()


def test_an_adatom_is_off_the_lattice_and_a_pristine_field_has_none() -> None:
    scene = drawn()
    lattice = find_lattice([scene.image])
    assert len(extra_peaks(scene.image, lattice)) == 0
    hollow = scene.hollow[cKDTree(scene.hollow).query([128, 128])[1]]
    image = scene.image + 400 * _gaussians(np.array([256, 256]), hollow[None], np.ones(1), 1.92)
    (found,) = extra_peaks(image, find_lattice([image]))
    assert np.linalg.norm(found - hollow) < 0.3


@pytest.mark.study
@pytest.mark.parametrize("name", ["1028_Ti2", "1028_Ti25"])
def test_the_labelled_columns_of_a_real_field_are_sites_of_the_right_sublattice(name: str) -> None:
    if not (data := os.environ.get("EPISTEM_STUDY_DATA")):
        pytest.skip("EPISTEM_STUDY_DATA is not set")
    with np.load(Path(data) / "wse2_ti" / f"{name}.npz") as field:
        adf1, adf2, xy, label = (field[key] for key in ("adf1", "adf2", "xy", "label"))
    lattice = find_lattice([adf1, adf2], pixel_A=0.39879, a_A=3.32)
    places, metal = xy[:, ::-1].astype(float), label < 2
    whole = (np.minimum(places, 511 - places) > np.sqrt(3) / 2 * lattice.a_px).all(axis=1)
    distance, nearest = cKDTree(lattice.sites).query(places[whole])
    right = lattice.sublattice[nearest] == np.where(metal[whole], 0, 1)
    assert np.mean((distance < 1.5) & right) >= 0.995
    labelled = ((lattice.sites > 9) & (lattice.sites < 503)).all(axis=1)
    assert np.mean(cKDTree(places).query(lattice.sites[labelled])[0] < 1.5) >= 0.995
