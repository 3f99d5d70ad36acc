from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import j0

from epistem.atoms.crystals import (
    CHALCOGEN_VIBRATION_A,
    HOSTS,
    METAL_VIBRATION_A,
    Shares,
    lattice_vectors,
    make_sheet,
)
from epistem.atoms.kernels import FREQUENCIES_PER_A, Bank, Ring, check_ring, render, shipped_bank
from epistem.atoms.multislice import RADII_A, Beam, columns
from epistem.core import SettingsError, UnknownName
from epistem.core.errors import RecordError

BEAM, LAADF, HAADF = Beam(80.0), Ring(40, 90), Ring(85, 250)
PIXEL = 0.3


@pytest.fixture(scope="module")
def spectra():
    return [shipped_bank().spectra(BEAM, ring) for ring in (LAADF, HAADF)]


def images(xy, names, spectra, shape=(40, 40), **more):
    return render(np.array(xy, float), np.array(names), spectra, shape, PIXEL, **more).astype(float)


def test_the_shipped_bank_holds_every_column_at_the_study_s_beams():
    bank = shipped_bank()
    assert set(bank.names) == set(columns())
    assert {60.0, 80.0, 200.0} <= set(bank.energies_keV)


def test_between_two_energies_the_bank_is_exact_at_its_own_and_close_between_them():
    bank = shipped_bank()
    without = Bank(
        [beam for beam in bank.beams if beam.keV != 80],
        bank.names,
        bank._rings[[beam.keV != 80 for beam in bank.beams]],
    )
    here, guessed = bank.profiles(BEAM, HAADF)["W"], without.profiles(BEAM, HAADF)["W"]
    row = bank.beams.index(BEAM)
    own = bank._rings[row, bank.names.index("W")].astype(float) @ np.r_[np.zeros(17), np.ones(33), np.zeros(4)]
    assert here == pytest.approx(own, rel=1e-6)
    assert guessed == pytest.approx(here, abs=0.02 * here.max())
    assert bank.profiles(Beam(80.001), HAADF)["W"] == pytest.approx(here, rel=1e-3, abs=1e-4 * here.max())


def test_rings_add_up():
    bank = shipped_bank()
    whole, inner, outer = (bank.profiles(BEAM, ring) for ring in (Ring(40, 90), Ring(40, 60), Ring(60, 90)))
    for name in bank.names:
        assert whole[name] == pytest.approx(inner[name] + outer[name], rel=1e-9)


def test_a_ring_that_cuts_a_bin_takes_its_share():
    bank = shipped_bank()
    parts = [bank.profiles(BEAM, Ring(*ends))["Mo"] for ends in pairwise((40, 52, 63.5, 90))]
    assert np.sum(parts, axis=0) == pytest.approx(bank.profiles(BEAM, LAADF)["Mo"])


@pytest.mark.parametrize(
    ("beam", "ring", "words"),
    [
        (Beam(30.0), LAADF, "30 keV is outside the bank"),
        (Beam(1000.0), LAADF, "1000 keV is outside"),
        (Beam(80.0, 45.0), Ring(60, 90), "45 mrad is outside what is rendered"),
        (BEAM, Ring(90, 40), "inner angle lies below its outer"),
        (BEAM, Ring(float("nan"), 90), "inner angle lies below its outer"),
        (BEAM, Ring(20, 90), "inside the bright-field disc"),
        (BEAM, Ring(85, 300), "reaches 300"),
    ],
)
def test_what_the_bank_does_not_hold_is_refused_in_words(beam, ring, words):
    with pytest.raises(SettingsError, match=words):
        shipped_bank().profiles(beam, ring)


def test_a_ring_that_can_be_rendered_is_given_back():
    assert check_ring(LAADF, BEAM) is LAADF


def test_a_bank_comes_back_from_its_file(tmp_path):
    bank = shipped_bank()
    bank.save(tmp_path / "bank.npz")
    again = Bank.load(tmp_path / "bank.npz")
    assert again.beams == bank.beams
    assert again.names == bank.names
    assert (again.profiles(BEAM, LAADF)["W"] == bank.profiles(BEAM, LAADF)["W"]).all()


