"""Where a result came from: enough to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Maker, version, settings, inputs, weights and seed of one result.

    No clock and no host: the same work gives the same Provenance.
    """

    maker: str
    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    weights: str | None = None
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return asdict(self) | {"settings": dict(self.settings), "inputs": list(self.inputs)}
