"""The published forecast: features of many images, targets, the forest, its ranking and the authors' table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epistem.core import DependencyMissing, Instances, RecordError, SettingsError, ShapeError
from epistem.detect.match import match
from epistem.trust import published
from epistem.trust.cases import Cases, case_of, gather
from epistem.trust.features import PUBLISHED_8, PUBLISHED_18, published_features
from epistem.trust.protocols import dealt_folds
from epistem.trust.published import (
    PublishedForecast,
    error_by_number,
    published_table,
    published_targets,
    rank_features,
    read_published_table,
    recalibrate,
    scored,
)

SHAPE = (64, 96)


def squares(*sides_px: int, scores: list[float] | None = None, masks: bool = True) -> Instances:
    """Full squares, one after the other along a row."""
    starts = np.cumsum([0, *sides_px[:-1]]) + np.arange(len(sides_px))
    rows = [[0, c, side, c + side] for c, side in zip(starts.tolist(), sides_px, strict=True)]
    crops = tuple(np.ones((side, side), bool) for side in sides_px) if masks else None
    return Instances.from_boxes(SHAPE, rows, score=scores, crops=crops)


def scattered(seed: int) -> Instances:
    """Discs with fractional boxes and scores as a network gives them, some of a single pixel."""
    rng = np.random.default_rng(seed)
    boxes, crops = [], []
    for _ in range(rng.integers(1, 12)):
        size = rng.uniform(1, 14, 2)
        row0, col0 = rng.uniform(0, np.subtract(SHAPE, size))
        box = np.float32([row0, col0, row0 + size[0], col0 + size[1]]).astype(float)
        shape = (np.ceil(box[2:]) - np.floor(box[:2])).astype(int)
        crop = rng.uniform(size=shape) > 0.3
        crop[shape[0] // 2, shape[1] // 2] = True
        boxes.append(box)
        crops.append(crop)
    scores = rng.uniform(0.02, 1, len(boxes)).astype(np.float32).astype(float)
    return Instances.from_boxes(SHAPE, boxes, score=scores, crops=tuple(crops))


def cases(*found: Instances, truth: Instances | None = None, **rest: Any) -> Cases:
    return gather((case_of(one, squares(10, 20) if truth is None else truth, **rest) for one in found), {})


# ---------------------------------------------------------------- features


def test_many_images_at_once_have_the_features_of_each_alone() -> None:
    found = [scattered(seed) for seed in range(30)]
    table = published_table(cases(*found))
    assert list(table) == list(PUBLISHED_18)
    each = [(k, alone) for k, one in enumerate(found) if (alone := published_features(one)) is not None]
    assert [k for k, _ in each] == np.flatnonzero(scored(table)).tolist()
    assert len(each) > 20
    for k, alone in each:
        # Cases keep Heywood factors, which lie near 1, as float32.
        loose = {name: 1e-6 if "heywood" in name else 1e-12 for name in PUBLISHED_18}
        assert all(table.loc[k, name] == pytest.approx(alone[name], rel=1e-12, abs=loose[name]) for name in alone)


def test_scores_on_the_published_bounds_fall_where_one_image_alone_has_them() -> None:
    found = squares(*[5] * 9, scores=np.float32(np.arange(1, 10) / 10).astype(float).tolist())
    assert published_table(cases(found)).loc[0].to_dict() == pytest.approx(published_features(found), rel=1e-6)


def test_the_published_bounds_are_those_of_arange() -> None:
    some = cases(squares(5, scores=[0.3]))
    table = published_table(Cases(some.images, some.objects.assign(score=0.3)))
    assert table.loc[0, ["frac_0.2", "frac_0.3"]].tolist() == [1, 0]


def test_nothing_found_is_a_row_of_zeros_that_is_not_scored() -> None:
    table = published_table(cases(squares(5, scores=[0.9]), squares(5, scores=[0.05]), squares(scores=[])))
    assert scored(table).tolist() == [True, False, False]
    assert (table.loc[1:] == 0).all(axis=None)
    assert published_table(cases(squares(scores=[]))).shape == (1, 18)


def test_cases_keep_their_order_whatever_their_numbers() -> None:
    some = cases(squares(5, scores=[0.9]), squares(5, 5, scores=[0.9, 0.9]), squares(5, 5, 5, scores=[0.9] * 3))
    part = some.where(np.array([False, True, True]))
    turned = Cases(part.images[::-1].reset_index(drop=True), part.objects)
    assert published_table(turned)["count"].tolist() == [3, 2]


def test_boxes_alone_have_no_heywood_factor_and_the_final_eight() -> None:
    whole, bare = squares(5, 2, scores=[0.9, 0.9]), squares(5, 2, scores=[0.9, 0.9], masks=False)
    table = published_table(cases(whole, bare))
    assert table[["mean_heywood", "std_heywood"]].isna().all(axis=1).tolist() == [False, True]
    assert table[list(PUBLISHED_8)].notna().all(axis=None)


def test_masks_without_a_hull_are_no_missing_masks_whatever_else_is_in_the_table() -> None:
    pixel = squares(1, scores=[0.95])
    line = Instances.from_boxes(SHAPE, [[0, 0, 4, 4], [5, 5, 6, 9]], [0.95, 0.95],
                                crops=(np.eye(4, dtype=bool), np.ones((1, 4), bool)))  # fmt: skip
    together = published_table(cases(pixel, line, squares(5, scores=[0.9], masks=False)))
    for k, one in enumerate((pixel, line)):
        alone = published_table(cases(one)).loc[0].to_dict()
        assert alone == together.loc[k].to_dict()
        assert alone == pytest.approx(published_features(one), rel=1e-6)


# ---------------------------------------------------------------- targets


def test_targets_are_those_of_the_published_matching_from_a_tenth_up() -> None:
    found, truth = squares(10, 5, scores=[0.9, 0.2]), squares(10, 20)
    paired = match(found, truth, method="paper")
    target = published_targets(cases(found, truth=truth)).loc[0]
    assert (target["f1"], target["precision"], target["recall"]) == (paired.f1, paired.precision, paired.recall)
    low = published_targets(cases(squares(10, 5, scores=[0.9, 0.09]), truth=truth)).loc[0]
    assert (low["precision"], low["recall"]) == (1.0, 0.5)
    assert low["swelling_error"] == published_targets(cases(squares(10, scores=[0.9]))).loc[0, "swelling_error"]


def test_swelling_is_off_by_the_volume_that_is_too_much_or_too_little() -> None:
    less = published_targets(cases(squares(10, scores=[0.9]))).loc[0]
    assert less["swelling_error_signed"] == pytest.approx(1000 / 9000 - 1)
    assert less["swelling_error"] == pytest.approx(8000 / 9000)
    more = published_targets(cases(squares(10, 20, 10, scores=[0.9] * 3))).loc[0]
    assert more["swelling_error_signed"] == pytest.approx(1000 / 9000)
    assert more["swelling_error"] == pytest.approx(1000 / 9000)
    both = published_targets(cases(squares(10, scores=[0.9]), squares(10, 20, scores=[0.9, 0.9])))
    assert both["swelling_error"].tolist() == pytest.approx([8 / 9, 0], abs=1e-6)


def test_what_counts_neither_way_does_not_swell() -> None:
    exact = squares(10, 20, 2, scores=[0.9] * 3)
    assert published_targets(cases(exact, smallest_px=4.0)).loc[0, "swelling_error"] == pytest.approx(0, abs=1e-6)
    assert published_targets(cases(exact)).loc[0, "swelling_error"] > 0


def test_where_nothing_is_or_nothing_was_found_there_is_nothing_to_divide_by() -> None:
    none = squares(scores=[])
    both = published_targets(cases(none, truth=none)).loc[0]
    assert both["f1"] == 1
    assert both.drop("f1").isna().all()
    missed = published_targets(cases(none)).loc[0]
    assert (missed["f1"], missed["recall"], missed["swelling_error"]) == (0, 0, 1)
    assert np.isnan(missed["precision"])
    invented = published_targets(cases(squares(5, scores=[0.9]), truth=none)).loc[0]
    assert (invented["f1"], invented["precision"]) == (0, 0)
    assert np.isnan(invented["recall"])
    assert np.isnan(invented["swelling_error"])


# ---------------------------------------------------------------- forest


def made(n: int = 80, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table in which the target is twice the first of the final features, less the second."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.uniform(size=(n, 18)), columns=list(PUBLISHED_18))
    return table, 2 * table["frac_0.9"].to_numpy() - table["count"].to_numpy()


def test_the_forest_learns_what_eight_features_tell() -> None:
    (table, target), (other, truth) = made(200), made(50, seed=1)
    forecast = PublishedForecast().fit(table, target)
    assert np.abs(forecast.predict(other) - truth).mean() < 0.4 * np.abs(target.mean() - truth).mean()
    assert len(forecast.model[-1].estimators_) == 100


def test_the_seed_makes_the_forest_and_features_that_it_does_not_read_change_nothing() -> None:
    table, target = made()
    first, again, other = (PublishedForecast(seed=seed).fit(table, target).predict(table) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
    strange = table.assign(mean_heywood=np.nan)[[*reversed(PUBLISHED_18)]]
    assert (PublishedForecast(seed=3).fit(strange, target).predict(strange) == first).all()


def test_trees_disagree_more_about_cases_that_they_have_not_seen() -> None:
    (table, target), (other, _) = made(), made(seed=1)
    forecast = PublishedForecast().fit(table, target)
    assert forecast.spread(table).shape == (80,)
    assert forecast.spread(other).mean() > 1.2 * forecast.spread(table).mean()


def test_what_cannot_be_learnt_or_asked_is_refused() -> None:
    table, target = made(20)
    with pytest.raises(SettingsError, match="learnt from no cases"):
        PublishedForecast().predict(table)
    with pytest.raises(ShapeError, match="leave out those without"):
        PublishedForecast().fit(table, np.full(20, np.nan))
    with pytest.raises(RecordError, match="reads count; the table has"):
        PublishedForecast().fit(table.drop(columns="count"), target)
    with pytest.raises(RecordError, match="mean_heywood not known"):
        PublishedForecast(PUBLISHED_18).fit(table.assign(mean_heywood=np.nan), target)


def test_recalibration_finds_the_line_that_errors_follow() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.05, 0.3, 4000)
    line = recalibrate(rng.normal(0, 0.5 * spread + 0.04), spread)
    assert line.of([0.1, 0.2]) == pytest.approx([0.09, 0.14], rel=0.05)


# ---------------------------------------------------------------- ranking


def test_shap_ranks_the_features_that_matter_first_and_gives_each_case_its_share() -> None:
    pytest.importorskip("shap")
    table, target = made(40)
    table = table[list(PUBLISHED_8)]
    ranking = rank_features(table, target, seed=0)
    assert ranking.how == "shap"
    assert ranking.features[:2] == ("frac_0.9", "count")
    assert ranking.shap is not None
    assert ranking.importance == pytest.approx(np.abs(ranking.shap).mean(axis=0))
    # Shares of a case add up to its prediction less the mean, and follow the ranking's order.
    predicted = PublishedForecast(PUBLISHED_8, 0).fit(table, target).predict(table)
    gap = predicted - ranking.shap.sum(axis=1)
    assert gap == pytest.approx(gap.mean())
    assert np.corrcoef(ranking.shap[:, 1], table["count"])[0, 1] < -0.9


def test_without_shap_the_features_are_shuffled_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    table, target = made(40)
    ranking = rank_features(table[list(PUBLISHED_8)], target, seed=0)
    assert (ranking.how, ranking.shap) == ("permutation", None)
    assert ranking.features[:2] == ("frac_0.9", "count")
    assert sorted(ranking.features) == sorted(PUBLISHED_8)
    assert (np.diff(ranking.importance) <= 0).all()


def test_errors_fall_when_a_feature_that_matters_comes_in() -> None:
    table, target = made(60)
    noise = [name for name in PUBLISHED_18 if name not in ("frac_0.9", "count")]
    found = error_by_number(
        table, target, [*noise[:5], "frac_0.9", "count"], dealt_folds(range(60), folds=2, repeats=1)
    )
    assert found["number"].tolist() == [5, 6, 7]
    assert found["mae"].is_monotonic_decreasing
    assert found.loc[0, "r2"] < 0.2 < 0.5 < found.loc[2, "r2"]
    assert found["r2_fold"].tolist() != found["r2"].tolist()


# ---------------------------------------------------------------- the authors' table

PAPER_WORDS = {f"frac_0.{k}": f"counts_0.{k}" for k in range(1, 10)} | {
    "area_ratio": "Area ratio", "mean_conf": "Average confidence score", "std_conf": "std confidence",
    "mean_size": "average size", "std_size": "std size", "mean_heywood": "average Heywood",
    "std_heywood": "std_Heywood", "count": "counts", "image_conf": "image confidence", "f1": "F1-score",
    "split": "Split",
}  # fmt: skip


def deposited(n: int = 4) -> pd.DataFrame:
    found = published_table(cases(*(scattered(seed) for seed in range(n))))
    return found.assign(f1=np.linspace(0, 1, n), split=["A&B_C", "B_A"] * (n // 2))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    def write(table: pd.DataFrame) -> Path:
        table.to_csv(tmp_path / "features.csv", index=False)
        return tmp_path / "features.csv"

    return write


Written = Callable[[pd.DataFrame], Path]


@pytest.mark.parametrize("names", [{}, PAPER_WORDS], ids=["our names", "the paper's words"])
def test_a_deposited_table_is_read(names: dict[str, str], written: Written) -> None:
    table = deposited()
    found = read_published_table(written(table.rename(columns=names).assign(image="x.png")[::-1]))
    assert list(found.table) == list(PUBLISHED_18)
    assert found.table.to_numpy() == pytest.approx(table[list(PUBLISHED_18)].to_numpy()[::-1])
    assert found.target.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert found.groups == ["B_A", "A&B_C", "B_A", "A&B_C"]
    assert found.unused == ("image",)


def test_missing_columns_are_listed_with_those_that_are_not_recognised(written: Written) -> None:
    path = written(deposited().rename(columns={"count": "how many", "std_size": "width"}))
    with pytest.raises(RecordError, match="lacks std_size, count; not recognised: width, how many"):
        read_published_table(path)
    found = read_published_table(path, columns={"count": "how many", "std_size": "width"})
    assert found.unused == ()
    with pytest.raises(RecordError, match="lacks count"):
        read_published_table(path, columns={"count": "not there", "std_size": "width"})


def test_a_table_without_splits_has_no_groups_and_one_of_the_final_eight_is_enough(written: Written) -> None:
    found = read_published_table(written(deposited()[[*PUBLISHED_8, "f1"]]), PUBLISHED_8)
    assert found.groups is None
    assert list(found.table) == list(PUBLISHED_8)


def test_images_without_detection_are_in_the_table_as_zeros(written: Written) -> None:
    table = deposited()
    table.loc[1, list(PUBLISHED_18)] = 0.0
    found = read_published_table(written(table))
    assert scored(found.table).tolist() == [True, False, True, True]


def test_two_columns_for_one_feature_are_not_chosen_from(written: Written) -> None:
    table = deposited().assign(counts=1)
    with pytest.raises(RecordError, match="count, counts could all be count"):
        read_published_table(written(table))
    assert read_published_table(written(table), columns={"count": "count"}).unused == ("counts",)


@pytest.mark.parametrize(
    ("column", "value", "wrong"),
    [
        ("f1", 55.0, "f1 lies in 0 to 1"),
        ("mean_size", 300.0, "mean_size lies in 0 to 1"),
        ("frac_0.9", 12.0, "frac_0.9 lies in 0 to 1"),
        ("frac_0.9", 0.123, "add up to 1"),
        ("std_conf", np.nan, "missing or not finite"),
        ("std_conf", "high", "are numbers"),
    ],
)
def test_values_that_cannot_be_are_refused(column: str, value: object, wrong: str, written: Written) -> None:
    table = deposited().astype({column: object})
    table.loc[1, column] = value
    with pytest.raises(RecordError, match=wrong):
        read_published_table(written(table))


def test_a_file_that_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordError, match="wanted a CSV or Excel file"):
        read_published_table(tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(RecordError, match="wanted a CSV or Excel file"):
        read_published_table(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecordError, match="wanted a CSV or Excel file"):
        read_published_table(tmp_path / "binary.csv")

    def no_openpyxl(path: Path) -> None:
        raise ImportError("openpyxl")

    monkeypatch.setattr(pd, "read_excel", no_openpyxl)
    with pytest.raises(DependencyMissing, match="save as CSV"):
        read_published_table(tmp_path / "features.xlsx")
