from __future__ import annotations

import json
from html import unescape

import numpy as np
import pytest
from PIL import Image

from epistem.ask.records import Figure, Paper
from epistem.ask.review import Review, apply_review, read_review, write_review
from epistem.core import RecordError, SettingsError


def figure(name: str, **more) -> Figure:
    return Figure(
        id=name, paper=Paper(id="p", title="Glass </script><b>"), figure="1", image="one.png", caption="Old", **more
    )


def review(*decisions: dict) -> Review:
    return Review(page="x", reviewer="Ada", decisions=decisions)


def test_what_a_person_decided_goes_into_the_records():
    done = apply_review(
        [figure("a"), figure("b"), figure("c"), figure("d")],
        review(
            {"id": "a", "decision": "accepted"},
            {"id": "b", "decision": "fixed", "reason": "wrong", "fix": {"technique": "TEM", "caption": "New"}},
            {"id": "c", "decision": "rejected", "reason": "blurred"},
        ),
    )
    accepted, fixed, rejected, waiting = done.figures
    assert (accepted.review, accepted.review_reason) == ("accepted", None)
    assert (fixed.review, fixed.technique, fixed.technique_from, fixed.caption) == ("fixed", "TEM", "person", "New")
    assert (rejected.review, rejected.review_reason) == ("rejected", "blurred (Ada)")
    assert waiting == figure("d")
    assert done.counts == {"accepted": 1, "fixed": 1, "rejected": 1, "waiting": 1}


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ([{"id": "z", "decision": "accepted"}], "not among"),
        ([{"id": "a", "decision": "rejected", "reason": " "}], "without a reason"),
        ([{"id": "a", "decision": "accepted"}] * 2, "twice"),
    ],
)
def test_a_review_that_does_not_fit_is_refused(decisions, why):
    with pytest.raises(RecordError, match=why):
        apply_review([figure("a")], review(*decisions))


@pytest.mark.parametrize(
    "text", ["", "{", '{"page": "x"}', '{"page": "x", "reviewer": "", "decisions": [{"id": 1}]}']
)
def test_a_file_that_is_no_review_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(RecordError, match="no review"):
        read_review(tmp_path / "r.json")


def test_what_the_page_saves_is_read(tmp_path):
    saved = {
        "page": "x",
        "reviewer": "Ada",
        "decisions": [{"id": "a", "decision": "accepted", "reason": "", "fix": {}}],
    }
    (tmp_path / "r.json").write_text(json.dumps(saved))
    assert read_review(tmp_path / "r.json").decisions[0].decision == "accepted"


def test_the_page_holds_its_pictures_and_lets_no_text_of_a_paper_out(tmp_path):
    Image.fromarray(np.arange(0, 255, dtype=np.uint8).reshape(15, 17)).save(tmp_path / "one.png")
    seen = figure("b", review="accepted")
    assert write_review(tmp_path / "review.html", [figure("a"), seen], tmp_path) == 1
    html = (tmp_path / "review.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in html
    assert "default-src 'none'" in unescape(html)
    assert "</script><b>" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_a_set_without_waiting_figures_needs_no_page(tmp_path):
    with pytest.raises(SettingsError, match="waits"):
        write_review(tmp_path / "review.html", [figure("a", review="accepted")], tmp_path)
