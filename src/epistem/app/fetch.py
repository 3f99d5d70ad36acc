"""Files from the network: streamed to disk, gone on with where a run before was cut, and checked.

::

    FOLDER/NAME             whole and checked
    FOLDER/NAME.part        what has come so far
    FOLDER/NAME.part.json   of which file: going on after another one would mix the two
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib import error, request

from epistem.core import RecordError, SettingsError

CHUNK, TIMEOUT_S, TRIES, PAUSE_S = 1 << 20, 60.0, 4, 2.0
_AGENT = {"User-Agent": "epistem", "Accept-Encoding": "identity"}
_AGAIN = (408, 429, 500, 502, 503, 504)  # answers that another time may be others

Step = Callable[[str, int, int | None], None]
"""Is told the name, how many bytes there are, and of how many."""


class Remote(NamedTuple):
    """One file.

    Attributes:
        url: where it is.
        name: it gets here, without folders.
        size: in bytes, where known.
        checksum: "md5:…" or "sha256:…", where known.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str | None = None


class Fetched(NamedTuple):
    """A file that is here: its path, the SHA-256 of its bytes, whether a checksum was there to compare."""

    path: Path
    sha256: str
    checked: bool


class _Cut(Exception):
    """The connection ended before the file did, or the server asks to come again."""


class _Stale(_Cut):
    """What is here is not the beginning of what the server has."""


