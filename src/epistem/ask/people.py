"""What people said of answers, as grades like any judge's, and how far judges and people agree.

A file of ratings has a row for each answer and assessment: `answered,pair,rater,assessment,value,seconds`; the value
is 0–100 (quality), 1–4 (features), 1, 0 or NA (defect), and empty where the rater could not tell. A rater's second
row for the same answer is a repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.ask.judge import ASSESSMENTS, Assessment
from epistem.ask.records import Grade, Pair, identity
from epistem.core import Interval, RecordError, SettingsError, ShapeError
from epistem.stats.agreement import block_interval, cohen_kappa, krippendorff_alpha, landis_koch, pabak, pair_table
from epistem.stats.blind import saved_ratings

Floats = NDArray[np.float64]
COLUMNS = ("answered", "pair", "rater", "assessment", "value", "seconds")
RANGES: dict[Assessment, tuple[float, float]] = {"quality": (0, 100), "features": (1, 4), "defect": (0, 1)}
ACCEPTED = 0.6
"""κ with people from which on a judge's grades are taken for people's."""
_CLASSES: dict[Assessment, int] = {"quality": 5, "features": 4, "defect": 2}


@dataclass(frozen=True)
class JudgeAgreement:
    """How far two judges, of whom one or both may be people, give the same grades; None where it is undefined.

    Attributes:
        names: who; one twice is a judge against the own repeats.
        assessment: of what.
        n: answers that both gave a score.
        kappa, interval, band: Cohen κ, its interval over papers, and its word; quadratically weighted on five bins of
            quality and on whole grades of features, unweighted for defects.
        pabak: κ as it were with equally frequent verdicts; of defects only.
        icc: ICC(2,1), absolute agreement of single grades.
        alpha: Krippendorff α, of numbers or, for defects, of classes.
        difference: mean of the first minus the second.
        accepted: whether κ reaches 0.6.
    """

    names: tuple[str, str]
    assessment: Assessment
    n: int
    kappa: float | None
    interval: Interval | None
    band: str | None
    pabak: float | None
    icc: float | None
    alpha: float | None
    difference: float | None
    accepted: bool | None


def read_ratings(paths: Sequence[Path]) -> list[Grade]:
    """Grades of people, with the judge "person:NAME"; where a rater could not tell, the grade has no score.

    Args:
        paths: CSV files that rating pages saved.

    Raises:
        RecordError: a file that is not there or no such table, a value that cannot be, or two files with the same
            answers, which would pass for repeats.
    """
    by_file = [saved_ratings(Path(path), COLUMNS, _row) for path in paths]
    for (one, ours), (other, theirs) in combinations(zip(paths, by_file, strict=True), 2):
        if set(ours) & set(theirs):
            raise RecordError(f"{one} and {other} hold the same answers; leave one of the files out")
    times: Counter[tuple[str, ...]] = Counter()
    grades = []
    for row in (row for rows in by_file for row in rows):
        answered, pair, rater, assessment, value, _ = row
        key = (answered, rater, assessment)
        grades.append(_grade(answered, pair, rater, assessment, value, repeat=times[key]))
        times[key] += 1
    return grades


def agreements(
    grades: Sequence[Grade], pairs: Sequence[Pair], assessment: Assessment, *, seed: int = 0, coverage: float = 0.9
) -> list[JudgeAgreement]:
    """Each judge against the own repeats, where there are, and each two judges.

    Args:
        grades: of judges and people.
        pairs: the grades are of; questions of one paper are drawn together for the intervals.
        assessment: of what.
        seed, coverage: of the intervals.

    Raises:
        SettingsError: no grade of this assessment.
    """
    paper = {pair.id: pair.paper for pair in pairs}
    chosen = [one for one in grades if one.assessment == assessment]
    if not chosen:
        raise SettingsError(f"no grade is of {assessment}; there is {sorted({one.assessment for one in grades})}")
    judges = sorted({one.judge for one in chosen})
    names = tuple(dict.fromkeys(one.answered for one in chosen))
    block = {one.answered: paper.get(one.pair, one.pair) for one in chosen}
    blocks = [block[name] for name in names]
    first, again = ({judge: _column(chosen, judge, n, names) for judge in judges} for n in (0, 1))
    told: list[tuple[tuple[str, str], Floats, Floats]] = [
        ((judge, judge), first[judge], again[judge]) for judge in judges if not np.isnan(again[judge]).all()
    ]
    told += [((a, b), first[a], first[b]) for a, b in combinations(judges, 2)]
    return [_agreement(who, assessment, a, b, blocks, seed, coverage) for who, a, b in told]


def icc(ratings: ArrayLike) -> float | None:
    """ICC(2,1): absolute agreement of single ratings, both units and raters taken as samples; up to 1.

    Args:
        ratings: (n, raters); units that not all rated are left out.

    Returns:
        None with fewer than two units or raters, or where nothing varies.

    Raises:
        ShapeError: not a table.

    Source: P. E. Shrout, J. L. Fleiss, Psychol. Bull. 86, 420 (1979).

    >>> six = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(icc(six), 2)
    0.29
    """
    table = np.asarray(ratings, float)
    if table.ndim != 2:
        raise ShapeError(f"ratings are (units, raters), not {table.shape}")
    table = table[~np.isnan(table).any(1)]
    n, k = table.shape
    if n < 2 or k < 2:
        return None
    mean = table.mean()
    between = k * np.square(table.mean(1) - mean).sum() / (n - 1)
    raters = n * np.square(table.mean(0) - mean).sum() / (k - 1)
    left = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + mean
    error = np.square(left).sum() / ((n - 1) * (k - 1))
    whole = between + (k - 1) * error + k * (raters - error) / n
    return float((between - error) / whole) if whole > 0 else None


def as_classes(assessment: Assessment, scores: ArrayLike) -> Floats:
    """Class numbers from 0: five bins of quality, grades 1 to 4 of features, verdicts; NaN stays.

    >>> as_classes("quality", [0, 19.9, 20, 100]).tolist()
    [0.0, 0.0, 1.0, 4.0]
    """
    values = np.asarray(scores, float)
    if assessment == "quality":
        return np.minimum(np.floor(values / 20), 4)
    # Half a grade up, not to the even one.
    return np.floor(values + 0.5) - 1 if assessment == "features" else values


def _agreement(
    names: tuple[str, str],
    assessment: Assessment,
    first: Floats,
    second: Floats,
    blocks: Sequence[str],
    seed: int,
    coverage: float,
) -> JudgeAgreement:
    both = np.stack([first, second], axis=1)
    known = np.flatnonzero(~np.isnan(both).any(1))
    both, of = both[known], [blocks[i] for i in known.tolist()]
    statistic = _kappa_of(assessment)
    kappa = statistic(both) if len(both) else None
    counts = pair_table(*as_classes(assessment, both).T, classes=_CLASSES[assessment])
    interval = block_interval(both, of, statistic, seed=seed, coverage=coverage) if len(both) else None
    defect = assessment == "defect"
    return JudgeAgreement(
        names=names,
        assessment=assessment,
        n=len(both),
        kappa=kappa,
        interval=interval,
        band=None if kappa is None else landis_koch(kappa),
        pabak=pabak(counts) if defect else None,
        icc=None if defect else icc(both),
        alpha=krippendorff_alpha(both, level="nominal" if defect else "interval") if len(both) else None,
        difference=float((both[:, 0] - both[:, 1]).mean()) if len(both) else None,
        accepted=None if kappa is None else kappa >= ACCEPTED,
    )


def _kappa_of(assessment: Assessment) -> Callable[[Floats], float | None]:
    def kappa(both: Floats) -> float | None:
        counts = pair_table(*as_classes(assessment, both).T, classes=_CLASSES[assessment])
        return cohen_kappa(counts, weights="none" if assessment == "defect" else "quadratic")

    return kappa


def _column(grades: Sequence[Grade], judge: str, repeat: int, names: Sequence[str]) -> Floats:
    """Scores of one judge's repetition for each answer, NaN where there is none."""
    said = {one.answered: one.score for one in grades if one.judge == judge and one.repeat == repeat}
    return np.array([np.nan if said.get(name) is None else said[name] for name in names], float)


