"""What is shown to people who rate blind, in which order, and the table that they save."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from epistem.core import RecordError, SettingsError

R = TypeVar("R")
_APART = 10


def evenly_chosen(keys: Sequence[Hashable], n: int, rng: np.random.Generator) -> list[int]:
    """Places of n entries, as many of each key as there can be; all where there are not more, in rising order."""
    turn: dict[Hashable, int] = {}
    rank = np.empty(len(keys), int)
    shuffled = rng.permutation(len(keys))
    for i in shuffled.tolist():
        rank[i] = turn[keys[i]] = turn.get(keys[i], -1) + 1
    taken: list[int] = np.sort(shuffled[np.argsort(rank[shuffled], kind="stable")][:n]).tolist()
    return taken


def shown_order(n: int, repeats: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """All of 0…n−1 in random order and a share of them again, each 10 others or more after its first time.

    Args:
        n: how many; with few, repeats follow after half of them.
        repeats: share that is shown twice, 0 to 0.5.
        rng: the order.

    Returns:
        (n + repeated,).

    Raises:
        SettingsError: a share out of range.
    """
    if not 0 <= repeats <= 0.5:
        raise SettingsError(f"the share shown twice lies between 0 and 0.5, not {repeats}")
    apart = min(_APART, n // 2)
    first = rng.permutation(n)
    early = rng.choice(n - apart, min(round(repeats * n), n - apart), replace=False)
    # Between others, at random, in what is left after the distance.
    again = early + apart + 0.5 + np.floor(rng.random(len(early)) * (n - apart - early))
    places = np.concatenate([np.arange(n), again])
    return np.concatenate([first, first[early]])[np.argsort(places, kind="stable")]


def saved_ratings(path: Path, columns: Sequence[str], read: Callable[[dict[str, str]], R]) -> list[R]:
    """The rows of a CSV that a rating page saved.

    Args:
        path: the file.
        columns: those that it has to have.
        read: makes one of a row of texts without space around; its ValueError says what cannot be.

    Raises:
        RecordError: a file that is not there or no such table, or a row that cannot be, with its line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read as ratings ({error}); give the CSV that the page saved") from error
    table = csv.DictReader(io.StringIO(text))
    missing = [name for name in columns if name not in (table.fieldnames or ())]
    if missing:
        raise RecordError(f"{path} has no column {', '.join(missing)}; ratings have {','.join(columns)}")
    found = []
    for row in table:
        try:
            found.append(read({name: (row[name] or "").strip() for name in columns}))
        except ValueError as error:
            raise RecordError(f"{path}, line {table.line_num}: {error}") from error
    return found
