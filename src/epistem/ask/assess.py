"""The assessments: grades of stored answers, and the tables made of them; no model is asked again.

::

    Pair + Answered ─► grade_all ─► Grade ─► scored_rows ─► quality, context, features, defects, queue
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from epistem.ask.controls import Gain, paired_gain
from epistem.ask.facts import read
from epistem.ask.judge import Assessment, Judge, claim
from epistem.ask.records import CATEGORIES, CONTEXT_TYPES, LEVELS, Answered, Grade, Pair
from epistem.ask.rubrics import FLAG
from epistem.ask.wording import common_subsequence_f1
from epistem.core import Interval, RecordError
from epistem.stats.resample import cluster_bootstrap

LEAK = 0.3
"""Overlap (ROUGE-L) of question and answer from which on the question is taken to give the answer away."""


def grade_all(
    pairs: Sequence[Pair],
    answered: Sequence[Answered],
    judge: Judge,
    assessment: Assessment,
    *,
    repeats: int = 1,
    done: Sequence[Grade] = (),
) -> Iterator[Grade]:
    """A grade for each answer and repetition, as they come; answers without a pair have none.

    Args:
        pairs: with the benchmark answers.
        answered: what models said; judges see what it claims. For "defect" only answers to questions on defects and
            fracture.
        judge: any.
        assessment: which.
        repeats: how often each is graded; a judge by rules says the same each time.
        done: grades of this judge that are there already; they come back as they are, unscored ones are asked again.

    Raises:
        RecordError: an answer to a pair that is not given.
    """
    of = {pair.id: pair for pair in pairs}
    held = {
        (one.answered, one.repeat): one
        for one in done
        if one.judge == judge.name and one.assessment == assessment and (one.score is not None or one.verdict)
    }
    for said in answered:
        if said.pair is None:
            continue
        if said.pair not in of:
            raise RecordError(
                f"answer {said.id} is to pair {said.pair}, which is not among the {len(of)} pairs given"
            )
        pair = of[said.pair]
        if assessment == "defect" and pair.category != "defect_fracture":
            continue
        for repeat in range(repeats):
            before = held.get((said.id, repeat))
            if before is not None:
                yield before
                continue
            context = [text for _, text in pair.attributes]
            grade = judge.grade(pair.question, pair.answer, claim(said), assessment, context=context)
            yield grade.model_copy(update={"answered": said.id, "pair": pair.id, "repeat": repeat})


def scored_rows(pairs: Sequence[Pair], answered: Sequence[Answered], grades: Sequence[Grade]) -> pd.DataFrame:
    """One row for each answer, judge and assessment: mean score over repetitions, with all that tables select by.

    Returns:
        Columns `answered, pair, paper, base, category, subcategory, level, types, answerable, visual, model, mode,
        condition, origin, judge, assessment, score, sd, repeats, unscored, flagged, verdict, benchmark, candidate`;
        score NaN where no repetition has one, `unscored` counts those that should have one and do not.

    Raises:
        RecordError: grades without their answer or pair, or by two versions of one rubric.
    """
    of, said = {pair.id: pair for pair in pairs}, {one.id: one for one in answered}
    groups: dict[tuple[str, str, str], list[Grade]] = {}
    prompts: dict[tuple[str, str], set[str]] = {}
    for grade in grades:
        if grade.answered not in said or grade.pair not in of:
            raise RecordError(f"a grade is of answer {grade.answered} to pair {grade.pair}, which are not both given")
        groups.setdefault((grade.answered, grade.judge, grade.assessment), []).append(grade)
        prompts.setdefault((grade.judge, grade.assessment), set()).add(grade.prompt)
    mixed = [judge for (judge, _), hashes in prompts.items() if len(hashes) > 1]
    if mixed:
        raise RecordError(f"grades of {mixed[0]} are by several versions of its rubric; grade them all again")
    rows = [_row(of[same[0].pair], said[name], same) for (name, _, _), same in groups.items()]
    return pd.DataFrame(rows, columns=_COLUMNS)


def quality_table(rows: pd.DataFrame, *, seed: int = 0, coverage: float = 0.9) -> pd.DataFrame:
    """Overall quality by category and subcategory, 0–100, with intervals over papers; the last row is all.

    Returns:
        `category, subcategory, n, unscored, flagged, mean, low, high, median, repeat_sd`; `rows` hold what a violin
        plot draws.
    """
    chosen = _of(rows, "quality")
    parts = [
        (category, sub, chosen[(chosen["category"] == category) & (chosen["subcategory"] == sub)])
        for category in CATEGORIES
        for sub in ("simple", "complex")
    ]
    everything = [*(one for one in parts if len(one[2])), ("all", "all", chosen)]
    return pd.DataFrame([
        {"category": category, "subcategory": sub, **_summary(part, seed, coverage)}
        for category, sub, part in everything
    ])  # fmt: skip


def level_table(rows: pd.DataFrame, assessment: Assessment, *, seed: int = 0, coverage: float = 0.9) -> pd.DataFrame:
    """Scores of simple questions by category and level of context: "quality" 0–100 or "features" 1–4.

    Returns:
        `category, level, n, unscored, flagged, mean, low, high, median, repeat_sd`, with "all" for every category.
    """
    chosen = _of(rows, assessment)
    chosen = chosen[chosen["subcategory"] == "simple"]
    found = []
    for category in (*CATEGORIES, "all"):
        part = chosen if category == "all" else chosen[chosen["category"] == category]
        for level in LEVELS:
            at = part[part["level"] == level]
            if len(at):
                found.append({"category": category, "level": level, **_summary(at, seed, coverage)})
    return pd.DataFrame(found)


def context_gains(
    rows: pd.DataFrame, assessment: Assessment = "quality", *, seed: int = 0, coverage: float = 0.9
) -> list[Gain]:
    """Score with context minus score without, on the same base questions, for each level that is there."""
    chosen = _of(rows, assessment)
    chosen = chosen[chosen["subcategory"] == "simple"]
    key = chosen["base"].fillna(chosen["pair"])
    mean = chosen.assign(key=key).groupby(["level", "key"])["score"].mean()
    paper = chosen.assign(key=key).groupby("key")["paper"].first()
    there = [level for level in LEVELS if level in mean.index.get_level_values("level")]
    if "none" not in there:
        return []
    return [
        paired_gain(f"{level} − none", mean[level], mean["none"], paper, seed=seed, coverage=coverage)
        for level in there
        if level != "none"
    ]


def type_counts(pairs: Sequence[Pair]) -> pd.DataFrame:
    """How often each type of context occurs at each level, (levels, types)."""
    counts = {level: Counter(kind for p in pairs if p.level == level for kind, _ in p.attributes) for level in LEVELS}
    found = pd.DataFrame(
        [[counts[level][kind] for kind in CONTEXT_TYPES] for level in LEVELS], list(LEVELS), list(CONTEXT_TYPES)
    )
    found.index.name = "level"
    return found


def by_types(rows: pd.DataFrame, *, seed: int = 0, coverage: float = 0.9) -> pd.DataFrame:
    """Quality by combination of context types at each level; `spread` is the range of means at that level.

    Returns:
        `level, types, n, unscored, flagged, mean, low, high, median, repeat_sd, spread`.
    """
    chosen = _of(rows, "quality")
    chosen = chosen[chosen["level"] != "none"]
    found = pd.DataFrame([
        {"level": level, "types": types, **_summary(part, seed, coverage)}
        for (level, types), part in chosen.groupby(["level", "types"])
    ])  # fmt: skip
    if len(found):
        means = found.groupby("level")["mean"]
        found["spread"] = means.transform("max") - means.transform("min")
    return found


def leak_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Whether a question gives its answer away.

    Returns:
        `pair, level, overlap, leaks`: ROUGE-L F1 of question and answer over content words, 0 to 1, and whether it
        reaches `LEAK`. What a model answers without image and caption ("question-only") is the sharper test.
    """
    shares = [(pair, overlap(pair.question, pair.answer)) for pair in pairs]
    return pd.DataFrame(
        [{"pair": pair.id, "level": pair.level, "overlap": share, "leaks": share >= LEAK} for pair, share in shares],
        columns=["pair", "level", "overlap", "leaks"],
    )


