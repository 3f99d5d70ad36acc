"""Runs on several datasets together, and what they say of the claim that context determines the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from epistem.bench.advise import AVERAGE, LEAST_DATASETS, SIMILAR, UNET, Regret, leave_one_out
from epistem.bench.arms import Arm, arms, comparable, gathered
from epistem.bench.compare import Scores, differences, model_means
from epistem.bench.profile import Profile
from epistem.bench.ranks import ContextTest, What, context_test
from epistem.core import SettingsError
from epistem.report.document import finite
from epistem.stats.resample import holm

SURE = 0.05
_KEYS = {SIMILAR: "similar", AVERAGE: "average", UNET: "unet"}


@dataclass(frozen=True, eq=False)
class BenchStudy:
    """Runs on several datasets.

    Attributes:
        jobs, scores: the tables of all runs.
        profiles: by dataset, as the tables call it.
        meta: meta-features, one row a dataset; None where they were not computed.
        metric: that ranks.
        provenance: how to make it again.
    """

    jobs: pd.DataFrame
    scores: pd.DataFrame
    profiles: Mapping[str, Profile]
    meta: pd.DataFrame | None = None
    metric: str = "iou"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arms(self) -> list[Arm]:
        """The one with most trained jobs first."""
        return arms(self.jobs)

    def compared(self, arm: Arm, metric: str | None = None) -> Scores | None:
        """Trained networks of one arm; None without scores."""
        which = metric or self.metric
        return gathered(comparable(self.scores, self.jobs, which, arm), which)

    def stopped(self, arm: Arm) -> Scores | None:
        """Undertrained ones alone."""
        short = self.jobs[self.jobs["undertrained"].astype(bool)]
        mine = self.scores[self.scores["job"].isin(short["job"])]
        return gathered(comparable(mine, short, self.metric, arm, undertrained=True), self.metric)


def study_numbers(study: BenchStudy) -> dict[str, float | None]:
    """What the study comes to, for a file of results; None where it cannot tell."""
    _, scores = main_arm(study)
    test, regret, leads = context_of(scores), regret_of(study, scores), leads_of(scores)
    trained = study.jobs[~study.jobs["undertrained"].astype(bool)]
    cells = trained.groupby(["dataset", "encoder", "decoder", "weights", "variant"]).ngroups
    known = test if isinstance(test, ContextTest) else None
    return {
        "datasets": len(scores.datasets), "cells": cells, "jobs": len(study.jobs), "trained": len(trained),
        "context_p": known.p if known else None,
        "context_disagreement": known.disagreement if known else None,
        "context_by_chance": known.by_chance.value if known else None,
        "median_lead": finite(leads["lead"].median()), "sure_winners": int((leads["p_holm"] < SURE).sum()),
        **{f"regret_{key}": regret.mean.get(way) if regret else None for way, key in _KEYS.items()},
    }  # fmt: skip


def main_arm(study: BenchStudy) -> tuple[Arm, Scores]:
    """The arm with most trained networks that have scores, and these.

    Raises:
        SettingsError: there is none.
    """
    for arm in study.arms:
        if (scores := study.compared(arm)) is not None:
            return arm, scores
    raise SettingsError(f"no trained job has a score in {study.metric}; run some to their end first")


def context_of(scores: Scores, what: What = "winner") -> ContextTest | str:
    """`ranks.context_test`, or why there is none."""
    try:
        return context_test(scores, what)
    except SettingsError as error:
        return f"{error}."


def leads_of(scores: Scores) -> pd.DataFrame:
    """By how much the first of each dataset leads its second.

    Returns:
        Columns dataset, first, second, lead (≥ 0), low, high, p, p_holm (over datasets); NaN with one group.
        A dataset with one model is left out.
    """
    pairs = differences(scores).set_index(["dataset", "model_a", "model_b"])
    rows = []
    for name, part in model_means(scores).groupby("dataset", sort=False):
        if len(part) < 2:
            continue
        first, second = part.sort_values("value", ascending=scores.sign < 0)["model"].tolist()[:2]
        as_listed = (name, first, second) in pairs.index
        key: Any = (name, first, second) if as_listed else (name, second, first)
        row = pairs.loc[key]
        sign = scores.sign if as_listed else -scores.sign
        low, high = sorted((sign * row["low"], sign * row["high"]))
        rows.append([str(name), first, second, sign * row["difference"], low, high, row["p"]])
    table = pd.DataFrame(rows, columns=["dataset", "first", "second", "lead", "low", "high", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(float)))


def regret_of(study: BenchStudy, scores: Scores) -> Regret | None:
    """`advise.leave_one_out` of these; None where too few datasets have meta-features, or models are on all."""
    quality = quality_table(scores)
    both = [] if study.meta is None else [name for name in quality.index if name in study.meta.index]
    if study.meta is None or len(both) < LEAST_DATASETS or quality.shape[1] < 2:
        return None
    return leave_one_out(study.meta.loc[both], quality.loc[both])


def quality_table(scores: Scores) -> pd.DataFrame:
    """(datasets, models) means of the models that are on all datasets, turned so that higher is better."""
    means = model_means(scores).pivot(index="dataset", columns="model", values="value")
    return means.dropna(axis=1) * scores.sign


class About(NamedTuple):
    """What a dataset is; None where nobody said."""

    modality: str | None
    material: str | None
    task: str | None
    difficulty: str | None


def about(study: BenchStudy, name: str) -> About:
    """As its profile has it; without an objective the task is its classes."""
    profile = study.profiles.get(name)
    if profile is None:
        return About(None, None, None, None)
    material, task = profile.dataset.material, profile.task
    classes = "/".join(one.name for one in task.classes[1:]) or None
    difficulty = task.difficulty.replace("_", " ") if task.difficulty else None
    return About(profile.dataset.modality, material.name or material.kind, task.objective or classes, difficulty)
