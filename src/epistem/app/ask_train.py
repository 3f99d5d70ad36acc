"""What `epistem ask train` does with its words: the assistant trained on a set of questions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from epistem.app.ask_folder import FIGURES, PAIRS, records_of
from epistem.app.terminal import say
from epistem.ask.records import Figure, Pair
from epistem.core import Micrograph, SettingsError

if TYPE_CHECKING:
    import torch

    from epistem.nets.assistant import Assistant, Kind
    from epistem.nets.assistant_fit import Talks
    from epistem.nets.eye import Eye

_QUESTIONS = 4
ContextUse = Literal["keep", "drop"]


def train_assistant(
    folder: Path, out: Path, *, preset: str, start: Path | None, eye: str | None, language: str | None,
    epochs: float | None, pretrain: Path | None, hub: bool, context: ContextUse, as_json: bool,
) -> None:  # fmt: skip
    """Train, write weights and card.

    Args:
        context: "keep" learns questions as they are, "drop" the same ones without the context that was added: a
            control of whether context keeps it from looking.

    Raises:
        SettingsError: a set without pictures or questions of the training split; another eye than the weights had.
    """
    from epistem.nets.assistant import Assistant
    from epistem.nets.assistant_fit import PRESETS, STAGE_1, fit_stage, llava_pretrain
    from epistem.nets.assistant_use import eye_of, load_assistant, save_assistant
    from epistem.nets.eye import ClipEye, FocusEye
    from epistem.nets.language import SMOLLM2, load_language

    figures = {one.id: one for one in records_of(folder, FIGURES, Figure) if one.image}
    pairs = [one for one in records_of(folder, PAIRS, Pair) if one.figure in figures]
    if context == "drop":
        pairs, orphans = without_context(pairs)
        if orphans:
            say(f"{orphans} questions with context are left out: the set does not hold the ones they were made from.")
    if not any(one.split == "train" for one in pairs):
        raise SettingsError(f"no question of split train with a picture in {folder}: run epistem papers questions")
    is_new = eye is not None or language is not None
    if is_new and start is not None:
        raise SettingsError("--from goes on with the eye and language model of its weights; give it alone")
    if is_new:
        looks: Eye = FocusEye() if eye is None else ClipEye(eye, offline=not hub)
        spoken = load_language(language or SMOLLM2, offline=not hub)
        # The published models have one linear layer; the small one that ships has two.
        kind: Kind = "mlp" if preset == "small" else "linear"
        network = Assistant(spoken, eye_width=looks.width, image_tokens=looks.tokens, projector=kind)
    else:
        network, weights = load_assistant(start or "assistant", to_train=True)
        looks = eye_of(weights)
    first, second = PRESETS[preset]
    if epochs is not None:
        second = replace(second, epochs=epochs)

    def told(step: int, of: int, logs: dict[str, float]) -> None:
        if "loss" in logs or "eval_loss" in logs:
            kind = "judged" if "eval_loss" in logs else "loss"
            say(f"step {step} of {of}: {kind} {logs.get('eval_loss', logs.get('loss', float('nan'))):.3f}")

    seen = _Seen(folder, figures, looks)
    if pretrain is not None or is_new:
        captions = llava_pretrain(pretrain, pretrain.parent) if pretrain else [
            (folder / str(one.image), one.caption_panel or one.caption) for one in figures.values()
            if one.split == "train"
        ]  # fmt: skip
        fit_stage(network, _captions(captions, network, looks), first or STAGE_1, out / "stage1", told=told)
    judged = _talks(network, [one for one in pairs if one.split == "validation"], seen)
    trained = [one for one in pairs if one.split == "train"]
    learn = _talks(network, trained, seen)
    fit_stage(
        network, learn, replace(second, patience=3 if len(judged) else 0), out / "stage2", told=told,
        judged=judged if len(judged) else None, save_steps=max(1, len(learn) // second.batch),
    )  # fmt: skip
    log = json.loads((out / "stage2" / "log.json").read_text("utf-8"))
    card = {
        "about": f"An assistant trained with the preset {preset} on {len({one.paper for one in trained})} papers.",
        "data": {"set": folder.name, "questions": len(trained),
                 "licences": sorted({figures[one.figure].paper.licence or "not stated" for one in trained})},
        "licences": {"weights": "as the licences of the data allow"}, "eye": looks.name,
        "language": network.language_name, "preset": preset, "context": context,
        "loss": [row["loss"] for row in log if "loss" in row],
        "loss_judged": [row["eval_loss"] for row in log if "eval_loss" in row],
    }  # fmt: skip
    made = save_assistant(network, out / "assistant.safetensors", looks.name, card, language=language or SMOLLM2,
                          eye_path=eye)  # fmt: skip
    if as_json:
        print(json.dumps({"weights": str(made.path), "hash": made.hash, "loss_judged": card["loss_judged"]}))
    else:
        print(f"Weights: {made.path}")


class _Seen:
    """What the eye makes of each figure, made once."""

    def __init__(self, folder: Path, figures: dict[str, Figure], eye: Eye) -> None:
        self._folder, self._figures, self._eye = folder, figures, eye
        self._known: dict[str, Any] = {}

    def __call__(self, name: str) -> torch.Tensor:
        import torch

        if name not in self._known:
            self._known[name] = torch.from_numpy(
                self._eye([_opened(self._folder / str(self._figures[name].image))])[0]
            )
        found: torch.Tensor = self._known[name]
        return found


def _opened(path: Path) -> Micrograph:
    from PIL import Image

    with Image.open(path) as image:
        return Micrograph(np.asarray(image.convert("L")))


def without_context(pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
    """The questions that context was added to as they were before it, and how many of them are not in the set."""
    asked = {one.id: one.question for one in pairs}
    bare = [
        one
        if one.level == "none"
        else one.model_copy(update={"question": asked[str(one.base)], "level": "none", "attributes": ()})
        for one in pairs
        if one.level == "none" or one.base in asked
    ]
    return bare, len(pairs) - len(bare)


def in_talks(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Up to four questions of an image together, never one question twice: its answer would stand there already."""
    turns: Counter[str] = Counter()
    groups: dict[tuple[str, int], list[Pair]] = {}
    for one in pairs:
        question = one.base or one.id
        groups.setdefault((one.figure, turns[question]), []).append(one)
        turns[question] += 1
    return [own[at : at + _QUESTIONS] for own in groups.values() for at in range(0, len(own), _QUESTIONS)]


def _talks(network: Assistant, pairs: Sequence[Pair], seen: _Seen) -> Talks:
    """Each question once an epoch."""
    from epistem.nets.assistant import Talk, Turn
    from epistem.nets.assistant_fit import Talks

    parts = in_talks(pairs)

    def make(at: int) -> Talk:
        own = parts[at]
        return network.talk([Turn(one.question, one.answer) for one in own], seen(own[0].figure))

    return Talks(make, len(parts))


def _captions(rows: Sequence[tuple[Path, str]], network: Assistant, eye: Eye) -> Talks:
    import torch

    from epistem.nets.assistant import Talk, Turn
    from epistem.nets.assistant_fit import Talks

    def make(at: int) -> Talk:
        path, caption = rows[at]
        return network.talk([Turn("Describe this picture.", caption)], torch.from_numpy(eye([_opened(path)])[0]))

    return Talks(make, len(rows))
