from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epistem.atoms.classify import classify, estimated_shares, label, one_metal_sublattice, what_if, with_shares
from epistem.atoms.columns import NoLattice
from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ATOMIC_NUMBERS, HOSTS, ROLES, Shares, lattice_vectors, make_sheet
from epistem.atoms.dataset import Setting, expose_sheet
from epistem.atoms.encode import allowed
from epistem.atoms.formation import Formation
from epistem.atoms.kernels import Ring, shipped_bank
from epistem.core import SettingsError, ShapeError

RINGS = (Ring(40, 90), Ring(85, 250))
EVEN = np.full(6, 1 / 6)
TOLD = AtomContext("WSe2", ("Ti",), 80.0, 30.0, RINGS, False, 0.35, 1e6)
# Height over hollows of each role on the second detector, as a share of W's, and how far it may be off.
HEIGHT = np.array([1.0, 0.77, 0.13, 0.42, 0.05, -0.05])


class ByHeight:
    """A classifier that knows each role's height on the last detector, and nothing else."""

    trained_shares = EVEN

    def posterior(self, seen, context, bank):
        off = (seen.scalars[:, -1, 3:] - HEIGHT) / 0.05
        role = np.exp(-np.minimum(off**2 / 2, 200)) + 1e-9
        possible = allowed(context)
        role = role * possible.any(axis=1)
        role /= role.sum(axis=1, keepdims=True)
        within = possible / np.maximum(possible.sum(axis=1, keepdims=True), 1)
        return role, role[:, :, None] * within, seen.scalars[:, -1]

    def not_learned(self, context):
        return []

    def sets(self, role):
        return role > 0.1


@pytest.fixture(scope="module")
def field():
    host = HOSTS["WSe2"]
    sheet = make_sheet(host, lattice_vectors(host, turned=0.2), (90.0, 90.0), Shares({"Ti": 0.1}),
                       np.random.default_rng(0), margin_A=9.0)  # fmt: skip
    return expose_sheet(sheet, Setting(keV=80.0), Formation(1e6, 0.4), 0.35, (257, 257), shipped_bank(),
                        np.random.default_rng(1), dopants=("Ti",))  # fmt: skip


@pytest.fixture(scope="module")
def found(field):
    return classify(list(field.counts), TOLD, ByHeight(), shipped_bank())


def truth(field, places):
    apart = np.linalg.norm(places[:, None] - field.sites_px[None], axis=2)
    assert apart.min(axis=1).max() < 0.5
    return field.sheet.role[apart.argmin(axis=1)]


def test_columns_of_a_simulated_field_are_what_they_were_simulated_as(field, found):
    right = found.role.argmax(axis=1) == truth(field, found.places_px)
    assert len(found) > 1200
    assert right.mean() > 0.99
    assert min(found.metal_is, 1 - found.metal_is) < 1e-3


def test_the_shares_of_an_image_are_those_it_has(field, found):
    true = np.bincount(truth(field, found.places_px), minlength=6) / len(found)
    assert found.shares == pytest.approx(true, abs=0.01)
    assert found.shares.sum() == pytest.approx(1.0)


def test_posteriors_sum_to_one_and_the_joint_to_the_role(found):
    assert found.role.sum(axis=1) == pytest.approx(1.0)
    assert found.joint.sum(axis=2) == pytest.approx(found.role)
    assert (found.entropy_bits >= 0).all()


def test_columns_are_called_by_their_elements(found):
    assert {"W", "Se2", "Ti on W"} <= set(found.labels.tolist())


def test_columns_are_objects_with_their_posterior(found):
    objects = found.instances
    assert len(objects) == len(found)
    assert objects.columns["p_D_M"] == pytest.approx(found.role[:, ROLES.index("D_M")])
    assert objects.columns["entropy_bits"] == pytest.approx(found.entropy_bits)
    centres = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    assert centres == pytest.approx(found.places_px, abs=0.01)


def test_shares_that_are_told_are_taken(field):
    told = np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
    assert classify(list(field.counts), TOLD, ByHeight(), shipped_bank(), shares=told).shares == pytest.approx(told)


def test_unknown_angles_are_inferred_where_the_contrast_leaves_no_doubt():
    host = HOSTS["MoS2"]
    sheet = make_sheet(host, lattice_vectors(host, turned=0.2), (70.0, 70.0), Shares({}), np.random.default_rng(0),
                       margin_A=9.0)  # fmt: skip
    one = expose_sheet(sheet, Setting(keV=80.0), Formation(1e6, 0.4), 0.35, (200, 200), shipped_bank(),
                       np.random.default_rng(1), dopants=())  # fmt: skip
    blind = AtomContext("MoS2", ("Ti",), 80.0, 30.0, (None, None), False, 0.35)
    found = classify(list(one.counts), blind, ByHeight(), shipped_bank())
    assert found.context.rings_estimated
    assert all(ring is not None for ring in found.context.rings)
    assert any("inferred from MoS2's own contrast" in note for note in found.notes)


