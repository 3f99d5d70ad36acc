"""A room: the private folder of one session, with its images and everything made of them.

::

    ROOT/rooms/<hash of the session's key>/
    ├── used                       touched at every visit: what nobody uses is removed
    ├── items/<id>/                one uploaded image
    │   ├── item.json              its name as the person calls it, its settings
    │   ├── <name>                 the file
    │   ├── settings.json          what it was last analysed with
    │   ├── looks/<slice>/         picture.png, objects.json, thresholds.json: what the page shows
    │   ├── segment/, explain/, atoms/    the same of the other tabs, with their results
    │   └── edits/<slice>-….jsonl  corrections, one line each
    ├── detect/                    a results folder as `epistem analyze` writes it
    ├── corrected/                 the same of the objects as they were corrected
    ├── zips/                      both, to download
    ├── samples.csv                which image is of which specimen
    ├── settings.json              what an image that comes is analysed with
    ├── weights/<id>/              a segmentation network that the person sent
    └── runs/<id>/                 a training, a forecast, a benchmark, an answer

A session knows its room by a key that only its cookie holds; no name that a person typed is ever part of a path
unless `safe_name` made it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from epistem.app.web.limits import Limits
from epistem.app.web.lock import locked
from epistem.core import EpistemError, SettingsError
from epistem.core.files import write_text

log = logging.getLogger(__name__)

ITEM = "item.json"
_KEY = re.compile(r"[A-Za-z0-9_-]{32}")
_ID = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 120  # bytes
FULL = "the disk of this page is full, or nearly; ask whoever runs it to make room"
SPARE_BYTES = 500_000_000
"""What an upload or a long job leaves free on the disk."""
HALF_H = 1.0
"""So long an upload may take [h]."""
_NAMING = threading.Lock()


class Refused(EpistemError):
    """What the page does not take, with the status that says so to machines.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, why: str, status: int = 422) -> None:
        super().__init__(why)
        self.status = status


def disk_refusal(error: Exception) -> Refused:
    """What is said of an error of the disk: that it is full where the system says so; anything else is logged."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
        return Refused(FULL, 507)
    log.error("not served", exc_info=error)
    return Refused("the page's disk does not answer as it should; ask whoever runs it", 503)


class Item(BaseModel):
    """One uploaded image.

    Attributes:
        id: 16 hexadecimal digits.
        name: as the person calls it, unique in the room.
        bytes: of the file.
        number: in order of arrival.
        pixel_size: what the person typed, or None.
        confirmed: whether the person said that the pixel size in the file is right.
        right: images of it (by slice) of which the person said that every object is right.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    bytes: int
    number: int
    pixel_size: str | None = None
    confirmed: bool = False
    right: tuple[int, ...] = Field(default=())


