"""The whole page in a real browser: from dropped images to better weights, and what it says of bad input."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.app.web.browser import LAPTOP, answers, browser, mistakes, served, sized, until
from tests.app.web.session import EXAMPLES
from tests.app.web.test_crew import declares_100_000_squared
from tests.app.web.test_viewer_browser import Page

__all__ = ["browser"]  # the fixture

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnx")

EDGE = 384
JOB_S, TRAINING_S = 60, 300
LEFT, RIGHT, DELETE = "\ue012", "\ue014", "\ue017"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    words = ["-m", "epistem", "serve", "--no-show", "--folder", str(folder / "root"), "--max-upload-mb", "1"]
    with served([*words, "--port", "PORT"], folder / "server.log") as url:
        yield url
        browser.get("about:blank")
    log = (folder / "server.log").read_text()
    assert "Traceback" not in log, log


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Person]:
    """A person who has not been there before."""
    browser.get(f"{url}/api/health")
    browser.delete_all_cookies()
    mistakes(browser)
    person = Person(browser, url)
    person.come()
    yield person
    assert [line for line in mistakes(browser) if "status of 4" not in line] == []


class Person(Page):
    """Who uses the page."""

    def come(self) -> None:
        sized(self.chrome, LAPTOP)
        self.chrome.get(self.url)
        until(lambda: self.chrome.find_elements("css selector", ".epistem-drop input"))

    def drop(self, *paths: Path) -> None:
        self.find(".epistem-drop input").send_keys("\n".join(str(path) for path in paths))

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = self.chrome.execute_async_script(
            "fetch('/api/state').then((answer) => answer.json()).then(arguments[0])"
        )
        return told

    def images(self, n: int) -> list[dict[str, Any]]:
        """Once so many are there and all have been worked on."""

        def done() -> list[dict[str, Any]]:
            images: list[dict[str, Any]] = self.state()["images"]
            ended = [one for one in images if one["job"] and one["job"]["state"] in ("done", "failed")]
            return images if len(ended) == len(images) == n else []

        return until(done, within_s=JOB_S)

    def text(self) -> str:
        text: str = self.chrome.execute_script("return document.body?.innerText ?? ''")  # none while it loads anew
        return text

    def reads(self, words: str, within_s: float = JOB_S) -> None:
        until(lambda: words in self.text(), within_s=within_s)

    def press(self, words: str, what: str = "button", within_s: float = JOB_S) -> None:
        """A button, link or checkbox with these words, once it is there."""
        path = f"//{what}[contains(normalize-space(.), '{words}')]"
        until(lambda: self._pressed(path), within_s=within_s)

    def _pressed(self, path: str) -> bool:
        from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException

        # What a poll has just drawn anew, or a notice covers, is there at the next look.
        with suppress(StaleElementReferenceException, ElementClickInterceptedException):
            for one in self.chrome.find_elements("xpath", path):
                if one.is_displayed():
                    self.chrome.execute_script("arguments[0].scrollIntoView({ block: 'center' })", one)
                    one.click()
                    return True
        return False

    def tab(self, name: str) -> None:
        self.find(f".q-tab[role=tab]:has(.q-tab__label):nth-of-type({1 + TABS.index(name)})").click()


TABS = ("Detect", "Segment", "Atoms", "Ask", "Bench")


def crop(path: Path, left: int, top: int) -> Path:
    """A part of the bundled underfocus image."""
    Image.open(EXAMPLES / "A4.png").crop((left, top, left + EDGE, top + EDGE)).save(path)
    return path


def test_from_dropped_images_to_new_weights(page: Person, tmp_path: Path) -> None:
    came = tmp_path / "came"
    came.mkdir()
    page.chrome.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(came)})

    # drop → result
    page.drop(crop(tmp_path / "a.png", 0, 0), crop(tmp_path / "b.png", 128, 100))
    first = next(one for one in page.images(2) if one["name"] == "a.png")
    page.press("a.png", "div[@role='listitem']")
    found = first["job"]["result"]["images"][0]["n"]
    until(lambda: page.shown() == found)
    assert found > 0
    page.reads(f"Objects found\n{found} (")
    page.reads("Expected F1 0.")

    # The threshold moves, and the count with it.
    knob = page.find("[aria-label='Score threshold'] [tabindex], .q-slider [tabindex]")
    knob.send_keys(RIGHT * 4)
    until(lambda: page.shown() < found)
    fewer = page.shown()
    page.reads(f"Objects found\n{fewer} (")
    knob.send_keys(LEFT * 4)
    until(lambda: page.shown() == found)

    # correct: one more by mouse, one less by key
    page.press("Add")
    page.chrome.execute_script("document.querySelector('canvas').scrollIntoView({ block: 'center' })")
    page.drag([page.at(180, 180), page.at(190, 195), page.at(200, 200)])
    page.reads("1 added")
    page.press("Look")
    page.keys("n", DELETE)
    page.reads(f"With your corrections {found} objects (1 added, 1 deleted).")
    page.press("Every object of this image is right now", "*[@role='checkbox']")
    until(lambda: [one["right"] for one in page.state()["images"] if one["name"] == "a.png"] == [[0]])

    # take along
    page.press("Write report and tables", "button[@aria-label='Write report and tables, as corrected']")
    page.press("Corrections (COCO)", "a")
    page.press("Everything (zip)", "a")
    coco = json.loads(until(lambda: whole(came, "*.json")))
    assert [one["file_name"] for one in coco["images"]] == ["a.png"]
    assert len(coco["annotations"]) == found
    assert [180, 180, 20, 20] in [[round(v) for v in one["bbox"]] for one in coco["annotations"]]
    with zipfile.ZipFile(io.BytesIO(until(lambda: whole(came, "*.zip")))) as packed:
        names = packed.namelist()
    assert {"report.html", "images.csv", "objects.csv"} <= {Path(name).name for name in names}

    # learn, and look at all again with what was learned
    steps = page.find("[aria-label='Steps']")
    assert steps.get_attribute("value") == "300"
    steps.send_keys("\ue009a")  # Ctrl-A, which is held until the call ends
    steps.send_keys("2")
    page.press("Learn from 1 corrected image")
    page.press("Use for all images", within_s=TRAINING_S)
    (training,) = [job for job in page.state()["jobs"] if job["kind"] == "train"]
    assert training["what"]["steps"] == 2
    run = training["result"]["run"]
    until(lambda: all(one["job"]["what"].get("weights") == run for one in page.state()["images"]))
    assert [one["job"]["state"] for one in page.images(2)] == ["done", "done"]
    page.reads("1 added")

    kinds = {job["kind"] for job in page.state()["jobs"]}
    assert kinds == {"results", "train"}, "a tab that nobody opened asked for something"
    assert "Second detector" not in page.text()
    page.tab("Atoms")
    until(lambda: "atoms_read" in {job["kind"] for job in page.state()["jobs"]})


def test_bad_input_is_refused_in_words(page: Person, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "big.tif").write_bytes(b"x" * 1_200_000)
    (tmp_path / "huge.tif").write_bytes(declares_100_000_squared(tmp_path))
    (tmp_path / "cut.png").write_bytes((EXAMPLES / "A4.png").read_bytes()[:2000])
    image = crop(tmp_path / "<img src=x onerror=\"document.title='taken'\">.png", 0, 0)
    page.drop(*(tmp_path / name for name in ("notes.txt", "big.tif", "huge.tif", "cut.png")), image)

    images = {one["name"]: one["job"] for one in page.images(3)}
    page.reads("3 stored, 2 refused")
    page.reads("notes.txt is no image that this page reads; it takes")
    page.reads("It has 1.2 MB; files up to 1 MB are taken.")
    for name in ("huge.tif", "cut.png"):
        assert images[name]["state"] == "failed"
        assert name in images[name]["why"]
        page.reads(images[name]["why"])
    page.reads("_img src=x onerror=_document")
    assert page.chrome.title == "epistem"
    assert not re.search(r"/tmp|root|Traceback|Errno", page.text())


def test_what_is_corrected_in_one_window_is_seen_in_the_other(page: Person, tmp_path: Path) -> None:
    page.drop(crop(tmp_path / "a.png", 0, 0))
    (image,) = page.images(1)
    n = image["job"]["result"]["images"][0]["n"]
    first = page.chrome.current_window_handle
    page.chrome.switch_to.new_window("tab")
    try:
        page.come()
        until(lambda: page.shown() == n)
        page.keys("n", DELETE)
        page.reads("1 deleted")
    finally:
        page.chrome.close()
        page.chrome.switch_to.window(first)
    page.reads("1 deleted")
    page.keys("n", "n", DELETE)
    page.reads("2 deleted")


def test_a_page_that_stays_open_finds_its_images_when_the_server_is_killed_and_comes_back(
    browser: Any, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = started(port, tmp_path)
    try:
        browser.get(f"http://127.0.0.1:{port}/api/health")
        browser.delete_all_cookies()
        page = Person(browser, f"http://127.0.0.1:{port}")
        page.come()
        page.drop(*(crop(tmp_path / f"{i}.png", 10 * i, 0) for i in range(4)))
        until(lambda: len(page.state()["images"]) == 4)
        server.kill()  # SIGKILL
        server.wait()
        page.reads("Connection lost")
        server = started(port, tmp_path)
        page.reads("Objects found")
        assert [one["job"]["state"] for one in page.images(4)] == ["done"] * 4
        assert all(f"{i}.png" in page.text() for i in range(4))
        browser.get("about:blank")
    finally:
        server.kill()
        server.wait()


def started(port: int, folder: Path) -> subprocess.Popen[bytes]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = ["-m", "epistem", "serve", "--no-show", "--folder", str(folder / "root"), "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log, env=plain)
    answers(server, f"http://127.0.0.1:{port}/", folder / "server.log")
    return server


def whole(folder: Path, names: str) -> bytes:
    """A download that has ended."""
    return next((path.read_bytes() for path in folder.glob(names) if not list(folder.glob("*.crdownload"))), b"")
