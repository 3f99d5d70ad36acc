"""Whether a question can be answered by looking at one image: learned from questions, beside the rules of `intents`.

A logistic regression on MiniLM's vectors of questions that were written for it (scripts/decline_*.json);
`python scripts/make_decline.py` makes it again. Without MiniLM only the rules speak.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import DependencyMissing


class Decliner(NamedTuple):
    """Weights of the regression, and the probability from which on a question is declined."""

    weights: NDArray[np.float32]
    bias: float
    threshold: float


def chance_unanswerable(question: str) -> float | None:
    """How likely it is that no single image answers the question, 0 to 1; None without MiniLM."""
    try:
        from epistem.nets.texts import embed

        vector = embed([question])[0]
    except (DependencyMissing, ImportError):
        return None
    known = shipped()
    return float(1 / (1 + np.exp(-(vector @ known.weights + known.bias))))


def is_unanswerable(question: str) -> bool:
    """Whether to decline; False where nothing is known."""
    chance = chance_unanswerable(question)
    return chance is not None and chance >= shipped().threshold


@cache
def shipped() -> Decliner:
    """What comes with the package."""
    with np.load(BytesIO(files("epistem.ask").joinpath("shipped", "decline.npz").read_bytes())) as kept:
        return Decliner(kept["weights"], float(kept["bias"]), float(kept["threshold"]))
