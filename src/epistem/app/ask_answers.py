"""Every question of a set answered under each condition, and by baselines; each answer is written as it comes.

==========  ======================================================================================
mode        who answers
==========  ======================================================================================
whole       what `epistem ask` is: it measures, reads and declines, and leaves words to the model
words       the model alone
==========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from epistem.app.ask_folder import ANSWERED
from epistem.app.ask_run import answer_on, by_question
from epistem.app.ask_set import as_micrograph, learned_part, learned_scenes, open_picture
from epistem.app.ask_tools import tools_for
from epistem.app.terminal import Bar
from epistem.ask.answer import Speaker, abstains
from epistem.ask.chat import ChatError
from epistem.ask.controls import CONDITIONS, Condition, Shown, another_image, shown_under
from epistem.ask.records import Answered, Figure, Mode, Pair, identity, read_records
from epistem.core import Micrograph, SettingsError

Baseline = Literal["retrieval", "template"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
GIVE_UP = 5
"""Answers in a row that failed: nobody is there."""
_AT_ONCE = 16
_DEFAULT: tuple[Condition, ...] = ("real", "shuffled", "blank")
_IMAGELESS = ("caption-only", "question-only")


class Asking(NamedTuple):
    """How questions are put.

    Attributes:
        mode: who answers.
        larger: the model is one at an endpoint, see `ask_run.answer_on`.
        seed: of the exchange of images.
        quiet: no progress on the terminal.
    """

    mode: Mode = "words"
    larger: bool = False
    seed: int = 0
    quiet: bool = False


def checked(conditions: Sequence[str] | None, mode: Mode) -> tuple[Condition, ...]:
    """The conditions by name; real is always among them.

    Raises:
        SettingsError: a condition that there is not, or one without the image that measuring needs.
    """
    if conditions is None:
        return _DEFAULT
    strange = sorted(set(conditions) - set(CONDITIONS))
    if strange:
        raise SettingsError(f"no condition is called {strange[0]!r}; there is {', '.join(CONDITIONS)}")
    blind = [one for one in _IMAGELESS if one in conditions]
    if blind and mode == "whole":
        raise SettingsError(f"{blind[0]} shows no image, and measuring needs one; add --answer words")
    return tuple(one for one in CONDITIONS if one in conditions or one == "real")


def possible(
    conditions: tuple[Condition, ...], default: bool, figures: Sequence[Figure], seed: int
) -> tuple[tuple[Condition, ...], list[str]]:
    """The conditions that this set allows, and why others are left out; one that was asked for raises instead."""
    if "shuffled" not in conditions:
        return conditions, []
    try:
        another_image(figures, seed=seed)
    except SettingsError as error:
        if not default:
            raise
        return tuple(one for one in conditions if one != "shuffled"), [f"No other image was shown: {error}."]
    return conditions, []


def answer_all(
    figures: dict[str, Figure], pairs: Sequence[Pair], out: Path, conditions: Sequence[Condition],
    speaker: Callable[[bool], Speaker], asking: Asking = Asking(),
) -> tuple[list[Answered], list[str]]:  # fmt: skip
    """Every answer, those that are there already among them, and why others are missing; each is written as it comes.

    Args:
        figures: by id; their pictures lie in `out`.
        speaker: of the trained model, and with True of its untrained twin.

    Raises:
        ChatError: the first five answers in a row failed: nobody is there.
    """
    done, failed = answers_in(out), list[str]()
    with (
        Bar(len(conditions) * len(pairs), quiet=asking.quiet) as bar,
        (out / ANSWERED).open("a", encoding="utf-8") as file,
    ):
        for at, condition in enumerate(conditions):
            model = speaker(condition == "untrained-projector")
            now = (condition, model.name, asking.mode)
            held = {one.pair for one in done if (one.condition, one.model, one.mode) == now}
            bar.stage(condition)
            # The exchange of images is drawn of all questions, or it would change with what is left to do.
            told = shown_under(condition, pairs, figures, lambda one: open_picture(out, one), seed=asking.seed)
            left = ((pair, shown) for pair, shown in told if pair.id not in held)
            count = len(held)
            while batch := list(islice(left, _AT_ONCE)):
                for one in _answered(model, condition, batch, asking, failed):
                    done.append(one)
                    file.write(one.model_dump_json(exclude_defaults=True) + "\n")
                file.flush()
                count += len(batch)
                bar.advance(at * len(pairs) + count, 0, None)
    return done, failed


def answer_baselines(
    names: Sequence[Baseline], folder: Path | None, figures: dict[str, Figure], pairs: Sequence[Pair], out: Path,
    *, quiet: bool,
) -> list[Answered]:  # fmt: skip
    """Every answer in `out`, after the baselines gave theirs to the real images.

    Args:
        names: of baselines.
        folder: the set whose training papers they answer from; None answers from simulated scenes.

    Raises:
        SettingsError: the set has no training papers.
        DependencyMissing: retrieval looks through the assistant's eye, which is not installed.
    """
    done = answers_in(out)
    for name in names:
        if {one.id for one in pairs} <= {one.pair for one in done if one.model == name}:
            continue  # learning takes minutes
        speaker = baseline(name, learned_scenes() if folder is None else learned_part(folder))
        done, _ = answer_all(figures, pairs, out, ("real",), partial(_always, speaker), Asking(quiet=quiet))
    return done


def baseline(name: Baseline, learned: Iterator[tuple[Micrograph, list[Pair]]]) -> Speaker:
    """A baseline that answers from these images and their questions."""
    from epistem.ask.speakers import Retrieval, Template

    if name == "template":
        return Template([pair for _, own in learned for pair in own])
    from epistem.nets.eye import FocusEye

    eye = FocusEye()
    seen = [(eye([micrograph]).mean(axis=1)[0], own) for micrograph, own in learned]
    return Retrieval(
        np.stack([vector for vector, _ in seen]), [own for _, own in seen],
        lambda image: eye([Micrograph(np.asarray(image))]).mean(axis=1)[0],
    )  # fmt: skip


def answers_in(out: Path) -> list[Answered]:
    """What was answered before; nothing where no answer is."""
    return read_records(out / ANSWERED, Answered) if (out / ANSWERED).exists() else []


def _always(speaker: Speaker, _untrained: bool) -> Speaker:
    """A baseline has no untrained twin."""
    return speaker


def _answered(
    model: Speaker, condition: Condition, asked: Sequence[tuple[Pair, Shown]], asking: Asking, failed: list[str]
) -> Iterator[Answered]:
    """Answers as they come; of those that fail, the reason is put to the others."""
    many = getattr(model, "many", None)
    if asking.mode == "words" and many is not None:
        texts = many([(shown.image, shown.text) for _, shown in asked])
        for (pair, _), text in zip(asked, texts, strict=True):
            yield _in_words(model, condition, pair, text)
        return
    in_a_row = 0
    for pair, shown in asked:
        try:
            yield (
                _whole(model, condition, pair, shown, asking.larger)
                if asking.mode == "whole"
                else _in_words(model, condition, pair, "".join(model(shown.image, shown.text)).strip())
            )
            in_a_row = 0
        except ChatError as error:
            failed.append(str(error))
            in_a_row += 1
            if in_a_row == GIVE_UP:
                raise


def _in_words(model: Speaker, condition: Condition, pair: Pair, text: str) -> Answered:
    return Answered(
        id=identity(pair.id, model.name, condition, text), pair=pair.id, model=model.name, question=pair.question,
        text=text, condition=condition, abstained=abstains(text),
    )  # fmt: skip


def _whole(model: Speaker, condition: Condition, pair: Pair, shown: Shown, larger: bool) -> Answered:
    assert shown.image is not None
    assert shown.figure is not None
    micrograph = as_micrograph(shown.image, shown.figure)
    found = answer_on(
        micrograph, pair.question, speaker=model, tools=tools_for(micrograph), strip=by_question(shown.figure.strip),
        larger=larger, pair=pair.id,
    )  # fmt: skip
    # The same words in both modes are two answers.
    name = identity(pair.id, model.name, condition, "whole", found.text)
    return found.model_copy(update={"id": name, "condition": condition, "seconds": None})
