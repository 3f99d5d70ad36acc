"""Weights with a flipped bit: refused, never run as if nothing were."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from epistem.core import RecordError
from epistem.nets import engine, weights

pytest.importorskip("onnxruntime")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what is shipped, in its place."""
    copied = tmp_path / "shipped"
    copied.mkdir()
    for name in ("cavity-dense.safetensors", "cavity-dense.onnx", weights.SUMS):
        shutil.copy(weights.SHIPPED / name, copied)
    monkeypatch.setattr(weights, "SHIPPED", copied)
    return copied


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0x10
    path.write_bytes(content)


def test_all_weights_that_are_shipped_are_as_their_sums_say() -> None:
    files = [path for path in weights.SHIPPED.iterdir() if path.suffix in (".safetensors", ".onnx")]
    assert files
    for path in files:
        weights.check_shipped(path)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["cavity-dense.onnx", "cavity-dense.safetensors"])
def test_a_flipped_bit_in_shipped_weights_is_refused(shipped: Path, name: str, at: float) -> None:
    flip(shipped / name, at)
    with pytest.raises(RecordError, match=r"damaged|other weights"):
        engine.load_dense.__wrapped__("cavity-dense", "onnx")


def test_a_flipped_bit_is_refused_by_torch_too(shipped: Path) -> None:
    pytest.importorskip("torch")
    flip(shipped / "cavity-dense.safetensors", 0.5)
    with pytest.raises(RecordError, match="not as it was shipped"):
        engine.load_dense.__wrapped__("cavity-dense", "torch")


def test_sound_shipped_weights_run(shipped: Path) -> None:
    loaded = engine.load_dense.__wrapped__("cavity-dense", "onnx")
    assert np.isfinite(loaded.maps(np.zeros((32, 32), np.float32))).all()


@pytest.mark.parametrize("sums", [None, "no table of sums\n", b"\xff\xfe"])
def test_without_sums_that_can_be_read_the_weights_are_said_to_be_unchecked(
    shipped: Path, sums: str | bytes | None
) -> None:
    (shipped / weights.SUMS).unlink()
    if sums is not None:
        (shipped / weights.SUMS).write_bytes(sums.encode() if isinstance(sums, str) else sums)
    with pytest.raises(RecordError, match=r"cavity-dense\.onnx cannot be checked.*install epistem again"):
        weights.check_shipped(shipped / "cavity-dense.onnx")
