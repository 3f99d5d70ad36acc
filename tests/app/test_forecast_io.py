from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from epistem.app.forecast_io import Origin, masks_of, origin_of, read_cases, read_found
from epistem.core import Instances, RecordError, SettingsError
from epistem.report.export import write_coco
from epistem.trust.cases import Cases, case_of, gather

SHAPE = (64, 96)
Boxes = dict[str, list[tuple[int, int, float]]]


def squares(places: list[tuple[int, int, float]], *, masks: bool = True) -> Instances:
    """Squares of 8 px at (row, col), with scores."""
    boxes = [[row, col, row + 8, col + 8] for row, col, _ in places]
    crops = tuple(np.ones((8, 8), bool) for _ in places) if masks else None
    return Instances.from_boxes(SHAPE, boxes, [score for *_, score in places], crops=crops)


def coco(path: Path, images: Boxes, *, masks: bool = True) -> Path:
    write_coco(path, [(f"{name}.tif", squares(places, masks=masks)) for name, places in images.items()])
    return path


FOUND: Boxes = {"a": [(4, 4, 0.9), (30, 40, 0.4)], "b": [(10, 60, 0.7)], "c": []}
TRUE: Boxes = {"a": [(4, 4, 1.0)], "b": [(10, 60, 1.0), (40, 8, 1.0)], "c": [(8, 8, 1.0)]}


def test_found_and_true_of_any_tool_are_cases(tmp_path: Path) -> None:
    cases = read_cases(coco(tmp_path / "found.json", FOUND), coco(tmp_path / "true.json", TRUE))
    assert cases.images["image"].tolist() == ["a", "b", "c"]
    assert cases.counts(0.3).tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert cases.images["q_noise"].isna().all()
    assert masks_of(cases) is True


def test_images_tell_of_their_noise_and_size(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed, name in enumerate(FOUND):
        pixels = np.random.default_rng(seed).integers(0, 4000, SHAPE).astype(np.uint16)
        tifffile.imwrite(pictures / f"{name}.tif", pixels)
    found, true = coco(tmp_path / "found.json", FOUND), coco(tmp_path / "true.json", TRUE)
    cases = read_cases(found, true, pictures)
    assert cases.images["q_noise"].notna().all()
    assert cases.objects["c_spread"].notna().all()
    assert [one.described.image["rows"] for one in read_found(found, pictures)] == [64] * 3
    (pictures / "b.tif").unlink()
    with pytest.raises(RecordError, match="no image called b"):
        read_cases(found, true, pictures)


def test_coco_results_are_paired_with_the_truth_by_id(tmp_path: Path) -> None:
    true = coco(tmp_path / "true.json", TRUE)
    results = [
        {"image_id": 2, "category_id": 1, "bbox": [60, 10, 8, 8], "score": 0.7},
        {"image_id": 1, "category_id": 1, "bbox": [4, 4, 8, 8], "score": 0.9},
    ]
    (tmp_path / "results.json").write_text(json.dumps(results), "utf-8")
    told: list[str] = []
    cases = read_cases(tmp_path / "results.json", true, say=told.append)
    by_image = dict(zip(cases.images["image"], cases.counts(0.5).tolist(), strict=True))
    assert by_image == {"a": [1, 0, 0], "b": [1, 0, 1]}
    assert told == ["Images with true objects only are left out, 1: c"]
    assert masks_of(cases) is False


def test_a_crowd_counts_neither_way(tmp_path: Path) -> None:
    true = coco(tmp_path / "true.json", TRUE)
    data = json.loads(true.read_text("utf-8"))
    data["annotations"][0]["iscrowd"] = 1
    true.write_text(json.dumps(data), "utf-8")
    cases = read_cases(coco(tmp_path / "found.json", FOUND), true)
    assert cases.counts(0.3)[0].tolist() == [0, 1, 0]


def test_a_folder_of_images_is_their_source(tmp_path: Path) -> None:
    images = {f"{folder}/{name}": places for folder in ("x", "y") for name, places in FOUND.items()}
    cases = read_cases(coco(tmp_path / "f.json", images), coco(tmp_path / "t.json", images))
    assert cases.images["source"].tolist() == ["x"] * 3 + ["y"] * 3
    assert cases.images["image"].tolist()[::3] == ["x/a", "y/a"]


def test_the_detector_and_its_weights_stay_with_the_cases(tmp_path: Path) -> None:
    found, true = coco(tmp_path / "found.json", FOUND), coco(tmp_path / "true.json", TRUE)
    cases = read_cases(found, true, origin=Origin("theirs", "abc"))
    assert set(cases.images["detector"]) == {"theirs"}
    assert cases.provenance["weights"] == {"theirs": "abc"}


def broken(path: Path, **change: Any) -> Path:
    """Detections of which the first object is changed; None takes a key away."""
    data = json.loads(coco(path, FOUND).read_text("utf-8"))
    first = data["annotations"][0] | change
    data["annotations"][0] = {key: value for key, value in first.items() if value is not None}
    path.write_text(json.dumps(data), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": None}, "a: 1 of 2 objects have no score"),
        ({"score": float("nan")}, "a: 1 of 2 objects have no score"),
        ({"score": 1.5}, "object 0 has 1.5"),
        ({"segmentation": None, "bbox": [200, 4, 8, 8]}, "no pixel in the image"),
        ({"segmentation": None}, "have no mask"),
    ],
)
def test_detections_that_no_forecast_can_read_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    found, true = broken(tmp_path / "found.json", **change), coco(tmp_path / "true.json", TRUE)
    with pytest.raises(RecordError, match=says):
        read_found(found)
    with pytest.raises(RecordError, match=says):
        read_cases(found, true)


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.csv").write_text("x,y,width,score\n1,2,3,0.5\n", "utf-8")
    with pytest.raises(RecordError, match="wanted columns row0"):
        read_found(folder, pictures(tmp_path))


