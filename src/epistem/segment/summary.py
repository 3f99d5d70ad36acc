"""Tables of segmentation scores: of each image and class, and of all images.

=============  =========================================================================================
macro-image    each image has its score; their mean. Every image weighs the same
micro-pixel    the pixels of all images are counted together, then scored. Every pixel weighs the same
=============  =========================================================================================

A class that is in neither map scores 1 by agreement and is counted as `empty`. A score that does not exist is NaN,
left out of means, and counted as `undefined`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from epistem.core import RecordError, ShapeError, UnknownName
from epistem.segment.metrics import check_consistent, dice, in_neither, iou, pixel_accuracy, weighted_iou
from epistem.stats.resample import percentile_interval

MEAN = "mean"
"""The row of the mean over all classes."""

FOREGROUND = "foreground mean"
"""The row of the mean over all classes but the background."""

ALL = "all"
"""The row of scores that know no class."""

Floats = NDArray[np.float64]
_DRAWS = 2000


class Cells(NamedTuple):
    """Scores of n images, one column a class (or mean of classes) and metric.

    Attributes:
        names: k pairs (class, metric).
        values: (n, k), NaN where undefined.
        empty, undefined: (n, k) how many of the scores behind each value are so.
    """

    names: list[tuple[str, str]]
    values: Floats
    empty: Floats
    undefined: Floats


def image_scores(
    counts: ArrayLike, classes: Sequence[str], *, weights: ArrayLike, background: str | None = "background",
    images: Sequence[Hashable] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Scores of each image and class, and of each image's means.

    Args:
        counts: (n, C, C), one table of `metrics.confusion` an image.
        classes: names.
        weights: (C,) of `metrics.class_weights`, for the weighted IoU.
        background: the class left out of the foreground mean; None where every class is something.
        images: names of the images; None: 0 to n − 1.

    Returns:
        Columns image, class (a name, `MEAN`, `FOREGROUND`, `ALL`), metric (iou, dice, wiou, pixel_accuracy), value (0
        to 1, higher is better), empty and undefined (how many of the scores behind the value are so).

    Raises:
        ShapeError: counts that do not fit the classes.
        UnknownName: no class of the background's name.
    """
    tables = _tables(counts, classes)
    return long_table(
        _count_cells(tables, classes, weights, background), range(len(tables)) if images is None else images
    )


def macro_image(
    scored: pd.DataFrame, *, groups: Sequence[Hashable] | None = None, coverage: float = 0.9, seed: int = 0
) -> pd.DataFrame:
    """Means over images, with intervals from drawing images, or groups of them, again.

    Args:
        scored: as `image_scores` and `boundaries.shape_scores` make it; several may be put below one another.
        groups: which specimen or series each image is of, in the order in which images first appear; None: its own.
        coverage: probability that an interval holds the mean, 0 to 1.
        seed: of the draws.

    Returns:
        Columns aggregate, class, metric, value, low, high (NaN with fewer than two groups), coverage, images (with a
        score), empty, undefined (sums over images).

    Raises:
        RecordError: the same image, class and metric twice, or IoU and Dice that cannot be of the same masks.
    """
    cells = _cells_of(scored)
    weights = _draws(groups, len(cells.values), seed)
    known = np.isfinite(cells.values)
    sums = np.where(known, cells.values, 0.0)
    drawn = None if weights is None else _share(weights @ sums, weights @ known)
    pooled = Cells(cells.names, _share(sums.sum(0), known.sum(0)), cells.empty.sum(0), cells.undefined.sum(0))
    return _summary("macro-image", pooled, known.sum(0), drawn, coverage)


