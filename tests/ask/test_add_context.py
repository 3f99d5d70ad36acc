import json

import numpy as np
import pytest

from epistem.ask.add_context import add_context, known_attributes, leak, rouge_l
from epistem.ask.chat import ChatError, Scripted
from epistem.ask.records import Figure, Pair, Paper
from epistem.ask.scene_pairs import described_scene
from epistem.ask.scene_words import KINDS, MATERIALS, PROCESSED, PROPERTIES, scene_attributes
from epistem.core.errors import SettingsError

FIGURE = Figure(
    id="f", paper=Paper(id="p"), figure="1", technique="SEM", nm_per_px=12.0, material="a silicate glass",
    processing=("quenched in water",), properties=("brittle",), strip={"kV": "5"},
)  # fmt: skip
PAIR = Pair(
    id="1", figure="f", paper="p", question="What is visible?", category="defect_fracture",
    answer="Two long cracks cross the bright matrix. They branch near the edge of the specimen.",
)  # fmt: skip


def test_basic_moderate_and_high_hold_one_two_and_three_attributes_of_different_types():
    made = add_context(PAIR, FIGURE)
    assert made.refused == []
    assert [pair.level for pair in made.pairs] == ["basic", "moderate", "high"]
    assert [len(pair.attributes) for pair in made.pairs] == [1, 2, 3]
    assert [kind for kind, _ in made.pairs[2].attributes] == ["material_type", "processing_conditions", "properties"]
    for pair in made.pairs:
        assert pair.question.endswith(PAIR.question)
        assert (pair.answer, pair.base, pair.category) == (PAIR.answer, PAIR.id, PAIR.category)
        assert all(text in pair.question for _, text in pair.attributes)
    assert len({pair.id for pair in made.pairs}) == 3


def test_an_attribute_that_gives_the_answer_away_is_left_out():
    told = FIGURE.model_copy(update={"processing": ("loaded until cracks appeared",)})
    for pair in add_context(PAIR, told).pairs:
        assert "crack" not in pair.question


def test_too_little_known_means_no_variant_and_a_reason():
    bare = Figure(id="f", paper=Paper(id="p"), figure="1", material="a silicate glass")
    made = add_context(PAIR, bare)
    assert [pair.level for pair in made.pairs] == ["basic"]
    assert [level for level, _ in made.refused] == ["moderate", "high"]
    assert "wanted 2" in made.refused[0][1]


def test_nothing_is_known_of_an_empty_record():
    assert known_attributes(Figure(id="f", paper=Paper(id="p"), figure="1")) == []


def test_chance_changes_the_order_and_the_seed_repeats_it():
    def texts(seed):
        return [pair.question for pair in add_context(PAIR, FIGURE, rng=np.random.default_rng(seed)).pairs]

    assert texts(1) == texts(1)
    assert len({tuple(texts(seed)) for seed in range(6)}) > 1


def test_complex_questions_and_those_with_context_are_refused():
    for changed in ({"subcategory": "complex"}, {"level": "basic"}):
        with pytest.raises(SettingsError):
            add_context(PAIR.model_copy(update=changed), FIGURE)


def variant(level, question, *attributes):
    return {
        "level": level,
        "question": question,
        "attributes": [{"type": kind, "text": text} for kind, text in attributes],
    }


def test_variants_of_a_model_pass_the_same_tests():
    reply = [
        variant("basic", "In this silicate glass, what is visible?", ("material_type", "silicate glass")),
        variant(
            "moderate",
            "In this glass with cracks, what is visible?",
            ("material_type", "glass"),
            ("appearance", "cracks"),
        ),
        variant("high", "In this glass, what is visible?", ("material_type", "glass")),
    ]
    made = add_context(PAIR, FIGURE, model=Scripted([json.dumps(reply)]))
    assert [pair.level for pair in made.pairs] == ["basic"]
    assert made.pairs[0].maker.startswith("scripted, context ")
    why = dict(made.refused)
    assert "crack" in why["moderate"]
    assert why["high"] == "1 attributes, wanted 3"


def test_a_variant_that_asks_something_else_or_lacks_its_attribute_is_refused():
    other = PAIR.model_copy(update={"question": "What happened to the surface?"})
    reply = [
        variant("basic", "In this silicate glass, how thick is it?", ("material_type", "silicate glass")),
        variant("moderate", "What happened to the surface?", ("properties", "brittle"), ("other", "thin")),
    ]
    why = dict(add_context(other, FIGURE, model=Scripted([json.dumps(reply)])).refused)
    assert why["basic"] == "it asks another question"
    assert "brittle" in why["moderate"]
    assert why["high"] == "not written"


def test_a_model_that_is_down_or_writes_no_json_costs_all_three_and_says_why():
    def down(_):
        raise ChatError("down")

    assert [why for _, why in add_context(PAIR, FIGURE, model=Scripted(down)).refused] == ["down"] * 3
    made = add_context(PAIR, FIGURE, model=Scripted(["no", "no"]))
    assert made.pairs == []
    assert len(made.refused) == 3


def test_overlap_is_1_for_the_same_words_and_0_for_others():
    assert rouge_l("a b c", "a b c") == 1
    assert rouge_l("a b", "c d") == 0
    assert rouge_l("", "a") == 0
    assert rouge_l("a x b", "a b") == pytest.approx(0.8)


def test_words_that_the_bare_question_had_are_no_leak():
    assert not leak("Are pores seen?", "It is a glass. Are pores seen?", "Yes, pores are seen everywhere.").words
    assert leak("What is seen?", "It is porous. What is seen?", "Pores.").leaks


@pytest.mark.parametrize("kind", KINDS)
def test_context_of_simulated_scenes_reaches_the_highest_level_for_most_questions(kind):
    found = described_scene(kind, 4, shape=(96, 96))
    simple = [pair for pair in found.pairs if pair.subcategory == "simple" and pair.answerable]
    rng = np.random.default_rng(0)
    made = [add_context(one, found.figure, known=scene_attributes(kind, rng), rng=rng) for one in simple]
    assert sum(len(one.pairs) == 3 for one in made) > 0.7 * len(made)


def test_no_material_treatment_or_property_belongs_to_one_kind_only():
    for table in (MATERIALS, PROCESSED, PROPERTIES):
        assert set(table) == set(KINDS)
    shared = [one for kind in KINDS for one in MATERIALS[kind]]
    assert all(any(shared.count(one) > 1 for one in MATERIALS[kind]) for kind in KINDS if kind != "spherulites")
