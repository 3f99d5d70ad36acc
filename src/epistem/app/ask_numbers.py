"""Numbers of graded answers, judge by judge, beside the controls and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from epistem.app.ask_answers import BASELINES
from epistem.ask.assess import by_types, context_gains, defect_table, level_table, quality_table
from epistem.ask.controls import CONDITIONS, Gain, paired_gain
from epistem.ask.records import ORIGINS, Answered, Mode, Pair
from epistem.ask.speakers import UNTRAINED
from epistem.core import Interval
from epistem.report.document import finite
from epistem.stats.intervals import binomial_interval

COVERAGE = 0.9
CONTROLS = {
    "shuffled": "another image", "blank": "blank image", "question-only": "question only, no image",
    "caption-only": "caption only, no image", "untrained-projector": "untrained projector",
    "words": "the model's words alone", "retrieval": "retrieval", "template": "template",
}  # fmt: skip


class Subject(NamedTuple):
    """Whose answers are looked at."""

    model: str
    mode: Mode

    @property
    def words(self) -> str:
        """For people.

        >>> Subject("assistant:1f", "words").words
        'assistant:1f, its words alone'
        """
        how = "measuring, reading and declining before its words" if self.mode == "whole" else "its words alone"
        return f"{self.model}, {how}"


class Declined(NamedTuple):
    """How many of n questions were declined, and their share; None without a question."""

    n: int
    declined: int
    share: Interval | None


@dataclass(frozen=True, eq=False)
class Numbers:
    """What one judge's grades come to.

    Attributes:
        n, papers, unscored, queued: graded answers to the real image; papers or scenes that they are of; those
            without a score or verdict; those that wait for a person.
        overall: mean quality of all, `n, unscored, mean, low, high`, with whatever context they have.
        origins: the same by where answers come from, with `origin` and `share` of the answers.
        quality: rows of `category, subcategory, score`, without added context.
        levels, features: of `level_table`; combinations: of `by_types`; defects: of `defect_table`.
        context: gains by context.
        gains: the real image against each control; gains_by_images: for simulated scenes and real sources apart,
            where there are both.
    """

    n: int
    papers: int
    unscored: int
    queued: int
    overall: dict[str, Any]
    origins: list[dict[str, Any]]
    quality: pd.DataFrame
    levels: pd.DataFrame
    features: pd.DataFrame
    combinations: pd.DataFrame
    defects: pd.DataFrame
    context: list[Gain]
    gains: list[dict[str, Any]]
    gains_by_images: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Its numbers, without the answers."""
        return {
            "n": self.n, "papers": self.papers, "unscored": self.unscored, "queued": self.queued,
            "overall": self.overall, "origins": self.origins, "gains": self.gains,
            "gains_by_images": self.gains_by_images, "levels": plain_rows(self.levels),
            "features": plain_rows(self.features), "defects": plain_rows(self.defects),
        }  # fmt: skip


def judged_by(judge: str) -> str:
    """Who judged, in words; rules are never a model.

    >>> judged_by("rules-1")
    'by rules that compare words and numbers with the benchmark (rules-1), not by a language model'
    """
    if judge.startswith("rules"):
        return f"by rules that compare words and numbers with the benchmark ({judge}), not by a language model"
    if judge.startswith("model:"):
        return f"by a language model ({judge.removeprefix('model:')})"
    return f"by a person ({judge.removeprefix('person:')})" if judge.startswith("person:") else f"by {judge}"


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A mapping for each row."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def subject_of(answered: Sequence[Answered], mode: Mode | None = None) -> Subject | None:
    """The model, and its mode unless told, with most answers to real images that is no baseline; None without any."""
    counts: dict[Subject, int] = {}
    for one in answered:
        if one.condition == "real" and one.model not in BASELINES and mode in (None, one.mode):
            who = Subject(one.model, one.mode)
            counts[who] = counts.get(who, 0) + 1
    return max(counts, key=lambda who: counts[who], default=None)


def declined(pairs: Sequence[Pair], answered: Sequence[Answered], subject: Subject, *, answerable: bool) -> Declined:
    """How often it was said that the image cannot tell, where it can or cannot."""
    asked = {pair.id for pair in pairs if pair.answerable is answerable}
    said = [one.abstained for one in answered if one.pair in asked and one.condition == "real"
            and (one.model, one.mode) == subject]  # fmt: skip
    return Declined(len(said), sum(said), binomial_interval(sum(said), len(said), coverage=COVERAGE))


