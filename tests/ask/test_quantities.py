from __future__ import annotations

import pytest

from epistem.ask.quantities import plain, quantities


def first(text: str) -> tuple[float, float, str]:
    one = quantities(text)[0]
    return one.low, one.high, one.dimension


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a pore of 0.5 µm", (500, 500, "nm")),
        ("5 to 7 nanometers", (5, 7, "nm")),
        ("10–20 μm wide", (10_000, 20_000, "nm")),
        ("500 nm to 2 µm", (500, 2000, "nm")),
        ("between 3 and 5 mm", (3e6, 5e6, "nm")),
        ("12.5 ± 0.3 nm", (12.5, 12.5, "nm")),
        ("a 5-µm-wide crack", (5000, 5000, "nm")),
        ("two hours", (7200, 7200, "s")),
        ("90 hours", (324_000, 324_000, "s")),
        ("three hundred nm", (300, 300, "nm")),
        ("twenty-five grains", (25, 25, "count")),
        ("at 550ÂºC", (823.15, 823.15, "K")),
        ("-5 °C", (268.15, 268.15, "K")),
        ("7 bar", (7e5, 7e5, "Pa")),
        ("0.2 wt% C", (0.2, 0.2, "%")),
        ("1,200 grains", (1200, 1200, "count")),
        ("2 × 10^3 particles", (2000, 2000, "count")),
    ],
)
def test_a_number_is_read_with_its_unit(text: str, wanted: tuple[float, float, str]) -> None:
    assert first(text) == pytest.approx(wanted[:2] + wanted[2:])


def test_two_numbers_of_different_kind_are_no_range() -> None:
    assert [one.dimension for one in quantities("180 °C and 0.7 MPa")] == ["K", "Pa"]
    assert len(quantities("1998 and 2004")) == 2


def test_digits_in_a_formula_are_no_number() -> None:
    assert quantities("Al2O3 and CuAl2 in Co3Mo") == []


def test_the_same_length_in_another_unit_is_alike_and_a_thousandfold_differs() -> None:
    micro, nano, wrong = (quantities(text)[0] for text in ("0.5 µm", "500 nm", "500 µm"))
    assert micro.alike(nano)
    assert not micro.alike(wrong)
    assert micro.differs(wrong)


def test_temperatures_differ_by_degrees_and_not_by_their_distance_from_absolute_zero() -> None:
    assert quantities("20 °C")[0].differs(quantities("40 °C")[0])
    assert quantities("300 K")[0].alike(quantities("27 °C")[0])


def test_counts_are_compared_only_where_they_count_the_same() -> None:
    pores, grains, more = (quantities(text)[0] for text in ("12 pores", "40 grains", "40 pores"))
    assert not pores.differs(grains)
    assert pores.differs(more)


def test_a_wide_range_is_not_its_middle_and_does_not_contradict_it_either() -> None:
    wide, middle = quantities("100 to 300 µm")[0], quantities("200 µm")[0]
    assert not wide.alike(middle)
    assert not wide.differs(middle)


def test_signs_of_one_meaning_become_one() -> None:
    assert plain("5 μm² at 300ºC, a diameter of 2 meters") == "5 µm2 at 300°C, a diameter of 2 metres"


def test_an_empty_text_holds_no_number() -> None:
    assert quantities("") == []