def _row(row: Mapping[str, str]) -> tuple[str, ...]:
    if not row["answered"] or not row["pair"] or not row["rater"]:
        raise ValueError("a rating has an answered, a pair and a rater")
    kind = next((one for one in ASSESSMENTS if one == row["assessment"]), None)
    if kind is None:
        raise ValueError(f"an assessment is {', '.join(ASSESSMENTS)}, not {row['assessment']!r}")
    value = row["value"]
    if value in ("", "NA") and (kind == "defect" or not value):
        return tuple(row.values())
    low, high = RANGES[kind]
    if kind == "defect" and value not in ("0", "1"):
        raise ValueError(f"a verdict on defects is 1, 0 or NA, not {value!r}")
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not low <= number <= high:
        raise ValueError(f"{kind} is a number from {low:g} to {high:g}, not {value!r}")
    return tuple(row.values())


def _grade(answered: str, pair: str, rater: str, assessment: str, value: str, *, repeat: int) -> Grade:
    defect = assessment == "defect"
    held = {
        "answered": answered, "pair": pair, "judge": f"person:{rater}", "assessment": assessment, "repeat": repeat,
        "score": None if value in ("", "NA") else float(value), "verdict": (value or None) if defect else None,
        "prompt": identity("rating page", "1"), "why": "" if value else "could not tell",
    }  # fmt: skip
    return Grade.model_validate(held)