def fetch(remote: Remote, folder: Path, *, most_bytes: int, step: Step = lambda *_: None) -> Fetched:
    """The file in a folder, whole and with the right checksum, or not at all.

    What came before an interruption is kept, and the next call goes on from there where the server can.

    Raises:
        SettingsError: it is larger than `most_bytes`, or another file of that name is there.
        RecordError: it cannot be had, its checksum is another, or there is no room for it.
    """
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    if target.exists():
        return _already(remote, target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive_all(remote, part, most_bytes, step)
        sums = _sums(part)
        if remote.checksum is not None and not _fits(remote.checksum, sums):
            kind, _, wanted = remote.checksum.partition(":")
            _forget(part)
            raise RecordError(
                f"{remote.name} has the {kind} {sums[kind]}, wanted {wanted}; what came is removed. Fetch it again, "
                "and look whether the checksum is that of this file"
            )
        part.replace(target)
        _forget(part)
    except OSError as why:
        raise RecordError(
            f"cannot write {target}: {why.strerror or why}; make room or choose another folder"
        ) from why
    return Fetched(target, sums["sha256"], remote.checksum is not None)


def get_json(url: str, *, most_bytes: int = 1 << 24) -> Any:
    """What an interface answers.

    Raises:
        RecordError: it cannot be reached, does not know the record, or answers something else.
    """
    try:
        with _open(url, {"Accept": "application/json"}) as answer:
            return json.loads(answer.read(most_bytes))
    except (_Cut, ValueError) as why:
        raise RecordError(f"{url} cannot be read: {why}; try again later") from why


def _already(remote: Remote, target: Path) -> Fetched:
    sums = _sums(target)
    if remote.checksum is not None and not _fits(remote.checksum, sums):
        raise SettingsError(
            f"{target} is there and is another file (its checksum differs); move it, or choose a folder"
        )
    if remote.checksum is None and remote.size not in (None, target.stat().st_size):
        raise SettingsError(f"{target} is there and is another file (its size differs); move it, or choose a folder")
    return Fetched(target, sums["sha256"], remote.checksum is not None)


def _receive_all(remote: Remote, part: Path, most_bytes: int, step: Step) -> None:
    """Go on until the file is whole; an attempt that brought something does not count."""
    left, have = TRIES, -1
    while True:
        try:
            _receive(remote, part, most_bytes, step)
            return
        except _Cut as why:
            if isinstance(why, _Stale):
                _forget(part)
            now = _size(part)
            left = left - 1 if now <= have else TRIES - 1
            have = max(have, now)
            if left <= 0:
                raise RecordError(
                    f"{remote.url} cannot be fetched: {why}; {now / 1e6:.1f} MB are kept, the same command goes on"
                ) from why
            time.sleep(PAUSE_S)


def _receive(remote: Remote, part: Path, most_bytes: int, step: Step) -> None:
    have, headers = _going_on(remote, part)
    if have and have == remote.size:
        return
    with _open(remote.url, headers) as answer:
        if answer.status == 206 and _starts_at(answer) == have:
            total = (
                have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else remote.size
            )
        else:
            have, length = 0, answer.headers.get("Content-Length")
            total = int(length) if length else remote.size
        _check_size(remote, total, have, most_bytes, part.parent)
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        about = {"url": remote.url, "checksum": remote.checksum, "mark": mark}
        part.with_name(f"{part.name}.json").write_text(json.dumps(about), "utf-8")
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            file.truncate()
            while chunk := _read(answer):
                file.write(chunk)
                have += len(chunk)
                step(remote.name, have, total)
                if have > most_bytes:
                    _check_size(remote, have, 0, most_bytes, part.parent)
    if total is not None and have != total:
        raise _Cut(f"the connection ended after {have} of {total} bytes")


def _going_on(remote: Remote, part: Path) -> tuple[int, dict[str, str]]:
    """How much is here of this very file, and how to ask for the rest."""
    try:
        about = json.loads(part.with_name(f"{part.name}.json").read_text("utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return 0, {}
    known = about.get("url") == remote.url and about.get("checksum") == remote.checksum
    mark = about.get("mark")
    # A weak mark may stand for other bytes (RFC 9110, 13.1.5); a checksum would tell in the end.
    usable = bool(mark) and not str(mark).startswith("W/")
    if not (have and known and (usable or remote.checksum)):
        return 0, {}
    return have, {"Range": f"bytes={have}-"} | ({"If-Range": mark} if usable else {})


def _open(url: str, headers: dict[str, str]) -> Any:
    try:
        return request.urlopen(request.Request(url, headers=_AGENT | headers), timeout=TIMEOUT_S)
    except error.HTTPError as answer:
        answer.close()
        if answer.code == 416:
            raise _Stale("what was fetched before is no part of the file") from answer
        if answer.code in _AGAIN:
            raise _Cut(f"the server answers {answer.code}, {answer.reason}") from answer
        hint = "check the address" if answer.code in (404, 410) else "it may want a login; fetch it in a browser"
        raise RecordError(f"{url}: the server answers {answer.code}, {answer.reason}; {hint}") from answer
    except (OSError, http.client.HTTPException) as why:
        raise _Cut(str(getattr(why, "reason", why))) from why
    except ValueError as why:
        raise SettingsError(f"{url} is no address: {why}; wanted https://…") from why


def _read(answer: Any) -> bytes:
    try:
        chunk: bytes = answer.read(CHUNK)
        return chunk
    except (OSError, http.client.HTTPException) as why:
        raise _Cut(f"the connection broke: {why}") from why


def _starts_at(answer: Any) -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _check_size(remote: Remote, total: int | None, have: int, most_bytes: int, folder: Path) -> None:
    if total is None:
        return
    if total > most_bytes:
        raise SettingsError(
            f"{remote.name} has {total / 1e9:.3g} GB, more than the limit of {most_bytes / 1e9:.3g} GB; nothing is "
            f"wrong with that, say --limit-gb {total / 1e9 + 0.1:.1f}"
        )
    if total - have > (free := shutil.disk_usage(folder).free):
        raise RecordError(
            f"{remote.name} needs {(total - have) / 1e9:.3g} GB and {folder} has {free / 1e9:.3g} GB free; make room"
        )


def _sums(path: Path) -> dict[str, str]:
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _fits(checksum: str, sums: dict[str, str]) -> bool:
    kind, _, wanted = checksum.partition(":")
    return sums[kind] == wanted.lower()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _forget(part: Path) -> None:
    for path in (part, part.with_name(f"{part.name}.json")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
