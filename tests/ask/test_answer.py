from __future__ import annotations

import numpy as np
import pytest

from epistem.ask.answer import abstains, answer
from epistem.core.instances import Instances
from epistem.core.micrograph import Calibration, Context, Micrograph

PIXELS = np.zeros((40, 50), np.uint8)
KNOWN = Micrograph(PIXELS, Calibration(2.0, 2.0, "metadata"), Context(beam_keV=15.0))
UNKNOWN = Micrograph(PIXELS)


class Squares:
    """Finds two squares of 4 × 4 px wherever it looks."""

    name, finds = "squares", ("pore",)

    def __call__(self, micrograph):
        labels = np.zeros(micrograph.shape, int)
        labels[5:9, 5:9], labels[20:24, 30:34] = 1, 2
        return Instances.from_labels(labels)


class Unequal(Squares):
    """Finds squares of 2, 4 and 9 px."""

    def __call__(self, micrograph):
        labels = np.zeros(micrograph.shape, int)
        labels[2:4, 2:4], labels[10:14, 10:14], labels[20:29, 20:29] = 1, 2, 3
        return Instances.from_labels(labels)


class Nothing(Squares):
    def __call__(self, micrograph):
        return Instances.empty(micrograph.shape)


class Words:
    name = "words"

    def __init__(self):
        self.asked = []

    def __call__(self, image, text):
        self.asked.append(text)
        yield "Grains "
        yield "meet here."


def test_a_count_is_the_tool_s_own():
    said = answer(KNOWN, "How many pores are there?", tools=(Squares(),), speaker=Words())
    assert said.statements[0].source == "measured"
    assert (said.statements[0].value, said.statements[0].unit) == (2.0, "1")
    assert said.text.startswith("There are 2 pores in the field (measured by squares)")


def test_a_size_has_the_unit_of_the_pixel_size():
    side = 2 * np.sqrt(16 / np.pi)
    in_nm = answer(KNOWN, "What is the mean diameter of the pores?", tools=(Squares(),)).statements[0]
    in_px = answer(UNKNOWN, "What is the mean diameter of the pores?", tools=(Squares(),)).statements[0]
    assert (in_nm.value, in_nm.unit) == (pytest.approx(2 * side), "nm")
    assert (in_px.value, in_px.unit) == (pytest.approx(side), "px")
    assert "pixel size is not known" in in_px.text


def test_an_area_share_and_a_density_are_measured():
    share = answer(KNOWN, "What area fraction do the pores cover?", tools=(Squares(),)).statements[0]
    dense = answer(KNOWN, "What is the number density of the pores?", tools=(Squares(),)).statements[0]
    assert (share.value, share.unit) == (pytest.approx(100 * 32 / 2000), "%")
    assert (dense.value, dense.unit) == (pytest.approx(2 / (2000 * 4e-6)), "1/µm²")


def test_a_density_without_pixel_size_is_not_given_per_area():
    said = answer(UNKNOWN, "What is the number density of the pores?", tools=(Squares(),))
    assert said.abstained
    assert said.statements[0].unit == "1/px²"


def test_nothing_found_has_no_size():
    said = answer(KNOWN, "What is the mean diameter of the pores?", tools=(Nothing(),)).statements[0]
    assert said.value is None
    assert "none has a size" in said.text


def test_what_the_file_says_is_read_and_what_it_does_not_say_is_not_guessed():
    assert "15 kV" in answer(KNOWN, "What accelerating voltage was used?").text
    assert answer(UNKNOWN, "What accelerating voltage was used?", speaker=Words()).abstained
    strip = {"working distance": "8.5 mm"}
    assert "8.5 mm" in answer(UNKNOWN, "What was the working distance?", strip=strip).text


def test_what_no_image_shows_is_refused_and_no_model_is_asked():
    words = Words()
    said = answer(KNOWN, "What is the hardness of this material?", speaker=words)
    assert said.abstained
    assert words.asked == []