def overlap(question: str, answer: str) -> float:
    """ROUGE-L F1 over content words, 0 to 1.

    Source: C.-Y. Lin, ROUGE: a package for automatic evaluation of summaries, ACL workshop 2004.

    >>> round(overlap("How wide are the cracks in glass?", "The cracks in the glass are 2 µm wide."), 2)
    0.67
    """
    one, other = ([claim.lemma for claim in read(text).claims] for text in (question, answer))
    return common_subsequence_f1(one, other)


def defect_table(rows: pd.DataFrame, *, seed: int = 0, coverage: float = 0.9) -> pd.DataFrame:
    """Detection of defects at each level of context; each share 0 to 1, NaN where there is nothing to divide by.

    Returns:
        `level, n` (verdicts 1 or 0), `not_applicable, queued, unscored, accuracy, low, high, sensitivity,
        specificity, balanced_accuracy, prevalence, majority` (accuracy of saying always what is more frequent). An
        answer that needs more information counts as wrong, as in the published assessment.
    """
    chosen = _of(rows, "defect")
    found = []
    for level in (*LEVELS, "all"):
        part = chosen if level == "all" else chosen[chosen["level"] == level]
        if len(part):
            found.append({"level": level, **_detection(part, seed, coverage)})
    return pd.DataFrame(found)


