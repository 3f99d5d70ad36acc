from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.ask.people import read_ratings
from epistem.ask.rate_page import shown_order, write_answers_page
from epistem.ask.records import Answered, Pair
from epistem.core.errors import RecordError, SettingsError

PAIRS = [
    Pair(
        id=f"pair{i}", figure=f"figure{i}", paper="paper", question="Are cracks visible?",
        answer="A <b>benchmark</b>.",
        category="defect_fracture" if i % 2 else "general",
    )
    for i in range(20)
]  # fmt: skip
ANSWERS = [
    Answered(id=f"id{i}", pair=one.id, model="secret-model", question=one.question, text=f"Answer {i}, \"so\".",
             condition="shuffled" if i < 4 else "real")
    for i, one in enumerate(PAIRS)
]  # fmt: skip


def written(tmp_path: Path, **settings: Any) -> tuple[Any, dict[str, Any], str]:
    page = write_answers_page(tmp_path / "rate.html", PAIRS, ANSWERS, **settings)
    text = page.path.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', text, re.S)
    assert found is not None
    return page, json.loads(found[1]), text


def test_a_page_holds_its_answers_and_a_tenth_of_them_twice(tmp_path: Path) -> None:
    page, data, _ = written(tmp_path)
    assert sorted(page.answered) == sorted(one.id for one in ANSWERS)
    assert len(page.order) == 22
    assert data["order"] == page.order.tolist()
    assert [one["answered"] for one in data["items"]] == list(page.answered)


def test_nothing_tells_which_model_or_condition_an_answer_is_from(tmp_path: Path) -> None:
    _, _, text = written(tmp_path)
    assert "secret-model" not in text
    assert "shuffled" not in text


def test_an_answer_is_shown_without_how_it_was_had_and_each_mode_as_often_as_can_be(tmp_path: Path) -> None:
    said = "There are 3 pores (measured by a secret detector)."
    whole = [one.model_copy(update={"id": f"w-{one.id}", "mode": "whole", "text": said}) for one in ANSWERS[:4]]
    page = write_answers_page(tmp_path / "rate.html", PAIRS, [*ANSWERS[4:], *whole], n=8)
    assert "secret detector" not in page.path.read_text("utf-8")
    assert sum(name.startswith("w-") for name in page.answered) == 4


def test_nothing_is_loaded_and_no_answer_can_run(tmp_path: Path) -> None:
    _, _, text = written(tmp_path)
    assert not re.search(r"(src|href)\s*=\s*\"?(https?:)?//", text)
    assert "<b>benchmark" not in text
    script = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text


def test_rare_conditions_are_asked_for_as_often_as_can_be(tmp_path: Path) -> None:
    page, _, _ = written(tmp_path, n=8)
    assert {f"id{i}" for i in range(4)} <= set(page.answered)


def test_defects_are_asked_of_questions_on_defects_only(tmp_path: Path) -> None:
    _, data, _ = written(tmp_path, assessments=["quality", "defect"])
    assert {(one["pair"], tuple(one["asked"])) for one in data["items"]} == {
        (one.id, ("quality", "defect") if one.category == "defect_fracture" else ("quality",)) for one in PAIRS
    }
    assert len(written(tmp_path, assessments=["defect"])[1]["items"]) == 10


def test_pictures_go_with_their_questions_and_are_made_smaller(tmp_path: Path) -> None:
    def opened(figure: str) -> Image.Image | None:
        return None if figure == "figure0" else Image.fromarray(np.zeros((10, 1600), np.uint8))

    _, data, _ = written(tmp_path, open_image=opened)
    pictures = {one["pair"]: one["picture"] for one in data["items"]}
    assert pictures["pair0"] is None
    assert pictures["pair1"].startswith("data:image/png;base64,")


@pytest.mark.parametrize("seed", range(3))
def test_a_repeat_comes_ten_others_or_more_after_the_first(seed: int) -> None:
    order = shown_order(100, 0.1, np.random.default_rng(seed)).tolist()
    for one in {i for i in order if order.count(i) > 1}:
        first, again = (at for at, which in enumerate(order) if which == one)
        assert again - first > 10


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    one, again, other = (written(tmp_path, seed=seed)[2] for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"assessments": []}, "asks for some"), ({"assessments": ["beauty"]}, "asks for some"), ({"n": 0}, "to rate"),
     ({"repeats": 0.9}, "shown twice")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        written(tmp_path, **wrong)
    with pytest.raises(RecordError, match="not given"):
        write_answers_page(tmp_path / "a.html", PAIRS[:1], ANSWERS)


DRIVER = """<script>
const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("input")); };
document.getElementById("rater").value = 'Ann, "A"';
document.getElementById("start").requestSubmit();
for (let i = 0; i < 3; i += 1) {
  if (i === 1) document.querySelector('[data-open="quality"]').click(); else set("quality", 10 * i + 60);
  if (item().asked.includes("defect")) document.querySelector('[data-verdict="NA"]').click();
  $("next").click();
}
$("back").click();
set("quality", 99);
$("next").click();
const out = document.createElement("pre");
out.textContent = "CSV:" + csv() + ":CSV";
document.body.append(out);
</script></body>"""


def test_a_browser_saves_what_was_said(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    page, data, text = written(tmp_path, assessments=["quality", "defect"])
    open_policy = re.sub(r"<meta http-equiv=.Content-Security[^>]*>", "", text)  # it would stop the driver
    (tmp_path / "driven.html").write_text(open_policy.replace("</body>", DRIVER), "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=20000", "--dump-dom", (tmp_path / "driven.html").as_uri()]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (tmp_path / "saved.csv").write_text(html.unescape(shown.split("<pre>CSV:")[1].split(":CSV")[0]), "utf-8")
    grades = read_ratings([tmp_path / "saved.csv"])
    quality = [one for one in grades if one.assessment == "quality"]
    assert [one.score for one in quality] == [60, None, 99]
    assert {one.judge for one in grades} == {'person:Ann, "A"'}
    items = [data["items"][which] for which in page.order[:3]]
    assert [one.answered for one in quality] == [one["answered"] for one in items]
    asked = [one for one in items if "defect" in one["asked"]]
    assert [one.verdict for one in grades if one.assessment == "defect"] == ["NA"] * len(asked)
