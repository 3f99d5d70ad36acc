"""Requests that nobody sends in good faith; `benchmarks/fuzz_api.py` with few of each kind."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("schemathesis")

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def fuzzing() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "fuzz_api.py"
    spec = importlib.util.spec_from_file_location("fuzz_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(fuzzing: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fuzzing.Fuzzed(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def told_by_hand(fuzzing: ModuleType, page: Any) -> Any:
    """Answers; the jobs that came of them wait."""
    return fuzzing.by_hand(page)


def test_requests_made_from_the_description_are_served_or_refused_as_it_says(fuzzing: ModuleType, page: Any) -> None:
    told = fuzzing.by_description(page, 4, 1)
    assert [one for one in told if one.wrong] == []
    assert sum(one.status < 300 for one in told) > 5  # some are served: not all fail at the door


def test_bodies_headers_and_names_by_hand_are_refused_in_one_line(told_by_hand: Any) -> None:
    assert [one for one in told_by_hand if one.wrong] == []
    assert sum(one.status >= 400 for one in told_by_hand) > 300


@pytest.mark.usefixtures("told_by_hand")
def test_no_job_that_came_of_it_ends_as_a_fault_of_ours(page: Any) -> None:
    told = page.work()
    assert told
    assert [one for one in told if one.wrong] == []
    assert not (page.root / "faults.log").exists()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_thickness_that_is_no_number_is_refused_by_name(page: Any, value: str) -> None:
    answer = page.client.post("/api/detect", content=f'{{"thickness_nm": {value}}}', headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("thickness_nm:")


def test_all_errors_of_the_api_have_one_form(page: Any) -> None:
    for method, path, more in (
        ("GET", "/api/nothing", {}), ("DELETE", "/api/state", {}), ("POST", "/api/train", {"content": b"{"}),
        ("PUT", "/api/images", {"content": b"x"}), ("GET", "/results/none", {}),
    ):  # fmt: skip
        answer = page.client.request(method, path, **more)
        assert list(answer.json()) == ["error"], (method, path, answer.text)


def test_an_error_that_shows_a_place_or_a_traceback_is_noticed(fuzzing: ModuleType, page: Any) -> None:
    import httpx

    for text in (
        f'{{"error": "no {page.root}/rooms"}}',
        '{"error": "Traceback (most recent call last)"}',
        '{"x": 1}',
    ):
        answer = httpx.Response(422, text=text, headers={"content-type": "application/json"})
        assert page.wrong(answer), text
    assert page.wrong(httpx.Response(500, text="Internal Server Error"))
