from __future__ import annotations

import pytest

from epistem.ask.guesses import by_sentence, has_guess


def test_sentences_come_as_soon_as_the_next_begins_and_none_is_lost():
    heard = []

    def pieces():
        for piece in ("One gr", "ain. ", "A pore of 0.5 µm, see ca. 3. ", " The end"):
            heard.append(len(got))
            yield piece

    got: list[str] = []
    for one in by_sentence(pieces()):
        got.append(one)
    assert got == ["One grain.", "A pore of 0.5 µm, see ca. 3.", "The end"]
    assert heard == [0, 0, 0, 1]


def test_nothing_said_has_no_sentence():
    assert list(by_sentence([])) == list(by_sentence(["", "  "])) == []


@pytest.mark.parametrize(
    "sentence", ["It holds 11 pores.", "Twelve grains meet.", "About 1.1 % is covered.", "Held at 700 °C and 1 bar."]
)
def test_a_number_that_is_not_known_is_a_guess(sentence):
    assert has_guess(sentence, "annealed at 700 °C")


@pytest.mark.parametrize(
    "sentence",
    ["Grains of Al2O3 meet.", "Held at 700 °C.", "1. Grains meet.\n2. They are round.", "One pore is round."],
)
def test_a_formula_a_known_number_and_the_numbers_of_a_list_are_none(sentence):
    assert not has_guess(sentence, "annealed at 700 °C")