def test_another_file_is_no_bank(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("text.npz", "other.npz", "missing.npz"):
        with pytest.raises(RecordError, match="is no bank"):
            Bank.load(tmp_path / name)


def test_a_column_s_image_is_the_sum_of_its_profile_wherever_it_stands(spectra):
    place = np.array([6.13, 5.87])
    image = images([place], ["W"], spectra)
    fine = np.linspace(0, 7, 701)
    rows, cols = np.mgrid[:40, :40] * PIXEL
    for seen, spectrum in zip(image, spectra, strict=True):
        kernel = 2 * np.pi * j0(2 * np.pi * np.outer(fine, FREQUENCIES_PER_A)) * FREQUENCIES_PER_A
        profile = np.trapezoid(kernel * spectrum["W"], FREQUENCIES_PER_A, axis=1)
        direct = np.interp(np.hypot(cols - place[0], rows - place[1]), fine, profile, right=0.0)
        assert np.abs(seen - direct).max() < 2e-3 * direct.max()


def test_a_field_is_the_sum_of_its_columns(spectra):
    host = HOSTS["WSe2"]
    sheet = make_sheet(host, lattice_vectors(host, turned=0.2), (12.0, 12.0), Shares({"Ti": 0.2}, 0.1),
                       np.random.default_rng(0), margin_A=7.0)  # fmt: skip
    whole = images(sheet.xy_A, sheet.column, spectra)
    parts = sum(images([xy], [name], spectra) for xy, name in zip(sheet.xy_A, sheet.column, strict=True))
    assert whole == pytest.approx(parts, abs=1e-5 * whole.max())


def test_what_a_defect_changes_is_the_difference_of_two_columns(spectra):
    xy = [[4.0, 4.0], [5.9, 4.0], [6.0, 7.0]]
    change = images(xy, ["Ti", "Se", "W"], spectra) - images(xy, ["W", "Se", "W"], spectra)
    alone = images(xy[:1], ["Ti"], spectra) - images(xy[:1], ["W"], spectra)
    assert change == pytest.approx(alone, abs=1e-5 * np.abs(alone).max())


def test_a_column_moved_by_part_of_a_pixel_moves_its_image(spectra):
    place = np.array([5.0, 6.0])
    first = images([place], ["W"], spectra)
    second = images([place + np.array([0.37, -1.6]) * PIXEL], ["W"], spectra)
    frequency = np.fft.fftfreq(40)
    phase = np.exp(-2j * np.pi * (0.37 * frequency[None] - 1.6 * frequency[:, None]))
    shifted = np.fft.ifft2(np.fft.fft2(first) * phase).real[:, 3:-3, 3:-3]
    assert np.abs(second[:, 3:-3, 3:-3] - shifted).max() < 5e-3 * first.max()
    assert np.abs(second - first).max() > 0.1 * first.max()


@pytest.mark.parametrize("shape", [(17, 40), (40, 17), (31, 8)])
def test_the_size_of_the_image_changes_nothing_in_it(spectra, shape):
    xy, names = [[1.0, 2.0], [3.0, 1.0], [8.0, 2.5]], ["W", "Se", "Ti"]
    small, large = images(xy, names, spectra, shape), images(xy, names, spectra, (40, 40))
    assert small.shape == (2, *shape)
    assert small == pytest.approx(large[:, : shape[0], : shape[1]], abs=1e-4 * large.max())


def test_a_coarser_pixel_samples_the_same_image(spectra):
    xy, names = np.array([[6.0, 5.0]]), np.array(["W"])
    fine = render(xy, names, spectra, (60, 60), 0.2)
    coarse = render(xy, names, spectra, (20, 20), 0.6)
    assert np.abs(coarse - fine[:, ::3, ::3]).max() < 1e-4 * fine.max()


def test_columns_outside_the_field_still_count_and_far_ones_do_not(spectra):
    near, far = images([[-0.4, 5.0]], ["W"], spectra), images([[-9.0, 5.0]], ["W"], spectra)
    assert near[0, :, 0].max() > 0.1 * images([[5.0, 5.0]], ["W"], spectra)[0].max()
    assert np.abs(far).max() == 0


def test_a_column_beyond_one_edge_does_not_come_in_by_the_other(spectra):
    image = images([[40 * PIXEL + 5, 5.0]], ["W"], spectra)
    assert np.abs(image[:, :, :4]).max() < 1e-3 * images([[5.0, 5.0]], ["W"], spectra).max()


def test_blur_spreads_an_image_and_keeps_its_total(spectra):
    sharp, soft = (images([[9.0, 9.0]], ["W"], spectra, (60, 60), blur_A=blur) for blur in (0.0, 0.5))
    assert soft.sum(axis=(1, 2)) == pytest.approx(sharp.sum(axis=(1, 2)), rel=1e-4)
    assert (soft.max(axis=(1, 2)) < 0.85 * sharp.max(axis=(1, 2))).all()


def test_the_weight_of_a_column_is_the_sum_of_its_image(spectra):
    weight = shipped_bank().weight(BEAM, HAADF)["W"]
    image = images([[9.0, 9.0]], ["W"], spectra, (60, 60))
    assert image[1].sum() * PIXEL**2 == pytest.approx(weight, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("W", METAL_VIBRATION_A), ("Se", CHALCOGEN_VIBRATION_A), ("Se2@WSe2", CHALCOGEN_VIBRATION_A / np.sqrt(2))],
)
def test_vibration_damps_each_column_by_its_own_gaussian(name, sigma):
    still, moving = (shipped_bank().spectra(BEAM, HAADF, vibration=factor)[name] for factor in (0.0, 1.0))
    at = 200  # 1 per ångström
    assert moving[at] / still[at] == pytest.approx(np.exp(-2 * (np.pi * sigma) ** 2))
    assert moving[0] == still[0]


def test_a_smaller_semi_angle_makes_a_wider_probe_of_the_same_total():
    wide, narrow = (shipped_bank().spectra(Beam(80.0, angle), HAADF)["W"] for angle in (30.0, 24.0))
    assert narrow[0] == pytest.approx(wide[0], rel=1e-3)
    assert narrow[200] < 0.8 * wide[200]


def test_a_heavier_atom_is_brighter_at_high_angles():
    weight = shipped_bank().weight(BEAM, HAADF)
    heights = [weight[name] for name in ("S", "Ti", "Se", "Mo", "W")]
    assert heights == sorted(heights)


def test_an_image_falls_to_nothing_at_the_bank_s_last_radius():
    profile = shipped_bank().profiles(BEAM, HAADF)["W"]
    assert len(profile) == len(RADII_A)
    assert abs(profile[-1]) < 2e-3 * profile[0]


def test_an_unknown_column_is_named(spectra):
    with pytest.raises(UnknownName, match="Au"):
        images([[3.0, 3.0]], ["Au"], spectra)


def test_a_bank_of_another_shape_is_refused():
    with pytest.raises(RecordError, match="shape"):
        Bank([BEAM], ["W"], np.zeros((1, 2, 57, 54), np.float32))
