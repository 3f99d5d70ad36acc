from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from epistem.core import Calibration, Context, Instances, Micrograph, Provenance, Quantity, RecordError
from epistem.report.compose import Brief, Entry, Grouping, brief_of, folder_report, single_report
from epistem.report.document import Facts, Figure, Link, Links, Notice, Report, Table, Text
from epistem.report.methods_text import NOT_IN_INTERVALS
from epistem.report.render import render_html

BY = Provenance("epistem.detect.LogBlobs", "0.1.0", {"detector": {"min_snr": 6.0}}, ("abc",), seed=3)
VERSIONS = {"epistem": "0.1.0", "numpy": "2.4.0"}
RNG = np.random.default_rng(0)


def noisy_png(side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (side, side), np.uint8)).save(out, "PNG")
    return out.getvalue()


def single(name: str = "a.dm3", n: int = 2, *, scaled: bool = True, side: int = 8) -> Report:
    image = Micrograph(np.zeros((9, 9)), Calibration(1, 1, "metadata") if scaled else None, name=name)
    found = Instances.from_boxes((9, 9), [[i % 7, 0, i % 7 + 2, 2] for i in range(n)], classes=("pore",))
    size = Quantity(
        "mean_diameter_nm", "Mean diameter", 2.0 if scaled else None, "nm", note="" if scaled else "no scale"
    )
    exports = [("Every object", "objects.csv")]
    return single_report(
        image, found, {size.name: size}, noisy_png(side), provenance=BY, versions=VERSIONS, exports=exports
    )


def folder(*entries: Entry, errors: tuple[tuple[str, str], ...] = ()) -> Report:
    return folder_report(entries, errors=errors, provenance=BY, versions=VERSIONS, title="series 5")


def overview(report: Report) -> Table:
    assert report.sections[0].id == "overview"
    (table,) = [block for block in report.sections[0].blocks if isinstance(block, Table)]
    return table


def test_the_report_of_one_image_has_results_methods_and_how_to_make_it_again() -> None:
    report = single()
    assert [section.id for section in report.sections] == ["image", "methods", "provenance"]
    assert report.provenance["seed"] == 3
    assert report.provenance["versions"] == VERSIONS
    assert Report.from_json(report.to_json()) == report


def test_a_folder_has_a_row_and_a_section_for_each_image_even_of_one_name() -> None:
    report = folder(Entry(single(n=2), "1/report.html"), Entry(single(n=3), "2/report.html"))
    assert [s.id for s in report.sections] == ["overview", "image-1", "image-2", "methods", "provenance"]
    links = [row[1] for row in overview(report).rows]
    assert [link.href for link in links if isinstance(link, Link)] == ["#image-1", "#image-2"]
    assert report.subtitle == "5 pores in 2 images."
    assert Report.from_json(report.to_json()) == report


def test_more_than_sixty_images_are_linked_and_not_shown_whole() -> None:
    def many(n: int) -> Iterator[Entry]:
        one = single()
        return (Entry(one, f"images/a {i}/report.html") for i in range(n))

    whole = folder_report(many(60), provenance=BY, versions=VERSIONS)
    short = folder_report(many(61), provenance=BY, versions=VERSIONS)
    assert len(whole.sections) == 60 + 3
    assert [section.id for section in short.sections] == ["overview", "methods", "provenance"]
    rows = overview(short).rows
    assert len(rows) == 61
    assert rows[60][1] == Link(text="a.dm3", href="images/a%2060/report.html")
    assert all(isinstance(row[0], Figure) for row in rows)


def test_a_folder_carries_light_pictures_and_short_tables() -> None:
    entry = Entry(single(n=100, side=900), "1/report.html")
    assert len(render_html(folder(entry))) < len(render_html(entry.report))
    section = folder(entry).sections[1]
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert len(table.rows) == 25
    assert "The first 25" in table.note
    for figure in (block for block in section.blocks if isinstance(block, Figure)):
        assert len(figure.image) <= 150_000


def test_links_of_an_image_lead_into_its_folder() -> None:
    section = folder(Entry(single(), "images/a b/report.html")).sections[1]
    hrefs = [link.href for block in section.blocks if isinstance(block, Links) for link in block.links]
    assert hrefs == ["images/a%20b/objects.csv", "images/a%20b/report.html"]


def test_links_stay_as_they_are_where_all_lies_in_one_folder() -> None:
    section = folder(Entry(single(), "report.html")).sections[1]
    hrefs = [link.href for block in section.blocks if isinstance(block, Links) for link in block.links]
    assert hrefs == ["objects.csv", "report.html"]


