"""Expected F1, precision and recall without labels: what follows a signal is found, and nothing is said unfounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from epistem.core import RecordError, SettingsError
from epistem.trust import forecast as module
from epistem.trust.cases import FOREIGN, Cases, Described, joined
from epistem.trust.forecast import GRID, LEAST_CASES, TARGETS, Forecaster, How
from epistem.trust.objects import ObjectModel
from epistem.trust.quality import QUALITY
from epistem.trust.regressors import Regressor
from epistem.trust.table import PARTS, forecast_table
from epistem.trust.verdict import decide

Draw = Callable[..., Cases]
Describe = Callable[[Cases, int], Described]
QUICK = How(scores=(0.5,), folds=2, rounds=10, trees=10)


@pytest.fixture(scope="session")
def new(draw: Draw) -> Cases:
    """400 cases of the same kind as those of `fitted`."""
    return draw(400, seed=1)


def test_what_f1_follows_is_found(fitted: Forecaster, new: Cases) -> None:
    truth, said = new.truth(0.5), fitted.expect(new, 0.5)
    for target in TARGETS:
        value = truth[target].to_numpy()
        error = np.abs(said[target].value - value).mean()
        assert error < 0.45 * np.abs(value - value.mean()).mean(), target
        assert np.corrcoef(said[target].value, value)[0, 1] > 0.9


def test_intervals_cover_as_many_new_cases_as_they_promise(fitted: Forecaster, new: Cases) -> None:
    truth, said = new.truth(0.5), fitted.expect(new, 0.5)
    for target in TARGETS:
        _, low, high = said[target]
        inside = (low <= truth[target]) & (truth[target] <= high)
        assert 0.84 < inside.mean() < 0.97, target
        assert (high - low).mean() < 0.6


def test_every_interval_holds_its_value_and_lies_in_0_to_1(fitted: Forecaster, new: Cases) -> None:
    for value, low, high in fitted.expect(new, 0.5).values():
        assert ((0 <= low) & (low <= value) & (value <= high) & (high <= 1)).all()


def test_an_image_of_the_same_kind_is_forecast_as_in_the_table(
    fitted: Forecaster, new: Cases, described: Describe
) -> None:
    told, said = fitted.predict(described(new, 7), 0.5), fitted.expect(new, 0.5)
    for target in TARGETS:
        span = getattr(told, target)
        assert (span.value, span.low, span.high) == tuple(values[7] for values in said[target])
        assert span.coverage == 0.9
    assert (told.reference_n, told.n_kept, told.unscored) == (150, 24, None)
    assert told.typicality is not None
    assert told.typicality > 1 / 151


def test_the_score_snaps_to_the_nearest_fitted_one_and_says_so(
    fitted: Forecaster, new: Cases, described: Describe
) -> None:
    told = fitted.predict(described(new, 0), 0.62)
    assert (told.used_score, told.asked_score) == (0.5, 0.62)
    assert "from a score of 0.50: the nearest to the 0.62 asked for" in decide(told)[1][-1]
    assert not any("nearest" in reason for reason in decide(fitted.predict(described(new, 0), 0.5))[1])


@pytest.mark.parametrize(
    ("asked", "used"), [(0.02, 0.1), (0.34, 0.3), (0.36, 0.4), (0.35, 0.3), (0.45, 0.4), (1, 0.9)]
)
def test_of_two_equally_near_scores_it_is_the_lower(asked: float, used: float) -> None:
    assert Forecaster().snapped(asked) == used
    assert GRID == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def test_a_table_at_a_score_that_was_not_fitted_is_refused(fitted: Forecaster, new: Cases) -> None:
    with pytest.raises(SettingsError, match=r"holds for scores of 0.5; not 0.4"):
        fitted.expect(new, 0.4)


def test_nothing_kept_is_unscored_with_a_reason_and_without_a_number(
    fitted: Forecaster, new: Cases, described: Describe
) -> None:
    one = described(new, 0)
    for objects in (one.objects[:0], one.objects.assign(score=np.float32(0.3))):
        told = fitted.predict(one._replace(objects=objects), 0.5)
        assert told.unscored == "nothing was found with a score of 0.5 or more"
        assert (told.f1, told.precision, told.recall) == (None, None, None)
        assert told.typicality is not None  # of the image alone
        assert told.typicality > 1 / 151
        assert decide(told)[0] is None


def test_an_image_of_another_kind_in_which_nothing_is_found_is_unscored_and_refused(
    fitted: Forecaster, new: Cases, described: Describe
) -> None:
    one = described(new, 0)
    strange = {"q_band_3": 40.0, "q_tail": -40.0, "q_uneven": 40.0}
    told = fitted.predict(Described({**one.image, **strange}, one.objects[:0]), 0.5)
    assert told.f1 is None
    assert told.typicality == pytest.approx(1 / 151)
    assert {beyond.signal for beyond in told.beyond} >= set(strange)
    assert decide(told)[0] == "refuse"


def test_cases_in_which_nothing_is_kept_have_no_number_in_the_table_either(fitted: Forecaster, draw: Draw) -> None:
    cases = draw(3, seed=5)
    cases.objects.loc[cases.objects["case"] == 1, "score"] = np.float32(0.3)
    for values in fitted.expect(cases, 0.5).values():
        assert np.isnan(values).tolist() == [[False, True, False]] * 3


def test_another_kind_of_image_is_at_its_least_typical_and_its_signals_are_named(
    fitted: Forecaster, new: Cases, described: Describe
) -> None:
    one = described(new, 0)
    told = fitted.predict(one._replace(image={**one.image, "q_band_3": 40.0, "q_tail": -40.0}), 0.5)
    assert told.typicality == pytest.approx(1 / 151)
    assert {beyond.signal for beyond in told.beyond} >= {"q_band_3", "q_tail"}


def test_probabilities_are_of_models_that_have_not_seen_the_image(
    monkeypatch: pytest.MonkeyPatch, draw: Draw
) -> None:
    judged: list[set[str]] = []

    class Spy(ObjectModel):
        def fit(self, cases: Cases) -> Self:
            self.seen = set(cases.images["image"])
            return super().fit(cases)

        def predict(self, cases: Cases) -> Any:
            images = set(cases.images["image"])
            assert not images & self.seen
            judged.append(images)
            return super().predict(cases)

    monkeypatch.setattr(module, "ObjectModel", Spy)
    cases = draw(31, detectors=("d", "e"))  # each image twice: once through each detector
    Forecaster(replace(QUICK, folds=3)).fit(cases, intervals=False)
    assert len(judged) == 3
    assert sorted(name for images in judged for name in images) == sorted(set(cases.images["image"]))


def test_what_only_chance_makes_right_is_not_believed_where_it_was_not_seen(
    monkeypatch: pytest.MonkeyPatch, draw: Draw
) -> None:
    told: list[Any] = []

    def table(cases: Cases, least: float, probability: Any, parts: Any) -> Any:
        told.append(probability)
        return forecast_table(cases, least, probability, parts)

    monkeypatch.setattr(module, "forecast_table", table)
    cases = draw(60)
    right = np.random.default_rng(3).random(len(cases.objects)) < 0.5
    cases = Cases(cases.images, cases.objects.assign(right=right))
    fitted = Forecaster(QUICK).fit(cases, intervals=False)
    assert abs(np.corrcoef(told[0], right)[0, 1]) < 0.1
    assert np.corrcoef(fitted.objects.predict(cases), right)[0, 1] > 0.4


def test_errors_behind_intervals_are_of_regressors_that_have_not_seen_the_image(
    monkeypatch: pytest.MonkeyPatch, draw: Draw
) -> None:
    asked: list[tuple[set[float], set[float]]] = []

    class Spy(Regressor):
        def fit(self, table: Any, goal: Any) -> Self:
            self.seen = set(table["q_skew"])
            return super().fit(table, goal)

        def predict(self, table: Any) -> Any:
            asked.append((self.seen, set(table["q_skew"])))
            return super().predict(table)

    monkeypatch.setattr(module, "Regressor", Spy)
    Forecaster(QUICK).fit(draw(60))
    assert len(asked) == len(TARGETS) * QUICK.folds
    assert not any(seen & judged for seen, judged in asked)


def test_the_same_seed_and_cases_make_the_same_forecast(draw: Draw) -> None:
    cases, new = draw(60), draw(10, seed=1)
    one, other = (Forecaster(QUICK).fit(cases, intervals=False).expect(new, 0.5) for _ in range(2))
    for target in TARGETS:
        np.testing.assert_array_equal(one[target], other[target])


@pytest.mark.parametrize("parts", [("published",), ("signals",), ("published", "quality"), ("counts",)])
def test_a_forecast_with_fewer_parts_still_says_what_it_can(
    parts: tuple[str, ...], draw: Draw, described: Describe
) -> None:
    cases = draw(60)
    fitted = Forecaster(replace(QUICK, parts=parts)).fit(cases)
    told = fitted.predict(described(cases, 0), 0.5)
    assert told.f1 is not None
    assert (told.typicality is None) == (not {"signals", "quality"} & set(parts))


def test_boxes_alone_without_images_and_pixel_sizes_are_enough(draw: Draw, described: Describe) -> None:
    cases, names = draw(60), ["c_core", "c_rim", "c_spread", "heywood"]
    blind = Cases(
        cases.images.assign(**dict.fromkeys(QUALITY, np.nan), pixel_nm=np.nan),
        cases.objects.assign(**dict.fromkeys(names, np.float32(np.nan))),
    )
    fitted = Forecaster(QUICK).fit(blind)
    told = fitted.predict(described(blind, 0), 0.5)
    assert told.f1 is not None
    assert (told.flat, told.contrast_to_noise) == (None, None)
    # An image tells more than the reference knew: nothing to hold it against, so nothing is beyond it.
    seen = fitted.predict(described(cases, 0), 0.5)
    assert seen.f1 is not None
    assert not {one.signal for one in seen.beyond} & {*QUALITY, "s_contrast", "s_fringe"}


def test_fewer_than_50_cases_or_a_single_group_are_refused(draw: Draw) -> None:
    with pytest.raises(SettingsError, match=r"fitted on 50 cases or more, 49 came; label more images"):
        Forecaster(QUICK).fit(draw(LEAST_CASES - 1))
    with pytest.raises(SettingsError, match="two groups or more; all cases have split 's'"):
        Forecaster(replace(QUICK, group="split")).fit(draw(LEAST_CASES))


def test_objects_that_are_all_right_teach_nothing(draw: Draw) -> None:
    cases = draw(LEAST_CASES)
    with pytest.raises(SettingsError, match="objects that are right and wrong"):
        Forecaster(QUICK).fit(Cases(cases.images, cases.objects.assign(right=True)))


def test_features_of_another_version_are_refused(draw: Draw, fitted: Forecaster, new: Cases) -> None:
    other = Forecaster(fitted.how)
    other.objects, other.regressors, other.columns = fitted.objects, fitted.regressors, fitted.columns[:-1]
    with pytest.raises(RecordError, match="fitted on other features"):
        other.expect(new, 0.5)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"scores": ()}, "scores are rising"), ({"scores": (0.5, 0.3)}, "scores are rising"),
        ({"scores": (0.01,)}, "from 0.02"), ({"scores": (1.0,)}, "below 1"), ({"parts": ()}, "not none"),
        ({"parts": ("magic",)}, "magic"), ({"folds": 1}, "at least 2"), ({"group": "lab"}, "not by lab"),
        ({"coverage": 1.0}, "coverage"),
    ],
)  # fmt: skip
def test_meaningless_ways_of_fitting_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        How(**values)


def test_a_row_says_what_is_expected_of_the_objects_by_their_probabilities(draw: Draw) -> None:
    cases = draw(2)
    probability = np.where(cases.objects["case"] == 0, 0.75, 0.25)
    cases.objects["score"] = np.tile(np.float32([0.9] * 16 + [0.2] * 8), 2)
    cases.objects["diameter_px"] = np.tile(np.float32([6.0] * 4 + [20.0] * 20), 2)
    table = forecast_table(cases, 0.5, probability, PARTS)
    assert table["n"].tolist() == [16, 16]
    assert table["e_precision"].tolist() == pytest.approx([0.75, 0.25])
    assert table["e_recall"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert table["e_f1"].tolist() == pytest.approx([24 / (16 + 18), 8 / (16 + 6)])
    assert table["e_small"].tolist() == pytest.approx([0.25, 0.25])
    assert np.expm1(table["e_below"]).tolist() == pytest.approx([6, 2])
    assert table["pixels"].tolist() == pytest.approx([np.log10(200_000)] * 2)


def foreign_cases(draw: Draw, **columns: float) -> Cases:
    other = draw(40, seed=7)
    return Cases(other.images.assign(source=FOREIGN, asked=0, **columns), other.objects.assign(right=False))


def test_what_is_like_foreign_images_is_less_typical_than_what_is_as_far_off_elsewhere(
    draw: Draw, new: Cases
) -> None:
    fitted = Forecaster(QUICK).fit(joined([draw(80), foreign_cases(draw, q_skew=4.0)]))
    assert fitted.reference_n == 80
    shares = []
    for skew in (4.0, -4.0):
        table = fitted._table(Cases(new.images.assign(q_skew=skew), new.objects), 0.5)
        shares.append(fitted.typicality[0.5].share_less_typical(table).mean())
    assert shares[0] < 0.5 * shares[1]


def test_f1_is_learnt_from_no_foreign_image(draw: Draw, new: Cases) -> None:
    alone, beside = (Forecaster(QUICK).fit(joined(parts)) for parts in ([draw(80)], [draw(80), foreign_cases(draw)]))
    np.testing.assert_array_equal(beside.expect(new, 0.5)["f1"], alone.expect(new, 0.5)["f1"])


def test_beyond_what_was_seen_a_forecast_follows_what_the_counts_let_expect() -> None:
    rng = np.random.default_rng(0)
    seen, new = rng.uniform(0.5, 1.0, 200), np.array([0.2, 0.4])
    tables = [pd.DataFrame({"e_f1": one, "noise": rng.random(len(one))}) for one in (seen, new)]
    following, bare = (Regressor(50, 20, expected=name).fit(tables[0], seen) for name in ("e_f1", ""))
    assert (bare.predict(tables[1]) > 0.5).all()
    assert np.diff(following.predict(tables[1])) == pytest.approx([0.1], abs=0.02)


def test_without_intervals_no_single_image_is_told_of(draw: Draw, described: Describe) -> None:
    cases = draw(60)
    bare = Forecaster(QUICK).fit(cases, intervals=False)
    assert np.isnan(bare.expect(cases, 0.5)["f1"].low).all()
    with pytest.raises(SettingsError, match="without intervals"):
        bare.predict(described(cases, 0), 0.5)
