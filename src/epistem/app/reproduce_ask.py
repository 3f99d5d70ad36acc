"""The published study of answers about SEM images (GlassLLaVA), with our answers, grades and controls beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from epistem.app.ask_blocks import ranged
from epistem.app.ask_numbers import COVERAGE, plain_rows
from epistem.app.ask_page import AskStudy, Wording, read_study, write_page
from epistem.ask.assess import defect_table, quality_table
from epistem.ask.clusters import Embed
from epistem.ask.judge import Assessment
from epistem.ask.records import Mode
from epistem.report.document import Column, Section, Table, finite
from epistem.report.words import percent


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

_FIGURES = {
    "grounding": "a control the paper lacks", "quality": "the paper's Figure 3", "levels": "the paper's Figure 4",
    "features": "the paper's Figure 5", "defects": "the paper's Figure 6", "types": "the paper's Figure 2",
    "clusters": "the paper's Figure S1", "loss": "the paper prints 0.003 by epoch 12, without held-out papers",
}  # fmt: skip


class Beside(NamedTuple):
    """A printed number and ours, which is None where nothing of the kind is graded."""

    what: str
    scale: str
    printed: float
    value: float | None
    low: float | None
    high: float | None
    n: int


def reproduce_ask(
    store: Path, out: Path, *, model: str | None = None, mode: Mode | None = None, embed: Embed | None = None
) -> Path:
    """The page of a folder of `epistem ask evaluate`, the paper's numbers and figures beside ours.

    Args:
        store, model, mode, embed: see `ask_page.read_study`.
        out: gets index.html, report.json, numbers.json and figures/*.svg.

    Returns:
        index.html.

    Raises:
        RecordError, SettingsError: see `ask_page.read_study`; `out` cannot be written.
    """
    return study_page(read_study(store, model=model, mode=mode, embed=embed), out)


def study_page(study: AskStudy, out: Path) -> Path:
    """The same of what is read already."""
    own = study.own
    beside = {judge: [_beside(own[own["judge"] == judge], one) for one in PRINTED] for judge in study.numbers}
    about = "The published model is a LLaVA with CLIP ViT-L/14 and OpenLLaMA-7B, trained on 62 papers on glass; its "
    about += "images and answers are not at hand. Here another model answers questions on other images: the same "
    about += "numbers are not to be expected, and a printed number is never ours. Intervals hold "
    about += f"{percent(COVERAGE)} and come from drawing papers, then questions."
    return write_page(study, out, Wording(
        maker="epistem reproduce ask", kind="Published study, done again",
        title="Questions about SEM images: the published study and ours",
        warning="Every grade on this page is by rules that compare words and numbers with the benchmark. The paper's "
        "grades are GPT-4's and people's: the columns do not measure the same, and ours is no language model's "
        "score.",
        about=about, paper=_FIGURES,
        sections=(Section(title="Printed and ours", id="printed", blocks=(_table(study, beside),)),),
        numbers={judge: {"beside": [one._asdict() for one in of]} for judge, of in beside.items()},
    ))  # fmt: skip


def _table(study: AskStudy, beside: dict[str, list[Beside]]) -> Table:
    judges = list(study.numbers)
    columns = (
        Column(label="What", kind="text", align="left"), Column(label="Scale", kind="text", align="left"),
        Column(label="printed (GPT-4 and people)", kind="text", note="digits as the paper prints them"),
        *(Column(label=f"ours, by {judge}", missing="no such answers are graded") for judge in judges),
        *(Column(label=f"n, by {judge}") for judge in judges),
    )  # fmt: skip
    rows = tuple(
        (same[0].what, same[0].scale, f"{same[0].printed:g}", *(_cell(one) for one in same), *(one.n for one in same))
        for same in zip(*(beside[judge] for judge in judges), strict=True)
    )
    note = "Ours: answers to the real image, with the context that the row names, otherwise without any."
    return Table(columns=columns, rows=rows, note=note)


def _cell(one: Beside) -> Any:
    return None if one.value is None else ranged(one._asdict())


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
