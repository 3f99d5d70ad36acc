from __future__ import annotations

import pytest

from epistem.ask.intents import intent_of


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
