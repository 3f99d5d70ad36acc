from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app.score import score
from epistem.core import Instances, RecordError
from epistem.report.export import write_coco, write_yolo


def squares(n: int, *, shift: int = 0) -> np.ndarray:
    labels = np.zeros((40, 60), np.uint16)
    for i in range(n):
        labels[10 + shift : 18 + shift, 2 + 12 * i : 10 + 12 * i] = i + 1
    return labels


def folder_of_labels(path: Path, counts: dict[str, int], ending: str = "") -> Path:
    path.mkdir()
    for name, n in counts.items():
        tifffile.imwrite(path / f"{name}{ending}.tif", squares(n))
    return path


def test_images_are_paired_by_name_whatever_a_tool_adds_to_it(tmp_path: Path) -> None:
    found = folder_of_labels(tmp_path / "found", {"a": 2, "b": 3}, "_cp_masks")
    truth = folder_of_labels(tmp_path / "truth", {"a": 3, "b": 3})
    scores = score(found, truth)
    assert scores.names == ("a", "b")
    assert [(m.tp, m.fp, m.fn) for m in scores.matches] == [(2, 0, 1), (3, 0, 0)]
    assert scores.pooled.f1 == pytest.approx(10 / 11)


def test_images_on_one_side_only_are_named_and_not_scored(tmp_path: Path) -> None:
    found = folder_of_labels(tmp_path / "found", {"a": 2, "c": 1})
    truth = folder_of_labels(tmp_path / "truth", {"a": 2, "d": 4})
    scores = score(found, truth)
    assert (scores.names, scores.only_found, scores.only_true) == (("a",), ("c",), ("d",))
    assert scores.pooled.fn == 0


def test_two_single_files_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mine.tif", squares(2))
    tifffile.imwrite(tmp_path / "yours.tif", squares(2))
    assert score(tmp_path / "mine.tif", tmp_path / "yours.tif").pooled.f1 == 1


def test_one_coco_file_holds_many_images(tmp_path: Path) -> None:
    coco = tmp_path / "truth.json"
    write_coco(coco, [("a.tif", Instances.from_labels(squares(2))), ("b.tif", Instances.from_labels(squares(1)))])
    found = folder_of_labels(tmp_path / "found", {"a": 2, "b": 2})
    assert [(m.tp, m.fp) for m in score(found, coco).matches] == [(2, 0), (1, 1)]


def test_yolo_takes_its_size_from_the_images(tmp_path: Path) -> None:
    lines, images = tmp_path / "lines", tmp_path / "images"
    lines.mkdir()
    images.mkdir()
    write_yolo(lines / "a.txt", Instances.from_labels(squares(2)))
    tifffile.imwrite(images / "a.tif", squares(2).astype(np.uint8))
    truth = folder_of_labels(tmp_path / "truth", {"a": 2})
    assert score(truth, lines, images=images, by="mask", iou=0.9).pooled.f1 == 1
    with pytest.raises(RecordError, match="shape"):
        score(truth, lines)


def test_iou_and_kind_of_overlap_decide(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", squares(2, shift=4))
    tifffile.imwrite(tmp_path / "b.tif", squares(2))
    assert score(tmp_path / "a.tif", tmp_path / "b.tif", iou=0.3).pooled.f1 == 1
    assert score(tmp_path / "a.tif", tmp_path / "b.tif", iou=0.4).pooled.f1 == 0


def test_nothing_in_common_says_what_there_is(tmp_path: Path) -> None:
    found = folder_of_labels(tmp_path / "found", {"a": 1, "b": 1})
    truth = folder_of_labels(tmp_path / "truth", {"c": 1, "d": 1})
    with pytest.raises(RecordError, match=r"found has a, b, .*truth has c, d; name them alike"):
        score(found, truth)


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="none of that name"):
        score(tmp_path / "nowhere", tmp_path)
