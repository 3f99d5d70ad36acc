"""How a forecast is tried out: which cases it learns from, which it is asked about, and what its errors are.

===========  ===============================================================================================
random       each case in one of five folds, ten times: as published; an image in several splits is on both sides
image        the same with whole images
split        one of the study's splits is left out
source       one origin of images is left out: A with both its kinds of focus, and what others' tests took from it
detector     one detector is left out; one trained on "A&B" is another one than those trained on A or B
===========  ===============================================================================================

Whatever is left out, no image is on both sides, except in `random`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from epistem.core import Interval, SettingsError, ShapeError, Table
from epistem.stats.regression import Errors, errors, fold_mean, rows_by
from epistem.stats.resample import percentile_interval
from epistem.trust.cases import Cases

PROTOCOLS = Table(
    "protocol",
    {
        "random": "epistem.trust.protocols:random_folds",
        "image": "epistem.trust.protocols:image_folds",
        "split": "epistem.trust.protocols:leave_one_split_out",
        "source": "epistem.trust.protocols:leave_one_source_out",
        "detector": "epistem.trust.protocols:leave_one_detector_out",
    },
)
"""Each takes the images of `Cases` and a seed, and gives folds."""

GROUPED = ("A&B_C", "A:over_under", "A:under_over", "B_A", "A_B")
"""Splits of the study whose test images are of another kind than the training images; the others are random ones."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FitPredict = Callable[[Ints, Ints], ArrayLike]
"""From rows to learn from and rows to be asked about to predictions for the latter, (m,) or (m, k targets)."""


class Fold(NamedTuple):
    """Rows to learn from and rows to be asked about, both rising; what is left out, and in which repeat."""

    train: Ints
    test: Ints
    left_out: str
    repeat: int = 0


class OutOfFold(NamedTuple):
    """What models said of cases they had not seen.

    Attributes:
        predicted: (r repeats, n cases, k targets), NaN where a case was in no test.
        fold: (r, n) number of the fold it was tested in, −1 where in none.
    """

    predicted: Floats
    fold: Ints

    @property
    def mean(self) -> Floats:
        """(n, k) over the repeats that tested a case; NaN where none did."""
        tests = (self.fold >= 0).sum(axis=0)[:, None]
        with np.errstate(invalid="ignore"):
            value: Floats = np.where(self.fold[..., None] >= 0, self.predicted, 0.0).sum(axis=0) / tests
        return value