def queue(pairs: Sequence[Pair], answered: Sequence[Answered], grades: Sequence[Grade]) -> list[dict[str, str]]:
    """What a person has to look at: answers whose verdict was left open, once each."""
    of, said = {pair.id: pair for pair in pairs}, {one.id: one for one in answered}
    open_ones = {grade.answered: grade for grade in grades if grade.verdict == "queue"}
    return [
        {"answered": name, "pair": grade.pair, "question": of[grade.pair].question,
         "benchmark": of[grade.pair].answer, "candidate": said[name].text, "judge": grade.judge, "why": grade.why}
        for name, grade in open_ones.items()
    ]  # fmt: skip


_COLUMNS = [
    "answered", "pair", "paper", "base", "category", "subcategory", "level", "types", "answerable", "visual", "model",
    "mode", "condition", "origin", "judge", "assessment", "score", "sd", "repeats", "unscored", "flagged", "verdict",
    "benchmark", "candidate",
]  # fmt: skip


def _row(pair: Pair, said: Answered, grades: Sequence[Grade]) -> dict[str, Any]:
    scores = [one.score for one in grades if one.score is not None]
    verdicts = Counter(one.verdict for one in grades if one.verdict)
    most = verdicts.most_common(2)
    tied = len(most) == 2 and most[0][1] == most[1][1]
    verdict = None if not most else "queue" if tied else most[0][0]
    score = float(np.mean(scores)) if scores else np.nan
    if verdict is not None:
        # The score is that of the verdict: NA and what a person has to decide have none.
        score = float(verdict) if verdict in ("0", "1") else np.nan
    return {
        "answered": said.id, "pair": pair.id, "paper": pair.paper, "base": pair.base, "category": pair.category,
        "subcategory": pair.subcategory, "level": pair.level,
        "types": " + ".join(sorted(kind for kind, _ in pair.attributes)), "answerable": pair.answerable,
        "visual": pair.visual, "model": said.model, "mode": said.mode, "condition": said.condition,
        "origin": said.origin, "judge": grades[0].judge, "assessment": grades[0].assessment, "score": score,
        "sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else np.nan, "repeats": len(grades),
        "unscored": sum(one.score is None and one.verdict is None for one in grades),
        "flagged": any(one.why.startswith(FLAG) for one in grades), "verdict": verdict,
        "benchmark": grades[0].parts.get("benchmark"), "candidate": grades[0].parts.get("candidate"),
    }  # fmt: skip


def _of(rows: pd.DataFrame, assessment: Assessment) -> pd.DataFrame:
    """Rows of one assessment, which have to be of one judge, one model in one mode and one condition."""
    chosen = rows[rows["assessment"] == assessment]
    for column in ("judge", "model", "mode", "condition"):
        if chosen[column].nunique() > 1:
            names = ", ".join(map(str, chosen[column].unique()))
            raise RecordError(f"a table is of one {column}; these are grades of {names}: select one")
    return chosen


def _summary(part: pd.DataFrame, seed: int, coverage: float) -> dict[str, Any]:
    known = part[part["score"].notna()]
    interval = _interval(known, "score", seed, coverage)
    return {
        "n": len(known), "unscored": len(part) - len(known), "flagged": int(part["flagged"].sum()),
        "mean": known["score"].mean(), "low": np.nan if interval is None else interval.low,
        "high": np.nan if interval is None else interval.high, "median": known["score"].median(),
        "repeat_sd": part["sd"].mean(),
    }  # fmt: skip


def _interval(part: pd.DataFrame, column: str, seed: int, coverage: float) -> Interval | None:
    """Over papers; None where all values are the same, of which drawing them again knows no width."""
    if part[column].nunique() < 2:
        return None
    groups = [group.to_numpy(float) for _, group in part.groupby("paper", sort=True)[column]]
    return cluster_bootstrap(groups, np.mean, seed=seed, coverage=coverage)


def _detection(part: pd.DataFrame, seed: int, coverage: float) -> dict[str, Any]:
    scored = part[part["verdict"].isin(["0", "1"])]
    there = scored["benchmark"].astype(float)
    sensitivity, specificity = scored.loc[there == 1, "score"].mean(), scored.loc[there == 0, "score"].mean()
    prevalence = (there == 1).mean() if len(scored) else np.nan
    interval = _interval(scored, "score", seed, coverage)
    return {
        "n": len(scored), "not_applicable": int((part["verdict"] == "NA").sum()),
        "queued": int((part["verdict"] == "queue").sum()), "unscored": int(part["verdict"].isna().sum()),
        "accuracy": scored["score"].mean(), "low": np.nan if interval is None else interval.low,
        "high": np.nan if interval is None else interval.high, "sensitivity": sensitivity, "specificity": specificity,
        "balanced_accuracy": np.mean([sensitivity, specificity]), "prevalence": prevalence,
        "majority": max(prevalence, 1 - prevalence),
    }  # fmt: skip
