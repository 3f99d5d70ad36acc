"""Which model scored higher, and is that more than the chance of images and of seeds.

A table of scores, one row an image and run, becomes for each dataset the models' means and many draws of the noise in
these means. All answers here and in `ranks` rest on the two.

========  ===============================================================================================
averaged  noise of images only: the answer is for these trained networks
crossed   noise of images and of seeds: the answer is for the architectures, trained again
========  ===============================================================================================

The unit is the group (specimen, series): its score is the mean of its images', and groups weigh the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.core import RecordError, SettingsError
from epistem.stats.resample import holm, percentile_interval

Floats = NDArray[np.float64]
_DRAWS = 4000


@dataclass(frozen=True, eq=False)
class DatasetScores:
    """Models on one dataset, all on the same images.

    Attributes:
        name: of the dataset.
        models: M names.
        mean: (M,) mean over groups and seeds.
        noise: (draws, M) what chance may add to the means, all models by the same images; None with one group.
        seeds: (M,) runs of each model.
        seed_sd: (M,) standard deviation of a model's runs, NaN with one.
        groups, images: how many are scored.
        left_out: images that not every run has a score of.
    """

    name: str
    models: tuple[str, ...]
    mean: Floats
    noise: Floats | None
    seeds: tuple[int, ...]
    seed_sd: Floats
    groups: int
    images: int
    left_out: int


@dataclass(frozen=True, eq=False)
class Scores:
    """Models on several datasets.

    Attributes:
        datasets: in order of name.
        seeds: whether the noise is that of images or of seeds too.
        sign: 1 where a higher score is better, −1 where a lower one is.
        coverage: of all intervals made of these, 0 to 1.
        ends: the least and the highest that a score can be; intervals end there.
    """

    datasets: tuple[DatasetScores, ...]
    seeds: Literal["averaged", "crossed"]
    sign: int
    coverage: float
    ends: tuple[float, float] = (-np.inf, np.inf)


def gather(
    table: pd.DataFrame, *, seeds: Literal["averaged", "crossed"] = "crossed",
    better: Literal["higher", "lower"] = "higher", coverage: float = 0.9, draws: int = _DRAWS, seed: int = 0,
    ends: tuple[float, float] = (-np.inf, np.inf),
) -> Scores:  # fmt: skip
    """Means of models and the noise in them.

    Images, in groups, are drawn again for all models alike: a paired bootstrap, widened by √(n/(n − 1)) to the
    variance of a mean of n groups, and each draw by √((n − 1)/χ²) as Student's t has it. Of seeds there are too
    few to draw from: their noise is Student's t of the scatter of all runs of the dataset about their models'
    means, as if models scattered alike. See `seed_sd`: where one of four scattered three times as much as the
    rest, 5 % of true ties had p < 0.05; at ten times, 8 %. A model with one seed borrows the others' scatter.

    Args:
        table: columns dataset, image, model, seed, value (NaN: unscored) and, where images come in groups, group.
        seeds: see the module's table.
        better: which way a score is good.
        coverage: of intervals, 0 to 1.
        draws: of the noise.
        seed: of the draws.
        ends: the least and the highest that a score can be.

    Raises:
        RecordError: columns missing, a score twice, an image in two groups, a run without any score, or no image that
            all runs of a dataset have a score of.
        SettingsError: crossed seeds where no model has two.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, § 3.8, for images in groups.
    """
    if seeds not in ("averaged", "crossed") or better not in ("higher", "lower"):
        raise SettingsError(f"seeds are averaged or crossed, better is higher or lower; got {seeds!r} and {better!r}")
    _check(table)
    grouped = table if "group" in table else table.assign(group=table["image"])
    rng = np.random.default_rng(seed)
    parts = [_dataset(str(name), part, seeds, draws, rng) for name, part in grouped.groupby("dataset")]
    return Scores(tuple(parts), seeds, 1 if better == "higher" else -1, coverage, ends)


def model_means(scores: Scores) -> pd.DataFrame:
    """Mean of each model on each dataset.

    Returns:
        Columns dataset, model, value, low, high (NaN with one group), coverage, best (share of draws in which it is
        the best), seeds, seed_sd, groups, images, left_out.
    """
    rows = []
    for one in scores.datasets:
        table = _means(one.models, one.mean, one.noise, scores)
        table.insert(0, "dataset", one.name)
        counts = {"groups": one.groups, "images": one.images, "left_out": one.left_out}
        rows.append(table.assign(seeds=one.seeds, seed_sd=one.seed_sd, **counts))
    return pd.concat(rows, ignore_index=True)


def differences(scores: Scores) -> pd.DataFrame:
    """Every two models of every dataset: difference of means by paired bootstrap, corrected after Holm.

    p is the share of draws, the data counted as one, in which chance alone is at least as far from 0 as the
    difference seen. Holm's correction is over all rows: the chance of any false alarm in the table.

    Returns:
        Columns dataset, model_a, model_b, difference (a − b), low, high, coverage, p, p_holm (NaN with one group),
        groups, images, left_out.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, § 16.4.
    """
    rows = []
    for one in scores.datasets:
        for a, b in combinations(range(len(one.models)), 2):
            seen = float(one.mean[a] - one.mean[b])
            noise = None if one.noise is None else one.noise[:, a] - one.noise[:, b]
            low, high = _ends(seen, noise, scores.coverage, _of_differences(scores.ends))
            rows.append([one.name, one.models[a], one.models[b], seen, low, high, _p(seen, noise)])
    table = pd.DataFrame(rows, columns=["dataset", "model_a", "model_b", "difference", "low", "high", "p"])
    table.insert(6, "coverage", scores.coverage)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    sizes = pd.DataFrame([(d.name, d.groups, d.images, d.left_out) for d in scores.datasets])
    return table.merge(sizes.set_axis(["dataset", "groups", "images", "left_out"], axis=1), on="dataset")


def alike(scores: Scores, model: str, *, level: float = 0.05) -> set[str]:
    """Models that chance does not tell from one, after Holm's correction over all pairs; of one dataset or several.

    A pair whose p is not known (one group) is not told apart.
    """
    table = differences(scores)
    same = table[~(table["p_holm"] < level)]
    return set(same["model_b"][same["model_a"] == model]) | set(same["model_a"][same["model_b"] == model])


def by_context(scores: Scores, context: Mapping[str, str]) -> pd.DataFrame:
    """Means over the datasets of one use case, difficulty or modality; datasets weigh the same.

    The interval is for these datasets; it says nothing of others of their kind.

    Args:
        scores: of `gather`.
        context: what each dataset is: {"carbon": "moderate", …}.

    Returns:
        Columns context, model, value, low, high, coverage, best (NaN unless the model is on all of them), datasets,
        missing (datasets of the context without the model).

    Raises:
        RecordError: a dataset of which the context is not said.
    """
    if unknown := [one.name for one in scores.datasets if one.name not in context]:
        raise RecordError(f"no context is given for {', '.join(unknown)}; name one for every dataset")
    rows = []
    for name in dict.fromkeys(context[one.name] for one in scores.datasets):
        inside = [one for one in scores.datasets if context[one.name] == name]
        has = {m: sum(m in one.models for one in inside) for one in inside for m in one.models}
        everywhere = [m for m, n in has.items() if n == len(inside)]
        mean, noise = _over(inside, everywhere)
        table = _means(everywhere, mean, noise, scores).set_index("model").reindex(list(has)).reset_index()
        table.insert(0, "context", name)
        n = np.array(list(has.values()))
        rows.append(table.assign(coverage=scores.coverage, datasets=n, missing=len(inside) - n))
    return pd.concat(rows, ignore_index=True)


def pareto(
    table: pd.DataFrame, *, quality: str, costs: Sequence[str], better: Literal["higher", "lower"] = "higher"
) -> pd.DataFrame:
    """Which models no other beats: none is as good and as cheap, and better in one of the two.

    Args:
        table: one row a model.
        quality: its column.
        costs: columns of which less is better (parameters, MACs, latency_ms, memory_MB…).
        better: which way the quality is good.

    Returns:
        The table with front_<cost> for each cost and front for all costs together: True, False, or NA where a number
        of the row is unknown; such a row beats no other.

    Raises:
        RecordError: a column is missing.
    """
    if absent := {quality, *costs} - set(table.columns):
        raise RecordError(f"no column {', '.join(sorted(absent))}; there is {', '.join(map(str, table.columns))}")
    good = table[quality].to_numpy(float) * (1 if better == "higher" else -1)
    fronts = {f"front_{cost}": [cost] for cost in costs} | {"front": list(costs)}
    return table.assign(
        **{name: _front(good, table[which].to_numpy(float), table.index) for name, which in fronts.items()}
    )


def _check(table: pd.DataFrame) -> None:
    need = ["dataset", "image", "model", "seed", "value"]
    if absent := [name for name in need if name not in table]:
        raise RecordError(f"a table of scores has the columns {', '.join(need)}; {', '.join(absent)} missing")
    keys = [*need[:-1], *(["group"] if "group" in table else [])]
    if table[keys].isna().any(axis=None) or not len(table):
        raise RecordError(
            f"wanted rows that all name their {', '.join(keys)}; got {len(table)} rows, or a gap in one"
        )
    twice = table[table.duplicated(need[:-1])]
    if len(twice):
        raise RecordError(
            f"{len(twice)} scores come twice, first {tuple(twice.iloc[0][need[:-1]])}; give one metric at a time"
        )
    if "group" in table and (split := table.groupby(["dataset", "image"])["group"].nunique().gt(1)).any():
        raise RecordError(f"{int(split.sum())} images are in two groups, first {split.index[split][0]}; each has one")


def _dataset(name: str, table: pd.DataFrame, seeds: str, draws: int, rng: np.random.Generator) -> DatasetScores:
    wide = table.pivot(index="image", columns=["model", "seed"], values="value").sort_index(axis=1)
    if (nothing := wide.isna().all()).any():
        raise RecordError(f"run {wide.columns[nothing][0]} on {name} has no score at all; leave it out, or score it")
    scored = wide.dropna()
    if not len(scored):
        raise RecordError(
            f"no image of {name} has a score of all {len(wide.columns)} runs; leave out the poorest run"
        )
    group = table.drop_duplicates("image").set_index("image")["group"].reindex(scored.index)
    runs = scored.groupby(group.to_numpy()).mean()  # (groups, runs)
    of_run = runs.columns.get_level_values("model")
    models = tuple(dict.fromkeys(of_run))
    member = np.array([of_run == model for model in models], float)
    counts = member.sum(1)
    by_group = runs.to_numpy() @ (member / counts[:, None]).T  # (groups, M)
    mean = by_group.mean(0)
    spread = runs.to_numpy().mean(0) - mean @ member
    with np.errstate(invalid="ignore"):
        seed_sd = np.sqrt((member @ spread**2) / np.where(counts > 1, counts - 1, np.nan))
    noise = _image_noise(by_group, draws, rng)
    if seeds == "crossed" and noise is not None:
        noise = noise + _seed_noise(name, spread, counts, draws, rng)
    names = tuple(str(model) for model in models)
    sizes = (len(runs), len(scored), len(wide) - len(scored))
    return DatasetScores(name, names, mean, noise, tuple(int(n) for n in counts), seed_sd, *sizes)


def _image_noise(by_group: Floats, draws: int, rng: np.random.Generator) -> Floats | None:
    n = len(by_group)
    if n < 2:
        return None
    weights = rng.multinomial(n, np.full(n, 1 / n), draws) / n
    noise: Floats = weights @ (by_group - by_group.mean(0)) * np.sqrt(n / (n - 1))
    # The spread of few groups is itself hardly known: without this, two equal models on 3 groups differ with p < 0.05
    # in 26 of 100 studies.
    unsure: Floats = noise * np.sqrt((n - 1) / rng.chisquare(n - 1, (draws, 1)))
    return unsure


def _seed_noise(name: str, spread: Floats, counts: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Student's t of the pooled scatter: normal draws over the root of the χ² that their variance is known to."""
    freedom = len(spread) - len(counts)
    if not freedom:
        raise SettingsError(
            f"no model has two seeds on {name}, so their noise is unknown; train more, or compare these very runs by "
            "seeds='averaged'"
        )
    sd = np.sqrt((spread**2).sum() / rng.chisquare(freedom, (draws, 1)))
    noise: Floats = sd * rng.standard_normal((draws, len(counts))) / np.sqrt(counts)
    return noise