def test_unknown_angles_stay_unknown_where_either_sub_lattice_could_be_the_metal_s(field):
    found = classify(list(field.counts), TOLD.without("detectors"), ByHeight(), shipped_bank())
    assert found.context.rings == (None, None)
    assert any("fits either sub-lattice" in note for note in found.notes)


def test_another_lattice_constant_is_unknown_and_flat(field):
    graphene = AtomContext(None, None, 80.0, 30.0, RINGS, False, 0.35 * 2.46 / 3.32)
    found = classify(list(field.counts), graphene, ByHeight(), shipped_bank())
    assert not found.known
    assert set(found.labels.tolist()) == {"unknown"}
    assert found.role == pytest.approx(1 / 6)
    assert found.entropy_bits == pytest.approx(np.log2(120))
    assert found.sets.all()
    assert any("another material, or a wrong pixel size" in note for note in found.notes)
    assert len(found.instances) == len(found)


def test_a_pixel_size_that_contradicts_the_host_leaves_everything_unknown(field):
    # By this pixel the lattice constant is MoTe2's, 3.57 Å and more.
    wrong = AtomContext("WSe2", ("Ti",), 80.0, 30.0, RINGS, False, 0.35 * 3.62 / 3.32)
    found = classify(list(field.counts), wrong, ByHeight(), shipped_bank())
    assert not found.known
    assert any("WSe2 has 3.32 Å" in note for note in found.notes)


def test_without_a_pixel_size_nothing_is_said_of_the_material(field):
    told = AtomContext("WSe2", ("Ti",), 80.0, 30.0, RINGS, False, None)
    found = classify(list(field.counts), told, ByHeight(), shipped_bank())
    assert not found.known
    assert any("give the pixel size" in note for note in found.notes)


def test_a_contrast_that_no_detector_gives_the_host_is_another_material(field):
    faint = [image.copy() for image in field.counts]
    places = np.round(field.sites_px[(field.sublattice == 1) & field.whole]).astype(int)
    for image in faint:
        for row, col in places:
            image[row - 2 : row + 3, col - 2 : col + 3] *= 0.35
    told = AtomContext("WSe2", ("Ti",), 80.0, 30.0, (None, None), False, 0.35)
    found = classify(faint, told, ByHeight(), shipped_bank())
    assert not found.known
    assert any("another material, host or imaging mode" in note for note in found.notes)


def test_as_many_images_as_detectors_are_wanted(field):
    with pytest.raises(SettingsError, match="names 2 detectors, there are 1 images"):
        classify([field.counts[0]], TOLD, ByHeight(), shipped_bank())


def test_images_of_one_field_have_one_shape(field):
    with pytest.raises(ShapeError, match="one shape"):
        classify([field.counts[0], field.counts[1][:-1]], TOLD, ByHeight(), shipped_bank())


def test_noise_has_no_lattice():
    noise = np.random.default_rng(0).poisson(50, (2, 200, 200))
    with pytest.raises(NoLattice):
        classify(list(noise), TOLD, ByHeight(), shipped_bank())


def test_what_if_tells_each_variable_and_wrong_ones(field, found):
    rows = {row.told: row for row in what_if(list(field.counts), found, TOLD, ByHeight(), shipped_bank())}
    assert {"beam unknown", "composition unknown", "nothing known", "host MoSe2", "no dopant"} <= set(rows)
    assert {"200 keV", "angles 30 % wider", "a tenth of the dose"} <= set(rows)
    assert rows["beam unknown"].changed == pytest.approx(0.0)
    assert rows["host MoSe2"].changed == pytest.approx(0.0)  # the same roles under other names
    assert rows["no dopant"].changed > 0.02
    assert rows["composition unknown"].entropy_bits > found.entropy_bits.mean() + 0.5


def test_what_if_describes_no_patch_again_and_says_what_it_would_say_if_it_did(field, found, monkeypatch):
    ask = (list(field.counts), TOLD, ByHeight(), shipped_bank())
    anew = what_if(ask[0], replace(found, seen=None), *ask[1:])
    monkeypatch.setattr("epistem.atoms.classify.describe", lambda *_, **__: pytest.fail("described again"))
    assert what_if(ask[0], found, *ask[1:]) == anew


