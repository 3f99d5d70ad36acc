"""What every annotation format keeps."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import roifile
from PIL import Image

from epistem.core import Instances, RecordError, ShapeError
from epistem.detect.adapters import ADAPTERS, format_of, load_instances

SHAPE = (12, 18)
# The only object: rows 2 to 6, columns 5 to 14.
BOX = [2.0, 5.0, 6.0, 14.0]


def picture(path: Path, n: int) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 5:14] = n
    Image.fromarray(labels).save(path)


def coco(path: Path, n: int) -> None:
    image = {"id": 1, "file_name": "a.tif", "height": 12, "width": 18}
    annotations = [{"id": 1, "image_id": 1, "bbox": [5, 2, 9, 4]}] * n
    path.write_text(json.dumps({"images": [image], "annotations": annotations}))


def sam(path: Path, n: int) -> None:
    records = [{"segmentation": [[5, 2, 14, 2, 14, 6, 5, 6]], "predicted_iou": 0.9}] * n
    path.write_text(json.dumps({"annotations": records}))


def geojson(path: Path, n: int) -> None:
    ring = [[5, 2], [14, 2], [14, 6], [5, 6], [5, 2]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * n}))


def yolo(path: Path, n: int) -> None:
    path.write_text(f"0 {9.5 / 18} {4 / 12} {9 / 18} {4 / 12}\n" * n)


def cellpose(path: Path, n: int) -> None:
    rim = [*((x, 2) for x in range(5, 14)), (13, 3), (13, 4), *((x, 5) for x in range(13, 4, -1)), (5, 4), (5, 3)]
    path.write_text((",".join(f"{x},{y}" for x, y in rim) + "\n") * n)


def table(path: Path, n: int) -> None:
    path.write_text("row0,col0,row1,col1\n" + "2,5,6,14\n" * n)


def imagej(path: Path, n: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(n):
            archive.writestr(f"{i}.roi", roifile.ImagejRoi.frompoints([[5, 2], [14, 2], [14, 6], [5, 6]]).tobytes())


SAMPLES: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "labels": ("a.png", picture),
    "binary": ("a.png", picture),
    "coco": ("a.json", coco),
    "sam": ("a.json", sam),
    "geojson": ("a.geojson", geojson),
    "yolo": ("a.txt", yolo),
    "cellpose": ("a_cp_outlines.txt", cellpose),
    "table": ("a.csv", table),
    "imagej": ("a.zip", imagej),
}
WITHOUT_SIZE = ("sam", "geojson", "yolo", "cellpose", "table", "imagej")
WRONG_BYTES = [
    b"\x89PNG\r\n\x1a\n\x00\xff broken",
    b"PK\x03\x04 broken",
    b'{"a": [1,',
    b"[[1]]",
    b'"text"',
    b"7",
    bytes(range(256)),
]


@pytest.fixture(params=list(ADAPTERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def load(folder: Path, kind: str, n: int, shape: tuple[int, int] | None = SHAPE) -> Instances:
    name, write = SAMPLES[kind]
    write(folder / name, n)
    return load_instances(folder / name, shape=shape, kind=kind)


def test_every_format_has_a_sample_here():
    assert set(SAMPLES) == set(ADAPTERS)


def test_one_object_of_an_image_that_is_not_square_has_its_box(tmp_path, kind):
    found = load(tmp_path, kind, 1)
    assert found.shape == SHAPE
    np.testing.assert_allclose(found.boxes, [BOX], atol=1e-9)
    assert found.crops is None or found.crops[0].all()


def test_nothing_found_is_empty_and_not_an_error(tmp_path, kind):
    found = load(tmp_path, kind, 0)
    assert (len(found), found.shape) == (0, SHAPE)


def test_the_format_is_told_from_the_file(tmp_path, kind):
    name, write = SAMPLES[kind]
    write(tmp_path / name, 1)
    assert format_of(tmp_path / name) == ("labels" if kind == "binary" else kind)


def test_the_result_says_where_it_came_from(tmp_path, kind):
    found = load(tmp_path, kind, 1)
    assert found.provenance is not None
    assert found.provenance.settings["format"] == kind
    assert found.provenance.inputs


def test_the_file_is_not_changed(tmp_path, kind):
    name, write = SAMPLES[kind]
    write(tmp_path / name, 1)
    before = (tmp_path / name).read_bytes()
    load_instances(tmp_path / name, shape=SHAPE, kind=kind)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("content", WRONG_BYTES)
def test_wrong_bytes_are_refused_in_one_line(tmp_path, kind, content):
    name, _ = SAMPLES[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError) as refused:
        load_instances(tmp_path / name, shape=SHAPE, kind=kind)
    assert "\n" not in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize("content", WRONG_BYTES)
@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.parquet", "a.roi"])
def test_wrong_bytes_under_other_suffixes_are_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError) as refused:
        load_instances(tmp_path / name, shape=SHAPE)
    assert "\n" not in str(refused.value)


def test_a_file_cut_in_the_middle_is_refused(tmp_path, kind):
    if kind in ("yolo", "cellpose", "table"):
        pytest.skip("a line cut at a number's end is still a line")
    name, write = SAMPLES[kind]
    write(tmp_path / name, 1)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError):
        load_instances(tmp_path / name, shape=SHAPE, kind=kind)


def test_a_size_that_the_format_does_not_hold_must_be_given(tmp_path, kind):
    if kind in WITHOUT_SIZE:
        with pytest.raises(RecordError, match="shape="):
            load(tmp_path, kind, 1, None)
    else:
        assert load(tmp_path, kind, 1, None).shape == SHAPE
        with pytest.raises(ShapeError):
            load(tmp_path, kind, 1, (18, 12))
