from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as pycoco

from epistem.core import Instances, RecordError, SettingsError, ShapeError, UnknownName
from epistem.detect.adapters import annotations_for, from_sam, load_instances
from epistem.detect.adapters.names import pair

SHAPE = (20, 30)
TWO = np.zeros(SHAPE, np.uint16)
TWO[2:6, 3:10] = 1
TWO[10:19, 20:24] = 2


def save(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def notes(found: Instances) -> str:
    return " ".join(found.provenance.settings["notes"])


def coco_of(annotations: list[dict], **more: object) -> dict:
    images = [{"id": 1, "file_name": "a.tif", "height": 20, "width": 30}]
    return {"images": images, "annotations": [{"image_id": 1, "id": 1, **a} for a in annotations], **more}


def coded(full: np.ndarray) -> dict:
    coding = pycoco.encode(np.asfortranarray(full, np.uint8))
    return {"size": list(coding["size"]), "counts": coding["counts"].decode()}


# label images


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.int64, np.float32])
def test_labels_of_any_whole_number_type_are_read(tmp_path, dtype):
    np.save(tmp_path / "a.npy", TWO.astype(dtype))
    np.testing.assert_array_equal(load_instances(tmp_path / "a.npy", shape=SHAPE).to_labels(), TWO)


def test_labels_in_a_png_and_in_a_compressed_tiff_are_read(tmp_path):
    Image.fromarray(TWO).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", TWO, compression="zlib")
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(load_instances(tmp_path / name).to_labels(), TWO)


def test_a_picture_of_0_and_255_is_one_object_and_says_that_it_may_be_more(tmp_path):
    Image.fromarray(((TWO > 0) * 255).astype(np.uint8)).save(tmp_path / "a.png")
    found = load_instances(tmp_path / "a.png")
    assert len(found) == 1
    assert "2 pieces" in notes(found)


def test_binary_counts_pieces_and_corners_connect(tmp_path):
    mask = (TWO > 0).astype(np.uint8) * 255
    mask[6, 10] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    assert len(load_instances(tmp_path / "a.png", kind="binary")) == 2


def test_binary_refuses_a_picture_with_two_labels(tmp_path):
    np.save(tmp_path / "a.npy", TWO)
    with pytest.raises(RecordError, match="has 2"):
        load_instances(tmp_path / "a.npy", kind="binary")


