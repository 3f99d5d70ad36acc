"""Two answers side by side, in both orders: what a judge prefers, and how far that is the order's doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from epistem.ask.judge import claim
from epistem.ask.records import Answered, Pair
from epistem.ask.rubrics import Choice, prompt_hash
from epistem.core import Interval, RecordError
from epistem.stats.intervals import binomial_interval
from epistem.stats.resample import cluster_bootstrap


class Comparer(Protocol):
    """Says which of two answers is better, in the order given; None and why where it cannot."""

    name: str

    def better(self, question: str, benchmark: str, first: str, second: str) -> tuple[Choice | None, str]: ...


class Preference(BaseModel):
    """One comparison in one order.

    Attributes:
        pair: id; first, second: ids of the answers in the order they were shown.
        said: which is better; None is unscored and `why` says why.
        prompt: hash of the rubric.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pair: str
    first: str
    second: str
    judge: str
    said: Choice | None
    prompt: str = ""
    why: str = ""


class Preferences(NamedTuple):
    """Both orders together.

    Attributes:
        n: couples of answers with a verdict in both orders; unscored: those without.
        preferred: share of those n in which the first side wins, less that in which the second does: −1 to 1, its
            interval over papers; None with fewer than two papers.
        first_wins, second_wins, ties: of the couples, by side of `compare`; one of which the order decides is a tie.
        flip_rate: share of couples with another verdict in the other order, 0 to 1, lower is better.
        first_position: share of verdicts that are no tie and name what was shown first; 0.5 without bias.
    """

    n: int
    unscored: int
    first_wins: int
    second_wins: int
    ties: int
    preferred: Interval | None
    flip_rate: Interval | None
    first_position: Interval | None


def couples(
    pairs: Sequence[Pair], first: Sequence[Answered], second: Sequence[Answered]
) -> list[tuple[Pair, Answered, Answered]]:
    """Each question to which the two sides claim something else; there is no better one of the same words.

    Args:
        pairs: with the benchmark answers.
        first, second: answers of the two sides, at most one to a pair on each.

    Raises:
        RecordError: an answer to a pair that is not given, or two of one side to the same pair.
    """
    of = {pair.id: pair for pair in pairs}
    sides = []
    for side in (first, second):
        known = [one for one in side if one.pair is not None]
        held = {one.pair: one for one in known}
        if len(held) < len(known) or not set(held) <= set(of):
            raise RecordError("each side gives at most one answer to each of the pairs given")
        sides.append(held)
    both = [(of[name], one, sides[1][name]) for name, one in sides[0].items() if name in sides[1] and name in of]
    return [(pair, one, other) for pair, one, other in both if claim(one) != claim(other)]


def compare(
    asked: Sequence[tuple[Pair, Answered, Answered]], judge: Comparer, *, done: Sequence[Preference] = ()
) -> Iterator[Preference]:
    """Each couple of answers in both orders, as they come.

    Args:
        asked: of `couples`.
        judge: a chat model's.
        done: what was found before; it comes back as it is, and what had no verdict is asked again.
    """
    rubric = prompt_hash("pairwise")
    held = {(one.pair, one.first, one.second): one for one in done
            if one.said and (one.judge, one.prompt) == (judge.name, rubric)}  # fmt: skip
    for pair, one, other in asked:
        for a, b in ((one, other), (other, one)):
            before = held.get((pair.id, a.id, b.id))
            if before is not None:
                yield before
                continue
            said, why = judge.better(pair.question, pair.answer, claim(a), claim(b))
            yield Preference(
                pair=pair.id, first=a.id, second=b.id, judge=judge.name, said=said, prompt=rubric, why=why
            )


def preferences(
    found: Sequence[Preference], side: Callable[[str], bool], paper: Callable[[str], str], *, seed: int = 0
) -> Preferences:
    """What both orders say together.

    Args:
        found: of `compare`, of one judge.
        side: whether the answer of this id is of the first side.
        paper: of a pair's id.
        seed: of the interval over papers.

    Raises:
        RecordError: several judges, or a comparison without its other order.
    """
    if len({one.judge for one in found}) > 1:
        raise RecordError("preferences are of one judge; select one")
    orders: dict[tuple[str, frozenset[str]], list[Preference]] = {}
    for one in found:
        orders.setdefault((one.pair, frozenset((one.first, one.second))), []).append(one)
    if any(len(both) != 2 or both[0].first == both[1].first for both in orders.values()):
        raise RecordError("each comparison has to be there in both orders, once each")
    whole = [both for both in orders.values() if all(one.said for one in both)]
    winners = [[_winner(one) for one in both] for both in whole]
    flips = sum(a != b for a, b in winners)
    # One for the first side, minus one for the second; the order decides none.
    wins = [0 if a != b or a is None else 1 if side(a) else -1 for a, b in winners]
    by_paper: dict[str, list[float]] = {}
    for both, point in zip(whole, wins, strict=True):
        by_paper.setdefault(paper(both[0].pair), []).append(point)
    named = [one.said for one in found if one.said in ("first", "second")]
    return Preferences(
        n=len(whole),
        unscored=len(orders) - len(whole),
        first_wins=wins.count(1),
        second_wins=wins.count(-1),
        ties=wins.count(0),
        preferred=cluster_bootstrap([np.array(one) for one in by_paper.values()], np.mean, seed=seed),
        flip_rate=binomial_interval(flips, len(whole)),
        first_position=binomial_interval(named.count("first"), len(named)),
    )


def _winner(one: Preference) -> str | None:
    return {"first": one.first, "second": one.second}.get(one.said or "")