def test_an_image_without_scale_has_its_warning_and_reason_in_the_overview() -> None:
    report = folder(Entry(single(), "1/r.html"), Entry(single(scaled=False), "2/r.html"))
    table = overview(report)
    labels = [column.label for column in table.columns]
    warned = [row[labels.index("Warnings")] for row in table.rows]
    assert warned[0] == ""
    assert warned[1].value == 1  # type: ignore[union-attr]
    size = table.rows[1][labels.index("Mean diameter")]
    assert (size.value, size.note) == (None, "no scale")  # type: ignore[union-attr]
    assert any(
        isinstance(block, Notice) and "1 image with warnings" in block.text for block in report.sections[0].blocks
    )


def test_failed_files_are_counted_and_named_with_their_reason() -> None:
    report = folder(Entry(single(), "1/r.html"), errors=(("b.tif", "empty file"), ("c.tif", "text")))
    assert report.subtitle == "2 pores in 1 image. 2 files could not be analysed."
    (failures,) = [section for section in report.sections if section.id == "failures"]
    (table,) = failures.blocks
    assert isinstance(table, Table)
    assert table.rows == (("b.tif", "empty file"), ("c.tif", "text"))


def test_a_folder_in_which_everything_failed_is_still_a_report() -> None:
    report = folder(errors=(("b.tif", "empty file"),))
    assert report.subtitle == "No objects in no images. 1 file could not be analysed."
    assert "empty file" in render_html(report)


def test_the_methods_of_a_folder_count_the_sources_of_the_pixel_size() -> None:
    report = folder(Entry(single(), "1/r.html"), Entry(single(scaled=False), "2/r.html"))
    (text,) = report.sections[-2].blocks
    assert isinstance(text, Text)
    assert "Pores were detected in 2 images" in text.text
    assert "came from the files' metadata; 1 without pixel size" in text.text


def test_every_setting_can_be_read_off_the_page() -> None:
    facts, settings = single().sections[-1].blocks
    assert isinstance(facts, Facts)
    assert {fact.label: fact.value for fact in facts.facts}["Seed"] == 3
    assert isinstance(settings, Table)
    assert settings.rows == (("detector.min_snr", "6.0"),)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.tif", "a&b.tif"])
def test_any_file_name_survives_a_whole_folder(name: str) -> None:
    html = render_html(folder(Entry(single(name), "1/r.html"), errors=((name, "why"),)))
    assert "<script>alert" not in html


def foiled(*, set_nm: float | None = None, file_nm: float | None = None) -> Report:
    image = Micrograph(np.zeros((9, 9)), context=Context(thickness_nm=file_nm, thickness_error_nm=3.0), name="a")
    analysis = {} if set_nm is None else {"thickness_nm": set_nm}
    by = replace(BY, settings={"detector": {}, "analysis": analysis})
    return single_report(image, Instances.empty((9, 9)), {}, noisy_png(8), provenance=by, versions=VERSIONS)


def methods(report: Report) -> str:
    (text,) = next(section for section in report.sections if section.id == "methods").blocks
    assert isinstance(text, Text)
    return text.text


def test_the_thickness_in_the_settings_stands_before_the_one_in_the_file() -> None:
    assert "Foil thickness was 80 nm, its error unknown." in methods(foiled(set_nm=80, file_nm=50))
    assert "Foil thickness was 50 nm (one standard error: 3 nm)." in methods(foiled(file_nm=50))
    assert "Foil" not in methods(single())


def test_a_folder_tells_the_foils_of_its_images_and_the_table_they_are_from() -> None:
    entries = [
        Entry(foiled(set_nm=80), "1/r.html"),
        Entry(foiled(set_nm=120), "2/r.html"),
        Entry(single(), "3/r.html"),
    ]
    report = folder_report(entries, Grouping(thickness_file="s.csv"), provenance=BY, versions=VERSIONS)
    said = "80 to 120 nm, its error unknown, given for each image in s.csv; it was unknown for 1 of 3 images."
    assert said in methods(report)


def test_beside_the_numbers_stands_what_their_intervals_do_not_hold() -> None:
    page = render_html(single())
    assert page.count(NOT_IN_INTERVALS) >= 1
    assert page.index("How far to trust this") < page.index(NOT_IN_INTERVALS)


def test_an_image_is_in_the_overview_by_its_short_report_as_by_its_long_one() -> None:
    long = [Entry(single(f"{n}.dm3", n, scaled=n % 2 == 0), f"images/{n}/report.html") for n in range(61)]
    short = [Brief.from_json(brief_of(one._replace(path="")).to_json())._replace(path=one.path) for one in long]
    by_long, by_short = (folder_report(some, provenance=BY, versions=VERSIONS) for some in (long, short))
    assert by_short.subtitle == by_long.subtitle
    assert [row[1:] for row in overview(by_short).rows] == [row[1:] for row in overview(by_long).rows]
    assert by_short.sections[1:] == by_long.sections[1:]
    with pytest.raises(RecordError, match="short report"):
        Brief.from_json("{}")
