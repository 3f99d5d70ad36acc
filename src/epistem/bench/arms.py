"""Which scores may be compared: networks of one start, with one form of the decoders, trained to their end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from epistem.bench.compare import Scores, gather
from epistem.core import RecordError
from epistem.segment.summary import ALL, FOREGROUND, MEAN

LOWER = ("hd95", "porosity", "connectivity")
"""Metrics of which less is better."""

STORED = {"hd95": "hd95_px", "porosity": "porosity_error", "connectivity": "connectivity_error"}
"""A profile's metric → its name in tables of scores; errors are compared by their size, whatever the sign."""

SHORT = {
    "tf_efficientnet_lite0": "lite0", "se_resnext101_32x4d": "SE-ResNeXt101", "se_resnext50_32x4d": "SE-ResNeXt50",
    "resnext50_32x4d": "ResNeXt50", **{f"resnet{n}": f"ResNet{n}" for n in (18, 34, 50, 101, 152)},
    "unet": "U-Net", "unetplusplus": "U-Net++", "deeplabv3": "DeepLabV3", "deeplabv3plus": "DeepLabV3+",
    "fpn": "FPN", "segformer": "Segformer",
}  # fmt: skip
"""Names for a person; others stay as they are."""

DECODER_ORDER = ("unet", "deeplabv3", "deeplabv3plus", "fpn", "segformer", "unetplusplus")
"""In which figures colour them."""

LEAST_GROUPS = 3
"""Of test images, to draw groups rather than images."""

JOB_COLUMNS = ("job", "dataset", "encoder", "decoder", "variant", "weights", "seed", "undertrained")
SCORE_COLUMNS = ("dataset", "job", "image", "group", "class", "metric", "value")


class Arm(NamedTuple):
    """What networks begin with, and whose decoders they have."""

    weights: str
    variant: str

    @property
    def words(self) -> str:
        """For a person."""
        start = "random initialisation" if self.weights == "none" else f"{self.weights} weights"
        return f"{start}, {self.variant} decoders"


def arms(jobs: pd.DataFrame) -> list[Arm]:
    """All that trained jobs have, the one with most of them first.

    Raises:
        RecordError: columns are missing.
    """
    check_columns(jobs, JOB_COLUMNS, "jobs")
    counts = jobs[~jobs["undertrained"].astype(bool)].groupby(["weights", "variant"]).size()
    ordered = counts.sort_values(ascending=False, kind="stable")
    return [Arm(str(weights), str(variant)) for weights, variant in ordered.index]


def of_arm(jobs: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """Its trained jobs."""
    mine = (jobs["weights"] == arm.weights) & (jobs["variant"] == arm.variant)
    return jobs[mine & ~jobs["undertrained"].astype(bool)]


def comparable(
    scores: pd.DataFrame, jobs: pd.DataFrame, metric: str, arm: Arm, *, undertrained: bool = False
) -> pd.DataFrame:  # fmt: skip
    """Scores of one metric and arm, as `compare.gather` takes them; runs without any score are left out.

    Args:
        scores, jobs: the tables of runs.
        metric: its foreground mean is taken, or what there is of a metric without classes.
        arm: others stay outside.
        undertrained: whether networks that were stopped short are in.

    Returns:
        Columns dataset, image, group, model, seed, value; no rows where there is nothing to compare.

    Raises:
        RecordError: columns are missing, or a job of the scores is not in the table of jobs.
    """
    check_columns(jobs, JOB_COLUMNS, "jobs")
    check_columns(scores, SCORE_COLUMNS, "scores")
    if unknown := set(scores["job"]) - set(jobs["job"]):
        raise RecordError(f"{len(unknown)} jobs have scores but no row in the table of jobs, first {min(unknown)}")
    kept = jobs[(jobs["weights"] == arm.weights) & (jobs["variant"] == arm.variant)]
    kept = kept if undertrained else kept[~kept["undertrained"].astype(bool)]
    kept = kept.assign(model=[model_name(*pair) for pair in zip(kept["encoder"], kept["decoder"], strict=True)])
    rows = of_metric(scores, metric)[["job", "image", "group", "value"]].merge(
        kept[["job", "dataset", "model", "seed"]], on="job"
    )
    scored = rows.groupby("job")["value"].transform("count") > 0
    kept_rows = rows.loc[scored, ["dataset", "image", "group", "model", "seed", "value"]].reset_index(drop=True)
    few = kept_rows["dataset"].isin(few_groups(kept_rows))
    return kept_rows.assign(group=kept_rows["image"].where(few, kept_rows["group"]))


def few_groups(scores: pd.DataFrame) -> list[str]:
    """Datasets with so few groups of test images that images stand for themselves.

    Of one group nothing can be drawn, and of two draws are all or nothing. Their intervals then hold for these
    specimens only: images of one specimen are alike.
    """
    groups = scores.groupby("dataset")["group"].nunique()
    return [str(name) for name in groups.index[groups < LEAST_GROUPS]]


def of_metric(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric that stand for an image: its foreground mean, else its mean, else what knows no class."""
    stored = STORED.get(metric, metric)
    rows = scores[scores["metric"] == stored]
    there = set(rows["class"])
    rows = rows[rows["class"] == next((name for name in (FOREGROUND, MEAN, ALL) if name in there), None)]
    return rows.assign(value=rows["value"].abs()) if stored.endswith("_error") else rows


def model_name(encoder: str, decoder: str) -> str:
    """What a pair is called in tables.

    >>> model_name("resnet50", "unet")
    'resnet50 + unet'
    """
    return f"{encoder} + {decoder}"


def shown(model: str) -> str:
    """The same for a person, short.

    >>> shown("tf_efficientnet_lite0 + deeplabv3plus"), shown("resnet50 + unet")
    ('lite0 + DeepLabV3+', 'ResNet50 + U-Net')
    """
    return " + ".join(SHORT.get(part, part) for part in model.split(" + "))


def decoder_of(model: str) -> str:
    """The decoder in such a name."""
    return model.rpartition(" + ")[2]


def in_order(models: Iterable[str]) -> list[int]:
    """Places of models by encoder, in each by decoder: U-Net first."""
    names = list(models)

    def place(i: int) -> tuple[str, int]:
        encoder, _, decoder = names[i].rpartition(" + ")
        return encoder, DECODER_ORDER.index(decoder) if decoder in DECODER_ORDER else len(DECODER_ORDER)

    return sorted(range(len(names)), key=place)


def gathered(table: pd.DataFrame, metric: str, *, seed: int = 0) -> Scores | None:
    """Means and their noise; that of seeds is in where every dataset has a model with two. None without rows."""
    if not len(table):
        return None
    better: Literal["higher", "lower"] = "lower" if metric in LOWER else "higher"
    noise: Literal["averaged", "crossed"] = "crossed" if _reseeded(table) else "averaged"
    return gather(table, seeds=noise, better=better, seed=seed, ends=(0.0, np.inf if metric in LOWER else 1.0))


def _reseeded(table: pd.DataFrame) -> bool:
    seeds = table.groupby(["dataset", "model"])["seed"].nunique()
    return bool((seeds.groupby("dataset").max() > 1).all())


def check_columns(table: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """Refuse a table that lacks a column; RecordError."""
    if missing := [name for name in wanted if name not in table]:
        raise RecordError(f"the table of {what} needs {', '.join(missing)}; it has {', '.join(map(str, table))}")
