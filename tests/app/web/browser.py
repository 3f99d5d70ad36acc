"""A headless Chromium for the tests of the page: fixture `browser`, and `served` for a page of its own process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
LAPTOP, PHONE = (1280, 800), (390, 844)
START_S, WAIT_S = 60, 15


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium driver, 1280 × 800; skipped where Debian's chromium and chromium-driver are not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("apt-get install chromium chromium-driver to test the page")
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium to test the page")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "force-device-scale-factor=1"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_script_timeout(WAIT_S)
    sized(chrome, LAPTOP)
    yield chrome
    chrome.quit()


def sized(browser: Any, size: tuple[int, int]) -> None:
    """The page is that wide and high [CSS px], narrower than a window can be."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@contextmanager
def served(command: list[str], log: Path) -> Iterator[str]:
    """The address of a server started as `command`, in which "PORT" stands for a free port; ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as out:
        words = [sys.executable, *(str(port) if word == "PORT" else word for word in command)]
        # Where it sees pytest, NiceGUI wants to be in pytest's own process.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        server = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=plain)
    try:
        answers(server, f"http://127.0.0.1:{port}/", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Waits until a server that was started does so.

    Raises:
        RuntimeError: it does not; its log says why.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as refused:
            refused.close()  # it answers, with a refusal
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the page did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def until(found: Callable[[], T], *, within_s: float = WAIT_S) -> T:
    """The first answer that is not empty."""
    end = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < end, f"still {answer!r} after {within_s:g} s"
        time.sleep(0.05)
    return answer


def mistakes(browser: Any) -> list[str]:
    """What the browser's console complained of since it was last asked."""
    return [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
