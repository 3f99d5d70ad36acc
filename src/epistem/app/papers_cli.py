"""`epistem papers ingest`, `review`, `questions`, `clusters`: from PDFs to a checked set of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epistem.app.options import Json
from epistem.app.terminal import SOME_FAILED

papers = typer.Typer(help="From papers to figures, from figures to questions with evidence.", no_args_is_help=True)

Set = Annotated[Path, typer.Argument(help="Folder of `epistem papers ingest`.", readable=False)]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint", help="OpenAI-compatible base URL, up to and with /v1; key from the environment."),
]
EndpointModel = Annotated[str | None, typer.Option("--endpoint-model", help="The model's name at the endpoint.")]
KeyFrom = Annotated[str, typer.Option(help="Environment variable that holds the key.")]


@papers.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="PDF or JATS XML files, or folders of them.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for figures.jsonl and the pictures.")],
    layout: Annotated[
        str, typer.Option(help="rules, rapid, or auto: the model where the rules are not sure.")
    ] = "auto",
    keyword: Annotated[list[str] | None, typer.Option(help="Keep papers that say this; may be repeated.")] = None,
    first_year: Annotated[int | None, typer.Option(help="Of publication.")] = None,
    last_year: Annotated[int | None, typer.Option(help="Of publication.")] = None,
    publisher: Annotated[list[str] | None, typer.Option(help="Any of these; may be repeated.")] = None,
    licence: Annotated[
        list[str] | None, typer.Option(help='From its beginning, "CC BY" and not "CC BY-NC"; may be repeated.')
    ] = None,
    technique: Annotated[list[str] | None, typer.Option(help="Of figures: SEM, TEM…; may be repeated.")] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="The filter of the published data set; what else is told replaces its part."
        ),
    ] = False,
    unknown: Annotated[
        bool | None,
        typer.Option(
            help="Keep what does not say its year, publisher or licence.",
            show_default="keep, but not with --licence or --published",
        ),
    ] = None,
    ocr: Annotated[bool, typer.Option(help="Read data strips, where the extra `ocr` is there.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the split by paper.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Figures, panels, captions and the sentences that mention them, split by paper.

    Run again, it reads only papers that are new or changed, and keeps reviews and splits.
    """
    from epistem.app.papers_run import ingest_papers
    from epistem.ask.select import PUBLISHED, Filter

    asked = {
        "keywords": keyword, "first_year": first_year, "last_year": last_year, "publishers": publisher,
        "licences": licence, "techniques": technique, "unknown": not licence if unknown is None else unknown,
    }  # fmt: skip
    if published and unknown is None:
        asked["unknown"] = PUBLISHED.unknown
    base = PUBLISHED if published else Filter()
    rule = Filter.model_validate(base.model_dump() | {name: one for name, one in asked.items() if one is not None})
    if ingest_papers(sources, out, rule=rule, layout=layout, ocr=ocr, seed=seed, workers=workers, as_json=as_json):
        raise typer.Exit(SOME_FAILED)


@papers.command()
def review(
    folder: Set,
    answers: Annotated[Path | None, typer.Option("--apply", help="The JSON that the page saved.")] = None,
    as_json: Json = False,
) -> None:
    """Write the page on which a person accepts, fixes or rejects each figure; --apply takes the decisions over."""
    from epistem.app.papers_run import review_figures

    review_figures(folder, answers, as_json=as_json)


@papers.command()
def questions(
    folder: Set,
    per_category: Annotated[int, typer.Option(min=1, help="Of each category, simple and complex.")] = 2,
    unanswerable: Annotated[int, typer.Option(min=0, help="For each figure, questions that nothing answers.")] = 1,
    context: Annotated[bool, typer.Option(help="Also write simple questions with added context.")] = True,
    reviewed: Annotated[bool, typer.Option(help="Only figures that a person accepted or fixed.")] = False,
    endpoint: EndpointUrl = None,
    endpoint_model: EndpointModel = None,
    key_from: KeyFrom = "OPENAI_API_KEY",
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")] = 0,
    sweep: Annotated[bool, typer.Option("--sweep", help="Instead: what the settings matter.")] = False,
    as_json: Json = False,
) -> None:
    """Questions in seven categories, each with verbatim evidence; without an endpoint, taken from the text itself."""
    from epistem.app.papers_run import write_questions

    write_questions(
        folder, per_category=per_category, unanswerable=unanswerable, context=context, reviewed=reviewed,
        endpoint=endpoint, endpoint_model=endpoint_model, key_from=key_from, seed=seed, sweep=sweep, as_json=as_json,
    )  # fmt: skip


@papers.command()
def clusters(
    folder: Set,
    number: Annotated[
        int | None, typer.Option("--number", "-k", min=1, help="Of clusters; found unless told.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of KMeans and of the map.")] = 0,
    endpoint: EndpointUrl = None,
    endpoint_model: EndpointModel = None,
    key_from: KeyFrom = "OPENAI_API_KEY",
    as_json: Json = False,
) -> None:
    """What the papers are about, whether the splits are alike, and whether a test paper is nearly a training one."""
    from epistem.app.papers_run import cluster_papers

    cluster_papers(
        folder, number=number, seed=seed, endpoint=endpoint, endpoint_model=endpoint_model, key_from=key_from,
        as_json=as_json,
    )  # fmt: skip
