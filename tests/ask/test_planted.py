from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from epistem.ask.facts import defect_state
from epistem.ask.judge import Assessment, make_judge
from epistem.ask.planted import CONTROLS, contraries, halved, padded, planted_controls, turned_round, unrelated
from epistem.ask.records import Grade, Pair, identity
from epistem.core.errors import SettingsError

WRITTEN = [json.loads(line) for line in (Path(__file__).parent / "written_pairs.jsonl").read_text().splitlines()]
PAIRS = [
    Pair(
        id=identity(one["question"]), figure=one["paper"], paper=one["paper"], question=one["question"],
        answer=one["answer"], category=one["category"], subcategory=one["subcategory"],
    )
    for one in WRITTEN
]  # fmt: skip


class Flattering:
    """Gives every answer the same."""

    name = "flattering"

    def __init__(self, score: float | None) -> None:
        self.score = score

    def grade(
        self, question: str, benchmark: str, candidate: str, assessment: Assessment, *, context: Sequence[str] = ()
    ) -> Grade:
        return Grade(
            answered="", pair="", judge=self.name, assessment=assessment, score=self.score, why="said nothing",
            verdict=None if self.score is None or assessment != "defect" else "1",
        )  # fmt: skip


def test_every_control_holds_for_the_rules_on_the_pairs_they_were_made_on() -> None:
    found = planted_controls(make_judge("rules"), PAIRS)
    assert [row["control"] for row in found.table()] == list(CONTROLS)
    assert all(found.of(one) for one in CONTROLS)
    assert [row for row in found.rows if row.holds is not True] == []
    assert found.hold


def test_a_judge_that_likes_everything_is_caught() -> None:
    found = planted_controls(Flattering(100.0), PAIRS)
    held = {str(row["control"]): row["held"] == row["n"] for row in found.table()}
    assert held == {"benchmark": True, "unrelated": False, "negated": False, "padded": True}
    assert not found.hold


def test_unscored_controls_are_counted_and_do_not_hold() -> None:
    found = planted_controls(Flattering(None), PAIRS)
    assert not found.hold
    assert all(row["unscored"] == row["n"] and row["held"] == 0 for row in found.table())


def test_an_unrelated_answer_is_of_another_source_and_category() -> None:
    couples = unrelated(PAIRS, np.random.default_rng(0))
    assert len(couples) == len(PAIRS)
    assert all(one.paper != other.paper and one.category != other.category for one, other in couples)
    with pytest.raises(SettingsError, match="another paper"):
        planted_controls(make_judge("rules"), PAIRS, source=lambda _: "the same")


@pytest.mark.parametrize(
    ("text", "contrary"),
    [
        ("Cracks are visible at the rim.", "Cracks are not visible at the rim."),
        ("Yes, there are several cracks in it.", "there are no cracks in it."),
        ("The glass shows cracks.", "The glass shows no cracks."),
        ("Cracks can be seen in the glass.", "Cracks cannot be seen in the glass."),
    ],
)
def test_a_statement_on_a_defect_is_turned_round(text: str, contrary: str) -> None:
    assert turned_round("Are cracks visible?", text) == contrary


def test_contraries_are_of_what_is_firmly_said_of_defects_and_of_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for pair in PAIRS:
        texts = contraries(pair, rng)
        state = defect_state(pair.question, pair.answer)
        assert bool(texts) == (pair.category == "defect_fracture" and state in ("present", "absent"))
    shy = PAIRS[3].model_copy(update={"answer": "This may be a crack."})
    assert contraries(shy, rng) == []


def test_padding_keeps_the_text_and_ends_its_last_sentence() -> None:
    assert " Round pores. " in padded("Round pores", np.random.default_rng(0))
    assert halved("One. Two. Three.") == "One."
    assert halved("One.") is None