def test_grey_saved_as_rgb_is_read_and_colours_are_refused(tmp_path):
    Image.fromarray(TWO.astype(np.uint8)).convert("RGB").save(tmp_path / "grey.png")
    assert len(load_instances(tmp_path / "grey.png")) == 2
    Image.fromarray(np.stack([TWO, TWO * 2, TWO], axis=2).astype(np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(RecordError, match="colours"):
        load_instances(tmp_path / "colour.png")


@pytest.mark.parametrize("pixels", [TWO - 0.5, -TWO.astype(int), np.zeros((2, 3, 4)), np.full((3, 4), np.nan)])
def test_what_is_no_label_image_is_refused(tmp_path, pixels):
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(RecordError, match=r"a\.npy"):
        load_instances(tmp_path / "a.npy")


def test_masks_of_another_size_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", TWO)
    with pytest.raises(ShapeError, match=r"20 × 30.*30 × 20"):
        load_instances(tmp_path / "a.npy", shape=(30, 20))


def test_a_pickle_is_refused_and_says_how_cellpose_saves_masks(tmp_path):
    np.save(tmp_path / "a_seg.npy", {"masks": TWO}, allow_pickle=True)
    with pytest.raises(RecordError, match="save_png"):
        load_instances(tmp_path / "a_seg.npy")


# COCO


def test_coco_polygon_and_both_run_length_codings_give_the_same_masks(tmp_path):
    first, second = TWO == 1, TWO == 2
    runs = {"size": [20, 30], "counts": [62, *[4, 16] * 6, 4, 414]}
    for segmentation in ([[3, 2, 10, 2, 10, 6, 3, 6]], runs, coded(first)):
        records = [{"segmentation": segmentation}, {"segmentation": coded(second)}]
        found = load_instances(save(tmp_path / "a.json", coco_of(records)))
        np.testing.assert_array_equal(found.to_labels(), TWO)


def test_coco_polygons_of_one_object_are_united(tmp_path):
    polygons = [[0, 0, 6, 0, 6, 4, 0, 4], [4, 0, 10, 0, 10, 4, 4, 4]]
    found = load_instances(save(tmp_path / "a.json", coco_of([{"segmentation": polygons}])))
    assert found.boxes.tolist() == [[0, 0, 4, 10]]
    assert found.crops[0].all()


def test_coco_boxes_categories_scores_and_crowd_are_kept(tmp_path):
    records = [
        {"bbox": [1.5, 2, 3, 4], "category_id": 7, "score": 0.25, "iscrowd": 1},
        {"bbox": [0, 0, 2, 2], "category_id": 3},
    ]
    categories = [{"id": 3, "name": "loop"}, {"id": 7, "name": "cavity"}]
    found = load_instances(save(tmp_path / "a.json", coco_of(records, categories=categories)))
    assert found.boxes.tolist() == [[2, 1.5, 6, 4.5], [0, 0, 2, 2]]
    assert [found.classes[i] for i in found.label] == ["cavity", "loop"]
    assert found.score.tolist()[0] == 0.25 and np.isnan(found.score[1])  # noqa: PT018 - one column
    assert found.columns["crowd"].tolist() == [True, False]
    assert found.crops is None


def test_one_image_of_a_coco_file_is_chosen_by_name_stem_or_id(tmp_path):
    data = coco_of([{"bbox": [1, 1, 2, 2]}])
    data["images"].append({"id": 2, "file_name": "sub/b.tif", "height": 5, "width": 6})
    path = save(tmp_path / "all.json", data)
    assert [len(load_instances(path, image=name)) for name in ("a.tif", "/x/a.png", "1")] == [1, 1, 1]
    assert [load_instances(path, image=name).shape for name in ("sub/b.tif", "b.tif", "b", "2")] == [(5, 6)] * 4
    with pytest.raises(RecordError, match="2 images"):
        load_instances(path)
    with pytest.raises(RecordError, match=r"no image 'c\.tif'"):
        load_instances(path, image="c.tif")


def test_coco_results_take_their_size_from_the_run_lengths_or_the_caller(tmp_path):
    masks = save(
        tmp_path / "masks.json", [{"image_id": 4, "category_id": 1, "segmentation": coded(TWO == 1), "score": 0.5}]
    )
    assert load_instances(masks).shape == SHAPE
    assert load_instances(masks, image="4").score.tolist() == [0.5]
    boxes = save(tmp_path / "boxes.json", [{"image_id": 4, "category_id": 1, "bbox": [0, 0, 2, 3], "score": 0.5}])
    assert load_instances(boxes, shape=SHAPE).classes == ("category 1",)
    with pytest.raises(RecordError, match="shape="):
        load_instances(boxes)


def test_objects_outside_are_left_out_and_counted_and_others_are_cut(tmp_path):
    records = [{"bbox": [-4, -4, 6, 6]}, {"bbox": [40, 0, 5, 5]}]
    found = load_instances(save(tmp_path / "a.json", coco_of(records)))
    assert found.boxes.tolist() == [[0, 0, 2, 2]]
    assert notes(found).startswith("1 of 2 objects have no pixel")


def test_masks_mixed_with_boxes_become_boxes_and_say_so(tmp_path):
    records = [{"bbox": [0, 0, 4, 4]}, {"segmentation": coded(TWO == 1)}]
    found = load_instances(save(tmp_path / "a.json", coco_of(records)))
    assert found.crops is None
    assert "1 of 2 objects have no mask" in notes(found)


def test_coco_objects_of_images_that_are_not_listed_are_told(tmp_path):
    objects = [{"bbox": [1, 1, 4, 4]}, {"bbox": [6, 6, 4, 4], "image_id": 7}]
    found = load_instances(save(tmp_path / "a.json", coco_of(objects)))
    assert (len(found), notes(found)) == (1, "1 objects are of images that the file does not list (image_id 7)")


def test_coco_objects_that_are_listed_twice_are_told(tmp_path):
    objects = [{"bbox": [1, 1, 4, 4]}, {"bbox": [6, 6, 4, 4]}, {"bbox": [1, 1, 4, 4], "id": 3}]
    found = load_instances(save(tmp_path / "a.json", coco_of(objects)))
    assert (len(found), notes(found)) == (3, "1 of 3 objects are listed more than once")


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"bbox": [1, 2, 3]},
        {"bbox": [0, 0, float("nan"), 1]},
        {"bbox": [0, 0, 1e300, 1]},
        {"bbox": ["a", 0, 1, 1]},
        {"segmentation": [[1, 2, 3, 4, 5]]},
        {"segmentation": 7},
        {"segmentation": {"size": [20, 30], "counts": [3]}},
        {"segmentation": {"size": [20, 30], "counts": "~~"}},
        {"segmentation": {"size": [20, "x"], "counts": [600]}},
        {"segmentation": {"size": [20, 30]}},
        {"bbox": [0, 0, 1, 1], "score": 87},
        {"bbox": [0, 0, 1, 1], "category_id": []},
    ],
)
def test_a_broken_coco_record_is_refused_in_one_line(tmp_path, record):
    with pytest.raises(RecordError) as refused:
        load_instances(save(tmp_path / "a.json", coco_of([record])))
    assert "\n" not in str(refused.value)


