from __future__ import annotations

import pytest

from epistem.atoms.context import VARIABLES, AtomContext, expected_heights
from epistem.atoms.crystals import HOSTS
from epistem.atoms.kernels import Ring, shipped_bank
from epistem.atoms.multislice import Beam
from epistem.core import SettingsError, UnknownName

ALL = AtomContext("WSe2", ("Ti",), 80.0, 30.0, (Ring(40, 90), Ring(85, 250)), False, 0.3, 1e4)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("composition", {"host": None, "dopants": None}),
        ("dopants", {"dopants": None}),
        ("beam", {"keV": None}),
        ("probe", {"semiangle_mrad": None}),
        ("detectors", {"rings": (None, None)}),
        ("pixel size", {"pixel_A": None}),
        ("dose", {"dose_e_per_A2": None}),
    ],
)
def test_forgetting_a_variable_forgets_it_and_nothing_else(name, fields):
    less = ALL.without(name)
    assert {key: getattr(less, key) for key in fields} == fields
    kept = [key for key in vars(ALL) if key not in fields]
    assert all(getattr(less, key) == getattr(ALL, key) for key in kept)


def test_all_can_be_forgotten_but_how_many_detectors_there_are():
    assert ALL.without(*VARIABLES) == AtomContext(rings=(None, None))


def test_the_probe_can_be_forgotten_where_the_detector_begins_close_to_it():
    near = AtomContext("WSe2", None, 80.0, 25.0, (Ring(28, 90),))
    less = near.without("probe")
    assert less.beam is not None
    assert less.rings[0].inner_mrad > less.beam.semiangle_mrad + 1
    less.check(shipped_bank())


def test_without_a_semi_angle_the_usual_one_is_taken():
    assert ALL.without("probe").beam == Beam(80.0, 30.0)
    assert ALL.without("beam").beam is None


def test_candidates_are_what_is_told_else_all_that_the_host_can_have():
    assert ALL.candidates == ("Ti",)
    assert ALL.without("dopants").candidates == HOSTS["WSe2"].dopants
    assert ALL.without("composition").candidates == ()
    assert AtomContext("WSe2", ()).candidates == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rings": (Ring(90, 40),)}, "inner angle lies below"),
        ({"rings": (Ring(10, 40),)}, "inside the bright-field disc"),
        ({"rings": (Ring(50, 400),)}, "bank ends"),
        ({"rings": ()}, "one detector or two; got 0"),
        ({"rings": (None, None, None)}, "one detector or two; got 3"),
        ({"keV": -80.0}, "keV is a positive number"),
        ({"keV": float("nan")}, "keV is a positive number"),
        ({"pixel_A": 0.0}, "pixel_A is a positive number"),
        ({"dose_e_per_A2": -1.0}, "dose_e_per_A2 is a positive number"),
        ({"dopants": ("Ti",)}, "without a host"),
        ({"host": "WSe2", "dopants": ("W",)}, "W is the metal of WSe2"),
    ],
)
def test_a_context_that_contradicts_itself_is_refused(wrong, words):
    with pytest.raises(SettingsError, match=words):
        AtomContext(**wrong)


def test_unknown_elements_are_refused_by_name():
    with pytest.raises(UnknownName, match="graphene"):
        AtomContext("graphene")
    with pytest.raises(UnknownName, match="Pt"):
        AtomContext("WSe2", ("Pt",))


@pytest.mark.parametrize("keV", [1.0, 29.0, 1000.0])
def test_a_beam_outside_the_bank_is_refused(keV):
    with pytest.raises(SettingsError, match="outside the bank"):
        AtomContext("WSe2", None, keV).check(shipped_bank())


def test_dopants_are_put_in_order():
    assert AtomContext("WSe2", ("Re", "Ti")) == AtomContext("WSe2", ("Ti", "Re"))


def test_the_brighter_column_of_a_host_is_one_and_elements_follow():
    heights = expected_heights(HOSTS["WSe2"], Beam(80.0), Ring(85, 250), shipped_bank())
    assert heights["W"] == 1
    assert heights["Ti"] < heights["Se"] < heights["Se2@WSe2"] < 1
    assert max(expected_heights(HOSTS["MoTe2"], Beam(80.0), Ring(40, 90), shipped_bank())[name]
               for name in ("Mo", "Te2@MoTe2")) == 1  # fmt: skip
