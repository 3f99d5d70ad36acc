"""Images as vectors, by the encoder's name, and kept by content, so that none is computed twice.

===========  ========================================================================================================
descriptors  118 numbers of texture (`trust.descriptors`); needs no network
lite0        EfficientNet-lite0 with ImageNet weights of a registry package: mean and spread of each of its maps
segmenter    the mean bottleneck of a trained segmenter that is given
clip         CLIP ViT-B/32, 512; from timm's hub, where it can be reached
vit-msn      ViT-MSN-base, 768; from transformers' hub
dinov2       DINOv2-base, 768; from timm's hub
===========  ========================================================================================================

The last three are those of the published typicality study, each with the preprocessing it was trained with.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import RecordError, ShapeError, Table
from epistem.core.places import cache_folder
from epistem.trust.descriptors import VERSION, WIDTH, describe

Single = NDArray[np.float32]


class Encoder(Protocol):
    """What an encoder is.

    Attributes:
        key: what its vectors depend on besides the image: name, weights, version.
        width: length of a vector, D.
    """

    @property
    def key(self) -> str: ...

    @property
    def width(self) -> int: ...

    def __call__(self, tiles: Sequence[NDArray[Any]]) -> Single:
        """Of n grey tiles (H, W), in grey values of any unit, (n, D)."""


_DEEP = "epistem.trust.deep_encoders"
ENCODERS = Table(
    "encoder",
    {
        "descriptors": "epistem.trust.encoders:Descriptors",
        "lite0": f"{_DEEP}:Lite0",
        "segmenter": f"{_DEEP}:Bottleneck",
        "clip": f"{_DEEP}:Clip",
        "vit-msn": f"{_DEEP}:VitMsn",
        "dinov2": f"{_DEEP}:DinoV2",
    },
)
_BATCH = 32
_T = TypeVar("_T")


def make_encoder(name: str, **settings: Any) -> Encoder:
    """The encoder of that name.

    Args:
        name: in ENCODERS.
        settings: of the encoder; `segmenter` needs the network and a name for its weights.

    Raises:
        UnknownName: no such encoder; the nearest name is offered.
        DependencyMissing: its package is not installed.
        RecordError: its weights are neither here nor within reach.
    """
    made: Encoder = ENCODERS[name](**settings)
    return made


@dataclass(frozen=True)
class Descriptors:
    """Texture without a network."""

    key: str = f"descriptors {VERSION}"
    width: int = WIDTH

    def __call__(self, tiles: Sequence[NDArray[Any]]) -> Single:
        """(n, WIDTH); raises as `describe`."""
        return np.array([describe(tile) for tile in tiles], np.float32).reshape(len(tiles), WIDTH)


def embed(tiles: Sequence[ArrayLike], encoder: Encoder, cache: Path | None = None) -> Single:
    """The vectors of n grey tiles, (n, D).

    Args:
        tiles: (H, W) each; sizes may differ.
        encoder: from `make_encoder`.
        cache: a file that keeps what was computed, by content and by the encoder's key; made if not there. None
            keeps nothing.

    Raises:
        ShapeError: a tile that is not one grey image.
        RecordError: the cache cannot be read or written.
    """
    arrays = [np.asarray(tile) for tile in tiles]
    for i, one in enumerate(arrays):
        if one.ndim != 2:
            raise ShapeError(f"wanted grey tiles (H, W); tile {i} is {one.shape}")
    out = np.empty((len(arrays), encoder.width), np.float32)
    if cache is None:
        for rows in _batched(range(len(arrays)), _BATCH):
            out[list(rows)] = encoder([arrays[i] for i in rows])
        return out
    ids = [content_id(one) for one in arrays]
    with _opened(cache) as kept:
        known = _known(kept, encoder, ids)
        first = {one: i for i, one in reversed(list(enumerate(ids))) if one not in known}
        for rows in _batched(first.values(), _BATCH):
            for i, vector in zip(rows, encoder([arrays[i] for i in rows]), strict=True):
                known[ids[i]] = vector
            _keep(kept, encoder, {ids[i]: known[ids[i]] for i in rows})
    for i, key in enumerate(ids):
        out[i] = known[key]
    return out


def content_id(tile: NDArray[Any]) -> str:
    """SHA-256 of shape, type and values: the same image has the same, whatever its file is called."""
    about = f"{tile.shape} {tile.dtype.str} ".encode()
    return hashlib.sha256(about + np.ascontiguousarray(tile).tobytes()).hexdigest()


def user_cache() -> Path:
    """Where vectors are kept if nothing else is said."""
    return cache_folder() / "embeddings.sqlite"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as kept:
            kept.execute(
                "CREATE TABLE IF NOT EXISTS vectors (encoder TEXT, id TEXT, v BLOB, PRIMARY KEY (encoder, id))"
            )
            yield kept
    except (OSError, sqlite3.Error) as error:
        raise RecordError(f"{path} cannot keep vectors ({error}); make room, remove it, or choose another") from error


def _known(kept: sqlite3.Connection, encoder: Encoder, ids: Sequence[str]) -> dict[str, Single]:
    known: dict[str, Single] = {}
    for some in _batched(dict.fromkeys(ids), 500):
        asked = ", ".join("?" * len(some))
        rows = kept.execute(f"SELECT id, v FROM vectors WHERE encoder = ? AND id IN ({asked})", (encoder.key, *some))
        known |= {one: np.frombuffer(v, np.float32) for one, v in rows}
    return {one: v for one, v in known.items() if len(v) == encoder.width}


def _keep(kept: sqlite3.Connection, encoder: Encoder, vectors: dict[str, Single]) -> None:
    rows = [(encoder.key, one, v.astype(np.float32).tobytes()) for one, v in vectors.items()]
    with kept:  # a batch is there whole or not at all
        kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def _batched(items: Iterable[_T], n: int) -> Iterator[tuple[_T, ...]]:
    rest = iter(items)
    while some := tuple(islice(rest, n)):
        yield some
