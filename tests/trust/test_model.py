"""A fitted forecast as a file."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.core import RecordError
from epistem.trust.cases import Cases, Described
from epistem.trust.forecast import TARGETS, Forecaster
from epistem.trust.model import VERSION, load, save


class Unknown:
    """A type that no forecast holds."""

    def __init__(self) -> None:
        self.value = 1


@pytest.fixture(scope="module")
def path(fitted: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "new" / "forecast.npz"
    save(fitted, path)
    return path


def refusal(path: Path) -> str:
    """What is said, in one line that names the file."""
    with pytest.raises(RecordError) as caught:
        load(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def test_a_saved_forecast_says_the_same_when_read(
    path: Path, fitted: Forecaster, draw: Callable[..., Cases], described: Callable[[Cases, int], Described]
) -> None:
    new, again = draw(40, seed=9), load(path)
    one, other = fitted.expect(new, 0.5), again.expect(new, 0.5)
    for target in TARGETS:
        np.testing.assert_array_equal(one[target], other[target])
    assert again.predict(described(new, 3), 0.6) == fitted.predict(described(new, 3), 0.6)
    kept = ("how", "about", "reference_n", "columns")
    assert [getattr(again, name) for name in kept] == [getattr(fitted, name) for name in kept]


def test_the_same_forecast_gives_the_same_bytes_wherever_it_lies_in_memory_and_whenever_it_is_saved(
    path: Path, fitted: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 2e9)
    for again in (fitted, deepcopy(fitted)):
        save(again, tmp_path / "f.npz")
        assert (tmp_path / "f.npz").read_bytes() == path.read_bytes()


def test_nothing_is_left_beside_the_file_and_there_is_no_pickle_in_it(path: Path) -> None:
    assert [one.name for one in path.parent.iterdir()] == ["forecast.npz"]
    with zipfile.ZipFile(path) as file:
        assert {Path(name).suffix for name in file.namelist()} == {".npy"}


def test_a_damaged_file_is_refused_wherever_it_is_damaged(path: Path, tmp_path: Path) -> None:
    good, damaged, refused = path.read_bytes(), tmp_path / "f.npz", 0
    for at in np.random.default_rng(0).integers(0, len(good), 8):
        damaged.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        try:
            load(damaged)
        except RecordError:
            refused += 1
    assert refused >= 5  # a flipped bit of a date or of an attribute changes nothing


@pytest.mark.parametrize("keep", [0, 100, 20_000, -1])
def test_half_a_file_is_refused(path: Path, tmp_path: Path, keep: int) -> None:
    half = tmp_path / "f.npz"
    half.write_bytes(path.read_bytes()[:keep])
    assert "damaged" in refusal(half)


def test_what_is_no_file_or_no_forecast_is_refused(tmp_path: Path) -> None:
    assert "wanted a fitted forecast" in refusal(tmp_path / "none.npz")
    assert "wanted a fitted forecast" in refusal(tmp_path)
    text = tmp_path / "f.npz"
    text.write_text("this is no model")
    assert "is no fitted forecast" in refusal(text)
    with zipfile.ZipFile(text, "w") as file:
        file.writestr("a.txt", "no model either")
    assert "holds something else" in refusal(text)


def written(path: Path, about: Any, **arrays: Any) -> Path:
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    return path


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ([1, 2], "holds something else"),
        ({"forest": 3}, "holds something else"),
        ({"epistem_forecast": 3}, f"is of version 3, this epistem reads {VERSION}"),
        ({"epistem_forecast": VERSION}, "lacks a part"),
        ({"epistem_forecast": VERSION, "how": [], "about": {}}, "lacks a part"),
        ({"epistem_forecast": VERSION, "how": {"scores": [], "parts": ["counts"]}, "about": {}}, "scores are rising"),
    ],
)
def test_content_of_others_and_of_other_versions_is_refused(tmp_path: Path, about: Any, says: str) -> None:
    assert says in refusal(written(tmp_path / "f.npz", about))


def test_a_plain_array_is_no_forecast(tmp_path: Path) -> None:
    with (tmp_path / "f.npz").open("wb") as file:
        np.save(file, np.arange(3))
    assert "is no fitted forecast" in refusal(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("name", "put", "says"),
    [
        ("objects.left", None, "'left'"),
        ("f1.boosted.right", -1, "nodes that are not there"),
        ("recall.randomised.roots", 10**6, "nodes that are not there"),
        ("precision.error.value", (), "do not agree in number"),
        ("f1.edges", None, "f1.edges"),
    ],
)
def test_trees_that_lack_a_part_or_lead_nowhere_are_refused(
    path: Path, tmp_path: Path, name: str, put: Any, says: str
) -> None:
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    if put is None:
        del arrays[name]
    elif put == ():
        arrays[name] = arrays[name][:-1]
    else:
        arrays[name][0] = put
    np.savez(tmp_path / "f.npz", **arrays)
    assert says in refusal(tmp_path / "f.npz")


def test_nothing_is_run_when_a_file_with_objects_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", about=np.array([Unknown()], dtype=object))
    assert "allow_pickle" in refusal(tmp_path / "f.npz")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordError, match=r"cannot write .*; choose a folder that is no file"):
        save(Forecaster(), tmp_path / "file" / "f.npz")
