"""The viewer and the drop zone in a real browser, by mouse, by keys and by fingers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.app.web.browser import LAPTOP, PHONE, browser, mistakes, served, sized, until

__all__ = ["browser"]  # the fixture

DEMO = Path(__file__).with_name("demo.py")
OBJECTS = 300


class Page(NamedTuple):
    """The demo page in the browser."""

    chrome: Any
    url: str

    def open(self, query: str = "", size: tuple[int, int] = LAPTOP) -> None:
        sized(self.chrome, size)
        self.chrome.get(f"{self.url}/?{query}")
        until(lambda: self.viewer("loads") == "1")
        until(lambda: "scale" in self.view())

    def told(self) -> list[list[Any]]:
        with urllib.request.urlopen(f"{self.url}/told") as answer:
            told: list[list[Any]] = json.load(answer)
        return told

    def wait_for(self, *start: object) -> list[Any]:
        """The newest of what the page was told, once it begins so."""
        until(lambda: (told := self.told()) and told[-1][: len(start)] == list(start))
        return self.told()[-1]

    def find(self, selector: str) -> Any:
        return self.chrome.find_element("css selector", selector)

    def viewer(self, name: str) -> str | None:
        text: str | None = self.find(".epistem-viewer").get_attribute(f"data-{name}")
        return text

    def shown(self) -> int:
        return int(self.viewer("shown") or 0)

    def view(self) -> dict[str, float]:
        """Offset [CSS px] and scale of the canvas, once what was asked for is drawn."""
        self.chrome.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        view: dict[str, float] = json.loads(self.find("canvas").get_attribute("data-view") or "{}")
        return view

    def status(self) -> str:
        text: str = self.find(".epistem-viewer .status").text
        return text

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.find("canvas").send_keys(key)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Where an image pixel is on the page [CSS px]."""
        view, box = self.view(), self.find("canvas").rect
        scroll = self.chrome.execute_script("return [scrollX, scrollY]")
        left, top = box["x"] - scroll[0], box["y"] - scroll[1]
        return round(left + view["x"] + x * view["scale"]), round(
            top + view["y"] + y * view["scale"] * view["aspect"]
        )

    def object_at(self, key: int) -> tuple[int, int]:
        with urllib.request.urlopen(f"{self.url}/objects") as answer:
            ring = json.load(answer)["objects"][key]["rings"][0]
        return self.at(float(np.mean(ring[::2])), float(np.mean(ring[1::2])))

    def mouse(self, kind: str, at: tuple[int, int], modifiers: int = 0, **more: object) -> None:
        words = {"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1, "modifiers": modifiers}
        self.chrome.execute_cdp_cmd("Input.dispatchMouseEvent", {**words, **more})

    def drag(self, path: list[tuple[int, int]], modifiers: int = 0) -> None:
        self.mouse("mousePressed", path[0], modifiers)
        for point in path[1:]:
            self.mouse("mouseMoved", point, modifiers, buttons=1)
        self.mouse("mouseReleased", path[-1], modifiers)

    def click(self, at: tuple[int, int]) -> None:
        self.drag([at])


SHIFT = 8


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Page]:
    with served([str(DEMO), "PORT", str(OBJECTS)], tmp_path / "server.log") as url:
        mistakes(browser)
        yield Page(browser, url)
        assert [line for line in mistakes(browser) if "status of 4" not in line and "status of 5" not in line] == []
        browser.get("about:blank")


def test_the_page_asks_no_other_server(page: Page) -> None:
    page.open()
    loaded = page.chrome.execute_script("return performance.getEntriesByType('resource').map((item) => item.name)")
    assert [name for name in loaded if not name.startswith(page.url)] == []
    assert f"{page.url}/picture" in loaded


