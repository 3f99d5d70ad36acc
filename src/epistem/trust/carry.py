"""Density, mean diameter and swelling, corrected for what is missed and what is false, with all that is not known.

Of N objects found, N·P are right and N·P/R were there: P and R are the forecast's precision and recall *of this
image*, so that they replace the chance of finding an object, and do not come on top of it. Per draw:

=========  ==================================================================================================
density    Γ((N + ½)·P/R) / area, what other fields of this size hold: Jeffreys' posterior of a Poisson mean
diameter   d̄ · (R + (1 − R)·m) / (P + (1 − P)·f), m and f being the size of missed and of false ones over right ones
volume     V̄ · (R + (1 − R)·m³) / (P + (1 − P)·f³), which times the density fills the foil, φ
swelling   φ / (1 − φ)
=========  ==================================================================================================

Sizes of missed objects are not known. Either they are as those found, up to a common factor m about 1; or the share
found of each size is given, and each found object stands for one over its share. d̄ and V̄ are Bayesian bootstraps.
A pixel size wrong by s scales lengths by s, densities by s⁻² and φ by s³/s² = s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri, stdtrit

from epistem.core import Instances, Interval, Micrograph, Quantity, SettingsError, ShapeError
from epistem.detect.measure import measure
from epistem.stats.resample import percentile_interval
from epistem.trust.result import Forecast

Floats = NDArray[np.float64]

DENSITIES = ("density_per_1e6_px", "density_per_um2", "density_per_m3")
DIAMETERS = ("mean_diameter_nm", "mean_diameter_px")
SWELLING = "swelling_percent"

# A forecast from a few hundred objects cannot tell a share of 0.999 from 1.
_EDGE = 1e-3
_DRAWS = 2000
_VALUES_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Assumed:
    """What must be assumed of objects nobody saw.

    Attributes:
        size_factor: one standard deviation of log m and of log f: missed, or false, objects are on the whole as large
            as right ones, give or take this.
        sizing_error: one standard deviation of the log of mean measured over mean true diameter of what was rightly
            found: masks may hold the fringe, or lose it. On the cases of the shipped forecast 0.08 to 0.10 for set A,
            0.13 for C, 0.15 to 0.19 for B.
        correlation: of the errors of precision and recall, −1 to 1; that of held-out cases where it was measured.
            0 is too narrow for densities where it is negative (a detector that finds too much misses little), too
            wide where it is positive (a hard image harms both); −1 is the worst case.
        share_found: of diameters [px], the share that is found, above 0 to 1. Its shape counts, its mean is that of
            the forecast's recall. None: every size is found equally.

    Raises:
        SettingsError: a negative factor, or a correlation outside −1 to 1.
    """

    size_factor: float = 0.2
    sizing_error: float = 0.12
    correlation: float = 0.0
    share_found: Callable[[Floats], Floats] | None = None

    def __post_init__(self) -> None:
        if not min(self.size_factor, self.sizing_error) >= 0 or not -1 <= self.correlation <= 1:
            raise SettingsError(
                "size_factor and sizing_error are not negative and correlation lies in −1 to 1; got "
                f"{self.size_factor}, {self.sizing_error} and {self.correlation}"
            )


def carry(
    quantities: Mapping[str, Quantity], measured: Instances, micrograph: Micrograph, forecast: Forecast, *,
    thickness_nm: float | None = None, thickness_error_nm: float | None = None, assumed: Assumed | None = None,
    coverage: float = 0.9, seed: int = 0,
) -> dict[str, Quantity]:  # fmt: skip
    """Corrected quantities to stand beside the uncorrected ones, by name: `corrected_density_per_um2`…

    Args:
        quantities: from `detect.population.summarize` of the same objects.
        measured: those objects, with or without the columns of `measure`; from the forecast's score up.
        micrograph: the image they were found in, with its pixel size and that one's error.
        forecast: of this image.
        thickness_nm, thickness_error_nm: as given to `summarize`.
        assumed: the defaults if None.
        coverage: probability that an interval holds the truth, 0 to 1.
        seed: of the draws.

    Returns:
        One for each of `DENSITIES`, `DIAMETERS` and `SWELLING`; value None where the uncorrected one, or the
        forecast, is not known, and the note says which.

    Raises:
        ShapeError: the forecast is of another number of objects.
    """
    if forecast.n_kept != len(measured):
        raise ShapeError(
            f"the forecast is of {forecast.n_kept} objects from a score of {forecast.used_score:g} up, these are "
            f"{len(measured)}; give the same ones"
        )
    if "area_px" not in measured.columns:
        measured = measure(measured, micrograph)
    rows = [quantities[name] for name in (*DENSITIES, *DIAMETERS, SWELLING)]
    precision, recall = forecast.precision, forecast.recall
    if precision is None or recall is None or recall.low <= _EDGE:
        return _by_name(_unknown(row, _why_not(forecast)) for row in rows)
    assumed, rng = assumed or Assumed(), np.random.default_rng(seed)
    error = _errors_of(micrograph, thickness_nm, thickness_error_nm)
    shares = _draw_shares(precision, recall, assumed.correlation, rng)
    factors = _Factors(
        precision.value / recall.value,
        _number(_counted(quantities, micrograph), shares, rng),
        *_sizes(measured, shares, assumed, coverage, rng),
        np.exp((error.pixel or 0.0) * rng.standard_normal(_DRAWS)),
        np.maximum(rng.normal(1.0, error.foil or 0.0, _DRAWS), 0.0),
    )
    notes = [_note(row.name, precision, recall, assumed, error) for row in rows]
    return _by_name(_corrected(row, factors, note, coverage) for row, note in zip(rows, notes, strict=True))


def _by_name(rows: Iterable[Quantity]) -> dict[str, Quantity]:
    return {row.name: row for row in rows}


def _unknown(row: Quantity, why: str) -> Quantity:
    return _named(row, None, note=row.note if row.value is None else why)


def _named(row: Quantity, value: float | None, span: Interval | None = None, note: str = "") -> Quantity:
    name, label = f"corrected_{row.name}", f"{row.label}, corrected"
    if span is None:
        return Quantity(name, label, value, row.unit, note=note)
    return Quantity(name, label, value, row.unit, span.low, span.high, span.coverage, note)


def _why_not(forecast: Forecast) -> str:
    if forecast.unscored:
        return f"unscored: {forecast.unscored}"
    if forecast.precision is None or forecast.recall is None:
        return "no expected precision and recall: fit a forecast of both (epistem forecast fit)"
    return f"the expected recall may be {forecast.recall.low:.3g}, so the number missed has no bound"


# ---------------------------------------------------------------- draws


class _Shares(NamedTuple):
    """Precision and recall of the image as they may be, (draws,) each."""

    right: Floats
    found: Floats


class _Mean(NamedTuple):
    """A mean over the uncorrected one: as it is, and drawn (draws,), None where one object gives no spread."""

    value: float
    drawn: Floats | None


class _Factors(NamedTuple):
    """What the uncorrected numbers are multiplied with; those drawn are (draws,).

    Attributes:
        ratio: expected precision over expected recall.
        number: the number there is over the number counted; None where none is counted.
        diameter, volume: mean of those there are over the mean of those found.
        pixel, foil: the true pixel size and foil thickness over the stated ones.
    """

    ratio: float
    number: Floats | None
    diameter: _Mean
    volume: _Mean
    pixel: Floats
    foil: Floats


def draw_share(share: Interval, normal: Floats) -> Floats:
    """A share of 1 as it may be: half-normals on the logit scale, one on either side of its value.

    Of the distributions on 0 to 1 this one has the interval's ends and its value as quantiles, however lopsided;
    a beta has two parameters for the three.

    Args:
        share: its ends are quantiles at (1 ± coverage)/2, its value is the median.
        normal: (m,) draws of a standard normal.

    >>> draw_share(Interval(0.5, 0.8, 0.9, 0.9), np.array([-1.645, 0.0, 1.645])).round(3).tolist()
    [0.5, 0.8, 0.9]
    """
    low, value, high = logit(np.clip([share.low, share.value, share.high], _EDGE, 1 - _EDGE))
    reach = np.where(normal < 0, value - low, high - value) / -ndtri((1 - share.coverage) / 2)
    drawn: Floats = expit(value + normal * reach)
    return drawn


def _draw_shares(precision: Interval, recall: Interval, correlation: float, rng: np.random.Generator) -> _Shares:
    one, other = rng.standard_normal((2, _DRAWS))
    other = correlation * one + np.sqrt(1 - correlation**2) * other
    return _Shares(draw_share(precision, one), draw_share(recall, other))


def _counted(quantities: Mapping[str, Quantity], micrograph: Micrograph) -> int:
    """Objects that the density counts: those not cut at their lower or right side."""
    density = quantities["density_per_1e6_px"].value or 0.0
    return round(density * micrograph.pixels.size * micrograph.valid_fraction / 1e6)


def _number(n: int, shares: _Shares, rng: np.random.Generator) -> Floats | None:
    if not n:
        return None
    drawn: Floats = rng.gamma((n + 0.5) * shares.right / shares.found) / n
    return drawn


def _sizes(
    measured: Instances, shares: _Shares, assumed: Assumed, coverage: float, rng: np.random.Generator
) -> tuple[_Mean, _Mean]:
    """Of diameters of whole objects, and of volumes of all, as `detect.population` takes them."""
    missed, false = np.exp(assumed.size_factor * rng.standard_normal((2, _DRAWS)))
    sizing = np.exp(assumed.sizing_error * rng.standard_normal(_DRAWS))
    known = np.nan_to_num(2 * np.sqrt(measured.columns["area_px"] / np.pi))
    whole = known[~(measured.columns["touches_edge"] | measured.columns["touches_invalid"]) & (known > 0)]
    means = []
    for diameter_px, power in ((whole, 1), (known[known > 0], 3)):
        weight = _weights(diameter_px, assumed)
        mean = _mean(diameter_px**power, weight, coverage, rng)
        if mean.drawn is not None:
            there = 1.0 if assumed.share_found else shares.found + (1 - shares.found) * missed**power
            drawn = mean.drawn * sizing**power
            mean = _Mean(mean.value, drawn * there / (shares.right + (1 - shares.right) * false**power))
        means.append(mean)
    return means[0], means[1]


def _weights(diameter_px: Floats, assumed: Assumed) -> Floats:
    if assumed.share_found is None:
        return np.ones(len(diameter_px))
    share = np.asarray(assumed.share_found(diameter_px), float)
    if share.shape != diameter_px.shape or not ((share > 0) & (share <= 1)).all():
        raise SettingsError(
            "share_found gives each diameter a share above 0 to 1, for what is never found cannot be made up for; "
            f"it gave {share}"
        )
    return 1 / share


def _mean(values: Floats, weight: Floats, coverage: float, rng: np.random.Generator) -> _Mean:
    """Weighted mean over the plain one.

    Drawn as a Bayesian bootstrap, stretched on the log scale: of few objects it is too narrow, as a normal interval
    with the sample's standard deviation is against Student's. Few are also many of which few carry the sum.

    Source: D. B. Rubin, Ann. Statist. 9, 130 (1981).
    """
    if not len(values):
        return _Mean(1.0, None)
    plain = values.mean()
    value = float((weight * values).sum() / weight.sum() / plain)
    if len(values) < 2:
        return _Mean(value, None)
    carried = weight * values
    n = max(2.0, float(carried.sum() ** 2 / (carried**2).sum()))
    at_once = max(1, _VALUES_AT_ONCE // len(values))
    drawn = []
    for start in range(0, _DRAWS, at_once):
        times = rng.standard_exponential((min(at_once, _DRAWS - start), len(values))) * weight
        drawn.append(times @ values / times.sum(axis=1))
    tail = (1 - coverage) / 2
    stretch = np.sqrt((n + 1) / (n - 1)) * stdtrit(n - 1, tail) / ndtri(tail)
    return _Mean(value, value * (np.concatenate(drawn) / plain / value) ** stretch)


# ---------------------------------------------------------------- results


class _Errors(NamedTuple):
    """Relative standard errors of pixel size and foil thickness, None where unknown."""

    pixel: float | None
    foil: float | None


def _errors_of(micrograph: Micrograph, thickness_nm: float | None, error_nm: float | None) -> _Errors:
    context, calibration = micrograph.context, micrograph.calibration
    if thickness_nm is None:
        thickness_nm = context.thickness_nm
        error_nm = context.thickness_error_nm if error_nm is None else error_nm
    foil = error_nm / thickness_nm if thickness_nm and error_nm is not None else None
    return _Errors(calibration.relative_error if calibration else None, foil)


def _corrected(row: Quantity, factors: _Factors, note: str, coverage: float) -> Quantity:
    if row.value is None:
        return _unknown(row, "")
    note = f"uncorrected {row.value:.4g}; {note}"
    if row.name in DIAMETERS:
        scale = factors.pixel if row.name.endswith("_nm") else 1.0
        drawn = None if factors.diameter.drawn is None else row.value * factors.diameter.drawn * scale
        return _with_interval(row, row.value * factors.diameter.value, drawn, note, coverage)
    if row.name == SWELLING:
        return _swelling(row, row.value, factors, note, coverage)
    drawn = None
    if factors.number is not None:
        area = 1.0 if row.name.endswith("_px") else factors.pixel**2
        foil = factors.foil if row.name.endswith("_m3") else np.ones(_DRAWS)
        drawn = _over(row.value * factors.number / area, foil)
    return _with_interval(row, row.value * factors.ratio, drawn, note, coverage)


def _swelling(row: Quantity, percent: float, factors: _Factors, note: str, coverage: float) -> Quantity:
    filled = percent / (100 + percent)
    value = filled * factors.ratio * factors.volume.value
    if value >= 1:
        return _named(row, None, note=f"{note}; with what is missed the foil would be full; check its thickness")
    drawn = None
    if factors.number is not None and factors.volume.drawn is not None:
        share = _over(filled * factors.number * factors.volume.drawn * factors.pixel, factors.foil)
        drawn = _over(100 * share, 1 - share)
    return _with_interval(row, 100 * value / (1 - value), drawn, note, coverage)


def _over(part: Floats, room: Floats) -> Floats:
    """A draw without room counts as larger than every other."""
    quotient = np.full(len(part), np.inf)
    np.divide(part, room, out=quotient, where=room > 0)
    return quotient


def _with_interval(row: Quantity, value: float, drawn: Floats | None, note: str, coverage: float) -> Quantity:
    if drawn is None:
        return _named(row, value, note=f"{note}; too few objects for an interval")
    if np.quantile(drawn, (1 + coverage) / 2, method="higher") == np.inf:
        return _named(row, value, note=f"{note}; no interval: within its error the foil may be full")
    return _named(row, value, percentile_interval(value, drawn, coverage=coverage), note)


def _note(name: str, precision: Interval, recall: Interval, assumed: Assumed, error: _Errors) -> str:
    """What went into one row, and what is assumed for it."""
    correlation = f"correlated by {assumed.correlation:g}" if assumed.correlation else "independent"
    said = [
        f"expected precision {precision.value:.2f} over recall {recall.value:.2f}, their errors {correlation}",
        _sizes_assumed(assumed) if name not in DENSITIES else "",
        _error_said("pixel size", error.pixel) if not name.endswith("_px") else "",
        _error_said("foil thickness", error.foil) if name in (SWELLING, "density_per_m3") else "",
    ]
    return "; ".join(one for one in said if one)


def _sizes_assumed(assumed: Assumed) -> str:
    give = f"as large as right ones, give or take a factor {np.exp(assumed.size_factor):.2f} (one standard deviation)"
    who = "missed and false objects are" if assumed.share_found is None else "false objects are"
    rest = "" if assumed.share_found is None else ", missed ones follow the share found of each size"
    return f"assumed: {who} {give}{rest}; measured diameters ± {100 * assumed.sizing_error:.2g} %"


def _error_said(what: str, error: float | None) -> str:
    if error is None:
        return f"error of the {what} unknown and not in the interval"
    return f"{what} ± {100 * error:.2g} % (one standard error), in the interval"
