"""Controls planted among answers: what a judge must say of them is known beforehand.

==========  ===============================================================  ========================
control     the candidate is                                                 the judge must say
==========  ===============================================================  ========================
benchmark   the benchmark answer itself                                      quality ≥ 95
unrelated   the answer to a question of another paper and category           quality ≤ 10
negated     the contrary of what the benchmark says of defects               defect 0
padded      the benchmark, or half of it, between words that say nothing     quality as without, ± 3
==========  ===============================================================  ========================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from epistem.ask.facts import asks_of_absence, defect_state
from epistem.ask.judge import Assessment, Judge
from epistem.ask.records import Grade, Pair
from epistem.core.errors import SettingsError

Control = Literal["benchmark", "unrelated", "negated", "padded"]
CONTROLS: tuple[Control, ...] = ("benchmark", "unrelated", "negated", "padded")
_COPIED = 4
AT_LEAST, AT_MOST, APART = 95.0, 10.0, 3.0

_BEFORE = (
    "Thank you for this interesting question.",
    "Let us take a closer look at the image in question.",
    "In the following, a detailed answer is given.",
)
_AFTER = (
    "In summary, the points above describe what was asked for in some detail.",
    "I hope that this answer is helpful, and I am glad to explain any of it further.",
    "It is worth noting that every image deserves careful consideration.",
)
_DENIALS = (
    "No, there are no cracks, pores or other defects in this image.",
    "The field of view is free of defects; neither cracks nor voids were found.",
    "Defects such as cracks, fractures or pores are not visible here.",
)
_CLAIMS = (
    "Yes, cracks, pores and other defects are clearly visible.",
    "The field of view shows defects: cracks and voids were found.",
    "There are several defects here, among them cracks, fractures and pores.",
)


@dataclass(frozen=True)
class Planted:
    """One control and what the judge said of it.

    Attributes:
        control: which; pair: id of the pair it was made from.
        candidate: the text that was graded.
        wanted: what had to be said, in words.
        score, verdict: what was said; for "padded", score is the difference to the copy without padding.
        holds: None where it was not scored.
        why: reason where there is no score.
    """

    control: Control
    pair: str
    candidate: str
    wanted: str
    score: float | None
    verdict: str | None
    holds: bool | None
    why: str = ""


@dataclass(frozen=True)
class Controls:
    """Everything planted before one judge.

    Attributes:
        judge: its name.
        rows: one for each planted answer.
    """

    judge: str
    rows: tuple[Planted, ...]

    def of(self, control: Control) -> tuple[Planted, ...]:
        """The rows of one control."""
        return tuple(row for row in self.rows if row.control == control)

    @property
    def hold(self) -> bool:
        """Whether each control was planted, and each planted answer was graded as it had to be."""
        return all(self.of(one) for one in CONTROLS) and all(row.holds is True for row in self.rows)

    def table(self) -> list[dict[str, object]]:
        """Of each control: how many, unscored, held, and the scores' range."""
        found: list[dict[str, object]] = []
        for control in CONTROLS:
            rows = self.of(control)
            scores = [row.score for row in rows if row.score is not None]
            found.append({
                "control": control, "judge": self.judge, "n": len(rows),
                "unscored": sum(row.holds is None for row in rows), "held": sum(row.holds is True for row in rows),
                "lowest": min(scores, default=None), "highest": max(scores, default=None),
            })  # fmt: skip
        return found


def by_paper(pair: Pair) -> Hashable:
    """What a pair shares with others of its paper."""
    return pair.paper


def planted_controls(
    judge: Judge, pairs: Sequence[Pair], *, seed: int = 0, source: Callable[[Pair], Hashable] = by_paper
) -> Controls:
    """What a judge says of answers whose grade is known.

    Args:
        judge: any.
        pairs: of two papers and two categories or more, some on defects.
        seed: chooses the unrelated answers and the phrasings.
        source: what related pairs share; with simulated scenes, of which two may show the same, their kind.

    Raises:
        SettingsError: no pair has an unrelated one.
    """
    rng = np.random.default_rng(seed)
    rows = [row for pair in pairs for row in _same(judge, pair)]
    strangers = unrelated(pairs, rng, source)
    if not strangers:
        raise SettingsError("unrelated answers come from another paper and category; these pairs are all of one")
    rows += [_bounded(judge, pair, "unrelated", other.answer) for pair, other in strangers]
    for pair in pairs:
        rows += [_negated(judge, pair, text) for text in contraries(pair, rng)]
    return Controls(judge.name, tuple(rows))


def unrelated(
    pairs: Sequence[Pair], rng: np.random.Generator, source: Callable[[Pair], Hashable] = by_paper
) -> list[tuple[Pair, Pair]]:
    """Each pair with one of another source and category whose image can tell, where there is one.

    Answers that have four words in a row in common with the pair's are left out: sources copy from each other.
    """
    found = []
    for pair in pairs:
        others = [
            one
            for one in pairs
            if source(one) != source(pair)
            and one.category != pair.category
            and one.answerable
            and not _runs(one.answer) & _runs(pair.answer)
        ]
        if others:
            found.append((pair, others[rng.integers(len(others))]))
    return found


