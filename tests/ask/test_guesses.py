from __future__ import annotations

import pytest

from epistem.ask.guesses import by_sentence, without_guesses


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
    ("sentence", "told"),
    [
        ("It holds 11 pores.", "It holds … pores."),
        ("Twelve grains meet.", "… grains meet."),
        ("About 1.1 % is covered.", "About … % is covered."),
        ("They measure 5 to 9 µm.", "They measure … to … µm."),
        ("Held at 700 °C in 1 bar.", "Held at 700 °C in … bar."),
        ("Two of 1.5×10^3 nm and three.", "… of … nm and …."),
    ],
)
def test_a_number_that_is_not_known_is_not_told(sentence, told):
    got = without_guesses(sentence, "annealed at 700 °C")
    assert got.text == told
    assert got.blanks >= 1


@pytest.mark.parametrize(
    "sentence",
    ["Grains of Al2O3 meet.", "Held at 700 °C.", "1. Grains meet.\n2. They are round.", "One pore is round."],
)
def test_a_formula_a_known_number_and_the_numbers_of_a_list_stay(sentence):
    assert without_guesses(sentence, "annealed at 700 °C") == (sentence, 0)
