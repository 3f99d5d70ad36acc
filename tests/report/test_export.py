from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import roifile
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from epistem.core import Calibration, Instances, Micrograph, RecordError, ShapeError
from epistem.core.files import write_text
from epistem.core.polygon import tight
from epistem.detect.adapters import load_instances
from epistem.detect.adapters.tables import table_images
from epistem.detect.population import summarize
from epistem.report import export
from epistem.report.overlay import display_size, overlay_png, scale_bar, score_colour, shrink, write_overlay

SHAPE = (24, 40)
ROUND_TRIPS = {
    "a.json": lambda path, found: export.write_coco(path, [("a.tif", found)]),
    "a.geojson": export.write_geojson,
    "a.zip": export.write_imagej_rois,
    "a.txt": export.write_yolo,
}


def instances(*masks: np.ndarray, **rest: object) -> Instances:
    placed = [mask for mask in map(tight, masks) if mask is not None]
    boxes = [(m.rows.start, m.cols.start, m.rows.stop, m.cols.stop) for m in placed]
    return Instances.from_boxes(SHAPE, boxes, crops=tuple(mask.crop for mask in placed), **rest)


def disc(row: float, col: float, radius: float) -> np.ndarray:
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows - row, cols - col) < radius


RING = disc(8, 10, 6) & ~disc(8, 10, 3)
PIECES = disc(15, 25, 3) | disc(20, 33, 2)
THREE = instances(RING, disc(8, 10, 2), PIECES, score=[0.25, 1.0, np.nan])
SMALL_NM = Calibration(0.5, 0.5, "simulation")


def coco_loaded(path: Path) -> COCO:
    loaded = COCO()  # given a path it leaves the file open, which is an error here
    loaded.dataset = json.loads(path.read_text())
    loaded.createIndex()
    return loaded


# masks out and in


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_masks_with_holes_pieces_and_overlap_come_back_pixel_for_pixel(tmp_path, name):
    ROUND_TRIPS[name](tmp_path / name, THREE)
    again = load_instances(tmp_path / name, shape=SHAPE)
    np.testing.assert_array_equal(again.boxes, THREE.boxes)
    for ours, theirs in zip(THREE.crops, again.crops, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["a.json", "a.geojson", "a.txt"])
def test_scores_come_back_and_an_unknown_one_stays_unknown(tmp_path, name):
    ROUND_TRIPS[name](tmp_path / name, THREE)
    np.testing.assert_array_equal(load_instances(tmp_path / name, shape=SHAPE).score, THREE.score)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_boxes_without_masks_come_back(tmp_path, name):
    found = Instances.from_boxes(SHAPE, [[1, 2, 5, 9], [0, 0, 24, 40]])
    ROUND_TRIPS[name](tmp_path / name, found)
    np.testing.assert_allclose(load_instances(tmp_path / name, shape=SHAPE).boxes, found.boxes, atol=1e-4)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_nothing_found_is_written_and_read_as_nothing(tmp_path, name):
    ROUND_TRIPS[name](tmp_path / name, Instances.empty(SHAPE))
    assert len(load_instances(tmp_path / name, shape=SHAPE)) == 0


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_the_same_objects_give_the_same_bytes(tmp_path, name):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        ROUND_TRIPS[name](tmp_path / folder / name, THREE)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


def test_labels_come_back_with_the_smaller_object_on_top(tmp_path):
    export.write_labels(tmp_path / "a.tif", THREE)
    again = load_instances(tmp_path / "a.tif", shape=SHAPE)
    np.testing.assert_array_equal(again.to_labels(), THREE.to_labels())
    assert tifffile.imread(tmp_path / "a.tif").dtype == np.uint16


