from __future__ import annotations

import numpy as np
import pytest

from epistem.atoms.context import VARIABLES, AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import ELEMENTS
from epistem.atoms.encode import CHALCOGENS, ELEMENT_FEATURES, GLOBALS, allowed, encode, static_features
from epistem.atoms.kernels import Ring, shipped_bank
from epistem.core import SettingsError

RINGS = (Ring(40, 90), Ring(85, 250))
ALL = AtomContext("WSe2", ("Ti", "V"), 80.0, 30.0, RINGS, False, 0.3, 1e4)


def told(context):
    return encode(context, shipped_bank())


def names(mask):
    return {name for name, there in zip(ELEMENTS, mask, strict=True) if there}


def test_everything_known_is_marked_as_known():
    known = told(ALL)
    assert known.known.all()
    assert known.detectors.all()
    assert names(known.present) == {"W", "Se", "Ti", "V"}
    assert known.elements.shape == (20, ELEMENT_FEATURES)


@pytest.mark.parametrize(
    ("name", "marked"),
    [("beam", ["beam"]), ("probe", ["probe"]), ("pixel size", ["pixel"]), ("dose", ["dose"]),
     ("detectors", ["detector 1", "detector 2"])],
)  # fmt: skip
def test_what_is_unknown_is_marked_and_holds_no_value(name, marked):
    less = told(ALL.without(name))
    where = np.isin(GLOBALS, marked)
    assert (less.known == ~where).all()
    assert (less.globals[where] == 0).all()
    assert (less.globals[~where] == told(ALL).globals[~where]).all()


def test_nothing_known_says_the_same_of_every_material():
    one, other = (
        told(context.without(*VARIABLES)) for context in (ALL, AtomContext("MoS2", ("W",), 60.0, rings=RINGS))
    )
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert not one.present.any()
    assert not one.known.any()
    assert (one.elements[:, :18] == static_features()).all()
    assert (one.elements[:, 18:] == 0).all()


def test_signals_are_unknown_without_beam_or_detector():
    assert told(ALL).elements[:, 25].all()
    for name in ("beam", "detectors"):
        assert (told(ALL.without(name)).elements[:, 23:] == 0).all()
    half = told(AtomContext("WSe2", None, 80.0, 30.0, (None, RINGS[1])))
    assert (half.elements[:, 23:26] == 0).all()
    assert (half.elements[:, 28] == 1).all()


def test_the_signal_of_the_host_s_brighter_column_is_one():
    known = told(ALL)
    tungsten, selenium = ELEMENTS.index("W"), ELEMENTS.index("Se")
    assert known.elements[tungsten, 26] == pytest.approx(1)
    assert 0 < known.elements[selenium, 26] < known.elements[selenium, 27] < 1
    assert (known.elements[~CHALCOGENS, 27] == 0).all()


def test_one_detector_leaves_the_second_out():
    single = told(AtomContext("WSe2", None, 80.0, 30.0, RINGS[:1]))
    assert single.detectors.tolist() == [True, False]
    assert not single.known[5]
    assert (single.elements[:, 26:] == 0).all()


def test_roles_have_the_elements_that_they_can_have():
    can = dict(zip(ROLES, allowed(ALL), strict=True))
    assert names(can["M"]) == names(can["V_M"]) == {"W"}
    assert names(can["D_M"]) == {"Ti", "V"}
    assert names(can["X2"]) == names(can["V_X"]) == names(can["V_X2"]) == {"Se"}


def test_without_dopants_no_column_is_one():
    assert not allowed(AtomContext("WSe2", ()))[ROLES.index("D_M")].any()


def test_of_an_unknown_composition_every_element_is_possible_where_it_can_stand():
    can = dict(zip(ROLES, allowed(AtomContext()), strict=True))
    assert names(can["M"]) == {"Mo", "W"}
    assert names(can["X2"]) == {"S", "Se", "Te"}
    assert names(can["D_M"]) == set(ELEMENTS) - {"S", "Se", "Te"}


def test_every_element_has_features_of_its_own():
    features = static_features()
    assert len(np.unique(features, axis=0)) == 20
    assert (features >= 0).all()
    assert np.isfinite(features).all()


def test_shells_hold_all_electrons():
    room = np.array([2, 2, 6, 2, 6, 2, 10, 6, 2, 10, 6, 2, 14, 10])
    electrons = static_features()[:, :14] @ room
    assert electrons == pytest.approx(static_features()[:, 14] * 100)


def test_chromium_and_copper_fill_their_d_shell_first():
    shells = dict(zip(ELEMENTS, static_features()[:, 5:7], strict=True))
    assert shells["Cr"] == pytest.approx([0.5, 0.5])
    assert shells["Cu"] == pytest.approx([0.5, 1.0])
    assert shells["Ni"] == pytest.approx([1.0, 0.8])


def test_neighbours_in_the_table_are_more_alike_than_strangers():
    features = dict(zip(ELEMENTS, static_features(), strict=True))

    def apart(a, b):
        return np.linalg.norm(features[a] - features[b])

    assert apart("Ta", "W") < apart("Ta", "Ti")
    assert apart("Nb", "Mo") < apart("Nb", "Re")


def test_estimated_angles_are_marked():
    rough = AtomContext("WSe2", None, 80.0, 30.0, RINGS, True)
    assert told(rough).globals[4:, 3].tolist() == [1, 1]
    assert told(ALL).globals[4:, 3].tolist() == [0, 0]


def test_a_beam_outside_the_bank_is_refused():
    with pytest.raises(SettingsError, match="outside the bank"):
        told(AtomContext("WSe2", None, 20.0))
