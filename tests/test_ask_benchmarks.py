"""What the benchmarks of the assistant rest on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gguf")

from benchmarks.ask_context_training import by_image, scene_set_in_context
from benchmarks.ask_four_bits import Q4_1, first_power, rounded
from epistem.ask.assess import scored_rows
from epistem.ask.records import Answered, Figure, Grade, Pair, read_records


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).standard_normal((200, 576)).astype(np.float32)


def test_a_second_rounding_on_the_same_blocks_changes_nothing(normal):
    assert np.allclose(rounded(rounded(normal)), rounded(normal), atol=2e-3)


def test_a_second_rounding_on_other_blocks_errs_as_much_again_and_independently(normal):
    once = rounded(normal)
    twice = rounded(once, np.random.default_rng(1).permutation(576))
    first, second = once - normal, twice - once
    assert second.std() == pytest.approx(first.std(), rel=0.03)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01
    assert np.corrcoef(once.ravel(), twice.ravel())[0, 1] > 0.99  # each weight is where it was


def test_the_steps_in_a_file_tell_how_large_its_rounding_error_is(normal):
    from gguf.quants import quantize

    told = first_power(quantize(normal, Q4_1))
    assert told == pytest.approx(float(((rounded(normal) - normal) ** 2.0).sum()), rel=0.02)


def test_each_question_of_the_context_set_comes_without_and_with_three_things_known(tmp_path):
    scene_set_in_context(tmp_path, 500_000, 2, "train")
    pairs, figures = read_records(tmp_path / "pairs.jsonl", Pair), read_records(tmp_path / "figures.jsonl", Figure)
    assert [one.level for one in pairs] == 6 * ["none", "high"]
    assert {one.split for one in pairs} == {"train"}
    for bare, known in zip(pairs[::2], pairs[1::2], strict=True):
        assert (known.base, known.answer) == (bare.id, bare.answer)
        assert known.question.endswith(bare.question)
        kinds = [kind for kind, _ in known.attributes]
        assert kinds == ["material_type", "processing_conditions", "properties"]
    assert all((tmp_path / str(one.image)).exists() for one in figures)


def test_the_right_image_is_told_from_another_one_by_question():
    pair = Pair(id="p", figure="f", paper="f", question="?", answer="Pores.", category="general")
    said = [Answered(id=name, pair="p", model="m", question="?", text="-", condition=name)
            for name in ("real", "shuffled")]  # fmt: skip
    grades = [Grade(answered=name, pair="p", judge="rules-1", assessment="quality", score=score)
              for name, score in (("real", 80.0), ("shuffled", 30.0))]  # fmt: skip
    assert [one.to_dict() for one in by_image(scored_rows([pair], said, grades))] == [{"p": 80.0}, {"p": 30.0}]
