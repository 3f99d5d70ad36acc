"""Pictures of graded answers, as a page shows them: of each judge, of the context, the papers and the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from epistem.app.ask_numbers import Numbers, judged_by, plain_rows
from epistem.ask.assess import type_counts
from epistem.report import ask_figures as draw
from epistem.report.document import Figure

if TYPE_CHECKING:
    from epistem.app.ask_page import AskStudy


def figures_of(study: AskStudy, paper: Mapping[str, str]) -> dict[str, Figure]:
    """Pictures by name, those of a judge with its number.

    Args:
        paper: by name of a picture, which figure of the published study it is, for the caption.
    """
    found = {}
    for i, (judge, numbers) in enumerate(study.numbers.items(), 1):
        for name, svg, caption in _of_judge(numbers, judge):
            said = f"{_with(caption, paper.get(name))}."
            found[f"{name}-{i}"] = Figure.of(svg, alt=said, caption=f"{said} Judged {judged_by(judge)}.")
    for name, svg, caption in _of_all(study):
        said = f"{_with(caption, paper.get(name))}."
        found[name] = Figure.of(svg, alt=said, caption=said)
    return found


def _with(caption: str, paper: str | None) -> str:
    return f"{caption} ({paper})" if paper else caption


def _of_judge(found: Numbers, judge: str) -> Iterator[tuple[str, bytes, str]]:
    by = f"by {judge}"
    quality = f"quality, 0–100, {by}"
    apart = f"quality: real image minus the other, points of 100, {by}"
    if found.gains:
        yield "grounding", draw.gain_bars(found.gains, label=apart), "How much more the real image scores"
    if found.gains_by_images:
        rows = [{**row, "name": f"{row['name']}, {row['images']}"} for row in found.gains_by_images]
        yield "grounding-parts", draw.gain_bars(rows, label=apart), "The same for simulated scenes and real sources"
    if len(found.quality):
        violins = draw.quality_violins(plain_rows(found.quality), label=quality)
        yield "quality", violins, "Quality by category of question, without added context"
    if with_context(found.levels):
        svg = draw.level_heatmap(plain_rows(found.levels), low=0, high=100, label=quality)
        yield "levels", svg, "Quality of simple questions by context"
    if len(found.combinations):
        svg = draw.by_types(plain_rows(found.combinations), label=quality)
        yield "combinations", svg, "Quality by the types of context that were combined"
    if with_context(found.features):
        svg = draw.level_heatmap(plain_rows(found.features), low=1, high=4, label=f"features, 1–4, {by}")
        yield "features", svg, "Features of the benchmark answer that are found in the answer, 4 is all, by context"
    if with_context(found.defects):
        svg = draw.defect_accuracy(plain_rows(found.defects), label=f"share, {by}")
        yield "defects", svg, "Defects and anomalies found or denied rightly by context, with what guessing reaches"


def with_context(table: pd.DataFrame) -> bool:
    """Whether a table by context has any; without, a picture of it has one column."""
    return bool(len(table)) and not set(table["level"]) <= {"none", "all"}


def _of_all(study: AskStudy) -> Iterator[tuple[str, bytes, str]]:
    counts = type_counts([pair for pair in study.pairs if pair.id in set(study.rows["pair"])])
    if counts.to_numpy().any():
        svg = draw.type_counts(plain_rows(counts.reset_index()))
        yield "types", svg, "Types of context in the questions, by level"
    if study.about is not None:
        svg = draw.cluster_map(study.about.clusters.rows(study.about.splits))
        yield "clusters", svg, "Papers: colour and number are the cluster, the mark is the split"
    if study.loss:
        yield "loss", draw.loss_curve(study.loss), "Loss against the step of training"
