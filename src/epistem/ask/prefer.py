"""Two answers side by side, in both orders: what a judge prefers, and how far that is the order's doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from epistem.ask.records import Answered, Pair
from epistem.ask.rubrics import Choice, prompt_hash
from epistem.core import Interval, RecordError
from epistem.stats.intervals import binomial_interval


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
        first_wins, second_wins, ties: of the couples, by side of `compare`; one of which the order decides is a tie.
        flip_rate: share of couples with another verdict in the other order, 0 to 1, lower is better.
        first_position: share of verdicts that are no tie and name what was shown first; 0.5 without bias.
    """

    n: int
    unscored: int
    first_wins: int
    second_wins: int
    ties: int
    flip_rate: Interval | None
    first_position: Interval | None


def compare(
    pairs: Sequence[Pair], first: Sequence[Answered], second: Sequence[Answered], judge: Comparer
) -> Iterator[Preference]:
    """Each question that both sides answered, in both orders, as they come.

    Args:
        pairs: with the benchmark answers.
        first, second: answers of the two sides, at most one to a pair on each.
        judge: a chat model's.

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
    for name, one in sides[0].items():
        if name not in sides[1] or name is None:
            continue
        for a, b in ((one, sides[1][name]), (sides[1][name], one)):
            said, why = judge.better(of[name].question, of[name].answer, a.text, b.text)
            yield Preference(
                pair=name,
                first=a.id,
                second=b.id,
                judge=judge.name,
                said=said,
                prompt=prompt_hash("pairwise"),
                why=why,
            )


def preferences(found: Sequence[Preference], side: Callable[[str], bool]) -> Preferences:
    """What both orders say together.

    Args:
        found: of `compare`, of one judge.
        side: whether the answer of this id is of the first side.

    Raises:
        RecordError: several judges, or a comparison without its other order.
    """
    if len({one.judge for one in found}) > 1:
        raise RecordError("preferences are of one judge; select one")
    couples: dict[tuple[str, frozenset[str]], list[Preference]] = {}
    for one in found:
        couples.setdefault((one.pair, frozenset((one.first, one.second))), []).append(one)
    if any(len(both) != 2 or both[0].first == both[1].first for both in couples.values()):
        raise RecordError("each comparison has to be there in both orders, once each")
    whole = [[_winner(one) for one in both] for both in couples.values() if all(one.said for one in both)]
    flips = sum(a != b for a, b in whole)
    agreed = [a if a == b else None for a, b in whole]
    wins = [side(one) for one in agreed if one is not None]
    named = [one.said for one in found if one.said in ("first", "second")]
    return Preferences(
        n=len(whole),
        unscored=len(couples) - len(whole),
        first_wins=sum(wins),
        second_wins=len(wins) - sum(wins),
        ties=len(agreed) - len(wins),
        flip_rate=binomial_interval(flips, len(whole)),
        first_position=binomial_interval(named.count("first"), len(named)),
    )


def _winner(one: Preference) -> str | None:
    return {"first": one.first, "second": one.second}.get(one.said or "")
