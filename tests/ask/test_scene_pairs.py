import re

import numpy as np
import pytest

from epistem.ask.records import CATEGORIES
from epistem.ask.scene_facts import CRUMB_PX, scene_facts
from epistem.ask.scene_pairs import SHARES, SIZES_PX, described_scene, scene_pairs
from epistem.ask.scene_words import AFTERWARDS, CALLED, FROM, KINDS, TECHNIQUES, density, length, number
from epistem.core.errors import UnknownName
from epistem.core.instances import Instances
from epistem.core.micrograph import Calibration, Micrograph
from epistem.core.segmentation import Segmentation
from epistem.synth.scenes import LOOKS, SCENES, Scene

SMALL = (96, 112)


@pytest.mark.parametrize("kind", SCENES)
def test_every_kind_can_be_asked_about_in_all_categories(kind):
    found = described_scene(kind, 3, shape=SMALL, unanswerable=0)
    assert {pair.category for pair in found.pairs} >= set(CATEGORIES) - {"phase_composition"}
    assert found.micrograph.shape == SMALL
    assert kind in FROM
    assert kind in AFTERWARDS
    assert kind in SIZES_PX


def test_every_kind_has_words_and_nothing_else_has():
    assert set(KINDS) == set(SCENES)
    assert set(SHARES) <= set(SCENES)


def test_the_same_seed_gives_the_same_image_and_pairs():
    (first, pairs), (second, again) = (scene_pairs("pores", 5, shape=SMALL) for _ in range(2))
    assert first.id == second.id
    assert pairs == again


def test_another_seed_gives_another_image_and_other_phrases():
    questions = {scene_pairs("pores", seed, shape=SMALL)[1][0].question for seed in range(8)}
    assert len(questions) > 2


def two_squares() -> Scene:
    """A dark field of 20 × 40 px of 10 nm with two bright objects of 4 × 4 px, and a crumb of 1 px."""
    labels = np.zeros((20, 40), int)
    labels[2:6, 3:7], labels[12:16, 30:34], labels[18, 1] = 1, 2, 3
    inside = (labels > 0).astype(np.uint8)
    micrograph = Micrograph(100 * inside + 20, Calibration(10.0, 10.0, "simulation"))
    return Scene(micrograph, Segmentation(inside, ("rest", "thing")), Instances.from_labels(labels))


def test_facts_of_two_squares_are_those_of_two_squares():
    facts = scene_facts("particles", two_squares())
    assert facts.count == 2
    assert facts.density_per_um2 == pytest.approx(2 / (0.2 * 0.4))
    assert (facts.field_nm, facts.height_nm) == (400.0, 200.0)
    assert facts.share_percent == pytest.approx(100 * 33 / 800)
    assert facts.dark is False
    assert facts.mean_nm is None  # fewer than three lie wholly in the field
    assert facts.quarter is None  # none is clearly the largest
    assert CRUMB_PX > 1


def test_a_field_without_objects_has_no_sizes_and_a_count_of_zero():
    empty = np.zeros((20, 20), np.uint8)
    micrograph = Micrograph(empty, Calibration(1.0, 1.0, "simulation"))
    facts = scene_facts("pores", Scene(micrograph, Segmentation(empty, ("a", "b")), Instances.empty((20, 20))))
    assert facts.count == 0
    assert (facts.mean_nm, facts.dark, facts.extent_nm, facts.quarter) == (None, None, None, None)


@pytest.mark.parametrize("kind", ["pores", "particles", "cracks"])
def test_each_count_in_an_answer_is_the_true_one(kind):
    found = described_scene(kind, 11, shape=SMALL)
    counted = [pair for pair in found.pairs if pair.exact.get("count")]
    assert counted
    for pair in counted:
        assert pair.exact["count"] == found.facts.count
        assert re.search(rf"\b{found.facts.count} ", pair.answer)


def test_numbers_in_answers_are_those_that_are_exact_to_two_digits():
    found = described_scene("particles", 2, shape=SMALL)
    for pair in found.pairs:
        for name, value in pair.exact.items():
            if name.endswith("_percent"):
                said = [float(text) for text in re.findall(r"([\d.]+) %", pair.answer)]
                assert min(abs(one - value) for one in said) <= 0.051 * value


def test_answers_of_two_scenes_differ():
    answers = [{p.answer for p in scene_pairs("pores", seed, shape=SMALL, unanswerable=0)[1]} for seed in (1, 2)]
    assert len(answers[0] & answers[1]) < len(answers[0]) / 3


def test_an_answer_about_cracks_is_yes_only_where_there_are_cracks():
    for kind in ("grains", "cracks"):
        for seed in range(6):
            for pair in scene_pairs(kind, seed, shape=SMALL)[1]:
                if pair.category == "defect_fracture" and "crack" in pair.question and "free" not in pair.question:
                    assert pair.answer.startswith("Yes") == (kind == "cracks")


def test_pairs_belong_to_a_record_with_caption_and_pixel_size():
    found = described_scene("grains", 0, shape=SMALL)
    assert found.figure.nm_per_px == found.micrograph.needs_calibration().col_nm
    assert found.figure.caption.endswith(".")
    assert {pair.figure for pair in found.pairs} == {found.figure.id}
    assert {pair.paper for pair in found.pairs} == {found.figure.paper.id}
    assert len({pair.id for pair in found.pairs}) == len(found.pairs)


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_is_called_by_its_technique_and_never_by_another(look):
    for seed in range(4):
        found = described_scene("pores", seed, shape=SMALL, look=look)
        modality = found.micrograph.context.modality
        asked = [pair.answer for pair in found.pairs if TECHNIQUES[modality] in pair.answer]
        assert len(asked) == 1
        foreign = [word for name, words in CALLED.items() if name != modality for word in words]
        assert not any(found.figure.caption.startswith(word.split(" of")[0].split(":")[0]) for word in foreign)


def test_as_many_unanswerable_questions_come_as_were_asked_for():
    for wanted in (0, 3):
        pairs = scene_pairs("grains", 1, shape=SMALL, unanswerable=wanted)[1]
        assert sum(not pair.answerable for pair in pairs) == wanted


def test_an_unknown_kind_is_refused_with_what_there_is():
    with pytest.raises(UnknownName, match="meltpools"):
        scene_pairs("melt", 1)


def test_lengths_and_densities_take_the_unit_that_suits_them():
    assert [length(value) for value in (0.5, 999.0, 45_000.0, 2e6)] == ["0.50 nm", "1.0 µm", "45 µm", "2.0 mm"]
    assert density(2.0) == "2.0 per µm²"
    assert number(0.0) == "0"
