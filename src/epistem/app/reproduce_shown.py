"""The tables of the reproduced study as the page shows them, printed numbers beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from epistem.app import reproduce_paper as paper
from epistem.app import reproduce_tables as tables
from epistem.app.reproduce import FOREST, Study
from epistem.app.reproduce_tables import HOW, NAMES, TARGET_NAMES, WHO, times
from epistem.report.document import Cell, Column, Fact, Table, finite
from epistem.report.words import percent


def table_1(table: pd.DataFrame) -> Table:
    """Splits."""
    rows: list[tuple[Cell, ...]] = []
    for row in tables.records(table):
        counts = (_whole(finite(row["n_printed"])), int(row["n"]))
        means = (finite(row[name]) for name in ("true_mean_printed", "true_mean", "true_sd_printed", "true_sd"))
        pair = f"{row['trained_on']} → {row['tested_on']}" if row["trained_on"] else ""
        rows.append((row["split"], row["kind"], pair, *counts, *means, int(row["nothing_found"])))
    words = [Column(label=label, align="left", kind="text") for label in ("Split", "Kind", "Trained → tested on")]
    labels = ("n, printed", "n", "Mean F1, implied", "Mean F1", "sd, implied", "sd", "Nothing found")
    decimals = (None, None, 2, 2, 2, 2, None)
    numbers = [Column(label=la, decimals=d, missing=_NOT_PRINTED) for la, d in zip(labels, decimals, strict=True)]
    return Table(
        title="Table 1: splits", columns=(*words, *numbers), rows=tuple(rows),
        note="Printed numbers of images are those of Table 2; means and standard deviations (sd) of true F1 are "
        "implied by it: MAE/NMAE, RMSE/NRMSE. Nothing found: at a score of 0.1.",
    )  # fmt: skip


_NOT_PRINTED = "not printed"


def table_2(study: Study, table: pd.DataFrame) -> Iterator[Table]:
    """Errors of F1 by subset: the forest as published beside the printed ones; then it and ours, by protocol."""
    here = table[(table["model"] == FOREST) & (table["protocol"] == "random")]
    subsets = [str(name) for name in here["subset"]]
    rows: list[tuple[Cell, ...]] = []
    for subset in subsets:
        both = [_row(table, pair, subset) for pair in ((tables.PAPER, "random"), (FOREST, "random"))]
        rows.append((subset, *(finite(row[e]) if row else None for e in tables.ERRORS for row in both)))
    subset_column = Column(label="Subset", align="left", kind="text")
    columns = [subset_column]
    for error in tables.ERRORS:
        columns.append(Column(label=f"{NAMES[error]}, printed", decimals=3, missing=_NOT_PRINTED))
        columns.append(Column(label=NAMES[error], decimals=3, missing="cannot be computed"))
    forest, ours = times(study.effort.repeats), times(study.effort.repeats_ours)
    yield Table(
        title="Table 2: the published forest, as published", columns=tuple(columns), rows=tuple(rows),
        note=f"8 features, random five folds, {forest}; {len(study.cases)} images, by split as in Table 1. Each "
        "error is of a whole repeat, then averaged. NRMSE is over the standard deviation of the true F1, NMAE over "
        "their mean. The printed rows weighted with their n give the printed first row: they are one random "
        "cross-validation taken apart, no split was left out in them. The mean of the folds' own errors, of which "
        "the paper speaks, is another number: the second row.",
    )  # fmt: skip
    pairs = [pair for pair in _pairs(table) if pair[1] in ("random", "image", "split")]
    labels = (model if model == tables.PAPER else f"{WHO[model]}, {protocol}" for model, protocol in pairs)
    columns = [subset_column, *(Column(label=label, decimals=3, missing=_NOT_PRINTED) for label in labels)]
    for k, error in enumerate(("mae", "rmse", "r2")):
        cells = [
            [finite(row[error]) if (row := _row(table, pair, name)) else None for pair in pairs] for name in subsets
        ]
        yield Table(
            title=f"{NAMES[error]} by subset: the forest and ours", columns=tuple(columns), folded=k > 0,
            rows=tuple((name, *row) for name, row in zip(subsets, cells, strict=True)),
            note=f"Held out are random fifths of the cases ({forest} for the forest, {ours} for ours), random fifths "
            f"of the images, or a split. The same {len(study.cases)} images everywhere. {same_folds(study)}",
        )  # fmt: skip


def table_3(table: pd.DataFrame) -> Table:
    """Errors of precision, recall and swelling beside those of F1: printed, the forest and ours."""
    labels = [Column(label=label, align="left", kind="text") for label in ("Target", "Who", "What is left out")]
    rows: list[tuple[Cell, ...]] = []
    order = list(TARGET_NAMES)
    for row in tables.records(table.sort_values("target", key=lambda one: one.map(order.index), kind="stable")):
        by = "random five folds" if row["model"] == tables.PAPER else HOW[row["protocol"]]
        values = [finite(row[error]) for error in tables.ERRORS]
        n, left_out = (_whole(finite(row[name])) for name in ("n", "left_out"))
        rows.append((TARGET_NAMES[row["target"]], WHO[row["model"]], by, n, left_out, *values))
    columns = (
        *labels, Column(label="n", missing="833 for F1"), Column(label="Left out", missing=_NOT_PRINTED),
        *(Column(label=NAMES[error], decimals=3, missing=_NOT_PRINTED) for error in tables.ERRORS),
    )  # fmt: skip
    return Table(
        title="Table 3: other targets", columns=columns, rows=tuple(rows),
        note="Left out are images without that truth: precision where nothing was found, recall where nothing is "
        "there. The swelling error is the relative error of the summed cubes of diameters, here; the paper says no "
        f"more than R² {paper.BY_TARGET['swelling_error'].r2}. Ours does not forecast it: it corrects the swelling "
        "itself.",
    )  # fmt: skip


def protocols(study: Study, table: pd.DataFrame) -> Iterator[Table]:
    """Everyone by every protocol: MAE at a glance, then all errors."""
    whole, models = paper.BY_SUBSET["All data"], list(dict.fromkeys(table["model"]))
    there = [name for name in HOW if (table["protocol"] == name).any()]
    mae = [(WHO[model], *(_mae(table, model, name) for name in there)) for model in models]
    first: tuple[Cell, ...] = (WHO[tables.PAPER], *(whole.mae if name == "random" else None for name in there))
    yield Table(
        title="MAE of F1 by what is left out", rows=(first, *mae),
        columns=(
            Column(label="Who", align="left", kind="text"),
            *(Column(label=HOW[name], decimals=3, missing=_NOT_PRINTED) for name in there),
        ),
        note="All images together. A source is A, B or C; a detector is what a Mask R-CNN was trained on. The last "
        "five forecast from scores alone: they learn a threshold, a shift or a line from the images learnt from. "
        f"{same_folds(study)}",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (HOW["random"], WHO[tables.PAPER], 833, None, whole.mae, whole.rmse, whole.r2, None, None)
    ]
    for row in tables.records(table):
        values = [finite(row[name]) for name in ("mae", "rmse", "r2", "bias")]
        rows.append((HOW[row["protocol"]], WHO[row["model"]], int(row["n"]), int(row["fits"]), *values, _ratio(row)))
    words = [Column(label=label, align="left", kind="text") for label in ("What is left out", "Who")]
    numbers = [Column(label="n"), Column(label="Fits", missing=_NOT_PRINTED)]
    labels = (NAMES["mae"], NAMES["rmse"], NAMES["r2"], "Bias")
    numbers += [Column(label=label, decimals=3, missing=_NOT_PRINTED) for label in labels]
    last = Column(label="MAE over the forest's (90 %)", missing="it is the forest, or of other images")
    yield Table(
        title="All errors of F1 by what is left out", columns=(*words, *numbers, last), rows=tuple(rows), folded=True,
        note="The last column is over the same images and repeats, its interval from drawing splits; under 1 is "
        "better than the forest.",
    )  # fmt: skip


def _mae(table: pd.DataFrame, model: str, protocol: str) -> float | None:
    row = tables.row_of(table, model=model, protocol=protocol)
    return finite(row["mae"]) if row else None


def ablation(data: Mapping[str, pd.DataFrame]) -> Iterator[Table]:
    """Ours on some of its parts; nothing where no part was left out."""
    table = data.get("ablation")
    if table is None or len(table) < 2:
        return
    rows: list[tuple[Cell, ...]] = [
        (row["model"], int(row["n"]), *(finite(row[name]) for name in ("mae", "rmse", "r2")), _ratio(row))
        for row in tables.records(table)
    ]
    columns = (
        Column(label="Ours", align="left", kind="text"), Column(label="n"),
        *(Column(label=NAMES[name], decimals=3) for name in ("mae", "rmse", "r2")),
        Column(label="MAE over that of all parts (90 %)", missing="it is all parts"),
    )  # fmt: skip
    yield Table(
        title="What each part of ours is worth", columns=columns, rows=tuple(rows),
        note="Each split left out in turn. Parts: the published features; signals of the detections; quality of the "
        "image; counts expected from each object's probability of being right; and, at the cost of more looks of the "
        "detector, how stable the objects are under views. Above 1 the part that is missing helped, below 1 the one "
        "that came on top; interval from drawing splits.",
    )  # fmt: skip


def coverage(study: Study, data: Mapping[str, pd.DataFrame]) -> Iterator[Table]:
    """Share of the truths inside the intervals of ours, by target and subset."""
    titles = {"coverage-split": "a split left out", "coverage-random": "random five folds"}
    for name, by in titles.items():
        if name not in data:
            continue
        rows: list[tuple[Cell, ...]] = []
        for row in tables.records(data[name]):
            share = Fact(
                value=finite(row["coverage"]), low=finite(row["coverage_low"]), high=finite(row["coverage_high"]),
                note="no image has an interval",
            )  # fmt: skip
            target = TARGET_NAMES[row["target"]]
            rows.append((target, row["subset"], int(row["n"]), int(row["left_out"]), share, finite(row["width"])))
        columns = (
            *(Column(label=label, align="left", kind="text") for label in ("Target", "Subset")), Column(label="n"),
            Column(label="Left out"), Column(label="Share inside (90 %)"),
            Column(label="Mean width", decimals=2, missing="no image has an interval"),
        )  # fmt: skip
        yield Table(
            title=f"Coverage of ours, {by}",
            columns=columns,
            rows=tuple(rows),
            folded=True,
            note=f"{percent(study.effort.how.coverage)} asked for. Intervals are earned inside what was learnt from; "
            "for a new split coverage is measured here, not promised. Left out: nothing found, or no truth.",
        )


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _ratio(row: Mapping[str, Any]) -> Cell:
    value = finite(row["ratio"])
    return None if value is None else Fact(value=value, low=finite(row["ratio_low"]), high=finite(row["ratio_high"]))


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(table["model"], table["protocol"], strict=True)))


def _row(table: pd.DataFrame, pair: tuple[str, str], subset: str) -> Mapping[str, Any] | None:
    return tables.row_of(table, model=pair[0], protocol=pair[1], subset=subset)


def same_folds(study: Study) -> str:
    identity = study.cases.images[["source", "image"]]
    return (
        "" if identity.duplicated().any() else "No image is in two cases here: keeping images whole changes nothing."
    )
