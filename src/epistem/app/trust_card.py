"""How far to trust one image's result: the forecast that covers its detector, a verdict, and corrected quantities."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epistem.core import Detector, Instances, Micrograph, Quantity, Reliability, SettingsError, SignalRange
from epistem.detect import least_score, weights_hash
from epistem.report.words import counted

if TYPE_CHECKING:
    from epistem.trust.forecast import Forecaster
    from epistem.trust.forte import TypicalityReference
    from epistem.trust.result import Forecast
    from epistem.trust.verdict import Limits

SHIPPED = Path(__file__).parents[1] / "trust" / "shipped"


@dataclass(frozen=True)
class Watched:
    """A detector whose forecast is known.

    Attributes:
        detector: keeps everything down to the faintest candidate.
        least: score from which on an object is found.
        forecaster: fitted for this detector and these weights.
        limits: of the verdict.
        name: of the detector, for people.
    """

    detector: Detector
    least: float
    forecaster: Forecaster
    limits: Limits
    name: str

    def look(self, micrograph: Micrograph) -> tuple[Instances, Forecast]:
        """What is found, as the detector alone finds it, and what to expect of it."""
        from epistem.trust.cases import describe

        everything = self.detector(micrograph)
        forecast = self.forecaster.predict(describe(self._as_fitted(everything), micrograph), self.least)
        found = everything[np.flatnonzero(everything.score >= self.least)]
        made = found.provenance
        if made is not None:
            found = replace(found, provenance=replace(made, settings={**made.settings, "min_score": self.least}))
        return found, forecast

    def reliability(self, forecast: Forecast, n_found: int | None = None) -> Reliability:
        """What to tell of it; `n_found` objects are kept, as many as the forecast counts if None."""
        from epistem.trust.result import WORDS
        from epistem.trust.verdict import decide

        verdict, reasons = decide(forecast, self.limits)
        known = {name: value for name, value in forecast.signals.items() if np.isfinite(value)}
        typical = self.forecaster.typicality.get(forecast.used_score)
        shown = () if typical is None else tuple(
            SignalRange(WORDS[name], known[name], *(float(one) for one in ends))
            for name, *ends in zip(typical.names, typical.low, *typical.quantiles, typical.high, strict=True)
            if name in WORDS and name in known
        )  # fmt: skip
        # Where nothing was found an image that looks usual is no more to be trusted.
        typicality = forecast.typicality if forecast.f1 is not None or verdict == "refuse" else None
        return Reliability(
            forecast.f1, forecast.precision, forecast.recall, typicality, known, verdict,
            (*reasons, *self._below(forecast, forecast.n_kept if n_found is None else n_found), *self._unread()),
            f"{self.forecaster.reference_n} reference images of {self.name}", shown,
        )  # fmt: skip

    def _as_fitted(self, found: Instances) -> Instances:
        """Boxes alone where the forecast has learnt from such: an object is smaller by its mask than by its box."""
        return replace(found, crops=None) if self.forecaster.about.get("masks") is False else found

    def _unread(self) -> list[str]:
        """What is at hand here and was not where the forecast was fitted: no tree asks for it."""
        missing = [name for name in ("masks", "images") if self.forecaster.about.get(name) is False]
        if not missing:
            return []
        what = " and ".join(missing)
        return [
            f"The forecast was fitted without {what}, so expected F1 does not use them; fitted with {what} it would "
            "know more."
        ]

    def _below(self, forecast: Forecast, n_found: int) -> list[str]:
        """Where few are found, how many more a lower threshold would give."""
        from epistem.trust.features import LEAST_SCORE

        more = int(forecast.signals.get("p_count", 0)) - n_found
        if n_found >= self.limits.fewest or more < 1:
            return []
        have = f"{counted(more, 'more object')} {'has' if more == 1 else 'have'}"
        return [f"{have} a score from {LEAST_SCORE:g} to just below the threshold; see --min-score."]


@dataclass(frozen=True)
class Unwatched:
    """A detector that no forecast covers, and why."""

    detector: Detector
    why_no_forecast: str

    def reliability(self, micrograph: Micrograph) -> Reliability:
        """What can be said without a forecast: of a segmentation network, how typical the image is."""
        from epistem.detect.segmented import Segmented

        if isinstance(self.detector, Segmented):
            from epistem.bench.typical import reference_beside, reliability_of
            from epistem.nets.segment_use import segmenter_weights

            path = Path(self.detector.weights)
            data = segmenter_weights(path).card["settings"]["data"]
            return reliability_of(self.detector.seen(micrograph), reference_beside(path, data))
        return Reliability(reasons=(self.why_no_forecast,))

    def __call__(self, micrograph: Micrograph) -> Instances:
        """What it finds."""
        return self.detector(micrograph)


def watched(detector: Detector, name: str, forecast: str, limits: Mapping[str, Any]) -> Watched | Unwatched:
    """The detector with the forecast that covers it, or why none does.

    Args:
        detector: as set for this analysis.
        name: in DETECTORS.
        forecast: "shipped", "none", or the path of a fitted forecast.
        limits: of the verdict, by name, where they are not the defaults.

    Raises:
        SettingsError: a forecast that was asked for is of another detector, or limits that are not meaningful.
        RecordError: it is not there, damaged, or of another version.
    """
    path = model_path(name, forecast)
    if path is None:
        return Unwatched(detector, "No forecast of F1 was asked for: look at the overlay before using the numbers.")
    least = least_score(detector)
    if least is None and forecast != "shipped":
        raise SettingsError(
            f"{name} has no least score to set, so {path} cannot follow it; take --forecast none, or forecast its "
            "detections (epistem forecast predict)"
        )
    if least is None or (forecast == "shipped" and not path.is_file()):
        why = "No forecast of F1 exists for this detector: look at the overlay before using the numbers."
        return Unwatched(detector, why)
    from epistem.trust.cases import LEAST_CANDIDATE

    fitted, weights = _loaded(path, path.stat().st_mtime_ns if path.is_file() else 0), weights_hash(detector)
    about = fitted.about
    if (about.get("detector") or name) != name or (about.get("weights") or weights) != weights:
        if forecast == "shipped":
            why = (
                "No forecast of F1 covers these weights: look at the overlay before using the numbers, or fit one on "
            )
            return Unwatched(detector, f"{why}labelled images (epistem forecast fit).")
        raise SettingsError(
            f"{path} was fitted for {about.get('detector')} with weights {about.get('weights')}, not for {name} with "
            f"{weights}; fit one for this detector (epistem forecast fit)"
        )
    chosen = limits_of(limits)
    wide: Detector = replace(detector, min_score=min(LEAST_CANDIDATE, least))  # type: ignore[type-var]
    return Watched(wide, least, fitted, chosen, name)


def limits_of(limits: Mapping[str, Any]) -> Limits:
    """The verdict's limits, those of the settings in place of the defaults.

    Raises:
        SettingsError: an unknown one, or one out of range.
    """
    from epistem.trust.verdict import Limits

    try:
        return Limits(**limits)
    except TypeError as error:
        known = ", ".join(Limits.__dataclass_fields__)
        raise SettingsError(f"limits of a verdict are {known}; {error}") from error


def model_path(name: str, forecast: str) -> Path | None:
    """Where the forecast lies, whether it is there or not; None for "none"."""
    if forecast == "none":
        return None
    return SHIPPED / f"{name}.npz" if forecast == "shipped" else Path(forecast)


def with_texture(reliability: Reliability, micrograph: Micrograph, path: Path) -> Reliability:
    """With how the image's texture stands among those of a reference folder: it informs, it does not decide.

    Raises:
        RecordError: no reference there, or a damaged one.
    """
    from epistem.trust.image_typicality import judge

    seen = judge(_texture(path, path.stat().st_mtime_ns if path.is_file() else 0), micrograph)
    signals = dict(reliability.signals)
    if seen.untypical_share is not None:
        signals["untypical_texture"] = seen.untypical_share
    reasons = (*reliability.reasons, seen.in_words(f"the images of {path.name}"))
    return replace(reliability, signals=signals, reasons=reasons)


def texture_key(path: str | None) -> str:
    """Identity of the reference as it is now.

    Raises:
        SettingsError: there is none of that name.
    """
    if path is None:
        return ""
    if not Path(path).is_file():
        raise SettingsError(
            f"--typicality {path}: no such file; make one with `epistem typicality FOLDER --out {path}`"
        )
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def model_key(name: str, forecast: str) -> str:
    """Identity of the forecast as it is now."""
    path = model_path(name, forecast)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path is not None and path.is_file() else forecast


def corrected(
    quantities: Mapping[str, Quantity], measured: Instances, micrograph: Micrograph, forecast: Forecast, **how: Any
) -> dict[str, Quantity]:
    """The quantities, and beside them those that count what is missed and what is false; `trust.carry.carry`."""
    from epistem.trust.carry import carry

    # The forecast of the nearest fitted score is taken for these objects; the verdict's reasons say that it is.
    return {**quantities, **carry(quantities, measured, micrograph, replace(forecast, n_kept=len(measured)), **how)}


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: int) -> Forecaster:
    """Kept, so that a folder of images reads it once; `changed` so that another file of that name is read anew."""
    from epistem.trust.model import load

    return load(path)


@lru_cache(maxsize=2)
def _texture(path: Path, changed: int) -> TypicalityReference:
    from epistem.trust.forte_file import load

    return load(path)
