from __future__ import annotations

import pytest

from epistem.ask.facts import asks_of_absence, defect_state, mismatched, opposed, read, to_the_point

ANY, CRACKS = "Are any defects visible?", "Are cracks visible?"


@pytest.mark.parametrize(
    ("text", "of_any", "of_cracks"),
    [
        ("No cracks, pores, or voids are visible.", "absent", "absent"),
        ("Cracks, pores and voids are not visible.", "absent", "absent"),
        ("Pores are visible, cracks are not visible.", "present", "absent"),
        ("There are no cracks, only pores.", "present", "absent"),
        ("The surface is crack-free and smooth.", "absent", "absent"),
        ("The sample is free of cracks but shows pores.", "present", "absent"),
        ("The surface is not free of cracks.", "present", "present"),
        ("Yes, there are cracks.", "present", "present"),
        ("No, the surface is smooth.", "absent", "absent"),
        ("Neither cracks nor pores were detected and the surface is smooth.", "absent", "absent"),
        ("Not only cracks but also pores are visible.", "present", "present"),
        ("Cracks are absent.", "absent", "absent"),
        ("No defects were found.", "absent", "absent"),
        ("This may indicate a defect.", "unclear", "silent"),
        ("Cracks may be present.", "unclear", "unclear"),
        ("A crack is likely present.", "unclear", "unclear"),
        ("Cracks cannot be ruled out.", "unclear", "unclear"),
        ("The cracks may be due to cooling.", "present", "present"),
        ("No crack could be seen.", "absent", "absent"),
        ("It cannot be determined from the image whether cracks are present.", "needs_more_info", "needs_more_info"),
        ("More information is needed.", "needs_more_info", "needs_more_info"),
        ("The grains are round.", "silent", "silent"),
        ("Pores are visible.", "present", "silent"),
        ("", "silent", "silent"),
    ],
)
def test_a_text_says_whether_a_defect_is_there(text: str, of_any: str, of_cracks: str) -> None:
    assert (defect_state(ANY, text), defect_state(CRACKS, text)) == (of_any, of_cracks)


def test_a_question_may_rule_the_defect_out_itself() -> None:
    assert asks_of_absence("Why does the glass have no cracks?")
    assert not asks_of_absence("Are cracks visible in the glass?")


def test_what_one_affirms_and_the_other_denies_is_opposed() -> None:
    assert opposed(read("Cracks are visible in the glass."), read("No cracks are visible in the glass.")) == ["crack"]
    assert opposed(read("Cracks are visible."), read("Fissures are visible.")) == []


def test_opposite_words_contradict_where_they_are_said_of_one_thing() -> None:
    smooth = read("The fibres are smooth.")
    assert opposed(smooth, read("The fibres are rough.")) == ["smooth"]
    assert opposed(smooth, read("The matrix is rough.")) == []
    assert opposed(smooth, read("The fibres are smooth; rough spots are rare on the fibres.")) == []


def test_where_something_is_not_denied_its_place_is_affirmed() -> None:
    said = {one.lemma: one.affirmed for one in read("No voids are evident on the facets.").claims}
    assert said == {"pore": False, "facet": True}


def test_numbers_of_one_thing_that_differ_are_a_mismatch() -> None:
    one = read("The pores are 5 µm wide. The field is 100 µm wide.")
    assert len(mismatched(one, read("The pores are 5 nm wide."))) == 1
    assert mismatched(one, read("The pores are 5000 nm wide.")) == []
    assert mismatched(one, read("Heating took 5 hours.")) == []


def test_padding_is_not_to_the_point_and_a_bare_number_is() -> None:
    about = {"crack", "glass"}
    reading = to_the_point(read("What a lovely morning in the garden. The glass is cracked. 12."), about)
    assert {one.sentence for one in reading.claims} == {1}
    assert len(reading.numbers) == 1
