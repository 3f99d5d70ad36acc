"""Accept, review or refuse: what to do with a result, why, and what that saves.

========  ==================================================================================
accept    the numbers may be used
review    a person looks at the overlay first
refuse    nothing backs the numbers
none      unscored: nothing can be forecast, so nothing is decided
========  ==================================================================================

Each limit gives a finding of its own; the gravest decides and comes first among the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval, Quantity, SettingsError, ShapeError, Verdict
from epistem.stats.resample import bootstrap_interval
from epistem.trust.result import Forecast

_GRAVEST: tuple[Verdict, ...] = ("refuse", "review", "accept")
_SHOWN = 3


@dataclass(frozen=True)
class Limits:
    """What a result must reach.

    Attributes:
        accept_f1: expected F1 from which it is accepted.
        accept_low: least lower end of the interval of F1.
        refuse_f1: expected F1 under which it is refused.
        accept_typicality, refuse_typicality: share of the reference images that must be less typical, to be
            accepted and not to be refused.
        review_beyond, refuse_beyond: so many signals outside the reference images.
        accept_contrast, refuse_contrast: contrast-to-noise of the typical object.
        fewest: objects under which one more or less changes F1 too much to accept.
        most_flat: share of exactly equal neighbours above which an image is blank, saturated or a drawing.

    Raises:
        SettingsError: out of range, or a limit for refusing that is stricter than the one for accepting.
    """

    accept_f1: float = 0.7
    accept_low: float = 0.5
    refuse_f1: float = 0.5
    accept_typicality: float = 0.05
    refuse_typicality: float = 0.025
    review_beyond: int = 1
    refuse_beyond: int = 3
    # On hard simulated images the median over chance places is 0.3 to 0.4, and under 0.6 in nine images of ten; over
    # the true objects it is 1.0 to 2.3.
    accept_contrast: float = 0.5
    refuse_contrast: float = 0.3
    fewest: int = 3
    most_flat: float = 0.8

    def __post_init__(self) -> None:
        for name in ("accept_f1", "accept_low", "refuse_f1", "accept_typicality", "refuse_typicality", "most_flat"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} lies in 0 to 1, not {getattr(self, name)}")
        for lower, upper in (
            ("refuse_f1", "accept_f1"), ("accept_low", "accept_f1"), ("refuse_typicality", "accept_typicality"),
            ("review_beyond", "refuse_beyond"), ("refuse_contrast", "accept_contrast"),
        ):  # fmt: skip
            if not getattr(self, lower) <= getattr(self, upper):
                raise SettingsError(
                    f"{lower} is at most {upper}, not {getattr(self, lower)} and {getattr(self, upper)}"
                )
        if self.review_beyond < 1 or not self.refuse_contrast >= 0 or self.fewest < 0:
            raise SettingsError(
                "review_beyond is at least 1, refuse_contrast and fewest at least 0; got "
                f"{self.review_beyond}, {self.refuse_contrast} and {self.fewest}"
            )


class _Finding(NamedTuple):
    allows: Verdict
    reason: str


def decide(forecast: Forecast, limits: Limits | None = None) -> tuple[Verdict | None, tuple[str, ...]]:
    """What to do with a result, and why, the gravest reason first; no verdict where it is unscored.

    >>> good = Forecast(0.5, 0.5, Interval(0.66, 0.82, 0.91, 0.9), typicality=0.4, n_kept=80)
    >>> decide(good)
    ('accept', ('Expected F1 0.82 (0.66–0.91, 90 %), at least the 0.70 asked for.',))
    """
    limits = limits or Limits()
    asked = _score(forecast)
    if forecast.f1 is None:
        blank = [one.reason for one in _flat(forecast, limits)]
        # Nothing found in an image of another kind says nothing about the specimen.
        foreign = [one.reason for one in _unlike(forecast, limits) if one.allows == "refuse"]
        return "refuse" if foreign else None, (*foreign, why_unscored(forecast), *blank, *asked)
    found = [
        _expected(forecast, forecast.f1, limits), *_typicality(forecast, limits), *_beyond(forecast, limits),
        *_contrast(forecast, limits), *_flat(forecast, limits), *_few(forecast, limits),
    ]  # fmt: skip
    found.sort(key=lambda one: _GRAVEST.index(one.allows))
    return found[0].allows, (*(one.reason for one in found), *asked)


def is_foreign(forecast: Forecast, limits: Limits) -> bool:
    """Whether the image is refused for being unlike the reference images, whatever its expected F1."""
    return any(one.allows == "refuse" for one in _unlike(forecast, limits))


# ---------------------------------------------------------------- findings


def _unlike(forecast: Forecast, limits: Limits) -> list[_Finding]:
    return [*_typicality(forecast, limits), *_beyond(forecast, limits)]


def _expected(forecast: Forecast, f1: Interval, limits: Limits) -> _Finding:
    said = f"Expected F1 {f1.value:.2f} ({f1.low:.2f}–{f1.high:.2f}, {100 * f1.coverage:.0f} %)"
    if f1.value < limits.refuse_f1:
        do = "correct the objects by hand, or train on labelled images of this kind"
        return _Finding("refuse", f"{said}, under the {_under(limits.refuse_f1, f1.value)} needed: {do}.")
    if f1.value < limits.accept_f1:
        under = _under(limits.accept_f1, f1.value)
        return _Finding("review", f"{said}, under the {under} asked for: look at the overlay{_weaker(forecast)}.")
    if f1.low < limits.accept_low:
        under = _under(limits.accept_low, f1.low)
        return _Finding("review", f"{said}, but it may lie under {under}: look at the overlay{_weaker(forecast)}.")
    return _Finding("accept", f"{said}, at least the {limits.accept_f1:.2f} asked for.")


def _under(limit: float, value: float) -> str:
    """The limit, and the value too where two decimals would show both as one."""
    return f"{limit:.2f}" if f"{value:.2f}" != f"{limit:.2f}" else f"{limit:.2f} (it is {value:.4f})"


def _weaker(forecast: Forecast) -> str:
    precision, recall = forecast.precision, forecast.recall
    if precision is None or recall is None:
        return ""
    what = "missed objects" if recall.value < precision.value else "false ones"
    return f", first for {what} (expected precision {precision.value:.2f}, recall {recall.value:.2f})"


def _typicality(forecast: Forecast, limits: Limits) -> list[_Finding]:
    share = forecast.typicality
    if share is None:
        return [_Finding("review", "How typical this image is of the reference images is not known: look at it.")]
    if share >= limits.accept_typicality:
        return []
    said = f"Less typical than {100 * (1 - share):.3g} % of {references(forecast)}"
    if share >= limits.refuse_typicality:
        return [_Finding("review", f"{said}: look at the overlay before using the numbers.")]
    return [_Finding("refuse", f"{said}: numbers are not backed; {_LABEL}.")]


_LABEL = "if it is an image of the right kind, label 50 such images and run epistem forecast fit"


def references(forecast: Forecast) -> str:
    """The reference images, with their number where it is known."""
    return f"the {forecast.reference_n} reference images" if forecast.reference_n else "the reference images"


def _beyond(forecast: Forecast, limits: Limits) -> list[_Finding]:
    outside = forecast.beyond
    if len(outside) < limits.review_beyond:
        return []
    named = [one.in_words() for one in outside[:_SHOWN]]
    if len(outside) > _SHOWN:
        named.append(f"{len(outside) - _SHOWN} more")
    what = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    said = f"Outside the range of {references(forecast)}: {what}"
    if len(outside) < limits.refuse_beyond:
        return [_Finding("review", f"{said}. Look at the overlay before using the numbers.")]
    return [_Finding("refuse", f"{said}. Numbers are not backed; {_LABEL}.")]


def _contrast(forecast: Forecast, limits: Limits) -> list[_Finding]:
    contrast = forecast.contrast_to_noise
    if contrast is None or contrast >= limits.accept_contrast:
        return []
    said = f"The typical object stands out of its surroundings by {contrast:.2f} of their standard deviation"
    if contrast < limits.refuse_contrast:
        return [_Finding("refuse", f"{said}, no more than chance places: take the image with more dose or defocus.")]
    return [_Finding("review", f"{said}, {limits.accept_contrast:g} is wanted: look whether they are there.")]


def _flat(forecast: Forecast, limits: Limits) -> list[_Finding]:
    if forecast.flat is None or forecast.flat <= limits.most_flat:
        return []
    said = f"{100 * forecast.flat:.0f} % of neighbouring pixels are exactly equal"
    return [_Finding("refuse", f"{said}: the image is blank, saturated or a drawing.")]


def _few(forecast: Forecast, limits: Limits) -> list[_Finding]:
    n = forecast.n_kept
    if n >= limits.fewest:
        return []
    return [
        _Finding(
            "review", f"Only {n} object{'s'[: n != 1]}: one missed or false changes F1 much. Look at the overlay."
        )
    ]


def _score(forecast: Forecast) -> list[str]:
    if forecast.used_score == forecast.asked_score:
        return []
    return [
        f"Objects count from a score of {forecast.used_score:.2f}: the nearest to the {forecast.asked_score:g} asked "
        "for that a forecast exists for."
    ]


def why_unscored(forecast: Forecast) -> str:
    """Why there is no expected F1, and what to do."""
    said = f"Unscored: {forecast.unscored}."
    if forecast.n_kept:
        return f"{said} Look at the overlay before using the numbers."
    return f"{said} An empty image and one where everything was missed look alike from here: look at it."


# ---------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class Costs:
    """What each outcome costs, in any one unit: minutes of a person, say.

    Attributes:
        bad_accepted: numbers of a bad image are used.
        good_refused: a good image is thrown away.
        review: a person looks; also at what is unscored.
        good_f1: true F1 from which an image is good, 0 to 1.
    """

    bad_accepted: float = 10.0
    good_refused: float = 3.0
    review: float = 1.0
    good_f1: float = 0.7

    def __post_init__(self) -> None:
        if not (min(self.bad_accepted, self.good_refused, self.review) >= 0 and 0 <= self.good_f1 <= 1):
            raise SettingsError(f"costs are not negative and good_f1 lies in 0 to 1; got {self}")


def expected_costs(
    truth_f1: ArrayLike, verdicts: Sequence[Verdict | None], costs: Costs | None = None, *, seed: int = 0
) -> Mapping[str, Quantity]:
    """Mean cost of an image under these verdicts, if all were accepted, if all were reviewed, and what was counted.

    Args:
        truth_f1: (n,) true F1; NaN where there is none: left out and counted.
        verdicts: (n,), None where unscored.
        costs: the defaults if None.
        seed: of the intervals, which come from drawing images again.

    Raises:
        ShapeError: of different length.
    """
    costs = costs or Costs()
    f1 = np.asarray(truth_f1, float)
    if f1.shape != (len(verdicts),):
        raise ShapeError(f"wanted a verdict for each true F1; got {len(verdicts)} for {f1.shape}")
    known = np.isfinite(f1)
    good = f1[known] >= costs.good_f1
    given = np.array([verdict or "review" for verdict in verdicts], "U6")[known]
    accepted = np.where(good, 0.0, costs.bad_accepted)
    spent = np.select([given == "accept", given == "refuse"], [accepted, good * costs.good_refused], costs.review)
    unscored = sum(verdict is None for verdict, is_known in zip(verdicts, known, strict=True) if is_known)
    note = (
        f"{len(good)} images, {int(good.sum())} of them good (F1 ≥ {costs.good_f1:g}); {unscored} unscored cost a "
        f"review; {int((~known).sum())} without true F1 left out"
    )
    rows = [
        _cost("cost_as_decided", "Cost of an image as decided", spent, note, seed),
        _cost("cost_all_accepted", "Cost if all were accepted", accepted, note, seed),
        _cost("cost_all_reviewed", "Cost if all were reviewed", np.full(len(good), costs.review), note, seed),
        _cost("saved_to_accepted", "Saved against accepting all", accepted - spent, note, seed),
        _cost("saved_to_reviewed", "Saved against reviewing all", costs.review - spent, note, seed),
        *(Quantity(name, label, int(n)) for name, label, n in _outcomes(given, good)),
    ]
    return {row.name: row for row in rows}


def _cost(name: str, label: str, spent: NDArray[np.float64], note: str, seed: int) -> Quantity:
    if not len(spent):
        return Quantity(name, label, None, note=f"{note}; none is left")
    span = bootstrap_interval(spent, np.mean, seed=seed)
    if span is None:
        return Quantity(name, label, float(spent[0]), note=f"{note}; one image gives no interval")
    return Quantity(name, label, span.value, "", span.low, span.high, span.coverage, note)


def _outcomes(given: NDArray[np.str_], good: NDArray[np.bool_]) -> list[tuple[str, str, int]]:
    return [
        (f"{word}_{one}", f"{word} images, {one}", int((which & (given == one)).sum()))
        for word, which in (("good", good), ("bad", ~good))
        for one in reversed(_GRAVEST)
    ]
