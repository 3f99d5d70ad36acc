"""Scores of label maps, as a profile asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.bench.arms import LOWER, STORED
from epistem.bench.images import Scored
from epistem.bench.profile import Profile
from epistem.segment.boundaries import shape_scores, structure
from epistem.segment.metrics import class_weights, confusion
from epistem.segment.summary import ALL, FOREGROUND, image_scores

IGNORED = -1
SHAPE_METRICS = ("boundary_f", "cldice", "hd95")
"""Metrics of a profile that `shape_scores` measures."""
STRUCTURE_METRICS = {"porosity": "share", "connectivity": "largest_share"}
"""Metric of a profile → the field of `Structure` whose error, found minus true, is listed."""


def score_image(
    found: NDArray[np.integer[Any]],
    truth: NDArray[np.int16],
    image: str,
    profile: Profile,
    weights: NDArray[np.float64],
) -> pd.DataFrame:
    """All scores of one label map: columns image, class, metric, value, empty, undefined."""
    classes, metrics = _classes(profile), profile.task.metrics
    counts = confusion(found, truth, classes, ignore=IGNORED)
    tables = [image_scores(counts[None], classes, weights=weights, background=classes[0], images=[image])]
    if any(metric in SHAPE_METRICS for metric in metrics):
        tables.append(shape_scores(found, truth, classes, image=image, background=classes[0], ignore=IGNORED))
    tables += [_structure(found, truth, image, classes, one) for one in metrics if one in STRUCTURE_METRICS]
    return pd.concat(tables, ignore_index=True)


def training_weights(images: Sequence[Scored], classes: Sequence[str]) -> NDArray[np.float64]:
    """Weights of the classes for the weighted IoU, from the training images alone."""
    counts = [confusion(np.maximum(one.labels, 0), one.labels, classes, ignore=IGNORED) for one in images]
    return class_weights(counts)


def rate_of(profile: Profile, weights: NDArray[np.float64]) -> Callable[[list[Any], list[Any]], float]:
    """The primary metric over validation tiles, higher is better: of pooled pixels; for shapes the mean of tiles."""
    classes, primary = _classes(profile), profile.task.primary

    def rate(found: list[NDArray[Any]], truth: list[NDArray[Any]]) -> float:
        pairs = list(zip(found, truth, strict=True))
        if primary in SHAPE_METRICS or primary in STRUCTURE_METRICS:
            values = [_tile_value(score_image(f, t, "", profile, weights), f, t, profile) for f, t in pairs]
            known = [abs(value) for value in values if value == value]
            mean = float(np.mean(known)) if known else np.nan
            return -mean if primary in LOWER else mean
        counts = np.sum([confusion(f, t, classes, ignore=IGNORED) for f, t in pairs], axis=0)
        scored = image_scores(counts[None], classes, weights=weights, background=classes[0])
        of = scored["class"].isin([FOREGROUND, ALL]) & (scored["metric"] == primary)
        return float(scored[of]["value"].iloc[0])

    return rate


def _tile_value(scored: pd.DataFrame, found: NDArray[Any], truth: NDArray[Any], profile: Profile) -> float:
    """The primary metric of one tile, over the classes but the background.

    What only one side has is as wrong as can be: else a network that finds nothing would be judged by nothing.
    """
    primary = profile.task.primary
    mine = scored[scored["metric"] == STORED.get(primary, primary)].set_index("class")["value"]
    if primary not in ("hd95", "connectivity"):
        return float(mine[FOREGROUND])
    worst = float(np.hypot(*truth.shape)) if primary == "hd95" else 1.0
    values = []
    for label, name in list(enumerate(_classes(profile)))[1:]:
        differ = bool(((found == label) != (truth == label))[truth != IGNORED].any())
        value = abs(float(mine[name]))
        values.append(worst if differ and value != value else value)
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else np.nan


def _structure(
    found: NDArray[Any], truth: NDArray[Any], image: str, classes: Sequence[str], metric: str
) -> pd.DataFrame:
    """Found minus true share (or largest part's share) of each class but the background, and their mean size."""
    counted = truth != IGNORED
    rows = []
    for label, name in list(enumerate(classes))[1:]:
        shares = [getattr(structure(m == label, valid=counted), STRUCTURE_METRICS[metric]) for m in (found, truth)]
        rows.append({"class": name, "value": shares[0] - shares[1]})
    values = np.array([row["value"] for row in rows])
    known = values[np.isfinite(values)]
    rows.append({"class": FOREGROUND, "value": float(np.abs(known).mean()) if known.size else np.nan})
    table = pd.DataFrame(rows).assign(image=image, metric=f"{metric}_error", empty=0)
    table["undefined"] = [*np.isnan(values).astype(int), int(np.isnan(values).sum())]
    return table[["image", "class", "metric", "value", "empty", "undefined"]]


def _classes(profile: Profile) -> tuple[str, ...]:
    return tuple(one.name for one in profile.task.classes)
