from __future__ import annotations

import pytest

from epistem.ask.chat import Scripted
from epistem.ask.prefer import Preference, Preferences, compare, couples, preferences
from epistem.ask.records import Answered, Pair, read_records, write_records
from epistem.ask.rubrics import ModelJudge
from epistem.core.errors import RecordError

PAIRS = [
    Pair(id=f"p{i}", figure="f", paper=str(i % 2), question="?", answer="Good.", category="general") for i in range(4)
]


def side(text: str) -> list[Answered]:
    return [Answered(id=f"{text}-{one.id}", pair=one.id, model="m", question="?", text=text) for one in PAIRS]


def judge(*replies: str) -> ModelJudge:
    return ModelJudge(Scripted([f'{{"reason": "so", "better": "{one}"}}' for one in replies]))


def ours(name: str) -> bool:
    return name.startswith("good")


def both(judge: ModelJudge, done: list[Preference] | None = None) -> list[Preference]:
    return list(compare(couples(PAIRS, side("good"), side("bad")), judge, done=done or []))


def told_of(found: list[Preference]) -> Preferences:
    return preferences(found, ours, lambda name: PAIRS[int(name[1:])].paper)


def test_a_judge_that_goes_by_content_never_flips() -> None:
    told = told_of(both(judge(*["first", "second"] * 4)))
    assert (told.n, told.first_wins, told.second_wins, told.ties) == (4, 4, 0, 0)
    assert told.preferred is not None
    assert told.preferred.value == 1
    assert told.flip_rate is not None
    assert told.flip_rate.value == 0
    assert told.first_position is not None
    assert told.first_position.value == 0.5


def test_a_judge_that_goes_by_position_always_flips_and_prefers_nobody() -> None:
    told = told_of(both(judge(*["first"] * 8)))
    assert (told.first_wins, told.second_wins, told.ties) == (0, 0, 4)
    assert told.preferred is not None
    assert told.preferred.value == 0
    assert told.flip_rate is not None
    assert told.flip_rate.value == 1
    assert told.first_position is not None
    assert told.first_position.value == 1


def test_the_share_that_is_preferred_has_its_interval_over_papers() -> None:
    found = both(judge(*["first", "second"] * 2, *["second", "first"] * 2))
    told = told_of(found)
    assert told.preferred is not None
    assert (told.first_wins, told.second_wins, told.preferred.value) == (2, 2, 0)
    assert told.preferred.low < 0 < told.preferred.high
    assert preferences(found, ours, lambda name: "one").preferred is None


def test_comparisons_without_a_verdict_are_counted_aside() -> None:
    told = told_of(both(ModelJudge(Scripted(lambda _: "garbage"))))
    assert (told.n, told.unscored, told.flip_rate, told.first_position) == (0, 4, None, None)


def test_what_was_compared_is_kept_by_judge_and_what_had_no_verdict_is_asked_again() -> None:
    first = [
        one.model_copy(update={"said": None} if i == 3 else {}) for i, one in enumerate(both(judge(*["tie"] * 8)))
    ]
    again = Scripted(['{"better": "second"}'])
    found = both(ModelJudge(again), first)
    assert [one.said for one in found] == ["tie"] * 3 + ["second"] + ["tie"] * 4
    other = ModelJudge(Scripted(lambda _: '{"better": "first"}'))
    other.name = "model:other"
    assert {one.said for one in both(other, first)} == {"first"}


def test_preferences_come_back_from_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = both(judge(*["tie"] * 8))
    write_records(tmp_path / "a.jsonl", found)
    assert read_records(tmp_path / "a.jsonl", Preference) == found
    assert told_of(found).ties == 4


def test_the_same_words_make_no_couple() -> None:
    same = [one.model_copy(update={"id": f"x-{one.id}"}) for one in side("good")[:1]]
    assert [pair.id for pair, _, _ in couples(PAIRS, side("good"), [*same, *side("bad")[1:]])] == ["p1", "p2", "p3"]


def test_one_order_alone_and_two_answers_of_one_side_are_refused() -> None:
    with pytest.raises(RecordError, match="both orders"):
        told_of(both(judge(*["tie"] * 8))[:-1])
    with pytest.raises(RecordError, match="at most one answer"):
        couples(PAIRS, side("good") * 2, side("bad"))
