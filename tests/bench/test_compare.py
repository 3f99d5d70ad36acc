"""Means, differences and fronts of small tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from epistem.bench.compare import alike, by_context, differences, gather, holm, model_means, pareto
from epistem.core import RecordError, SettingsError


def scores_of(
    seed: int = 0, *, gaps: dict[str, float], images: int = 12, seeds: int = 3, seed_sd: float = 0.02,
    dataset: str = "steel",
) -> pd.DataFrame:  # fmt: skip
    """Scores of models a given way above 0.7; images are hard or easy for all models alike."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.1, images)
    rows = []
    for model, gap in gaps.items():
        for s in range(seeds):
            values = 0.7 + gap + image + rng.normal(0, 0.01, images) + rng.normal(0, seed_sd)
            rows += [(dataset, f"i{i}", model, s, value) for i, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["dataset", "image", "model", "seed", "value"])


def test_means_are_those_of_groups_then_of_seeds() -> None:
    table = pd.DataFrame({
        "dataset": "a", "model": "m", "image": ["x", "y", "z"] * 2, "seed": [0] * 3 + [1] * 3,
        "group": ["p", "p", "q"] * 2, "value": [0.1, 0.3, 0.6, 0.3, 0.5, 0.8],
    })  # fmt: skip
    row = model_means(gather(table)).iloc[0]
    assert row["value"] == pytest.approx(((0.2 + 0.6) / 2 + (0.4 + 0.8) / 2) / 2)
    assert row["seed_sd"] == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert row[["groups", "images", "left_out", "seeds"]].tolist() == [2, 3, 0, 2]


def test_intervals_end_where_the_score_does() -> None:
    table = scores_of(gaps={"a": -0.68, "b": 0.25}, images=4)
    table["value"] = table["value"].clip(0, 1)
    free, bound = model_means(gather(table)), model_means(gather(table, ends=(0, 1)))
    assert free["low"].min() < 0 < 1 < free["high"].max()
    assert (bound["low"].min(), bound["high"].max()) == (0, 1)
    assert differences(gather(table, ends=(0, 1)))["low"].min() >= -1


def test_a_model_is_alike_to_those_that_chance_does_not_tell_from_it() -> None:
    scores = gather(scores_of(gaps={"a": 0.0, "b": 0.002, "c": -0.4}))
    assert alike(scores, "a") == {"b"}
    assert alike(scores, "c") == set()
    one_group = gather(scores_of(gaps={"a": 0.0, "c": -0.4}, images=1), seeds="averaged")
    assert alike(one_group, "a") == {"c"}


def test_the_noise_has_the_variance_of_a_mean_of_images_and_of_seeds() -> None:
    table = scores_of(gaps={"a": 0.0, "b": 0.1}, seed_sd=0.05, seeds=5, images=12)
    averaged, crossed = (gather(table, seeds=way).datasets[0] for way in ("averaged", "crossed"))  # type: ignore[arg-type]
    per_image = table.groupby(["model", "image"])["value"].mean().unstack(0)
    # The variance of a t of 11 degrees of freedom is 11/9 of a normal's.
    expected = np.sqrt(per_image.var(ddof=1).to_numpy() / 12 * 11 / 9)
    assert averaged.noise.std(0) == pytest.approx(expected, rel=0.05)
    runs = table.groupby(["model", "seed"])["value"].mean().unstack(0)
    pooled = runs.var(ddof=1).mean() / 5
    # The variance of a t of 8 degrees of freedom is 8/6 of a normal's.
    assert crossed.noise.var(0) == pytest.approx(expected**2 + pooled * 8 / 6, rel=0.1)


def test_two_equal_models_on_three_images_seldom_differ() -> None:
    told = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = [
            {"dataset": "a", "image": str(i), "model": model, "seed": 0, "value": 0.5 + rng.normal(0, 0.05)}
            for i in range(3)
            for model in ("m", "k")
        ]
        told.append(differences(gather(pd.DataFrame(rows), seeds="averaged", draws=1000)).iloc[0]["p"] < 0.05)
    assert np.mean(told) < 0.15  # 0.26 without Student's t