def pictures(root: Path) -> Path:
    (root / "images").mkdir()
    tifffile.imwrite(root / "images" / "a.tif", np.zeros(SHAPE, np.uint8))
    return root / "images"


def test_boxes_in_one_image_and_masks_in_another_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    coco(folder / "a.json", {"a": FOUND["a"]})
    coco(folder / "b.json", {"b": FOUND["b"]}, masks=False)
    with pytest.raises(RecordError, match="boxes without masks, such as b"):
        read_found(folder)


def test_detections_need_truth_and_cases_have_theirs(tmp_path: Path) -> None:
    found = coco(tmp_path / "found.json", FOUND)
    with pytest.raises(SettingsError, match="give what is true as well"):
        read_cases(found)
    gather([case_of(squares(FOUND["a"]), squares(TRUE["a"]))], {}).save(tmp_path / "cases")
    assert len(read_cases(tmp_path / "cases")) == 1
    with pytest.raises(SettingsError, match="leave out TRUTH"):
        read_cases(tmp_path / "cases", found)


@pytest.mark.parametrize(("column", "value"), [("score", 1.5), ("score", np.nan), ("neither", None)])
def test_cases_of_another_make_are_refused(tmp_path: Path, column: str, value: float | None) -> None:
    cases = gather([case_of(squares(FOUND["a"]), squares(TRUE["a"]))], {})
    objects = cases.objects.drop(columns=column) if value is None else cases.objects.assign(**{column: value})
    Cases(cases.images, objects).save(tmp_path / "cases")
    with pytest.raises(RecordError, match=column):
        read_cases(tmp_path / "cases")


def test_a_table_that_is_no_table_of_cases_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(pd.DataFrame({"a": [1]})), tmp_path / "images.parquet")
    with pytest.raises(RecordError, match="version None"):
        read_cases(tmp_path)


def results(root: Path, weights: str, found: dict[str, str] | None = None) -> Path:
    page = root / "images" / "a.tif" / "report.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"provenance": {"weights": weights}}), "utf-8")
    run = {"settings": {"detector": "cavity-dense"}, "found": found or {}, "files": {}}
    (root / "run.json").write_text(json.dumps(run), "utf-8")
    return root


def test_results_of_analyze_know_their_detector_and_weights(tmp_path: Path) -> None:
    made = results(tmp_path / "out", "0123456789abcdef")
    assert origin_of(made) == ("cavity-dense", "0123456789abcdef")
    assert origin_of(made, "cavity-dense", "01234567") == ("cavity-dense", "0123456789abcdef")
    assert origin_of(results(tmp_path / "measured", "0123", {"a.tif": "a.json"})) == (None, None)
    for said in ({"detector": "log"}, {"weights": "fedcba98"}):
        with pytest.raises(SettingsError, match="leave out"):
            origin_of(made, **said)
