from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.core.errors import DependencyMissing, RecordError

pytest.importorskip("safetensors")
from safetensors import safe_open
from safetensors.numpy import save_file

from epistem.nets import weights as module
from epistem.nets.weights import FORMAT, Weights, open_weights, save_weights

TENSORS = {
    "a.weight": np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32),
    "a.steps": np.array(7, np.int64),
    "a.turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
}


def saved(path: Path, tensors: dict[str, Any] | None = None, **change: Any) -> Weights:
    about = {
        "network": "cavity-dense",
        "settings": {"widths": [8, 4]},
        "min_score": 0.3,
        "card": {"seed": 5, "µ": "3 °"},
    }
    return save_weights(path, TENSORS if tensors is None else tensors, **{**about, **change})


def described(path: Path, **change: str | None) -> Path:
    """A file with another description; None takes a field out."""
    about = {
        "format": FORMAT,
        "network": "cavity-dense",
        "settings": "{}",
        "min_score": "0.3",
        "card": "{}",
        **change,
    }
    save_file({"a": np.zeros(2, np.float32)}, path, metadata={k: v for k, v in about.items() if v is not None})
    return path


def test_tensors_come_back_in_half_precision_and_whole_numbers_exactly(tmp_path):
    back = saved(tmp_path / "w.safetensors").tensors()
    assert set(back) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert back[name].shape == tensor.shape
        np.testing.assert_allclose(back[name], tensor, rtol=1e-3)
    assert back["a.weight"].dtype == back["a.turned"].dtype == np.float32
    assert back["a.steps"].dtype == np.int64


def test_what_was_rounded_once_comes_back_exactly(tmp_path):
    once = saved(tmp_path / "a.safetensors").tensors()
    twice = saved(tmp_path / "b.safetensors", once).tensors()
    for name in TENSORS:
        np.testing.assert_array_equal(twice[name], once[name])


def test_a_file_tells_all_that_was_said_of_it(tmp_path):
    made = saved(tmp_path / "w.safetensors")
    opened = open_weights(tmp_path / "w.safetensors")
    assert opened == made
    assert (opened.network, opened.min_score) == ("cavity-dense", 0.3)
    assert opened.settings == {"widths": [8, 4]}
    assert opened.card == {"seed": 5, "µ": "3 °"}
    assert opened.onnx == tmp_path / "w.onnx"


def test_the_hash_is_the_files_and_the_same_for_the_same_weights(tmp_path):
    # Four times: safetensors itself shuffles the description.
    one, *same = (saved(tmp_path / f"{name}.safetensors") for name in "abcd")
    other = saved(tmp_path / "e.safetensors", {**TENSORS, "a.steps": np.array(8)})
    assert {each.hash for each in same} == {one.hash}
    assert one.hash == hashlib.sha256(one.path.read_bytes()).hexdigest()[:16]
    assert other.hash != one.hash


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_weights_that_are_not_finite_in_half_precision_are_refused_by_name(tmp_path, value):
    bad = {**TENSORS, "b.bias": np.array([0.0, value], np.float32)}
    with pytest.raises(RecordError, match=r"tensor b\.bias is not finite in half precision.*another --out"):
        saved(tmp_path / "w.safetensors", bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.5])
def test_a_threshold_outside_0_to_1_is_neither_saved_nor_read(tmp_path, score):
    with pytest.raises(RecordError, match="min_score runs from 0 to 1"):
        saved(tmp_path / "w.safetensors", min_score=score)
    with pytest.raises(RecordError, match="min_score runs from 0 to 1"):
        open_weights(described(tmp_path / "w.safetensors", min_score=repr(score)))


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = saved(tmp_path / "w.safetensors").path
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordError, match=r"w\.safetensors cannot be read as weights.*train or fetch it again"):
        open_weights(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not weights, " * 100)
    with pytest.raises(RecordError, match="cannot be read as weights"):
        open_weights(path)


@pytest.mark.parametrize("came", ["epistem.weights/2", None])
def test_another_format_is_refused_with_the_one_wanted(tmp_path, came):
    with pytest.raises(RecordError, match=rf"says '{came or 'no format'}'.*reads 'epistem\.weights/1'"):
        open_weights(described(tmp_path / "w.safetensors", format=came))


@pytest.mark.parametrize("missing", ["network", "settings", "min_score", "card"])
def test_a_missing_part_of_the_description_is_named(tmp_path, missing):
    with pytest.raises(RecordError, match=rf"lacks part of its description \('{missing}'\)"):
        open_weights(described(tmp_path / "w.safetensors", **{missing: None}))


@pytest.mark.parametrize("change", [{"settings": "{"}, {"card": "3"}, {"min_score": "high"}])
def test_a_description_that_cannot_be_read_is_refused(tmp_path, change):
    with pytest.raises(RecordError, match="lacks part of its description"):
        open_weights(described(tmp_path / "w.safetensors", **change))


def test_a_name_that_is_not_shipped_brings_the_list_of_those_that_are(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    with pytest.raises(RecordError, match="no weights are shipped for 'best'; there are: none"):
        open_weights("best")
    for name in ("one", "other"):
        saved(tmp_path / f"{name}.safetensors")
    with pytest.raises(RecordError, match=r"there are: one, other\. Train some"):
        open_weights("best")
    assert open_weights("one").path == tmp_path / "one.safetensors"


@pytest.mark.parametrize("name", ["gone.safetensors", "folder/gone"])
def test_a_path_that_is_not_there_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError, match=f"there are no weights at {name}"):
        open_weights(name)


def test_a_folder_is_no_weights(tmp_path):
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(RecordError, match="there are no weights at"):
        open_weights(tmp_path / "w.safetensors")


def test_a_full_disk_leaves_the_weights_before_and_no_half_ones(tmp_path, monkeypatch):
    before = saved(tmp_path / "w.safetensors")
    write = Path.write_bytes

    def half(path: Path, data: bytes) -> None:
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(RecordError, match=r"cannot write .*w\.safetensors: No space left on device; make room"):
        saved(tmp_path / "w.safetensors", {**TENSORS, "a.steps": np.array(8)})
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    assert open_weights(tmp_path / "w.safetensors").hash == before.hash


def test_a_tensor_that_is_not_finite_is_refused_when_read(tmp_path):
    path = described(tmp_path / "w.safetensors")
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    save_file({"a": np.zeros(2, np.float32), "b": np.array([0, np.nan], np.float16)}, path, metadata=about)
    with pytest.raises(RecordError, match=r"w\.safetensors: tensor b is not finite, the file is damaged"):
        open_weights(path).tensors()


def test_a_folder_that_is_not_there_is_made(tmp_path):
    assert saved(tmp_path / "new" / "w.safetensors").path.is_file()


def test_the_description_lies_in_the_file_as_plain_json(tmp_path):
    with safe_open(saved(tmp_path / "w.safetensors").path, framework="numpy") as file:
        about = file.metadata()
    assert about["format"] == FORMAT
    assert json.loads(about["card"])["seed"] == 5


def test_without_safetensors_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(DependencyMissing, match=r'pip install "epistem\[lite\]" \(no torch\).*--detector log'):
        open_weights("any")
