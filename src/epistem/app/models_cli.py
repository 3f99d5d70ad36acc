"""`epistem models`, `models show`, `models export`: which weights there are, what they are worth, passing them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epistem.app.options import Json

if TYPE_CHECKING:
    from epistem.app.models import Model

models = typer.Typer(help="Which weights there are, what they are worth, and how to pass them on.")

Name = Annotated[str, typer.Argument(help="A name from the list, a .safetensors file, or a run of the bench.")]


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """Which weights ship, what they are worth, and how to pass them on."""
    if context.invoked_subcommand is not None:
        return
    from epistem.app.models import shipped_models

    there = shipped_models()
    if as_json:
        print(json.dumps([model.as_record() for model in there], indent=1, ensure_ascii=False))
        return
    for model in there:
        print(_lines(model))
    print("epistem models show NAME prints a card; epistem models export NAME --out FOLDER passes one on.")


@models.command()
def show(name: Name, as_json: Json = False) -> None:
    """Print the card of some weights: what they learned from, their scores and licences."""
    from epistem.app.card_front import body
    from epistem.app.models import find_model

    model = find_model(name)
    if as_json:
        print(json.dumps(model.as_record() | {"card": body(model.card)}, indent=1, ensure_ascii=False))
    else:
        print(body(model.card).rstrip())


@models.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; empty or not there yet.")],
    licence: Annotated[
        str | None,
        typer.Option(help="Of your own weights: the SPDX name of the licence you give them, such as CC-BY-4.0."),
    ] = None,
    as_json: Json = False,
) -> None:
    """A folder that model hubs take: README.md, the weights, and for bioimage.io rdf.yaml with a test."""
    from epistem.app.models_export import export_model

    made = export_model(name, out, licence=licence)
    if as_json:
        told = {"out": str(out), "files": [file.name for file in made.files], "without_rdf": made.without_rdf}
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for file in made.files:
        print(f"{out / file.name} ({_size(file.stat().st_size)})")
    if made.without_rdf:
        print(f"No rdf.yaml: {made.without_rdf}")


def _lines(model: Model) -> str:
    said = model.said
    lines = [
        f"{model.name}: {said['job']}, {_size(model.size_bytes)}, {model.hash}, {said.get('licence', 'unknown')}"
    ]
    if "trained_on" in said:
        lines.append(f"  from {said['trained_on']}")
    if model.scores:
        lines.append(f"  {_scores(model.scores)}")
    return "\n".join(lines)


def _scores(scores: list[dict[str, Any]]) -> str:
    """Each score with its span over the data sets, and what those are."""
    spans = []
    for name in dict.fromkeys(score["name"] for score in scores):
        values = [score["value"] for score in scores if score["name"] == name]
        low, high = (f"{end(values):.2f}" for end in (min, max))
        spans.append(f"{name} {low}" if low == high else f"{name} {low} to {high}")
    where = list(dict.fromkeys(score["data"] for score in scores))
    kind = ", ".join(dict.fromkeys(score["kind"] for score in scores))
    return f"{', '.join(spans)} on {where[0] if len(where) == 1 else f'{len(where)} sets, {kind}'}"


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"
