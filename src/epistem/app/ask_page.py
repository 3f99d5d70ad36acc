"""The page of graded answers: what came out, where answers come from, controls, and answers to look at.

::

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
from epistem.app.ask_blocks import controls_and_figures, origins_table, papers_blocks, shown_answers
from epistem.app.ask_figures import figures_of
from epistem.app.ask_folder import ANSWERED, FIGURES, GRADES, PAIRS, records_of
from epistem.app.ask_numbers import COVERAGE, Numbers, Subject, declined, judged_by, numbers_of, subject_of
from epistem.ask.assess import scored_rows
from epistem.ask.clusters import Clusters, Embed, cluster_papers
from epistem.ask.leakage import Independence, Leakage, independence, leakage
from epistem.ask.records import Answered, Figure, Grade, Mode, Pair
from epistem.core import RecordError, SettingsError
from epistem.core.files import write_text, written_whole
from epistem.report.document import Block, Fact, Facts, Notice, Report, Section, Text, plain
from epistem.report.document import Figure as Picture
from epistem.report.render import render_html
from epistem.report.words import counted, percent, with_interval

MOST_PAPERS = 400
"""Papers that are clustered; more are a corpus of their own, for `epistem papers clusters`."""
FEW = 30
"""Questions below which a page warns of its own headline."""
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
        folder: where it lies.
        pairs, answered, figures: its records.
        rows: `scored_rows` of all.
        subject: whose answers are looked at; the others are baselines and controls.
        numbers: by judge; grades of people and models before those by rules.
        loss: rows of the training's log, if the folder has one.
        about: None where no figure is of a paper.
    """

    folder: Path
    pairs: Sequence[Pair]
    answered: Sequence[Answered]
    figures: Sequence[Figure]
    rows: pd.DataFrame
    subject: Subject
    numbers: Mapping[str, Numbers]
    loss: Sequence[Mapping[str, Any]]
    about: About | None

    @property
    def own(self) -> pd.DataFrame:
        """Rows of the subject's answers to the real images."""
        rows = self.rows[self.rows["condition"] == "real"]
        return rows[(rows["model"] == self.subject.model) & (rows["mode"] == self.subject.mode)]


@dataclass(frozen=True)
class Wording:
    """What a page calls itself, and what it adds of its own.

    Attributes:
        maker: the command.
        warning: beside the headline where every grade is by rules.
        about: below the numbers.
        paper: figures of a published study that pictures repeat, by name of the picture.
        sections: after what came out.
        numbers: by judge, more for numbers.json.
    """

    maker: str
    kind: str
    title: str
    warning: str
    about: str
    paper: Mapping[str, str]
    sections: Sequence[Section] = ()
    numbers: Mapping[str, Any] | None = None


def evaluation_page(study: AskStudy, out: Path) -> Path:
    """The page of an evaluation; see `write_page`."""
    own = study.own
    images = {pair.figure for pair in study.pairs if pair.id in set(own["pair"])}
    return write_page(study, out, Wording(
        maker="epistem ask evaluate", kind="Evaluation of answers",
        title=f"How {counted(own['pair'].nunique(), 'question')} about {counted(len(images), 'image')} were answered",
        warning="Every grade on this page is by rules that compare words and numbers with the benchmark answer; "
        "neither a person nor a language model has graded.",
        about=f"Intervals hold {percent(COVERAGE)} and come from drawing papers or scenes, then questions.", paper={},
    ))  # fmt: skip


def read_study(
    store: Path, *, model: str | None = None, mode: Mode | None = None, embed: Embed | None = None
) -> AskStudy:
    """What a folder of `epistem ask evaluate` holds.

    Args:
        store: holds pairs.jsonl, answered.jsonl and grades.jsonl; figures.jsonl for the clusters of papers, and the
            training's log.json for the loss, where they are.
        model, mode: whose answers are looked at; None takes those with most graded answers that are no baseline's.
        embed: see `epistem.ask.clusters.paper_vectors`.

    Raises:
        SettingsError: a file is missing, or no graded answer is by that model.
        RecordError: a file holds something else, grades without their answers, or none.
    """
    pairs, answered = records_of(store, PAIRS, Pair), records_of(store, ANSWERED, Answered)
    grades = records_of(store, GRADES, Grade)
    figures = records_of(store, FIGURES, Figure) if (store / FIGURES).exists() else []
    rows = scored_rows(pairs, answered, grades)
    if not len(rows):
        raise RecordError(f"{store} holds {len(answered)} answers and no grade of any; grade them first")
    graded = set(rows["answered"])
    subject = subject_of([one for one in answered if one.id in graded and model in (None, one.model)], mode)
    if subject is None:
        names = ", ".join(sorted(set(rows["model"])))
        raise SettingsError(f"no graded answer is by {model or 'a model'!r}{f', {mode}' if mode else ''}; "
                            f"there are {names}")  # fmt: skip
    makers = {pair.id: pair.maker for pair in pairs}
    found = {str(judge): numbers_of(part, subject, makers) for judge, part in rows.groupby("judge", sort=False)}
    order = sorted(found, key=lambda judge: (judge.startswith("rules"), judge))
    numbers = {judge: found[judge] for judge in order}
    about = _about(figures, pairs, embed)
    return AskStudy(store, pairs, answered, figures, rows, subject, numbers, _loss(store), about)


