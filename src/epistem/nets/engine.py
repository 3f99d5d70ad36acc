"""Runs the dense detector's network: by onnxruntime where there is no torch, by torch where there is no ONNX file."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import DependencyMissing, RecordError, SettingsError, wants_memory
from epistem.nets.stars import Reading, pad
from epistem.nets.weights import Weights, check_shipped, open_weights

_WITHOUT_ONNX = 'fetch it again, or delete it and run by torch (pip install "epistem[nets]")'

Engine = Literal["auto", "onnx", "torch"]
Maps = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Loaded(NamedTuple):
    """A network ready to run: z-scores (H, W) -> maps (CHANNELS, ⌈H/2⌉, ⌈W/2⌉)."""

    maps: Maps
    weights: Weights
    reading: Reading
    engine: str


@lru_cache(maxsize=4)
def load_dense(name: str, engine: Engine = "auto", device: str | None = None) -> Loaded:
    """The network of these weights; kept, so that a folder of images loads it once.

    Args:
        name: of shipped weights, or a path.
        engine: "auto" takes a GPU by torch, else onnxruntime, else torch.
        device: "cpu", "cuda", "cuda:1"…; a GPU where there is one if None. onnxruntime runs on the CPU.

    Raises:
        RecordError: no such weights, damaged ones, or of another network.
        DependencyMissing: neither runtime is installed, or not the one asked for.
        SettingsError: no such engine or device, or the two do not go together.
    """
    weights = open_weights(name)
    assert weights.hash  # of the file as it is now, whatever lies there later
    if weights.network != "cavity-dense":
        raise RecordError(
            f"{weights.path} holds a {weights.network}, wanted a cavity-dense; choose --detector {weights.network}, "
            "or give other weights"
        )
    known = {field.name for field in fields(Reading)}
    reading = Reading(**{key: value for key, value in weights.settings.items() if key in known})
    chosen = _choose(engine, weights, device)
    if chosen == "onnx":
        check_shipped(weights.onnx)
    maps = _by_onnx(weights) if chosen == "onnx" else _by_torch(weights, device)
    return Loaded(maps, weights, reading, chosen)


def _choose(engine: Engine, weights: Weights, device: str | None) -> str:
    if engine not in ("auto", "onnx", "torch"):
        raise SettingsError(f"engine is auto, onnx or torch, not {engine!r}")
    if engine == "onnx" and device not in (None, "cpu"):
        raise SettingsError(f"engine onnx runs on the CPU, not on {device!r}; take device cpu or engine torch")
    has_onnx = importlib.util.find_spec("onnxruntime") is not None
    has_torch = importlib.util.find_spec("torch") is not None
    if engine == "onnx" and not (has_onnx and weights.onnx.is_file()):
        raise DependencyMissing(
            f'engine onnx needs onnxruntime (pip install "epistem[lite]") and {weights.onnx.name}'
        )
    if engine == "torch" and not has_torch:
        raise DependencyMissing('engine torch needs torch; pip install "epistem[nets]", or leave engine at auto')
    if engine != "auto":
        return engine
    if has_onnx and weights.onnx.is_file() and (device == "cpu" or (device is None and not _gpu(has_torch))):
        return "onnx"
    if has_torch:
        return "torch"
    if has_onnx:
        raise DependencyMissing(
            f"{weights.onnx.name} is not beside {weights.path.name}, and onnxruntime runs nothing else; "
            'pip install "epistem[nets]", which makes it and runs without it'
        )
    raise DependencyMissing(
        'the learned detector runs by onnxruntime or by torch and neither is here; pip install "epistem[lite]" '
        '(small) or "epistem[nets]", or choose --detector log'
    )


def _gpu(has_torch: bool) -> bool:
    # Starting torch to ask costs seconds; where no NVIDIA driver is loaded the answer is known.
    if not (has_torch and Path("/proc/driver/nvidia/version").exists()):
        return False
    import torch

    return bool(torch.cuda.is_available())


def _by_onnx(weights: Weights) -> Maps:
    import onnxruntime

    path = weights.onnx
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, too
    # onnxruntime does not ask for it: two workers with two threads each wait for each other at full load.
    told = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(told) if told.isdecimal() else 0  # 0: all cores
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        made_from = session.get_modelmeta().custom_metadata_map.get("weights")
    except Exception as error:
        if wants_memory(error):
            raise
        raise RecordError(f"{path} cannot be run by onnxruntime ({error}), it is damaged; {_WITHOUT_ONNX}") from error
    if made_from != weights.hash:
        raise RecordError(f"{path} was made from other weights than {weights.path.name} beside it; {_WITHOUT_ONNX}")

    def maps(image: NDArray[np.float32]) -> NDArray[np.float32]:
        h, w = (-(-n // 2) for n in image.shape)
        result: NDArray[np.float32] = session.run(None, {"image": pad(image)[None, None]})[0][0, :, :h, :w]
        return result

    return maps


def _by_torch(weights: Weights, device: str | None) -> Maps:
    import torch

    from epistem.nets.restore import restore
    from epistem.nets.train import device_or_best

    where = device_or_best(device)
    network: Any = restore(weights)

    def maps(image: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result: NDArray[np.float32] = network.to(where).maps(image)
        except torch.cuda.OutOfMemoryError as error:
            h, w = image.shape
            raise SettingsError(
                f"the GPU has no room for a window of {h} × {w} pixels; take a smaller tile_px, or engine onnx "
                "(on the CPU)"
            ) from error
        return result

    return maps
