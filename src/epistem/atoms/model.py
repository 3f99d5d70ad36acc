"""A trained classifier with all that turns its logits into posteriors: temperatures, thresholds of sets, its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Described
from epistem.atoms.encode import encode
from epistem.atoms.kernels import Bank
from epistem.core.errors import RecordError
from epistem.nets.weights import Weights, open_weights, save_weights
from epistem.stats.posterior import PredictionSets

Floats = NDArray[np.float64]
SHIPPED = "atoms-context"
NETWORK = "context-classifier"


class AtomModel:
    """A classifier ready to be asked.

    Args:
        network: from `learn.build`.
        temperature: of role and element logits.
        threshold: of the conformal sets over roles, at `coverage`.
        coverage: of the sets, on simulated columns with roles as often as in calibration.
        identity: hash of the weights, for provenance.
        card: data, seed, scores and licences.
    """

    def __init__(
        self, network: Any, *, temperature: tuple[float, float] = (1.0, 1.0), threshold: float = 1.0,
        coverage: float = 0.9, identity: str = "untrained", card: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.temperature = network.eval(), temperature
        self.threshold, self.coverage = threshold, coverage
        self.identity, self.card = identity, dict(card or {})

    @classmethod
    def load(cls, name: str | Path = SHIPPED) -> AtomModel:
        """The shipped classifier, or one from its file.

        Raises:
            RecordError: the file is no classifier of columns.
            DependencyMissing: without the extra `nets`.
        """
        weights = open_weights(name)
        if weights.network != NETWORK:
            raise RecordError(f"{weights.path.name} holds a {weights.network}, not a classifier of atomic columns")
        import torch

        from epistem.atoms.learn import build

        settings = weights.settings
        network = build(settings["kind"])
        network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.tensors().items()})
        return cls(
            network, temperature=tuple(settings["temperature"]), threshold=settings["threshold"],
            coverage=settings["coverage"], identity=weights.hash, card=weights.card,
        )  # fmt: skip

    def save(self, path: Path, card: Mapping[str, Any]) -> Weights:
        """Write weights, settings and card."""
        settings = {
            "kind": self.network.kind, "temperature": list(self.temperature), "threshold": self.threshold,
            "coverage": self.coverage,
        }  # fmt: skip
        tensors = {name: value.numpy() for name, value in self.network.state_dict().items()}
        return save_weights(path, tensors, network=NETWORK, settings=settings, min_score=0.0, card=card)

    @cached_property
    def trained_shares(self) -> Floats:
        """(6,) how often each role was seen in training: all the same, by weight."""
        return np.full(len(ROLES), 1 / len(ROLES))

    def posterior(self, seen: Described, context: AtomContext, bank: Bank) -> tuple[Floats, Floats, Floats]:
        """(n, 6) roles, (n, 6, 20) roles with element, (n, 64) embedding, for roles that are equally frequent."""
        from epistem.atoms.learn import columns_of, posterior

        known = encode(context, bank)
        role, element, embedding = self.network.predict(columns_of(seen, known))
        return *posterior(role, element, known.allowed, temperature=self.temperature), np.asarray(
            embedding, np.float64
        )

    def not_learned(self, context: AtomContext) -> list[str]:
        """What of this context lies outside the fields that were learned from, a sentence each; none if unknown."""
        fields = self.card.get("fields")
        if not fields:
            return []
        settings = fields["settings"]
        found = []
        for value, low, high, what in (
            (context.keV, *_ends(one["keV"] for one in settings), "keV"),
            (context.semiangle_mrad, *_ends(one["semiangle_mrad"] for one in settings), "mrad of semi-angle"),
            (context.pixel_A, *fields["pixel_A"], "Å a pixel"),
            (context.dose_e_per_A2, *fields["dose_e_per_A2"], "e/Å²"),
        ):
            if value is not None and not 0.999 * low <= value <= 1.001 * high:
                span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                found.append(
                    f"The classifier has learned at {span} {what}, not at {value:g}: its probabilities are untested"
                )
        return found

    def sets(self, role: Floats) -> NDArray[np.bool_]:
        """(n, 6) roles that are not ruled out."""
        return PredictionSets("LAC", self.threshold, self.coverage).sets(role)


def _ends(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    return min(known), max(known)
