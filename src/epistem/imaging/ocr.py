"""Reads printed words in a small grey picture, with the models that RapidOCR ships in its wheel (no network)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.core import DependencyMissing

# Found once enlarged and once as it is: small print is missed in the one, large print in the other.
_ENLARGED = (2, 1)
# Background round a line when it is read, in heights of the line. The detector's own tight crops lost letters
# ("200 nm" came as "200mm", sure to 0.97) and thin first digits ("160 µm" as "60 µm"), wide ones gain what
# stands near ("50 µm" in a box as "250 µm"): whoever uses the readings lets them vote.
_RIMS = (0.3, 0.6, 1.2)


class Word(NamedTuple):
    """A printed line: where it stands, half-open, and how it was read, once for each way of cutting it out."""

    row0: int
    col0: int
    row1: int
    col1: int
    readings: tuple[str, ...]


def available() -> bool:
    """Whether the extra `ocr` is installed."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def read_words(picture: NDArray[np.uint8]) -> list[Word]:
    """Every printed line in a picture.

    Args:
        picture: (H, W) grey values.

    Raises:
        DependencyMissing: the extra `ocr` is not installed.
    """
    words = []
    for times in _ENLARGED:
        found = _engine()(_as_colour(enlarged(picture, times)), use_det=True, use_cls=False, use_rec=False)
        for corners in () if found.boxes is None else np.asarray(found.boxes) / times:
            (col0, row0), (col1, row1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
            box = max(0, int(row0)), max(0, int(col0)), ceil(row1), ceil(col1)
            words.append(Word(*box, tuple(_line(_cut(picture, box, rim)) for rim in _RIMS)))
    return words


def _cut(picture: NDArray[np.uint8], box: tuple[int, int, int, int], rim: float) -> NDArray[np.uint8]:
    row0, col0, row1, col1 = box
    wide, high = int(rim * (row1 - row0)), max(2, int(0.3 * (row1 - row0)))
    return picture[max(0, row0 - high) : row1 + high, max(0, col0 - wide) : col1 + wide]


def enlarged(picture: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """The picture with `times` as many rows and columns, smoothly in between."""
    from PIL import Image

    if times == 1:
        return picture
    height, width = picture.shape
    return np.asarray(Image.fromarray(picture).resize((width * times, height * times), Image.Resampling.BICUBIC))


def _line(picture: NDArray[np.uint8]) -> str:
    found = _engine()(_as_colour(picture), use_det=False, use_cls=False, use_rec=True)
    return " ".join(found.txts or ())


def _as_colour(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(picture[:, :, None], 3, axis=2)


@cache
def _engine() -> Any:
    if not available():
        raise DependencyMissing('reading the label of a scale bar needs RapidOCR; pip install "epistem[ocr]"')
    from rapidocr import RapidOCR

    # One thread: a batch already runs one image per core, and sums come out in the same order everywhere.
    one_thread = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
    # Its own enlarging of small pictures (to 736 px) took 2 s a picture and split words.
    return RapidOCR(params={"Global.log_level": "error", "Det.limit_side_len": 32, **one_thread})