def test_other_questions_are_streamed_and_said_to_be_words():
    pieces, words = [], Words()
    said = answer(KNOWN, "What is shown?", speaker=words, context="sintered", told=pieces.append)
    assert pieces == ["Grains ", "meet here."]
    assert [one.source for one in said.statements] == ["language"]
    assert words.asked == ["Known of the sample: sintered\nWhat is shown?"]


def test_a_number_that_no_tool_measures_is_declined_unless_guesses_are_wanted():
    said = answer(KNOWN, "How many grains are there?", tools=(Squares(),), speaker=Words())
    assert said.abstained
    assert "no detector here finds grains (there is one for pores)" in said.text
    guessed = answer(KNOWN, "How many grains are there?", tools=(Squares(),), speaker=Words(), guess_numbers=True)
    assert (guessed.statements[0].source, guessed.statements[0].value) == ("language", None)


def test_a_question_that_is_known_to_have_no_answer_is_declined():
    said = answer(KNOWN, "Would you buy it?", speaker=Words(), declines=lambda question: "buy" in question)
    assert said.abstained


def test_an_answer_that_refuses_is_seen_as_such():
    assert abstains("This cannot be told from the image, because it has no depth.")
    assert not abstains("There are 12 pores.")


SIDE_NM = 2 * 2 / np.sqrt(np.pi)


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What is the mean pore size?", 5 * SIDE_NM),
        ("What is the largest pore diameter?", 9 * SIDE_NM),
        ("How large is the smallest pore?", 2 * SIDE_NM),
        ("What is the median pore diameter?", 4 * SIDE_NM),
        ("What is the standard deviation of the pore diameters?", np.std([2, 4, 9], ddof=1) * SIDE_NM),
    ],
)
def test_the_value_is_the_statistic_that_was_asked_for(question, value):
    said = answer(KNOWN, question, tools=(Unequal(),)).statements[0]
    assert (said.value, said.unit, said.source) == (pytest.approx(value), "nm", "measured")


@pytest.mark.parametrize(
    ("question", "n"), [("How many pores are larger than 5 nm?", 2), ("How many pores are smaller than 5 nm?", 1)]
)
def test_those_beyond_a_diameter_are_counted(question, n):
    said = answer(KNOWN, question, tools=(Unequal(),)).statements[0]
    assert (said.value, said.unit) == (n, "1")
    assert f"Of 3 pores in the field, {n}" in said.text


def test_nothing_is_compared_with_nanometres_without_a_pixel_size():
    said = answer(UNKNOWN, "How many pores are larger than 5 nm?", tools=(Unequal(),))
    assert said.abstained
    assert said.statements[0].value is None


def test_of_nothing_found_none_is_larger():
    assert answer(KNOWN, "How many pores are larger than 5 nm?", tools=(Nothing(),)).statements[0].value == 0


def test_one_thing_has_no_standard_deviation():
    class One(Squares):
        def __call__(self, micrograph):
            labels = np.zeros(micrograph.shape, int)
            labels[5:9, 5:9] = 1
            return Instances.from_labels(labels)

    said = answer(KNOWN, "What is the standard deviation of the pore size?", tools=(One(),))
    assert said.abstained


def test_a_question_on_a_part_is_not_answered_with_the_number_of_all():
    words = Words()
    said = answer(KNOWN, "How many pores are in the largest grain?", tools=(Squares(),), speaker=words)
    assert said.abstained
    assert (said.statements[0].source, words.asked) == ("language", [])
    assert "measured are all pores of the field" in said.text
    assert '"largest grain"' in said.text


def test_a_thing_no_rule_knows_is_not_what_the_only_tool_finds():
    said = answer(KNOWN, "How many layers are there?", tools=(Squares(),))
    assert said.abstained
    assert said.statements[0].value is None
    assert answer(KNOWN, "How many are there?", tools=(Squares(),)).statements[0].value == 2
