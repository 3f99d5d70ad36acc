"""Units of axes, and metadata made plain."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epistem.imaging.plain import look_up, plain
from epistem.imaging.units import NM_PER, Spacing, is_reciprocal, pixel_size, to_nm


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("nm", 1.0),
        ("µm", 1e3),
        ("μm", 1e3),  # U+03BC, the Greek letter
        ("um", 1e3),
        ("microns", 1e3),
        ("Micrometers", 1e3),
        ("Å", 0.1),
        ("\u212b", 0.1),  # the sign of the unit
        ("A", 0.1),
        ("Angstrom", 0.1),
        ("angstroms", 0.1),
        ("pm", 1e-3),
        ("mm", 1e6),
        ("m", 1e9),
        ("meters", 1e9),
        (" nm\x00", 1.0),
    ],
)
def test_spellings_of_a_length(unit: str, nm: float) -> None:
    assert to_nm(1.0, unit) == pytest.approx(nm)


@pytest.mark.parametrize("unit", ["eV", "s", "", "px", "1/nm", "mrad", "Mm", "kg"])
def test_what_is_no_length_is_none(unit: str) -> None:
    assert to_nm(1.0, unit) is None


@pytest.mark.parametrize("unit", sorted(NM_PER))
def test_the_inverse_of_every_length_is_reciprocal(unit: str) -> None:
    assert all(is_reciprocal(text) for text in (f"1/{unit}", f"1 / {unit}", f"{unit}^-1", f"{unit}⁻¹"))
    assert not is_reciprocal(unit)


@given(value=st.floats(1e-3, 1e6), unit=st.sampled_from(["nm", "µm", "Å", "pm"]))
def test_a_pixel_size_is_the_spacing_in_nm(value: float, unit: str) -> None:
    size = pixel_size(Spacing(value, unit), Spacing(2 * value, unit), "tag").calibration
    if size is None:
        assert not 1e-4 <= value * NM_PER[unit] <= 0.5e7
    else:
        assert size.col_nm == pytest.approx(2 * value * NM_PER[unit])
        assert size.row_nm == pytest.approx(value * NM_PER[unit])


@pytest.mark.parametrize("unit", [None, "", "px", "pixels", "<undefined>", "[]"])
def test_a_spacing_without_unit_is_unknown_without_a_word(unit: str | None) -> None:
    assert pixel_size(Spacing(1.0, unit), Spacing(1.0, unit), "tag") == (None, None, False)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e17])
def test_an_impossible_spacing_is_unknown_and_told(value: float) -> None:
    found = pixel_size(Spacing(value, "nm"), Spacing(value, "nm"), "tag")
    assert found.calibration is None
    assert found.reason is not None
    assert "tag" in found.reason


def test_units_that_are_no_lengths_are_told() -> None:
    found = pixel_size(Spacing(1.0, "ps"), Spacing(1.0, "nm"), "tag")
    assert found.calibration is None
    assert found.reason == "pixel size unknown: tag is in ps and nm, not a length"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(JSON)
def test_plain_metadata_survive_json(value: object) -> None:
    once = plain(value)
    assert json.loads(json.dumps(once)) == once


def test_look_up_finds_keys_that_hold_dots() -> None:
    assert look_up({"a.b": {"c": 1}}, "a.b.c") == 1
    assert look_up({"a": {"b": 1}}, "a.x") is None
    assert look_up([], "a") is None
