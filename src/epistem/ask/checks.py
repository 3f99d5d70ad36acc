"""What a pair of question and answer must hold before it is kept; no model is asked.

==================  =================================================================================
length              the answer has as many sentences and signs as the rules want
abbreviation        neither question nor answer has one that a reader would have to know
sample_name         neither has a name that only the paper gives ("S1", "glass B")
reference           neither speaks of the paper, a figure or a caption
given_away          the answer is not in the question
evidence            every piece is in the paper's text, word for word or nearly (≥ 90 of 100)
numbers             every number of the answer is in its evidence or its question
category            question, answer or evidence use a word of the category
duplicate           no pair kept before has the same answer, or says nearly the same (cosine of TF-IDF ≤ 0.9)
==================  =================================================================================

Pairs on what an image cannot tell, and those of simulated scenes, have no evidence in a text and need none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.ask.mentions import sentences
from epistem.ask.quantities import Quantity, quantities
from epistem.ask.records import Figure, Pair
from epistem.ask.support import supports
from epistem.ask.vocabulary import FUNCTION, lemma
from epistem.ask.wording import abbreviations, sample_names

CHECKS = (
    "length", "abbreviation", "sample_name", "reference", "given_away", "evidence", "numbers", "category", "duplicate"
)  # fmt: skip
NUMBER_TOLERANCE = 0.005  # relative: what rounding of the last digit of three leaves
Encode = Callable[[Sequence[str]], ArrayLike]
_REFERENCE = re.compile(
    r"\b(?:figs?\b\.?|figures?\b|captions?\b|(?:the study|(?:this|present|our) (?:study|work|research))\b"
    r"|papers?\b(?! (?:fib|pulp|sheet|surface))|articles?\b|authors?\b|manuscript\b|et al\b|tables? [\dIVX]+\b"
    r"|supporting information|supplementary|according to the text|the text (?:says|states)|ref\. ?\d)",
    re.IGNORECASE,
)
_PLAIN = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "μ": "µ"}
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


@dataclass(frozen=True)
class Rules:
    """Limits of the checks.

    Attributes:
        fewest_sentences, fewest_signs: of an answer to a simple question; a complex one has three sentences.
        least_evidence: likeness to the nearest passage of the text, 0 to 100.
        most_alike: cosine above which two pairs are duplicates.
        most_given: share of the answer's content words that may stand in the question.
    """

    fewest_sentences: int = 3
    fewest_signs: int = 80
    least_evidence: float = 90.0
    most_alike: float = 0.9
    most_given: float = 0.8


PUBLISHED = Rules()


class Refused(NamedTuple):
    """A check that a pair did not pass, and why."""

    check: str
    why: str


def refusals(
    pair: Pair,
    figure: Figure,
    *,
    kept: Sequence[Pair] = (),
    rules: Rules = PUBLISHED,
    encode: Encode | None = None,
) -> list[Refused]:
    """Every check that a pair fails; none is a good pair.

    Args:
        figure: whose text holds the evidence.
        kept: pairs on the same figure that it must differ from.
        encode: texts to vectors (n, D); None counts lemmas.
    """
    found = [
        *_length(pair, rules),
        *_words(pair),
        *_given_away(pair, rules),
        *_category(pair),
        *_duplicate(pair, kept, rules, encode),
    ]
    if pair.answerable and not pair.exact:
        found += [*_evidence(pair, figure, rules), *_numbers(pair)]
    return sorted(found, key=lambda one: CHECKS.index(one.check))


def _length(pair: Pair, rules: Rules) -> Iterator[Refused]:
    count, least = len(sentences(pair.answer)), rules.fewest_sentences
    if pair.subcategory == "complex":
        least = max(least, PUBLISHED.fewest_sentences)
    if not pair.answerable or pair.exact:
        least = 1
    elif len(pair.answer) < rules.fewest_signs:
        yield Refused("length", f"the answer has {len(pair.answer)} signs, wanted {rules.fewest_signs}")
    if count < least:
        yield Refused("length", f"the answer has {count} sentences, wanted {least}")
    if len(_content(pair.question)) < 1 or len(pair.question) < 8:
        yield Refused("length", f"no question: {pair.question!r}")


def _words(pair: Pair) -> Iterator[Refused]:
    both = f"{pair.question}\n{pair.answer}"
    names = sample_names(both)
    short = [word for word in abbreviations(both) if word not in names]
    if short:
        yield Refused("abbreviation", ", ".join(short[:5]))
    if names:
        yield Refused("sample_name", ", ".join(names[:5]))
    spoken = _REFERENCE.search(both)
    if spoken:
        yield Refused("reference", spoken[0])


def _given_away(pair: Pair, rules: Rules) -> Iterator[Refused]:
    answer, question = _content(pair.answer), _content(pair.question)
    if not answer:
        yield Refused("given_away", "the answer says nothing")
    elif len(answer & question) > rules.most_given * len(answer):
        yield Refused("given_away", f"the question holds {len(answer & question)} of {len(answer)} words")


def _evidence(pair: Pair, figure: Figure, rules: Rules) -> Iterator[Refused]:
    if not pair.evidence:
        yield Refused("evidence", "none is given")
    text = f"{figure.text}\n{figure.caption}"
    for piece in pair.evidence:
        score = likeness(piece, text)
        if score < rules.least_evidence:
            yield Refused("evidence", f"{score:.0f} of 100 for {_brief(piece)!r}")


def _numbers(pair: Pair) -> Iterator[Refused]:
    known = [one for text in (*pair.evidence, pair.question) for one in quantities(text)]
    ends = {(one.dimension, end) for one in known for end in (one.low, one.high)}
    for one in quantities(pair.answer):
        if not all(_among(end, one, ends) for end in {one.low, one.high}):
            low, high = f"{one.low:g}", f"{one.high:g}"
            said = low if low == high else f"{low} to {high}"
            yield Refused("numbers", f"{said} {one.dimension} is not in the evidence")


def _among(value: float, one: Quantity, ends: set[tuple[str, float]]) -> bool:
    return any(
        dimension == one.dimension and abs(end - value) <= NUMBER_TOLERANCE * max(abs(end), abs(value))
        for dimension, end in ends
    )


def _category(pair: Pair) -> Iterator[Refused]:
    if pair.answerable and not supports(pair.category, " ".join((pair.question, pair.answer, *pair.evidence))):
        yield Refused("category", f"nothing in it is about {pair.category.replace('_', ' ')}")


def _duplicate(pair: Pair, kept: Sequence[Pair], rules: Rules, encode: Encode | None) -> Iterator[Refused]:
    if not kept:
        return
    same = [one for one in kept if _flat(one.answer) == _flat(pair.answer)]
    if same:
        yield Refused("duplicate", f"the same answer as to {_brief(same[0].question)!r}")
        return
    alike = cosines([_said(pair), *map(_said, kept)], encode)[0, 1:]
    nearest = int(np.argmax(alike))
    if alike[nearest] > rules.most_alike:
        yield Refused("duplicate", f"{alike[nearest]:.2f} to {_brief(kept[nearest].question)!r}")


def likeness(piece: str, text: str) -> float:
    """How nearly a text holds a piece, 0 to 100: 100 is word for word, but for spaces, hyphens at line ends and case.

    The passage compared is the best of those where the piece's blocks begin (as partial ratios do); a passage with
    other numbers is no match, however alike.
    """
    wanted, whole = _flat(piece), _flat(text)
    if not wanted:
        return 0.0
    if wanted in whole:
        return 100.0
    blocks = SequenceMatcher(None, whole, wanted, autojunk=False).get_matching_blocks()
    starts = {max(0, block.a - block.b) for block in sorted(blocks, key=lambda one: -one.size)[:8]}
    best = 0.0
    for start in starts:
        passage = whole[start : start + len(wanted)]
        if re.findall(r"\d+", passage) == re.findall(r"\d+", wanted):
            best = max(best, SequenceMatcher(None, passage, wanted, autojunk=False).ratio())
    return 100 * best


def cosines(texts: Sequence[str], encode: Encode | None = None) -> NDArray[np.float64]:
    """Likeness of each text to each, (n, n): of TF-IDF of lemmas and their pairs, or of the vectors handed in."""
    if encode is not None:
        vectors = np.asarray(encode(texts), float)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return np.asarray(vectors @ vectors.T, float)
    from sklearn.feature_extraction.text import TfidfVectorizer

    counted = TfidfVectorizer(analyzer=partial(_grams, longest=2), sublinear_tf=True).fit_transform(texts)
    return np.asarray((counted @ counted.T).toarray(), float)


def _grams(text: str, longest: int) -> list[str]:
    # Function words tell whether two short sentences are the same; only their endings do not.
    lemmas = [lemma(word) for word in _WORD.findall(text)] or ["-"]
    return [" ".join(lemmas[i : i + n]) for n in range(1, longest + 1) for i in range(len(lemmas) - n + 1)]


def _content(text: str) -> set[str]:
    return {lemma(word) for word in _WORD.findall(text) if word.lower() not in FUNCTION}


def _said(pair: Pair) -> str:
    return f"{pair.question} {pair.answer}"


def _flat(text: str) -> str:
    """Lower case, one space for each gap, no hyphen at a line's end, plain quotes and dashes."""
    joined = re.sub(r"(?<=\w)[-‐\u00ad]\s*\n\s*(?=[a-z])", "", text)
    for sign, instead in _PLAIN.items():
        joined = joined.replace(sign, instead)
    return " ".join(joined.lower().split()).strip(" .\"'")


def _brief(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
