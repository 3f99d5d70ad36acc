"""Which detectors are measured, and pooled shares with the interval that other images would have given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.record import forget, record
from epistem.core import DependencyMissing, Detector, Interval, RecordError
from epistem.detect import make_detector
from epistem.nets.weights import open_weights
from epistem.stats.resample import bootstrap_interval

LEARNED = "cavity-dense"


class Contestant(NamedTuple):
    """A detector as users get it, the same keeping all it can find, and the score that lies between the two.

    `word` is what was typed for it.
    """

    label: str
    as_used: Detector
    keeps_all: Detector
    min_score: float
    word: str

    @property
    def is_default(self) -> bool:
        """Whether its numbers are the headline; weights that a person named never are, whatever they are called."""
        return self.word == LEARNED


def contestant(word: str) -> Contestant | None:
    """The detector of `NAME` or `NAME=WEIGHTS`; None, and a word why, where its weights or a library are not here."""
    name, _, weights = word.partition("=")
    label = Path(weights).stem if weights else name
    detector: Any = make_detector(name, **({"weights": weights} if weights else {}))
    if not hasattr(detector, "weights"):
        return Contestant(label, detector, detector, 0.0, word)
    try:
        least = open_weights(detector.weights).min_score
    except (RecordError, DependencyMissing) as error:
        print(f"skipped {word}: {error}")
        return None
    return Contestant(label, detector, replace(detector, min_score=0.0), least, word)


class Share(NamedTuple):
    """Σ part / Σ whole, and 90 % of it over images drawn with replacement; None with fewer than two images."""

    value: float
    low: float | None
    high: float | None


def pooled_share(part: ArrayLike, whole: ArrayLike) -> Share | None:
    """Of counts an image, both (k,); images without a whole say nothing, and with none there is no share."""
    parts, wholes = np.asarray(part, float), np.asarray(whole, float)
    known = np.flatnonzero(wholes > 0)
    if not len(known):
        return None

    def share(drawn: Any, axis: int) -> Any:
        images = drawn.astype(int)
        return parts[images].sum(axis=axis) / wholes[images].sum(axis=axis)

    return _rounded(bootstrap_interval(known, share), float(parts.sum() / wholes.sum()))


def pooled_f1(counts: ArrayLike) -> Share | None:
    """F1 of (k, 3) true positives, false positives and false negatives of each image."""
    tp, fp, fn = np.asarray(counts).T
    return pooled_share(2 * tp, 2 * tp + fp + fn)


def f1_gain(ours: ArrayLike, theirs: ArrayLike) -> Share | None:
    """Pooled F1 of ours less that of theirs, both (k, 3) of the same images; drawn together."""
    both = np.stack([np.asarray(ours, float), np.asarray(theirs, float)])  # (2, k, 3)
    if both.shape[1] == 0 or (both.sum(axis=(1, 2)) == 0).any():
        return None

    def gain(drawn: Any, axis: int) -> Any:
        tp, fp, fn = np.moveaxis(both[:, drawn.astype(int)].sum(axis=axis - 1), -1, 0)  # (2, draws) each
        f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
        return f1[0] - f1[1]

    images = np.arange(both.shape[1])
    return _rounded(bootstrap_interval(images, gain), float(gain(images, -1)))


def mean_share(values: ArrayLike) -> Share:
    """Mean of one value an image."""
    known = np.asarray(values, float)
    return _rounded(bootstrap_interval(known, np.mean), float(known.mean()))


def told(name: str, share: Share | None, *, target: str, command: str, data: str, dry: bool) -> None:
    """Record a share, or only print it; None is said, and takes away what was recorded before."""
    if share is None:
        print(f"{name}: nothing to divide by; {data}")
        if not dry:
            forget(name)
    elif dry:
        spread = "" if share.low is None else f" ({share.low:.4g} to {share.high:.4g})"
        print(f"{name} = {share.value:.4g}{spread}; {data}")
    else:
        record(name, share.value, low=share.low, high=share.high, target=target, command=command, data=data)


def _rounded(interval: Interval | None, value: float) -> Share:
    if interval is None:
        return Share(round(value, 4), None, None)
    return Share(round(value, 4), round(interval.low, 4), round(interval.high, 4))