def test_all_metals_stand_on_one_sub_lattice():
    role = np.tile(EVEN, (40, 1))
    kind = np.arange(40) % 2
    role[kind == 0] = [0.5, 0.2, 0.1, 0.1, 0.05, 0.05]
    joint = role[:, :, None] * np.full(20, 1 / 20)
    fixed, together, first, odds = one_metal_sublattice(role, joint, kind)
    assert first == pytest.approx(1.0, abs=0.05)
    assert odds > 0
    metal = np.isin(ROLES, ("M", "D_M", "V_M"))
    assert fixed[kind == 0][:, metal].sum(axis=1) == pytest.approx(first)
    assert fixed[kind == 1][:, metal].sum(axis=1) == pytest.approx(1 - first)
    assert together.sum(axis=2) == pytest.approx(fixed)
    # Within metals nothing changes: half of W stays five times a tenth of a dopant.
    assert fixed[0, 0] / fixed[0, 2] == pytest.approx(5.0)


def test_without_a_hint_either_sub_lattice_can_be_the_metal_s():
    role = np.tile(EVEN, (40, 1))
    fixed, _, first, odds = one_metal_sublattice(role, role[:, :, None] / 20 * np.ones(20), np.arange(40) % 2)
    assert (first, odds) == (0.5, 0.0)
    assert fixed == pytest.approx(role)


def test_shares_are_recovered_from_posteriors_of_balanced_training():
    rng = np.random.default_rng(0)
    shares = np.array([0.44, 0.46, 0.05, 0.03, 0.01, 0.01])
    true = rng.choice(6, 4000, p=shares)
    likelihood = np.exp(2.5 * rng.standard_normal((4000, 6)) * 0.3 + 6 * np.eye(6)[true])
    found = estimated_shares(likelihood / likelihood.sum(axis=1, keepdims=True), EVEN)
    assert found == pytest.approx(np.bincount(true, minlength=6) / 4000, abs=0.02)


def test_what_was_not_seen_may_still_be_there_once():
    role = np.zeros((50, 6))
    role[:25, 0] = role[25:, 1] = 1.0
    found = estimated_shares(role, EVEN)
    assert found[2:] == pytest.approx(0.5 * 0.02 / 0.54)
    assert found[:2] == pytest.approx(0.5 * np.array([0.5 / 0.54, 0.5 / 0.54]))


def test_half_of_the_sites_are_the_metal_s_even_where_nothing_tells_which():
    open_ = np.tile([0.45, 0.55, 0.0, 0.0, 0.0, 0.0], (100, 1))
    found = estimated_shares(open_, EVEN)
    assert found[[0, 2, 5]].sum() == pytest.approx(0.5)
    assert with_shares(open_, open_[:, :, None] / 20 * np.ones(20), found, EVEN)[0][:, 0] == pytest.approx(0.45)


def test_posteriors_move_with_the_shares_by_bayes_rule():
    role = np.array([[0.6, 0.1, 0.3, 0.0, 0.0, 0.0]])
    joint = role[:, :, None] * np.full(20, 1 / 20)
    shares = np.array([0.9, 0.05, 0.05, 0.0, 0.0, 0.0])
    moved, together = with_shares(role, joint, shares, EVEN)
    assert moved[0, 2] / moved[0, 0] == pytest.approx(0.3 * 0.05 / (0.6 * 0.9))
    assert moved.sum() == pytest.approx(1.0)
    assert together.sum(axis=2) == pytest.approx(moved)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_name(role):
    assert label(role, "Se" if "X" in role else "Ti", "W")
    assert set(ATOMIC_NUMBERS) >= {"Se", "Ti"}


def test_all_columns_together_are_one_witness_that_other_evidence_can_overrule():
    sure = np.tile([0.98, 0.02, 0.0, 0.0, 0.0, 0.0], (4000, 1))
    joint = np.repeat(sure[:, :, None], 20, axis=2) / 20
    side = np.repeat([0, 1], 2000)
    turned = np.where((side == 1)[:, None], sure[:, [1, 0, 2, 3, 4, 5]], sure)
    *_, alone, _ = one_metal_sublattice(turned, joint, side, most=3.0)
    *_, overruled, _ = one_metal_sublattice(turned, joint, side, evidence=-8.0, most=3.0)
    *_, open_, _ = one_metal_sublattice(turned, joint, side, evidence=None)
    assert alone == pytest.approx(1 / (1 + np.exp(-3)))
    assert overruled < 0.01
    assert open_ == 0.5
