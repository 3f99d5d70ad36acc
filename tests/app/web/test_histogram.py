from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from epistem.app.web.histogram import binned, histogram_svg, round_up, ticks

SVG = "{http://www.w3.org/2000/svg}"


def bars(svg: str) -> list[int]:
    return [int(bar.find(f"{SVG}title").text) for bar in ET.fromstring(svg).iter(f"{SVG}rect")]  # type: ignore


def words(svg: str) -> list[str]:
    return [item.text or "" for item in ET.fromstring(svg).iter(f"{SVG}text")]


def said(svg: str) -> str:
    return ET.fromstring(svg).findtext(f"{SVG}desc") or ""


@pytest.mark.parametrize("n", [1, 2, 3, 40, 5000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_each_object_is_in_one_bar(n: int, scale: float) -> None:
    sizes = np.random.default_rng(n).lognormal(1.5, 0.5, n) * scale
    assert sum(bars(histogram_svg(sizes, "nm"))) == n
    bins = binned(sizes)
    assert bins.counts.tolist() == np.histogram(sizes, bins.edges)[0].tolist()


def test_bars_do_not_grow_without_end_for_one_far_object() -> None:
    assert len(binned(np.array([1.0] * 99 + [1000.0])).counts) <= 25


def test_no_object_is_said() -> None:
    svg = histogram_svg([], "nm")
    assert words(svg) == ["No object to measure"]
    assert bars(svg) == []


@pytest.mark.parametrize("sizes", [[5.0], [5.0, 5.0, 5.0], [0.1 + 0.2, 0.3], [0.0]])
def test_equal_sizes_are_one_bar(sizes: list[float]) -> None:
    assert bars(histogram_svg(sizes, "nm")) == [len(sizes)]


def test_sizes_not_known_are_left_out_and_counted() -> None:
    svg = histogram_svg([4.0, np.nan, 6.0, np.inf], "nm")
    assert sum(bars(svg)) == 2
    assert said(svg) == ("2 objects, equivalent diameter 4 to 6 nm, median 5 nm. 2 of unknown size left out.")
    assert said(histogram_svg([np.nan], "nm")) == "No object to measure, 1 of unknown size."


def test_axes_carry_the_names_of_the_field_and_the_unit() -> None:
    assert {"Equivalent diameter [nm]", "Count"} <= set(words(histogram_svg([4.0, 6.0], "nm")))
    assert "Equivalent diameter [px]" in words(histogram_svg([4.0, 6.0], "px"))


def test_a_unit_is_text_and_no_markup() -> None:
    assert "<b>" not in histogram_svg([4.0], "<b>")


def test_counts_on_the_axis_are_whole() -> None:
    assert [word for word in words(histogram_svg([1.0], "nm")) if re.fullmatch(r"[\d.]+", word)][-2:] == ["0", "1"]


@pytest.mark.parametrize(("selected", "lines"), [(5.0, 1), (None, 0), (90.0, 0)])
def test_the_selected_size_is_marked_where_it_is_on_the_axis(selected: float | None, lines: int) -> None:
    svg = histogram_svg([4.0, 5.0, 6.0], "nm", selected)
    assert len(list(ET.fromstring(svg).iter(f"{SVG}line"))) == lines


def test_steps_of_axes_are_1_2_or_5_times_a_power_of_ten() -> None:
    for value in np.geomspace(1e-4, 1e4, 50):
        step = round_up(float(value))
        assert value <= step < 2.5001 * value
        assert f"{step:e}"[0] in "125"
        marks = ticks(0.0, float(value), 5)
        assert len(marks) <= 6
        assert f"{marks[1]:e}"[:3] in ("1.0", "2.0", "5.0")