@dataclass(frozen=True)
class Room:
    """The private folder of one session."""

    folder: Path

    @property
    def name(self) -> str:
        """Of the folder; the queue knows rooms by it."""
        return self.folder.name

    @property
    def results(self) -> Path:
        """The results folder of detection."""
        return self.folder / "detect"

    @property
    def corrected(self) -> Path:
        """The results folder of the corrected objects."""
        return self.folder / "corrected"

    def touch(self) -> None:
        """Somebody uses it."""
        with suppress(OSError):
            (self.folder / "used").touch()

    def items(self) -> list[Item]:
        """All images, in the order they came."""
        found = []
        for path in (self.folder / "items").glob(f"*/{ITEM}"):
            try:
                found.append(Item.model_validate_json(path.read_text("utf-8")))
            except (OSError, ValueError):  # being removed, or cut off by a crash
                continue
        return sorted(found, key=lambda one: one.number)

    def item(self, id: str) -> Item:
        """One image.

        Raises:
            Refused: there is none of that id in this room.
        """
        try:
            return Item.model_validate_json((self.folder_of(id) / ITEM).read_text("utf-8"))
        except (OSError, ValueError):
            raise Refused("there is no such image in this session; it may have been removed", 404) from None

    def folder_of(self, id: str) -> Path:
        """Of an image.

        Raises:
            Refused: no id.
        """
        if not _ID.fullmatch(id):
            raise Refused("there is no such image in this session", 404)
        return self.folder / "items" / id

    def file_of(self, item: Item) -> Path:
        """The uploaded file."""
        return self.folder_of(item.id) / item.name

    def look_of(self, id: str, slice_: int = 0) -> Path:
        """What the page shows of one image of a file."""
        return self.folder_of(id) / "looks" / f"{slice_:04d}"

    def slices(self, id: str) -> int:
        """How many images of a file have been looked at."""
        return sum(1 for _ in (self.folder_of(id) / "looks").glob("*/objects.json"))

    def change(self, id: str, change: Callable[[Item], Mapping[str, Any]]) -> Item:
        """An image with other values, kept.

        Args:
            change: the values, from how it is now.
        """
        self.item(id)
        with locked(self.folder_of(id) / ".lock"):
            before = self.item(id)
            item = before.model_copy(update=dict(change(before)))
            write_text(self.folder_of(id) / ITEM, item.model_dump_json())
        return item

    def remove(self, id: str) -> None:
        """An image with all that was made of it."""
        item = self.item(id)
        from epistem.app.store import folder_of

        shutil.rmtree(self.folder_of(id), ignore_errors=True)
        for results in (self.results, self.corrected):
            shutil.rmtree(folder_of(results, item.name), ignore_errors=True)

    def new_run(self, kind: str) -> Path:
        """A folder for a training, a benchmark, an answer."""
        folder = self.folder / "runs" / f"{kind}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        return folder

    def size(self) -> int:
        """Of everything in it [bytes]."""
        # A training's images are the uploaded files under another name.
        seen = {(one.st_dev, one.st_ino): one.st_size for one in self._files()}
        return sum(seen.values())

    def check_space(self, limits: Limits, more: int = 0) -> None:
        """
        Raises:
            Refused: so many bytes more would be too many for this session, or for the disk.
        """
        if self.size() + more > limits.room_bytes:
            raise Refused(f"this session's folder is full ({limits.room_mb:,.0f} MB); remove some images", 507)
        if shutil.disk_usage(self.folder).free < more + SPARE_BYTES:
            raise Refused(FULL, 507)

    def _files(self) -> Iterator[os.stat_result]:
        for folder, _, names in os.walk(self.folder):  # goes past what is removed meanwhile
            for name in names:
                with suppress(FileNotFoundError):  # an upload that came whole has another name now
                    one = os.lstat(os.path.join(folder, name))
                    if stat.S_ISREG(one.st_mode):
                        yield one


