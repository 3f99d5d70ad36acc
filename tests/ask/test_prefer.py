from __future__ import annotations

import pytest

from epistem.ask.chat import Scripted
from epistem.ask.prefer import Preference, compare, preferences
from epistem.ask.records import Answered, Pair, read_records, write_records
from epistem.ask.rubrics import ModelJudge
from epistem.core.errors import RecordError

PAIRS = [Pair(id=f"p{i}", figure="f", paper="1", question="?", answer="Good.", category="general") for i in range(4)]


def side(text: str) -> list[Answered]:
    return [Answered(id=f"{text}-{one.id}", pair=one.id, model="m", question="?", text=text) for one in PAIRS]


def judge(*replies: str) -> ModelJudge:
    return ModelJudge(Scripted([f'{{"reason": "so", "better": "{one}"}}' for one in replies]))


def ours(name: str) -> bool:
    return name.startswith("good")


def test_a_judge_that_goes_by_content_never_flips() -> None:
    found = list(compare(PAIRS, side("good"), side("bad"), judge(*["first", "second"] * 4)))
    told = preferences(found, ours)
    assert (told.n, told.first_wins, told.second_wins, told.ties) == (4, 4, 0, 0)
    assert told.flip_rate is not None
    assert told.flip_rate.value == 0
    assert told.first_position is not None
    assert told.first_position.value == 0.5


def test_a_judge_that_goes_by_position_always_flips_and_prefers_nobody() -> None:
    told = preferences(list(compare(PAIRS, side("good"), side("bad"), judge(*["first"] * 8))), ours)
    assert (told.first_wins, told.second_wins, told.ties) == (0, 0, 4)
    assert told.flip_rate is not None
    assert told.flip_rate.value == 1
    assert told.first_position is not None
    assert told.first_position.value == 1


def test_comparisons_without_a_verdict_are_counted_aside() -> None:
    garbage = ModelJudge(Scripted(lambda _: "garbage"))
    told = preferences(list(compare(PAIRS, side("good"), side("bad"), garbage)), ours)
    assert (told.n, told.unscored, told.flip_rate, told.first_position) == (0, 4, None, None)


def test_preferences_come_back_from_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found = list(compare(PAIRS, side("good"), side("bad"), judge(*["tie"] * 8)))
    write_records(tmp_path / "a.jsonl", found)
    assert read_records(tmp_path / "a.jsonl", Preference) == found
    assert preferences(found, ours).ties == 4


def test_one_order_alone_and_two_answers_of_one_side_are_refused() -> None:
    found = list(compare(PAIRS, side("good"), side("bad"), judge(*["tie"] * 8)))
    with pytest.raises(RecordError, match="both orders"):
        preferences(found[:-1], ours)
    with pytest.raises(RecordError, match="at most one answer"):
        list(compare(PAIRS, side("good") * 2, side("bad"), judge()))