def test_objects_are_picked_zoomed_to_and_hidden_by_mouse(page: Page) -> None:
    page.open()
    page.click(page.object_at(40))
    assert page.wait_for("pick") == ["pick", 40]
    assert page.status().startswith(f"Object 40 of {OBJECTS}: cavity, score 0.13, diameter ")
    page.click(page.at(790, 595))  # nothing is there
    assert page.wait_for("pick") == ["pick", None]

    spot, before = page.object_at(150), page.view()
    page.mouse("mouseWheel", spot, deltaX=0, deltaY=-300)
    until(lambda: page.view()["scale"] > before["scale"])
    assert page.object_at(150) == pytest.approx(spot, abs=1)

    spot = page.object_at(150)
    page.drag([spot, (spot[0] + 30, spot[1]), (spot[0] + 60, spot[1] - 40)])
    assert page.object_at(150) == pytest.approx((spot[0] + 60, spot[1] - 40), abs=1)
    assert page.told()[-1] == ["pick", None], "dragging the picture selects nothing"

    for clicks in (1, 2):
        page.mouse("mousePressed", spot, clickCount=clicks)
        page.mouse("mouseReleased", spot, clickCount=clicks)
    until(lambda: page.view() == before)

    slider = page.find(".q-slider [tabindex]")
    slider.send_keys("\ue014" * 5)  # arrow right, threshold 0.5
    until(lambda: page.shown() == OBJECTS // 2 + 1)  # and the one without score


def test_objects_are_stepped_through_corrected_and_left_by_keys(page: Page) -> None:
    page.open()
    page.find("body").send_keys("\ue004")
    focused = page.chrome.switch_to.active_element
    assert focused.tag_name == "canvas"
    assert focused.value_of_css_property("outline-width") == "3px"
    assert f"{OBJECTS} objects shown" in focused.accessible_name

    page.keys("n")
    assert page.wait_for("pick") == ["pick", 1], "the lowest score comes first"
    page.keys("n", "n", "p")
    assert page.wait_for("pick", 2)
    page.keys("\ue007")  # Enter
    assert page.wait_for("confirm")[:2] == ["confirm", 2]
    until(lambda: "confirmed" in page.status())
    page.keys("n", "\ue017")  # Delete
    assert page.wait_for("delete")[:2] == ["delete", 3]
    until(lambda: "deleted" in page.status())

    page.keys("0")
    whole = page.view()
    page.keys("+", "+")
    closer = page.view()
    assert closer["scale"] == pytest.approx(whole["scale"] * 1.25**2)
    page.keys("\ue014")  # arrow right: see what is on the right
    assert page.view()["x"] == pytest.approx(closer["x"] - 60)
    page.keys("-", "0")
    assert page.view() == whole

    page.keys("?")
    assert "previous object" in page.find(".epistem-viewer .help").text
    page.keys("\ue00c")  # Escape
    assert not page.chrome.find_elements("css selector", ".epistem-viewer .help")
    page.keys("\ue00c")
    assert page.wait_for("pick") == ["pick", None]
    page.keys("\ue00c")
    assert page.wait_for("leave") == ["leave"]
    page.find("body").send_keys("\ue004")
    assert page.chrome.switch_to.active_element.tag_name == "button", "Tab leaves the canvas"


def test_an_object_is_added_by_keys_at_the_centre(page: Page) -> None:
    page.open()
    page.keys("a", *["\ue014"] * 3, *["+"] * 4)
    assert page.status().startswith("New outline at column 4")
    page.keys("\ue007")
    ring = np.reshape(page.wait_for("add")[2], (-1, 2))
    assert ring.mean(0) == pytest.approx((400 + 12 / page.view()["scale"], 300), abs=0.1)
    assert np.ptp(ring, axis=0) == pytest.approx(np.ptp(ring[:, 0]), abs=0.1), "it is round"
    until(lambda: page.shown() == OBJECTS + 1)
    page.keys("a", "\ue00c")
    assert page.status().startswith(f"{OBJECTS + 1} objects shown, 1 added")
    assert page.told()[-1][0] == "add", "Escape drops the outline"


def test_an_object_is_drawn_from_corner_to_corner_or_by_hand(page: Page) -> None:
    page.open("mode=add")
    corners = [page.at(200, 100), page.at(230, 120), page.at(300, 160)]
    page.drag(corners)
    ring = np.reshape(page.wait_for("add")[2], (-1, 2))
    one_px = 1 / page.view()["scale"]
    assert np.r_[ring.min(0), ring.max(0)] == pytest.approx([200, 100, 300, 160], abs=one_px)
    area = 0.5 * abs(np.dot(ring[:, 0], np.roll(ring[:, 1], 1)) - np.dot(ring[:, 1], np.roll(ring[:, 0], 1)))
    assert area == pytest.approx(np.pi / 4 * 100 * 60, rel=0.05), "it is an ellipse"
    until(lambda: page.shown() == OBJECTS + 1)

    told = len(page.told())
    spot = page.at(400, 300)
    page.drag([spot, (spot[0] + 2, spot[1] + 1)])
    for line in [(90, 0), (0, 90)]:  # has no area
        page.drag([spot, (spot[0] + line[0], spot[1] + line[1])])

    by_hand = [page.at(x, y) for x, y in [(500, 300), (560, 310), (540, 370), (505, 350)]]
    page.drag(by_hand, SHIFT)
    ring = np.reshape(until(lambda: page.told()[told:])[0][2], (-1, 2))
    assert ring == pytest.approx(np.array([(500, 300), (560, 310), (540, 370), (505, 350)]), abs=one_px)
    assert len(page.told()) == told + 1, "a slip is no object"


def test_what_is_drawn_over_the_edge_ends_there(page: Page) -> None:
    page.open("mode=add")
    page.drag([page.at(760, 560), page.at(780, 580), page.at(840, 590)])
    ring = np.reshape(page.wait_for("add")[2], (-1, 2))
    assert ring.max(0) == pytest.approx((800, 590), abs=2)
    assert ring[:, 0].max() == 800


@pytest.mark.parametrize("mode", ["delete", "confirm"])
def test_a_click_deletes_or_confirms_in_that_mode(page: Page, mode: str) -> None:
    page.open(f"mode={mode}")
    page.click(page.at(790, 595))
    page.click(page.object_at(77))
    assert page.wait_for(mode) == [mode, 77, None]
    assert len(page.told()) == 1, "a click beside all objects does nothing"
    until(lambda: {"delete": "deleted", "confirm": "confirmed"}[mode] in page.find(".epistem-viewer .key").text)


def test_a_region_is_drawn_around_or_as_a_rectangle(page: Page) -> None:
    page.open("mode=region")
    page.drag([page.at(100, 100), page.at(150, 150), page.at(300, 200)], SHIFT)
    ring = page.wait_for("region")[1]
    assert ring == pytest.approx([100, 100, 300, 100, 300, 200, 100, 200], abs=1 / page.view()["scale"])
    page.drag([page.at(100, 100), page.at(300, 120), page.at(200, 300)])
    until(lambda: len(page.wait_for("region")[1]) == 6)


def test_pixels_that_are_not_square_are_drawn_at_their_shape(page: Page) -> None:
    page.open("aspect=2")
    view, box = page.view(), page.find("canvas").size
    assert view["scale"] == pytest.approx(box["height"] / (600 * 2))
    page.click(page.object_at(211))
    assert page.wait_for("pick") == ["pick", 211]


def test_two_fingers_zoom_and_one_moves(page: Page) -> None:
    page.open(size=PHONE)
    before, (x, y) = page.view(), page.at(400, 300)

    def touch(kind: str, *points: tuple[int, int]) -> None:
        touches = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        page.chrome.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (x - 30, y), (x + 30, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    after = until(lambda: view if (view := page.view())["scale"] > before["scale"] else None)
    assert after["scale"] == pytest.approx(2 * before["scale"], rel=0.05)
    assert page.at(400, 300) == pytest.approx((x, y), abs=2)
    touch("touchStart", (x, y))
    touch("touchMove", (x + 20, y + 10))
    touch("touchMove", (x + 50, y + 20))
    touch("touchEnd")
    assert page.at(400, 300) == pytest.approx((x + 50, y + 20), abs=2)
    assert page.told() == []


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_the_page_is_not_wider_than_the_screen(page: Page, size: tuple[int, int]) -> None:
    page.open(size=size)
    wide = page.chrome.execute_script("return document.documentElement.scrollWidth")
    assert wide <= size[0]
    assert page.find("canvas").size["height"] >= size[1] * (0.6 if size == LAPTOP else 0.55) - 1
    page.open(size=LAPTOP)
    sized(page.chrome, PHONE)
    until(lambda: page.find("canvas").size["width"] < PHONE[0])
    canvas = page.find("canvas")
    until(lambda: int(canvas.get_attribute("width")) == canvas.size["width"])


def test_files_are_sent_or_refused_in_words(page: Page, tmp_path: Path) -> None:
    page.open()
    good = {"Lamelle 3 – ä.tif": 100, "b.tif": 4000, "busy.tif": 9}
    sizes = {**good, "large.tif": 5001, "notes.txt": 10, "empty.tif": 0}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    page.find(".epistem-drop input").send_keys("\n".join(str(tmp_path / name) for name in sizes))
    until(lambda: page.find(".epistem-drop .sum").text == "2 stored, 3 refused, 1 failed")
    lines = page.chrome.find_elements("css selector", ".epistem-drop li")
    rows = {line.find_element("css selector", ".name").text: line.text for line in lines}
    assert "It has 5 kB; files up to 5 kB are taken." in rows["large.tif"]
    assert "notes.txt is text; micrographs are wanted." in rows["notes.txt"]
    assert "The file is empty." in rows["empty.tif"]
    page.find(".epistem-drop li.failed button").click()
    until(lambda: page.find(".epistem-drop .sum").text == "3 stored, 3 refused")
    assert {line[1]: line[2] for line in page.told() if line[0] == "stored"} == good
    until(lambda: sum(line[0] == "done" for line in page.told()) == 3)


def test_a_lost_connection_is_told_and_tried_again(page: Page, tmp_path: Path) -> None:
    page.open()
    (tmp_path / "a.tif").write_bytes(b"x")
    page.chrome.execute_cdp_cmd("Network.enable", {})
    blocked = {"urls": [f"{page.url}/store*"]}
    page.chrome.execute_cdp_cmd("Network.setBlockedURLs", blocked)
    page.find(".epistem-drop input").send_keys(str(tmp_path / "a.tif"))
    until(lambda: "The connection broke off." in page.find(".epistem-drop li").text)
    page.chrome.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    mistakes(page.chrome)
    page.find(".epistem-drop li.failed button").click()
    assert page.wait_for("done")[:2] == ["done", "a.tif"]


def test_a_folder_dropped_is_sent_with_all_in_it(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "session 3" / "deeper"
    folder.mkdir(parents=True)
    for i in range(120):  # a browser lists a hundred at a time
        (folder / f"{i}.tif").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "notes.txt").write_bytes(b"x")
    page.open()
    box = page.find(".epistem-drop .zone")
    page.chrome.execute_script("arguments[0].scrollIntoView()", box)
    where = page.chrome.execute_script(
        "return ((b) => [b.x + 20, b.y + 9])(arguments[0].getBoundingClientRect())", box
    )
    data = {"items": [], "files": [str(folder.parent)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        words = {"type": kind, "x": where[0], "y": where[1], "data": data}
        page.chrome.execute_cdp_cmd("Input.dispatchDragEvent", words)
    until(lambda: page.find(".epistem-drop .sum").text == "120 stored, 1 refused")
    assert page.find(".epistem-drop li .name").text.endswith("session 3/deeper/notes.txt")
    assert {line[1] for line in page.told() if line[0] == "stored"} == {f"{i}.tif" for i in range(120)}


def test_five_thousand_objects_follow_the_wheel(browser: Any, tmp_path: Path) -> None:
    with served([str(DEMO), "PORT", "5000"], tmp_path / "server.log") as url:
        page = Page(browser, url)
        page.open()
        spent = page.chrome.execute_async_script(
            """
            const done = arguments[0], canvas = document.querySelector("canvas"), times = [];
            const box = canvas.getBoundingClientRect(), at = { clientX: box.x + box.width / 2, clientY: box.y + 200 };
            let last = performance.now(), left = 30;
            const next = () => {
              const now = performance.now(); times.push(now - last); last = now;
              if (left-- === 0) return done(times);
              canvas.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY: left % 2 ? -100 : 100 }));
              requestAnimationFrame(next);
            };
            requestAnimationFrame(next);
            """
        )
        browser.get("about:blank")
    # Drawn anew at each step they took 172 ms a frame here, without objects 17.
    assert np.median(spent[3:]) < 60
