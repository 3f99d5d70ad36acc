"""How far a result can be trusted, with what coverage, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from epistem.core.errors import SettingsError

Verdict = Literal["accept", "review", "refuse"]


@dataclass(frozen=True)
class Interval:
    """A value between two ends that hold it with a stated probability.

    `coverage` is that probability, 0 to 1 (0.9: in nine cases of ten the truth lies inside).
    """

    low: float
    value: float
    high: float
    coverage: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise SettingsError(f"an interval is low ≤ value ≤ high, not {self.low}, {self.value}, {self.high}")
        if not 0 < self.coverage < 1:
            raise SettingsError(f"coverage lies between 0 and 1, not {self.coverage}")


@dataclass(frozen=True)
class Quantity:
    """One measured number as a person reads it.

    Attributes:
        name: machine name, ends in its unit where it has one: `density_per_um2`.
        label: the words beside it: "Number density".
        value: the number, or None where it is not known; `note` then says why.
        unit: "nm", "µm⁻²", "%", "" for a count.
        low, high: ends of the interval, or None where it has none.
        coverage: probability that the interval holds the truth, or None.
        note: the source of the formula, or the reason for what is missing.
    """

    name: str
    label: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    note: str = ""


class SignalRange(NamedTuple):
    """A signal of one image among those of the reference images.

    Attributes:
        label: in plain words.
        value: of this image.
        least, low, median, high, most: smallest, 5 %, 50 %, 95 % and largest of the reference images.
    """

    label: str
    value: float
    least: float
    low: float
    median: float
    high: float
    most: float


@dataclass(frozen=True)
class Reliability:
    """What can be said of a result without its truth.

    Attributes:
        f1, precision, recall: forecast, or None where no forecaster covers this detector.
        typicality: share of the reference images that are less typical than this one, 0 to 1, or None.
        signals: label-free signals by name; the table that made them says which way is good.
        verdict: what to do with the result, or None where nothing entitles to one.
        reasons: why, in sentences.
        reference: the set of images these numbers hold for.
        shown: signals to be shown among those of the reference.
    """

    f1: Interval | None = None
    precision: Interval | None = None
    recall: Interval | None = None
    typicality: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    reference: str | None = None
    shown: tuple[SignalRange, ...] = ()
