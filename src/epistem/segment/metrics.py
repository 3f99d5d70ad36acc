"""How well two label maps agree, from counts of their pixels.

All of them take one table of counts or many at once, (…, C, C). A class that is in neither map scores 1 by agreement;
a score that does not exist is NaN. `summary` makes tables of images of these, `boundaries` looks at shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from epistem.core import RecordError, SettingsError, ShapeError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ignore = int | Mask | None
# Sums of a few thousand scores differ from their exact value by less.
_ROUNDING = 1e-9


class Maps(NamedTuple):
    """Two label maps that belong together, and which pixels count (None: all), of one shape."""

    found: NDArray[np.integer[Any]]
    truth: NDArray[np.integer[Any]]
    valid: Mask | None


def label_maps(found: ArrayLike, truth: ArrayLike, classes: Sequence[str], *, ignore: Ignore = None) -> Maps:
    """Both label maps, checked, and the pixels that count.

    Args:
        found, truth: (H, W) or (D, H, W) whole numbers, index into `classes`.
        classes: names.
        ignore: a label of the truth whose pixels do not count, or a mask of such pixels; None: all count.

    Raises:
        ShapeError: maps, or mask, of different shape.
        RecordError: labels that are no whole numbers or have no class.
    """
    a, b = np.asarray(found), np.asarray(truth)
    if a.shape != b.shape:
        raise ShapeError(f"the found map is {a.shape}, the truth {b.shape}; score both at one size")
    valid = None if ignore is None else b != ignore if np.ndim(ignore) == 0 else ~np.asarray(ignore, bool)
    if valid is not None and valid.shape != b.shape:
        raise ShapeError(f"the mask of pixels to ignore is {valid.shape}, the maps are {b.shape}")
    for what, labels in (("found map", a), ("truth", b)):
        if labels.dtype.kind not in "biu":
            raise RecordError(f"the {what} holds {labels.dtype}; a label map holds whole numbers, index into classes")
        counted = labels if valid is None else labels[valid]
        for end in (counted.min(), counted.max()) if counted.size else ():
            if not 0 <= end < len(classes):
                raise RecordError(
                    f"the {what} holds label {end}; the {len(classes)} classes ({', '.join(classes)}) are 0 to "
                    f"{len(classes) - 1}. Name its class, or ignore={end} where the truth has it for 'unknown'"
                )
    return Maps(a, b, valid)


def confusion(found: ArrayLike, truth: ArrayLike, classes: Sequence[str], *, ignore: Ignore = None) -> Ints:
    """Pixels by true class (rows) and found class (columns), shape (C, C); arguments as `label_maps`.

    >>> confusion([[0, 1], [1, 1]], [[0, 0], [1, 1]], ("matrix", "pore")).tolist()
    [[1, 1], [0, 2]]
    """
    maps, n = label_maps(found, truth, classes, ignore=ignore), len(classes)
    pairs = maps.truth.astype(np.intp) * n + maps.found.astype(np.intp)
    counted = pairs.ravel() if maps.valid is None else pairs[maps.valid]
    return np.bincount(counted, minlength=n * n).reshape(n, n).astype(np.int64, copy=False)


def iou(counts: ArrayLike) -> Floats:
    """Intersection over union of each class, 0 to 1, higher is better: tp/(tp + fp + fn).

    Args:
        counts: (…, C, C) of `confusion`.

    Returns:
        Shape (…, C); 1 where the class is in neither map, NaN where no pixel counts.
    """
    table = np.asarray(counts, float)
    tp = np.diagonal(table, axis1=-2, axis2=-1)
    return _ratio(tp, table.sum(-1) + table.sum(-2) - tp, table)


def dice(counts: ArrayLike) -> Floats:
    """Dice of each class, 0 to 1, higher is better: 2·tp/(2·tp + fp + fn); arguments and shape as `iou`."""
    table = np.asarray(counts, float)
    return _ratio(2 * np.diagonal(table, axis1=-2, axis2=-1), table.sum(-1) + table.sum(-2), table)


def pixel_accuracy(counts: ArrayLike) -> Floats:
    """Share of pixels with the right class, 0 to 1, shape (…); NaN where no pixel counts."""
    table = np.asarray(counts, float)
    pixels = table.sum((-2, -1))
    right = np.trace(table, axis1=-2, axis2=-1)
    share: Floats = np.divide(right, pixels, out=np.full(pixels.shape, np.nan), where=pixels > 0)
    return share


def class_weights(counts: ArrayLike, how: Literal["inverse", "median"] = "inverse") -> Floats:
    """Weights of pixels by their true class, shape (C,), sum 1; 0 for a class that is nowhere.

    Args:
        counts: (n, C, C), one table an image; of the training images where the weights are to be fixed beforehand.
        how: inverse: 1/share of the class among all pixels. Median frequency: 1/share among the pixels of those
            images that show the class; a class that is common but in few images weighs less for it.

    Raises:
        SettingsError: counts of another shape, or no such way.

    Source: median frequency: D. Eigen, R. Fergus, ICCV 2015.

    >>> class_weights([[[3, 0], [0, 1]]]).tolist()
    [0.25, 0.75]
    """
    true = np.asarray(counts, float).sum(-1)
    if true.ndim != 2 or how not in ("inverse", "median"):
        raise SettingsError(f"wanted counts (n, C, C) and 'inverse' or 'median'; got {np.shape(counts)} and {how!r}")
    # The median itself is one factor for all classes and cancels in a ratio; only the base of the shares is left.
    among = true.sum() if how == "inverse" else ((true > 0) * true.sum(1, keepdims=True)).sum(0)
    weights: Floats = np.divide(among, true.sum(0), out=np.zeros(true.shape[1]), where=true.sum(0) > 0)
    weights /= max(weights.sum(), 1.0)
    return weights


def weighted_iou(counts: ArrayLike, weights: ArrayLike) -> Floats:
    """IoU of each class where a pixel weighs by its true class, 0 to 1, higher is better.

    For a rare class false positives are nearly free (they lie on common, light pixels): read it beside the IoU.

    Args:
        counts: (…, C, C) of `confusion`.
        weights: (C,) of `class_weights`; equal ones give the IoU.

    Returns:
        Shape (…, C); 1 where the class is in neither map, NaN where nothing with a weight counts.

    Source: the published benchmark's eq. 3, Σ w·[found and true]/Σ w·[found or true], with w = 1/frequency.
    """
    table = np.asarray(counts, float)
    weighed = table * np.asarray(weights, float)[:, None]
    tp = np.diagonal(weighed, axis1=-2, axis2=-1)
    return _ratio(tp, weighed.sum(-1) + weighed.sum(-2) - tp, table)


def in_neither(counts: ArrayLike) -> Mask:
    """Whether each class is in neither map though pixels count, shape (…, C)."""
    table = np.asarray(counts)
    absent: Mask = (table.sum(-1) + table.sum(-2) == 0) & (table.sum((-2, -1)) > 0)[..., None]
    return absent


def check_consistent(overlap: ArrayLike, doubled: ArrayLike, *, what: str = "pair") -> None:
    """Refuse pairs of IoU and Dice that cannot be of the same masks: Dice outside IoU … 2·IoU/(1 + IoU).

    Of one mask, or of pooled pixels, Dice is g(IoU) with g(j) = 2j/(1 + j). On [0, 1] g(j) ≥ j, so any mean of Dice
    is at least the same mean of IoU; and g is concave, so by Jensen's inequality it is at most g of the mean IoU.
    Both hold for means over images, over classes, or over both, whatever the weights, of the same masks.

    Args:
        overlap, doubled: (n,) IoU and Dice.
        what: each pair is of, for the message.

    Raises:
        RecordError: at least one pair is impossible, or only one of the two is known.
    """
    low, found = np.asarray(overlap, float), np.asarray(doubled, float)
    outside = (found < low - _ROUNDING) | (found > _dice_of(low) + _ROUNDING)
    wrong = np.flatnonzero(outside | (np.isnan(low) != np.isnan(found)))
    if len(wrong):
        first = wrong[0]
        raise RecordError(
            f"{len(wrong)} of {low.size} pairs of IoU and Dice cannot be of the same masks, first {what} {first}: "
            f"{low[first]:.4f} and {found[first]:.4f}; take both from one prediction"
        )


def impossible_pairs(printed: pd.DataFrame, *, decimals: int = 3) -> pd.DataFrame:
    """Which printed pairs of IoU and Dice no masks can have, alone or as means over the same masks.

    Args:
        printed: columns iou and dice, 0 to 1; any others are kept.
        decimals: to which both were rounded; a pair is impossible only if no numbers that round to it are possible.

    Returns:
        The table with largest_dice (the smallest is the IoU) and verdict: "possible", "Dice below IoU", "Dice above
        2·IoU/(1+IoU)", or "unscored" where one is missing. Why: `check_consistent`.

    Raises:
        RecordError: a column is missing, or numbers outside 0 to 1.

    >>> impossible_pairs(pd.DataFrame({"iou": [0.9, 0.5], "dice": [0.8, 0.6]}))["verdict"].tolist()
    ['Dice below IoU', 'possible']
    """
    if absent := {"iou", "dice"} - set(printed.columns):
        raise RecordError(
            f"a table of printed pairs has columns iou and dice; {' and '.join(sorted(absent))} missing"
        )
    low, found = printed["iou"].to_numpy(float), printed["dice"].to_numpy(float)
    if ((np.stack([low, found]) < 0) | (np.stack([low, found]) > 1)).any():
        raise RecordError("IoU and Dice lie between 0 and 1; divide a table of percents by 100")
    half = 0.5 * 10.0**-decimals + _ROUNDING
    verdict = np.select(
        [np.isnan(low + found), found + half < low - half, found - half > _dice_of(np.minimum(low + half, 1))],
        ["unscored", "Dice below IoU", "Dice above 2·IoU/(1+IoU)"],
        "possible",
    )
    return printed.assign(largest_dice=_dice_of(low), verdict=verdict)


def _ratio(part: Floats, whole: Floats, table: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    ratio[in_neither(table)] = 1.0
    return ratio


def _dice_of(overlap: Floats) -> Floats:
    return 2 * overlap / (1 + overlap)
