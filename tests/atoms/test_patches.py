from __future__ import annotations

import numpy as np
import pytest

from epistem.atoms.crystals import HOSTS, Shares, lattice_vectors, make_sheet
from epistem.atoms.dataset import Setting, describe, expose_sheet
from epistem.atoms.formation import Formation
from epistem.atoms.kernels import shipped_bank
from epistem.atoms.patches import SIDE, cut, levels
from epistem.core import SettingsError

SETTING = Setting(keV=80.0)
NOTHING = Shares({})


def field(turned=0.2, shares=NOTHING, *, dose=1e9, size=60.0, pixel=0.2):
    host = HOSTS["WSe2"]
    sheet = make_sheet(host, lattice_vectors(host, turned=turned), (size, size), shares, np.random.default_rng(0),
                       margin_A=9.0)  # fmt: skip
    return expose_sheet(sheet, SETTING, Formation(dose, 0.4), pixel, (round(size / pixel),) * 2, shipped_bank(),
                        np.random.default_rng(1), dopants=("Ti",))  # fmt: skip


def inside(one):
    return ((one.sites_px >= 0) & (one.sites_px < np.array(one.counts.shape[1:]) - 1)).all(axis=1)


def host_levels(one, image=None):
    ok = inside(one)
    picture = one.counts[1] if image is None else image
    return levels(picture, one.sites_px[ok], one.sublattice[ok], one.hollow_px, one.a_px)


def seen(one, images=None, turned=None):
    return describe(one.counts if images is None else images, one.sites_px, one.sublattice, one.hollow_px, one.a_px,
                    one.turned if turned is None else turned, np.flatnonzero(one.whole))  # fmt: skip


def test_a_pristine_host_is_nothing_in_the_hollows_and_one_on_the_brighter_columns():
    one = field()
    found = host_levels(one)
    kind, whole = one.sublattice[inside(one)], one.whole[inside(one)]
    assert found.bright_is == 0
    assert found.height[(kind == 0) & whole] == pytest.approx(1.0, abs=0.04)
    assert found.height[(kind == 1) & whole] == pytest.approx(found.dim, abs=0.04)
    hollows = cut(one.counts[1], one.hollow_px[40:60], side_px=one.a_px * np.sqrt(3), turned=0.0)[:, 15:17, 15:17]
    assert (hollows.mean(axis=(1, 2)) - found.hollow.mean()) / found.bright == pytest.approx(0.0, abs=0.05)


def test_levels_do_not_depend_on_gain_and_offset():
    one = field()
    plain, changed = host_levels(one), host_levels(one, one.counts[1] * 0.013 + 40.0)
    assert changed.height == pytest.approx(plain.height, abs=1e-3)
    assert changed.dim == pytest.approx(plain.dim, abs=1e-3)
    assert changed.bright == pytest.approx(0.013 * plain.bright, rel=1e-3)


def test_features_do_not_depend_on_gain_and_offset():
    one = field(shares=Shares({"Ti": 0.1}, 0.05, 0.1, 0.05))
    gain = np.array([0.02, 7.0], np.float32)[:, None, None]
    plain, changed = seen(one), seen(one, one.counts * gain + 30.0)
    assert changed.moments == pytest.approx(plain.moments, abs=3e-3)
    assert changed.scalars == pytest.approx(plain.scalars, abs=5e-3)


def test_a_tilted_background_is_taken_off():
    one = field()
    rows = np.linspace(0, float(one.counts[1].max()), one.counts.shape[1], dtype=np.float32)[:, None]
    found = host_levels(one, one.counts[1] + rows)
    middle = one.whole[inside(one)]
    assert found.height[middle] == pytest.approx(host_levels(one).height[middle], abs=0.2)


def test_defects_do_not_move_the_host_s_levels():
    some = field(shares=Shares({"Ti": 0.1}, 0.05, 0.1, 0.05))
    assert host_levels(some).bright == pytest.approx(host_levels(field()).bright, rel=0.03)
    assert host_levels(some).dim == pytest.approx(host_levels(field()).dim, abs=0.03)


