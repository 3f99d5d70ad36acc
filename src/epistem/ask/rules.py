"""Grades by rules, offline: a first look that costs nothing, and never a language model's score.

=============  ==========================================================================================
coverage       share of the benchmark's facts (words the question does not give away, numbers) that are said
accuracy       share of what both speak of that is not contradicted: denied, opposite, another number or unit
relevance      how far the answer is about what question and benchmark are about
fluency        sentences, not lists or echoes; beside the benchmark's own
contextual     given context that is used, beside the benchmark's own use
=============  ==========================================================================================

How something is said counts only as far as what is said answers the question and is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from epistem.ask.facts import (
    Reading,
    alike_numbers,
    asks_of_absence,
    defect_state,
    mismatched,
    opposed,
    read,
    to_the_point,
    weight,
)
from epistem.ask.judge import ASSESSMENTS, STATUS, Assessment, feature_score
from epistem.ask.quantities import Quantity
from epistem.ask.records import Grade, identity
from epistem.core.errors import SettingsError

VERSION = "1"
WEIGHTS = {"coverage": 0.4, "accuracy": 0.25, "relevance": 0.15, "fluency": 0.1, "contextual": 0.1}
NUMBER_WEIGHT, BARE_WEIGHT = 2.0, 0.5
CONTRADICTION_WEIGHT = 4.0
"""What a contradicted fact weighs beside one that agrees: ten facts with one wrong are not nine tenths right."""
# Share of a feature's words from which on it is called so.
_IDENTIFIED, _SIMILAR, _DEDUCIBLE = 0.75, 0.5, 0.3
# Up to the first share of words, and up to that many of them, agreement is taken for chance; so far above it, the
# question is taken to be answered. With 0.2, 4 of 322 captions of other preprints got more than 10; with 0.25, one.
# Counted words matter where a benchmark has only a few: of four, two are shared by chance.
_CHANCE, _CHANCE_WORDS, _TERSE, _ABOVE = 0.25, 2.2, 0.45, 0.15


class RulesJudge:
    """The same grade for the same words; sees no picture and knows no material."""

    name = f"rules-{VERSION}"

    def grade(
        self, question: str, benchmark: str, candidate: str, assessment: Assessment, *, context: Sequence[str] = ()
    ) -> Grade:
        """The grade of one answer.

        Args:
            question, benchmark, candidate: texts.
            assessment: "quality" 0–100, "features" 1–4, "defect" 1/0/NA or for a person's queue.
            context: attributes that were added to the question.

        Raises:
            SettingsError: another assessment.
        """
        if assessment not in ASSESSMENTS:
            raise SettingsError(f"an answer is graded for {', '.join(ASSESSMENTS)}, not {assessment!r}")
        if not benchmark.strip():
            return self._grade(assessment, None, {}, why="no benchmark answer to compare with")
        if assessment == "defect":
            return self._defect(question, benchmark, candidate)
        if assessment == "features":
            return self._features(benchmark, candidate)
        want = read(benchmark)
        if not (want.claims or want.numbers or want.lead):
            return self._grade(assessment, None, {}, why="the benchmark says nothing that rules can compare")
        parts = criteria(question, benchmark, candidate, context)
        score = sum(WEIGHTS[name] * value for name, value in parts.items())
        return self._grade("quality", round(100 * score, 2), {n: round(100 * v, 2) for n, v in parts.items()})

    def _features(self, benchmark: str, candidate: str) -> Grade:
        found = feature_status(benchmark, candidate)
        if not found:
            return self._grade("features", None, {}, why="the benchmark names no feature")
        parts: dict[str, float | None] = {text: STATUS[status] for text, status in found.items()}
        score = feature_score([STATUS[status] for status in found.values()])
        counts = {status: list(found.values()).count(status) for status in STATUS}
        why = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        return self._grade("features", round(score, 3), parts, why=why)

    def _defect(self, question: str, benchmark: str, candidate: str) -> Grade:
        expected, said = defect_state(question, benchmark), defect_state(question, candidate)
        known = {"present": 1.0, "absent": 0.0}
        parts = {"benchmark": known.get(expected), "candidate": known.get(said)}
        why = f"benchmark {expected}, candidate {said}"
        if asks_of_absence(question) or expected in ("silent", "needs_more_info"):
            return self._grade("defect", None, parts, verdict="NA", why=why)
        if "unclear" in (expected, said):
            return self._grade("defect", None, parts, verdict="queue", why=why)
        agree = expected == said
        return self._grade("defect", float(agree), parts, verdict="1" if agree else "0", why=why)

    def _grade(self, assessment: Assessment, score: float | None, parts: object, **more: object) -> Grade:
        held = {"answered": "", "pair": "", "judge": self.name, "assessment": assessment, "score": score}
        return Grade.model_validate({**held, "parts": parts, "prompt": identity(self.name), **more})


def criteria(question: str, benchmark: str, candidate: str, context: Sequence[str] = ()) -> dict[str, float]:
    """The five criteria, 0 to 1, higher is better."""
    asked, want, whole = read(question), read(benchmark), read(candidate)
    got = to_the_point(whole, asked.words() | want.words())
    if want.abstains or got.abstains:
        # To say that the image cannot tell is right or wrong as a whole.
        return dict.fromkeys(WEIGHTS, float(want.abstains and got.abstains))
    compared = _compare(asked, want, got)
    worth = compared.answers * compared.accuracy
    own = fluency(want, want)
    about, top = _likeness(asked, want, got), _likeness(asked, want, want)
    return {
        "coverage": compared.answers * compared.coverage,
        "accuracy": compared.answers * compared.accuracy,
        "relevance": compared.answers * (min(1.0, about / top) if top else 1.0),
        "fluency": worth * min(1.0, fluency(whole, want) / own if own else 1.0),
        "contextual": worth * _used(context, want, got),
    }


def feature_status(benchmark: str, candidate: str) -> dict[str, str]:
    """Each statement of the benchmark with how far the candidate makes it: `STATUS`."""
    got = read(candidate)
    found = {}
    for sentence in read(benchmark).sentences:
        for text in re.split(r"[,;:]\s+|\s+and\s+(?=\w+\s+\w+\s+\w+)", sentence):
            want = read(text)
            if want.words() or want.numbers:
                found[text.strip(" .")] = _status(want, got)
    return found


def fluency(reading: Reading, beside: Reading) -> float:
    """0 to 1: whether a text is made of sentences of bearable length, without repetition, in bearable number."""
    if not reading.sentences:
        return 0.0
    words = [len(one.split()) for one in reading.sentences]
    distinct = len({" ".join(one.lower().split()).strip(" .") for one in reading.sentences}) / len(words)
    length = float(np.mean([1.0 if n <= 60 else 0.5 for n in words]))
    total, other = sum(words), sum(len(one.split()) for one in beside.sentences)
    # Padding is neither rewarded nor punished; only what nobody would read to its end is.
    bearable = min(1.0, 8 * max(other, 20) / total)
    letters = sum(sign.isalpha() or sign.isspace() for one in reading.sentences for sign in one)
    prose = letters / sum(len(one) for one in reading.sentences)
    return (0.75 + 0.25 * distinct) * length * bearable * min(1.0, prose / 0.7)


class _Compared(NamedTuple):
    """Each 0 to 1: facts of the benchmark that are said, what is not contradicted, whether it answers at all."""

    coverage: float
    accuracy: float
    answers: float


def _compare(question: Reading, want: Reading, got: Reading) -> _Compared:
    given, said = question.words(), got.stance()
    wrong = set(opposed(want, got))
    stance = want.stance()
    # What the question gives away earns nothing, unless it is denied: that is the answer.
    facts = {word: weight(word) for word in stance if word not in given or stance[word] == {False}}
    facts = facts or {word: weight(word) for word in stance}
    shared = {word: w for word, w in facts.items() if word in said and word not in wrong}
    numbers = mismatched(want, got)
    alike = alike_numbers(want, got)
    lead = want.lead is not None and got.lead is not None
    agreed_lead = lead and want.lead == got.lead
    hits = sum(shared.values()) + _telling(alike) + NUMBER_WEIGHT * agreed_lead
    total = sum(facts.values()) + _telling([q for _, q in want.numbers]) + NUMBER_WEIGHT * (want.lead is not None)
    faults = sum(weight(word) for word in wrong) + _telling([ours for ours, _ in numbers])
    faults += NUMBER_WEIGHT * (lead and not agreed_lead)
    coverage = hits / total if total else 0.0
    own = sum(weight(word) for word in said if word not in given)
    precision = sum(shared.values()) / own if own else 0.0
    # Who denies a thing speaks of it; another number or an opposite may be of anything.
    both = hits + sum(weight(word) for word in wrong if word in said)
    recall = both / total if total else 0.0
    # Of fewer facts than chance may hit, all have to be there.
    by_chance = min(max(_CHANCE, _CHANCE_WORDS / total if total else 0.0), 1 - _ABOVE)
    # A short right answer covers little of a long benchmark, yet most of what it says is there.
    above = max(recall - by_chance, precision - _TERSE if sum(shared.values()) >= 2 else 0.0)
    answers = float(np.clip(above / _ABOVE, 0, 1))
    accuracy = hits / (hits + CONTRADICTION_WEIGHT * faults) if hits else 0.0
    return _Compared(coverage, accuracy, answers)


def _telling(numbers: Sequence[Quantity]) -> float:
    """What numbers count; one without unit that counts nothing may be anything's."""
    return sum(NUMBER_WEIGHT if one.noun or one.dimension != "count" else BARE_WEIGHT for one in numbers)


def _likeness(question: Reading, want: Reading, got: Reading) -> float:
    """Cosine between the words of question with benchmark and those of the answer, without counting repetition."""
    whole, ours = question.words() | want.words(), got.words()
    length = np.sqrt(sum(weight(w) ** 2 for w in whole) * sum(weight(w) ** 2 for w in ours))
    return float(sum(weight(w) ** 2 for w in whole & ours) / length) if length else 0.0


def _used(context: Sequence[str], want: Reading, got: Reading) -> float:
    """Share of the context's words that the answer takes up, of those that the benchmark does."""
    given = {word for one in context for word in read(one).words()} & want.words()
    return len(given & got.words()) / len(given) if given else 1.0


def _status(want: Reading, got: Reading) -> str:
    if opposed(want, got) or mismatched(want, got):
        return "contradicted"
    words = want.stance()
    total = sum(weight(word) for word in words) + _telling([q for _, q in want.numbers])
    hits = sum(weight(word) for word in words if word in got.words()) + _telling(alike_numbers(want, got))
    share = hits / total
    if share >= _IDENTIFIED:
        return "identified"
    return "similar" if share >= _SIMILAR else "deducible" if share >= _DEDUCIBLE else "missed"
