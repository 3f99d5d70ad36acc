from __future__ import annotations

import pytest

from epistem.ask.intents import intent_of, thing_called


@pytest.mark.parametrize(
    ("question", "asked", "thing"),
    [
        ("How many cavities are there?", "count", "cavity"),
        ("Count the pores in this image.", "count", "pore"),
        ("What is the mean diameter of the voids?", "size", "cavity"),
        ("How large are the particles on average?", "size", "particle"),
        ("What area fraction do the pores cover?", "fraction", "pore"),
        ("What is the number density of grains?", "density", "grain"),
        ("What does this image show?", "words", None),
        ("Are the grains round or elongated?", "words", "grain"),
    ],
)
def test_what_can_be_measured_is_told_by_its_words(question, asked, thing):
    assert intent_of(question)[:2] == (asked, thing)


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("At what accelerating voltage was it taken?", "voltage"),
        ("What is the pixel size?", "pixel size"),
        ("How wide is the field of view?", "field of view"),
    ],
)
def test_what_a_strip_says_is_read(question, subject):
    assert intent_of(question).asked == "written"
    assert intent_of(question).subject == subject


@pytest.mark.parametrize(
    "question",
    ["What is the Young's modulus of this alloy?", "How deep below the surface do the pores reach?",
     "Which elements is the sample made of?", "How fast did the crack grow?"],
)  # fmt: skip
def test_what_no_image_shows_is_known_as_such(question):
    assert intent_of(question).asked == "unseen"


@pytest.mark.parametrize(
    ("question", "asked", "thing", "which"),
    [
        ("What is the mean pore size?", "size", "pore", "mean"),
        ("average particle diameter", "size", "particle", "mean"),
        ("largest pore diameter", "size", "pore", "largest"),
        ("largest diameter of the pores", "size", "pore", "largest"),
        ("How large is the smallest particle?", "size", "particle", "smallest"),
        ("What is the median pore diameter in nm?", "size", "pore", "median"),
        ("What is the standard deviation of the pore diameters?", "size", "pore", "sd"),
        ("pore density", "density", "pore", "mean"),
        ("How many pores per µm² are there?", "density", "pore", "mean"),
        ("What is the porosity?", "fraction", "pore", "mean"),
        ("What fraction of the area do the bubbles occupy?", "fraction", "cavity", "mean"),
        ("How many pores can you see at this magnification, please?", "count", "pore", "mean"),
        ("How many pores are in the field of view?", "count", "pore", "mean"),
    ],
)
def test_filler_words_and_a_thing_inside_a_quantity_are_no_qualifier(question, asked, thing, which):
    intent = intent_of(question)
    assert (intent.asked, intent.thing, intent.which, intent.left) == (asked, thing, which, "")


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("How many pores are in the largest grain?", "largest grain"),
        ("How many particles touch each other?", "touch each other"),
        ("How large is the pore in the upper left corner?", "upper left corner"),
        ("Size of the particles relative to the pores", "relative to the pores"),
        ("What percentage of the pores is round?", "round"),
        ("What is the porosity of the grains?", "grains"),
        ("How many pores are not larger than 50 nm?", "not"),
        ("How many pores are larger than 50 nm²?", "larger than 50 nm²"),
        ("What are the mean and maximum pore diameter?", "and maximum"),
        ("What is the average crack width?", "width"),
        ("How many layers are there?", "layers"),
    ],
)
def test_what_a_measurement_does_not_take_into_account_is_left(question, left):
    intent = intent_of(question)
    assert intent.asked in ("count", "size", "fraction")
    assert intent.left == left


@pytest.mark.parametrize(
    ("question", "limit"),
    [
        ("How many pores are larger than 50 nm?", ("above", 50, "nm", "50 nm")),
        ("How many pores with a diameter below 0.1 µm are there?", ("below", 100, "nm", "0.1 µm")),
        ("How many pores have a diameter above 7 px?", ("above", 7, "px", "7 px")),
    ],
)
def test_a_diameter_to_compare_with_is_a_limit(question, limit):
    intent = intent_of(question)
    assert (intent.asked, intent.limit, intent.left) == ("count", limit, "")


@pytest.mark.parametrize(
    "question",
    [
        "Is the fracture surface ductile or brittle?",
        "Are fatigue striations visible?",
        "Are there impurities visible?",
        "Are pores visible at this magnification?",
        "Does it look as if the coating had high adhesion strength?",
        "Can you see signs of residual stress?",
        "Why is the number of pores so high?",
        "Are the grains of uniform size?",
        "What does the grain size suggest?",
        "Which particles have the largest size?",
    ],
)
def test_what_is_seen_or_explained_is_for_words(question):
    assert intent_of(question).asked == "words"


def test_a_cross_section_shows_thickness_and_a_surface_does_not():
    assert intent_of("How thick is the oxide layer in this cross-section?").asked == "size"
    assert intent_of("How thick is the oxide layer?").asked == "unseen"


@pytest.mark.parametrize(
    "question", ["How ductile is it?", "What is the fatigue life?", "Which impurities are visible?"]
)
def test_a_value_stays_unseen_where_its_traces_are_seen(question):
    assert intent_of(question).asked == "unseen"


@pytest.mark.parametrize(
    "question", ["How long is the scale bar?", "What is the scale bar length?", "Is there a scale bar?",
                 "What does the micron marker say?"]
)  # fmt: skip
def test_a_scale_bar_is_read_and_not_measured_or_told_in_words(question):
    assert intent_of(question)[:3] == ("written", None, "scale bar")


def test_a_thing_beside_a_scale_bar_is_what_is_asked_about():
    assert intent_of("How many pores are larger than the scale bar?").left == "larger than the scale bar"
    assert intent_of("Is the crack longer than the scale bar?").asked == "words"


@pytest.mark.parametrize("question", ["What is the largest pore?", "Give the biggest pore."])
def test_the_largest_thing_is_asked_for_by_its_size(question):
    assert intent_of(question)[:4] == ("size", "pore", None, "largest")
    assert intent_of("How many cracks are in the largest pore?")[:2] == ("count", "crack")


def test_a_name_that_somebody_gave_is_a_thing_before_what_rules_know():
    assert (
        intent_of("What area fraction do the grain boundaries cover?", ["grain boundary"]).thing == "grain boundary"
    )
    assert intent_of("What area fraction do the grain boundaries cover?").left == "boundaries"
    assert intent_of("How many matrixes are there?", ["matrix"]).thing == "matrix"


def test_class_names_are_understood_as_the_words_of_questions_are():
    assert [thing_called(one) for one in ("Precipitate", "pores", "dislocation_loop", "gamma prime")] == [
        "particle", "pore", "loop", None
    ]  # fmt: skip
