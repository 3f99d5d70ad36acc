"""Accept, review, refuse: which, why, what that saves; and which images to label first."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from epistem.core import Interval, SettingsError, ShapeError
from epistem.trust.label_first import label_first
from epistem.trust.profiles import CONTRAST
from epistem.trust.quality import QUALITY
from epistem.trust.result import WORDS, Beyond, Forecast, contrast_to_noise
from epistem.trust.signals import SIGNALS
from epistem.trust.verdict import Costs, Limits, decide, expected_costs

GOOD = Forecast(
    0.5, 0.5, Interval(0.66, 0.82, 0.91, 0.9), Interval(0.7, 0.9, 0.95, 0.9), Interval(0.5, 0.76, 0.9, 0.9),
    typicality=0.4, reference_n=320, n_kept=80, contrast_to_noise=2.0, flat=0.02,
)  # fmt: skip
NOISE = Beyond("q_noise", 0.91, 0.1, 0.62)


def expecting(low: float, value: float, high: float) -> Forecast:
    return replace(GOOD, f1=Interval(low, value, high, 0.9))


def test_a_good_typical_image_is_accepted_with_its_number_and_what_was_asked() -> None:
    assert decide(GOOD) == ("accept", ("Expected F1 0.82 (0.66–0.91, 90 %), at least the 0.70 asked for.",))


@pytest.mark.parametrize(
    ("forecast", "verdict", "words"),
    [
        (expecting(0.5, 0.6, 0.7), "review", "under the 0.70 asked for: look at the overlay, first for missed"),
        (expecting(0.2, 0.4, 0.6), "refuse", "under the 0.50 needed: correct the objects by hand"),
        (expecting(0.3, 0.8, 0.9), "review", "may lie under 0.50"),
        (replace(GOOD, typicality=0.03), "review", "Less typical than 97 % of the 320 reference images"),
        (replace(GOOD, typicality=0.003), "refuse", "Less typical than 99.7 % of the 320 reference images"),
        (replace(GOOD, typicality=None), "review", "is not known"),
        (replace(GOOD, beyond=(NOISE,)), "review", "320 reference images: noise (0.91, above 0.1 to 0.62). Look"),
        (replace(GOOD, beyond=(NOISE,) * 3), "refuse", "label 50 such images and run epistem forecast fit"),
        (replace(GOOD, contrast_to_noise=0.4), "review", "by 0.40 of their standard deviation"),
        (replace(GOOD, contrast_to_noise=0.1), "refuse", "no more than chance places"),
        (replace(GOOD, flat=0.97), "refuse", "97 % of neighbouring pixels are exactly equal"),
        (replace(GOOD, n_kept=1), "review", "Only 1 object:"),
    ],
)
def test_each_limit_has_its_verdict_and_its_reason_comes_first(forecast: Forecast, verdict: str, words: str) -> None:
    given, reasons = decide(forecast)
    assert given == verdict
    assert words in reasons[0]


def test_the_gravest_finding_decides_and_the_others_are_told_too() -> None:
    verdict, reasons = decide(replace(expecting(0.5, 0.6, 0.7), n_kept=2, beyond=(NOISE,) * 5))
    assert verdict == "refuse"
    assert "and 2 more" in reasons[0]
    assert [words in " ".join(reasons[1:]) for words in ("Expected F1 0.60", "Only 2 objects")] == [True, True]


def test_the_weaker_of_precision_and_recall_says_what_to_look_for() -> None:
    swapped = replace(expecting(0.5, 0.6, 0.7), precision=GOOD.recall, recall=GOOD.precision)
    assert "first for false ones (expected precision 0.76, recall 0.90)" in decide(swapped)[1][0]
    assert "first for" not in decide(replace(swapped, recall=None))[1][0]


def test_a_value_on_its_limit_passes_and_one_a_hair_under_it_is_told_exactly() -> None:
    assert decide(expecting(0.5, 0.7, 0.9))[0] == "accept"
    verdict, reasons = decide(expecting(0.5, 0.6996, 0.9))
    assert verdict == "review"
    assert "0.70 (it is 0.6996)" in reasons[0]


def test_nothing_found_is_unscored_and_has_no_verdict() -> None:
    nothing = Forecast(0.5, 0.5, unscored="nothing was found", typicality=0.9)
    verdict, reasons = decide(nothing)
    assert verdict is None
    assert reasons[0].startswith("Unscored: nothing was found. An empty image and one where everything was missed")
    assert "blank" in decide(replace(nothing, flat=1.0))[1][1]


def test_a_snapped_score_is_told_with_and_without_a_verdict() -> None:
    said = "Objects count from a score of 0.50: the nearest to the 0.47 asked for that a forecast exists for."
    assert decide(replace(GOOD, asked_score=0.47))[1][-1] == said
    assert decide(Forecast(0.5, 0.47, unscored="nothing was found"))[1][-1] == said


def test_stricter_limits_never_make_a_verdict_milder() -> None:
    order = ["accept", "review", "refuse"]
    strict = Limits(0.9, 0.8, 0.7, 0.5, 0.45, 1, 1, 3.0, 1.0, 100, 0.01)
    for forecast in (GOOD, expecting(0.3, 0.8, 0.9), replace(GOOD, beyond=(NOISE,)), replace(GOOD, n_kept=1)):
        mild, hard = (decide(forecast, limits)[0] for limits in (Limits(), strict))
        assert order.index(hard or "") >= order.index(mild or "")
    assert decide(GOOD, strict)[0] == "refuse"


@pytest.mark.parametrize(
    "settings",
    [
        {"accept_f1": 1.2}, {"refuse_f1": 0.8}, {"accept_low": 0.75}, {"refuse_typicality": 0.2},
        {"refuse_beyond": 0}, {"review_beyond": 0}, {"refuse_contrast": 0.7}, {"fewest": -1},
        {"most_flat": float("nan")},
    ],
)  # fmt: skip
def test_limits_that_contradict_themselves_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        Limits(**settings)  # type: ignore[arg-type]


def test_every_signal_of_an_image_has_plain_words() -> None:
    assert set(WORDS) == {*QUALITY, *CONTRAST, *SIGNALS}
    assert Beyond("no_such", 0.05, 0.1, 0.2).in_words() == "no_such (0.05, below 0.1 to 0.2)"


@pytest.mark.parametrize(
    "wrong",
    [
        {"f1": None}, {"unscored": "nothing was found"}, {"typicality": 1.1}, {"n_kept": -1}, {"flat": float("nan")},
        {"f1": Interval(0.5, 0.8, 1.2, 0.9)}, {"recall": Interval(-0.1, 0.8, 0.9, 0.9)},
        {"contrast_to_noise": float("nan")},
    ],
)  # fmt: skip
def test_a_forecast_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        replace(GOOD, **wrong)  # type: ignore[arg-type]


def test_contrast_is_that_of_the_middle_or_the_rim_of_the_objects_that_count() -> None:
    objects = pd.DataFrame(
        {"score": [0.9, 0.8, 0.1], "c_core": [-2.0, 0.1, 50.0], "c_rim": [0.5, 3.0, 0.0], "c_spread": [1.0, 0.5, 1.0]}
    )
    assert contrast_to_noise(objects, 0.5) == pytest.approx((2 + 6) / 2)
    assert contrast_to_noise(objects, 0.95) is None
    assert contrast_to_noise(objects.assign(c_spread=np.nan), 0.5) is None


# ---------------------------------------------------------------- what it costs


def test_costs_are_those_of_the_outcomes_beside_accepting_and_reviewing_all() -> None:
    costs = Costs(bad_accepted=10, good_refused=3, review=1, good_f1=0.7)
    rows = expected_costs(
        [0.9, 0.7, 0.8, 0.2, 0.1, 0.3, np.nan],
        ["accept", "refuse", "refuse", "accept", "refuse", None, "accept"],
        costs,
    )
    assert rows["cost_as_decided"].value == pytest.approx((0 + 3 + 3 + 10 + 0 + 1) / 6)
    assert rows["cost_all_accepted"].value == pytest.approx(30 / 6)
    assert rows["cost_all_reviewed"].value == 1
    assert rows["saved_to_accepted"].value == pytest.approx(13 / 6)
    assert (rows["good_refuse"].value, rows["bad_accept"].value, rows["bad_review"].value) == (2, 1, 1)
    assert "1 unscored cost a review; 1 without true F1 left out" in rows["cost_as_decided"].note


def test_costs_of_no_image_and_of_one_say_why_they_have_no_interval() -> None:
    none = expected_costs([np.nan], ["accept"])["cost_as_decided"]
    assert (none.value, none.low) == (None, None)
    one = expected_costs([0.9], ["review"])["cost_as_decided"]
    assert (one.value, one.low) == (1.0, None)


def test_verdicts_and_truths_of_different_number_are_refused() -> None:
    with pytest.raises(ShapeError, match="got 1 for"):
        expected_costs([0.9, 0.8], ["accept"])
    with pytest.raises(SettingsError, match="not negative"):
        Costs(review=-1)


# ---------------------------------------------------------------- which to label


def case(f1: float, typicality: float | None = 0.5) -> Forecast:
    return replace(GOOD, f1=Interval(max(0, f1 - 0.1), f1, min(1, f1 + 0.1), 0.9), typicality=typicality)


def test_the_worst_forecast_comes_first_and_among_equals_the_less_typical() -> None:
    signals = pd.DataFrame({"q_noise": [0.0, 1.0, 2.0], "q_skew": [0.0, 1.0, 2.0]})
    assert label_first([case(0.9), case(0.3), case(0.8)], signals)[0].row == 1
    assert label_first([case(0.5, 0.9), case(0.5, 0.6), case(0.5, 0.1)], signals)[0].row == 2


def test_a_twin_of_a_chosen_image_waits_behind_a_milder_other_one() -> None:
    signals = pd.DataFrame({"q_noise": [0.0, 0.0, 5.0], "q_skew": [1.0, 1.0, 1.0]})
    picks = label_first([case(0.2), case(0.25), case(0.6)], signals)
    assert [one.row for one in picks] == [0, 2, 1]
    assert "nearest to it of those before is image 0, which differs most in noise (2.1 standard" in picks[1].reason


def test_unscored_images_follow_the_scored_and_foreign_ones_come_last_with_the_reason() -> None:
    unscored = Forecast(0.5, 0.5, unscored="nothing was found", typicality=0.5)
    everyone = [case(0.1, 0.001), unscored, case(0.9)]
    picks = label_first(everyone, pd.DataFrame({"q_noise": [0.0, 1.0, 2.0]}))
    assert [one.row for one in picks] == [2, 1, 0]
    assert picks[1].reason.startswith("Unscored")
    assert "right kind at all" in picks[2].reason
    assert len(label_first(everyone, pd.DataFrame({"q_noise": [0.0, 1.0, 2.0]}), 1)) == 1


def test_unknown_and_constant_signals_do_not_count() -> None:
    known = pd.DataFrame({"q_noise": [0.0, 0.1, 3.0], "q_skew": [np.nan, 1.0, 1.0], "q_flat": [np.nan] * 3})
    forecasts = [case(0.2), case(0.3), case(0.3)]
    assert [one.row for one in label_first(forecasts, known)] == [0, 2, 1]
    blank = pd.DataFrame({"q_flat": [np.nan] * 3})
    assert [one.row for one in label_first(forecasts, blank)] == [0, 1, 2]


def test_no_image_gives_no_pick_and_missing_rows_are_refused() -> None:
    assert label_first([], pd.DataFrame()) == []
    with pytest.raises(ShapeError, match="row of signals"):
        label_first([GOOD], pd.DataFrame({"q_noise": [0.0, 1.0]}))


def test_limits_are_all_explained() -> None:
    assert all(field.name in (Limits.__doc__ or "") for field in fields(Limits))
