"""The line that installs epistem again, from where it came."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from epistem import __version__
from epistem.app import doctor_source

UNKNOWN = "install epistem again, the way it was installed"


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        ({"url": "file:{}", "archive_info": {"hash": "sha256=0"}}, 'pip install --force-reinstall "{}"'),
        ({"url": "file:{}", "dir_info": {}}, 'pip install --force-reinstall "{}"'),
        ({"url": "file:{}", "dir_info": {"editable": True}}, 'pip install --force-reinstall -e "{}"'),
        (
            {"url": "file://server/share/epistem.whl", "archive_info": {}},
            'pip install --force-reinstall "file://server/share/epistem.whl"',
        ),
        (
            {
                "url": "https://lab.example/all.git",
                "vcs_info": {"vcs": "git", "commit_id": "3f2a"},
                "subdirectory": "py",
            },
            'pip install --force-reinstall "git+https://lab.example/all.git@3f2a#subdirectory=py"',
        ),
        (None, f"pip install --force-reinstall epistem=={__version__}"),
    ],
)
def test_it_is_installed_again_from_where_it_came(
    origin: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "my work"
    text = None if origin is None else json.dumps(origin).replace("file:{}", place.as_uri())
    monkeypatch.setattr(doctor_source, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert doctor_source.reinstall_line() == line.format(place)


def test_options_come_before_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_source, "distribution", lambda name: SimpleNamespace(read_text=lambda file: None))
    wanted = f"pip install --force-reinstall --no-deps epistem=={__version__}"
    assert doctor_source.reinstall_line("--no-deps") == wanted


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"url": 3, "vcs_info": 4}'])
def test_what_pip_wrote_down_and_cannot_be_read_is_no_reason_to_fail(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_source, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert doctor_source.reinstall_line() == UNKNOWN


def test_a_source_folder_that_nobody_installed_names_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor_source, "distribution", missing)
    assert doctor_source.reinstall_line() == UNKNOWN