def test_noise_is_the_scatter_of_columns_and_falls_with_the_dose():
    low, high = host_levels(field(dose=1e3)).noise, host_levels(field(dose=1e5)).noise
    assert 5 < low / high < 20


def test_patches_lie_along_the_lattice_however_the_sample_is_turned():
    first, second = (seen(field(turned)).moments.mean(axis=0) for turned in (0.2, 0.6))
    assert second == pytest.approx(first, abs=0.02)


def test_a_sample_turned_by_sixty_degrees_gives_the_same_patches_by_their_own_direction():
    first, second = seen(field(0.2)), seen(field(0.2 + np.pi / 3))
    assert second.moments.mean(axis=0) == pytest.approx(first.moments.mean(axis=0), abs=0.02)


def test_a_patch_turned_by_a_hundred_and_twenty_degrees_is_the_same_and_by_sixty_is_not():
    one = field()
    metal = np.flatnonzero(one.whole & (one.sublattice == 0))

    def mean_patch(turn):
        return cut(one.counts[1], one.sites_px[metal], side_px=one.a_px * np.sqrt(3), turned=one.turned + turn).mean(
            0
        )

    span = np.ptp(mean_patch(0))
    assert np.abs(mean_patch(2 * np.pi / 3) - mean_patch(0)).max() < 0.02 * span
    assert np.abs(mean_patch(np.pi / 3) - mean_patch(0)).max() > 0.2 * span


def test_a_patch_shows_what_lies_right_of_its_centre_right_and_below_below():
    rows, cols = np.indices((101, 101)).astype(np.float32)
    patch = cut(cols + 1000 * rows, np.array([[50.0, 40.0]]), side_px=31.0, turned=0.0)[0]
    assert patch.shape == (SIDE, SIDE)
    assert patch[0] == pytest.approx(1000 * 34.5 + 40 + np.arange(32) - 15.5)
    assert np.diff(patch[:, 0]) == pytest.approx(1000.0)


def test_a_turned_patch_has_its_first_axis_along_the_turn():
    rows, cols = np.indices((101, 101)).astype(np.float32)
    patch = cut(rows, np.array([[50.0, 50.0]]), side_px=31.0, turned=np.pi / 6)[0]
    assert np.diff(patch[0]) == pytest.approx(0.5, abs=1e-3)
    assert np.diff(cut(cols, np.array([[50.0, 50.0]]), side_px=31.0, turned=np.pi / 6)[0][0]) == pytest.approx(
        np.cos(np.pi / 6), abs=1e-3
    )


def test_a_patch_over_the_border_goes_on_with_it():
    image = np.arange(400, dtype=np.float32).reshape(20, 20)
    patch = cut(image, np.array([[0.0, 0.0]]), side_px=10.0, turned=0.0)[0]
    assert patch[:15, :15] == pytest.approx(0.0)
    assert np.isfinite(cut(image, np.array([[19.0, 19.0]]), side_px=10.0, turned=0.7)).all()


def test_pixels_finer_than_the_patch_s_are_averaged():
    noise = np.random.default_rng(0).standard_normal((400, 400)).astype(np.float32)
    patch = cut(noise, np.array([[200.0, 200.0]]), side_px=31 * 5.0, turned=0.0)
    assert patch.std() == pytest.approx(1 / 5, rel=0.2)


def test_an_image_of_no_contrast_is_refused():
    one = field()
    with pytest.raises(SettingsError, match="no brighter than the hollows"):
        host_levels(one, -one.counts[1])
    with pytest.raises(SettingsError, match="no brighter"):
        host_levels(one, np.ones_like(one.counts[1]))


def test_a_field_without_hollows_or_without_a_sub_lattice_is_refused():
    one = field()
    ok = inside(one)
    with pytest.raises(SettingsError, match="too small"):
        levels(one.counts[1], one.sites_px[ok], one.sublattice[ok], np.zeros((0, 2)), one.a_px)
    with pytest.raises(SettingsError, match="both sub-lattices"):
        levels(one.counts[1], one.sites_px[ok], 0 * one.sublattice[ok], one.hollow_px, one.a_px)
