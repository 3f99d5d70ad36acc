from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epistem.atoms.rating_page import evenly_chosen, shown_order, write_rating_page
from epistem.atoms.ratings import read_ratings
from epistem.core import SettingsError, ShapeError

CHOICES = {"M": "a bright column", "X2": "a pair", "<b>&": "looks like markup"}
PIXEL_A, PATCH_A = 0.4, 5.6


def field(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A dark image with one bright pixel at each of n sites on a grid; the outermost are at the edge."""
    rows, cols = np.meshgrid(np.arange(2, 120, 15), np.arange(2, 150, 15), indexing="ij")
    sites = np.stack([rows.ravel(), cols.ravel()], axis=1)[:n].astype(float)
    image = np.zeros((120, 150))
    image[tuple(sites.astype(int).T)] = 1
    return image, sites


def written(tmp_path: Path, **settings: Any) -> tuple[Any, dict[str, Any], str]:
    image, sites = field()
    told = {"pixel_A": PIXEL_A, "patch_A": PATCH_A, "image_id": "one", "choices": CHOICES, "n": 20, **settings}
    page = write_rating_page(tmp_path / "rate.html", {"ADF1": image, "ADF2": 2 * image}, sites, **told)
    text = page.path.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', text, re.S)
    assert found is not None
    return page, json.loads(found[1]), text


def test_a_page_holds_its_columns_and_a_tenth_of_them_twice(tmp_path: Path) -> None:
    page, data, _ = written(tmp_path)
    assert len(page.chosen) == len(data["items"]) == 20
    assert len(page.order) == 22
    np.testing.assert_array_equal(np.unique(page.order), np.arange(20))
    assert data["order"] == page.order.tolist()


def test_an_item_is_where_its_column_is_and_shows_it_in_the_middle(tmp_path: Path) -> None:
    page, data, _ = written(tmp_path)
    _, sites = field()
    for item, (row, col) in zip(data["items"], sites[page.chosen].tolist(), strict=True):
        assert (item["x"], item["y"]) == (f"{col * PIXEL_A:.3f}", f"{row * PIXEL_A:.3f}")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(item["pictures"][0].split(",")[1]))))
        col0, row0 = (int(np.floor(at)) for at in item["centre"])
        assert pixels[row0, col0] == 255
        assert len(item["pictures"]) == 2


def test_nothing_is_loaded_and_no_label_can_run(tmp_path: Path) -> None:
    _, _, text = written(tmp_path)
    assert not re.search(r"(src|href)\s*=\s*\"?(https?:)?//", text)
    assert "<b>&" not in text
    script = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text


def test_the_hidden_key_spreads_the_columns_and_is_not_in_the_page(tmp_path: Path) -> None:
    keys = ["secret-common"] * 55 + ["secret-rare"] * 5
    page, _, text = written(tmp_path, keys=keys, n=8)
    assert "secret" not in text
    rare = [i for i in page.chosen if i >= 55]
    assert len(rare) == 4


def test_all_of_a_rare_key_are_asked_for_and_the_rest_is_filled_up() -> None:
    keys = ["W"] * 50 + ["Ti"] * 3 + ["V"]
    chosen = evenly_chosen(keys, 20, np.random.default_rng(0))
    assert {50, 51, 52, 53} <= set(chosen.tolist())
    assert len(set(chosen.tolist())) == 20
    assert len(evenly_chosen(keys, 99, np.random.default_rng(0))) == 54


def test_columns_at_the_edge_are_not_asked_for_and_are_counted(tmp_path: Path) -> None:
    page, _, _ = written(tmp_path, n=100)
    _, sites = field()
    reach = PATCH_A / PIXEL_A / 2
    outside = ((sites < reach) | (sites > np.array([119, 149]) - reach)).any(1)
    assert page.at_edge == outside.sum() > 0
    np.testing.assert_array_equal(page.chosen, np.flatnonzero(~outside))


@pytest.mark.parametrize("seed", range(5))
def test_a_repeat_comes_ten_others_or_more_after_the_first(seed: int) -> None:
    order = shown_order(100, 0.1, np.random.default_rng(seed)).tolist()
    assert len(order) == 110
    for one in {i for i in order if order.count(i) > 1}:
        first, again = (at for at, which in enumerate(order) if which == one)
        assert again - first > 10


def test_a_single_column_is_asked_once() -> None:
    assert shown_order(1, 0.1, np.random.default_rng(0)).tolist() == [0]


def test_the_same_seed_writes_the_same_bytes_and_another_asks_in_another_order(tmp_path: Path) -> None:
    one, again, other = (written(tmp_path, seed=seed)[2] for seed in (1, 1, 2))
    assert one == again != other


def test_an_image_without_contrast_or_with_gaps_is_shown_dark(tmp_path: Path) -> None:
    image = np.full((60, 60), np.nan)
    page = write_rating_page(
        tmp_path / "a.html", {"ADF": image}, [[30, 30]], pixel_A=0.4, patch_A=5.6, image_id="a", choices=CHOICES
    )
    assert len(page.chosen) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"pixel_A": np.nan}, "pixel size"),
        ({"patch_A": 0.5}, "two pixels"),
        ({"patch_A": 500.0}, "from the edge"),
        ({"choices": {}}, "1 to 9"),
        ({"n": 0}, "at least one"),
        ({"repeats": 0.9}, "shown twice"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        written(tmp_path, **wrong)


def test_views_and_sites_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    told: dict[str, Any] = {"pixel_A": 0.4, "patch_A": 5.6, "image_id": "a", "choices": CHOICES}
    with pytest.raises(ShapeError, match="one shape"):
        write_rating_page(tmp_path / "a.html", {"a": np.ones((9, 9)), "b": np.ones((9, 8))}, [[4, 4]], **told)
    with pytest.raises(ShapeError, match="row and column"):
        write_rating_page(tmp_path / "a.html", {"a": np.ones((9, 9))}, [4, 4], **told)
    with pytest.raises(ShapeError, match="key for each"):
        written(tmp_path, keys=["one"])


DRIVER = """<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const press = async (key) => {
  while (since === null) await wait(20);  // until the column is drawn
  document.dispatchEvent(new KeyboardEvent("keydown", { key }));
};
(async () => {
  document.getElementById("rater").value = 'Ann, "A"';
  document.getElementById("start").requestSubmit();
  for (const key of ["1", "d", "a", "2", "0", "ArrowLeft", "3", "s"]) await press(key);
  const out = document.createElement("pre");
  out.textContent = "CSV:" + csv() + ":CSV";
  document.body.append(out);
})();
</script></body>"""


def test_a_browser_saves_what_was_typed(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    page, data, text = written(tmp_path)
    open_policy = re.sub(r"<meta http-equiv=.Content-Security[^>]*>", "", text)  # it would stop the driver
    (tmp_path / "driven.html").write_text(open_policy.replace("</body>", DRIVER), "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=20000", "--dump-dom", (tmp_path / "driven.html").as_uri()]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (tmp_path / "saved.csv").write_text(html.unescape(shown.split("<pre>CSV:")[1].split(":CSV")[0]), "utf-8")
    answers = read_ratings([tmp_path / "saved.csv"], list(CHOICES))
    assert [(one.label, one.confidence) for one in answers] == [("M", 3), ("X2", 1), ("<b>&", 2)]
    assert {one.rater for one in answers} == {'Ann, "A"'}
    asked = [data["items"][which] for which in page.order[:3]]
    assert [(f"{one.unit.x_A:.3f}", f"{one.unit.y_A:.3f}") for one in answers] == [(i["x"], i["y"]) for i in asked]
    assert all(one.seconds is not None for one in answers)
