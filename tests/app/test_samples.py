from __future__ import annotations

from pathlib import Path

import pytest

from epistem.app.samples import Samples, check_samples, read_samples
from epistem.core import RecordError, SettingsError


def written(folder: Path, text: str) -> Samples:
    path = folder / "samples.csv"
    path.write_text(text, "utf-8")
    return read_samples(path)


def test_a_row_gives_specimen_thickness_and_everything_else(tmp_path: Path) -> None:
    samples = written(
        tmp_path,
        "image,specimen,dose_dpa,thickness_nm,thickness_error_nm,remark\na.tif,Fe 300,5.0,80.5,8,\n",
    )
    row = samples.row_for("a.tif")
    assert row is not None
    assert (row.specimen, row.thickness_nm, row.thickness_error_nm) == ("Fe 300", 80.5, 8.0)
    assert row.extra == {"dose_dpa": 5.0}


def test_headers_forgive_case_blanks_brackets_and_a_spreadsheet_s_mark_and_semicolons(tmp_path: Path) -> None:
    samples = written(tmp_path, '\ufeffImage ; SPECIMEN;Thickness (nm);Remark\r\n a.tif ; A ;80;"x; y"\r\n\r\n')
    row = samples.row_for("a.tif")
    assert row is not None
    assert (row.specimen, row.thickness_nm, row.extra["Remark"]) == ("A", 80.0, "x; y")


def test_empty_cells_and_missing_thickness_are_unknown(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen,thickness_nm\na,A,\nb,B\n")
    assert [row.thickness_nm for row in samples.rows] == [None, None]


@pytest.mark.parametrize(
    ("row", "image", "fits"),
    [
        ("a.tif", "a.tif", True),
        ("a", "a.tif", True),
        ("a.tif", "deep/er/a.tif", True),
        ("er/a.tif", "deep/er/a.tif", True),
        ("er\\a", "deep/er/a.tif", True),
        ("a.tif", "a.mrc", False),
        ("other/a.tif", "deep/er/a.tif", False),
        ("deep/er/a.tif", "a.tif", False),
        ("ba.tif", "a.tif", False),
        ("x1.5", "x1.5.tif", True),
    ],
)
def test_an_image_is_named_by_file_stem_or_path(tmp_path: Path, row: str, image: str, fits: bool) -> None:
    assert (written(tmp_path, f"image,specimen\n{row},A\n").row_for(image) is not None) is fits


def test_the_longest_name_that_fits_wins(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen\na.tif,file\nx/a,path\n")
    rows = [samples.row_for(name) for name in ("x/a.tif", "y/a.tif")]
    assert [row.specimen for row in rows if row] == ["path", "file"]


@pytest.mark.parametrize(
    ("first", "second"), [("a.tif", "a"), ("a", "a.tif"), ("x/a", "x\\a.TIF"), ("a", "./a"), ("x1.5.tif", "x1.5")]
)
def test_one_image_written_in_two_ways_is_refused(tmp_path: Path, first: str, second: str) -> None:
    with pytest.raises(RecordError, match=r"line 3: .* is there already in line 2"):
        written(tmp_path, f"image,specimen\n{first},A\n{second},B\n")


@pytest.mark.parametrize(("first", "second"), [("a.tif", "a.mrc"), ("x1", "x1.5"), ("x/a", "y/a"), ("a", "b")])
def test_two_images_of_like_names_are_two(tmp_path: Path, first: str, second: str) -> None:
    assert len(written(tmp_path, f"image,specimen\n{first},A\n{second},B\n").rows) == 2


def test_a_column_is_numbers_only_if_each_of_its_cells_is_one(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen,T_C,grid,big\na,A,5,007,1e999\nb,A,5.0,12,\nc,A,,1_0,\n")
    assert [dict(row.extra) for row in samples.rows] == [
        {"T_C": 5.0, "grid": "007", "big": "1e999"},
        {"T_C": 5.0, "grid": "12"},
        {"grid": "1_0"},
    ]


def test_thickness_and_further_columns_can_make_groups(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen,thickness_nm,Dose [dpa]\na,A,80,5\n")
    assert samples.columns == ("specimen", "thickness_nm", "Dose_dpa")
    assert check_samples(samples, "dose (DPA)", tmp_path / "out") == "Dose_dpa"


def test_a_column_that_is_not_there_is_refused_before_the_work_with_those_that_are(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen,dose_dpa\na,A,5\n")
    with pytest.raises(SettingsError, match=r"no column 'temperature' .* samples.csv has specimen, dose_dpa"):
        check_samples(samples, "temperature", tmp_path / "out")
    with pytest.raises(SettingsError, match="needs --samples"):
        check_samples(None, "dose_dpa", tmp_path / "out")
    assert check_samples(None, "specimen", tmp_path / "out") == "specimen"


def test_results_do_not_overwrite_the_table_that_was_given(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="would be overwritten"):
        check_samples(written(tmp_path, "image,specimen\na,A\n"), "specimen", tmp_path)


def test_images_without_a_row_and_rows_without_an_image_are_named(tmp_path: Path) -> None:
    samples = written(tmp_path, "image,specimen\na.tif,A\ngone.tif,A\n")
    lonely, unused = samples.warnings(["a.tif", "new.tif"])
    assert "new.tif" in lonely
    assert "a.tif" not in lonely
    assert "gone.tif (line 3)" in unused
    assert samples.warnings(["a.tif", "gone.tif"]) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: wanted a column 'image', there is nothing"),
        ("image,thickness_nm\na,5\n", "line 1: wanted a column 'specimen', there is image, thickness_nm"),
        ("image,specimen,Dose (dpa),dose_dpa\n", "line 1: column 'dose_dpa' is there twice"),
        ("image,specimen\na.tif,A\nb.tif,A\na.tif,B\n", "line 4: a.tif is there already in line 2"),
        ("image,specimen,thickness_nm\na,A,thin\n", "line 2: thickness_nm is a positive number .* not 'thin'"),
        ('image;specimen;thickness_nm\na;A;"80,5"\n', "line 2: thickness_nm .* not '80,5'"),
        ("image,specimen,thickness_nm\na,A,nan\n", "line 2: thickness_nm"),
        ("image,specimen,thickness_nm\na,A,-3\n", "line 2: thickness_nm"),
        ("image,specimen,thickness_nm\na,A,0\n", "line 2: wanted a thickness above 0"),
        ("image,specimen,thickness_error_nm\na,A,3\n", "line 2: wanted a thickness above 0"),
        ("image,specimen\na,\n", "line 2: the specimen is empty"),
        ("image,specimen\na,A,80,5\n", "line 2: 4 cells under 2 columns"),
        ('image,specimen\n"a,A\n', "not a CSV table"),
    ],
)
def test_a_bad_table_is_refused_in_one_line_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecordError, match=words) as caught:
        written(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="wanted a CSV file"):
        read_samples(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(RecordError, match="wanted a CSV file"):
        read_samples(tmp_path / "picture.csv")
