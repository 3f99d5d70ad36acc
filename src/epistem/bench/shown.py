"""Parts that the report of a run and the page of a study share: tables and figures of compared networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from epistem.bench.arms import DECODER_ORDER, LEAST_GROUPS, decoder_of, few_groups, in_order, model_name, shown
from epistem.bench.compare import Scores, by_context, differences, model_means, pareto
from epistem.bench.ranks import mean_ranks
from epistem.core import SettingsError
from epistem.report.bench_figures import Bar, Point, Ranked, critical_difference, pareto_plot, score_bars
from epistem.report.document import Block, Cell, Column, Fact, Figure, Notice, Table, finite
from epistem.report.words import counted, number, percent

LABELS = {
    "iou": "IoU", "dice": "Dice", "wiou": "weighted IoU", "pixel_accuracy": "pixel accuracy",
    "boundary_f": "boundary F", "cldice": "clDice", "hd95": "HD95", "hd95_px": "HD95 [px]",
}  # fmt: skip
COSTS = {
    "parameters_M": "Parameters [M]", "GMACs": "GMACs per tile", "latency_ms": "Latency [ms]",
    "frames_per_s": "Tiles per s", "peak_mb": "Peak memory [MB]",
}  # fmt: skip
MOST_DIFFERENCES = 15


def label_of(metric: str) -> str:
    """A metric's name for a person."""
    return LABELS.get(metric, metric.replace("_", " "))


def words_column(label: str) -> Column:
    """A column of text."""
    return Column(label=label, align="left", kind="text")


def fact(row: pd.Series, name: str = "value") -> Fact:
    """A number of a row with its low and high."""
    value = finite(row[name])
    why = "" if value is not None else "not scored"
    return Fact(value=value, low=finite(row["low"]), high=finite(row["high"]), note=why)


def means_table(scores: Scores, metric: str, *, title: str) -> Table:
    """Models of each dataset, best first."""
    table = model_means(scores)
    several = len(scores.datasets) > 1
    rows: list[tuple[Cell, ...]] = []
    for _, part in table.groupby("dataset", sort=False):
        for _, row in part.sort_values("value", ascending=scores.sign < 0).iterrows():
            best = share_words(row["best"])
            head = (str(row["dataset"]),) if several else ()
            rows.append((*head, shown(row["model"]), fact(row), best, int(row["seeds"]), finite(row["seed_sd"])))
    columns = (
        *([words_column("Dataset")] if several else []), words_column("Model"), Column(label=label_of(metric)),
        Column(label="Best in", missing="one group: chance is unknown", note="share of draws of images and seeds"),
        Column(label="Seeds"), Column(label="sd of seeds", decimals=3, missing="one seed"),
    )  # fmt: skip
    return Table(title=title, columns=columns, rows=tuple(rows), note=noise_words(scores))


def noise_words(scores: Scores) -> str:
    """What the intervals are of."""
    what = "images and seeds" if scores.seeds == "crossed" else "images only: no model has two seeds"
    alone = all(one.groups == one.images for one in scores.datasets)
    sizes = [counted(one.images, "image") + ("" if alone else f" in {counted(one.groups, 'group')}")
             for one in scores.datasets]  # fmt: skip
    of = f" Test: {sizes[0]}." if len(sizes) == 1 else ""
    ends = "" if np.isinf(scores.ends).all() else " Intervals end where the score does."
    return (
        f"Mean over {'images' if alone else 'groups'}, which weigh the same; {percent(scores.coverage)} interval of "
        f"the chance of {what}.{of}{ends}"
    )


def specimen_notices(table: pd.DataFrame) -> Iterator[Notice]:
    """Where images stood for themselves because too few groups were tested; `table` is that of scores."""
    if few := few_groups(table):
        which = "" if table["dataset"].nunique() == 1 else f" of {', '.join(few)}"
        text = (
            f"Fewer than {LEAST_GROUPS} groups{which} are in the test images, so images stand for themselves: these "
        )
        yield Notice(level="info", text=text + "intervals and p hold for the specimens tested, not for others.")