class Rooms:
    """All rooms below one folder.

    Args:
        root: readable by this user only.
        limits: of each room.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        try:
            (root / "rooms").mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)
        except OSError as error:
            raise SettingsError(f"{root} cannot be written to: {error.strerror}; choose another --folder") from error

    def of_key(self, key: str | None) -> tuple[Room, str]:
        """The room of a session's key, and the key: a new one where this is none.

        Raises:
            Refused: a new room cannot be made on the disk.
        """
        if key is None or not _KEY.fullmatch(key):
            key = secrets.token_urlsafe(24)
        room = Room(self.root / "rooms" / hashlib.sha256(key.encode()).hexdigest()[:32])
        try:
            room.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise disk_refusal(error) from error
        room.touch()
        return room, key

    def sweep(self, busy: Callable[[str], bool], now: float | None = None) -> list[str]:
        """Removes rooms that nobody used for `keep_h` and that have no job, and tells their names."""
        now = time.time() if now is None else now
        gone = []
        for folder in (self.root / "rooms").iterdir():
            try:
                unused_h = (now - (folder / "used").stat().st_mtime) / 3600
            except OSError:
                unused_h = float("inf")
            if unused_h < 0:  # the clock was set back: from now on
                Room(folder).touch()
            if unused_h > self.limits.keep_h and not busy(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(folder.name)
            else:
                _drop_halves(folder, now)
        return gone

    def touch_all(self) -> None:
        """Their time begins anew."""
        for folder in (self.root / "rooms").iterdir():
            Room(folder).touch()

    def reserve(self, room: Room, name: str, size: int | None) -> tuple[str, Path]:
        """A place for a file that is about to come: its id, and where its bytes go.

        Raises:
            Refused: too large, too many, no room left, or no image by its name.
        """
        limits = self.limits
        if size is not None and size > limits.upload_bytes:
            raise Refused(
                f"the file has {size / 1e6:,.0f} MB; this page takes up to {limits.upload_mb:,.0f} MB a file. Crop "
                "or bin it, or use the command line: epistem analyze",
                413,
            )
        check_suffix(name)
        if sum(1 for _ in (room.folder / "items").glob("*")) >= limits.images:
            raise Refused(f"this session holds {limits.images} images, as many as it may; remove some", 413)
        room.check_space(limits, size or 0)
        id = secrets.token_hex(8)
        folder = room.folder_of(id)
        folder.mkdir(parents=True)
        return id, folder / ".coming"

    def settle(self, room: Room, id: str, name: str) -> Item:
        """The file has come whole: give it its name."""
        coming = room.folder_of(id) / ".coming"
        with _NAMING:
            here = room.items()
            given = _unique(safe_name(name), {one.name for one in here})
            number = 1 + max((one.number for one in here), default=0)
            item = Item(id=id, name=given, bytes=coming.stat().st_size, number=number)
            os.replace(coming, room.file_of(item))
            write_text(room.folder_of(id) / ITEM, item.model_dump_json())
        return item


def _drop_halves(room: Path, now: float) -> None:
    """Uploads that a server did not live to see the end of, and what a worker wrote of an image removed meanwhile."""
    for folder in (room / "items").glob("*"):
        with suppress(OSError):
            if not (folder / ITEM).exists() and now - folder.stat().st_mtime > 3600 * HALF_H:
                shutil.rmtree(folder, ignore_errors=True)


def safe_name(name: str) -> str:
    """A file's name that can be part of a path, close to what the person called it.

    >>> safe_name("../../etc/foil 3 (a).TIF")
    'foil 3 (a).TIF'
    >>> safe_name("..\\\\x<script>.png")
    'x_script_.png'
    """
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(one if one.isalnum() or one in " ._-()+,=µ°" else "_" for one in last).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if not (dot and stem):
        stem, suffix = "image", suffix or plain
    suffix = _cut(suffix, 20)
    return f"{_cut(stem, _LONGEST_NAME - 1 - len(suffix.encode()))}.{suffix}"


def _cut(text: str, most: int) -> str:
    """Disks count bytes, and a sign may have four."""
    return text.encode()[:most].decode("utf-8", "ignore")


def check_suffix(name: str) -> None:
    """Raises Refused where no reader knows files of this name."""
    from epistem.imaging.read import SUFFIXES

    suffix = Path(safe_name(name)).suffix.lower()
    if suffix not in SUFFIXES or suffix in (".zarr", ".zspy", ".emi"):
        known = ", ".join(sorted({one.lstrip(".") for one in SUFFIXES} - {"zarr", "zspy", "emi"}))
        raise Refused(f"{safe_name(name)} is no image that this page reads; it takes {known}", 415)


def _unique(name: str, taken: set[str]) -> str:
    """With a number where the name is taken; case decides nothing, as on some disks."""
    lower = {one.lower() for one in taken} | {ITEM}
    stem, dot, suffix = name.rpartition(".")
    given, n = name, 1
    while given.lower() in lower:
        n += 1
        given = f"{stem} ({n}){dot}{suffix}"
    return given


def read_json(path: Path) -> Any:
    """What a file of ours holds; None where it is not there yet."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