def test_images_that_are_hard_for_both_models_do_not_hide_a_difference() -> None:
    row = differences(gather(scores_of(gaps={"a": 0.03, "b": 0.0}, seed_sd=0.0), seeds="averaged")).iloc[0]
    assert row["p"] < 0.001
    assert 0 < row["low"] < row["difference"] < row["high"] < 0.05
    means = model_means(gather(scores_of(gaps={"a": 0.03, "b": 0.0}, seed_sd=0.0), seeds="averaged"))
    assert means["high"].iloc[1] > means["low"].iloc[0]
    assert means["best"].tolist() == [1.0, 0.0]


def test_a_difference_of_lucky_seeds_is_one_of_these_networks_not_of_the_architectures() -> None:
    table = scores_of(gaps={"a": 0.0, "b": 0.0}, seed_sd=0.05)
    averaged = differences(gather(table, seeds="averaged"))["p"].item()
    crossed = differences(gather(table, seeds="crossed"))["p"].item()
    assert averaged < 0.01
    assert crossed > 0.05


def test_true_ties_are_called_different_about_as_often_as_said() -> None:
    p = []
    for seed in range(50):
        table = scores_of(seed, gaps={"a": 0.0, "b": 0.0, "c": 0.0}, images=8)
        p += differences(gather(table, draws=500))["p"].tolist()
    assert np.mean(np.array(p) < 0.1) < 0.17
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_three_times_the_same_image_is_one_group_and_tells_no_more() -> None:
    table = scores_of(gaps={"a": 0.01, "b": 0.0}, seed_sd=0.0)
    copies = pd.concat([table.assign(image=table["image"] + end, group=table["image"]) for end in "xyz"])
    once, thrice = (differences(gather(one, seeds="averaged")).iloc[0] for one in (table, copies))
    assert thrice["images"] == 3 * once["images"]
    assert thrice["p"] == once["p"]
    assert thrice["low"] == pytest.approx(once["low"])


def test_only_images_that_all_runs_have_are_compared_and_the_others_are_counted() -> None:
    table = scores_of(gaps={"a": 0.0, "b": 0.1})
    table.loc[(table["model"] == "a") & (table["seed"] == 1) & (table["image"] == "i3"), "value"] = np.nan
    without = gather(table[table["image"] != "i3"])
    assert gather(table).datasets[0].left_out == 1
    assert np.array_equal(gather(table).datasets[0].mean, without.datasets[0].mean)
    assert gather(table[~table["value"].isna()]).datasets[0].left_out == 1


def test_one_group_has_means_and_no_interval_and_no_p() -> None:
    scores = gather(scores_of(gaps={"a": 0.0, "b": 0.1}, images=1))
    assert model_means(scores)[["low", "high", "best"]].isna().all(axis=None)
    assert model_means(scores)["value"].notna().all()
    assert differences(scores)[["low", "high", "p", "p_holm"]].isna().all(axis=None)


def test_a_model_with_one_seed_borrows_the_scatter_of_the_others() -> None:
    table = scores_of(gaps={"a": 0.0, "b": 0.0}, seed_sd=0.05)
    scores = gather(table[(table["model"] == "a") | (table["seed"] == 0)]).datasets[0]
    assert scores.seeds == (3, 1)
    assert np.isnan(scores.seed_sd[1])
    assert scores.noise is not None
    assert scores.noise[:, 1].std() > scores.noise[:, 0].std()
    with pytest.raises(SettingsError, match="no model has two seeds on steel"):
        gather(table[table["seed"] == 0])
    assert gather(table[table["seed"] == 0], seeds="averaged").datasets[0].noise is not None


def test_where_lower_is_better_the_lowest_is_the_best() -> None:
    table = scores_of(gaps={"a": 0.2, "b": 0.0})
    assert model_means(gather(table, better="lower"))["best"].tolist() == pytest.approx([0, 1], abs=0.01)


def test_the_same_seed_gives_the_same_tables() -> None:
    table = scores_of(gaps={"a": 0.0, "b": 0.1})
    again = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(differences(gather(table, seed=5)), differences(gather(again, seed=5)))


