"""`epistem atoms init`, `classify`, `simulate`, `train`, `evaluate`, `rate`, `agree`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from epistem.app.options import Cluster, Device, Json, Workers
from epistem.app.terminal import SOME_FAILED

atoms = typer.Typer(help="What every atomic column of a doped dichalcogenide monolayer is.", no_args_is_help=True)


class Network(StrEnum):
    """What is trained."""

    attention = "attention"
    image_only = "image-only"
    concat = "concat"
    film = "film"
    cnn_film = "cnn-film"


Images = Annotated[
    list[Path], typer.Argument(help="The image of one detector, or of two that recorded at once.", readable=False)
]
ContextPath = Annotated[
    Path | None, typer.Option("--context", "-c", help="What is known, as `epistem atoms init` writes it.")
]
HostName = Annotated[str | None, typer.Option("--host", help="The crystal: WSe2, MoS2, …; wins over the file.")]
Dopants = Annotated[
    list[str] | None, typer.Option("--dopant", help="A metal that may stand on metal sites; may be repeated.")
]
Model = Annotated[
    Path | None, typer.Option("--model", "-m", help="Weights of `epistem atoms train`; else the shipped ones.")
]
PixelSize = Annotated[str | None, typer.Option(help="Overrules the file: '0.04', '0.4 Å'.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Seed = Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")]


@atoms.command()
def init(
    images: Images,
    host: HostName = None,
    dopant: Dopants = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("context.yaml"),
) -> None:
    """Write a context.yaml with what the files say, to be completed by hand."""
    from epistem.app.atoms_context import context_text
    from epistem.app.atoms_images import read_field
    from epistem.core import SettingsError
    from epistem.core.files import write_text

    if out.exists():
        raise SettingsError(f"{out} is there already; choose another --out or delete it")
    write_text(out, context_text(read_field(images), host=host, dopants=dopant))
    print(f"Context: {out}")


@atoms.command()
def classify(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="The image of one detector, of two that recorded at once, or a folder of images.", readable=False
        ),
    ],
    out: Out,
    context: ContextPath = None,
    host: HostName = None,
    dopant: Dopants = None,
    pixel_size: PixelSize = None,
    model: Model = None,
    what_if: Annotated[bool, typer.Option(help="Ask again with less and with wrong metadata.")] = True,
    as_json: Json = False,
) -> None:
    """Say what every atomic column is, and how sure: tables, overlay and report.

    In a folder, each image is a field of its own.
    """
    from epistem.app.atoms_run import classify_folder, classify_images

    asked: dict[str, Any] = {
        "context": context, "host": host, "dopants": dopant, "pixel_size": pixel_size, "model": model,
        "what_if": what_if, "as_json": as_json,
    }  # fmt: skip
    if len(images) == 1 and images[0].is_dir():
        failed = classify_folder(images[0], out, **asked)
    else:
        failed = classify_images(images, out, **asked)
    if failed:
        raise typer.Exit(SOME_FAILED)


@atoms.command()
def simulate(
    out: Out,
    spec: Annotated[
        Path | None, typer.Argument(help="What the fields are drawn from, YAML or JSON.", readable=False)
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Without a file: WSe2 with four dopants, at 80 kV.")
    ] = False,
    fields: Annotated[int, typer.Option(min=1, help="How many fields.")] = 1,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="One small cell by multislice beside the fast renderer; takes minutes."),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Make images with known atoms: electron counts, truth, context and a picture of each field.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.atoms_run import simulate_fields

    if simulate_fields(
        spec,
        out,
        example=example,
        fields=fields,
        with_reference=reference,
        workers=workers,
        cluster=cluster,
        as_json=as_json,
    ):
        raise typer.Exit(SOME_FAILED)


@atoms.command()
def train(
    spec: Annotated[Path, typer.Argument(help="What the fields are drawn from, YAML or JSON.", readable=False)],
    out: Out,
    steps: Annotated[int, typer.Option(min=1, help="Of 8 fields each.")] = 2000,
    kind: Annotated[
        Network, typer.Option(help="The context-attention network, or one it is compared with.")
    ] = Network.attention,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = 1.5e-3,
    fields: Annotated[int, typer.Option(min=2, help="That it is calibrated on.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of new weights and samples.")] = 0,
    device: Device = None,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Train a classifier on fields that are simulated as it learns, and calibrate it on others.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.atoms_run import train_network

    train_network(
        spec, out, steps=steps, kind=kind.value, learning_rate=learning_rate, fields=fields, seed=seed, device=device,
        workers=workers, as_json=as_json,
    )  # fmt: skip


@atoms.command()
def evaluate(
    images: Images,
    truth: Annotated[
        Path,
        typer.Option(help="CSV with row and col (or x and y) and label, or .npz with xy and label.", readable=False),
    ],
    labels: Annotated[str | None, typer.Option(help="What other labels mean: '0=W,1=Ti on W,2=Se2,3=V_Se'.")] = None,
    context: ContextPath = None,
    host: HostName = None,
    dopant: Dopants = None,
    pixel_size: PixelSize = None,
    model: Model = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Hold a classification against labels: κ, precision and recall, calibration, with intervals by blocks.

    Labels: W and Se2 for the host, Ti on W (or Ti), V_Se, V_Se2, V_W, or M, X2, D_M, V_X, V_X2, V_M; others are
    counted and left out.
    """
    from epistem.app.atoms_run import evaluate_images

    failed = evaluate_images(
        images, truth, labels=labels, context=context, host=host, dopants=dopant, pixel_size=pixel_size, model=model,
        seed=seed, as_json=as_json,
    )  # fmt: skip
    if failed:
        raise typer.Exit(SOME_FAILED)


@atoms.command()
def rate(
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write, .html.")],
    context: ContextPath = None,
    host: HostName = None,
    dopant: Dopants = None,
    pixel_size: PixelSize = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Columns that are asked for.")] = 200,
    by_model: Annotated[
        bool, typer.Option(help="As many of each label of the classifier; else at random. The page shows neither.")
    ] = True,
    model: Model = None,
    seed: Seed = 0,
) -> None:
    """Write one page on which a person says what columns are, blind, some of them twice; it saves a CSV."""
    from epistem.app.atoms_run import rating_page

    if rating_page(
        images, out, context=context, host=host, dopants=dopant, pixel_size=pixel_size, n=n, by_model=by_model,
        model=model, seed=seed,
    ):  # fmt: skip
        raise typer.Exit(SOME_FAILED)


@atoms.command()
def agree(
    ratings: Annotated[list[Path], typer.Argument(help="CSV files that the page saved.", readable=False)],
    columns: Annotated[
        Path | None, typer.Option(help="columns.csv of `epistem atoms classify` on the same image.", readable=False)
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """How far raters agree with themselves, with each other, and with the classifier."""
    from epistem.app.atoms_run import tell_agreement

    tell_agreement(ratings, columns, seed=seed, as_json=as_json)
