from __future__ import annotations

import json

import pytest

from benchmarks.record import ROOT
from epistem.ask.english import is_foreign


@pytest.mark.parametrize(
    "question",
    ["Wie viele Poren gibt es?", "Was zeigt dieses Bild?", "Combien de pores y a-t-il dans cette image ?",
     "¿Cuántos poros hay en la imagen?", "Quante particelle sono visibili?", "Hoeveel poriën zijn er?",
     "Сколько пор на снимке?", "有多少个孔？"],
)  # fmt: skip
def test_other_languages_are_told_by_their_small_words(question):
    assert is_foreign(question)


def test_no_english_question_that_others_wrote_is_taken_for_another_language():
    questions = json.loads((ROOT / "benchmarks" / "ask_questions.json").read_text("utf-8"))
    english = [*questions["answerable"], *questions["unanswerable"]]
    assert len(english) > 50
    assert [one for one in english if is_foreign(one)] == []


@pytest.mark.parametrize("question", ["", "pores", "grain size distribution", "Is it an in situ image of α-Fe?"])
def test_what_shows_no_sign_is_not_called_foreign(question):
    assert not is_foreign(question)