def random_folds(images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """Five folds of cases, ten times."""
    return dealt_folds(range(len(images)), seed=seed)


def image_folds(images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """Five folds of images, ten times.

    Raises:
        SettingsError: images that are not named.
    """
    _known(images, "image")
    return dealt_folds(_identity(images), seed=seed)


def leave_one_split_out(images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """A fold for each split."""
    return leave_one_out(_known(images, "split"), _identity(images))


def leave_one_source_out(images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """A fold for each origin of images, by each image's own source: what is left out of A:over is left out of A.

    Which detector looked does not matter: one that was trained on the left-out source may be among the cases learnt
    from, on other images.

    Raises:
        SettingsError: a source that is a union, such as A&B: each image is of one.
    """
    sources = _known(images, "source")
    if unions := sorted({name for name in sources if "&" in name}):
        raise SettingsError(f"each image is of one source; {', '.join(unions)} are several. Say which of them")
    return leave_one_out([name.partition(":")[0] for name in sources], _identity(images))


def leave_one_detector_out(images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """A fold for each detector."""
    return leave_one_out(_known(images, "detector"), _identity(images))


def dealt_folds(group: Sequence[Hashable], *, folds: int = 5, repeats: int = 10, seed: int = 0) -> list[Fold]:
    """Groups dealt by chance to folds of equally many groups, several times.

    Args:
        group: (n,) what stays together.
        folds: in each repeat.
        repeats: how often the groups are dealt.
        seed: same seed, same folds.

    Raises:
        SettingsError: fewer than two folds, or fewer groups than folds.
    """
    members = list(rows_by(group, len(group)).values())
    if not 2 <= folds <= len(members):
        raise SettingsError(f"{folds} folds need as many groups, and at least two; there are {len(members)} groups")
    rng = np.random.default_rng(seed)
    dealt = []
    for repeat in range(repeats):
        for number, part in enumerate(np.array_split(rng.permutation(len(members)), folds)):
            test = np.sort(np.concatenate([members[k] for k in part]))
            train = np.setdiff1d(np.arange(len(group)), test)
            dealt.append(Fold(train, test, f"fold {number + 1}", repeat))
    return dealt


def leave_one_out(group: Sequence[str], identity: Sequence[Hashable] | None = None) -> list[Fold]:
    """A fold for each group.

    Args:
        group: (n,) what is left out together.
        identity: (n,) which image each row is of; other rows of an image under test are not learnt from, whatever
            their group. None: no two rows are of one image.

    Raises:
        SettingsError: nothing is left to learn from.
    """
    image = list(range(len(group))) if identity is None else list(identity)
    folds = []
    for name, test in rows_by(group, len(image)).items():
        seen = {image[row] for row in test}
        train = np.array([row for row, one in enumerate(image) if one not in seen], np.int64)
        if not len(train):
            raise SettingsError(f"without {name!r} no case is left to learn from; a forecast needs several groups")
        folds.append(Fold(train, test, str(name)))
    return folds


def from_table(make_model: Callable[[], Any], table: pd.DataFrame, target: ArrayLike) -> FitPredict:
    """Fits new models on rows of a table; rows whose target is NaN are not learnt from."""
    known = np.asarray(target, float)

    def fit_predict(train: Ints, test: Ints) -> ArrayLike:
        usable = train[np.isfinite(known[train]).reshape(len(train), -1).all(axis=1)]
        fitted = make_model()
        fitted.fit(table.iloc[usable], known[usable])
        return np.asarray(fitted.predict(table.iloc[test]), float)

    return fit_predict


def from_cases(make_model: Callable[[], Any], cases: Cases) -> FitPredict:
    """Fits new models on cases: `fit(cases)`, `predict(cases)`, which gives one row a case in their order."""

    def chosen(rows: Ints) -> Cases:
        return cases.where(np.isin(np.arange(len(cases)), rows))

    def fit_predict(train: Ints, test: Ints) -> ArrayLike:
        fitted = make_model()
        fitted.fit(chosen(train))
        return np.asarray(fitted.predict(chosen(test)), float)

    return fit_predict


def out_of_fold(fit_predict: FitPredict, n: int, folds: Sequence[Fold]) -> OutOfFold:
    """Predictions for each case by models that had not seen it.

    Args:
        fit_predict: see there; called once a fold.
        n: cases.
        folds: of one protocol.

    Raises:
        ShapeError: not one prediction a row asked about.
        SettingsError: a row is both learnt from and asked about, or asked about twice in a repeat.
    """
    said: list[Floats] = []
    fold = np.full((1 + max(one.repeat for one in folds), n), -1)
    for number, one in enumerate(folds):
        if np.isin(one.test, one.train).any() or (fold[one.repeat, one.test] >= 0).any():
            raise SettingsError(f"{one.left_out!r} tests cases that it learns from, or that another fold has tested")
        values = np.asarray(fit_predict(one.train, one.test), float)
        if values.ndim not in (1, 2) or len(values) != len(one.test):
            raise ShapeError(f"wanted predictions for {len(one.test)} cases, (m,) or (m, k); got {values.shape}")
        said.append(values.reshape(len(one.test), -1))
        fold[one.repeat, one.test] = number
    predicted = np.full((*fold.shape, said[0].shape[1]), np.nan)
    for one, values in zip(folds, said, strict=True):
        predicted[one.repeat, one.test] = values
    return OutOfFold(predicted, fold)


def errors_by_split(
    truth: ArrayLike, predicted: ArrayLike, fold: ArrayLike, split: Sequence[str], *, grouped: Sequence[str] = GROUPED
) -> pd.DataFrame:
    """Errors of all cases, of each split and their averages, as the published table has them.

    Each is of a whole repeat, then averaged over the repeats. "All data" pools the cases; below it stands the mean of
    the folds' own errors, which is another number. Averages of splits weigh each split alike.

    Args:
        truth: (n,) NaN where not known.
        predicted: (r, n) of `OutOfFold`, one target.
        fold: (r, n) of it.
        split: (n,).
        grouped: the splits that are averaged as grouped; the others as random.

    Returns:
        One row a subset: its name, n, the errors of `stats.regression.Errors` and `left_out`, the cases without truth
        or prediction, which are in none of them.

    Raises:
        ShapeError: no case has both.

    Source: the published table 2; its rows are one random cross-validation, broken down by split.
    """
    known, said, where = np.asarray(truth, float), np.atleast_2d(predicted), np.atleast_2d(fold)
    usable = np.isfinite(known) & np.isfinite(said).all(axis=0)
    if not usable.any():
        raise ShapeError(f"none of {len(known)} cases has a truth and a prediction")

    def row(subset: str, of: Callable[[NDArray[np.bool_], int], Errors], rows: NDArray[np.bool_]) -> dict[str, Any]:
        kept = rows & usable
        parts = [of(kept, r) for r in range(len(said))] if kept.any() else []
        return {"subset": subset, "n": int(kept.sum()), **_average(parts), "left_out": int((rows & ~usable).sum())}

    def pooled(kept: NDArray[np.bool_], r: int) -> Errors:
        return errors(known[kept], said[r, kept])

    def by_fold(kept: NDArray[np.bool_], r: int) -> Errors:
        return fold_mean(known[kept], said[r, kept], where[r, kept].tolist())

    everything = np.ones(len(known), bool)
    found = [row("All data", pooled, everything), row("All data, mean of folds", by_fold, everything)]
    names = np.asarray(split)
    for kind, wanted in (("grouped", True), ("random", False)):
        of_kind = [name for name in rows_by(split, len(known)) if (name in grouped) is wanted]
        rows = [row(str(name), pooled, names == name) for name in of_kind]
        found += rows
        if rows:
            mean = pd.DataFrame(rows).drop(columns="subset").astype(float).mean()
            found.append({"subset": f"Average of {kind} splits", **mean})
    return pd.DataFrame(found)


def split_means(truth: ArrayLike, predicted: ArrayLike, split: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation of truth and prediction in each split: split, n, true, true_sd, predicted, …_sd.

    Args:
        truth, predicted: (n,); cases that lack one are left out.
        split: (n,).
    """
    table = pd.DataFrame({"split": list(split), "true": truth, "predicted": predicted}).dropna()
    by = table.groupby("split", sort=False)
    mean, sd = by.mean(), by.std(ddof=0).add_suffix("_sd")
    columns = ["split", "n", "true", "true_sd", "predicted", "predicted_sd"]
    return mean.join(sd).assign(n=by.size()).reset_index()[columns]


def mae_ratio(
    truth: ArrayLike, ours: ArrayLike, theirs: ArrayLike, split: Sequence[str], *, seed: int = 0,
    coverage: float = 0.9, draws: int = 2000,
) -> Interval | None:  # fmt: skip
    """Our mean absolute error over theirs on the same cases, its interval from drawing splits; lower is better.

    None with fewer than two splits.

    Args:
        truth, ours, theirs: (n,) finite.
        split: (n,) cases of a split are alike and are drawn together.
        seed: same seed, same interval.
        coverage: probability that the interval holds the ratio of other splits like these, 0 to 1.
        draws: how often the splits are drawn.

    Raises:
        ShapeError: of different length, or not finite.
        SettingsError: theirs has no error in some split.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, § 3.8.
    """
    known = np.asarray(truth, float)
    parts = list(rows_by(split, len(known)).values())
    if len(parts) < 2:
        return None
    said = (np.asarray(ours, float), np.asarray(theirs, float))
    a, b = (np.array([len(rows) * errors(known[rows], one[rows]).mae for rows in parts]) for one in said)
    if not b.all():
        raise SettingsError("theirs has no error at all in a split; a ratio to it says nothing")
    drawn = np.random.default_rng(seed).integers(0, len(parts), (draws, len(parts)))
    ratios = a[drawn].sum(axis=1) / b[drawn].sum(axis=1)
    return percentile_interval(float(a.sum() / b.sum()), ratios, coverage=coverage)


def _known(images: pd.DataFrame, column: str) -> list[str]:
    names = [str(name) for name in images[column]]
    if unknown := sum(name == "" for name in names):
        raise SettingsError(f"folds by {column} need the {column} of each case; {unknown} of {len(names)} lack it")
    return names


def _identity(images: pd.DataFrame) -> list[Hashable]:
    """Source and name, as images of two sources may share a name; the row's number where it has none."""
    both = zip(images["source"], images["image"], strict=True)
    return [(source, name) if name else row for row, (source, name) in enumerate(both)]


def _average(parts: Sequence[Errors]) -> dict[str, float | None]:
    """Mean of each error over those that have it."""
    found: dict[str, float | None] = {}
    for name in Errors._fields[1:]:
        values = [value for one in parts if (value := getattr(one, name)) is not None]
        found[name] = float(np.mean(values)) if values else None
    return found
