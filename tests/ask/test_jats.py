from __future__ import annotations

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


def test_an_article_without_figures_says_so(tmp_path):
    (tmp_path / "x.xml").write_text("<article><body><p>Text.</p></body></article>")
    assert ingest_jats(tmp_path / "x.xml", tmp_path / "out").notes == ("x.xml: no figures; it has no <fig>",)