def differences_table(scores: Scores, metric: str) -> Table:
    """Every two models by paired bootstrap, the surest first; after Holm over all of them."""
    table = differences(scores).sort_values("p_holm", kind="stable")
    several = len(scores.datasets) > 1
    rows: list[tuple[Cell, ...]] = []
    for _, row in table.head(MOST_DIFFERENCES).iterrows():
        pair = f"{shown(row['model_a'])} − {shown(row['model_b'])}"
        head = (str(row["dataset"]),) if several else ()
        rows.append((*head, pair, fact(row, "difference"), finite(row["p"]), finite(row["p_holm"])))
    unknown = "one group: chance is unknown"
    columns = (
        *([words_column("Dataset")] if several else []), words_column("Pair"), Column(label=f"Δ {label_of(metric)}"),
        Column(label="p", kind="p_value", missing=unknown), Column(label="p, Holm", kind="p_value", missing=unknown),
    )  # fmt: skip
    sure = int((table["p_holm"] < 0.05).sum())
    note = f"{sure} of {len(table)} differences have p < 0.05 after Holm's correction over all {len(table)}"
    note += f"; the surest {len(rows)} are shown." if len(table) > len(rows) else "."
    return Table(title="Differences", columns=columns, rows=tuple(rows), note=note, folded=True)


def rank_blocks(scores: Scores, *, over: str = "datasets") -> Iterator[Block]:
    """The critical-difference diagram over datasets, or what stands for them; or why there is none."""
    try:
        found = mean_ranks(scores)
    except SettingsError as error:
        yield Notice(level="info", text=f"No critical-difference diagram: {error}.")
        return
    ranked = [
        Ranked(shown(row["model"]), float(row["rank"]), finite(row["low"]), finite(row["high"]))
        for _, row in found.table.iterrows()
    ]
    picture = critical_difference(
        ranked, found.critical_difference, [[shown(m) for m in group] for group in found.alike], alpha=found.alpha
    )
    caption = (
        f"Mean ranks over {found.datasets} {over}, 1 is best (after Demšar). A thick bar joins models that do not "
    )
    caption += f"differ. That all rank alike: Friedman p {p_words(found.p)}."
    if found.left_out:
        caption += f" Not on all {over}, so left out: {', '.join(map(shown, found.left_out))}."
    alt = "Critical-difference diagram: " + ", ".join(f"{one.name} {one.rank:.2f}" for one in ranked)
    yield Figure.of(picture, alt=alt, caption=caption, title="Mean ranks")


def bars_figure(scores: Sequence[Scores], metric: str, faint: Sequence[bool] | None = None) -> Figure:
    """Bars by dataset and model; scores that are faint are of networks stopped short."""
    pale = faint or [False] * len(scores)
    bars: dict[str, dict[str, Bar]] = {}
    for one, stopped in zip(scores, pale, strict=True):
        means = model_means(one)
        for _, row in means.iloc[in_order(means["model"])].iterrows():
            kind = DECODER_ORDER.index(name) if (name := decoder_of(row["model"])) in DECODER_ORDER else 6
            bar = Bar(float(row["value"]), finite(row["low"]), finite(row["high"]), kind, stopped)
            bars.setdefault(str(row["dataset"]), {})[shown(row["model"])] = bar
    caption = f"{label_of(metric)} on the test images, with {percent(scores[0].coverage)} intervals."
    caption += " Faint: undertrained, outside all comparisons." if any(pale) else ""
    picture = score_bars(bars, label=label_of(metric))
    return Figure.of(picture, alt=f"{label_of(metric)} of models on {', '.join(bars)}", caption=caption)


