"""Rankings of models against published tables, scipy, and studies whose answer is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from epistem.bench.compare import DatasetScores, Scores, gather
from epistem.bench.ranks import _fit_order, _fit_winner, context_test, mean_ranks, rank_agreement
from epistem.core import SettingsError

NOISE = 0.02


def study(
    means: list[list[float]], *, noise: float = NOISE, seed: int = 0, sign: int = 1, shake: bool = False
) -> Scores:
    """Datasets with given means (shaken: as one study would find them) and normal noise in these."""
    rng = np.random.default_rng(seed)
    parts = []
    for i, row in enumerate(np.array(means, float)):
        found = row + shake * rng.normal(0, noise, len(row))
        draws = rng.normal(0, noise, (1000, len(row)))
        models = tuple("abcdefgh"[: len(row)])
        parts.append(DatasetScores(f"d{i}", models, found, draws, (3,) * len(row), draws[0], 9, 9, 0))
    return Scores(tuple(parts), "crossed", sign, 0.9)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031)])
def test_the_critical_difference_is_that_of_the_printed_table(k: int, q: float) -> None:
    found = mean_ranks(study(np.random.default_rng(0).random((5, k)).tolist()))
    assert found.critical_difference == pytest.approx(q * np.sqrt(k * (k + 1) / 30), abs=2e-3)


def test_mean_ranks_and_friedman_s_test_are_those_of_scipy() -> None:
    means = np.random.default_rng(3).random((7, 4))
    found = mean_ranks(study(means.tolist()))
    chi2 = stats.friedmanchisquare(*means.T).statistic
    assert found.p == pytest.approx(stats.f.sf(6 * chi2 / (7 * 3 - chi2), 3, 18))
    ranks = stats.rankdata(-means, axis=1).mean(0)
    assert found.table.set_index("model")["rank"].to_dict() == pytest.approx(dict(zip("abcd", ranks, strict=True)))
    assert (found.table["low"] <= found.table["rank"]).all()
    assert (found.table["rank"] <= found.table["high"]).all()


def test_models_within_the_critical_difference_share_a_bar() -> None:
    # 12 datasets rank a, b, c alike: ranks 1, 2, 3 and a critical difference of 0.96, below one rank.
    clear = mean_ranks(study([[0.9, 0.8, 0.7]] * 12))
    assert clear.critical_difference == pytest.approx(0.957, abs=1e-3)
    assert clear.alike == ()
    assert clear.p == 0
    # Two datasets tell nothing apart.
    assert mean_ranks(study([[0.9, 0.8, 0.7]] * 2)).alike == (("a", "b", "c"),)
    middle = mean_ranks(study([[0.9, 0.8, 0.7]] * 9))
    assert middle.alike == (("a", "b"), ("b", "c"))


def test_where_lower_is_better_ranks_turn_round() -> None:
    means = [[1.0, 2.0, 3.0], [1.0, 2.5, 3.0]]
    assert mean_ranks(study(means, sign=-1)).table["model"].tolist() == ["a", "b", "c"]
    assert mean_ranks(study(means)).table["model"].tolist() == ["c", "b", "a"]


def test_kendall_s_tau_is_that_of_scipy_and_its_interval_holds_it() -> None:
    means = np.random.default_rng(1).random((3, 6)).round(1)
    found = rank_agreement(study(means.tolist()))
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert found["tau"].tolist() == pytest.approx([stats.kendalltau(means[a], means[b]).statistic for a, b in pairs])
    assert ((found["low"] <= found["tau"]) & (found["tau"] <= found["high"])).all()


def test_rankings_that_cannot_be_told_have_no_tau() -> None:
    assert np.isnan(rank_agreement(study([[0.5, 0.5], [0.4, 0.6]]))["tau"].item())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_the_nearest_means_in_an_order_are_those_of_scipy_s_isotonic_regression(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    y, order = rng.normal(size=(2, 3, k)), tuple(rng.permutation(k).tolist())
    fitted = _fit_order(y, order)
    for ours, row in zip(fitted.reshape(-1, k), y.reshape(-1, k), strict=True):
        expected = optimize.isotonic_regression(row[list(order)], increasing=False).x
        assert ours[list(order)] == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_the_nearest_means_with_a_winner_are_the_nearest_of_all_orders_it_leads(seed: int, k: int) -> None:
    y = np.random.default_rng(seed).normal(size=k)
    ours = _fit_winner(y, (0,))
    led = [_fit_order(y, (0, *rest)) for rest in permutations(range(1, k))]
    nearest = min(led, key=lambda fitted: float(((y - fitted) ** 2).sum()))
    assert ours == pytest.approx(nearest)
    assert ours[0] == ours.max()


def test_for_two_models_the_misfit_is_that_of_gail_and_simon() -> None:
    # a leads by 0.10 and 0.06, b by 0.05: of squared leads in units of noise the smaller sum, (0.05/(√2·0.02))².
    found = context_test(study([[0.6, 0.5], [0.56, 0.5], [0.5, 0.55]]))
    assert found.misfit == pytest.approx(0.05**2 / 2 / NOISE**2, rel=0.1)
    assert found.common == ("a",)
    assert found.own == {"d0": ("a",), "d1": ("a",), "d2": ("b",)}
    assert found.disagreement == pytest.approx(2 / 3)


def test_one_winner_by_more_here_and_less_there_is_no_change_of_winner() -> None:
    found = context_test(study([[0.9, 0.5, 0.4], [0.51, 0.5, 0.3], [0.7, 0.2, 0.6]]))
    assert (found.misfit, found.p, found.disagreement) == (0, 1, 0)
    ranking = context_test(study([[0.9, 0.5, 0.4], [0.51, 0.5, 0.3], [0.7, 0.2, 0.6]]), "ranking")
    assert ranking.p < 0.01
    assert ranking.disagreement == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)


def test_a_winner_that_changes_by_far_more_than_the_noise_is_seen_and_one_within_it_is_not() -> None:
    far, near = [[0.9, 0.6, 0.5], [0.6, 0.9, 0.5]], [[0.61, 0.60, 0.5], [0.60, 0.61, 0.5]]
    for what in ("winner", "ranking"):
        found = context_test(study(far), what)  # type: ignore[arg-type]
        assert found.p < 0.01
        assert found.disagreement > found.by_chance.value
        assert context_test(study(near), what).p > 0.2  # type: ignore[arg-type]
    assert context_test(study(near)).by_chance.high == 1


def test_more_noise_makes_the_same_change_of_winner_less_sure() -> None:
    means = [[0.66, 0.6, 0.5], [0.6, 0.66, 0.5]]
    p = [context_test(study(means, noise=noise)).p for noise in (0.01, 0.03, 0.1)]
    assert p[0] < p[1] < p[2]


@pytest.mark.parametrize("what", ["winner", "ranking"])
@pytest.mark.parametrize("means", [[0.5, 0.5, 0.5], [0.9, 0.5, 0.5], [0.54, 0.52, 0.5]])
def test_under_one_common_order_false_alarms_are_as_rare_as_said(what, means: list[float]) -> None:  # type: ignore[no-untyped-def]
    p = [context_test(study([means] * 3, seed=seed, shake=True), what).p for seed in range(100)]
    assert np.mean(np.array(p) < 0.1) <= 0.15


def test_from_scores_of_images_to_the_answer() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for dataset, gaps in (("afm", (0.1, 0.0)), ("sem", (0.1, 0.0)), ("xct", (0.0, 0.1))):
        for image in range(10):
            hard = rng.normal(0, 0.1)
            rows += [
                (dataset, image, model, seed, 0.6 + gap + hard + rng.normal(0, 0.02))
                for model, gap in zip(("unet", "deeplab"), gaps, strict=True)
                for seed in range(3)
            ]
    table = pd.DataFrame(rows, columns=["dataset", "image", "model", "seed", "value"])
    found = context_test(gather(table))
    assert found.p < 0.01
    assert found.own == {"afm": ("unet",), "sem": ("unet",), "xct": ("deeplab",)}
    extra = table.assign(model="fpn", value=0.9)[table["dataset"] == "afm"].drop_duplicates(["image", "seed"])
    assert context_test(gather(pd.concat([table, extra]))).left_out == ("fpn",)
    alone = table[table["image"] == 0]
    with pytest.raises(SettingsError, match="chance is unknown for afm, sem, xct"):
        context_test(gather(alone))
    assert mean_ranks(gather(alone)).table[["low", "high"]].isna().all(axis=None)
    assert rank_agreement(gather(alone))[["low", "high"]].isna().all(axis=None)


def test_one_dataset_or_one_model_has_nothing_to_compare() -> None:
    with pytest.raises(SettingsError, match="two datasets and two models"):
        mean_ranks(study([[0.1, 0.2]]))
    with pytest.raises(SettingsError, match="two datasets and two models"):
        context_test(study([[0.1], [0.2]]))
    with pytest.raises(SettingsError, match="up to 7 models; got 'ranking' for 8"):
        context_test(study(np.random.default_rng(0).random((2, 8)).tolist()), "ranking")
