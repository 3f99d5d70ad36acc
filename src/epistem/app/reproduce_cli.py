"""`epistem reproduce forecast`, `forecast-table`, `bench`, `atoms`, `ask`: a published study again,
its printed numbers beside ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epistem.app.options import Device, Json

if TYPE_CHECKING:
    from epistem.app.reproduce import StudyCases
    from epistem.app.train import Words

reproducing = typer.Typer(help="Do a published study again, its numbers beside ours.", no_args_is_help=True)


@reproducing.command()
def forecast(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page, tables, figures and what is kept.")],
    cases: Annotated[
        Path | None, typer.Option(help="Folder of cases of the plan published; those that come with epistem if not.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="First train the detectors and make the cases: hours.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="From scratch: cpu, cuda; a GPU if there is one.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="From scratch: processes that make fields and samples.")] = 1,
    as_json: Json = False,
) -> None:
    """Forecasting F1 with random forests: every table and figure of the paper, and ours beside it.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.as_json import print_json
    from epistem.app.reproduce import reproduce
    from epistem.app.reproduce_page import write_study
    from epistem.app.reproduce_tables import numbers
    from epistem.app.train import Words
    from epistem.core import SettingsError

    if from_scratch and cases is not None:
        raise SettingsError("either --cases FOLDER or --from-scratch: the latter makes the cases itself")
    with Words(quiet=as_json) as words, words.stoppable(lambda: f"what was done is kept in {out}"):
        known = _made(out / "cases", words, device, workers) if from_scratch else _read(cases)
        study = reproduce(known, out / "folds", step=words.part)
        page = write_study(study, out)
    if as_json:
        print_json({"page": str(page), **numbers(study)})
    else:
        print(f"Page: {page}\nTables: {out / 'tables'}\nFigures: {out / 'figures'}")


@reproducing.command("forecast-table")
def forecast_table(
    file: Annotated[Path, typer.Argument(help="CSV or Excel: the final 8 features, true F1, perhaps splits.")],
    repeats: Annotated[int, typer.Option(min=1, help="Of the random five folds.")] = 10,
    as_json: Json = False,
) -> None:
    """The published forest on a table of features and F1, such as the authors' figshare 27281400.

    Errors by random folds stand beside the printed ones, and those with each split left out below.
    """
    from epistem.app.as_json import print_json
    from epistem.app.reproduce_deposited import deposited_errors

    rows = deposited_errors(file, repeats=repeats).replace({float("nan"): None}).to_dict("records")
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{'Random five folds' if row['protocol'] == 'random' else 'A split left out'}, {row['n']} rows")
        for kind in ("rmse", "mae", "r2"):
            value, printed = row[kind], row[f"{kind}_printed"]
            beside = f"   printed {printed:.3f}" if printed is not None else ""
            print(f"  {kind.upper():5}{'unknown' if value is None else f'{value:.3f}'}{beside}")


@reproducing.command()
def bench(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and what is trained.")],
    budget_minutes: Annotated[
        float, typer.Option(min=0, help="Train for so long; 0 shows the study that comes with epistem.")
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Of each training.")] = 120,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Which architecture for which image: our Tables 2 and 3 beside the printed ones, on real images.

    A run that was stopped, or whose time was up, goes on where it was: the same command again.
    """
    from epistem.app.as_json import print_json
    from epistem.app.reproduce_bench import data_folder, kept_study, read_study, run_study, write_study
    from epistem.app.train import Words, need_torch
    from epistem.bench.study import study_numbers

    if budget_minutes:
        need_torch()
        with Words(quiet=as_json) as words, words.stoppable(lambda: f"what was done is kept in {out}"):
            run_study(out, data_folder(), budget_s=60 * budget_minutes, steps=steps, device=device, words=words)
        study = read_study(out)
    else:
        study = kept_study()
    page = write_study(study, out)
    if as_json:
        print_json({"page": str(page), **study_numbers(study)})
    else:
        print(f"Page: {page}")


@reproducing.command()
def atoms(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page, figures and numbers.")],
    share: Annotated[int, typer.Option(min=1, help="One in n of the 288 pairs of cases, drawn; 1 takes all.")] = 8,
    as_json: Json = False,
) -> None:
    """Atomic columns in context: accuracy and entropy by dose, the paper's figures as our numbers."""
    from epistem.app.as_json import print_json
    from epistem.app.reproduce_atoms import numbers, run_study, write_study
    from epistem.app.train import AGAIN, Words, need_torch

    need_torch()
    with Words(quiet=as_json) as words, words.stoppable(lambda: "nothing is kept", AGAIN):
        study = run_study(share=share, step=words.say)
        page = write_study(study, out)
    if as_json:
        print_json({"page": str(page), **numbers(study)})
    else:
        print(f"Page: {page}")


def _read(folder: Path | None) -> StudyCases:
    from importlib.resources import as_file, files

    from epistem.app.reproduce import StudyCases
    from epistem.core import RecordError

    if folder is not None:
        return StudyCases.load(folder)
    shipped = files("epistem.trust").joinpath("shipped", "published")
    if not shipped.is_dir():
        raise RecordError(
            "the study's cases are not part of this installation; pass --cases FOLDER (epistem forecast cases --plan "
            "published makes one) or --from-scratch"
        )
    with as_file(shipped) as path:
        return StudyCases.load(path)


def _made(folder: Path, words: Words, device: str | None, workers: int) -> StudyCases:
    from epistem.app.forecast_cases import make_cases
    from epistem.app.forecast_plan import PLANS
    from epistem.app.reproduce import StudyCases

    make_cases(PLANS["published"](), folder, told=words, device=device, workers=workers)
    return StudyCases.load(folder)


@reproducing.command()
def ask(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and the answers.")],
    store: Annotated[
        Path | None, typer.Argument(help="Folder of `epistem ask evaluate`; scenes are asked about without one.")
    ] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Without a folder: how many.")] = 30,
    as_json: Json = False,
) -> None:
    """Questions about SEM images: the paper's figures with our numbers, the printed ones and the controls beside.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.as_json import print_json
    from epistem.app.ask_evaluate import evaluate_set
    from epistem.app.reproduce_ask import reproduce_ask

    if store is None:
        evaluate_set(
            None, out, scenes=scenes, questions=6, split="test", conditions=None, judge="rules", judge_endpoint=None,
            judge_model=None, repeats=1, again=False, ask=True, model=None, language=None, endpoint=None,
            endpoint_model=None, key_from="OPENAI_API_KEY", seed=0, as_json=as_json, mode="words", published=True,
        )  # fmt: skip
        return
    page = reproduce_ask(store, out)
    if as_json:
        print_json({"page": str(page)})
    else:
        print(f"Page: {page}")
