"""A language model's words without the numbers that it made up, sentence by sentence as they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from epistem.ask.mentions import sentences
from epistem.ask.quantities import quantities

_NUMBERED = re.compile(r"(?m)^\s*\d+[.)]\s")


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


def has_guess(sentence: str, known: str) -> bool:
    """Whether it holds a number, in digits or words, that is not among what is known; a list's own do not count.

    >>> has_guess("It holds 11 pores.", "annealed at 700 °C"), has_guess("Annealing at 700 °C made Al2O3.", "700 °C")
    (True, False)
    """
    backed = {(one.low, one.high, one.dimension) for one in quantities(known)}
    said = quantities(_NUMBERED.sub("", sentence))
    return any((one.low, one.high, one.dimension) not in backed for one in said)
