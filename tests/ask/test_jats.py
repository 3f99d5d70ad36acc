from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from epistem.ask.jats import ingest_jats
from epistem.core import ReadError

ARTICLE = """<?xml version="1.0"?>
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><publisher><publisher-name>Glass Press
</publisher-name></publisher></journal-meta><article-meta><article-id pub-id-type="doi">10.1234/ABC</article-id>
<title-group><article-title>Glass <italic>under</italic> load</article-title></title-group>
<pub-date><year>2018</year></pub-date><permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/">
<p>open</p></license></permissions><kwd-group><kwd>glass</kwd></kwd-group></article-meta></front>
<body><p>First. As <xref ref-type="fig" rid="f1">Figs. 1</xref>b and 2 show, cracks grow. Last.</p>
<fig id="f1"><label>Fig. 1.</label><caption><title>Cracks.</title>
<p>(a) SEM image; (b) SEM image after 2 h.</p></caption>
<graphic xlink:href="a.png"/><graphic xlink:href="b"/></fig>
<fig id="f2"><label>Figure 2</label><caption><p>SEM image.</p></caption>
<graphic xlink:href="{name}"/></fig></body></article>
"""


def article(folder, name: str = "a.png"):
    noise = np.random.default_rng(0).integers(60, 180, (40, 50)).astype(np.uint8)
    for stem in "ab":
        Image.fromarray(noise).save(folder / f"{stem}.png")
    path = folder / "one.xml"
    path.write_text(ARTICLE.format(name=name), "utf-8")
    return path


def test_an_article_gives_the_records_a_pdf_gives(tmp_path):
    got = ingest_jats(article(tmp_path), tmp_path / "out", read=False)
    assert [(one.figure, one.panel) for one in got.figures] == [("1", "a"), ("1", "b"), ("2", None)]
    assert got.figures[1].caption_panel == "Cracks. SEM image after 2 h"
    assert got.figures[0].mentions == ()
    assert got.figures[1].mentions == ("First. As Figs. 1b and 2 show, cracks grow. Last.",)
    paper = got.paper
    assert (paper.doi, paper.title, paper.year) == ("10.1234/abc", "Glass under load", 2018)
    assert (paper.publisher, paper.licence, paper.keywords) == ("Glass Press", "CC BY 4.0", ("glass",))
    assert (tmp_path / "out" / (got.figures[0].image or "")).is_file()


def test_a_graphic_outside_its_folder_is_not_opened(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "secret.png")
    got = ingest_jats(article(tmp_path / "in", "../secret.png"), tmp_path / "out", read=False)
    assert got.refused == ("Figure 2: no picture called secret.png lies in in",)


@pytest.mark.parametrize(("text", "why"), [("", "no XML"), ("<article>", "no XML"), ("<html></html>", "no JATS")])
def test_what_is_no_article_is_refused(tmp_path, text, why):
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(ReadError, match=why):
        ingest_jats(tmp_path / "x.xml", tmp_path / "out")


def test_entities_that_expand_without_end_are_refused(tmp_path):
    levels = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10}">' for at in range(1, 12))
    (tmp_path / "x.xml").write_text(f'<!DOCTYPE article [<!ENTITY e0 "glassglass">{levels}]><article>&e11;</article>')
    with pytest.raises(ReadError, match="no XML"):
        ingest_jats(tmp_path / "x.xml", tmp_path / "out")


def figs(folder, body: str, abstract: str = ""):
    """An article with these <fig>s and one picture for each file that they name."""
    (folder / "in").mkdir()
    for at, name in enumerate("abc"):
        Image.new("L", (40, 30), 60 + 40 * at).save(folder / "in" / f"{name}.png")
    path = folder / "in" / "one.xml"
    path.write_text(
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>'
        f'<article-id pub-id-type="doi">10.1/x</article-id>{abstract}</article-meta></front>'
        f"<body>{body}</body></article>"
    )
    return ingest_jats(path, folder, read=False)


def fig(name: str, label: str = "", caption: str = "SEM image.") -> str:
    label = f"<label>{label}</label>" if label else ""
    return f'<fig>{label}<caption><p>{caption}</p></caption><graphic xlink:href="{name}"/></fig>'


def test_a_graphical_abstract_takes_no_figures_number(tmp_path):
    said = "<p>As Fig. 1 shows, cracks grow.</p>"
    got = figs(tmp_path, said + fig("b", "Fig. 1.") + fig("c"), f"<abstract>{fig('a')}</abstract>")
    assert [one.figure for one in got.figures] == ["graphical-abstract-1", "1", "unlabelled-1"]
    assert [len(one.mentions) for one in got.figures] == [0, 1, 0]
    assert len({one.id for one in got.figures}) == len({one.image for one in got.figures}) == 3
    for one in got.figures:
        assert hashlib.sha256((tmp_path / (one.image or "")).read_bytes()).hexdigest() == one.sha256


def test_a_scheme_is_no_figure_and_a_number_alone_is_one(tmp_path):
    got = figs(tmp_path, fig("a", "Scheme 1") + fig("b", "1") + fig("c", caption="<bold>Figure 2.</bold> Cracks."))
    assert [(one.figure, one.caption) for one in got.figures] == [
        ("scheme-1", "SEM image."), ("1", "SEM image."), ("2", "Cracks."),
    ]  # fmt: skip


def test_a_supplement_of_a_figure_is_not_that_figure(tmp_path):
    got = figs(tmp_path, fig("a", "Figure 1.") + fig("b", "Figure 1—figure supplement 1."))
    assert [one.figure for one in got.figures] == ["1", "figure-1-figure-supplement-1"]


def test_a_label_that_comes_twice_is_refused(tmp_path):
    got = figs(tmp_path, fig("a", "Figure 1") + fig("b", "Fig. 1"))
    assert [one.figure for one in got.figures] == ["1"]
    assert got.refused == ("Fig. 1: another figure of the article has this label",)


def test_an_article_without_figures_says_so(tmp_path):
    (tmp_path / "x.xml").write_text("<article><body><p>Text.</p></body></article>")
    assert ingest_jats(tmp_path / "x.xml", tmp_path / "out").notes == ("x.xml: no figures; it has no <fig>",)
