"""The reproduced study as a folder: one page with the printed numbers beside ours, a CSV a table, an SVG a figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from epistem import __version__
from epistem.app import reproduce_paper as paper
from epistem.app import reproduce_shown as shown
from epistem.app import reproduce_tables as tables
from epistem.app.reproduce import FOREST, OURS, Study
from epistem.app.reproduce_captions import Drawn, all_figures
from epistem.app.reproduce_tables import HOW, NAMES, WHO, rounded
from epistem.core.files import write_text, written_whole
from epistem.report.document import (
    Block,
    Fact,
    Facts,
    Figure,
    Link,
    Links,
    Notice,
    Report,
    Section,
    Text,
    finite,
    plain,
)
from epistem.report.export import write_table
from epistem.report.render import render_html
from epistem.report.words import percent


def write_study(study: Study, out: Path) -> Path:
    """Everything into a folder: index.html, report.json, numbers.json, tables/*.csv, figures/*.svg.

    Returns:
        The page.

    Raises:
        RecordError: something cannot be written.
    """
    data, figures = all_tables(study), list(all_figures(study))
    for name, table in data.items():
        path = out / "tables" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, {str(column): list(table[column]) for column in table})
    for figure in figures:
        path = out / "figures" / f"{figure.name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(figure.svg)
    report = page_of(study, data, {figure.name: figure for figure in figures})
    write_text(out / "report.json", report.to_json())
    write_text(out / "numbers.json", json.dumps(plain(tables.numbers(study)), indent=1) + "\n")
    write_text(out / "index.html", render_html(report))
    return out / "index.html"


def all_tables(study: Study) -> dict[str, pd.DataFrame]:
    """By the name of their file."""
    made = {
        "table-1-splits": tables.splits_table(study), "table-2-subsets": tables.subsets_table(study),
        "table-3-targets": tables.targets_table(study), "figure-3-ranking": tables.ranking_table(study),
        "figure-4-number-of-features": tables.number_table(study), "figure-9-sweep": tables.sweep_table(study),
        "protocols": tables.protocols_table(study), "ablation": tables.ablation_table(study),
        "coverage-random": tables.coverage_table(study, "random"),
        "coverage-split": tables.coverage_table(study, "split"), "predictions": tables.predictions_table(study),
    }  # fmt: skip
    return {name: table for name, table in made.items() if len(table)}


# ---------------------------------------------------------------- the page


def page_of(study: Study, data: Mapping[str, pd.DataFrame], figures: Mapping[str, Drawn]) -> Report:
    """The page as data."""

    def pictures(*names: str) -> list[Block]:
        return [_picture(figures[name]) for name in names if name in figures]

    sections = [
        Section(title="What came out", id="outcome", blocks=tuple(_outcome(study))),
        Section(title="Splits", id="splits", blocks=(
            shown.table_1(data["table-1-splits"]), *pictures("figure-5a-histogram", "figure-5b-split-means"),
        )),
        Section(title="Features", id="features", blocks=tuple(
            pictures("figure-3-features", "figure-4-number-of-features")
        )),
        Section(title="Errors of the forecast of F1", id="errors", blocks=(
            *shown.table_2(study, data["table-2-subsets"]),
            *pictures("figure-6a-parity", "figure-6b-parity-of-splits"),
        )),
        Section(title="Precision, recall, swelling", id="targets", blocks=(
            shown.table_3(data["table-3-targets"]),
        )),
        Section(title="Good or not", id="good", blocks=tuple(
            pictures("figure-7-confusion", "figure-8-precision-recall", "figure-9-sweep")
        )),
        Section(title="What is left out, and who forecasts", id="protocols", blocks=(
            *shown.protocols(study, data["protocols"]), *pictures("protocols-mae"), *shown.ablation(data),
        )),
        Section(title="Intervals", id="intervals", blocks=(*pictures("coverage"), *shown.coverage(study, data))),
        Section(title="How this was made", id="made", blocks=tuple(_made(study, data))),
    ]  # fmt: skip
    about = {"maker": "epistem reproduce forecast", "version": __version__, "versions": {"epistem": __version__}}
    return Report(
        kind="Published study, done again",
        title="Forecasting F1: the published study and ours",
        provenance=about | {"effort": asdict(study.effort), "cases": dict(study.cases.provenance)},
        sections=tuple(section for section in sections if section.blocks),
    )


def _outcome(study: Study) -> Iterator[Block]:
    found = tables.numbers(study)
    n, unseen = len(study.cases), int(found["nothing_found"] or 0)
    yield Text(role="headline", text=_headline(found))
    yield _spread(found)
    if unseen:
        text = (
            f"In {unseen} of {n} images nothing was found at a score of 0.1; here their F1 is forecast as 0, as in "
        )
        text += "the study. Elsewhere epistem leaves such an image unscored."
        yield Notice(level="info", text=text)
    for protocol, why in study.impossible.items():
        yield Notice(level="warning", text=f"Not done, {HOW[protocol]}: {why}")
    yield Facts(facts=tuple(_cards(study, found)))
    yield Text(
        text="The paper's micrographs are not at hand. This page does on simulated images what the paper did: Mask "
        "R-CNNs trained on some sets of images are tried on others, and a random forest learns each image's F1 from "
        "what was found in it. The same numbers are not to be expected; the same behaviour is.\n\nThroughout, "
        "“printed” is the paper, “forest” its random forest on 8 features fitted here, “ours” the forecast of "
        "epistem fitted on the same images. Truth is the study's for both: all that was found at a score of 0.1, "
        "matched at a box IoU of 0.1 in the published order."
    )


def _headline(found: Mapping[str, float | None]) -> str:
    forest, ours = (found.get(f"{who}_random_f1_mae") for who in (FOREST, OURS))
    left, mine = (found.get(f"{who}_split_f1_mae") for who in (FOREST, OURS))
    printed = rounded(paper.BY_SUBSET["All data"].mae)
    text = f"By random folds the published forest errs by {rounded(forest)} in F1 here, {printed} in the paper; "
    text += f"ours by {rounded(ours)}."
    if left is not None and mine is not None:
        text += f" For a split it has not seen the forest errs by {rounded(left)}, ours by {rounded(mine)}."
    return text


def _spread(found: Mapping[str, float | None]) -> Notice:
    mean, sd = (float(found[name] or 0) for name in ("true_mean", "true_sd"))
    told = (
        f"True F1 here: mean {mean:.2f}, standard deviation {sd:.2f}; in the paper {paper.F1_MEAN} and {paper.F1_SD}."
    )
    band = f"{paper.LEAST_SD} to {paper.MOST_SD}"
    if not paper.LEAST_SD <= sd <= paper.MOST_SD:
        why = f"Only with a standard deviation of {band} are R² and MAE comparable with the printed ones: here not."
        return Notice(level="warning", text=f"{told} {why}")
    text = f"{told} With a standard deviation of {band}, R² and MAE can be held against the printed ones."
    return Notice(level="info", text=text)


def _cards(study: Study, found: Mapping[str, float | None]) -> Iterator[Fact]:
    printed = paper.BY_SUBSET["All data"]
    for who in (FOREST, OURS):
        for name, theirs in (("mae", printed.mae), ("r2", printed.r2)):
            value = found.get(f"{who}_random_f1_{name}")
            label = f"{NAMES[name]} of {WHO[who]}, random folds (printed {theirs})"
            yield Fact(label=label, value=rounded(value))
    if (ratio := found.get("split_mae_ratio")) is not None:
        yield Fact(
            name="ratio", label="MAE of ours over the forest's, a split left out", value=ratio,
            low=finite(found["split_mae_ratio_low"]), high=finite(found["split_mae_ratio_high"]), coverage=0.9,
            note="Under 1 ours is better. Interval from drawing splits.",
        )  # fmt: skip
    if (share := found.get("split_coverage")) is not None:
        asked, worst = percent(study.effort.how.coverage), found.get("split_worst_split_coverage")
        label = f"True F1 inside intervals of {asked}, a split left out"
        if worst is not None:
            label += f" (worst split {percent(worst)})"
        yield Fact(label=label, value=round(100 * share, 1), unit="%")


def _made(study: Study, data: Mapping[str, pd.DataFrame]) -> Iterator[Block]:
    effort, weights = study.effort, study.cases.provenance.get("weights", {})
    facts = [
        Fact(label="Images", value=len(study.cases)),
        Fact(label="Objects found, from a score of 0.02", value=len(study.cases.objects)),
        Fact(label="Repeats of random folds", value=f"{effort.repeats} forest, {effort.repeats_ours} ours"),
        Fact(label="Seed", value=effort.seed), Fact(label="epistem", value=__version__),
    ]  # fmt: skip
    facts += [
        Fact(label=f"Weights, detector {name}", value=str(digest)[:16]) for name, digest in dict(weights).items()
    ]
    yield Facts(facts=tuple(facts), style="list")
    yield Text(
        title="Not on this page",
        text="The paper also tries photographs (COCO-128: all forecast below 0.7, over 75 % below 0.5); they are no "
        "simulated images. Its supplement was not at hand. The authors' own features and F1 (figshare 27281400) "
        "can be tried with epistem reproduce forecast-table.",
    )
    links = tuple(Link.to_file(f"{name}.csv", f"tables/{name}.csv") for name in data)
    yield Links(title="Tables", links=links)
    yield Text(
        title="Source", text="N. Li, R. Jacobs, V. Agrawal, M. Lynch, K. Field, D. Morgan: Predicting performance of "
        "object detection models in electron microscopy using random forests. Printed numbers are of its Tables 1–3, "
        "§ 3 and the captions of Figures 3–9.",
    )  # fmt: skip


def _picture(drawn: Drawn) -> Figure:
    return Figure.of(drawn.svg, alt=drawn.alt, caption=drawn.caption, title=drawn.title)
