from __future__ import annotations

from dataclasses import replace

import numpy as np

from epistem.core import Quantity
from epistem.report.document import Fact, Figure, Notice, Section, Table, Text
from epistem.report.render import cell_text
from epistem.report.samples import Comparison, GroupSummary, samples_section


def group(name: str, n_images: int = 2, value: float | None = 6.0) -> GroupSummary:
    low, high = (None, None) if value is None else (value - 1, value + 1)
    mean = Quantity("mean_diameter_nm", "Mean diameter", value, "nm", low, high, 0.9, "" if value else "none found")
    values = [] if value is None else [np.array([value - 1, value + 1])] * n_images
    return GroupSummary(name, n_images, 2 * n_images if value else 0, {mean.name: mean}, values)


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_each_group_has_its_counts_and_its_mean_with_interval() -> None:
    (table,) = tables(samples_section([group("a"), group("b", value=8.0)]))
    assert [row[:3] for row in table.rows] == [("a", 2, 4), ("b", 2, 4)]
    cell = table.rows[1][3]
    assert isinstance(cell, Fact)
    assert (cell.low, cell.value, cell.high, cell.coverage) == (7.0, 8.0, 9.0, 0.9)
    assert table.note.startswith(
        "In brackets: 90 % intervals, from how images differ; not in them: what the detector"
    )


def test_a_group_of_one_image_brings_a_warning_that_names_it() -> None:
    notices = [b for b in samples_section([group("a"), group("b", 1)]).blocks if isinstance(b, Notice)]
    assert [notice.text.startswith("One image only of b:") for notice in notices] == [True]
    assert not any(isinstance(b, Notice) for b in samples_section([group("a")]).blocks)


def test_a_group_without_objects_is_kept_as_unknown_with_its_reason() -> None:
    (table,) = tables(samples_section([group("a"), group("empty", value=None)]))
    cell = table.rows[1][3]
    assert isinstance(cell, Fact)
    assert (cell.value, cell.note) == (None, "none found")


def test_groups_without_any_object_have_no_plots() -> None:
    section = samples_section([group("a", value=None)])
    assert not any(isinstance(block, Figure) for block in section.blocks)


def test_more_groups_than_can_be_told_apart_have_no_cumulative_plot() -> None:
    few = samples_section([group(str(i)) for i in range(8)])
    many = samples_section([group(str(i)) for i in range(9)])
    assert [sum(isinstance(b, Figure) for b in s.blocks) for s in (few, many)] == [2, 1]


def test_a_comparison_shows_difference_p_and_how_it_was_tested() -> None:
    difference = Quantity("d", "Difference", 2.0, "nm", 0.5, 3.5, 0.9)
    note = "Permutation of images, 9,999 draws."
    tested = Comparison("a", "b", "Mean diameter", difference, 0.03, note)
    untested = Comparison("a", "c", "Mean diameter", Quantity("d", "Difference", None, "nm", note="no objects"), None)
    section = samples_section([group("a"), group("b")], [tested, untested])
    rows = tables(section)[1].rows
    assert rows[0][:3] == ("a", "b", "Mean diameter")
    assert tables(section)[1].note == "In brackets: 90 % intervals."
    assert rows[0][4] == 0.03
    assert rows[1][4] is None
    assert any(isinstance(block, Text) and block.text == note for block in section.blocks)


def at(number: float, value: float | None = 6.0, **shared: str | float) -> GroupSummary:
    return replace(group(f"{number:g} °C", value=value), at=number, shared=shared)


def test_groups_of_numbers_have_their_unit_in_the_header_and_are_not_rounded() -> None:
    (table,) = tables(samples_section([at(300.0), at(1273.25)], by="temperature_C"))
    first = table.columns[0]
    assert (first.label, first.unit) == ("Temperature", "°C")
    assert [cell_text(row[0], first) for row in table.rows] == ["300.00", "1273.25"]


def test_what_a_group_shares_is_shown_and_what_differs_is_said_to() -> None:
    (table,) = tables(samples_section([at(300.0, dose_dpa=5.0, grid="x"), at(450.0)], by="temperature_C"))
    dose, grid = table.columns[1:3]
    assert (dose.label, dose.unit, grid.label) == ("Dose", "dpa", "Grid")
    assert [cell_text(row[1], dose) for row in table.rows] == ["5", "–"]
    assert [row[2] for row in table.rows] == ["x", None]
    assert "not the same" in dose.missing


def test_only_groups_of_two_numbers_or_more_are_drawn_against_them() -> None:
    def titles(*groups: GroupSummary) -> list[str]:
        return [b.title for b in samples_section(groups, by="temperature_C").blocks if isinstance(b, Figure)]

    assert "Against temperature" in titles(at(300.0), at(450.0))
    assert "Against temperature" in titles(at(300.0), at(450.0, None))
    assert "Against temperature" not in titles(at(300.0))
    assert "Against temperature" not in titles(group("hot"), group("cold"))
    assert titles(at(300.0, None), at(450.0, None)) == []


def test_images_in_no_group_are_counted() -> None:
    blocks = samples_section([group("a")], by="dose_dpa", left_out=1).blocks
    assert [b.text for b in blocks if isinstance(b, Notice)] == [
        "1 image without a dose in samples.csv: in no group."
    ]


def test_the_header_of_p_agrees_with_the_correction() -> None:
    difference = Quantity("d", "Difference", 2.0, "nm")
    comparison = Comparison("a", "b", "Mean diameter", difference, 0.03, "corrected after Holm for 3 pairs")
    table = tables(samples_section([group("a"), group("b")], [comparison]))[1]
    assert "corrected after Holm" in table.columns[-1].note
    assert "not corrected" not in table.note