def _over(datasets: Sequence[DatasetScores], models: Sequence[str]) -> tuple[Floats, Floats | None]:
    """Mean over datasets and its noise, of models that are on all."""
    at = [[one.models.index(model) for model in models] for one in datasets]
    mean = np.mean([one.mean[i] for one, i in zip(datasets, at, strict=True)], 0)
    noises = [one.noise[:, i] for one, i in zip(datasets, at, strict=True) if one.noise is not None]
    return mean, np.mean(noises, 0) if len(noises) == len(datasets) else None


def _means(models: Sequence[str], mean: Floats, noise: Floats | None, scores: Scores) -> pd.DataFrame:
    ends = [
        _ends(float(value), None if noise is None else noise[:, i], scores.coverage, scores.ends)
        for i, value in enumerate(mean)
    ]
    table = pd.DataFrame({"model": list(models), "value": mean})
    table["low"], table["high"] = np.array(ends, float).reshape(-1, 2).T
    table["coverage"] = scores.coverage
    table["best"] = np.nan
    if noise is not None and len(models):
        table["best"] = np.bincount((scores.sign * (mean + noise)).argmax(1), minlength=len(models)) / len(noise)
    return table


def _ends(
    value: float, noise: Floats | None, coverage: float, ends: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    if noise is None:
        return np.nan, np.nan
    interval = percentile_interval(value, value + noise, coverage=coverage)
    return max(interval.low, ends[0]), min(interval.high, ends[1])


def _of_differences(ends: tuple[float, float]) -> tuple[float, float]:
    """How far apart two such scores can be."""
    return ends[0] - ends[1], ends[1] - ends[0]


def _p(seen: float, noise: Floats | None) -> float:
    if noise is None:
        return np.nan
    # Sums of the same numbers in another order differ in their last digits.
    return float((1 + (np.abs(noise) >= abs(seen) - 1e-12).sum()) / (1 + len(noise)))


def _front(good: Floats, costs: Floats, index: pd.Index) -> pd.Series:
    known = np.isfinite(good) & np.isfinite(costs).all(1)
    points = np.column_stack([-good, costs])
    # Nothing compares to NaN: what is unknown beats no other.
    no_worse = (points[:, None] <= points[None]).all(-1)  # row i against column j
    beats = no_worse & (points[:, None] < points[None]).any(-1)
    front = pd.Series(~beats.any(0), index=index, dtype="boolean")
    front[~known] = pd.NA
    return front