def test_imagej_reads_the_pixel_size_of_a_label_image(tmp_path):
    export.write_labels(tmp_path / "a.tif", THREE, calibration=Calibration(0.25, 0.5, "user"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        assert file.imagej_metadata["unit"] == "nm"
        assert [np.divide(*tags[name].value) for name in ("XResolution", "YResolution")] == [2.0, 4.0]


def test_more_objects_than_16_bits_count_get_32(tmp_path):
    side = 257
    rows, cols = (grid.ravel() for grid in np.mgrid[:side, :side])
    boxes = np.stack([rows, cols, rows + 1, cols + 1], axis=1)
    found = Instances.from_boxes((side, side), boxes, crops=tuple(np.ones((len(boxes), 1, 1), bool)))
    export.write_labels(tmp_path / "a.tif", found)
    assert tifffile.imread(tmp_path / "a.tif").max() == side * side


# Its Cython does not know the copy keyword of NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_loads_several_images_and_agrees_on_masks_and_areas(tmp_path):
    other = Instances.from_boxes(SHAPE, [[1, 2, 5, 9]], classes=("loop",))
    export.write_coco(tmp_path / "a.json", [("a.tif", THREE), ("b.tif", other), ("c.tif", Instances.empty(SHAPE))])
    loaded = coco_loaded(tmp_path / "a.json")
    assert [image["file_name"] for image in loaded.loadImgs(loaded.getImgIds())] == ["a.tif", "b.tif", "c.tif"]
    first = loaded.loadAnns(loaded.getAnnIds(imgIds=[1]))
    np.testing.assert_array_equal(loaded.annToMask(first[0]), RING)
    assert [entry["area"] for entry in first] == [RING.sum(), disc(8, 10, 2).sum(), PIECES.sum()]
    assert first[0]["bbox"] == [5, 3, 11, 11]
    assert loaded.loadCats(loaded.loadAnns(loaded.getAnnIds(imgIds=[2]))[0]["category_id"])[0]["name"] == "loop"


def test_geojson_is_closed_rings_in_x_y_with_the_columns_as_measurements(tmp_path):
    square = np.zeros(SHAPE, bool)
    square[2:4, 5:9] = True
    found = instances(square).with_columns(area_nm2=[3.5], feret_nm=[np.nan])
    export.write_geojson(tmp_path / "a.geojson", found)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["geometry"] == {"type": "Polygon", "coordinates": [[[5, 2], [9, 2], [9, 4], [5, 4], [5, 2]]]}
    assert feature["properties"]["measurements"] == {"area_nm2": 3.5}
    assert feature["properties"]["classification"] == {"name": "object"}


def test_imagej_rois_are_traced_outlines_named_by_number_with_exact_bounds(tmp_path):
    export.write_imagej_rois(tmp_path / "a.zip", THREE)
    first, *_ = rois = roifile.roiread(tmp_path / "a.zip")
    assert [roi.name for roi in rois] == ["0001", "0002", "0003"]
    assert first.roitype is roifile.ROI_TYPE.TRACED
    assert [first.top, first.left, first.bottom, first.right] == THREE.boxes[0].tolist()


def test_a_mask_without_a_pixel_has_no_outline(tmp_path):
    found = Instances.from_boxes(SHAPE, [[1, 1, 3, 3]], crops=(np.zeros((2, 2), bool),))
    with pytest.raises(RecordError, match="object 0"):
        export.write_geojson(tmp_path / "a.geojson", found)
    assert list(tmp_path.iterdir()) == []


# tables


def test_a_csv_has_words_and_units_in_its_header_and_empty_cells_for_unknown(tmp_path):
    found = THREE.with_columns(equivalent_diameter_nm=[1.5, np.nan, 2.0], edge=[True, False, False])
    export.write_table(tmp_path / "a.csv", found)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert list(rows[0]) == [
        *("object", "label", "score", "row0 [px]", "col0 [px]", "row1 [px]", "col1 [px]"),
        *("equivalent diameter [nm]", "edge"),
    ]
    assert [row["equivalent diameter [nm]"] for row in rows] == ["1.5", "", "2"]
    assert [row["object"] for row in rows] == ["1", "2", "3"]


def test_parquet_fields_carry_their_unit(tmp_path):
    export.write_table(tmp_path / "a.parquet", {"density_per_um2": [1.0, np.nan], "name": ["a", None]})
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.schema.field("density_per_um2").metadata == {b"unit": b"um^-2", b"description": b"density"}
    assert table.to_pylist() == [{"density_per_um2": 1.0, "name": "a"}, {"density_per_um2": None, "name": None}]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_table_reads_back_as_boxes(tmp_path, name):
    export.write_table(tmp_path / name, THREE)
    again = load_instances(tmp_path / name, shape=SHAPE)
    np.testing.assert_array_equal(again.boxes, THREE.boxes)
    np.testing.assert_array_equal(again.score, THREE.score)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_an_empty_table_keeps_its_header(tmp_path, name):
    export.write_table(tmp_path / name, Instances.empty(SHAPE))
    assert len(load_instances(tmp_path / name, shape=SHAPE)) == 0


def test_rows_with_different_keys_make_one_table(tmp_path):
    export.write_table(tmp_path / "a.parquet", [{"a": 1}, {"b_nm": 2.5}])
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.to_pylist() == [{"a": 1, "b_nm": None}, {"a": None, "b_nm": 2.5}]


def test_what_no_table_can_hold_is_refused(tmp_path):
    with pytest.raises(ShapeError, match="'a'"):
        export.write_table(tmp_path / "a.csv", {"a": np.zeros((2, 2))})
    with pytest.raises(RecordError, match="one type"):
        export.write_table(tmp_path / "a.csv", {"a": ["x", 1]})
    with pytest.raises(RecordError, match=r"\.parquet or \.csv"):
        export.write_table(tmp_path / "a.xlsx", {"a": [1]})


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("area_nm2", ("area", "nm^2")),
        ("density_per_um2", ("density", "um^-2")),
        ("feret_max_px", ("feret max", "px")),
        ("circularity", ("circularity", "")),
        ("orientation_rad", ("orientation", "rad")),
        ("row_nm", ("row", "nm")),
        ("swelling_percent_low", ("swelling low", "%")),
    ],
)
def test_units_are_told_from_a_columns_ending(column, words):
    assert export.name_and_unit(column) == words