def cost_table(jobs: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Of each model its quality over all datasets (NaN unless it is on all) and the medians of what it costs.

    Returns:
        Columns model, value, low, high, those of `COSTS` that are known, front, front_<cost>.
    """
    quality = by_context(scores, {one.name: "all" for one in scores.datasets})[["model", "value", "low", "high"]]
    known = pd.DataFrame({
        "model": [model_name(*pair) for pair in zip(jobs["encoder"], jobs["decoder"], strict=True)],
        "parameters_M": _column(jobs, "parameters") / 1e6,
        "GMACs": _column(jobs, "macs") / 1e9,
        **{name: _column(jobs, name) for name in ("latency_ms", "frames_per_s", "peak_mb")},
    })  # fmt: skip
    table = quality.merge(known.groupby("model", as_index=False).median(), on="model", how="left")
    # Frames per second is latency said the other way round, and more of it is better.
    costs = [name for name in COSTS if name != "frames_per_s" and table[name].notna().any()]
    if not costs:
        return table.assign(front=pd.Series(pd.NA, table.index, dtype="boolean"))
    return pareto(table, quality="value", costs=costs, better="higher" if scores.sign > 0 else "lower")


def cost_blocks(jobs: pd.DataFrame, scores: Scores, metric: str) -> Iterator[Block]:
    """Cost beside quality: Pareto plots against MACs and latency, and the table."""
    table = cost_table(jobs, scores)
    there = [name for name in COSTS if table[name].notna().any()]
    if not there:
        yield Notice(level="info", text="No costs were measured with these runs.")
        return
    on = label_of(metric) + (f", mean over {len(scores.datasets)} datasets" if len(scores.datasets) > 1 else "")
    for cost in ("GMACs", "latency_ms"):
        if cost not in there or len(table) < 2:
            continue
        points = [
            Point(
                shown(row["model"]), finite(row["value"]), finite(row[cost]),
                None if pd.isna(row[f"front_{cost}"]) else bool(row[f"front_{cost}"]),
                finite(row["low"]), finite(row["high"]),
            )
            for _, row in table.iterrows()
        ]  # fmt: skip
        front = ", ".join(one.name for one in points if one.front) or "none"
        caption = f"Filled: no other model is both better and cheaper ({front})."
        picture = pareto_plot(points, quality=on, cost=COSTS[cost])
        yield Figure.of(picture, alt=f"{on} against {COSTS[cost]}; on the front: {front}", caption=caption)
    rows = tuple(
        (shown(row["model"]), fact(row), *(finite(row[name]) for name in there), _yes(row["front"]))
        for _, row in table.sort_values("value", ascending=scores.sign < 0).iterrows()
    )
    columns = (
        words_column("Model"), Column(label=on),
        *(Column(label=COSTS[name], missing="not measured") for name in there),
        Column(label="On the front of all costs", kind="text"),
    )  # fmt: skip
    yield Table(
        title="Cost beside quality", columns=columns, rows=rows,
        note="Medians over runs; latency is of one tile on one thread.",
    )  # fmt: skip


def start_words(jobs: pd.DataFrame) -> str:
    """How many networks began with what."""
    counts = jobs["weights"].value_counts()
    parts = [f"{n} from {'random initialisation' if w == 'none' else f'{w} weights'}" for w, n in counts.items()]
    return ", ".join(parts)


def start_notices(jobs: pd.DataFrame) -> Iterator[Notice]:
    """What must be said before any score: random starts, and networks that were stopped short."""
    random = int((jobs["weights"] == "none").sum())
    if random:
        who = "All networks" if random == len(jobs) else f"{random} of {len(jobs)} networks"
        text = (
            f"{who} began from RANDOM INITIALISATION, no pretrained weights. Published scores of these architectures "
        )
        text += "are of pretrained encoders: lower ones are to be expected, and the ranking may be another."
        yield Notice(level="warning", text=text)
    short = jobs[jobs["undertrained"].astype(bool)]
    if len(short):
        pairs = zip(short["encoder"], short["decoder"], strict=True)
        names = ", ".join(dict.fromkeys(shown(model_name(*pair)) for pair in pairs))
        text = (
            f"{counted(len(short), 'network')} UNDERTRAINED ({names}): shown, but outside every comparison and rank."
        )
        yield Notice(level="warning", text=text)


def _column(jobs: pd.DataFrame, name: str) -> pd.Series:
    return jobs[name].astype(float) if name in jobs else pd.Series(np.nan, jobs.index)


def _yes(value: Any) -> str | None:
    return None if pd.isna(value) else "yes" if value else "no"


def share_words(share: float) -> str | None:
    """A share of draws, in whole percents: their number allows no more.

    >>> share_words(0.884), share_words(0.004), share_words(float("nan"))
    ('88 %', '< 1 %', None)
    """
    if pd.isna(share):
        return None
    return "< 1 %" if share < 0.005 else f"{share:.0%}".replace("%", " %")


def p_words(p: float) -> str:
    """A p-value after the letter.

    >>> p_words(0.0421), p_words(2e-7)
    ('= 0.042', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"= {number(p, decimals=3)}"
