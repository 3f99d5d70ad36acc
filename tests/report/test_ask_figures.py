"""Figures of graded answers: what they draw, and that they draw whatever there is."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from epistem.report.ask_figures import (
    by_types,
    cluster_map,
    defect_accuracy,
    gain_bars,
    level_heatmap,
    loss_curve,
    quality_violins,
    type_counts,
)


def scores(n: int, mean: float, **more: object) -> list[dict[str, object]]:
    drawn = np.random.default_rng(0).normal(mean, 12, n).clip(0, 100)
    return [{"category": "general", "subcategory": "simple", "score": value, **more} for value in drawn]


def test_violins_tell_how_many_were_scored_and_how_many_were_not() -> None:
    rows = [*scores(40, 60), *scores(30, 70, subcategory="complex"), *scores(3, 50, category="phase_composition")]
    rows += [{"category": "general", "subcategory": "simple", "score": lost} for lost in (None, math.nan)]
    svg = quality_violins(rows, label="quality by rules-1").decode()
    for text in (">40<", ">+2?<", ">30<", ">3<", "quality by rules-1", ">phase<", ">composition<"):
        assert text in svg
    assert svg.count("FillBetweenPolyCollection") >= 2
    assert svg == quality_violins(rows, label="quality by rules-1").decode()


def test_few_or_equal_scores_are_points_and_no_violin() -> None:
    for rows in (scores(4, 60), [{"category": "general", "subcategory": "complex", "score": 60.0}] * 9):
        assert b"FillBetweenPolyCollection" not in quality_violins(rows)


def test_a_heatmap_names_levels_in_their_order_with_n_and_unscored_and_leaves_what_is_not_there_empty() -> None:
    rows = [
        {"category": "general", "level": "high", "mean": 92.5, "n": 11, "unscored": 2},
        {"category": "general", "level": "none", "mean": 68.84, "n": 12, "unscored": 0},
        {"category": "all", "level": "none", "mean": math.nan, "n": 0, "unscored": 3},
    ]
    svg = level_heatmap(rows, low=0, high=100, label="quality").decode()
    for text in ("92.5 (11 +2?)", "68.8 (12)", "– (0 +3?)"):
        assert text in svg
    assert svg.index(">none<") < svg.index(">high<")
    assert ">basic<" not in svg


def test_types_of_context_are_counted_in_a_panel_for_each_level_that_has_any() -> None:
    rows = [{"level": "none", "material_type": 0, "other": 0}, {"level": "basic", "material_type": 7, "other": 3}]
    svg = type_counts(rows).decode()
    assert "material type" in svg
    assert ">7<" in svg
    assert ">none<" not in svg


def test_combinations_are_sorted_by_their_score_in_each_level() -> None:
    rows = [
        {"level": "basic", "types": name, "n": 4, "mean": mean, "low": mean - 3, "high": mean + 3}
        for name, mean in (("appearance", 50.0), ("material_type", 70.0), ("other", math.nan))
    ]
    svg = by_types(rows, label="quality").decode()
    assert svg.index("material type") > 0
    places = [float(re.findall(r'y="([\d.]+)"', svg[: svg.index(f">{name}<")])[-1])
              for name in ("material type", "appearance", "other")]  # fmt: skip
    assert places == sorted(places)


def test_defects_are_shown_with_sensitivity_specificity_and_the_baseline() -> None:
    row = {"level": "none", "n": 20, "accuracy": 0.75, "low": 0.6, "high": 0.9, "sensitivity": 0.9}
    rows = [
        {**row, "specificity": math.nan, "majority": 0.8},
        {**row, "level": "all", "specificity": 1, "majority": 1},
    ]
    svg = defect_accuracy(rows).decode()
    for text in ("accuracy", "sensitivity", "specificity", "always the more frequent", "n = 20"):
        assert text in svg
    assert ">all<" not in svg


def test_a_gain_whose_interval_holds_zero_is_hatched_and_an_unknown_one_says_so() -> None:
    sure = {"name": "shuffled image", "n": 40, "value": 8.0, "low": 3.0, "high": 13.0}
    unsure = {"name": "template", "n": 40, "value": 2.0, "low": -3.0, "high": 7.0}
    unknown = {"name": "untrained projector", "n": 0, "value": None, "low": None, "high": None}
    patterns = [gain_bars(rows, label="gain").count(b"<pattern") for rows in ([sure], [sure, unsure])]
    assert patterns[1] >= patterns[0]
    svg = gain_bars([sure, unsure, unknown], label="quality points, judged by rules-1").decode()
    for text in ("unknown", "untrained projector", "judged by rules-1", "n = 40"):
        assert text in svg
    bars = [re.findall(r"fill: (#\w+|url\([^)]+\))[^\"]*stroke: #0072b2", gain_bars([one], label="g").decode())
            for one in (sure, unsure)]  # fmt: skip
    assert bars[0][0] == "#0072b2"
    assert bars[1][0] != "#0072b2"


def test_a_map_numbers_its_clusters_and_names_its_splits() -> None:
    rng = np.random.default_rng(1)
    rows = [
        {"paper": str(i), "split": ("train", "test", None)[i % 3], "cluster": 1 + i % 2,
         "title": "pores $ and cracks", "x": float(x), "y": float(y)}
        for i, (x, y) in enumerate(rng.normal(size=(12, 2)))
    ]  # fmt: skip
    svg = cluster_map(rows).decode()
    for text in ("train", "test", "no split", "1  pores $ and cracks"):
        assert text in svg
    assert svg.index(">train<") < svg.index(">test<")


def test_losses_are_drawn_on_a_log_scale_once_they_fall_far() -> None:
    far = [{"step": i, "loss": 3 * 0.9**i} for i in range(60)] + [
        {"step": 30, "eval_loss": 2.0},
        {"train_runtime": 1},
    ]
    svg = loss_curve(far).decode()
    assert "held-out papers" in svg
    assert svg.count("10^{") or "−1" in svg
    assert b"held-out papers" not in loss_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])


@pytest.mark.parametrize(
    "empty",
    [
        lambda: quality_violins([]), lambda: level_heatmap([], low=0, high=1, label="x"), lambda: type_counts([]),
        lambda: by_types([], label="x"), lambda: defect_accuracy([]), lambda: gain_bars([], label="x"),
        lambda: cluster_map([]), lambda: loss_curve([]),
    ],
)  # fmt: skip
def test_nothing_to_draw_is_said(empty) -> None:  # type: ignore[no-untyped-def]
    assert b"nothing to draw" in empty()