ASCII = str.maketrans({"µ": "u", "⁻": "^-", **{sup: f"^{i}" for i, sup in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}})


def ascii_unit(unit: str) -> str:
    """`(10⁶ px)⁻¹` as (10^6 px)^-1."""
    return unit.translate(ASCII).replace("^-^", "^-")


def test_the_unit_in_a_header_is_that_of_the_quantity_and_of_its_ends(tmp_path):
    micrograph = Micrograph(np.zeros(SHAPE), SMALL_NM)
    quantities = summarize(THREE, micrograph, thickness_nm=50)
    row = {name + end: 1.0 for name in quantities for end in ("", "_low", "_high")}
    export.write_table(tmp_path / "a.csv", [row])
    (header, _) = csv.reader((tmp_path / "a.csv").read_text("utf-8").splitlines())
    units = [cell.partition(" [")[2].removesuffix("]") for cell in header]
    assert units == [ascii_unit(q.unit) for q in quantities.values() for _ in range(3)]
    assert {"(10^6 px)^-1", "(10^4 nm^2)^-1", "um^-2", "m^-3"} <= set(units)
    assert len(set(header)) == len(header)
    assert {"mean diameter low [nm]", "count high"} <= set(header)


FORMULAS = ["=1+1", "+a", "-a.tif", "@a", "\t=1", "'=1", "a=b", "plain", "'quoted'"]


