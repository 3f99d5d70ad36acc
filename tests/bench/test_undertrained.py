"""Which trainings were too short to be ranked."""

from __future__ import annotations

from typing import Any

import pytest

from epistem.bench.profile import Training
from epistem.bench.undertrained import too_short

WAITS, FIXED = Training(max_steps=200), Training(max_steps=200, early_stopping=None)


def curve(*scores: float | None, last: int = 200) -> list[dict[str, Any]]:
    """Judgements at equal distances."""
    n = len(scores)
    return [{"step": last * (i + 1) // n, "score": score} for i, score in enumerate(scores)]


FLAT, RISING = [0.5] * 10, [0.1 * i for i in range(10)]


@pytest.mark.parametrize(
    ("lines", "limit", "asked", "said"),
    [
        (curve(*FLAT), 200, WAITS, ""),
        (curve(*RISING), 200, WAITS, "its validation score still rose"),
        (curve(*RISING), 200, FIXED, ""),
        (curve(*RISING, last=150), 200, WAITS, ""),
        (curve(*FLAT, last=6), 6, WAITS, "its limit of 6 steps"),
        (curve(*FLAT, last=6), 6, FIXED, "its limit of 6 steps"),
        (curve(*FLAT, last=6), 200, WAITS, ""),
        (curve(*[0.5] * 9, 0.505), 200, WAITS, ""),
        (curve(*[None] * 10), 200, WAITS, ""),
    ],
)
def test_a_training_is_too_short_by_its_steps_or_where_it_still_rose_at_its_limit(
    lines: list[dict[str, Any]], limit: int, asked: Training, said: str
) -> None:
    why = too_short(lines, limit, asked)
    assert said in why
    assert bool(said) == bool(why)


def test_what_the_profile_calls_too_short_is_whatever_its_curve() -> None:
    assert "the profile says" in too_short(curve(*FLAT), 200, Training(undertrained=True))
