"""Numbers of a study of graded answers, judge by judge, each beside the one that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from epistem.ask.assess import by_types, context_gains, defect_table, level_table, quality_table
from epistem.ask.controls import CONDITIONS, Gain, paired_gain
from epistem.ask.judge import Assessment
from epistem.ask.records import Answered, Pair
from epistem.report.document import finite

COVERAGE = 0.9
BASELINES = ("retrieval", "template")
CONTROLS = {
    "shuffled": "another paper's image", "blank": "blank image", "question-only": "question only, no image",
    "caption-only": "caption only, no image", "untrained-projector": "untrained projector",
    "retrieval": "retrieval", "template": "template",
}  # fmt: skip


class Printed(NamedTuple):
    """A number of the paper: of which assessment, category, subcategory and level ("all" is every one)."""

    what: str
    scale: str
    value: float
    assessment: Assessment
    category: str = "all"
    subcategory: str = "all"
    level: str = "none"


PRINTED = (
    Printed("Quality, simple questions", "0–100", 67, "quality", subcategory="simple"),
    Printed("Quality, complex questions", "0–100", 77, "quality", subcategory="complex"),
    Printed("Quality, complex questions on processing", "0–100", 81, "quality", "processing_environment", "complex"),
    Printed("Quality, General, no context", "0–100", 68.84, "quality", "general", "simple"),
    Printed("Quality, General, high context", "0–100", 92.56, "quality", "general", "simple", "high"),
    Printed("Features, Morphology, no context", "1–4", 2.35, "features", "morphology", "simple"),
    Printed("Features, Morphology, high context", "1–4", 3.58, "features", "morphology", "simple", "high"),
    Printed("Defects found or denied rightly, no context", "%", 75, "defect"),
    Printed("Defects found or denied rightly, high context", "%", 95, "defect", level="high"),
)
"""Results of the paper: text of its sections on quality, context, features and defects."""


class Beside(NamedTuple):
    """A printed number and ours, which is None where nothing of the kind is graded."""

    what: str
    scale: str
    printed: float
    value: float | None
    low: float | None
    high: float | None
    n: int


class Abstained(NamedTuple):
    """Share of n unanswerable questions that were not answered."""

    share: float
    n: int


@dataclass(frozen=True, eq=False)
class Numbers:
    """What one judge's grades come to.

    Attributes:
        n, papers, unscored, queued: graded answers of the model to the real image; papers or scenes that they are
            of; those without a score or verdict; those that wait for a person.
        quality: rows of `category, subcategory, score`, without added context.
        levels, features: of `level_table`; combinations: of `by_types`; defects: of `defect_table`.
        context: gains by context.
        gains: the real image against each control; gains_by_images: for simulated scenes and real sources apart,
            where there are both.
        beside: as PRINTED.
    """

    n: int
    papers: int
    unscored: int
    queued: int
    quality: pd.DataFrame
    levels: pd.DataFrame
    features: pd.DataFrame
    combinations: pd.DataFrame
    defects: pd.DataFrame
    context: list[Gain]
    gains: list[dict[str, Any]]
    gains_by_images: list[dict[str, Any]]
    beside: list[Beside]

    def as_dict(self) -> dict[str, Any]:
        """Its numbers, without the answers."""
        return {
            "n": self.n, "papers": self.papers, "unscored": self.unscored, "queued": self.queued,
            "beside": [one._asdict() for one in self.beside], "gains": self.gains,
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


def subject_of(rows: pd.DataFrame, answered: Sequence[Answered]) -> str:
    """The model with most graded answers to real images that is neither baseline nor control."""
    own = rows[(rows["condition"] == "real") & ~rows["model"].isin(BASELINES)]
    counts = (own if len(own) else rows)["model"].value_counts()
    asked = [one.model for one in answered]
    return str(max(counts.index, key=lambda name: (counts[name], -asked.index(name))))


def abstained(pairs: Sequence[Pair], answered: Sequence[Answered], model: str) -> Abstained | None:
    """How often the model said that the image cannot tell, where it cannot; None without such a question."""
    open_ones = {pair.id for pair in pairs if not pair.answerable}
    said = [one.abstained for one in answered if one.pair in open_ones and one.model == model
            and one.condition == "real"]  # fmt: skip
    return Abstained(sum(said) / len(said), len(said)) if said else None


def numbers_of(rows: pd.DataFrame, model: str, makers: Mapping[str, str]) -> Numbers:
    """Tables of one judge's grades.

    Args:
        rows: of `scored_rows`, of one judge.
        model: whose answers.
        makers: of each pair; "scene" made those of simulated images.
    """
    own = rows[(rows["model"] == model) & (rows["condition"] == "real")]
    plain = own[(own["assessment"] == "quality") & (own["level"] == "none")]
    gains = _gains(rows, model, "all")
    # Questions that nothing answers are written for scenes too; the paper tells them apart.
    is_scene = rows["pair"].map(makers).fillna("").str.startswith("scene") | rows["paper"].str.startswith("scene:")
    both = is_scene.any() and not is_scene.all()
    parts = [("simulated scenes", rows[is_scene]), ("real sources", rows[~is_scene])] if both else []
    return Numbers(
        n=own["answered"].nunique(), papers=own["paper"].nunique(),
        unscored=int((own["score"].isna() & own["verdict"].isna()).sum()),
        queued=int((own["verdict"] == "queue").sum()),
        quality=plain[["category", "subcategory", "score"]], levels=level_table(own, "quality"),
        features=level_table(own, "features"), combinations=by_types(own), defects=defect_table(own),
        context=context_gains(own), gains=gains,
        gains_by_images=[row for name, part in parts for row in _gains(part, model, name)],
        beside=[_beside(own, one) for one in PRINTED],
    )  # fmt: skip


def _gains(rows: pd.DataFrame, model: str, images: str) -> list[dict[str, Any]]:
    """The real image against whatever controls are graded, on the same questions."""
    graded = rows[rows["assessment"] == "quality"]
    own = graded[graded["model"] == model]
    real = own[own["condition"] == "real"]
    sides: dict[str, pd.DataFrame] = {name: own[own["condition"] == name] for name in CONDITIONS if name != "real"}
    # The untrained twin is another model by name.
    sides["untrained-projector"] = graded[graded["condition"] == "untrained-projector"]
    sides |= {name: graded[(graded["model"] == name) & (graded["condition"] == "real")] for name in BASELINES}
    return [_gain(name, real, sides[name], images) for name in CONTROLS if len(sides[name]) and model != name]


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


def _beside(own: pd.DataFrame, printed: Printed) -> Beside:
    part = own[(own["assessment"] == printed.assessment) & (own["level"] == printed.level)]
    if printed.category != "all":
        part = part[part["category"] == printed.category]
    if printed.subcategory != "all":
        part = part[part["subcategory"] == printed.subcategory]
    factor = 1.0
    if not len(part):
        found: dict[str, Any] = {"n": 0}
    elif printed.assessment == "defect":
        found, factor = plain_rows(defect_table(part))[-1], 100.0
        found["mean"] = found["accuracy"]
    else:
        found = plain_rows(quality_table(part.assign(assessment="quality")))[-1]
    value, low, high = (None if (v := finite(found.get(k))) is None else factor * v for k in ("mean", "low", "high"))
    return Beside(printed.what, printed.scale, printed.value, value, low, high, int(found["n"]))