def numbers_of(rows: pd.DataFrame, subject: Subject, makers: Mapping[str, str]) -> Numbers:
    """Tables of one judge's grades.

    Args:
        rows: of `scored_rows`, of one judge.
        subject: whose answers.
        makers: of each pair; "scene" made those of simulated images.
    """
    own = _by(rows, *subject)
    own = own[own["condition"] == "real"]
    quality = own[own["assessment"] == "quality"]
    # Questions that nothing answers are written for scenes too; the paper tells them apart.
    is_scene = rows["pair"].map(makers).fillna("").str.startswith("scene") | rows["paper"].str.startswith("scene:")
    both = is_scene.any() and not is_scene.all()
    parts = [("simulated scenes", rows[is_scene]), ("real sources", rows[~is_scene])] if both else []
    return Numbers(
        n=own["answered"].nunique(), papers=own["paper"].nunique(),
        unscored=int((own["score"].isna() & own["verdict"].isna()).sum()),
        queued=int((own["verdict"] == "queue").sum()),
        overall=_mean(quality), origins=_origins(quality),
        quality=quality[quality["level"] == "none"][["category", "subcategory", "score"]],
        levels=level_table(own, "quality"), features=level_table(own, "features"), combinations=by_types(own),
        defects=defect_table(own), context=context_gains(own), gains=gains_of(rows, subject),
        gains_by_images=[row for name, part in parts for row in gains_of(part, subject, name)],
    )  # fmt: skip


def gains_of(rows: pd.DataFrame, subject: Subject, images: str = "all") -> list[dict[str, Any]]:
    """Quality with the real image against whatever controls and baselines are graded, on the same questions.

    Args:
        rows: of `scored_rows`, of one judge.
        images: what they are of, for people.
    """
    graded = rows[rows["assessment"] == "quality"]
    own, at_real = _by(graded, *subject), graded[graded["condition"] == "real"]
    real = own[own["condition"] == "real"]
    sides: dict[str, pd.DataFrame] = {name: own[own["condition"] == name] for name in CONDITIONS if name != "real"}
    # The untrained twin is another model by name.
    twin = _by(graded, f"{subject.model}{UNTRAINED}", subject.mode)
    sides["untrained-projector"] = twin[twin["condition"] == "untrained-projector"]
    sides |= {name: at_real[at_real["model"] == name] for name in BASELINES}
    sides["words"] = _by(at_real, subject.model, "words") if subject.mode == "whole" else graded[:0]
    return [_gain(name, real, sides[name], images) for name in CONTROLS if len(sides[name]) and subject.model != name]


def _by(rows: pd.DataFrame, model: str, mode: Mode) -> pd.DataFrame:
    return rows[(rows["model"] == model) & (rows["mode"] == mode)]


def _mean(quality: pd.DataFrame) -> dict[str, Any]:
    found = plain_rows(quality_table(quality))[-1]
    counts = {name: int(found[name]) for name in ("n", "unscored")}
    return {name: finite(found[name]) for name in ("mean", "low", "high")} | counts


def _origins(quality: pd.DataFrame) -> list[dict[str, Any]]:
    parts = ((name, quality[quality["origin"] == name]) for name in ORIGINS)
    return [{"origin": name, "answers": len(part), "share": len(part) / len(quality), **_mean(part)}
            for name, part in parts if len(part)]  # fmt: skip


def _gain(name: str, real: pd.DataFrame, other: pd.DataFrame, images: str) -> dict[str, Any]:
    paper = pd.concat([real, other]).groupby("pair")["paper"].first()
    first, second = (side.groupby("pair")["score"].mean() for side in (real, other))
    # Only what was asked both ways: a control is often run on some of the questions.
    found = paired_gain(name, first.reindex(second.index), second, paper, coverage=COVERAGE)
    apart = found.difference
    value = None if found.first is None or found.second is None else found.first - found.second
    return {
        "name": CONTROLS[name], "against": name, "images": images, "n": found.n, "left_out": found.left_out,
        "papers": found.papers, "first": found.first, "second": found.second, "value": value,
        "low": None if apart is None else apart.low, "high": None if apart is None else apart.high,
    }  # fmt: skip
