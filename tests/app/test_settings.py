from __future__ import annotations

import json
from pathlib import Path

import pytest

from epistem.app.analyze import shipped_weights
from epistem.app.settings import load_settings, make_settings
from epistem.core import DependencyMissing, SettingsError
from epistem.detect import weights_hash


def test_any_change_of_a_setting_changes_the_key() -> None:
    base = make_settings().key()
    changed = [make_settings(seed=1), make_settings(detector="otsu-watershed"), make_settings(thickness_nm=90.0)]
    assert len({base, *(one.key() for one in changed)}) == 4
    assert make_settings().key() == base


def test_weights_are_no_part_of_the_key_where_objects_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise DependencyMissing("safetensors is not here")

    monkeypatch.setattr("epistem.app.settings.weights_hash", refuse)
    assert make_settings().key(detects=False) == make_settings().key(detects=False)
    assert make_settings(seed=1).key(detects=False) != make_settings().key(detects=False)
    with pytest.raises(DependencyMissing):
        make_settings().key()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"thickness_nm": -3}, "thickness_nm"),
        ({"coverage": 1.0}, "coverage"),
        ({"thickness_error_nm": 5.0}, "needs a thickness"),
        ({"detektor": "log"}, "detektor"),
    ],
)
def test_meaningless_values_are_refused_in_one_line(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        make_settings(**values)
    assert "\n" not in str(caught.value)


def test_settings_of_a_run_can_be_used_again(tmp_path: Path) -> None:
    settings = make_settings(detector="otsu-watershed", seed=4)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"maker": "x", "settings": settings.model_dump()}), "utf-8")
    assert make_settings(**load_settings(path)) == settings


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"settings": 3}'])
def test_a_file_without_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match="JSON"):
        load_settings(path)


def test_the_shipped_weights_are_known_as_a_result_names_them() -> None:
    pytest.importorskip("safetensors")
    assert weights_hash(make_settings(detector="cavity-dense").finder()) in shipped_weights()