def test_holm_by_hand_and_unknown_ones_do_not_count() -> None:
    assert holm(np.array([0.01, np.nan, 0.02, 0.9])) == pytest.approx([0.03, np.nan, 0.04, 0.9], nan_ok=True)
    assert holm(np.array([0.5, 0.6])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


def test_holm_is_over_all_datasets_of_the_table() -> None:
    one = scores_of(gaps={"a": 0.02, "b": 0.0})
    both = pd.concat([one, scores_of(1, gaps={"a": 0.0, "b": 0.0}, dataset="zinc")])
    p = differences(gather(both))
    assert p["p_holm"].iloc[0] == pytest.approx(2 * p["p"].iloc[0])


def test_use_cases_weigh_their_datasets_alike_and_need_a_model_on_all() -> None:
    table = pd.concat([
        scores_of(0, gaps={"a": 0.2, "b": 0.0}, images=40, dataset="steel"),
        scores_of(1, gaps={"a": 0.0, "b": 0.1, "c": 0.3}, images=5, dataset="zinc"),
    ])  # fmt: skip
    scores = gather(table)
    found = by_context(scores, {"steel": "hard", "zinc": "hard"}).set_index("model")
    means = model_means(scores).set_index(["dataset", "model"])["value"]
    assert found.loc["a", "value"] == pytest.approx((means["steel", "a"] + means["zinc", "a"]) / 2)
    assert found.loc["a", "low"] < found.loc["a", "value"] < found.loc["a", "high"]
    assert found.loc["a", "best"] > 0.9
    assert found.loc["c", ["value", "low", "best"]].isna().all()
    assert found["missing"].to_dict() == {"a": 0, "b": 0, "c": 1}
    single = by_context(scores, {"steel": "hard", "zinc": "easy"})
    assert single.loc[single["context"] == "easy", "value"].tolist() == pytest.approx(means["zinc"].tolist())
    with pytest.raises(RecordError, match="no context is given for zinc"):
        by_context(scores, {"steel": "hard"})


def test_the_front_holds_what_no_other_beats() -> None:
    table = pd.DataFrame({
        "model": ["small", "large", "slow", "twin", "unmeasured"],
        "iou": [0.7, 0.9, 0.8, 0.7, 0.95], "parameters": [1, 10, 12, 1, np.nan], "latency_ms": [5, 20, 3, 5, 1],
    })  # fmt: skip
    found = pareto(table, quality="iou", costs=["parameters", "latency_ms"]).set_index("model")
    assert found["front_parameters"].tolist() == [True, True, False, True, pd.NA]
    assert found["front_latency_ms"].tolist() == [False, False, False, False, True]
    assert found["front"].tolist() == [True, True, True, True, pd.NA]
    with pytest.raises(RecordError, match="no column price"):
        pareto(table, quality="iou", costs=["price"])


def test_where_lower_quality_is_better_the_front_turns_round() -> None:
    table = pd.DataFrame({"hd95_px": [3.0, 9.0], "parameters": [1, 2]})
    assert pareto(table, quality="hd95_px", costs=["parameters"], better="lower")["front"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="seed"), "seed missing"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "1 scores come twice"),
        (lambda t: t.iloc[:0], "got 0 rows"),
        (lambda t: t.assign(model=t["model"].where(t["model"] != "b")), "a gap in one"),
        (lambda t: t.assign(group=t["seed"]), "12 images are in two groups"),
        (lambda t: t.assign(value=t["value"].where(t["model"] != "b")), r"run \('b', .*0.*\) on steel has no score"),
        (
            lambda t: t[((t["model"] == "a") & (t["image"] < "i5")) | ((t["model"] == "b") & (t["image"] >= "i5"))],
            "no image of steel has a score of all 6 runs",
        ),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecordError, match=message):
        gather(spoil(scores_of(gaps={"a": 0.0, "b": 0.1})))


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(SettingsError, match="'nested'"):
        gather(scores_of(gaps={"a": 0.0}), seeds="nested")  # type: ignore[arg-type]
