from __future__ import annotations

import pytest

from epistem.ask.mentions import (
    caption_parts,
    caption_start,
    cited,
    doi_in,
    keywords_in,
    licence_in,
    mentions_of,
    sentences,
    year_in,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Figure 2. SEM image of glass", "2"),
        ("Fig. 12 SEM image of glass", "12"),
        ("FIGURE 3: Grains", "3"),
        ("Figure 4 | Grains", "4"),
        ("Figure S1. Grains", "S1"),
        ("Supplementary Figure 1. Grains", "S1"),
        ("Extended Data Fig. 2. Grains", "S2"),
    ],
)
def test_a_caption_is_known_by_its_label(text, number):
    start = caption_start(text)
    assert start is not None
    assert (start.number, start.reads_on, start.is_table) == (number, False, False)
    assert start.rest.startswith(("SEM", "Grains"))


@pytest.mark.parametrize(
    "text", ["Figure 2 shows grains.", "Fig. 2a and b show", "Fig. 2, the grains", "Fig. 2). The"]
)
def test_a_sentence_that_begins_with_a_figure_reads_on(text):
    start = caption_start(text)
    assert start is None or start.reads_on


@pytest.mark.parametrize("text", ["Figures of merit", "Figure skating", "See Fig. 2", ""])
def test_text_without_a_label_is_no_caption(text):
    assert caption_start(text) is None


def test_a_table_is_told_from_a_figure():
    start = caption_start("Table 1. Compositions")
    assert start is not None
    assert start.is_table


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("Glass after: (a) 1 h; (b) 2 h.", {"a": "1 h", "b": "2 h"}),
        ("(a–c) SEM images and (d) XRD", {"a": "SEM images", "b": "SEM images", "c": "SEM images", "d": "XRD"}),
        ("(a, b) surface, (c) fracture", {"a": "surface", "b": "surface", "c": "fracture"}),
        ("Images of glass (a), crystal (b) and melt (c).", {"a": "Images of glass", "b": "crystal", "c": "melt"}),
        ("Title. a, Surface of glass. b, Its fracture.", {"a": "Surface of glass", "b": "Its fracture"}),
        ("(a) SEM image; (b) part of (a); (c) plot", {"a": "SEM image", "b": "part of (a)", "c": "plot"}),
        ("Grains with pores (b) are seen.", {}),
        ("One picture of grains.", {}),
    ],
)  # fmt: skip
def test_the_parts_of_a_caption(caption, parts):
    assert caption_parts(caption).by_letter == parts


def test_a_panels_text_has_what_stands_before_all_parts():
    parts = caption_parts("SEM of glass after etching: (a) 1 h; (b) 2 h.")
    assert parts.of("b") == "SEM of glass after etching: 2 h"
    assert parts.of("c") is None


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("see Fig. 2", {"2": ""}),
        ("see Figs. 1–3", {"1": "", "2": "", "3": ""}),
        ("(Figures 1, 2 and 4)", {"1": "", "2": "", "4": ""}),
        ("Fig. 4a–c and Fig. 5(b)", {"4": "abc", "5": "b"}),
        ("Figs. 2a and 3", {"2": "a", "3": ""}),
        ("Figure S2 and Supplementary Fig. 3", {"S2": "", "S3": ""}),
        ("Fig. 2 a glass of 3 mm", {"2": "a"}),
        ("Table 2 and 3 figures", {}),
    ],
)
def test_figures_that_a_text_names(text, figures):
    assert {number: "".join(sorted(panels)) for number, panels in cited(text).items()} == figures


def test_abbreviations_end_no_sentence():
    text = "Tanaka et al. found it (Fig. 2). It is ca. 3.5 µm, e.g. in glass. Then A. B. Smith left."
    assert sentences(text) == [
        "Tanaka et al. found it (Fig. 2).",
        "It is ca. 3.5 µm, e.g. in glass.",
        "Then A. B. Smith left.",
    ]


def test_a_mention_brings_one_sentence_on_either_side():
    text = "One is far. Two is near. Fig. 1 is meant. Four is near. Five is far."
    assert mentions_of([text])["1"] == [("Two is near. Fig. 1 is meant. Four is near.", frozenset())]


def test_a_mention_brings_its_paragraph_where_that_is_wanted():
    text = "One is far. Two is near. Fig. 1 is meant."
    assert mentions_of([text], around=None)["1"][0][0] == text


def test_a_mention_of_a_panel_knows_its_letter():
    assert mentions_of(["Fig. 1b is meant."])["1"] == [("Fig. 1b is meant.", frozenset("b"))]


def test_what_a_first_page_says_of_its_paper():
    assert doi_in("(https://doi.org/10.1016/j.jnoncrysol.2019.01.001).") == "10.1016/j.jnoncrysol.2019.01.001"
    assert doi_in("no such thing") is None
    assert licence_in("under http://creativecommons.org/licenses/by-nc/4.0/ see") == "CC BY-NC 4.0"
    assert licence_in("a CC BY 4.0 paper on a CC BY-NC-ND 4.0 photo") is None
    assert licence_in("All rights reserved") is None
    assert year_in("Received 2 May 2018; accepted 3 June 2019") == 2019
    assert year_in("glass of 1999 m") is None
    assert keywords_in("Keywords: glass; SEM; fracture.") == ("glass", "SEM", "fracture")
