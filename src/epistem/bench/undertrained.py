"""Which trainings were too short for their scores to stand in a ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from epistem.bench.profile import Training

LEAST_STEPS = 100
LATE, RISE = 0.1, 0.01


def too_short(curve: Sequence[Mapping[str, Any]], limit: int, asked: Training) -> str:
    """Why a training counts as undertrained, in words; "" if it does not.

    It does if the profile says so. One that early stopping ended never does. One that ended at its limit does after
    fewer than `LEAST_STEPS` steps, and where early stopping was waited for while the score still rose: its best in
    the last tenth of the steps is more than `RISE` above its best before. Who sets early_stopping to null asks for
    trainings of one length, and they are taken as they are.

    Args:
        curve: judgements with `step` and `score` (None: it gave no number).
        limit: steps that it could have at most.
        asked: of the profile.
    """
    if asked.undertrained:
        return "the profile says that it is too short"
    last = int(curve[-1]["step"])
    if last < limit:
        return ""
    if last < LEAST_STEPS:
        return f"it ended at its limit of {last} steps; {LEAST_STEPS} are the least that count"
    scored = [line for line in curve if line["score"] is not None]
    before = [line["score"] for line in scored if line["step"] <= (1 - LATE) * last]
    late = [line["score"] for line in scored if line["step"] > (1 - LATE) * last]
    if asked.early_stopping is not None and before and late and max(late) > max(before) + RISE:
        return f"it ended at its limit of {last} steps, and its validation score still rose"
    return ""
