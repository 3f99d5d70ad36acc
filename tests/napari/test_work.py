from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from epistem.app.analyze import Analysis
from epistem.core import Calibration, Instances, Micrograph, SettingsError, ShapeError
from epistem.napari import work
from epistem.napari.work import Choices, corrected, features_of, labels_of, measure_again, run, said, send_back


def discs() -> Micrograph:
    """Nine bright discs of 10 to 14 px, pixels of 0.5 × 0.4 nm."""
    rows, cols = np.mgrid[:160, :224]
    image = np.random.default_rng(0).normal(0, 0.05, (160, 224))
    for i in range(9):
        image += np.hypot(rows - (30 + 45 * (i // 4)), cols - (30 + 50 * (i % 4))) < 5 + i % 3
    return Micrograph((1000 + 300 * image).astype(np.uint16), Calibration(0.5, 0.4, "user"), name="a.dm4 [3]")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return run(discs(), Choices("otsu-watershed", forecast=False))


def overlapping() -> Instances:
    """A large one, and a small one on its edge that takes pixels from it in a label image."""
    masks = np.zeros((2, 30, 40), bool)
    masks[0, 5:20, 5:20], masks[1, 15:25, 15:25] = True, True
    each = [Instances.from_labels(mask.astype(int), score=[0.9 - 0.1 * i]) for i, mask in enumerate(masks)]
    return Instances.from_boxes(
        (30, 40), np.concatenate([one.boxes for one in each]), np.concatenate([one.score for one in each]),
        crops=tuple(crop for one in each for crop in one.crops or ()),
    )  # fmt: skip


def areas(found: Instances) -> list[int]:
    return [int(mask.crop.sum()) for mask in found.masks()]


def test_the_panel_finds_what_analyze_finds(analysis: Analysis) -> None:
    assert len(analysis.found) == 9
    assert analysis.provenance.maker == "epistem.detect.OtsuWatershed"
    assert analysis.quantities["mean_diameter_nm"].value == pytest.approx(5.4, abs=0.3)


def test_objects_come_as_labels_on_their_image_with_a_row_each(analysis: Analysis) -> None:
    data, about, kind = labels_of(analysis)
    assert (kind, data.shape, int(data.max())) == ("labels", (160, 224), 9)
    assert (about["scale"], about["units"]) == ((0.5, 0.4), ("nm", "nm"))
    table = about["features"]
    assert table["index"].tolist() == list(range(1, 10))
    for i, diameter in zip(table["index"], table["equivalent_diameter_nm"], strict=True):
        assert diameter == pytest.approx(2 * np.sqrt((data == i).sum() * 0.5 * 0.4 / np.pi))


def test_without_a_pixel_size_features_are_in_pixels() -> None:
    image = discs()
    table = features_of(run(Micrograph(image.pixels), Choices("otsu-watershed", forecast=False)))
    assert "equivalent_diameter_px" in table
    assert "equivalent_diameter_nm" not in table


def test_untouched_objects_come_back_as_they_were_found_overlaps_included() -> None:
    found = overlapping()
    back = corrected(found.to_labels(), found)
    assert areas(back) == areas(found) == [225, 100]
    np.testing.assert_array_equal(back.score, found.score)
    np.testing.assert_array_equal(back.boxes, found.boxes)


def test_an_erased_object_is_gone_and_the_others_keep_their_outlines() -> None:
    found = overlapping()
    labels = found.to_labels()
    labels[labels == 2] = 0
    back = corrected(labels, found)
    assert (areas(back), back.score.tolist()) == ([225], [0.9])


def test_a_drawn_object_has_no_score_and_stands_in_the_order_of_its_label() -> None:
    found = overlapping()
    labels = found.to_labels()
    labels[2:4, 30:35] = 7
    labels[labels == 1] = 0
    labels[8:10, 8:10] = 1
    back = corrected(labels, found)
    assert areas(back) == [4, 100, 10]
    assert np.isnan(back.score).tolist() == [True, False, True]
    assert back.provenance is not None
    assert back.provenance.settings["corrected_by_hand"] == {"untouched": 1, "drawn": 2}


def test_all_may_be_erased_and_all_may_be_drawn() -> None:
    found = overlapping()
    assert len(corrected(np.zeros((30, 40), np.uint8), found)) == 0
    labels = np.zeros((30, 40), np.uint8)
    labels[3:5, 3:6] = 200
    assert areas(corrected(labels, Instances.empty((30, 40), ("cavity",)))) == [6]
    assert len(corrected(np.zeros((30, 40), np.uint8), Instances.empty((30, 40)))) == 0


def test_labels_of_another_image_are_refused() -> None:
    with pytest.raises(ShapeError, match="take the layer of this image"):
        corrected(np.zeros((31, 40), int), overlapping())


def test_corrected_objects_are_measured_anew(analysis: Analysis) -> None:
    labels = labels_of(analysis)[0].copy()
    labels[labels == 4] = 0
    labels[100:120, 180:200] = 50
    again = measure_again(analysis, labels)
    assert len(again.found) == 9
    assert again.found.columns["equivalent_diameter_nm"][-1] == pytest.approx(2 * np.sqrt(400 * 0.2 / np.pi))
    untouched = analysis.found[[i for i in range(9) if i != 3]]
    for name in ("equivalent_diameter_nm", "circularity"):
        np.testing.assert_allclose(again.found.columns[name][:-1], untouched.columns[name])
    assert again.quantities["mean_diameter_nm"].value != analysis.quantities["mean_diameter_nm"].value
    assert again.reliability.f1 is None
    assert again.reliability.reasons == ("Corrected by hand: no forecast is of these objects.",)


def test_where_nothing_was_changed_the_forecast_stays(analysis: Analysis) -> None:
    assert measure_again(analysis, labels_of(analysis)[0]) is analysis


def test_two_pieces_with_one_label_are_told(analysis: Analysis) -> None:
    labels = labels_of(analysis)[0].copy()
    labels[100:110, 180:190] = labels[120:130, 180:190] = 50
    assert "In several pieces, each counted as one object: 10." in said(measure_again(analysis, labels))


def test_what_is_sent_back_is_what_training_reads(analysis: Analysis, tmp_path: Path) -> None:
    from epistem.app.train_labels import read_labelled

    sent = send_back(analysis, tmp_path / "mine")
    assert sent.image.name.startswith("a_dm4_3-")
    (labelled,) = read_labelled(tmp_path / "mine" / "labels", tmp_path / "mine" / "images", tmp_path / "out")
    assert areas(labelled.truth) == areas(analysis.found)
    np.testing.assert_array_equal(labelled.micrograph.pixels, analysis.micrograph.pixels)
    size = labelled.micrograph.calibration
    assert (size.row_nm, size.col_nm) == pytest.approx((0.5, 0.4))
    for part in ("train detector", str(sent.labels.parent), str(sent.image.parent), "--from shipped"):
        assert part in sent.command


def test_sent_again_it_replaces_itself_and_no_other_image_of_that_name(analysis: Analysis, tmp_path: Path) -> None:
    first = send_back(analysis, tmp_path)
    labels = labels_of(analysis)[0].copy()
    labels[labels == 4] = 0
    second = send_back(measure_again(analysis, labels), tmp_path)
    assert first == second
    assert len(json.loads(second.labels.read_text("utf-8"))["annotations"]) == 8
    other = run(Micrograph(discs().pixels + 1, name="a.dm4 [3]"), Choices("otsu-watershed", forecast=False))
    assert send_back(other, tmp_path).labels != first.labels
    assert len(list((tmp_path / "labels").iterdir())) == 2


def test_the_result_is_said_with_its_size_and_its_interval(analysis: Analysis) -> None:
    first, *_ = said(analysis).splitlines()
    assert first.startswith("9 cavities in a.dm4 [3], mean diameter 5.")
    assert first.endswith(", 90 %).")
    empty = run(Micrograph(np.zeros((64, 64), np.uint8), name="b"), Choices("otsu-watershed", forecast=False))
    assert said(empty).splitlines()[0] == "No cavities in b."


def test_the_forecast_is_shown_where_one_covers_the_detector() -> None:
    pytest.importorskip("onnxruntime")
    words = said(run(discs(), Choices("cavity-dense")))
    assert "Verdict: " in words


@pytest.mark.parametrize(("typed", "score"), [("", None), (" ", None), ("0.5", 0.5), ("0,5", 0.5), ("1", 1.0)])
def test_the_least_score_is_a_number_or_the_detectors_own(typed: str, score: float | None) -> None:
    assert work.typed_score(typed) == score


@pytest.mark.parametrize("typed", ["high", "2", "-0.1", "nan"])
def test_another_least_score_is_refused(typed: str) -> None:
    with pytest.raises(SettingsError, match="from 0 to 1"):
        work.typed_score(typed)
