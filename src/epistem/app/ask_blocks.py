"""Tables and paragraphs of the page of graded answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from epistem.app.ask_numbers import COVERAGE, Numbers, plain_rows
from epistem.app.ask_set import open_picture
from epistem.ask.records import ORIGINS
from epistem.report.ask_figures import words
from epistem.report.document import Block, Column, Fact, Figure, Notice, Table, Text, finite
from epistem.report.words import p_value, percent
from epistem.stats.blind import evenly_chosen

if TYPE_CHECKING:
    from epistem.app.ask_page import About, AskStudy

_SHOWN = 12
_THUMBNAIL_PX = 160
_LONGEST = 320  # characters of a text in a table
_ORIGIN_WORDS = {
    "measured": "measured on the image", "read": "read from the record or its strip",
    "declined": "declined: the image cannot tell", "words": "words of the model",
}  # fmt: skip
_PICTURES = ("grounding", "grounding-parts", "quality", "levels", "combinations", "features", "defects")


def ranged(row: Mapping[str, Any], value: str = "value") -> Fact:
    """A number with the interval that its row has."""
    low = finite(row["low"])
    if low is None:
        why = "no interval: too few papers, or values that are all the same"
        return Fact(value=finite(row[value]), note=why)
    return Fact(value=finite(row[value]), low=low, high=finite(row["high"]), coverage=COVERAGE)


def origins_table(found: Numbers, judge: str) -> Table:
    """How many answers were measured, read, declined and said, and how each scored."""
    columns = (
        Column(label="The answer is", kind="text", align="left"), Column(label="Answers"),
        Column(label="Share", unit="%", decimals=0), Column(label=f"Quality, 0–100, by {judge}"),
    )  # fmt: skip
    rows = tuple(
        (_ORIGIN_WORDS[row["origin"]], row["answers"], 100 * row["share"], ranged(row, "mean"))
        for row in found.origins
    )
    note = "Shares are of the questions asked here. A measured number carries the detector's own error."
    return Table(columns=columns, rows=rows, note=note)


def controls_and_figures(found: Numbers, pictures: Mapping[str, Figure], number: int) -> Iterator[Block]:
    """What one judge's grades show; `number` is the judge's on the page."""
    tables = {
        "grounding": [_gain_table(found)] if found.gains else [],
        "levels": [_context_table(found)] if found.context else [],
        # Where no context was added there is no picture by context, and the table says it all.
        "features": [_features_table(found.features)] if f"features-{number}" not in pictures else [],
        "defects": [_defect_table(found.defects, folded=f"defects-{number}" in pictures)],
    }
    for name in _PICTURES:
        if (picture := pictures.get(f"{name}-{number}")) is not None:
            yield picture
        yield from (table for table in tables.get(name, ()) if table.rows)


def shown_answers(study: AskStudy, judge: str) -> Table:
    """Some answers beside image, question and benchmark, of each origin as many as can be."""
    rows = study.own[(study.own["judge"] == judge) & (study.own["assessment"] == "quality")]
    chosen = rows.iloc[evenly_chosen(list(rows["origin"]), _SHOWN, np.random.default_rng(0))]
    found = sorted(plain_rows(chosen), key=lambda row: ORIGINS.index(row["origin"]))
    columns = (
        Column(label="Image", kind="picture", align="left"),
        *(Column(label=name, kind="text", align="left") for name in ("Question", "Benchmark", "Answer", "It is")),
        Column(label=f"Quality, by {judge}", decimals=0, missing="unscored"),
    )  # fmt: skip
    pairs = {pair.id: pair for pair in study.pairs}
    said = {one.id: one.text for one in study.answered}
    picture = _thumbnails(study)
    shown = tuple(
        (picture(pair.figure), *map(_cut, (pair.question, pair.answer, said[row["answered"]])), row["origin"],
         finite(row["score"]))
        for row in found for pair in (pairs[row["pair"]],)
    )  # fmt: skip
    note = f"{len(shown)} of {len(rows)} answers, drawn by chance, of each kind as many as there can be."
    return Table(columns=columns, rows=shown, note=note)


def papers_blocks(about: About, pictures: Mapping[str, Figure]) -> Iterator[Block]:
    """Clusters of papers, and what evaluation shares with training."""
    found = about.clusters
    yield pictures["clusters"]
    how = f"{len(found.vectors.papers)} papers by their captions and mentions; {found.vectors.by}; titles by "
    how += f"{found.titled_by}; the map ({found.drawn_by}) is only drawn, clusters are found among the vectors."
    if found.stable is False:
        how += " No number of clusters is stable under other draws of papers: the groups are a way to look, no fact."
    yield Text(text=how)
    if (test := about.independence) is not None:
        yield Text(text=f"Splits against clusters: χ² = {test.chi2:.1f}, p = {p_value(test.p)} by permutation, "
                   f"Cramér's V {test.v:.2f}.")  # fmt: skip
    leak = about.leakage
    if leak.evaluation is not None and leak.training is not None:
        text = f"Median cosine of an evaluation paper and the nearest training paper {leak.evaluation:.2f}, of a "
        text += f"training paper and the nearest other one {leak.training:.2f} (p = {p_value(leak.p)})."
        yield Text(text=text)
    for one in leak.duplicates:
        text = f"{one.paper} ({one.split}) may be a version of the training paper {one.nearest}: "
        text += f"cosine {one.cosine:.2f}"
        if one.copied is not None and one.copied_from is not None:
            text += f"; {percent(one.copied)} of its runs of eight words stand in {one.copied_from}"
        yield Notice(level="warning", text=f"{text}.")


def _gain_table(found: Numbers) -> Table:
    rows = found.gains + found.gains_by_images
    # One kind of images needs no column that says so.
    which = ["images"] if found.gains_by_images else []
    columns = (
        Column(label="Instead of the real image", kind="text", align="left"),
        *(Column(label="Images", kind="text", align="left") for _ in which), Column(label="Real image", decimals=1),
        Column(label="Instead", decimals=1), Column(label="Difference", missing="not graded on the same questions"),
        Column(label="n"), Column(label="Left out"), Column(label="Papers or scenes"),
    )  # fmt: skip
    return Table(
        title="Quality of the same questions, points of 100", columns=columns,
        rows=tuple(
            (row["name"], *(row[name] for name in which), row["first"], row["second"], ranged(row), row["n"],
             row["left_out"], row["papers"])
            for row in rows
        ),
    )  # fmt: skip


def _context_table(found: Numbers) -> Table:
    columns = (Column(label="Context", kind="text", align="left"), Column(label="Gain, points of 100"),
               Column(label="n"), Column(label="Left out"))  # fmt: skip
    rows = []
    for one in found.context:
        apart = one.difference
        fact = Fact(value=None, note="fewer than two papers") if apart is None else Fact(
            value=apart.value, low=apart.low, high=apart.high, coverage=COVERAGE)  # fmt: skip
        rows.append((one.name, fact, one.n, one.left_out))
    return Table(title="The same questions with context and without", columns=columns, rows=tuple(rows))


def _features_table(table: pd.DataFrame) -> Table:
    columns = (
        Column(label="Category", kind="text", align="left"), Column(label="n"), Column(label="Unscored"),
        Column(label="Features found, 1–4, 4 is all"),
    )  # fmt: skip
    rows = tuple(
        (words(row["category"]), row["n"], row["unscored"], ranged(row, "mean")) for row in plain_rows(table)
    )
    return Table(title="Features of the benchmark answer, simple questions", columns=columns, rows=rows)


def _defect_table(table: pd.DataFrame, *, folded: bool) -> Table:
    counts = ("n", "not_applicable", "queued", "unscored")
    shares = ("sensitivity", "specificity", "balanced_accuracy", "prevalence", "majority")
    columns = (
        Column(label="Context", kind="text", align="left"), *(Column(label=words(name)) for name in counts),
        Column(label="accuracy", missing="no verdict"), *(Column(label=words(name), decimals=2) for name in shares),
    )  # fmt: skip
    held = plain_rows(table)
    rows = tuple(
        (row["level"], *(int(row[name]) for name in counts), ranged(row, "accuracy"),
         *(finite(row[name]) for name in shares))
        for row in (held if folded else held[:1])  # with one level, "all" says it again
    )  # fmt: skip
    return Table(title="Defects and anomalies, shares of 1", columns=columns, rows=rows, folded=folded,
                 note="Majority is what saying always the more frequent would reach.")  # fmt: skip


def _thumbnails(study: AskStudy) -> Callable[[str], Figure | None]:
    of = {one.id: one for one in study.figures}

    def thumbnail(name: str) -> Figure | None:
        figure = of.get(name)
        if figure is None or figure.image is None or not (study.folder / figure.image).exists():
            return None
        image = open_picture(study.folder, figure)
        image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        held = io.BytesIO()
        image.save(held, "PNG")
        return Figure.of(held.getvalue(), alt=f"Figure {figure.figure} of {figure.paper.id}")

    return thumbnail


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
