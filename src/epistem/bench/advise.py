"""Which architecture to try first on a new dataset, from what did well on datasets like it.

Past scores of a dataset count by how near it is: exp(−d²/2h²), d the distance in standardised meta-features, h half
the median distance of past datasets. A model's expected lead is the weighted mean of its lead over all models there.

This is believed only where it was seen to work: each past dataset in turn is treated as new, and what was lost to its
best model (regret) is held against two simple habits, always U-Net and always the best on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epistem.bench.arms import decoder_of
from epistem.core import Interval, RecordError
from epistem.report.words import counted, number
from epistem.stats.intervals import student_interval

LEAST_DATASETS = 4
"""Past datasets from which anything is said: with three, two are left to learn from when one is held out."""

SIMILAR, AVERAGE, UNET = "similar datasets", "best on average", "always U-Net"
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regret:
    """What each way of choosing lost to the best model, each dataset held out in turn.

    Attributes:
        table: columns dataset, best, and <way>, <way> regret for each way of choosing; no U-Net, no such columns.
        mean: regret of each way, in units of the metric; 0 is best.
        gain: by how much similar datasets lost less than the better of the two habits; None with no spread known.
        datasets: how many.
    """

    table: pd.DataFrame
    mean: dict[str, float]
    gain: Interval | None
    datasets: int

    @property
    def earned(self) -> bool:
        """Whether looking at similar datasets was better than both habits, beyond chance."""
        return self.gain is not None and self.gain.low > 0


@dataclass(frozen=True, eq=False)
class Advice:
    """What to try first.

    Attributes:
        model: None where too few datasets are known.
        by: the way it was chosen; None likewise.
        similar: past datasets with their weights, nearest first, sum 1.
        expected: lead of each model over the mean of all, best first; empty where nothing is said.
        regret: None where too few datasets are known.
        reasons: in words.
    """

    model: str | None
    by: str | None
    similar: dict[str, float]
    expected: dict[str, float]
    regret: Regret | None
    reasons: tuple[str, ...]


def advise(new: dict[str, float], meta: pd.DataFrame, quality: pd.DataFrame, *, metric: str = "IoU") -> Advice:
    """The model to try first on a new dataset.

    Args:
        new: its meta-features.
        meta: those of past datasets, one row each, by name.
        quality: (datasets, models) measured, higher is better; models that are not on all datasets are left out.
        metric: its name, for the words.

    Raises:
        RecordError: meta-features that do not fit.
    """
    meta, quality, lines = _matched(meta, quality)
    if missing := [name for name in meta.columns if name not in new]:
        raise RecordError(f"the new dataset has no meta-feature {', '.join(missing)}; compute them all")
    if len(quality) < LEAST_DATASETS or quality.shape[1] < 2:
        why = f"{counted(len(quality), 'past dataset')} with {counted(quality.shape[1], 'model')} on all of them: "
        why += f"from fewer than {LEAST_DATASETS} datasets and two models nobody can tell what suits a new one"
        return Advice(None, None, {}, {}, None, (why, *lines))
    weights = _weights(pd.Series(new)[list(meta.columns)], meta)
    regret = leave_one_out(meta, quality)
    by = SIMILAR if regret.earned else AVERAGE
    lead = _lead(quality)
    expected = pd.Series(weights @ lead.to_numpy() if regret.earned else lead.mean().to_numpy(), quality.columns)
    expected = expected.sort_values(ascending=False, kind="stable")
    similar = pd.Series(weights, quality.index).sort_values(ascending=False, kind="stable")
    said = {str(name): float(value) for name, value in expected.items()}
    near = {str(name): float(value) for name, value in similar.items()}
    return Advice(next(iter(said)), by, near, said, regret, (*regret_words(regret, metric), *lines))


def leave_one_out(meta: pd.DataFrame, quality: pd.DataFrame) -> Regret:
    """Each dataset treated as new in turn; arguments as `advise`, all models on all datasets.

    The best of noisy means is a little too good, so all regrets are a little too large, for all ways alike.

    Raises:
        RecordError: fewer than three datasets.
    """
    if len(quality) < 3:
        raise RecordError(f"each dataset is held out in turn; {len(quality)} are too few, give three or more")
    ways = [SIMILAR, AVERAGE, *([UNET] if any(decoder_of(str(name)) == "unet" for name in quality) else [])]
    rows = []
    for name in quality.index:
        others, here = quality.drop(index=name), quality.loc[name]
        row: dict[str, object] = {"dataset": str(name), "best": str(here.idxmax())}
        for way in ways:
            model = _chosen(way, meta.loc[name], meta.drop(index=name), others)
            row |= {way: model, f"{way} regret": float(here.max() - here[model])}
        rows.append(row)
    table = pd.DataFrame(rows)
    mean = {way: float(table[f"{way} regret"].mean()) for way in ways}
    habit = min(ways[1:], key=lambda way: mean[way])
    gains = (table[f"{habit} regret"] - table[f"{SIMILAR} regret"]).to_numpy(float)
    # Student's t: datasets are too few to draw from
    return Regret(table, mean, student_interval(gains, coverage=0.9), len(table))


def regret_words(regret: Regret, metric: str = "IoU") -> tuple[str, ...]:
    """What the ways of choosing lost, and whether the advice is worth more than a habit."""
    lost = "; ".join(f"{way} {number(value, decimals=3)}" for way, value in regret.mean.items())
    first = f"Each of {regret.datasets} datasets held out in turn, lost to its best model, mean {metric}: {lost}."
    if regret.gain is None:
        return (first,)
    ends = " to ".join(number(end, decimals=3) for end in (regret.gain.low, regret.gain.high))
    against = (
        f"Against the better habit, similar datasets gain {number(regret.gain.value, decimals=3)} ({ends}, 90 %)"
    )
    if regret.earned:
        return first, f"{against}: the advice goes by similar datasets."
    return first, f"{against}: not shown to help, so the advice is what was best on average."


def _matched(meta: pd.DataFrame, quality: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Both for the datasets in both, with the models that are on all of these; what is left out, in words."""
    both = [name for name in quality.index if name in meta.index]
    lines = [f"no meta-features: {name}" for name in quality.index if name not in meta.index]
    whole = quality.loc[both].dropna(axis=1)
    lines += [f"not on all datasets: {name}" for name in quality.columns if name not in whole.columns]
    return meta.loc[both], whole, lines


