from __future__ import annotations

import numpy as np

from epistem.core import Quantity
from epistem.report.document import Fact, Figure, Notice, Section, Table, Text
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
    assert table.note == "In brackets: 90 % intervals."


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
    assert rows[0][4] == 0.03
    assert rows[1][4] is None
    assert any(isinstance(block, Text) and block.text == note for block in section.blocks)