def test_text_that_a_spreadsheet_would_run_has_an_apostrophe_and_numbers_have_none(tmp_path):
    table = {"image": FORMULAS, "score": np.linspace(-1, 1, len(FORMULAS))}
    export.write_table(tmp_path / "a.csv", table)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8"))))
    assert [row["image"] for row in rows] == ["'" + text for text in FORMULAS[:6]] + FORMULAS[6:]
    assert rows[0]["score"] == "-1"
    export.write_table(tmp_path / "a.parquet", table)
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet")["image"].to_pylist() == FORMULAS


def test_the_apostrophe_is_gone_when_the_table_is_read_again(tmp_path):
    ones = np.ones(len(FORMULAS))
    boxes = {"row0": 0 * ones, "col0": 0 * ones, "row1": ones, "col1": ones}
    export.write_table(tmp_path / "a.csv", {"image": FORMULAS, **boxes})
    assert table_images(tmp_path / "a.csv") == FORMULAS


# whole or not at all


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_folder_that_is_not_there_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(RecordError, match="cannot write") as refused:
        ROUND_TRIPS[name](tmp_path / "nowhere" / name, THREE)
    assert "\n" not in str(refused.value)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RecordError, match="No space left"):
        export.write_coco(tmp_path / "a.json", [])
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with export.written_whole(tmp_path / "a.txt") as one, export.written_whole(tmp_path / "a.txt") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a.txt").read_text() == "one"  # the one that was ready last
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_of_any_kind_leaves_nothing_behind(tmp_path):
    def write() -> None:
        with export.written_whole(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_not_told_as_a_full_disk(tmp_path):
    with pytest.raises(RecordError, match="create the folder first") as refused:
        export.write_table(tmp_path / "nowhere" / "a.csv", {"a": [1]})
    assert "room" not in str(refused.value)
    assert "space" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_text_is_written_with_the_folders_it_lies_in_and_not_below_a_file(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "µm\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_text("utf-8") == "µm\n"
    with pytest.raises(RecordError, match="cannot write"):
        write_text(tmp_path / "a" / "b" / "c.txt" / "d.txt", "")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c.txt"]


# the picture


def picture(micrograph: Micrograph, found: Instances, **options: object) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(overlay_png(micrograph, found, **options))))


def test_outlines_are_drawn_on_the_objects_edge_and_not_inside(tmp_path):
    square = np.zeros(SHAPE, bool)
    square[6:18, 10:30] = True
    write_overlay(tmp_path / "a.png", Micrograph(np.zeros(SHAPE)), instances(square))
    drawn = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert drawn.shape == (384, 640, 3)
    coloured = np.ptp(drawn, axis=2) > 60
    rows, cols = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    assert np.abs(np.array([rows[0], rows[-1], cols[0], cols[-1]]) - np.array([96, 288, 160, 480])).max() <= 1
    assert not coloured[100:284, 164:476].any()


@pytest.mark.parametrize(
    ("shape", "calibration", "size"),
    [
        ((24, 40), None, (640, 384)),
        ((3000, 1000), None, (533, 1600)),
        ((1000, 1000), Calibration(1.0, 2.0, "user"), (1000, 500)),
        ((1, 5000), None, (1600, 1)),
    ],
)
def test_the_picture_is_at_most_1600_pixels_long_and_has_the_samples_aspect(shape, calibration, size):
    micrograph = Micrograph(np.zeros(shape, np.uint8), calibration)
    assert display_size(micrograph, 1600) == size
    assert picture(micrograph, Instances.empty(shape)).shape == (size[1], size[0], 3)


@given(st.floats(1e-3, 1e8))
def test_a_scale_bar_is_round_and_as_long_as_fits(longest):
    text, nm = scale_bar(longest)
    assert longest / 2.51 < nm <= longest * (1 + 1e-6)
    assert f"{nm:.0e}"[0] in "125"
    number, unit = text.split()
    assert float(number) * {"nm": 1, "µm": 1e3, "mm": 1e6}[unit] == pytest.approx(nm)


