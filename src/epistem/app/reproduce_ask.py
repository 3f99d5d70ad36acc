"""The published study of answers about SEM images (GlassLLaVA), with our answers, grades and controls.

A folder of records in, one page out::

    pairs.jsonl, answered.jsonl, grades.jsonl, figures.jsonl ─► AskStudy ─► index.html, report.json, numbers.json, …
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from epistem import __version__
from epistem.app.reproduce_ask_numbers import (
    COVERAGE,
    Numbers,
    abstained,
    judged_by,
    numbers_of,
    plain_rows,
    subject_of,
)
from epistem.ask.assess import scored_rows, type_counts
from epistem.ask.clusters import Clusters, Embed, cluster_papers
from epistem.ask.leakage import Independence, Leakage, independence, leakage
from epistem.ask.records import Answered, Figure, Grade, Pair, read_records
from epistem.core import RecordError, SettingsError
from epistem.report import ask_figures as draw
from epistem.report.document import Block, Column, Fact, Facts, Notice, Report, Section, Table, Text, finite, plain
from epistem.report.document import Figure as Picture
from epistem.report.export import write_text, written_whole
from epistem.report.render import render_html
from epistem.report.words import p_value, percent

MOST_PAPERS = 400
"""Papers that are clustered; more are a corpus of their own, for `epistem papers clusters`."""
LOSS_FILE = "log.json"


class About(NamedTuple):
    """What the papers are about: clusters, whether splits follow them, and what evaluation shares with training."""

    clusters: Clusters
    splits: Mapping[str, str]
    independence: Independence | None
    leakage: Leakage


@dataclass(frozen=True, eq=False)
class AskStudy:
    """What a folder holds, read and counted.

    Attributes:
        pairs, answered, grades, figures: its records.
        rows: `scored_rows` of all.
        model: name of what is looked at; the other models are baselines and controls.
        numbers: by judge.
        loss: rows of the training's log, if the folder has one.
        about: None where no figure is of a paper.
    """

    pairs: Sequence[Pair]
    answered: Sequence[Answered]
    grades: Sequence[Grade]
    figures: Sequence[Figure]
    rows: pd.DataFrame
    model: str
    numbers: Mapping[str, Numbers]
    loss: Sequence[Mapping[str, Any]]
    about: About | None


def reproduce_ask(store: Path, out: Path, *, model: str | None = None, embed: Embed | None = None) -> Path:
    """The page of a folder of records.

    Args:
        store: holds pairs.jsonl, answered.jsonl and grades.jsonl; figures.jsonl for the clusters of papers, and the
            training's log.json for the loss, where they are.
        out: gets index.html, report.json, numbers.json and figures/*.svg.
        model: whose answers are looked at; None takes the one with most answers that is no baseline.
        embed: see `epistem.ask.clusters.paper_vectors`.

    Returns:
        index.html.

    Raises:
        RecordError: a file is missing or holds something else, grades without their answers, or `out` cannot be
            written.
        SettingsError: no answer is by that model.
    """
    return write_study(read_study(store, model=model, embed=embed), out)


def read_study(store: Path, *, model: str | None = None, embed: Embed | None = None) -> AskStudy:
    """See `reproduce_ask`."""
    pairs = read_records(store / "pairs.jsonl", Pair)
    answered = read_records(store / "answered.jsonl", Answered)
    grades = read_records(store / "grades.jsonl", Grade)
    figures = read_records(store / "figures.jsonl", Figure) if (store / "figures.jsonl").exists() else []
    rows = scored_rows(pairs, answered, grades)
    if not len(rows):
        raise RecordError(f"{store} holds {len(answered)} answers and no grade of any; grade them first")
    named = subject_of(rows, answered) if model is None else model
    if named not in set(rows["model"]):
        raise SettingsError(f"no graded answer is by {named!r}; there are {', '.join(sorted(set(rows['model'])))}")
    makers = {pair.id: pair.maker for pair in pairs}
    numbers = {
        str(judge): numbers_of(of_judge, named, makers) for judge, of_judge in rows.groupby("judge", sort=False)
    }
    # Grades of people and models before those by rules.
    order = sorted(numbers, key=lambda judge: (judge.startswith("rules"), judge))
    return AskStudy(
        pairs, answered, grades, figures, rows, named, {judge: numbers[judge] for judge in order}, _loss(store),
        _about(figures, pairs, embed),
    )  # fmt: skip


def write_study(study: AskStudy, out: Path) -> Path:
    """index.html, report.json, numbers.json and figures/*.svg; the page.

    Raises:
        RecordError: something cannot be written.
    """
    pictures = dict(_pictures(study))
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, one in pictures.items():
        with written_whole(out / "figures" / f"{name}.svg") as part:
            part.write_bytes(one.image)
    report = page_of(study, pictures)
    found = {judge: one.as_dict() for judge, one in study.numbers.items()}
    write_text(out / "report.json", report.to_json())
    write_text(out / "numbers.json", json.dumps(plain({"model": study.model, "judges": found}), indent=1) + "\n")
    write_text(out / "index.html", render_html(report))
    return out / "index.html"


def page_of(study: AskStudy, pictures: Mapping[str, Picture]) -> Report:
    """The page as data."""
    sections = [
        Section(title="What came out", id="outcome", blocks=tuple(_outcome(study))),
        Section(title="Printed and ours", id="printed", blocks=(_printed(study),)),
    ]
    for i, (judge, found) in enumerate(study.numbers.items(), 1):
        blocks = [Notice(level="info", text=f"Judged {judged_by(judge)}."), *_judged(found, pictures, i)]
        sections.append(Section(title=f"Judge {i}: {judge}", id=f"judge-{i}", blocks=tuple(blocks)))
    if "types" in pictures:
        sections.append(Section(title="Context in the questions", id="context", blocks=(pictures["types"],)))
    if study.about is not None:
        sections.append(Section(title="Papers", id="papers", blocks=tuple(_papers(study.about, pictures))))
    if "loss" in pictures:
        sections.append(Section(title="Training", id="training", blocks=(pictures["loss"],)))
    about = {"maker": "epistem reproduce ask", "version": __version__, "model": study.model}
    return Report(
        kind="Published study, done again",
        title="Questions about SEM images: the published study and ours",
        provenance=about | {"judges": list(study.numbers), "answers": len(study.answered), "pairs": len(study.pairs)},
        sections=tuple(sections),
    )


def _outcome(study: AskStudy) -> Iterator[Block]:
    judge, found = next(iter(study.numbers.items()))
    shuffled = next((row for row in found.gains if row["against"] == "shuffled" and row["value"] is not None), None)
    if shuffled is None:
        text = "Whether the model looks at the image is not known: no answers to shuffled images are graded."
    elif shuffled["low"] is None:
        text = f"The answers score {shuffled['value']:+.1f} points of 100 against another paper's image; all are of "
        text += "one paper, so that there is no interval."
    else:
        sure = "look at the image" if shuffled["low"] > 0 else "are not shown to look at the image"
        text = f"The answers {sure}: {shuffled['value']:+.1f} points of 100 against another paper's image "
        text += f"({shuffled['low']:+.1f} to {shuffled['high']:+.1f}, {percent(COVERAGE)})."
    yield Text(role="headline", text=f"{text} Judged {judged_by(judge)}.")
    if all(judge.startswith("rules") for judge in study.numbers):
        yield Notice(level="warning", text="Every grade on this page is by rules that compare words and numbers with "
                     "the benchmark. The paper's grades are GPT-4's and people's: the columns do not measure the "
                     "same, and ours is no language model's score.")  # fmt: skip
    said = abstained(study.pairs, study.answered, study.model)
    facts = [
        Fact(label="model", value=study.model),
        Fact(label="graded answers to the real image", value=found.n),
        Fact(label="papers or scenes they are of", value=found.papers),
        Fact(label="unscored of them", value=found.unscored),
        Fact(label="for a person to decide", value=found.queued),
    ]
    if said is not None:
        label = f"unanswerable questions that it abstained from, of {said.n}"
        facts.append(Fact(label=label, value=round(100 * said.share, 1), unit="%"))
    yield Facts(facts=tuple(facts))
    text = "The published model is a LLaVA with CLIP ViT-L/14 and OpenLLaMA-7B, trained on 62 papers on glass; its "
    text += "images and answers are not at hand. Here another model answers questions on other images: the same "
    text += "numbers are not to be expected, and a printed number is never ours. Intervals hold "
    yield Text(text=f"{text}{percent(COVERAGE)} and come from drawing papers, then questions.")


def _printed(study: AskStudy) -> Table:
    judges = list(study.numbers)
    columns = (
        Column(label="What", kind="text", align="left"), Column(label="Scale", kind="text", align="left"),
        Column(label="printed (GPT-4 and people)", kind="text", note="digits as the paper prints them"),
        *(Column(label=f"ours, by {judge}", missing="no such answers are graded") for judge in judges),
        *(Column(label=f"n, by {judge}") for judge in judges),
    )  # fmt: skip
    of = [study.numbers[judge].beside for judge in judges]
    rows = tuple(
        (first.what, first.scale, f"{first.printed:g}", *(_fact(one) for one in same), *(one.n for one in same))
        for same in zip(*of, strict=True)
        for first in same[:1]
    )
    note = "Ours: answers to the real image, with the context that the row names, otherwise without any."
    return Table(columns=columns, rows=rows, note=note)


def _fact(one: Any) -> Fact:
    return Fact(value=one.value, low=one.low, high=one.high, coverage=COVERAGE if one.low is not None else None)


def _judged(found: Numbers, pictures: Mapping[str, Picture], number: int) -> Iterator[Block]:
    for name in ("grounding", "grounding-parts", "quality", "levels", "combinations", "features", "defects"):
        if (picture := pictures.get(f"{name}-{number}")) is not None:
            yield picture
        if name == "grounding" and found.gains:
            yield _gain_table(found)
        if name == "defects" and len(found.defects):
            yield _frame("Defects and anomalies, shares of 1", found.defects, 2)
        if name == "levels" and found.context:
            yield _context_table(found)


def _gain_table(found: Numbers) -> Table:
    columns = (
        Column(label="Control", kind="text", align="left"), Column(label="Images", kind="text", align="left"),
        Column(label="Score, real image", decimals=1), Column(label="Score, control", decimals=1),
        Column(label="Difference", missing="not graded on the same questions"), Column(label="n"),
        Column(label="Left out"), Column(label="Papers"),
    )  # fmt: skip
    rows = tuple(
        (row["name"], row["images"], row["first"], row["second"],
         Fact(value=row["value"], low=row["low"], high=row["high"], coverage=COVERAGE if row["low"] is not None else
              None), row["n"], row["left_out"], row["papers"])
        for row in found.gains + found.gains_by_images
    )  # fmt: skip
    return Table(title="Quality with the real image and without it", columns=columns, rows=rows)


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


def _frame(title: str, table: pd.DataFrame, decimals: int) -> Table:
    counts = {"n", "not_applicable", "queued", "unscored"}
    columns = tuple(
        Column(label=str(name).replace("_", " "), kind="text" if name == "level" else "number",
               align="left" if name == "level" else "right", decimals=None if name in counts else decimals)
        for name in table
    )  # fmt: skip
    rows = tuple(
        tuple(value if isinstance(value, str) else int(value) if name in counts else finite(value)
              for name, value in zip(table.columns, row, strict=True))
        for row in table.itertuples(index=False)
    )  # fmt: skip
    return Table(title=title, columns=columns, rows=rows, folded=True)


def _papers(about: About, pictures: Mapping[str, Picture]) -> Iterator[Block]:
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
        text = (
            f"{one.paper} ({one.split}) may be a version of the training paper {one.nearest}: cosine {one.cosine:.2f}"
        )
        if one.copied is not None and one.copied_from is not None:
            text += f"; {percent(one.copied)} of its runs of eight words stand in {one.copied_from}"
        yield Notice(level="warning", text=f"{text}.")


# ---------------------------------------------------------------- pictures


def _pictures(study: AskStudy) -> Iterator[tuple[str, Picture]]:
    for i, (judge, found) in enumerate(study.numbers.items(), 1):
        for name, svg, caption in _of_judge(found, judge):
            yield f"{name}-{i}", Picture.of(svg, alt=caption, caption=f"{caption} Judged {judged_by(judge)}.")
    counts = type_counts([pair for pair in study.pairs if pair.id in set(study.rows["pair"])])
    if counts.to_numpy().any():
        caption = "Types of context in the questions, by level (the paper's Figure 2)."
        rows = plain_rows(counts.reset_index())
        yield "types", Picture.of(draw.type_counts(rows), alt=caption, caption=caption)
    if study.about is not None:
        rows = study.about.clusters.rows(study.about.splits)
        caption = "Papers: colour and number are the cluster, the mark is the split (the paper's Figure S1)."
        yield "clusters", Picture.of(draw.cluster_map(rows), alt=caption, caption=caption)
    if study.loss:
        caption = "Loss against the step; the paper prints 0.003 by epoch 12, without held-out papers."
        yield "loss", Picture.of(draw.loss_curve(study.loss), alt=caption, caption=caption)


def _of_judge(found: Numbers, judge: str) -> Iterator[tuple[str, bytes, str]]:
    by = f"by {judge}"
    if found.gains:
        label = f"quality: real image minus control, points of 100, {by}"
        yield (
            "grounding",
            draw.gain_bars(found.gains, label=label),
            "What the image is worth: controls the paper lacks.",
        )
    if found.gains_by_images:
        rows = [{**row, "name": f"{row['name']}, {row['images']}"} for row in found.gains_by_images]
        label = f"quality: real image minus control, points of 100, {by}"
        yield "grounding-parts", draw.gain_bars(rows, label=label), "The same for simulated scenes and real sources."
    if len(found.quality):
        rows = plain_rows(found.quality)
        yield (
            "quality",
            draw.quality_violins(rows, label=f"quality, 0–100, {by}"),
            "Quality by category (the paper's Figure 3).",
        )
    if len(found.levels):
        svg = draw.level_heatmap(plain_rows(found.levels), low=0, high=100, label=f"quality, 0–100, {by}")
        yield "levels", svg, "Quality of simple questions by context (the paper's Figure 4)."
    if len(found.combinations):
        svg = draw.by_types(plain_rows(found.combinations), label=f"quality, 0–100, {by}")
        yield "combinations", svg, "Quality by the types of context that were combined."
    if len(found.features):
        svg = draw.level_heatmap(plain_rows(found.features), low=1, high=4, label=f"features, 1–4, {by}")
        yield "features", svg, "Feature identification by context (the paper's Figure 5)."
    if len(found.defects):
        svg = draw.defect_accuracy(plain_rows(found.defects), label=f"share, {by}")
        yield "defects", svg, "Defects and anomalies by context (the paper's Figure 6), with what guessing reaches."


# ---------------------------------------------------------------- what else the folder holds


def _loss(store: Path) -> list[dict[str, Any]]:
    path = store / LOSS_FILE
    if not path.exists():
        return []
    try:
        return [dict(row) for row in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"{path} is no log of a training: {error}") from None


def _about(figures: Sequence[Figure], pairs: Sequence[Pair], embed: Embed | None) -> About | None:
    """Of real papers only: simulated scenes have captions of one hand."""
    texts: dict[str, list[str]] = {}
    for one in figures:
        if not one.paper.id.startswith("scene:"):
            texts.setdefault(one.paper.id, []).append(one.text)
    if not 0 < len(texts) <= MOST_PAPERS:
        return None
    # Panels of one figure bring the same sentences along.
    joined = {paper: "\n".join(dict.fromkeys("\n".join(parts).splitlines())) for paper, parts in texts.items()}
    splits: dict[str, str] = {one.paper: one.split for one in pairs if one.split}
    splits |= {one.paper.id: one.split for one in figures if one.split}
    found = cluster_papers(joined, embed=embed)
    return About(found, splits, independence(found, splits), leakage(found.vectors, joined, splits))
