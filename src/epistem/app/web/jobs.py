"""What the page can have done: one entry a job, run by a worker in the room it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Room
from epistem.core import Table


class Told(Protocol):
    """Is told what is under way and, where that is known, the share that is done."""

    def __call__(self, words: str, share: float | None = None) -> None: ...


@dataclass(frozen=True)
class Bench:
    """Where a job is done.

    Attributes:
        room: its files.
        item: id of the image it is about, or None.
        what: its settings, as the page sent them: to be checked.
        limits: of the page.
        told: is told how far it is.
    """

    room: Room
    item: str | None
    what: Mapping[str, Any]
    limits: Limits
    told: Told


Work = Callable[[Bench], Any]
"""What it returns is kept as the job's result, as JSON; files go to the room."""

JOBS: Table = Table(
    "job",
    {
        "detect": "epistem.app.web.detect:run",
        "segment": "epistem.app.web.segment:run",
        "explain": "epistem.app.web.segment:explain_region",
        "atoms_read": "epistem.app.web.atoms:read",
        "atoms": "epistem.app.web.atoms:run",
        "measure": "epistem.app.web.measured:measure",
        "results": "epistem.app.web.measured:results",
        "next": "epistem.app.web.label_first:run",
        "train": "epistem.app.web.train:run",
        "forecast": "epistem.app.web.forecasts:run",
        "ask": "epistem.app.web.ask:run",
        "bench_init": "epistem.app.web.bench:init",
        "bench": "epistem.app.web.bench:run",
    },
)
LONG = frozenset({"train", "forecast", "bench"})
"""Jobs of the lane that may take hours."""


def lane_of(kind: str) -> str:
    """Which workers do it."""
    return "long" if kind in LONG else "quick"


def limit_s(lane: str, limits: Limits) -> float:
    """How long it may take [s]."""
    return limits.long_job_s if lane == "long" else limits.job_s


def without_paths(why: str, room: Room) -> str:
    """Words for the page: files by their names, not by where they lie on the server."""
    text = " ".join(why.split())
    for folder in sorted((str(one) for one in _folders(room)), key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return text


def _folders(room: Room) -> list[Path]:
    return [room.folder, room.results, *(room.folder / "items").glob("*"), *(room.folder / "runs").glob("*")]