def micro_pixel(
    counts: ArrayLike, classes: Sequence[str], *, weights: ArrayLike, background: str | None = "background",
    groups: Sequence[Hashable] | None = None, coverage: float = 0.9, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Scores of the pixels of all images together; arguments as `image_scores`, columns as `macro_image`."""
    tables = _tables(counts, classes)
    draw = _draws(groups, len(tables), seed)
    whole = _count_cells(tables.sum(0, keepdims=True), classes, weights, background)
    again = None if draw is None else np.tensordot(draw, tables, 1)
    drawn = None if again is None else _count_cells(again, classes, weights, background).values
    scored = np.full(len(whole.names), (tables.sum((1, 2)) > 0).sum())
    return _summary("micro-pixel", Cells(whole.names, *(part[0] for part in whole[1:])), scored, drawn, coverage)


def class_means(
    metric: str, values: Floats, empty: ArrayLike, classes: Sequence[str], means: dict[str, list[int]]
) -> Cells:
    """A metric's scores by class, then their means over what is known.

    Args:
        metric: its name.
        values: (n, C) scores.
        empty: (n, C) whether the class is in neither map.
        classes: C names.
        means: name of each mean, and which classes are in it.
    """
    picked = np.zeros((len(classes), len(means)))
    for column, which in enumerate(means.values()):
        picked[which, column] = 1
    picked = np.hstack([np.eye(len(classes)), picked])
    known = np.isfinite(values)
    mean = _share(np.where(known, values, 0.0) @ picked, known @ picked)
    names = [(name, metric) for name in (*classes, *means)]
    return Cells(names, mean, np.asarray(empty, float) @ picked, ~known @ picked)


def long_table(cells: Cells, images: Sequence[Hashable] | range) -> pd.DataFrame:
    """One row an image, class and metric, as `image_scores` describes; raises RecordError as `macro_image` does."""
    n = len(cells.values)
    table = pd.DataFrame(cells.names * n, columns=["class", "metric"])
    table.insert(0, "image", pd.Series(list(images)).repeat(len(cells.names)).to_numpy())
    table["value"] = cells.values.ravel()
    table["empty"], table["undefined"] = (part.ravel().astype(int) for part in (cells.empty, cells.undefined))
    _check(cells)
    return table


def join(parts: Sequence[Cells]) -> Cells:
    """Columns of several metrics of the same images, side by side."""
    names = [name for part in parts for name in part.names]
    return Cells(names, *(np.hstack([part[i] for part in parts]) for i in (1, 2, 3)))


def _count_cells(tables: Floats, classes: Sequence[str], weights: ArrayLike, background: str | None) -> Cells:
    empty = in_neither(tables)
    means = {MEAN: list(range(len(classes))), FOREGROUND: front(classes, background)}
    scores = {"iou": iou(tables), "dice": dice(tables), "wiou": weighted_iou(tables, weights)}
    parts = [class_means(name, values, empty, classes, means) for name, values in scores.items()]
    right = pixel_accuracy(tables)[:, None]
    return join(
        [*parts, Cells([(ALL, "pixel_accuracy")], right, np.zeros(right.shape), np.isnan(right).astype(float))]
    )


def front(classes: Sequence[str], background: str | None) -> list[int]:
    """Indices of the classes that are not background; UnknownName where none is called so."""
    if background is not None and background not in classes:
        raise UnknownName(
            f"no class is called {background!r}; there is {', '.join(classes)}. Say which one is the background, or "
            "None where none is"
        )
    return [i for i, name in enumerate(classes) if name != background]


def _cells_of(scored: pd.DataFrame) -> Cells:
    if scored.duplicated(["image", "class", "metric"]).any():
        twice = scored[scored.duplicated(["image", "class", "metric"])].iloc[0]
        raise RecordError(
            f"image {twice['image']} has {twice['metric']} of {twice['class']!r} twice; each counts once"
        )
    keys = pd.MultiIndex.from_frame(scored[["class", "metric"]])
    column, names = pd.factorize(keys)
    row, images = pd.factorize(scored["image"])
    shape = (len(images), len(names))
    parts = [np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)]
    for part, name in zip(parts, ("value", "empty", "undefined"), strict=True):
        part[row, column] = scored[name]
    return Cells([(str(a), str(b)) for a, b in names], *parts)


def _tables(counts: ArrayLike, classes: Sequence[str]) -> Floats:
    tables, c = np.asarray(counts, float), len(classes)
    if tables.ndim != 3 or tables.shape[1:] != (c, c):
        raise ShapeError(f"counts of {c} classes are (n, {c}, {c}), not {tables.shape}")
    return tables


def _draws(groups: Sequence[Hashable] | None, n: int, seed: int) -> Floats | None:
    """How often each of n images is in each draw of groups, (draws, n); None with fewer than two groups."""
    index = np.arange(n) if groups is None else pd.factorize(pd.Series(list(groups)))[0]
    if len(index) != n or (index < 0).any():
        raise RecordError(
            f"wanted one group for each of {n} images; got {len(index)}, {int((index < 0).sum())} unknown"
        )
    many = int(index.max(initial=-1)) + 1
    if many < 2:
        return None
    counts = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), _DRAWS)
    return counts[:, index].astype(float)


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return share


def _check(cells: Cells) -> None:
    at = {name: i for i, name in enumerate(cells.names)}
    of = [name for name, metric in cells.names if metric == "iou" and (name, "dice") in at]
    values = np.atleast_2d(cells.values)
    for name in of:
        check_consistent(values[:, at[name, "iou"]], values[:, at[name, "dice"]], what=f"class {name!r}, image")


def _summary(aggregate: str, cells: Cells, images: Floats, drawn: Floats | None, coverage: float) -> pd.DataFrame:
    _check(cells)
    table = pd.DataFrame(cells.names, columns=["class", "metric"])
    table.insert(0, "aggregate", aggregate)
    table["value"] = cells.values
    ends = [_ends(value, None if drawn is None else drawn[:, i], coverage) for i, value in enumerate(cells.values)]
    table["low"], table["high"] = np.array(ends, float).reshape(-1, 2).T
    table["coverage"] = coverage
    counted = {"images": images, "empty": cells.empty, "undefined": cells.undefined}
    return table.assign(**{name: part.astype(int) for name, part in counted.items()})


def _ends(value: float, drawn: Floats | None, coverage: float) -> tuple[float, float]:
    known = None if drawn is None else drawn[np.isfinite(drawn)]
    if known is None or not len(known) or not np.isfinite(value):
        return np.nan, np.nan
    interval = percentile_interval(float(value), known, coverage=coverage)
    return interval.low, interval.high
