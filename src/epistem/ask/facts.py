"""What an answer says: which words it affirms, denies or hedges, with which numbers, and whether it abstains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from epistem.ask.quantities import Quantity, plain, quantities
from epistem.ask.vocabulary import (
    ABSTAIN,
    ADJUNCT,
    ANY_DEFECT,
    COMMON,
    DEFECTS,
    DENY,
    DENY_BEFORE,
    EXISTS,
    FUNCTION,
    HEDGE,
    OPPOSITES,
    PLACE,
    TALK,
    VERB,
    lemma,
)

State = Literal["present", "absent", "needs_more_info", "unclear", "silent"]

COMMON_WEIGHT = 0.3
"""What a word that most micrographs share counts beside one that few do."""
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_CHUNK = re.compile(
    r"\s*(?:[,:()]|\s[–—-]\s)\s*|\s+(?=(?:but|however|although|though|whereas|while|yet|except|despite)\b)"
    r"|\s+(?=and (?:the|it|they|there|is|are|has|have|shows?)\b)|\s+(?=only\b)"
)
_TURN = re.compile(r"^(?:but|however|although|though|whereas|while|yet|except|despite|only)\b")
_WORD = re.compile(r"[^\W\d_][\w]*")
_LEAD = re.compile(r"^\W*(yes|no)\b(?=\W*(?:[,.;:!–—-]|$))", re.I)


class Claim(NamedTuple):
    """One content word and how it was said."""

    lemma: str
    affirmed: bool
    hedged: bool
    sentence: int


@dataclass(frozen=True)
class Reading:
    """An answer as a judge without a language model reads it.

    Attributes:
        claims: every content word, in order.
        numbers: every number, with the sentence it stands in.
        sentences: as split.
        lead: "yes" or "no" where a sentence begins so.
        unsure: sentences which say that something cannot be told.
    """

    claims: tuple[Claim, ...]
    numbers: tuple[tuple[int, Quantity], ...]
    sentences: tuple[str, ...]
    lead: str | None
    unsure: frozenset[int]

    @property
    def abstains(self) -> bool:
        """Whether most of it says that the question cannot be answered."""
        return bool(self.unsure) and 2 * sum(one.sentence in self.unsure for one in self.claims) >= len(self.claims)

    def stance(self) -> dict[str, set[bool]]:
        """Of each word: whether it was affirmed, denied, or both."""
        found: dict[str, set[bool]] = {}
        for claim in self.claims:
            found.setdefault(claim.lemma, set()).add(claim.affirmed)
        return found

    def words(self, sentence: int | None = None) -> set[str]:
        """Content words of one sentence, or of all."""
        return {claim.lemma for claim in self.claims if sentence in (None, claim.sentence)}


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """What a text says, sentence by sentence.

    >>> reading = read("The grains are round. No cracks are visible.")
    >>> [(one.lemma, one.affirmed) for one in reading.claims]
    [('grain', True), ('spherical', True), ('crack', False)]
    """
    said = plain(text).strip()
    sentences = tuple(one for one in _SENTENCE.split(said) if one.strip())
    claims = tuple(claim for i, one in enumerate(sentences) for claim in _claims(one, i))
    numbers = tuple((i, number) for i, one in enumerate(sentences) for number in quantities(one))
    leads = [one[1].lower() for one in map(_LEAD.match, sentences) if one]
    unsure = frozenset(i for i, one in enumerate(sentences) if ABSTAIN.search(one.lower()))
    return Reading(claims, numbers, sentences, leads[0] if leads else None, unsure)


def to_the_point(reading: Reading, about: set[str]) -> Reading:
    """A reading without the sentences that share next to nothing with what it should be about: mere padding.

    Args:
        reading: of an answer.
        about: words of question and benchmark.
    """
    kept = {i for i in range(len(reading.sentences)) if i in reading.unsure or _pertinent(reading.words(i), about)}
    claims = tuple(one for one in reading.claims if one.sentence in kept)
    numbers = tuple(one for one in reading.numbers if one[0] in kept)
    return replace(reading, claims=claims, numbers=numbers)


def _pertinent(words: set[str], about: set[str]) -> bool:
    # One word of many is shared by chance: "the points above" with a benchmark on weak points.
    shared = sum(weight(word) for word in words & about)
    return not words or shared >= 2 or 3 * shared > sum(weight(word) for word in words)


def weight(word: str) -> float:
    """How much a word tells: 1, or less where most micrographs share it."""
    return COMMON_WEIGHT if word in COMMON else 1.0


def opposed(one: Reading, other: Reading) -> list[str]:
    """What both speak of and say the contrary of: affirmed here and denied there, or opposite words of one thing."""
    ours, theirs = one.stance(), other.stance()
    found = [
        word
        for word in ours
        if word in theirs and len(ours[word]) == len(theirs[word]) == 1 and ours[word] != theirs[word]
    ]
    for word in ours:
        for contrary in OPPOSITES.get(word, frozenset()) & set(theirs):
            if word in theirs or contrary in ours or ours[word] != {True} or theirs[contrary] != {True}:
                continue
            if _heads(one, word) & _heads(other, contrary):
                found.append(word)
    return found


def alike_numbers(one: Reading, other: Reading) -> list[Quantity]:
    """Numbers of `one` that `other` says too, of the same thing."""
    return [
        ours
        for i, ours in one.numbers
        if any(ours.alike(theirs) and _same_thing(one, i, other, j) for j, theirs in other.numbers)
    ]


def mismatched(one: Reading, other: Reading) -> list[tuple[Quantity, Quantity]]:
    """Numbers of one thing that differ, after conversion of units: each of `one` with what `other` says instead."""
    mine = [(i, q) for i, q in one.numbers if not any(q.alike(p) for _, p in other.numbers)]
    left = [(i, q) for i, q in other.numbers if not any(q.alike(p) for _, p in one.numbers)]
    found = []
    for i, ours in mine:
        for j, theirs in left:
            if ours.differs(theirs) and _same_thing(one, i, other, j):
                found.append((ours, theirs))
                left.remove((j, theirs))
                break
    return found


def defect_state(question: str, text: str) -> State:
    """Whether a text says that the defect asked for is there; any defect where the question names none.

    Returns:
        "present", "absent", "needs_more_info" where it abstains, "unclear" where it only hedges, "silent" where it
        speaks of no such thing.
    """
    reading = read(text)
    asked = (read(question).words() & DEFECTS) - ANY_DEFECT
    if reading.abstains:
        return "needs_more_info"
    about = [one for one in reading.claims if one.lemma in (asked or DEFECTS)]
    if not about and asked:
        # "No defects are visible" denies cracks as well; "pores are visible" says nothing of them.
        about = [one for one in reading.claims if one.lemma in ANY_DEFECT and not one.affirmed]
    firm = {one.affirmed for one in about if not one.hedged}
    if True in firm:
        return "present"
    if any(one.hedged for one in about):
        return "unclear"
    if firm:
        return "absent"
    return {"yes": "present", "no": "absent", None: "silent"}[reading.lead]  # type: ignore[return-value]


def asks_of_absence(question: str) -> bool:
    """Whether the question itself says that a defect is absent."""
    stance = read(question).stance()
    return any(word in DEFECTS and said == {False} for word, said in stance.items())


def _same_thing(one: Reading, i: int, other: Reading, j: int) -> bool:
    """Whether sentence i and sentence j share a word that tells, or one of them is a bare number."""
    ours, theirs = one.words(i), other.words(j)
    return not ours or not theirs or bool((ours & theirs) - COMMON) or ours <= COMMON or theirs <= COMMON


def _heads(reading: Reading, word: str) -> set[str]:
    """What a word is said of: the other content words of its sentences."""
    at = {one.sentence for one in reading.claims if one.lemma == word}
    return {one.lemma for one in reading.claims if one.sentence in at} - {word} - OPPOSITES.get(word, frozenset())


def _claims(sentence: str, number: int) -> Iterator[Claim]:
    text = ADJUNCT.sub("", sentence.lower())
    carried = False
    chunks = [chunk for chunk in _CHUNK.split(text) if chunk and chunk.strip()]
    for chunk, reach in zip(chunks, _denied_behind(chunks), strict=True):
        # "No cracks, pores or voids": what was denied goes on until a new statement begins.
        goes_on = carried and not _TURN.match(chunk) and (not VERB.search(chunk) or chunk.startswith(("or ", "nor ")))
        denials = [one.end() for one in DENY.finditer(chunk)]
        if _LEAD.match(sentence) and chunk == chunks[0] and len(chunk.split()) == 1:
            denials = []
        content = [one for one in _WORD.finditer(chunk) if _tells(one[0]) and one.start() >= (denials or [0])[0]]
        places = [one.start() for one in PLACE.finditer(chunk)]
        hedges = [(one.start(), _whole(chunk, one)) for one in HEDGE.finditer(chunk)]
        for word in _WORD.finditer(chunk):
            if not _tells(word[0]):
                continue
            before = [at for at in denials if at <= word.start()]
            # "not free of": two denials side by side affirm.
            twice = len(before) > 1 and len(chunk[before[-2] : before[-1]].split()) <= 2 and "free" in chunk
            placed = any(any(e.start() < at for e in content) for at in places if at < word.start())
            denied = ((bool(before) and not twice) or word.start() < reach) and not placed
            denied = denied or goes_on
            denied = denied or chunk.startswith("-free", word.end())
            hedged = any(start < word.start() or whole for start, whole in hedges)
            yield Claim(lemma(word[0]), not denied or _ruled_out(chunk), hedged, number)
        carried = bool(denials) or goes_on


def _tells(word: str) -> bool:
    return len(word) > 1 and word not in FUNCTION and lemma(word) not in TALK


def _whole(chunk: str, hedge: re.Match[str]) -> bool:
    """Whether a hedge holds for what stands before it too: "cracks may be present", not "the cracks may be old"."""
    return bool(EXISTS.match(chunk, hedge.end())) or _ruled_out(hedge[0])


def _ruled_out(text: str) -> bool:
    return "cannot be ruled out" in text or "cannot be excluded" in text


def _denied_behind(chunks: list[str]) -> list[int]:
    """For each chunk, the place before which words are denied by what follows: "cracks are not visible"."""
    found = []
    later = False
    for chunk in reversed(chunks):
        ends = [one.start() for one in DENY_BEFORE.finditer(chunk)]
        whole = later and not VERB.search(chunk) and not _TURN.match(chunk)
        found.append(len(chunk) if whole else max(ends, default=0))
        later = bool(ends) or whole
    return found[::-1]
