from __future__ import annotations

import hashlib
import multiprocessing

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, map_coordinates

from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import ELEMENTS, Setting, Spec, make_field, patches_of, stream
from epistem.atoms.kernels import shipped_bank

SMALL = Spec(seed=3, size_A=40.0, pixel_A=(0.3, 0.4), per_field=(1, 3))
CLEAN = SMALL.model_copy(
    update={
        "hosts": ("WSe2",), "dopants": ("Ti",), "settings": (Setting(keV=80.0),), "dose_e_per_A2": (1e6, 1e6),
        "defocus_A": (0.0, 0.0), "astigmatism_A": (0.0, 0.0), "coma_A": (0.0, 0.0), "jitter_A": (0.0, 0.0),
        "contamination": (0.0, 0.0), "read_noise": (0.0, 0.0), "defects": (0.1, 0.1), "size_A": 60.0,
    }
)  # fmt: skip


def fingerprint(number: int) -> str:
    bank = shipped_bank()
    field = make_field(SMALL, number, bank)
    found = patches_of(field, SMALL, number)
    parts = [field.counts, *found.described, found.role, found.element]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def test_the_published_study_has_576_cases():
    cases = Spec().cases()
    assert len(cases) == len(set(cases)) == 576
    assert len({case[:2] for case in cases}) == 96


def test_the_same_number_gives_the_same_bytes_and_another_does_not():
    assert fingerprint(7) == fingerprint(7)
    assert fingerprint(7) != fingerprint(8)


def test_another_process_gives_the_same_bytes():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(fingerprint, [7]) == [fingerprint(7)]


def test_a_field_does_not_depend_on_those_before_it():
    bank = shipped_bank()
    together = list(stream(SMALL, bank, range(3)))
    alone = next(stream(SMALL, bank, [2]))
    assert (together[2].described.moments == alone.described.moments).all()


def test_labels_stand_on_their_columns():
    field = make_field(CLEAN, 0, shipped_bank())
    smooth = gaussian_filter(field.counts[1], 1.0)
    height = map_coordinates(smooth, field.sites_px.T, order=1)[field.whole]
    role = np.array(ROLES)[field.sheet.role[field.whole]]
    mean = {name: float(np.median(height[role == name])) for name in set(role.tolist())}
    assert mean["M"] > mean["X2"] > mean["V_X"] > mean["V_X2"]
    assert mean["M"] > 3 * mean["D_M"]
    assert mean["D_M"] > mean["V_M"]
    assert (height[role == "M"] > 2 * height[role == "V_M"].max()).mean() > 0.98


@pytest.mark.parametrize("shear", [0.0, 0.1])
def test_labels_stay_on_their_columns_when_the_specimen_drifts(shear):
    field = make_field(CLEAN.model_copy(update={"shear": shear, "relaxation_A": 0.0}), 1, shipped_bank())
    smooth = gaussian_filter(field.counts[1], 1.0)
    metal = field.sites_px[field.whole & (field.sheet.role == 0)]
    there = map_coordinates(smooth, metal.T, order=1)
    for step in ([0, 2], [0, -2], [2, 0], [-2, 0]):
        assert (map_coordinates(smooth, (metal + step).T, order=1) < there).mean() > 0.98


def test_hollows_are_dark():
    field = make_field(CLEAN, 2, shipped_bank())
    hollow = map_coordinates(gaussian_filter(field.counts[1], 1.0), field.hollow_px.T, order=1, mode="nearest")
    assert np.median(hollow) < 0.25 * field.counts[1].max()


def test_the_lattice_constant_of_a_field_is_the_host_s_by_its_pixel():
    field = make_field(CLEAN.model_copy(update={"strain": 0.0, "shear": 0.0}), 0, shipped_bank())
    assert field.a_px * field.pixel_A == pytest.approx(3.32)


def test_balanced_patches_have_no_role_much_more_often_than_the_median_one():
    natural = CLEAN.model_copy(update={"patches": "natural"})
    field = make_field(CLEAN, 0, shipped_bank())
    many = np.bincount(patches_of(field, CLEAN, 0).role, minlength=6)
    all_of_them = np.bincount(patches_of(field, natural, 0).role, minlength=6)
    assert all_of_them.sum() == field.whole.sum()
    assert many.max() <= max(4, np.median(all_of_them))
    assert (many == np.minimum(all_of_them, many.max())).all()
    assert many.max() < all_of_them.max() / 3


def test_patches_have_features_of_both_detectors_and_an_element():
    found = patches_of(make_field(CLEAN, 0, shipped_bank()), CLEAN, 0)
    n = len(found.role)
    assert found.described.moments.shape == (n, 2, 66)
    assert found.described.scalars.shape == (n, 2, 4)
    assert {ELEMENTS[at] for at in found.element[found.role == ROLES.index("D_M")]} == {"Ti"}
    assert {ELEMENTS[at] for at in found.element[found.role == ROLES.index("V_X")]} == {"Se"}


def test_a_field_tells_what_it_was_made_with():
    field = make_field(CLEAN, 0, shipped_bank())
    context = field.context
    assert (context.host, context.dopants, context.keV) == ("WSe2", ("Ti",), 80.0)
    assert context.rings == field.setting.rings
    assert context.dose_e_per_A2 == pytest.approx(1e6)
    assert context.pixel_A == field.pixel_A


def test_a_case_can_be_asked_for():
    field = make_field(SMALL, 0, shipped_bank(), case=("MoS2", "W", Setting(keV=60.0)))
    assert (field.context.host, field.dopants, field.context.keV) == ("MoS2", ("W",), 60.0)


def test_moved_detectors_stay_within_what_can_be_rendered():
    spec = SMALL.model_copy(update={"detector_spread_mrad": 30.0, "size_A": 20.0})
    rings = {make_field(spec, number, shipped_bank()).setting.rings for number in range(8)}
    assert len(rings) == 8
    assert all(32 <= ring.inner_mrad and ring.outer_mrad <= 270 for pair in rings for ring in pair)


def test_doubtful_fields_say_that_their_angles_are_estimated():
    spec = SMALL.model_copy(update={"doubtful": 1.0, "size_A": 20.0})
    assert make_field(spec, 0, shipped_bank()).context.rings_estimated
    assert not make_field(SMALL, 0, shipped_bank()).context.rings_estimated


@pytest.mark.parametrize(
    "wrong", [{"dose_e_per_A2": (1e5, 1e3)}, {"hostes": ("WSe2",)}, {"seed": -1}, {"size_A": 5.0}]
)
def test_a_specification_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Spec(**wrong)


def test_a_specification_of_unknown_crystals_is_refused():
    with pytest.raises(ValidationError, match="no host is called 'PtSe2'"):
        Spec(hosts=("PtSe2",))
    with pytest.raises(ValidationError, match="W is the metal"):
        Spec(hosts=("WSe2",), dopants=("W",))
