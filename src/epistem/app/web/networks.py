"""Segmentation networks of a session: those it trained, and weights that the person sent."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from epistem.app.web.limits import Limits
from epistem.app.web.rooms import Refused, Room, read_json, safe_name
from epistem.core import RecordError

MOST = 50
"""Files of weights in one session."""
HOW = (
    "No segmentation network comes with epistem: train one on your own masks in the tab Bench, which then stands "
    "here, or with “epistem train segmenter FOLDER --out RUN”, and add its model.safetensors."
)
_SUFFIX = ".safetensors"
_MODEL = "model.safetensors"
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Network:
    """A network to choose.

    Attributes:
        id: how the page calls it.
        name: for people.
        path: what `epistem segment --model` takes.
    """

    id: str
    name: str
    path: Path


class _Look(BaseModel):
    tile_px: int = Field(ge=32, le=4096)
    shrink: int = Field(ge=1, le=64)


class _Card(BaseModel):
    """What is needed of a card; a file that somebody else wrote may lack it."""

    what: str = Field(max_length=200)
    classes: list[str] = Field(min_length=2, max_length=200)
    channels: list[str] = Field(max_length=16)
    look: _Look
    job: str = Field(max_length=80)
    settings: dict[str, Any]


class _Build(BaseModel):
    model_config = ConfigDict(extra="forbid")

    encoder: str = Field(max_length=80)
    decoder: str = Field(max_length=80)
    variant: str = Field(max_length=80)
    channels: int = Field(ge=1, le=16)
    classes: int = Field(ge=2, le=200)


def networks(room: Room) -> list[Network]:
    """All that can be chosen, the newest first."""
    return [*reversed(_trained(room)), *reversed(_sent(room))]


def network_of(room: Room, id: str) -> Network:
    """One of them.

    Raises:
        Refused: there is none of that id.
    """
    for one in networks(room):
        if one.id == id:
            return one
    raise Refused("there is no such network in this session; choose another, or train one", 404)


def reserve_weights(room: Room, limits: Limits, name: str, size: int | None) -> tuple[str, Path]:
    """A place for a file of weights that is about to come: its id, and where its bytes go.

    Raises:
        Refused: too large, too many, no room left, or another kind of file.
    """
    if not name.lower().endswith(_SUFFIX):
        raise Refused(
            f"{safe_name(name)} is no {_SUFFIX} file, which is the one kind of weights that this page opens: others "
            "(.pth, .pt, .ckpt, .h5) can run code. epistem writes model.safetensors",
            415,
        )
    if size is not None and size > limits.upload_bytes:
        raise Refused(f"the file has {size / 1e6:,.0f} MB; this page takes up to {limits.upload_mb:,.0f} MB", 413)
    if len(_sent(room)) >= MOST:
        raise Refused(f"this session holds {MOST} files of weights, as many as it may; remove some", 413)
    room.check_space(limits, size or 0)
    id = secrets.token_hex(8)
    folder = room.folder / "weights" / id
    folder.mkdir(parents=True)
    return id, folder / ".coming"


def settle_weights(room: Room, id: str, name: str) -> Network:
    """The file has come whole: check that it is a segmentation network, and give it its name; else `remove_weights`.

    Raises:
        RecordError: it is none, or damaged.
    """
    folder = room.folder / "weights" / id
    path = folder / f"{safe_name(name)[: -len(_SUFFIX)] or 'model'}{_SUFFIX}"
    (folder / ".coming").replace(path)
    try:
        check_weights(path)
    except RecordError as error:
        raise RecordError(str(error).replace(str(path), path.name)) from error
    return Network(f"file:{id}", path.name, path)


def remove_weights(room: Room, id: str) -> None:
    """Weights that were sent, or only half came.

    Raises:
        Refused: there are none of that id.
    """
    folder = room.folder / "weights" / id
    if not _ID.fullmatch(id) or not folder.is_dir():
        raise Refused("there are no such weights in this session", 404)
    shutil.rmtree(folder, ignore_errors=True)


def check_weights(path: Path) -> None:
    """Looks at the description alone; whether the tensors fit is seen when the network is built.

    Raises:
        RecordError: no weights that epistem wrote, or not of a segmentation network.
    """
    from epistem.nets.weights import open_weights

    weights = open_weights(path)
    if weights.network != "segmenter":
        raise RecordError(
            f"{path.name} holds {weights.network[:80]!r}, no segmentation network; give one of `epistem bench run` "
            "or `epistem train segmenter`"
        )
    try:
        card, build = _Card.model_validate(weights.card), _Build.model_validate(weights.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path.name} lacks part of its description ({where}); train it again") from error
    if build.classes != len(card.classes) or "data" not in card.settings:
        raise RecordError(f"{path.name} contradicts itself in its classes or data; train it again")


def _sent(room: Room) -> list[Network]:
    found = sorted((room.folder / "weights").glob(f"*/*{_SUFFIX}"), key=lambda one: one.stat().st_mtime_ns)
    return [Network(f"file:{one.parent.name}", one.name, one) for one in found]


def _trained(room: Room) -> list[Network]:
    """Runs with a network that is trained and kept."""
    root = room.folder / "runs"
    plans = sorted([*root.glob("*/plan.json"), *root.glob("*/*/plan.json")], key=lambda one: one.stat().st_mtime_ns)
    kept = [one for one in plans if any((one.parent / "jobs").glob(f"*/{_MODEL}"))]
    return [Network(f"run:{one.parent.relative_to(root).as_posix()}", _called(one, root), one.parent) for one in kept]


def _called(plan: Path, root: Path) -> str:
    told = read_json(plan) or {}
    of = f" on {told['dataset']}" if told.get("dataset") else ""
    return f"Trained here{of} ({plan.parent.relative_to(root).parts[0]})"
