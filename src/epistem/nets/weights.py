"""Weights as files: safetensors in half precision, with everything needed to rebuild the network and a card.

::

    shipped/cavity-dense.safetensors     tensors, network, settings, least score, card
    shipped/cavity-dense.onnx            the same network for onnxruntime, where there is no torch

The file's hash is its identity in every Provenance. No torch is needed to read one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import DependencyMissing, RecordError
from epistem.core.files import written_whole

FORMAT = "epistem.weights/1"
SHIPPED = Path(__file__).parent / "shipped"
SUMS = "SHA256SUMS"  # as sha256sum writes it


@dataclass(frozen=True)
class Weights:
    """A trained network on disk.

    Attributes:
        path: of the safetensors file.
        network: its name in NETWORKS.
        settings: that rebuild it.
        min_score: the threshold chosen where it was trained.
        card: data, seed, time, hardware, scores and licences.
    """

    path: Path
    network: str
    settings: Mapping[str, Any]
    min_score: float
    card: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the file's SHA-256."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    @property
    def onnx(self) -> Path:
        """Where its ONNX file lies, if there is one."""
        return self.path.with_suffix(".onnx")

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Every tensor; floating ones as float32.

        Raises:
            RecordError: one of them is not finite, or the file came with epistem and is damaged.
        """
        from safetensors.numpy import load_file

        check_shipped(self.path)
        loaded = load_file(self.path)
        for name, tensor in loaded.items():
            if not np.isfinite(tensor).all():
                raise RecordError(
                    f"{self.path}: tensor {name} is not finite, the file is damaged; train or fetch it again"
                )
        return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in loaded.items()}


def open_weights(name: str | Path) -> Weights:
    """Weights by the name of a shipped network or by path.

    Raises:
        RecordError: not there, damaged, or of another version.
        DependencyMissing: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise DependencyMissing(
            'the learned detectors need safetensors and a runtime; pip install "epistem[lite]" (no torch) or '
            '"epistem[nets]", or choose --detector log'
        ) from error
    path = _path(name)
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise RecordError(
            f"{path} cannot be read as weights ({error}), it is damaged or something else; give a .safetensors file "
            "that epistem wrote, or train or fetch it again"
        ) from error
    if about.get("format") != FORMAT:
        came = about.get("format", "no format")
        raise RecordError(f"{path} says {came!r}; this version of epistem reads {FORMAT!r}. Train or fetch it again")
    try:
        settings, card = dict(json.loads(about["settings"])), dict(json.loads(about["card"]))
        return Weights(path, about["network"], settings, _checked(float(about["min_score"])), card)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} lacks part of its description ({error}); train or fetch it again") from error


def check_shipped(path: Path) -> None:
    """Holds a file that came with epistem against its sum: a flipped bit in it would be another network, untold.

    Raises:
        RecordError: it is not as it was shipped, or the sums are gone.
    """
    if path.parent != SHIPPED:
        return
    try:
        lines = [line.split() for line in (SHIPPED / SUMS).read_text("utf-8").splitlines()]
        sums = {name: digest for digest, name in lines}
    except (OSError, ValueError) as error:
        why = f"{SUMS} beside it cannot be read"
        raise RecordError(f"{path} cannot be checked, {why}; install epistem again") from error
    if sums.get(path.name) != hashlib.sha256(path.read_bytes()).hexdigest():
        raise RecordError(f"{path} is not as it was shipped, it is damaged; install epistem again")


def _checked(min_score: float) -> float:
    if not 0 <= min_score <= 1:  # with NaN nothing would be found, and nobody told
        raise RecordError(f"min_score runs from 0 to 1, not {min_score}")
    return min_score


def save_weights(
    path: Path,
    tensors: Mapping[str, NDArray[Any]],
    *,
    network: str,
    settings: Mapping[str, Any],
    min_score: float,
    card: Mapping[str, Any],
) -> Weights:
    """The tensors in half precision; the file appears only when it is whole.

    Raises:
        RecordError: a tensor is not finite, or too large for half precision, or the file cannot be written.
    """
    from safetensors.numpy import save

    halved = {name: _halved(name, tensor) for name, tensor in tensors.items()}
    about = {
        "format": FORMAT,
        "network": network,
        "settings": json.dumps(dict(settings), sort_keys=True),
        "min_score": repr(_checked(float(min_score))),
        "card": json.dumps(dict(card), sort_keys=True),
    }
    with written_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(_in_order(save(halved, metadata=about)))
    return open_weights(path)


def _in_order(file: bytes) -> bytes:
    """The description sorted: safetensors draws its order anew each time, and the same weights are the same bytes."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def _halved(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(tensor.dtype, np.floating):
        with np.errstate(over="ignore"):
            tensor = tensor.astype(np.float16)
    if not np.isfinite(tensor).all():
        raise RecordError(
            f"tensor {name} is not finite in half precision, and the weights are not written: the training went "
            "astray; take a lower learning rate and choose another --out"
        )
    return np.array(tensor, order="C")  # ascontiguousarray would make a number a list of one


def _path(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".safetensors" or path.parent != Path("."):
        if not path.is_file():
            raise RecordError(
                f"there are no weights at {path}; give a .safetensors file or the name of a shipped one"
            )
        return path
    shipped = SHIPPED / f"{name}.safetensors"
    if not shipped.is_file():
        there = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise RecordError(f"no weights are shipped for {str(name)!r}; there are: {there}. Train some: epistem train")
    return shipped