@lru_cache(maxsize=4096)
def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(*(words[i:] for i in range(_COPIED)), strict=False))


def contraries(pair: Pair, rng: np.random.Generator) -> list[str]:
    """Texts that say the contrary of what a pair's answer says of defects; none where it says nothing firm."""
    if pair.category != "defect_fracture" or not pair.answerable or asks_of_absence(pair.question):
        return []
    state = defect_state(pair.question, pair.answer)
    if state not in ("present", "absent"):
        return []
    general = _DENIALS if state == "present" else _CLAIMS
    turned = turned_round(pair.question, pair.answer)
    return [general[rng.integers(len(general))], *([] if turned is None else [turned])]


def turned_round(question: str, answer: str) -> str | None:
    """The first sentence of an answer that speaks firmly of a defect, with its statement denied.

    >>> turned_round("Are cracks visible?", "The glass is clear. Cracks are visible at the rim.")
    'Cracks are not visible at the rim.'
    """
    for sentence in re.split(r"(?<=[.!?])\s+", answer.strip()):
        if defect_state(question, sentence) == "present":
            text = re.sub(r"^(?:Yes|No)\b[,:;]?\s*", "", sentence)
            for pattern, instead in (
                (r"\bthere (is|are)(?: an?| some| many| several)?\b", r"there \1 no"),
                (r"\b(is|are|was|were|can be|has been|have been|can) (?!not\b)", r"\1 not "),
                (
                    r"\b(shows?|contains?|reveals?|exhibits?|has|have)(?: an?| some| many| several)?\b(?! no\b)",
                    r"\1 no",
                ),
            ):
                turned, n = re.subn(pattern, instead, text, count=1, flags=re.IGNORECASE)
                # Where the denial does not reach the defect, it is no contrary.
                if n and defect_state(question, turned) == "absent":
                    return turned.replace("can be not", "cannot be").replace("can not ", "cannot ")
    return None


def padded(text: str, rng: np.random.Generator) -> str:
    """A text between sentences that say nothing."""
    before, after = (words[rng.integers(len(words))] for words in (_BEFORE, _AFTER))
    # Without its stop, the last sentence would swallow what follows.
    end = "" if text.rstrip().endswith((".", "!", "?")) else "."
    return f"{before} {text.rstrip()}{end} {after}"


def halved(text: str) -> str | None:
    """The first half of the sentences of a text; None where it has only one."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return " ".join(sentences[: len(sentences) // 2]) if len(sentences) > 1 else None


def _same(judge: Judge, pair: Pair) -> Iterator[Planted]:
    rng = np.random.default_rng([len(pair.answer), *pair.id.encode()])
    own = _asked(judge, pair, pair.answer, "quality")
    yield _row(pair, "benchmark", pair.answer, f">= {AT_LEAST:g}", own, own.score, lambda s: s >= AT_LEAST)
    for text, base in ((pair.answer, own), (halved(pair.answer), None)):
        if text is None:
            continue
        plain = base or _asked(judge, pair, text, "quality")
        long = padded(text, rng)
        more = _asked(judge, pair, long, "quality")
        apart = None if plain.score is None or more.score is None else round(more.score - plain.score, 3)
        unscored = plain if plain.score is None else more
        yield _row(pair, "padded", long, f"± {APART:g}", unscored, apart, lambda s: abs(s) <= APART)


def _bounded(judge: Judge, pair: Pair, control: Control, candidate: str) -> Planted:
    grade = _asked(judge, pair, candidate, "quality")
    return _row(pair, control, candidate, f"<= {AT_MOST:g}", grade, grade.score, lambda s: s <= AT_MOST)


def _negated(judge: Judge, pair: Pair, candidate: str) -> Planted:
    grade = _asked(judge, pair, candidate, "defect")
    # A verdict that leaves it open is a verdict; only what could not be read is unscored.
    known = None if grade.verdict is None else grade.verdict == "0"
    return Planted("negated", pair.id, candidate, "verdict 0", grade.score, grade.verdict, known, grade.why)


def _asked(judge: Judge, pair: Pair, candidate: str, assessment: Assessment) -> Grade:
    context = [text for _, text in pair.attributes]
    return judge.grade(pair.question, pair.answer, candidate, assessment, context=context)


def _row(
    pair: Pair,
    control: Control,
    candidate: str,
    wanted: str,
    grade: Grade,
    score: float | None,
    within: Callable[[float], bool],
) -> Planted:
    holds = None if score is None else within(score)
    return Planted(control, pair.id, candidate, wanted, score, grade.verdict, holds, grade.why)