def write_page(study: AskStudy, out: Path, wording: Wording) -> Path:
    """index.html, report.json, numbers.json and figures/*.svg; the page.

    Raises:
        RecordError: something cannot be written.
    """
    pictures = figures_of(study, wording.paper)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, one in pictures.items():
        with written_whole(out / "figures" / f"{name}.svg") as part:
            part.write_bytes(one.image)
    report = page_of(study, pictures, wording)
    more = wording.numbers or {}
    judges = {judge: one.as_dict() | more.get(judge, {}) for judge, one in study.numbers.items()}
    found = {"model": study.subject.model, "mode": study.subject.mode, "judges": judges}
    write_text(out / "report.json", report.to_json())
    write_text(out / "numbers.json", json.dumps(plain(found), indent=1) + "\n")
    write_text(out / "index.html", render_html(report))
    return out / "index.html"


def page_of(study: AskStudy, pictures: Mapping[str, Picture], wording: Wording) -> Report:
    """The page as data."""
    judge, first = next(iter(study.numbers.items()))
    outcome = tuple(_outcome(study, wording))
    sections = [Section(title="What came out", id="outcome", blocks=outcome), *wording.sections]
    if study.subject.mode == "whole":
        sections.append(Section(title="Where answers come from", id="origins", blocks=(origins_table(first, judge),)))
    for i, (name, found) in enumerate(study.numbers.items(), 1):
        note = Notice(level="info", text=f"Judged {judged_by(name)}.")
        blocks = (note, *controls_and_figures(found, pictures, i))
        sections.append(Section(title=f"Judge {i}: {name}", id=f"judge-{i}", blocks=blocks))
    if "types" in pictures:
        sections.append(Section(title="Context in the questions", id="context", blocks=(pictures["types"],)))
    sections.append(Section(title="Answers to look at", id="answers", blocks=(shown_answers(study, judge),)))
    if study.about is not None:
        sections.append(Section(title="Papers", id="papers", blocks=tuple(papers_blocks(study.about, pictures))))
    if "loss" in pictures:
        sections.append(Section(title="Training", id="training", blocks=(pictures["loss"],)))
    about = {"maker": wording.maker, "version": __version__, **study.subject._asdict(), "judges": list(study.numbers)}
    return Report(
        kind=wording.kind, title=wording.title, subtitle=study.subject.words,
        provenance=about | {"answers": len(study.answered), "pairs": len(study.pairs)}, sections=tuple(sections),
    )  # fmt: skip


def _outcome(study: AskStudy, wording: Wording) -> Iterator[Block]:
    judge, found = next(iter(study.numbers.items()))
    of = found.overall
    quality = Fact(label="quality, 0–100, higher is better", value=of["mean"], low=of["low"], high=of["high"],
                   coverage=COVERAGE if of["low"] is not None else None)  # fmt: skip
    score = "No answer has a score" if quality.value is None else f"Quality {with_interval(quality)} of 100"
    yield Text(role="headline", text=f"{score}. {looks(found)} Judged {judged_by(judge)}.")
    asked = study.own["pair"].nunique()
    if asked < FEW:
        few = (
            f"Only {counted(asked, 'question')}: they carry little. The intervals say how far each number may be off;"
        )
        yield Notice(level="warning", text=f"{few} ask more questions before you compare models or believe a number.")
    if all(name.startswith("rules") for name in study.numbers):
        yield Notice(level="warning", text=wording.warning)
    facts = [
        quality, Fact(label="graded answers to the real image", value=found.n),
        Fact(label="papers or scenes they are of", value=found.papers), *_declined(study),
        Fact(label="unscored of them", value=found.unscored),
        Fact(label="for a person to decide", value=found.queued),
    ]  # fmt: skip
    yield Facts(facts=tuple(facts))
    yield Text(text=f"Answered by {study.subject.words}. {wording.about}")


def looks(found: Numbers) -> str:
    """Whether the image matters to the answers, in a sentence."""
    shuffled = next((row for row in found.gains if row["against"] == "shuffled" and row["value"] is not None), None)
    if shuffled is None:
        return "Whether the image matters is not known: no answers to shuffled images are graded."
    text = f"{shuffled['value']:+.1f} points of 100 against another image"
    if shuffled["low"] is None:
        return f"The answers score {text}; all are of one paper, so that there is no interval."
    sure = "look at the image" if shuffled["low"] > 0 else "are not shown to look at the image"
    return f"The answers {sure}: {text} ({shuffled['low']:+.1f} to {shuffled['high']:+.1f}, {percent(COVERAGE)})."


def _declined(study: AskStudy) -> Iterator[Fact]:
    for answerable, label in ((False, "unanswerable questions that were declined"),
                              (True, "answerable questions that were declined")):  # fmt: skip
        found = declined(study.pairs, study.answered, study.subject, answerable=answerable)
        if found.share is not None:
            ends = {"low": 100 * found.share.low, "high": 100 * found.share.high, "coverage": COVERAGE}
            yield Fact(label=f"{label}, of {found.n}", value=100 * found.share.value, unit="%", **ends)


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
