"""Which state of a network is kept: the one that scores highest on images it does not learn from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from epistem.core.errors import SettingsError

PLATEAU = 10  # judgements without gain after which the rate is halved, as torch's ReduceLROnPlateau has it
_LEAST_RATE = 1e-3


@dataclass(frozen=True)
class Judge:
    """How a network is judged while it learns.

    Attributes:
        score: of a network, ready for use; higher is better.
        every: steps between judgements; the last step is judged, too.
        patience: judgements without gain after which the training ends; None never does.

    Raises:
        SettingsError: less than one step or judgement.
    """

    score: Callable[[nn.Module], float]
    every: int
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or (self.patience is not None and self.patience < 1):
            raise SettingsError(f"every and patience are at least 1, not {self.every} and {self.patience}")


@dataclass
class Judged:
    """What the judgements of one training were.

    Attributes:
        scores: (step, score) in order.
        best: weights of `best_step`; None before the first judgement.
    """

    scores: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    @property
    def best_step(self) -> int | None:
        """The first with the highest score, the last while none has one; None before the first judgement."""
        if self._highest() == float("-inf"):
            return self.scores[-1][0] if self.scores else None
        return max(self.scores, key=lambda one: one[1])[0]

    def look(self, judge: Judge, network: nn.Module, weights: Mapping[str, Tensor], step: int) -> float:
        """Judge these weights; a score that is no number is the lowest there is."""
        looked = copy.deepcopy(network)
        looked.load_state_dict(weights)
        with torch.inference_mode():
            score = judge.score(looked.eval())
        score = score if score == score else float("-inf")
        # Without a score the last weights are kept, which have learned the most.
        if score > self._highest() or self._highest() == float("-inf"):
            self.best = {name: value.detach().clone() for name, value in weights.items()}
        self.scores.append((step, score))
        return score

    def waited(self) -> int:
        """Judgements without gain since the best, or since the first while none has a score."""
        scores = [score for _, score in self.scores]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def over(self, judge: Judge) -> bool:
        """Whether patience is at its end."""
        return judge.patience is not None and self.waited() >= judge.patience

    def slowed(self) -> float:
        """Factor of the learning rate after "plateau": halved after every `PLATEAU` judgements without gain."""
        rate, high, waited = 1.0, float("-inf"), 0
        for _, score in self.scores:
            high, waited = (score, 0) if score > high else (high, waited + 1)
            if waited > PLATEAU:
                rate, waited = rate / 2, 0
        return max(rate, _LEAST_RATE)

    def _highest(self) -> float:
        return max((score for _, score in self.scores), default=float("-inf"))

    def state(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return {"scores": [list(one) for one in self.scores], "best": self.best}

    def take(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.scores = [(int(step), float(score)) for step, score in state["scores"]]
        self.best = state["best"]
