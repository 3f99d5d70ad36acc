from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.core import (
    Calibration,
    Context,
    Instances,
    Interval,
    Micrograph,
    Quantity,
    Reliability,
    SignalRange,
)
from epistem.report.document import Block, Facts, Figure, Links, Notice, Report, Section, Table, Text
from epistem.report.render import render_html
from epistem.report.sections import image_section, main_names, sizes_of, without_pixel_twins

SCALE = Calibration(0.5, 0.5, "metadata", 0.02, "ImageList.2")


def png(side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint8)).save(out, "PNG")
    return out.getvalue()


def image(calibration: Calibration | None = SCALE, **rest: Any) -> Micrograph:
    return Micrograph(np.zeros((20, 30), np.uint16), calibration, name="area 1.dm3", **rest)


def objects(sizes: Sequence[float], **columns: Any) -> Instances:
    boxes = [[i % 18, i % 28, i % 18 + 2, i % 28 + 2] for i in range(len(sizes))]
    found = Instances.from_boxes((20, 30), boxes, np.linspace(0.2, 0.9, len(sizes)), classes=("cavity",))
    return found.with_columns(equivalent_diameter_px=np.asarray(sizes, float), **columns)


def mean(value: float | None = 6.12, unit: str = "nm", note: str = "") -> dict[str, Quantity]:
    low, high = (None, None) if value is None else (value - 0.3, value + 0.4)
    name = f"mean_diameter_{unit}"
    return {name: Quantity(name, "Mean diameter", value, unit, low, high, 0.9, note)}


def blocks(section: Section, kind: type[Block]) -> list[Any]:  # type: ignore[valid-type]
    return [block for block in section.blocks if isinstance(block, kind)]


def facts(section: Section) -> dict[str, Any]:
    return {fact.name or fact.label: fact for block in blocks(section, Facts) for fact in block.facts}


def headline(section: Section) -> str:
    first = section.blocks[0]
    assert isinstance(first, Text)
    return first.text


def test_the_headline_says_how_many_how_large_how_sure_and_what_to_do() -> None:
    trust = Reliability(f1=Interval(0.70, 0.81, 0.88, 0.9), verdict="review", reasons=("Sharpness is low.",))
    section = image_section(image(), objects([5, 7]), mean(), png(), reliability=trust)
    assert headline(section) == (
        "2 cavities, mean 6.1 nm (5.8–6.5, 90 %). Expected F1 0.81 (0.70–0.88, 90 %). Review: Sharpness is low."
    )


def test_nothing_found_is_a_whole_section_without_plots_or_table() -> None:
    empty = Instances.empty((20, 30), ("cavity",))
    section = image_section(image(), empty, mean(None, note="nothing was found"), png())
    assert headline(section) == "No cavities."
    assert len(blocks(section, Figure)) == 1  # the overlay: a person wants to see that nothing is there
    assert blocks(section, Table) == []
    assert facts(section)["count"].value == 0
    assert "no cavities found" in render_html(Report(title="t", sections=(section,)))


def test_without_pixel_size_the_page_warns_and_speaks_in_pixels() -> None:
    section = image_section(image(None), objects([5, 7]), mean(6.0, "px"), png())
    (notice,) = blocks(section, Notice)
    assert notice.level == "warning"
    assert "--pixel-size" in notice.text
    assert "px" in headline(section)
    assert facts(section)["pixel_size"].value is None
    assert b"Diameter [px]" in blocks(section, Figure)[1].image


def test_the_pixel_size_is_shown_with_its_source_and_error() -> None:
    known = facts(image_section(image(), objects([5]), mean(), png()))
    assert known["pixel_size"].value == "0.5 nm, ± 2 % (one standard deviation)"
    assert known["pixel_size"].note == "ImageList.2"
    assert known["pixel_size_source"].value == "metadata"
    assert known["Field of view"].value == "10.0 × 15.0 nm"


def test_pixels_that_are_not_square_are_shown_row_by_column() -> None:
    known = facts(image_section(image(Calibration(0.5, 0.25, "user")), objects([5]), mean(), png()))
    assert known["pixel_size"].value == "0.5 × 0.25 nm (row × column)"


def test_warnings_and_what_was_masked_stand_before_the_numbers() -> None:
    valid = np.ones((20, 30), bool)
    valid[-5:] = False
    section = image_section(image(valid=valid, warnings=("Two scales disagree.",)), objects([5]), mean(), png())
    kinds = [block.kind for block in section.blocks]
    assert kinds[:4] == ["text", "notice", "notice", "facts"]
    assert [notice.level for notice in blocks(section, Notice)] == ["warning", "info"]
    assert "25 % of the pixels" in blocks(section, Notice)[1].text


def test_cut_objects_are_not_in_the_histogram_and_the_caption_says_so() -> None:
    found = objects(
        [4, 5, 6, np.nan], touches_edge=[True, False, False, False], touches_invalid=[False, True, False, False]
    )
    assert sizes_of(found)[0].tolist() == [6.0]
    section = image_section(image(), found, mean(), png())
    assert blocks(section, Figure)[1].caption.startswith("Area-equivalent diameters of 1 cavity; 3 cut by")


def test_sizes_in_nm_win_over_pixels_where_they_are_known() -> None:
    assert sizes_of(objects([4], equivalent_diameter_nm=[2.0])) == (np.array([2.0]), "nm")
    assert sizes_of(objects([4], equivalent_diameter_nm=[np.nan])) == (np.array([4.0]), "px")


