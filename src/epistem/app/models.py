"""What weights there are: those that ship, by the fronts of their cards, and a person's own, by their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from epistem.app.card_front import read_front
from epistem.core import RecordError, UnknownName

PACKAGE = Path(__file__).parents[1]
FOLDERS = tuple(PACKAGE / job / "shipped" for job in ("nets", "trust", "atoms", "ask"))
# What runs comes first: its hash is the identity that every Provenance has.
SUFFIXES = (".safetensors", ".npz", ".onnx")


@dataclass(frozen=True)
class Model:
    """Weights with their card.

    Attributes:
        name: they go by.
        files: the weights; the first is what the hash is of.
        card: as a page, with its front.
        front: of that page.
    """

    name: str
    files: tuple[Path, ...]
    card: str
    front: Mapping[str, Any] = field(repr=False)

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the first file."""
        return hashlib.sha256(self.files[0].read_bytes()).hexdigest()[:16]

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def said(self) -> Mapping[str, Any]:
        """What the front says for epistem: name, job, network, licence, trained_on."""
        return dict(self.front.get("epistem") or {})

    @property
    def scores(self) -> list[dict[str, Any]]:
        """One a score: `data` and its `kind` (simulated or own images), `name`, `value`."""
        return [
            {
                "data": result["dataset"]["name"],
                "kind": result["dataset"]["type"],
                "name": metric["type"],
                "value": metric["value"],
            }
            for index in self.front.get("model-index") or []
            for result in index["results"]
            for metric in result["metrics"]
        ]

    def as_record(self) -> dict[str, Any]:
        """For JSON: all but the page."""
        facts = {name: self.said.get(name) for name in ("job", "network", "licence", "trained_on")}
        files = {file.name: file.stat().st_size for file in self.files}
        return {"name": self.name, **facts, "files": files, "hash": self.hash, "scores": self.scores}


def shipped_models() -> list[Model]:
    """All weights that come with epistem, in the order of their names.

    Raises:
        RecordError: a card without a front.
    """
    cards = [card for folder in FOLDERS for card in folder.glob("*.md")]
    return sorted((_shipped(card) for card in cards), key=lambda model: model.name)


def find_model(name: str) -> Model:
    """Weights by the name under which they ship; else by path: a .safetensors file, or a run or job of the bench.

    Raises:
        UnknownName: no such weights ship, and nothing lies there.
        RecordError: the file cannot be read as weights.
    """
    there = {model.name: model for model in shipped_models()}
    if name in there:
        return there[name]
    path = Path(name)
    if not path.exists():
        raise UnknownName(f"no weights ship as {name!r} and no file is there; these ship: {', '.join(there)}")
    return own_model(path)


def own_model(path: Path, licence: str | None = None) -> Model:
    """A person's own weights; `licence` is the SPDX name under which they give them."""
    from epistem.app.card import card_text
    from epistem.nets.weights import open_weights

    if path.is_dir():
        from epistem.app.segment import model_file

        path, _ = model_file(path)
    weights = open_weights(path)
    text = card_text(weights, weights.card, licence=licence)
    files = (path, weights.onnx) if weights.onnx.is_file() else (path,)
    front = read_front(text, path.name)
    return Model(front["epistem"]["name"], files, text, front)


def _shipped(card: Path) -> Model:
    text = card.read_text("utf-8")
    front = read_front(text, card.name)
    files = tuple(file for suffix in SUFFIXES if (file := card.with_suffix(suffix)).is_file())
    if not files or "name" not in dict(front.get("epistem") or {}):
        raise RecordError(f"{card} is no card of weights beside it; run scripts/card_fronts.py, or install again")
    return Model(front["epistem"]["name"], files, text, front)
