from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.app.score import score
from epistem.app.score_table import print_scores
from epistem.app.store import FileRecord, ImageRecord
from epistem.core import Instances, RecordError, SettingsError
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
    # A wrong command, as the exit code then says, and no damaged file.
    with pytest.raises(SettingsError, match=r"wanted images with .*found has a, b, .*truth has c, d; give .*alike"):
        score(found, truth)


def test_a_path_that_is_not_there_is_a_wrong_command(tmp_path: Path) -> None:
    truth = folder_of_labels(tmp_path / "truth", {"a": 1})
    for found, images in ((tmp_path / "nowhere", None), (truth, tmp_path / "nowhere")):
        with pytest.raises(SettingsError, match="none of that name"):
            score(found, truth, images=images)


def saved(root: Path, counts: dict[str, int]) -> Path:
    for name, n in counts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / name, squares(n))
    return root


def results_of(root: Path, files: dict[str, list[int]]) -> Path:
    """A results folder as analyze leaves it: file → how many objects in each of its images."""
    for file, counts in files.items():
        images = []
        for i, n in enumerate(counts):
            folder = Path("images", file, *([f"{i:04d}"] if len(counts) > 1 else []))
            (root / folder).mkdir(parents=True)
            write_coco(root / folder / "objects.coco.json", [(file, Instances.from_labels(squares(n)))])
            images.append(image_record(file, folder.as_posix(), n))
        record = FileRecord(file=file, key="k", specimen=None, images=tuple(images))
        (root / "images" / file / "result.json").write_text(record.model_dump_json(), "utf-8")
    (root / "run.json").write_text(json.dumps({"files": {file: [] for file in files}}), "utf-8")
    return root


def image_record(name: str, folder: str, n: int) -> ImageRecord:
    rest = {"axis": None, "slice": None, "row_nm": None, "col_nm": None, "quantities": {}, "warnings": ()}
    return ImageRecord(
        name=name, folder=folder, id="i", shape=(40, 60), n_objects=n, maker="m", detector_settings={}, **rest
    )


def test_images_of_one_stem_in_different_folders_are_both_scored(tmp_path: Path) -> None:
    counts = {"a/x.tif": 2, "b/x.tif": 3}
    truth = saved(tmp_path / "truth", counts)
    coco = tmp_path / "found.json"
    write_coco(coco, [(name, Instances.from_labels(squares(n))) for name, n in counts.items()])
    results = results_of(tmp_path / "out", {name: [n] for name, n in counts.items()})
    for found in (coco, results, truth):
        scores = score(found, truth)
        assert scores.names == ("a/x", "b/x")
        assert [(m.tp, m.fp, m.fn) for m in scores.matches] == [(2, 0, 0), (3, 0, 0)]


def test_a_bare_name_fits_the_only_image_of_its_stem_and_no_two(tmp_path: Path) -> None:
    found = saved(tmp_path / "found", {"a/x.tif": 2, "b/y.tif": 1})
    truth = saved(tmp_path / "truth", {"x.tif": 2, "y.tif": 3})
    assert [(m.tp, m.fn) for m in score(found, truth).matches] == [(2, 0), (1, 2)]
    saved(found, {"b/x.tif": 1})
    with pytest.raises(RecordError, match="a/x and b/x both fit x"):
        score(found, truth)


def test_two_images_of_one_name_in_one_file_are_refused(tmp_path: Path) -> None:
    coco = tmp_path / "found.json"
    write_coco(coco, [(name, Instances.from_labels(squares(1))) for name in ("x.tif", "x.png")])
    with pytest.raises(RecordError, match=r"x\.tif and x\.png are both for x"):
        score(coco, coco)


def test_the_size_is_that_of_the_image_in_the_same_folder(tmp_path: Path) -> None:
    lines, images = tmp_path / "lines", tmp_path / "images"
    for folder, shape in (("a", (40, 60)), ("b", (50, 70))):
        labels = np.zeros(shape, np.uint8)
        labels[20:30, 20:30] = 1
        for place in (lines, images):
            (place / folder).mkdir(parents=True)
        write_yolo(lines / folder / "x.txt", Instances.from_labels(labels))
        tifffile.imwrite(images / folder / "x.tif", labels)
    assert score(lines, lines, images=images).pooled.tp == 2
    (images / "a" / "x.tif").unlink()
    with pytest.raises(RecordError, match="no image called a/x"):
        score(lines, lines, images=images)


def test_results_of_a_file_that_was_removed_since_are_not_scored(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", {"a.tif": [2], "gone.tif": [1]})
    (results / "run.json").write_text(json.dumps({"files": {"a.tif": []}}), "utf-8")
    truth = folder_of_labels(tmp_path / "truth", {"a": 2, "gone": 1})
    scores = score(results, truth)
    assert (scores.names, scores.only_true) == (("a",), ("gone",))


@pytest.mark.parametrize("damaged", ["run.json", "images/a.tif/result.json"])
def test_damaged_results_are_refused_in_one_line(tmp_path: Path, damaged: str) -> None:
    results = results_of(tmp_path / "out", {"a.tif": [2]})
    for content in ("{}", "{", '{"files": 3}'):
        (results / damaged).write_text(content, "utf-8")
        with pytest.raises(RecordError, match=Path(damaged).name):
            score(results, results)


def test_a_series_is_scored_by_slice_against_the_truth_of_its_file_and_is_one_in_the_means(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", {"d/s.tif": [2, 4, 4], "d/a.tif": [3]})
    truth = folder_of_labels(tmp_path / "truth", {"s": 4, "a": 3})
    scores = score(results, truth)
    assert scores.names == ("d/s 0000", "d/s 0001", "d/s 0002", "d/a")
    assert (scores.pooled.tp, scores.pooled.fn, scores.only_true) == (13, 2, ())
    assert (scores.pooled.images, scores.pooled.places) == (4, 2)
    assert scores.pooled.mean_recall is not None
    assert scores.pooled.mean_recall.value == pytest.approx((2.5 / 3 + 1) / 2)


def test_a_truth_that_fits_an_image_and_a_series_is_refused(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", {"a/x.tif": [2], "b/x.tif": [1, 1]})
    with pytest.raises(RecordError, match="both fit x"):
        score(results, folder_of_labels(tmp_path / "truth", {"x": 2, "y": 1}))


def test_series_on_both_sides_are_paired_slice_by_slice(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", {"s.tif": [1, 2]})
    scores = score(results, results)
    assert [m.tp for m in scores.matches] == [1, 2]
    assert scores.only_true == ()


def test_the_table_shows_names_with_brackets_and_says_what_the_means_are_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = folder_of_labels(tmp_path / "found", {"[red]": 2, "b :x:": 1, "[blue] 2": 1})
    truth = folder_of_labels(tmp_path / "truth", {"[red]": 2, "b :x:": 1})
    print_scores(score(found, truth), method="paper", by="box", iou=0.1)
    told = capsys.readouterr().out
    assert all(name in told for name in ("[red]", "b :x:", "not scored: [blue] 2", "Mean over images: precision"))
    results = results_of(tmp_path / "out", {"s.tif": [2, 4]})
    print_scores(score(results, results), method="paper", by="box", iou=0.1)
    told = " ".join(capsys.readouterr().out.split())
    assert "Mean over 1 series or single images (the images of a series count as one); one gives no interval" in told
