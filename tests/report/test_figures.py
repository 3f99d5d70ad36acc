from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from epistem.core import Interval, Quantity, SignalRange
from epistem.report.figures import (
    ACCENT,
    WARM,
    GroupValues,
    against_number,
    compare_groups,
    cumulative_sizes,
    round_edges,
    score_histogram,
    shrunk,
    signal_strips,
    size_histogram,
)

RNG = np.random.default_rng(0)
SIZES = {
    "none": np.empty(0),
    "one": np.array([6.1]),
    "equal": np.full(40, 6.1),
    "zero": np.zeros(3),
    "unknown": np.full(3, np.nan),
    "many": RNG.lognormal(2, 0.5, 20_000),
}


def words(svg: bytes) -> str:
    root = ET.fromstring(svg)
    return " ".join(text.strip() for text in root.itertext() if text.strip())


def groups(values: np.ndarray) -> dict[str, GroupValues]:
    return {"a": GroupValues([values, values + 1], Interval(5, 6, 7, 0.9)), "b": GroupValues([values])}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    "draw",
    [
        size_histogram,
        score_histogram,
        lambda v: compare_groups(groups(v), label="Diameter [nm]"),
        lambda v: cumulative_sizes(groups(v), label="Diameter [nm]"),
    ],
    ids=["sizes", "scores", "groups", "cumulative"],
)
def test_every_plot_of_any_sample_is_a_small_svg_that_loads_nothing(
    draw: Callable[[np.ndarray], bytes], name: str
) -> None:
    svg = draw(SIZES[name])
    assert ET.fromstring(svg).tag.endswith("svg")
    assert len(svg) < 80_000
    assert not any(
        k.endswith("href") and not v.startswith("#") for e in ET.fromstring(svg).iter() for k, v in e.items()
    )


def test_a_plot_says_its_unit_its_n_and_its_marks() -> None:
    said = words(size_histogram(np.array([1.0, 2.0, 6.0, np.nan]), unit="px", noun="cavities"))
    for part in ("Diameter [px]", "Number of cavities", "n = 3", "mean 3.00 px", "median 2.00 px"):
        assert part in said


def test_a_cumulative_curve_does_not_grow_with_its_sample() -> None:
    assert len(cumulative_sizes({"a": GroupValues([SIZES["many"]])}, label="x")) < 22_000  # all steps: 31 kB


def test_groups_stand_above_their_numbers_from_zero_on() -> None:
    sizes = [Quantity("d", "Mean diameter", 6.0, "nm", 5.0, 7.0, 0.9), Quantity("d", "Mean diameter", 8.0, "nm")]
    densities = [Quantity("n", "Number density", None, "µm⁻²"), Quantity("n", "Number density", 90.0, "µm⁻²")]
    said = words(against_number([300.0, 450.0], [sizes, densities], label="Temperature [°C]"))
    for part in ("Mean diameter", "[nm]", "Number density", "[µm⁻²]", "Temperature [°C]", "300", "450", " 0 "):
        assert part in said


def strip(value: float, label: str = "noise") -> SignalRange:
    """Reference images from 0 to 10, 5 to 95 % of them from 2 to 6."""
    return SignalRange(label, value, 0.0, 2.0, 3.0, 6.0, 10.0)


def marks(svg: bytes) -> dict[str, list[float]]:
    """Where marks stand from left to right, by their colour."""
    found: dict[str, list[float]] = {}
    for use in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}use"):
        colour = re.search(r"fill: (#[0-9a-f]{6})", use.get("style", ""))
        if colour and colour[1] in (ACCENT, WARM):
            found.setdefault(colour[1], []).append(float(use.get("x", "nan")))
    return found


def test_a_strip_names_each_signal_with_its_value() -> None:
    said = words(signal_strips([strip(3.0), strip(2.5, "stripes")]))
    for part in ("noise", "stripes", "3.00", "2.50", "5 %", "95 %"):
        assert part in said


def test_a_mark_in_a_strip_moves_with_its_value_and_stops_at_the_border() -> None:
    (at,) = marks(signal_strips([strip(value) for value in (2, 4, 6)])).values()
    assert at[2] - at[1] == pytest.approx(at[1] - at[0], abs=0.1)
    (out,) = marks(signal_strips([strip(value) for value in (100, 1e9)])).values()
    assert out[0] == out[1] > at[2]


def test_what_lies_outside_all_reference_images_has_another_mark() -> None:
    inside = marks(signal_strips([strip(value) for value in (0, 1, 9, 10)]))
    assert {colour: len(at) for colour, at in inside.items()} == {ACCENT: 4}
    outside = marks(signal_strips([strip(value) for value in (-0.1, 10.1)]))
    assert {colour: len(at) for colour, at in outside.items()} == {WARM: 2}


def test_strips_of_a_signal_that_never_varies_can_be_drawn() -> None:
    svg = signal_strips([SignalRange("border", 0.3, 0.0, 0.0, 0.0, 0.0, 0.0)])
    assert ET.fromstring(svg).tag.endswith("svg")
    assert WARM in marks(svg)
    assert svg == signal_strips([SignalRange("border", 0.3, 0.0, 0.0, 0.0, 0.0, 0.0)])


def test_nothing_to_draw_is_said() -> None:
    assert "nothing to draw" in words(size_histogram(np.empty(0)))


def test_the_same_sample_gives_the_same_bytes() -> None:
    assert size_histogram(SIZES["many"]) == size_histogram(SIZES["many"])


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    size_histogram(SIZES["many"])
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["$x^2_", "<script>", "a\x00b", "日本", "x" * 200, ""])
def test_a_group_of_any_name_can_be_drawn(name: str) -> None:
    drawn = {name: GroupValues([np.array([1.0, 2.0])]), "b": GroupValues([np.array([3.0])])}
    assert ET.fromstring(compare_groups(drawn, label="x")).tag.endswith("svg")
    assert ET.fromstring(cumulative_sizes(drawn, label="x")).tag.endswith("svg")


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_bins_hold_every_value_and_their_edges_are_round(values: list[float]) -> None:
    edges = round_edges(np.array(values))
    step = edges[1] - edges[0]
    slack = 1e-6 * max(values)
    assert edges[0] <= min(values) + slack
    assert max(values) <= edges[-1] + slack
    assert len(edges) <= 43
    mantissa = step / 10.0 ** np.floor(np.log10(step) + 1e-6)
    assert np.min(np.abs(mantissa - np.array([1, 2, 2.5, 5, 10]))) < 1e-3


def noise(side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (side, side // 2), np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_large_picture_gets_small_and_keeps_its_shape() -> None:
    small = shrunk(noise(1000), side_px=400, kilobytes=60)
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.format == "WEBP"
        assert picture.height <= 400
        assert picture.height == 2 * picture.width
    assert len(small) <= 60_000


def test_a_small_picture_is_left_as_it_is() -> None:
    image = noise(64)
    assert shrunk(image, side_px=400, kilobytes=60) is image