def _weights(new: pd.Series, meta: pd.DataFrame) -> Floats:
    """Of past datasets, sum 1. A feature that is unknown of either is left out of their distance."""
    past = meta.to_numpy(float)
    spread = np.nanstd(past, axis=0) if len(past) else np.ones(past.shape[1])
    kept = np.isfinite(spread) & (spread > 0)
    if not kept.any():
        return np.full(len(past), 1 / len(past))
    z = past[:, kept] / spread[kept]
    own = new.to_numpy(float)[kept] / spread[kept]
    away = _distances(own[None], z)[0]
    between = _distances(z, z)[np.triu_indices(len(z), 1)]
    width = float(np.median(between[np.isfinite(between)])) / 2 if np.isfinite(between).any() else 1.0
    known = np.where(np.isfinite(away), away, np.nanmax(away, initial=0.0, where=np.isfinite(away)))
    # From the nearest, so that one far from all still has neighbours.
    near = np.exp(-(known**2 - known.min() ** 2) / (2 * (width or 1.0) ** 2))
    weights: Floats = near / near.sum()
    return weights


def _distances(a: Floats, b: Floats) -> Floats:
    """Root mean square over the features known of both, (n, m); NaN where none is."""
    squares = (a[:, None] - b[None]) ** 2
    known = np.isfinite(squares)
    total, n = np.where(known, squares, 0).sum(-1), known.sum(-1)
    distances: Floats = np.sqrt(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))
    return distances


def _lead(quality: pd.DataFrame) -> pd.DataFrame:
    return quality.sub(quality.mean(axis=1), axis=0)


def _chosen(way: str, new: pd.Series, meta: pd.DataFrame, quality: pd.DataFrame) -> str:
    lead = _lead(quality)
    if way == SIMILAR:
        return str(lead.columns[int(np.argmax(_weights(new, meta) @ lead.to_numpy()))])
    if way == UNET:
        lead = lead[[name for name in lead if decoder_of(str(name)) == "unet"]]
    return str(lead.mean().idxmax())
