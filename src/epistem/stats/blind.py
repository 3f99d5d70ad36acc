"""What is shown to people who rate blind, and in which order."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from epistem.core import SettingsError

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