def test_the_scale_bar_has_its_length_on_the_picture_and_none_without_calibration():
    pixels = np.zeros((400, 1000))
    drawn = picture(Micrograph(pixels, Calibration(0.5, 0.5, "user")), Instances.empty(pixels.shape))
    white = (drawn == 255).all(axis=2).sum(axis=1)
    assert white.max() == 200  # 100 nm
    without = picture(Micrograph(pixels), Instances.empty(pixels.shape))
    assert not (without == 255).all(axis=2).any()


@pytest.mark.parametrize(
    ("taken", "corner"),
    [([], "lower right"), (["lower right"], "lower left"), (["lower right", "lower left"], "upper right")],
)
def test_the_scale_bar_stands_in_the_corner_with_fewest_objects(taken, corner):
    pixels = np.zeros((400, 1000))
    at = {"lower right": (360, 900), "lower left": (360, 100), "upper right": (30, 900)}
    boxes = [[row, col, row + 12, col + 12] for row, col in (at[name] for name in taken)]
    drawn = picture(Micrograph(pixels, Calibration(0.5, 0.5, "user")), Instances.from_boxes(pixels.shape, boxes))
    bar = (drawn == 255).all(axis=2)
    row, col = bar.sum(axis=1).argmax(), np.median(np.flatnonzero(bar.any(axis=0)))
    assert np.hypot(row - at[corner][0], col - at[corner][1]) < 60


def test_masked_pixels_are_dimmed_and_set_no_contrast():
    pixels = np.tile(np.linspace(0, 100, 700), (700, 1))
    pixels[600:] = 1e6
    valid = np.ones(pixels.shape, bool)
    valid[600:] = False
    drawn = picture(Micrograph(pixels, valid=valid), Instances.empty(pixels.shape))
    assert drawn[:600].max() > 240
    assert drawn[602:].mean() < 150


@pytest.mark.parametrize(
    "pixels", [np.full((30, 20), 7, np.uint16), np.full((30, 20), np.nan), np.array([[np.inf, -np.inf]])]
)
def test_an_image_without_contrast_is_one_grey(pixels):
    drawn = picture(Micrograph(pixels), Instances.empty(pixels.shape))
    assert len(np.unique(drawn[0].reshape(-1, 3), axis=0)) <= 2


def test_boxes_are_drawn_where_there_are_no_masks():
    drawn = picture(Micrograph(np.zeros(SHAPE)), Instances.empty(SHAPE))
    boxed = picture(Micrograph(np.zeros(SHAPE)), Instances.from_boxes(SHAPE, [[4, 4, 9, 9]]))
    assert (drawn != boxed).any()


def test_colours_of_scores_differ_and_unknown_is_white():
    assert len({score_colour(score) for score in (0.0, 0.3, 0.6, 1.0)}) == 4
    assert score_colour(float("nan")) == (255, 255, 255)
    by_label, by_score = (picture(Micrograph(np.zeros(SHAPE)), THREE, colour=c) for c in ("label", "score"))
    assert (by_label != by_score).any()


def test_a_key_is_drawn_only_where_there_is_more_than_one_class():
    one = instances(disc(18, 35, 3))
    two = Instances(SHAPE, one.boxes, one.score, one.label, ("cavity", "loop"), one.crops)
    blank, key = (picture(Micrograph(np.zeros(SHAPE)), found)[:100, :200] for found in (one, two))
    assert len(np.unique(blank)) == 1
    assert len(np.unique(key)) > 2


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("shape", [(600, 31), (7, 5), (1, 1)])
def test_shrinking_takes_the_mean_of_each_block(shape, factor):
    pixels = np.random.default_rng(1).integers(0, 60000, shape).astype(np.uint16)
    expected = [
        [pixels[r : r + factor, c : c + factor].mean() for c in range(0, shape[1], factor)]
        for r in range(0, shape[0], factor)
    ]
    np.testing.assert_allclose(shrink(pixels, factor), expected, rtol=1e-5)