# Segment Anything


def test_sam_records_from_memory_keep_masks_and_the_predicted_iou():
    records = [
        {"segmentation": TWO == 1, "predicted_iou": 1.02, "stability_score": 0.97},
        {"segmentation": coded(TWO == 2), "predicted_iou": 0.5},
    ]
    found = from_sam(records, SHAPE)
    np.testing.assert_array_equal(found.to_labels(), TWO)
    assert found.score.tolist() == [1.0, 0.5]
    np.testing.assert_array_equal(found.columns["stability"], [0.97, np.nan])


def test_sam_masks_of_another_size_are_refused():
    with pytest.raises(ShapeError, match="20 × 30"):
        from_sam([{"segmentation": TWO == 1}], (30, 20))


def test_sa_1b_files_are_sam_records(tmp_path):
    path = save(
        tmp_path / "sa.json", {"image": {}, "annotations": [{"segmentation": coded(TWO == 1), "predicted_iou": 0.9}]}
    )
    found = load_instances(path)
    assert (found.shape, found.provenance.settings["format"]) == (SHAPE, "sam")


# text


def test_yolo_boxes_polygons_and_confidence_are_fractions_of_width_and_height(tmp_path):
    text = "2 0.5 0.25 0.2 0.1 0.75\n0 0.1 0.1 0.1 0.3 0.3333333 0.3 0.3333333 0.1\n"
    boxes = load_instances(save(tmp_path / "a.txt", text), shape=SHAPE)
    np.testing.assert_allclose(boxes.boxes, [[4, 12, 6, 18], [2, 3, 6, 10]], atol=1e-5)
    assert boxes.classes == ("class 0", "class 2")
    np.testing.assert_array_equal(boxes.score, [0.75, np.nan])
    polygon = load_instances(save(tmp_path / "b.txt", text.splitlines()[1]), shape=SHAPE)
    np.testing.assert_array_equal(polygon.to_labels(), TWO == 1)


@pytest.mark.parametrize(
    "line", ["0 150 80 20 10", "0 0.1 0.1", "a 0.1 0.1 0.1 0.1", "0 0.1 0.1 nan 0.1", "0 1 2 3 4 5 6"]
)
def test_a_line_that_is_not_yolo_is_refused(tmp_path, line):
    with pytest.raises(RecordError, match="object 0"):
        load_instances(save(tmp_path / "a.txt", line), shape=SHAPE)


def test_cellpose_outlines_include_the_pixels_they_run_through(tmp_path):
    steps = [(1, 1)] * 4 + [(-1, 1)] * 4 + [(-1, -1)] * 4 + [(1, -1)] * 4
    rim = np.cumsum([(12, 5), *steps], axis=0)[:-1]
    text = ",".join(map(str, rim.ravel())) + "\n\n"
    found = load_instances(save(tmp_path / "a_cp_outlines.txt", text), shape=SHAPE)
    rows, cols = np.ogrid[:20, :30]
    np.testing.assert_array_equal(found.to_labels(), np.abs(rows - 9) + np.abs(cols - 12) <= 4)
    assert "1 of 2" in notes(found)