def test_the_table_has_the_largest_objects_with_their_numbers_in_the_label_image() -> None:
    found = objects(np.arange(300.0))
    section = image_section(image(), found, mean(), png(), exports=[("Every object", "objects.csv")])
    (table,) = blocks(section, Table)
    assert len(table.rows) == 200
    assert [row[0] for row in table.rows[:3]] == [300, 299, 298]
    assert table.note == "The 200 largest of 300 cavities; all of them, with every column, are in the CSV file"
    (links,) = blocks(section, Links)
    assert links.links[0].href == "objects.csv"


def test_objects_without_masks_or_scores_are_still_listed() -> None:
    found = Instances.from_boxes((20, 30), [[0, 0, 2, 2]])
    section = image_section(image(), found, {}, png())
    (table,) = blocks(section, Table)
    assert table.rows == ((1, 1.0, 1.0),)
    assert len(blocks(section, Figure)) == 1


def test_an_unmeasurable_object_is_unknown_in_its_row_not_zero() -> None:
    section = image_section(image(), objects([5, 4], circularity=[np.nan, 0.9]), mean(), png())
    (table,) = blocks(section, Table)
    at = [column.label for column in table.columns].index("Circularity")
    assert [row[at] for row in table.rows] == [None, 0.9]


def test_several_classes_are_named_in_the_table() -> None:
    found = Instances(
        (9, 9), np.array([[0, 0, 2, 2], [2, 2, 4, 4]]), np.ones(2), np.array([1, 0]), ("loop", "cavity")
    )
    section = image_section(Micrograph(np.zeros((9, 9))), found, {}, png())
    assert headline(section) == "2 objects."
    (table,) = blocks(section, Table)
    assert [row[3] for row in table.rows] == ["cavity", "loop"]


def test_no_word_on_trust_is_said_to_be_none() -> None:
    for nothing in (None, Reliability()):
        section = image_section(image(), objects([5]), mean(), png(), reliability=nothing)
        (text,) = [block for block in blocks(section, Text) if block.title == "How far to trust this"]
        assert "is not known" in text.text


def test_a_forecast_is_shown_with_interval_and_names_what_it_holds_for() -> None:
    trust = Reliability(f1=Interval(0.7, 0.8, 0.9, 0.9), typicality=0.03, reference="simulated cavities")
    section = image_section(image(), objects([5]), mean(), png(), reliability=trust)
    known = facts(section)
    assert (known["f1"].low, known["f1"].value, known["f1"].high, known["f1"].coverage) == (0.7, 0.8, 0.9, 0.9)
    assert known["typicality"].value == "3 %"
    assert any("hold for simulated cavities" in block.text for block in blocks(section, Text))


def test_signals_are_shown_among_those_of_the_reference_where_there_are_some() -> None:
    shown = (SignalRange("noise", 0.4, 0.1, 0.2, 0.3, 0.5, 0.9), SignalRange("stripes", 0.9, 0.0, 0.1, 0.2, 0.3, 0.4))
    sections = [
        image_section(image(), objects([5]), mean(), png(), reliability=Reliability(shown=some))
        for some in (shown, ())
    ]
    (figure,) = [one for one in blocks(sections[0], Figure) if one.title == "Is this image like the reference?"]
    assert figure.alt == "2 signals of this image among those of the reference images"
    assert b"noise" in figure.image
    assert b"stripes" in figure.image
    assert "outside all of them" in figure.caption
    assert len(blocks(sections[1], Figure)) == len(blocks(sections[0], Figure)) - 1


def test_an_unknown_number_is_kept_with_its_reason() -> None:
    why = {"swelling_percent": Quantity("swelling_percent", "Swelling", None, "%", note="no foil thickness")}
    known = facts(image_section(image(), objects([5]), mean() | why, png()))
    assert known["swelling_percent"].value is None
    assert known["swelling_percent"].note == "no foil thickness"


def test_what_is_known_of_the_microscope_is_shown_with_units() -> None:
    context = Context(instrument="Tecnai", beam_keV=200.0, extra={"Operator": "A. B."})
    known = facts(image_section(image(context=context), objects([5]), mean(), png()))
    assert (known["Beam energy"].value, known["Beam energy"].unit) == (200.0, "keV")
    assert known["Operator"].value == "A. B."


def test_pixels_are_not_told_twice() -> None:
    assert without_pixel_twins(["area_px", "area_nm2", "d_px", "d_nm", "e_px"]) == ["area_nm2", "d_nm", "e_px"]


def test_the_first_numbers_are_the_best_that_are_known() -> None:
    assert main_names(["swelling_percent", "mean_diameter_px", "count"]) == [
        "count",
        "mean_diameter_px",
        "swelling_percent",
    ]
    assert main_names(["mean_diameter_px", "mean_diameter_nm"]) == ["mean_diameter_nm"]
    assert main_names(list("abcdefgh")) == list("abcdef")


@pytest.mark.parametrize("name", ["area.csv", "area.zip"])
def test_the_csv_is_only_promised_where_there_is_one(name: str) -> None:
    section = image_section(image(), objects([5]), mean(), png(), exports=[("x", name)])
    assert ("CSV" in blocks(section, Table)[0].note) is name.endswith(".csv")
