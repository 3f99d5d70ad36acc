import numpy as np
import pytest

from epistem.ask.records import Figure, Paper
from epistem.ask.unanswerable import FAMILIES, unanswerable_pairs
from epistem.ask.vocabulary import ABSTAIN
from epistem.core.errors import UnknownName

BARE = Figure(id="f", paper=Paper(id="p"), figure="1", caption="A picture.")


def drawn(figure=BARE, n=3, seed=0, **settings):
    return unanswerable_pairs(figure, n=n, rng=np.random.default_rng(seed), **settings)


def test_every_family_asks_of_a_bare_figure_and_every_answer_abstains():
    pairs = drawn(n=len(FAMILIES))
    assert {pair.maker.removeprefix("unanswerable:") for pair in pairs} == set(FAMILIES)
    for pair in drawn(n=100):
        assert not pair.answerable
        assert pair.evidence == ()
        assert "cannot" in pair.answer
        assert ABSTAIN.search(pair.answer)


def test_questions_are_never_repeated_and_end_when_there_are_no_more():
    questions = [pair.question for pair in drawn(n=1000)]
    assert len(set(questions)) == len(questions) == sum(len(family.questions) for family in FAMILIES.values())


def test_a_family_that_the_text_speaks_of_is_left_out():
    told = BARE.model_copy(update={"caption": "Annealed at 900 °C for 2 hours."})
    assert "unanswerable:history" not in {pair.maker for pair in drawn(told, n=50)}


def test_a_known_pixel_size_answers_questions_of_size():
    scaled = BARE.model_copy(update={"nm_per_px": 3.0})
    assert "unanswerable:scale" not in {pair.maker for pair in drawn(scaled, n=50)}
    assert drawn(scaled, families=["scale"]) == []


def test_an_unknown_family_is_refused():
    with pytest.raises(UnknownName, match="weather"):
        drawn(families=["weather"])


def test_none_are_drawn_where_none_are_wanted():
    assert drawn(n=0) == []