# tables


def test_a_table_of_boxes_with_units_scores_and_classes(tmp_path):
    text = "row0 [px];col0 [px];row1 [px];col1 [px];score;label\n1;2;3;4.5;0.5;loop\n0;0;1;1;;cavity\n"
    found = load_instances(save(tmp_path / "a.csv", text), shape=SHAPE)
    assert found.boxes.tolist() == [[1, 2, 3, 4.5], [0, 0, 1, 1]]
    np.testing.assert_array_equal(found.score, [0.5, np.nan])
    assert found.classes == ("cavity", "loop")


def test_ellipses_become_masks(tmp_path):
    rows = [{"cx": 15, "cy": 10, "w": 12, "h": 6}]
    for data in (rows, {name: [value] for name, value in rows[0].items()}):
        found = load_instances(save(tmp_path / "a.json", data), shape=SHAPE)
        assert found.boxes.tolist() == [[7, 9, 13, 21]]
        assert found.crops[0].sum() == pytest.approx(np.pi * 6 * 3, rel=0.06)


def test_a_table_of_several_images_is_asked_by_image(tmp_path):
    path = save(tmp_path / "a.csv", "image,row0,col0,row1,col1\na.tif,0,0,1,1\nb.tif,0,0,2,2\n")
    assert load_instances(path, shape=SHAPE, image="b.tif").boxes.tolist() == [[0, 0, 2, 2]]
    assert len(load_instances(path, shape=SHAPE, image="c.tif")) == 0
    with pytest.raises(RecordError, match="2 images"):
        load_instances(path, shape=SHAPE)


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n1,2\n",
        "row0 [nm],col0,row1,col1\n1,1,2,2\n",
        "row0,col0,row1,col1\n1,1,1,2\n",
        "row0,col0,row1,col1\n1,1\n",
        "cx,cy,w,h\n1,1,0,2\n",
        "cx,cy,w,h\n1,,2,2\n",
        'row0,col0,row1,col1\n"1,1,2,2\n',
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text):
    with pytest.raises(RecordError, match=r"a\.csv"):
        load_instances(save(tmp_path / "a.csv", text), shape=SHAPE)


# ImageJ, GeoJSON


def rois(path: Path, *selections: roifile.ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, roi in enumerate(selections):
            archive.writestr(f"{i}.roi", roi.tobytes())
    return path


def bounded(kind: roifile.ROI_TYPE, top: int, left: int, bottom: int, right: int) -> roifile.ImagejRoi:
    return roifile.ImagejRoi(roitype=kind, top=top, left=left, bottom=bottom, right=right)


def test_imagej_rectangles_ovals_and_freehand_fill_the_pixels_imagej_fills(tmp_path):
    path = rois(
        tmp_path / "a.zip",
        bounded(roifile.ROI_TYPE.RECT, 2, 3, 6, 10),
        bounded(roifile.ROI_TYPE.OVAL, 8, 2, 18, 16),
        roifile.ImagejRoi.frompoints([[20, 10], [24, 10], [24, 19], [20, 19]]),
        roifile.ImagejRoi.frompoints([[20.4, 1.0], [24.4, 1.0], [24.4, 4.0], [20.4, 4.0]]),
    )
    found = load_instances(path, shape=SHAPE)
    assert found.boxes.tolist() == [[2, 3, 6, 10], [8, 2, 18, 16], [10, 20, 19, 24], [1, 20, 4, 24]]
    assert found.crops[0].all()
    assert found.crops[1].sum() == pytest.approx(np.pi * 5 * 7, rel=0.03)


def test_points_and_lines_are_left_out_and_counted(tmp_path):
    point = roifile.ImagejRoi.frompoints([[3, 4]])
    point.roitype = roifile.ROI_TYPE.POINT
    found = load_instances(rois(tmp_path / "a.zip", point), shape=SHAPE)
    assert (len(found), notes(found)) == (0, "1 selections without area are left out")
    geometry = {"type": "Point", "coordinates": [1, 2]}
    found = load_instances(save(tmp_path / "a.geojson", {"type": "Feature", "geometry": geometry}), shape=SHAPE)
    assert "Point" in notes(found)


def test_geojson_holes_classes_and_both_ways_of_measurements(tmp_path):
    rings = [[[3, 2], [10, 2], [10, 6], [3, 6], [3, 2]], [[5, 3], [6, 3], [6, 4], [5, 4], [5, 3]]]
    for measurements in ({"score": 0.5}, [{"name": "score", "value": 0.5}]):
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": rings},
            "properties": {"classification": {"name": "pore"}, "measurements": measurements},
        }
        found = load_instances(save(tmp_path / "a.json", [feature]), shape=SHAPE)
        assert (found.classes, found.score.tolist(), found.crops[0].sum()) == (("pore",), [0.5], 27)


