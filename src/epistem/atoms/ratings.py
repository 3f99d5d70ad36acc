"""What raters said of columns, how far they agree with themselves, each other and a model.

A file of ratings has a row for each answer: `image_id,x,y,rater,label,confidence,seconds`; x and y in ångström, x
along columns; no label where the rater could not tell. A rater's second row for the same column is a repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from epistem.core import Interval, RecordError, SettingsError
from epistem.stats.agreement import (
    bias_index,
    block_interval,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    landis_koch,
    observed_agreement,
    pabak,
    pair_table,
    prevalence_index,
)
from epistem.stats.blind import saved_ratings

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float | None]
COLUMNS = ("image_id", "x", "y", "rater", "label", "confidence", "seconds")
CONFIDENCES = {"": None, "1": 1, "2": 2, "3": 3}


class Unit(NamedTuple):
    """One column of one image; where it is to a thousandth of an ångström, as the page writes it."""

    image_id: str
    x_A: float
    y_A: float


class Rating(NamedTuple):
    """One answer.

    Attributes:
        unit: of which column.
        rater: whose.
        label: None where the rater could not tell.
        confidence: 1 a guess, 2 fairly sure, 3 sure; None where none was given.
        seconds: how long the column was looked at; None where it was not measured.
    """

    unit: Unit
    rater: str
    label: str | None
    confidence: int | None
    seconds: float | None


@dataclass(frozen=True, eq=False)
class RatingTable:
    """Units by raters.

    Attributes:
        units: (n,) columns in the order they were first met.
        raters: (R,) names, in order.
        labels: names of the classes.
        first: (n, R) number of the label that was given, NaN where none was.
        again: (n, R) of the repeat; later ones are not held.
    """

    units: tuple[Unit, ...]
    raters: tuple[str, ...]
    labels: tuple[str, ...]
    first: Floats
    again: Floats


@dataclass(frozen=True)
class PairAgreement:
    """How far two agree; None where there is nothing to divide by.

    Attributes:
        names: who; a rater twice is a rater against the own repeats.
        n: columns that both gave a label.
        observed: share of these with the same label.
        kappa, interval, band: Cohen κ, its interval over spatial blocks (None with fewer than two), and its word.
        pabak: κ as it were with equally frequent classes.
        prevalence, bias: of each label, see `stats.agreement`; None without a column.
        table: counts, labels of the first name (rows) by those of the second.
    """

    names: tuple[str, str]
    n: int
    observed: float | None
    kappa: float | None
    interval: Interval | None
    band: str | None
    pabak: float | None
    prevalence: tuple[float, ...] | None
    bias: tuple[float, ...] | None
    table: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class GroupAgreement:
    """One number for all raters, with its interval over spatial blocks; `n` columns that say something."""

    n: int
    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Agreement:
    """Everything about a set of ratings; `dataclasses.asdict` makes it fit for JSON.

    Attributes:
        labels, raters, units: as in the table.
        rated, cannot_tell: answers of each rater, and how many of them had no label.
        median_seconds: of each rater's answers; None where none was timed.
        intra: each rater who had repeats, against them.
        pairs: each two raters.
        fleiss: over columns that all raters labelled; None with one rater.
        krippendorff: nominal α over columns with two labels or more; None with one rater.
        majority: (n,) the label that most raters gave each unit; None on a tie and where there is none.
        model: the model (first name) against each rater and against the majority; empty without a model.
        block_A: side of the spatial blocks [Å].
    """

    labels: tuple[str, ...]
    raters: tuple[str, ...]
    units: tuple[Unit, ...]
    rated: Mapping[str, int]
    cannot_tell: Mapping[str, int]
    median_seconds: Mapping[str, float | None]
    intra: tuple[PairAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    fleiss: GroupAgreement | None
    krippendorff: GroupAgreement | None
    majority: tuple[str | None, ...]
    model: tuple[PairAgreement, ...]
    block_A: float


def unit_at(image_id: str, row: float, col: float, pixel_A: float) -> Unit:
    """The unit of a column at a place in the image.

    Args:
        image_id: of the image.
        row, col: place [px].
        pixel_A: pixel size [Å].
    """
    return Unit(image_id, round(col * pixel_A, 3), round(row * pixel_A, 3))


def read_ratings(paths: Sequence[Path], labels: Sequence[str]) -> list[Rating]:
    """Answers of one or several files, in their order.

    Args:
        paths: CSV files.
        labels: names a label may have.

    Raises:
        RecordError: a file that is not there or not such a table, a value that cannot be, a label of another name, or
            two files with the same answers, which would pass for perfect repeats.
    """
    by_file = [saved_ratings(Path(path), COLUMNS, partial(_rating, set(labels))) for path in paths]
    for (one, ours), (other, theirs) in combinations(zip(paths, by_file, strict=True), 2):
        same = len(set(ours) & set(theirs))
        if same and 2 * same >= min(len(ours), len(theirs)):
            raise RecordError(f"{same} answers are both in {one} and in {other}; leave one of the files out")
    return [rating for ratings in by_file for rating in ratings]


def rating_table(ratings: Sequence[Rating], labels: Sequence[str]) -> RatingTable:
    """First and repeated answers as units × raters."""
    units = tuple(dict.fromkeys(rating.unit for rating in ratings))
    raters = tuple(sorted({rating.rater for rating in ratings}))
    row, col = ({name: i for i, name in enumerate(names)} for names in (units, raters))
    held = np.full((2, len(units), len(raters)), np.nan)
    times: Counter[tuple[Unit, str]] = Counter()
    for rating in ratings:
        time = times[rating.unit, rating.rater]
        times[rating.unit, rating.rater] += 1
        if time < 2 and rating.label is not None:
            held[time, row[rating.unit], col[rating.rater]] = list(labels).index(rating.label)
    return RatingTable(units, raters, tuple(labels), held[0], held[1])


def labels_at(
    units: Sequence[Unit],
    image_id: str,
    sites: ArrayLike,
    names: Sequence[str],
    *,
    pixel_A: float,
    within_A: float = 0.7,
) -> dict[Unit, str]:
    """A model's label of each unit of an image: that of the nearest column it found, if that is near enough.

    Args:
        units: rated columns, of any images.
        image_id: of the model's image.
        sites: (k, 2) row and column of the model's columns [px].
        names: (k,) its labels.
        pixel_A: pixel size [Å].
        within_A: how far a column may lie from its unit [Å].
    """
    places = np.asarray(sites, float).reshape(-1, 2)
    mine = [unit for unit in units if unit.image_id == image_id]
    if not mine or not len(places):
        return {}
    asked = np.array([(unit.y_A, unit.x_A) for unit in mine])
    far, nearest = cKDTree(places * pixel_A).query(asked, distance_upper_bound=within_A)
    return {unit: names[i] for unit, d, i in zip(mine, far, nearest, strict=True) if np.isfinite(d)}


def agree(
    ratings: Sequence[Rating],
    labels: Sequence[str],
    *,
    model: Mapping[Unit, str] | None = None,
    block_A: float = 40.0,
    seed: int = 0,
    coverage: float = 0.9,
) -> Agreement:
    """How far raters agree with themselves, with each other, and with a model.

    Args:
        ratings: of `read_ratings`.
        labels: names of the classes.
        model: what a model says of each unit; units it does not name are left out where it is compared.
        block_A: columns in one square of this side are drawn together for the intervals [Å].
        seed: of the intervals.
        coverage: of the intervals, 0 to 1.

    Raises:
        SettingsError: no ratings, a block without size, or a model that names no rated unit or another label.
    """
    if not ratings or not block_A > 0:
        raise SettingsError(f"agreement needs ratings and blocks with a size; got {len(ratings)} and {block_A} Å")
    table = rating_table(ratings, labels)
    blocks = [(unit.image_id, unit.x_A // block_A, unit.y_A // block_A) for unit in table.units]
    by = _Blocks(blocks, len(labels), seed, coverage)
    columns = dict(zip(table.raters, table.first.T, strict=True))
    most = _majority(table.first, len(labels))
    repeats = zip(table.raters, table.first.T, table.again.T, strict=True)
    several = len(table.raters) > 1
    of_rater = {name: [rating for rating in ratings if rating.rater == name] for name in table.raters}
    return Agreement(
        labels=table.labels,
        raters=table.raters,
        units=table.units,
        rated={name: len(mine) for name, mine in of_rater.items()},
        cannot_tell={name: sum(one.label is None for one in mine) for name, mine in of_rater.items()},
        median_seconds={name: _median([one.seconds for one in mine]) for name, mine in of_rater.items()},
        intra=tuple(by.pair((name, name), one, two) for name, one, two in repeats if not np.isnan(two).all()),
        pairs=tuple(by.pair((a, b), columns[a], columns[b]) for a, b in combinations(table.raters, 2)),
        fleiss=by.fleiss(table.first) if several else None,
        krippendorff=by.krippendorff(table.first) if several else None,
        majority=tuple(None if np.isnan(one) else table.labels[int(one)] for one in most),
        model=() if model is None else _against(model, table, {**columns, "majority": most}, by),
        block_A=block_A,
    )


@dataclass(frozen=True)
class _Blocks:
    """What every measure needs beside the ratings."""

    blocks: list[tuple[str, float, float]]
    classes: int
    seed: int
    coverage: float

    def pair(self, names: tuple[str, str], first: Floats, second: Floats) -> PairAgreement:
        both = np.stack([first, second], axis=1)
        known = np.asarray(~np.isnan(both).any(1))
        counts = pair_table(first, second, classes=self.classes)
        kappa, prevalence, bias = cohen_kappa(counts), prevalence_index(counts), bias_index(counts)
        return PairAgreement(
            names=names,
            n=int(counts.sum()),
            observed=observed_agreement(counts),
            kappa=kappa,
            interval=self._interval(
                both, known, lambda drawn: cohen_kappa(pair_table(*drawn.T, classes=self.classes))
            ),
            band=None if kappa is None else landis_koch(kappa),
            pabak=pabak(counts),
            prevalence=None if prevalence is None else tuple(prevalence.tolist()),
            bias=None if bias is None else tuple(bias.tolist()),
            table=tuple(tuple(row) for row in counts.tolist()),
        )

    def fleiss(self, ratings: Floats) -> GroupAgreement:
        known = np.asarray(~np.isnan(ratings).any(1))
        return self._group(ratings, known, lambda drawn: fleiss_kappa(drawn, classes=self.classes))

    def krippendorff(self, ratings: Floats) -> GroupAgreement:
        return self._group(ratings, (~np.isnan(ratings)).sum(1) >= 2, krippendorff_alpha)

    def _group(self, ratings: Floats, known: NDArray[np.bool_], statistic: Statistic) -> GroupAgreement:
        return GroupAgreement(int(known.sum()), statistic(ratings), self._interval(ratings, known, statistic))

    def _interval(self, ratings: Floats, known: NDArray[np.bool_], statistic: Statistic) -> Interval | None:
        # Blocks in which nobody can agree would count as blocks and say nothing.
        blocks = [block for block, one in zip(self.blocks, known, strict=True) if one]
        return block_interval(ratings[known], blocks, statistic, seed=self.seed, coverage=self.coverage)


def _against(
    model: Mapping[Unit, str], table: RatingTable, others: Mapping[str, Floats], by: _Blocks
) -> tuple[PairAgreement, ...]:
    strange = set(model.values()) - set(table.labels)
    if strange or not set(model) & set(table.units):
        raise SettingsError(
            f"the model names {sorted(strange) or 'none of the rated columns'}; wanted labels among "
            f"{', '.join(table.labels)} for columns that were rated"
        )
    said = np.array([table.labels.index(model[unit]) if unit in model else np.nan for unit in table.units], float)
    return tuple(by.pair(("model", name), said, other) for name, other in others.items())


def _majority(ratings: Floats, classes: int) -> Floats:
    """The class most raters gave each unit, (n,); NaN on a tie and where none did."""
    votes = (ratings[:, :, None] == np.arange(classes)).sum(1)
    top = np.sort(votes, axis=1)
    second = top[:, -2] if classes > 1 else np.zeros(len(votes))
    return np.where(top[:, -1] > second, votes.argmax(1), np.nan)


def _median(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return float(np.median(known)) if known else None


def _rating(labels: set[str], row: Mapping[str, str]) -> Rating:
    if not row["image_id"] or not row["rater"]:
        raise ValueError("an answer has an image_id and a rater")
    if row["label"] and row["label"] not in labels:
        raise ValueError(f"no label is called {row['label']!r}; there is {', '.join(sorted(labels))}")
    if row["confidence"] not in CONFIDENCES:
        raise ValueError(f"a confidence is 1, 2 or 3, or left out, not {row['confidence']!r}")
    x, y = _number(row["x"], "x"), _number(row["y"], "y")
    seconds = _number(row["seconds"], "seconds") if row["seconds"] else None
    unit = Unit(row["image_id"], round(x, 3), round(y, 3))
    return Rating(unit, row["rater"], row["label"] or None, CONFIDENCES[row["confidence"]], seconds)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"{name} is a number from 0, not {text!r}")
    return value
