"""A language model's words without the numbers that it made up, sentence by sentence as they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from epistem.ask.mentions import sentences
from epistem.ask.quantities import QUANTITY, plain, quantities

BLANK = "…"
_NUMBERED = re.compile(r"(?m)^\s*(\d+)[.)]\s")
_DIGITS = re.compile(r"-?\d[\d.,]*(?:\s?[×x]\s?10\^?-?\d+)?(?![²³\w])|-?\d+")


def by_sentence(pieces: Iterable[str]) -> Iterator[str]:
    """Whole sentences, each as soon as the next one begins.

    >>> list(by_sentence(["Grains me", "et. There are ", "2 pores."]))
    ['Grains meet.', 'There are 2 pores.']
    """
    text = ""
    for piece in pieces:
        text += piece
        *whole, text_left = sentences(text) or [""]
        if whole:
            yield from whole
            # What has come of the next sentence keeps the space at its end.
            text = text[text.rindex(text_left) :]
    yield from sentences(text)


class Told(NamedTuple):
    """A sentence, and how many numbers of it are not told."""

    text: str
    blanks: int


def without_guesses(sentence: str, known: str) -> Told:
    """The sentence with … for every number, in digits or words, that is not among what is known; a list's own stay.

    >>> without_guesses("It holds 11 pores, annealed at 700 °C.", "annealed at 700 °C").text
    'It holds … pores, annealed at 700 °C.'
    """
    backed = {(one.low, one.high, one.dimension) for one in quantities(known)}
    text, blanks = plain(sentence), 0
    own = {found.end(1) - len(found[1]) for found in _NUMBERED.finditer(text)}
    # From the end, so that what is before keeps its place.
    for start, alike in reversed([(one.start, one) for one in quantities(text)]):
        if start not in own and (alike.low, alike.high, alike.dimension) not in backed:
            text, blanks = text[:start] + _blanked(text[start:]), blanks + 1
    return Told(text, blanks) if blanks else Told(sentence, 0)


def _blanked(text: str) -> str:
    """The number that the text begins with, a range at both ends, as …; its unit and all that follows stay."""
    said = QUANTITY.match(text)
    if said is None:
        return re.sub(r"^\w+", BLANK, text)
    return _DIGITS.sub(BLANK, said[0]) + text[said.end() :]
