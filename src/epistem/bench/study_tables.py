"""Tables 2 and 3 of the study, ours and the printed ones, and ours by use case and difficulty."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from epistem.bench import printed
from epistem.bench.arms import LOWER, Arm, in_order, shown
from epistem.bench.compare import Scores, by_context, model_means
from epistem.bench.shown import bars_figure, fact, label_of, share_words, words_column
from epistem.bench.study import BenchStudy, about
from epistem.report.document import Block, Cell, Column, Fact, Table, Text, finite
from epistem.report.words import sentence

_TABLE_2 = ("Dataset", "Modality, difficulty", "Material", "Task", "Architecture")
_RANK = {name: i for i, name in enumerate(("easy", "moderate", "hard", "very hard"))}
_IMPOSSIBLE = "† impossible if both are means over the same masks: Dice lies between IoU and 2·IoU/(1 + IoU)."


def table_2(study: BenchStudy, arm: Arm, scores: Scores) -> Iterator[Table]:
    dice = _values(study.compared(arm, "dice"))
    rows: list[tuple[Cell, ...]] = []
    for name, part in model_means(scores).groupby("dataset", sort=False):
        best = part.sort_values("value", ascending=study.metric in LOWER).iloc[0]
        what = about(study, str(name))
        kind = ", ".join(part for part in (what.modality, what.difficulty) if part) or None
        cells = (fact(best), dice.get((str(name), best["model"])), share_words(best["best"]))
        rows.append((str(name), kind, what.material, what.task, shown(best["model"]), *cells))
    numbers = [Column(label=label_of(study.metric)), Column(label="Dice", missing="not scored")]
    yield Table(
        title="Ours", rows=tuple(rows),
        columns=(
            *map(words_column, _TABLE_2), *numbers, Column(label="Best in", missing="one group: chance is unknown")
        ),
        note=f"{sentence(arm.words)}. On test images, checkpoint chosen on others; mean over groups and "
        "seeds, with 90 % interval. Best in: share of draws of images and seeds in which this one wins.",
    )  # fmt: skip
    table = printed.printed_table_2()
    theirs = tuple(
        (
            row["dataset"], f"{row['modality']}, {row['difficulty'].lower()}", row["material"], row["task"],
            f"{row['encoder']} + {row['decoder']}", row["iou"], _dice(row),
        )
        for _, row in table.iterrows()
    )  # fmt: skip
    columns = (*map(words_column, _TABLE_2), Column(label="IoU", decimals=3), Column(label="Dice", kind="text"))
    yield Table(title="Printed (other data)", columns=columns, rows=theirs, note=_IMPOSSIBLE)


def table_3(study: BenchStudy, arm: Arm, scores: Scores) -> Iterator[Block]:
    stopped = study.stopped(arm)
    parts = [scores, *([stopped] if stopped else [])]
    yield bars_figure(parts, study.metric, [False, True][: len(parts)])
    dice = _values(study.compared(arm, "dice"))
    rows: list[tuple[Cell, ...]] = []
    for one, note in zip(parts, ("", "undertrained"), strict=False):
        for _, row in model_means(one).iterrows():
            pair = shown(row["model"]).split(" + ")
            more = (dice.get((row["dataset"], row["model"])), int(row["seeds"]), finite(row["seed_sd"]), note)
            rows.append((str(row["dataset"]), *pair, fact(row), *more))
    columns = (
        *map(words_column, ("Dataset", "Encoder", "Decoder")), Column(label=label_of(study.metric)),
        Column(label="Dice", missing="not scored, or undertrained"), Column(label="Seeds"),
        Column(label="sd of seeds", decimals=3, missing="one seed"), words_column("Note"),
    )  # fmt: skip
    yield Table(title="Ours", columns=columns, rows=tuple(rows), folded=True)
    cells = printed.printed_table_3()
    names = ("dataset", "encoder", "decoder")
    theirs = tuple((*(str(row[name]) for name in names), row["iou"], _dice(row)) for _, row in cells.iterrows())
    columns = (
        *map(words_column, ("Dataset", "Encoder", "Decoder")), Column(label="IoU", decimals=3),
        Column(label="Dice", kind="text"),
    )  # fmt: skip
    impossible = int((cells["verdict"] != "possible").sum())
    yield Table(
        title=f"Printed (other data), {impossible} of {len(cells)} cells impossible", columns=columns, rows=theirs,
        note=_IMPOSSIBLE, folded=True,
    )  # fmt: skip
    yield Text(title="Where the paper disagrees with itself", text="\n\n".join(printed.CONTRADICTIONS), role="list")


def _dice(row: pd.Series) -> str:
    return f"{row['dice']:.3f}" + ("" if row["verdict"] == "possible" else " †")


def _values(scores: Scores | None) -> dict[tuple[str, str], Fact]:
    if scores is None:
        return {}
    return {(row["dataset"], row["model"]): fact(row) for _, row in model_means(scores).iterrows()}


def kinds(study: BenchStudy, scores: Scores) -> Iterator[Block]:
    names = [one.name for one in scores.datasets]
    for title, at in (("By use case (modality)", 0), ("By difficulty", 3)):
        context = {name: about(study, name)[at] or "not said" for name in names}
        yield _kind_table(by_context(scores, context), title, study.metric)
    yield Text(
        text="The paper's claim: U-Net for easy and moderate tasks, DeepLabV3+ for hard and very hard ones. Each row "
        "is for these datasets alone; one or two of a kind say little about the kind."
    )


def _kind_table(table: pd.DataFrame, title: str, metric: str) -> Table:
    models = list(dict.fromkeys(table["model"]))
    models = [models[i] for i in in_order(models)]
    rows: list[tuple[Cell, ...]] = []
    for name, part in sorted(table.groupby("context"), key=lambda one: _RANK.get(str(one[0]), len(_RANK))):
        row = part.set_index("model")
        on_all = row[row["missing"] == 0]
        chosen = (on_all["value"].idxmin() if metric in LOWER else on_all["value"].idxmax()) if len(on_all) else None
        best = None if chosen is None else shown(str(chosen))
        n = int((part["datasets"] + part["missing"]).max())
        cells = [fact(row.loc[model]) if model in row.index else None for model in models]
        rows.append((str(name), n, best, *cells))
    columns = (
        words_column(title.split("(")[-1].strip(")").removeprefix("By ").capitalize()), Column(label="Datasets"),
        words_column("First"), *(Column(label=shown(model), missing="not on these") for model in models),
    )  # fmt: skip
    return Table(title=title, columns=columns, rows=tuple(rows), note=f"{label_of(metric)} with 90 % interval.")