# which file, which format


def test_the_format_and_the_files_hash_are_in_the_provenance(tmp_path):
    np.save(tmp_path / "a.npy", TWO)
    provenance = load_instances(tmp_path / "a.npy").provenance
    assert provenance.settings == {"format": "labels", "file": "a.npy", "notes": ()}
    assert len(provenance.inputs[0]) == 16


def test_an_unknown_kind_and_an_unknown_suffix_name_what_there_is(tmp_path):
    with pytest.raises(UnknownName, match="geojson"):
        load_instances(tmp_path / "a.tif", kind="geojsn")
    with pytest.raises(RecordError, match=r"\.parquet"):
        load_instances(save(tmp_path / "a.doc", ""))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        load_instances(tmp_path / "a.csv", shape=SHAPE)
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(RecordError, match="cannot read"):
        load_instances(tmp_path / "b.csv", shape=SHAPE)


def images_in(folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / name for name in names}


def test_a_folder_pairs_by_stem_and_a_tools_ending_goes_before_none(tmp_path):
    for name in ("a_cp_masks.png", "a.png", "b.txt", "d.txt"):
        save(tmp_path / name, "")
    pairs = annotations_for(tmp_path, images_in(tmp_path, "a.tif", "b.tif", "c.tif"))
    assert pairs == {"a.tif": tmp_path / "a_cp_masks.png", "b.tif": tmp_path / "b.txt"}


def test_an_image_beside_the_masks_is_no_annotation(tmp_path, monkeypatch):
    for name in ("a.tif", "b.tif", "a_masks.tif"):
        save(tmp_path / name, "")
    images = images_in(tmp_path, "a.tif", "b.tif")
    assert annotations_for(tmp_path, images) == {"a.tif": tmp_path / "a_masks.tif"}
    monkeypatch.chdir(tmp_path)
    assert annotations_for(Path("."), images) == {"a.tif": Path("a_masks.tif")}


