"""The rows from which a forecast is learnt: they count as calibration does, and say nothing that is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epistem.core import Calibration, Instances, Micrograph, RecordError, SettingsError
from epistem.detect.calibrate import LabelledField, counts_at, judge
from epistem.detect.match import match
from epistem.trust.cases import LEAST_CANDIDATE, Cases, case_of, describe, gather, joined
from epistem.trust.profiles import CONTRAST
from epistem.trust.quality import QUALITY

SHAPE = (40, 200)
IMAGE = Micrograph(np.random.default_rng(0).normal(100, 5, SHAPE), Calibration(0.4, 0.9, "user"))
NOTHING = Instances.empty(SHAPE)


def row(*starts: float, score: Any = None, side: int = 10) -> Instances:
    """Squares side by side in one row."""
    return Instances.from_boxes(SHAPE, [[10, c, 10 + side, c + side] for c in starts], score)


def with_masks(found: Instances) -> Instances:
    """The same with masks that lack a corner."""
    crops = []
    for row0, col0, row1, col1 in found.boxes:
        crop = np.ones((int(np.ceil(row1)) - int(row0), int(np.ceil(col1)) - int(col0)), bool)
        crop[:4, :4] = False
        crops.append(crop)
    return Instances.from_boxes(SHAPE, found.boxes, found.score, crops=tuple(crops))


def crowded(seed: int = 3) -> Iterator[tuple[Instances, LabelledField]]:
    """Fields with many overlaps, unsure truth, and found objects of which some are too small to count."""
    rng = np.random.default_rng(seed)
    for n in (12, 0, 25, 40):
        truth, unsure = row(*rng.uniform(0, 189, 8)), row(*rng.uniform(0, 189, 4))
        side = rng.uniform(4, 11, n)
        start = rng.uniform(0, 189, n)
        boxes = np.stack([np.full(n, 10.0), start, 10 + side, start + side], axis=1)
        score = np.clip(rng.uniform(-0.1, 1, n), 0, 1)
        yield Instances.from_boxes(SHAPE, boxes, score), LabelledField(IMAGE, truth, unsure, 6.0)


@pytest.mark.parametrize("least", [0.02, 0.1, 0.3, 0.62, 0.9, 1.0])
def test_counts_at_every_threshold_are_those_of_calibration(least: float) -> None:
    pairs = list(crowded())
    cases = gather(
        (case_of(found, one.asked, ambiguous=one.ambiguous, smallest_px=one.smallest_px) for found, one in pairs), {}
    )
    wanted = counts_at(judge(pairs), least)
    assert wanted.sum() > 0
    assert cases.counts(least).tolist() == wanted.tolist()


def test_the_thresholds_may_be_the_scores_themselves() -> None:
    pairs = list(crowded(5))
    cases = gather((case_of(found, one.asked, ambiguous=one.ambiguous) for found, one in pairs), {})
    judged = judge((found, one._replace(smallest_px=0.0)) for found, one in pairs)
    for least in judged.scores[judged.scores >= LEAST_CANDIDATE]:
        assert cases.counts(least).tolist() == counts_at(judged, least).tolist()


def test_with_truth_there_is_all_that_is_known_without_it() -> None:
    for found, one in crowded():
        found = with_masks(found)
        without, with_truth = describe(found, IMAGE), case_of(found, one.asked, IMAGE)
        assert {name: with_truth.image[name] for name in without.image} == dict(without.image)
        pd.testing.assert_frame_equal(with_truth.objects[list(without.objects)], without.objects)
        assert set(with_truth.objects) - set(without.objects) == {"right", "neither"}


def test_truth_is_f1_precision_and_recall_where_there_is_something_to_divide_by() -> None:
    pairs = [
        (row(0, 50, score=[0.9, 0.8]), row(0, 100)), (NOTHING, row(0)), (row(0, score=[0.9]), NOTHING),
        (NOTHING, NOTHING),
    ]  # fmt: skip
    truth = gather((case_of(*pair) for pair in pairs), {}).truth(0.5)
    assert truth["f1"].tolist() == [0.5, 0.0, 0.0, 1.0]
    np.testing.assert_array_equal(truth["precision"], [0.5, np.nan, 0.0, np.nan])
    np.testing.assert_array_equal(truth["recall"], [0.5, 0.0, np.nan, np.nan])


def test_the_published_counts_are_those_of_its_matching_from_a_tenth_on() -> None:
    for found, one in crowded():
        image = case_of(found, one.asked, ambiguous=one.ambiguous).image
        paper = match(found[found.score >= 0.1], one.asked, method="paper", ambiguous=one.ambiguous)
        assert [image[f"paper_{name}"] for name in ("tp", "fp", "fn")] == [paper.tp, paper.fp, paper.fn]


def test_asked_sizes_are_those_of_the_truth_and_its_scores_do_not_matter() -> None:
    image = case_of(NOTHING, row(0, 50, score=[0.0, np.nan])).image
    diameter = 2 * np.sqrt(100 / np.pi)
    assert image["asked"] == 2
    assert image["asked_d_px"] == pytest.approx(diameter)
    assert image["asked_d3_px3"] == pytest.approx(2 * diameter**3)
    assert np.isnan(case_of(NOTHING, NOTHING).image["asked_d_px"])


def test_what_needs_the_image_is_unknown_without_one_and_not_zero() -> None:
    image, objects = describe(row(0, 50, score=[0.9, 0.8]))
    assert all(np.isnan(image[name]) for name in ("pixel_nm", *QUALITY))
    assert objects[[*CONTRAST]].isna().all(axis=None)
    assert (image["rows"], image["cols"]) == SHAPE
    assert np.isnan(describe(NOTHING, Micrograph(IMAGE.pixels)).image["pixel_nm"])


def test_pixels_that_are_not_square_are_as_large_as_their_area() -> None:
    assert describe(NOTHING, IMAGE).image["pixel_nm"] == pytest.approx(0.6)


def test_without_masks_the_outline_is_unknown_and_the_size_is_that_of_the_box() -> None:
    boxes, masks = row(0, score=[0.9]), with_masks(row(0, score=[0.9]))
    assert np.isnan(describe(boxes).objects["heywood"][0])
    assert describe(masks).objects["heywood"][0] >= 1
    sizes = [describe(one).objects["diameter_px"][0] for one in (boxes, masks)]
    assert sizes == pytest.approx([2 * np.sqrt(100 / np.pi), 2 * np.sqrt(84 / np.pi)], rel=1e-6)


def test_what_is_no_candidate_is_left_out() -> None:
    objects = describe(row(0, 50, 100, score=[0.019, 0.02, 0.5])).objects
    assert objects["score"].tolist() == pytest.approx([0.02, 0.5])


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.01, np.inf])
def test_a_score_that_is_none_is_refused_and_counted(score: float) -> None:
    with pytest.raises(SettingsError, match="1 of 2 are missing or outside"):
        describe(row(0, 50, score=[score, 0.5]))


def test_cases_are_grouped_by_what_is_known_only() -> None:
    with pytest.raises(SettingsError, match="not by lab"):
        case_of(NOTHING, NOTHING, lab="ours")


def some(n: int = 3) -> Cases:
    pairs = list(crowded())[:n]
    rows = (
        case_of(with_masks(found), one.asked, IMAGE, image=str(k), source="s") for k, (found, one) in enumerate(pairs)
    )
    return gather(rows, {"weights": {"d": "0123"}})


def test_saved_cases_are_the_same_when_read(tmp_path: Path) -> None:
    for cases in (some(), gather([case_of(NOTHING, NOTHING)], {})):
        cases.save(tmp_path)
        again = Cases.load(tmp_path)
        pd.testing.assert_frame_equal(again.images, cases.images)
        pd.testing.assert_frame_equal(again.objects, cases.objects)
        assert again.provenance == cases.provenance
        assert again.counts(0.3).tolist() == cases.counts(0.3).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.parquet", "objects.parquet"]


@pytest.mark.parametrize("name", ["images", "objects"])
def test_a_damaged_table_gives_one_clear_line_and_never_other_numbers(tmp_path: Path, name: str) -> None:
    cases = some(2)
    cases.save(tmp_path)
    path = tmp_path / f"{name}.parquet"
    good, refused = path.read_bytes(), 0
    footer = int.from_bytes(good[-8:-4], "little")  # what describes the columns has no checksum
    for at in np.random.default_rng(0).integers(4, len(good) - footer - 8, 24):
        path.write_bytes(good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :])
        try:
            again = Cases.load(tmp_path)
        except RecordError as error:
            refused += "\n" not in str(error)
        else:
            pd.testing.assert_frame_equal(getattr(again, name), getattr(cases, name))
    assert refused > 12


def test_what_is_no_table_of_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="wanted a table of cases"):
        Cases.load(tmp_path)
    some().save(tmp_path)
    (tmp_path / "objects.parquet").write_text("text")
    with pytest.raises(RecordError, match=r"objects.parquet: wanted a table of cases"):
        Cases.load(tmp_path)


def test_cases_of_another_version_and_tables_of_others_are_refused(tmp_path: Path) -> None:
    some().save(tmp_path)
    path = tmp_path / "images.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"epistem.cases": json.dumps({"version": 99}).encode()}), path)
    with pytest.raises(RecordError, match="is of version 99, this epistem reads 2"):
        Cases.load(tmp_path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(RecordError, match="is of version None"):
        Cases.load(tmp_path)


def test_tables_that_lack_a_column_or_do_not_belong_together_are_refused() -> None:
    cases = some()
    with pytest.raises(RecordError, match="objects lacks score"):
        Cases(cases.images, cases.objects.drop(columns="score"))
    with pytest.raises(RecordError, match="images lacks split, detector"):
        Cases(cases.images.drop(columns=["split", "detector"]), cases.objects)
    with pytest.raises(RecordError, match="one row of images"):
        Cases(cases.images.iloc[:1], cases.objects)
    with pytest.raises(RecordError, match="one row of images"):
        Cases(pd.concat([cases.images, cases.images]), cases.objects)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordError, match="cannot write"):
        some().save(tmp_path / "file")


def test_a_choice_of_cases_counts_as_they_do_in_the_whole() -> None:
    cases = some(4)
    chosen = np.array([False, True, False, True])
    assert cases.where(chosen).counts(0.3).tolist() == cases.counts(0.3)[chosen].tolist()
    assert len(cases.where(~chosen & chosen)) == 0


def test_joined_cases_are_numbered_anew_and_count_as_before() -> None:
    one, other = some(4).where(np.array([False, True, False, True])), some(3)
    both = joined([one, other])
    assert both.images["case"].tolist() == [0, 1, 2, 3, 4]
    assert both.counts(0.3).tolist() == [*one.counts(0.3).tolist(), *other.counts(0.3).tolist()]
    assert both.provenance == {"parts": [one.provenance, other.provenance]}


def test_without_truth_nothing_is_counted() -> None:
    with pytest.raises(SettingsError, match="no truth"):
        gather([describe(row(0, score=[0.9]))], {}).counts(0.5)
    with pytest.raises(SettingsError, match="none came"):
        gather([], {})
