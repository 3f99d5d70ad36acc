import numpy as np
import pytest

from epistem.ask.checks import CHECKS, PUBLISHED, Rules, cosines, likeness, refusals
from epistem.ask.records import Figure, Pair, Paper

TEXT = (
    "The fracture surface shows elongated pores of 3.5 µm at the boundaries of the grains. "
    "Sintering at 900 °C for 2 h left a dense matrix. Cracks start at the largest pores."
)
FIGURE = Figure(id="f", paper=Paper(id="p"), figure="1", caption="Fracture surface.", mentions=(TEXT,))
QUESTION = "Which flaws can be seen between the crystals?"
ANSWER = (
    "Elongated pores of 3.5 µm lie at the boundaries of the grains. The matrix around them is dense. "
    "The largest pores are where cracks start."
)


def pair(**changed) -> Pair:
    given = {"id": "1", "figure": "f", "paper": "p", "question": QUESTION, "answer": ANSWER, "evidence": (TEXT,)}
    return Pair(**({"category": "defect_fracture", **given} | changed))


def failed(**changed) -> set[str]:
    return {one.check for one in refusals(pair(**changed), FIGURE)}


def test_a_good_pair_passes_every_check():
    assert refusals(pair(), FIGURE) == []


FAULTS = (
    (
        "length",
        {"answer": "Elongated pores of 3.5 µm lie at the boundaries of the grains, and cracks start there."},
    ),
    ("length", {"answer": "Pores. Cracks. Grains."}),
    ("abbreviation", {"answer": ANSWER.replace("Elongated", "SEM: elongated")}),
    ("sample_name", {"answer": ANSWER.replace("The matrix", "The matrix of S2")}),
    ("sample_name", {"question": "Which flaws can be seen in glass B?"}),
    ("reference", {"answer": ANSWER.replace("Elongated", "As the authors say, elongated")}),
    ("reference", {"question": "Which flaws does Figure 1 show between the crystals?"}),
    (
        "given_away",
        {"question": "Do long pores of 3.5 µm lie at grain boundaries in a dense matrix where cracks start?"},
    ),
    ("evidence", {"evidence": ()}),
    ("evidence", {"evidence": ("Bubbles of gas rise through the melt.",)}),
    ("numbers", {"answer": ANSWER.replace("3.5", "5.3")}),
    ("numbers", {"answer": ANSWER.replace("3.5 µm", "3.5 mm")}),
    ("category", {"category": "processing_environment", "evidence": ("Cracks start at the largest pores.",)}),
)


@pytest.mark.parametrize(("check", "changed"), FAULTS)
def test_each_fault_is_refused_by_its_check(check, changed):
    assert check in failed(**changed)


def test_every_check_has_a_fault_that_it_refuses():
    assert {check for check, _ in FAULTS} | {"duplicate"} == set(CHECKS)


def test_a_number_in_another_unit_of_the_same_length_is_the_same_number():
    assert "numbers" not in failed(answer=ANSWER.replace("3.5 µm", "3500 nm"))


def test_nearly_the_same_pair_and_the_same_answer_are_duplicates():
    again = pair(id="2", question="Which flaw can be seen between the crystals?")
    assert [one.check for one in refusals(again, FIGURE, kept=[pair()])] == ["duplicate"]
    other = pair(id="3", question="What limits the strength of this ceramic body?")
    assert [one.check for one in refusals(other, FIGURE, kept=[pair()])] == ["duplicate"]


def test_vectors_handed_in_decide_on_duplicates():
    other = pair(id="2", question="What is dense?", answer=ANSWER.replace("Elongated", "Long"))
    ones = refusals(other, FIGURE, kept=[pair()], encode=lambda texts: np.ones((len(texts), 3)))
    apart = refusals(other, FIGURE, kept=[pair()], encode=lambda texts: np.eye(len(texts)))
    assert [one.check for one in ones] == ["duplicate"]
    assert apart == []


def test_what_an_image_cannot_tell_needs_neither_evidence_nor_three_sentences():
    assert failed(answer="The image cannot tell.", evidence=(), answerable=False, question="How hard is it?") == set()


def test_what_is_exact_by_simulation_needs_no_evidence():
    assert failed(answer="There are 12 pores.", evidence=(), exact={"count": 12.0}) == set()


def test_rules_can_be_relaxed_but_complex_answers_keep_three_sentences():
    short = pair(answer="Cracks start at the largest pores of the body.")
    relaxed = Rules(fewest_sentences=1, fewest_signs=20)
    assert refusals(short, FIGURE, rules=relaxed) == []
    found = refusals(short.model_copy(update={"subcategory": "complex"}), FIGURE, rules=relaxed)
    assert [one.check for one in found] == ["length"]
    assert PUBLISHED.fewest_sentences == 3


def test_evidence_is_found_across_line_ends_case_and_signs():
    assert likeness("the Fracture sur-\nface shows  elongated pores of 3.5 μm", TEXT) == 100


def test_evidence_with_a_slip_is_found_and_with_another_number_is_not():
    assert 90 <= likeness("The fracture surfaces show elongated pores of 3.5 µm at the boundaries", TEXT) < 100
    assert likeness("The fracture surface shows elongated pores of 8.5 µm at the boundaries", TEXT) < 90
    assert likeness("", TEXT) == 0


def test_likeness_of_texts_is_1_to_itself_and_0_to_what_shares_no_word():
    found = cosines(["round pores", "round pores", "bright crystal"])
    np.testing.assert_allclose(found, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-12)
