"""The published study of forecasting F1 as data: who said what of each case, in folds that had not seen it.

==========  ==================================================================================================
forest8     the published forest on its 8 features; forest18: on all 18
ours        `trust.forecast`, with intervals; "ours without …" and "ours on … alone" are its ablation
ac … doc    forecasts from scores alone, see `trust.signals.baseline_predictions`
==========  ==================================================================================================

Truth is the study's for all of them: everything found at a score of 0.1, matched as published. An image in which
nothing was found is said to have an F1, precision and recall of 0. That is the study's; elsewhere it is unscored.

Every fold is kept in a file of its own, by what went into it: a run that was stopped goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.app.reproduce_store import Store
from epistem.core import SettingsError
from epistem.trust.cases import GROUPS, Cases
from epistem.trust.features import LEAST_SCORE, PUBLISHED_8, PUBLISHED_18
from epistem.trust.forecast import LEAST_CASES, TARGETS, Forecaster, How
from epistem.trust.protocols import PROTOCOLS, FitPredict, Fold, Ints, OutOfFold, from_cases, from_table, out_of_fold
from epistem.trust.published import (
    PublishedForecast,
    Ranking,
    published_table,
    published_targets,
    rank_features,
    scored,
)
from epistem.trust.signals import baseline_predictions
from epistem.trust.table import COSTLY, PARTS

Floats = NDArray[np.float64]
Step = Callable[[str, int, int], None]
"""Is told what is going on, how many folds of it are done, of how many."""

FOREST, FOREST_18, OURS = "forest8", "forest18", "ours"
BASELINES = ("ac", "doc", "atc", "cot", "nuclear")
ABLATIONS: tuple[tuple[str, ...], ...] = (*(tuple(one for one in PARTS if one != left) for left in PARTS), PARTS[:1])
"""Parts of ours that are left: each but one, and the published features alone. What costs more looks comes on top
where the cases have it."""


class StudyCases(Cases):
    """Cases whose truth is the study's."""

    def truth(self, min_score: float) -> pd.DataFrame:
        """f1, precision and recall of everything found at a score of 0.1, matched as published.

        Raises:
            SettingsError: another score, for which the published matching was not done.
        """
        if min_score != LEAST_SCORE:
            raise SettingsError(f"the study keeps what has a score of {LEAST_SCORE} or more, not {min_score:g}")
        return published_targets(self)[list(TARGETS)]


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Attributes:
        repeats, repeats_ours, repeats_number: of the random five folds: for the published forest, for all else, and
            for the error against the number of features.
        protocols: names in `PROTOCOLS`.
        numbers: of features, most important first.
        ablations: parts of ours that are left.
        how: how ours is fitted; its score and groups follow from the study.
        seed: of folds and forests.
    """

    repeats: int = 10
    repeats_ours: int = 1
    repeats_number: int = 3
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    numbers: tuple[int, ...] = tuple(range(5, 19))
    ablations: tuple[tuple[str, ...], ...] = ABLATIONS
    how: How = field(default_factory=How)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Study:
    """Everything the paper's tables and figures are made of.

    Attributes:
        cases: n of them.
        table: (n, 18) published features.
        truth: `published_targets`.
        said: by model, protocol and target. `ours` also has f1_low, f1_high….
        impossible: by protocol, why these cases cannot be dealt that way.
        ranking: of the 18 features, on all cases.
        effort: how much was computed.
    """

    cases: StudyCases
    table: pd.DataFrame
    truth: pd.DataFrame
    said: dict[tuple[str, str, str], OutOfFold]
    impossible: dict[str, str]
    ranking: Ranking
    effort: Effort

    @property
    def split(self) -> list[str]:
        """Split of each case."""
        return [str(name) for name in self.cases.images["split"]]

    def first(self, model: str, protocol: str, target: str = "f1") -> Floats:
        """What a model said in the first repeat, (n,)."""
        return self.said[model, protocol, target].predicted[0, :, 0]

    def models(self, protocol: str) -> list[str]:
        """Those that forecast F1 by a protocol."""
        return [model for model, by, target in self.said if by == protocol and target == "f1"]


class _Job(NamedTuple):
    """Work in the folds of one protocol.

    Attributes:
        part: what is told of it.
        protocol: of the folds.
        columns: model and target of each number that it gives for a case.
        name: all that distinguishes its numbers but cases, program and rows.
    """

    part: str
    protocol: str
    columns: tuple[tuple[str, str], ...]
    name: str
    fit_predict: FitPredict
    folds: list[Fold]


def reproduce(cases: StudyCases, kept: Path, *, effort: Effort | None = None, step: Step) -> Study:
    """The whole study; most of the time goes into ours and its ablation.

    Args:
        cases: of the plan `published`: splits, sources and detectors are named, objects have masks.
        kept: folder for the folds that are done.
        effort: how much is computed.
        step: is told how far it is.

    Raises:
        SettingsError: too few cases, or cases that are not named.
        RecordError: `kept` cannot be written.
    """
    if not all((cases.images[name].astype(str) != "").all() for name in GROUPS):
        raise SettingsError(
            f"the study needs cases with {', '.join(GROUPS)}; epistem forecast cases --plan published"
        )
    effort = _ablations(cases, effort or Effort())
    store = Store(kept, cases)
    table, truth = published_table(cases), published_targets(cases)
    step("Ranking features", 0, 1)
    ranking = _ranked(table, truth["f1"].to_numpy(), effort.seed, store)
    step("Ranking features", 1, 1)
    folds, impossible = _dealt(cases, effort)
    jobs = [
        *_forests(table, truth, ranking, folds, effort),
        *_ours(cases, folds, effort),
        *_baselines(cases, folds, effort),
    ]
    of, done = Counter[str](), Counter[str]()
    for job in jobs:
        of[job.part] += len(job.folds)
    said: dict[tuple[str, str, str], OutOfFold] = {}
    for job in jobs:

        def told(job: _Job = job) -> None:
            done[job.part] += 1
            step(job.part, done[job.part], of[job.part])

        result = out_of_fold(store.keeping(job.name, job.fit_predict, told), len(cases), job.folds)
        for k, (model, target) in enumerate(job.columns):
            values = _with_zeros(result, k, target, ~scored(table))
            said[model, job.protocol, target] = OutOfFold(values, result.fold)
    return Study(cases, table, truth, said, impossible, ranking, effort)


def numbered(number: int) -> str:
    """Name of the forest on so many best features."""
    return f"forest of the best {number}"


def ablated(parts: Sequence[str]) -> str:
    """Name of ours on some of its parts."""
    if more := [part for part in parts if part not in PARTS]:
        return f"ours with {more[0]}"
    left_out = [part for part in PARTS if part not in parts]
    return f"ours without {left_out[0]}" if len(left_out) == 1 else f"ours on {', '.join(parts)} alone"


# ---------------------------------------------------------------- jobs


def _dealt(cases: Cases, effort: Effort) -> tuple[dict[str, list[Fold]], dict[str, str]]:
    folds: dict[str, list[Fold]] = {}
    impossible = {}
    for name in effort.protocols:
        try:
            dealt = PROTOCOLS[name](cases.images, effort.seed)
        except SettingsError as error:
            impossible[name] = str(error)
            continue
        if (least := min(len(fold.train) for fold in dealt)) < LEAST_CASES:
            impossible[name] = (
                f"a forecast learns from {LEAST_CASES} cases or more; of one fold {least} would be left"
            )
        else:
            folds[name] = dealt
    if "random" not in folds:
        raise SettingsError(
            f"the study begins with random folds: {impossible.get('random', 'they were not asked for')}"
        )
    return folds, impossible


def _repeated(folds: list[Fold], repeats: int) -> list[Fold]:
    return [fold for fold in folds if fold.repeat < repeats]


def _forests(
    table: pd.DataFrame, truth: pd.DataFrame, ranking: Ranking, folds: dict[str, list[Fold]], effort: Effort
) -> list[_Job]:  # fmt: skip
    def job(model: str, features: Sequence[str], protocol: str, target: str, repeats: int, part: str) -> _Job:
        make = partial(PublishedForecast, tuple(features), effort.seed)
        fit_predict = from_table(make, table, truth[target])
        name = f"forest {' '.join(features)} {target} {effort.seed}"
        return _Job(part, protocol, ((model, target),), name, fit_predict, _repeated(folds[protocol], repeats))

    part, jobs = "Published forest", []
    for protocol in folds:
        jobs += [job(FOREST, PUBLISHED_8, protocol, target, effort.repeats, part) for target in TARGETS]
        jobs.append(job(FOREST_18, PUBLISHED_18, protocol, "f1", effort.repeats, part))
    jobs.append(job(FOREST, PUBLISHED_8, "random", "swelling_error", effort.repeats, part))
    for number in effort.numbers:
        best = ranking.features[:number]
        jobs.append(job(numbered(number), best, "random", "f1", effort.repeats_number, "Number of features"))
    return jobs


def _ours(cases: Cases, folds: dict[str, list[Fold]], effort: Effort) -> list[_Job]:
    targets = [f"{target}{end}" for target in TARGETS for end in ("", "_low", "_high")]

    def job(protocol: str, parts: tuple[str, ...] | None) -> _Job:
        # Intervals for a new group are earned on held-out groups; of two groups one is left to learn from.
        grouped = protocol in GROUPS and len(folds[protocol]) > 2
        # As many inner folds as there are groups: one left out in turn is what is asked about.
        inner = 10 if grouped else effort.how.folds
        how = replace(effort.how, scores=(LEAST_SCORE,), group=protocol if grouped else "image", folds=inner)
        how = how if parts is None else replace(how, parts=parts)
        model, part = (OURS, "Our forecast") if parts is None else (ablated(parts), "Our forecast, ablated")
        fit_predict = from_cases(partial(_Ours, how, intervals=parts is None), cases)
        columns, name = tuple((model, target) for target in targets), f"ours {asdict(how)} {parts is None}"
        return _Job(part, protocol, columns, name, fit_predict, _repeated(folds[protocol], effort.repeats_ours))

    whole = [job(protocol, None) for protocol in folds]
    return whole + [job("split", parts) for parts in effort.ablations if "split" in folds]


def _ablations(cases: Cases, effort: Effort) -> Effort:
    """With the costly parts on top where the cases have them."""
    has = any(str(name).startswith("st_") for name in cases.images.columns)
    return replace(effort, ablations=(*effort.ablations, (*PARTS, *COSTLY))) if has and effort.ablations else effort


class _Ours:
    """Ours as `trust.protocols` asks for it: value, low and high of each target side by side."""

    def __init__(self, how: How, *, intervals: bool) -> None:
        self.forecaster, self.intervals = Forecaster(how), intervals

    def fit(self, cases: Cases) -> None:
        self.forecaster.fit(cases, intervals=self.intervals)

    def predict(self, cases: Cases) -> Floats:
        expected = self.forecaster.expect(cases, LEAST_SCORE)
        return np.column_stack([part for target in TARGETS for part in expected[target]])


def _baselines(cases: Cases, folds: dict[str, list[Fold]], effort: Effort) -> list[_Job]:
    def fit_predict(train: Ints, test: Ints) -> Floats:
        known, asked = (cases.where(np.isin(np.arange(len(cases)), rows)) for rows in (train, test))
        told = baseline_predictions(known, asked, LEAST_SCORE)
        return told[[f"f1_{name}" for name in BASELINES]].to_numpy(float)

    columns = tuple((name, "f1") for name in BASELINES)
    return [
        _Job("From scores alone", name, columns, "baselines", fit_predict, _repeated(dealt, effort.repeats_ours))
        for name, dealt in folds.items()
    ]


def _with_zeros(result: OutOfFold, column: int, target: str, unscored: NDArray[np.bool_]) -> Floats:
    """One column, (r, n, 1), with the study's zero where nothing was found."""
    values = result.predicted[:, :, column]
    if target in TARGETS:
        values = np.where(unscored & (result.fold >= 0), 0.0, values)
    return values[:, :, None]


def _ranked(table: pd.DataFrame, target: Floats, seed: int, store: Store) -> Ranking:
    names = list(table.columns)

    def make() -> Floats:
        made = rank_features(table, target, seed)
        order = [float(names.index(name)) for name in made.features]
        return np.vstack([order, made.importance, *([] if made.shap is None else [made.shap])])

    order, importance, *shap = store.get(f"ranking {seed}", (), make)
    features = tuple(names[int(k)] for k in order)
    return Ranking(features, importance, "shap" if shap else "permutation", np.array(shap) if shap else None)