def test_images_of_one_stem_have_the_masks_of_their_own_folder(tmp_path):
    images = images_in(tmp_path / "images", "a/x.tif", "b/x.tif", "b/y.tif")
    masks = tmp_path / "masks"
    for name in ("a/x_masks.png", "b/x.png", "b/x_masks.png", "y.png"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        save(masks / name, "")
    wanted = {"a/x.tif": "a/x_masks.png", "b/x.tif": "b/x_masks.png", "b/y.tif": "y.png"}
    assert annotations_for(masks, images) == {name: masks / file for name, file in wanted.items()}
    (masks / "b/x.png").unlink()
    (masks / "b/x_masks.png").unlink()
    assert annotations_for(masks, images) == {"a/x.tif": masks / "a/x_masks.png", "b/y.tif": masks / "y.png"}


def test_the_longest_path_that_fits_wins(tmp_path):
    images = images_in(tmp_path, "day/a/x.tif", "day/b/x.tif")
    for name in ("masks/a/x.png", "masks/b/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / name, "")
    found = annotations_for(tmp_path, images)
    assert {name: file.parent.name for name, file in found.items()} == {"day/a/x.tif": "a", "day/b/x.tif": "b"}


def test_a_mask_that_fits_two_images_and_an_image_that_fits_two_masks_are_refused(tmp_path):
    save(tmp_path / "x_masks.png", "")
    with pytest.raises(RecordError, match=r"a/x\.tif and b/x\.tif both fit x"):
        annotations_for(tmp_path, images_in(tmp_path, "a/x.tif", "b/x.tif"))
    (tmp_path / "x_masks.png").unlink()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "x.png", "")
    with pytest.raises(RecordError, match=r"a/x and b/x both fit x\.tif"):
        annotations_for(tmp_path, images_in(tmp_path, "x.tif"))


def test_two_files_for_one_image_are_refused(tmp_path):
    for name in ("a.txt", "a.zip"):
        save(tmp_path / name, "")
    with pytest.raises(RecordError, match=r"a\.txt and a\.zip"):
        annotations_for(tmp_path, images_in(tmp_path, "a.tif"))


def test_one_file_for_all_images_gives_those_it_names(tmp_path):
    images = images_in(tmp_path, "a.tif", "b.tif")
    path = save(tmp_path / "all.json", coco_of([]))
    assert annotations_for(path, images) == {"a.tif": path}
    assert annotations_for(tmp_path, images) == {"a.tif": path}
    table = save(tmp_path / "all.csv", "image,row0,col0,row1,col1\nb.tif,0,0,1,1\n")
    assert annotations_for(table, images) == {"b.tif": table}


def paths_in_coco(*names: str) -> dict:
    images = [{"id": i, "file_name": name, "height": 20, "width": 30} for i, name in enumerate(names)]
    boxes = [{"image_id": i, "id": i, "bbox": [0, 0, 1 + i, 1]} for i in range(len(names))]
    return {"images": images, "annotations": boxes}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all.json", paths_in_coco("a/x.tif", "b\\x.tif", "y.tif")),
        (
            "all.csv",
            "image,row0,col0,row1,col1\na/x.tif,0,0,1,1\nb\\x.tif,0,0,1,2\ny.tif,0,0,1,3\n",
        ),
    ],
)
def test_a_file_for_all_tells_images_of_one_stem_by_their_folder(tmp_path, name, content):
    path = save(tmp_path / name, content)
    images = images_in(tmp_path, "a/x.tif", "b/x.tif", "c/y.tif", "d/z.tif")
    assert list(annotations_for(path, images)) == ["a/x.tif", "b/x.tif", "c/y.tif"]
    widths = [load_instances(path, shape=SHAPE, image=image).boxes[0, 3] for image in list(images)[:3]]
    assert widths == [1, 2, 3]
    with pytest.raises(RecordError, match=r"a/x\.tif and b.x\.tif"):
        load_instances(path, shape=SHAPE, image="x.tif")
    with pytest.raises(RecordError, match=r"both fit y\.tif"):
        annotations_for(path, images_in(tmp_path, "c/y.tif", "d/y.tif"))


def test_one_file_for_one_image_needs_no_name(tmp_path):
    path = save(tmp_path / "result.txt", "")
    assert annotations_for(path, images_in(tmp_path, "a.tif")) == {"a.tif": path}
    assert annotations_for(path, images_in(tmp_path, "a.tif", "b.tif")) == {}
    with pytest.raises(SettingsError, match="no file or folder"):
        annotations_for(tmp_path / "nowhere", images_in(tmp_path, "a.tif"))


# names

paths = st.lists(st.sampled_from("abx"), min_size=1, max_size=3).map(tuple)


@given(st.sets(paths), st.sets(paths))
def test_pairs_are_one_to_one_agree_in_their_stem_and_equal_paths_are_always_paired(ours, theirs):
    left, right = (
        {side + "/".join(parts): parts for parts in names} for side, names in (("l ", ours), ("r ", theirs))
    )
    try:
        pairs = pair(left, right)
    except RecordError:
        return
    assert len(set(pairs.values())) == len(pairs)
    assert all(left[name][-1] == right[other][-1] for name, other in pairs.items())
    assert all(right[pairs["l " + "/".join(parts)]] == parts for parts in ours & theirs)


def test_names_in_folders_that_differ_are_left_alone_where_others_end_alike():
    left, right = ({"/".join(p): p for p in names} for names in ([("a", "x"), ("b", "x")], [("b", "x"), ("c", "x")]))
    assert pair(left, right) == {"b/x": "b/x"}


def test_a_micrograph_is_not_taken_for_a_label_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 255, (60, 80)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", noise)
    with pytest.raises(RecordError, match="like those of a micrograph; give the masks instead"):
        load_instances(tmp_path / "a.tif")
