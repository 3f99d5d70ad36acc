from __future__ import annotations

import pytest

from epistem.core import Quantity
from epistem.report.words import counted, label_and_unit, number, p_value, percent, plural, span, with_interval


def test_the_house_style_sentence_comes_out_word_for_word() -> None:
    mean = Quantity("mean_diameter_nm", "Mean diameter", 6.1234, "nm", 5.81, 6.48, 0.9)
    assert f"{counted(212, 'cavity')}, mean {with_interval(mean)}" == "212 cavities, mean 6.1 nm (5.8–6.5, 90 %)"


@pytest.mark.parametrize(
    ("value", "width", "shown"),
    [
        (0.8123, 0.18, "0.81"),
        (13.1499, 3.3, "13.1"),
        (454.4, 159.0, "454"),
        (6.12345, None, "6.12"),
        (0.0, None, "0"),
        (-0.001, 1.0, "0.0"),
        (-3.14159, None, "−3.14"),
        (2048, None, "2048"),
        (123456, None, "123\u202f456"),
        (4.9e21, 2e21, "4.9\u202f×\u202f10²¹"),
        (2.5e-5, None, "2.50\u202f×\u202f10⁻⁵"),
        (None, None, "–"),
        (float("nan"), None, "–"),
    ],
)
def test_digits_shown_follow_the_interval_else_three_are_significant(
    value: float | None, width: float | None, shown: str
) -> None:
    assert number(value, width=width) == shown


def test_an_interval_without_both_ends_is_not_shown() -> None:
    assert span(1.0, None, 0.9) == ""
    assert with_interval(Quantity("x", "X", 2.0, "nm", low=1.0)) == "2.00 nm"


def test_an_interval_below_zero_is_written_with_a_word_not_a_dash() -> None:
    assert span(-2.04, -0.41, 0.9) == "−2.0 to −0.4, 90 %"


def test_an_interval_of_no_width_is_still_a_number() -> None:
    assert with_interval(Quantity("x", "X", 5.0, "px", 5.0, 5.0, 0.9)) == "5.00 px (5.00–5.00, 90 %)"


def test_unknown_is_a_dash_without_unit_or_interval() -> None:
    assert with_interval(Quantity("x", "X", None, "nm", 1.0, 2.0, 0.9)) == "–"


def test_a_tiny_p_value_is_never_zero() -> None:
    assert [p_value(p) for p in (0.0, 1e-9, 0.0123, 0.5, 1.0, None)] == [
        "< 0.001",
        "< 0.001",
        "0.012",
        "0.5",
        "1.0",
        "–",
    ]


def test_shares_near_one_do_not_become_all() -> None:
    assert [percent(s) for s in (0.999, 0.95, 0.042, 1.0)] == ["99.9 %", "95 %", "4.2 %", "100 %"]


def test_plurals_of_what_is_counted() -> None:
    assert [plural(n) for n in ("cavity", "ray", "pore", "atoms", "mass")] == [
        "cavities",
        "rays",
        "pores",
        "atoms",
        "masses",
    ]
    assert [counted(n, "cavity") for n in (0, 1, 2)] == ["no cavities", "1 cavity", "2 cavities"]


def test_the_longest_unit_ending_is_taken() -> None:
    assert label_and_unit("area_nm2") == ("Area", "nm²")
    assert label_and_unit("dose_e_per_A2") == ("Dose", "e⁻ Å⁻²")
    assert label_and_unit("circularity") == ("Circularity", "")
