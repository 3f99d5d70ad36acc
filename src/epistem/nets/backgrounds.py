"""Recorded cavity-free fields of others: fetched once, known by the SHA-256 of their grey values.

Of the grey values and not of the file: a copy that was saved again without loss is as good.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import SettingsError, TrainingError
from epistem.core.files import written_whole
from epistem.core.places import cache_folder

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Background:
    """One file.

    Attributes:
        name: what it is called here.
        url: where it comes from.
        sha256: of its grey values as 8 bit, row by row.
    """

    name: str
    url: str
    sha256: str

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise SettingsError(f"the SHA-256 of {self.name} is 64 hexadecimal digits, not {self.sha256!r}")
        if Path(self.name).name != self.name:
            raise SettingsError(f"a background has a file name without folders, not {self.name!r}")


@dataclass(frozen=True)
class Backgrounds:
    """Files that belong together.

    Attributes:
        files: in the order in which they are drawn from.
        licence: under which they may be used, and whose they are.
        study_folder: where they lie below EPISTEM_STUDY_DATA, looked at before anything is fetched.
    """

    files: tuple[Background, ...]
    licence: str
    study_folder: str = ""

    def __post_init__(self) -> None:
        if not self.files:
            raise SettingsError("backgrounds.files names no file; add some, or leave [backgrounds] out")


def load_backgrounds(backgrounds: Backgrounds, cache: Path | None = None) -> list[NDArray[np.float32]]:
    """Grey values (H, W) of every file, in order.

    Args:
        backgrounds: which.
        cache: folder for what is fetched; None takes the user's own.

    Raises:
        TrainingError: a file is not here and cannot be fetched, or is not the one that was meant.
    """
    return [_load(one, backgrounds.study_folder, cache or user_cache()) for one in backgrounds.files]


def user_cache() -> Path:
    """Where fetched files are kept."""
    return cache_folder() / "backgrounds"


def _load(one: Background, study_folder: str, cache: Path) -> NDArray[np.float32]:
    study = os.environ.get("EPISTEM_STUDY_DATA")
    for folder in ([Path(study) / study_folder] if study else []) + [cache]:
        path = folder / one.name
        if path.is_file():
            return _grey(path.read_bytes(), one, str(path), f"remove {path} and run again to fetch it")
    content = _fetch(one, cache / one.name)
    grey = _grey(content, one, one.url, f"save the right one as {cache / one.name}")
    _keep(cache / one.name, content)
    return grey


def _fetch(one: Background, path: Path) -> bytes:
    try:
        with urllib.request.urlopen(one.url, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"background {one.name} is not here and could not be fetched from {one.url} ({error}); fetch it by other "
            f"means and save it as {path}, or train without backgrounds (on_backgrounds = 0)"
        ) from error
    return content


def _keep(path: Path, content: bytes) -> None:
    with written_whole(path, TrainingError) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)


def _grey(content: bytes, one: Background, source: str, remedy: str) -> NDArray[np.float32]:
    """The image in a file, if it is the one that was meant."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.asarray(picture.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise TrainingError(f"background {source} cannot be read as an image ({error}); {remedy}") from error
    came = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    if came != one.sha256:
        raise TrainingError(
            f"background {source} is not the image that was meant: the SHA-256 of its grey values is {came[:16]}…, "
            f"wanted {one.sha256[:16]}…; {remedy}"
        )
    return pixels.astype(np.float32)
