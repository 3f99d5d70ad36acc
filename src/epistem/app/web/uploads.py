"""A file that a browser sends: to the disk piece by piece, and gone again where it does not come whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fastapi import Request

from epistem.app.web.rooms import Refused

Kept = TypeVar("Kept")


async def take_upload(
    request: Request, most: int, *, reserve: Callable[[int | None], tuple[str, Path]],
    settle: Callable[[str], Kept], abandon: Callable[[str], object],
) -> Kept:  # fmt: skip
    """The body of a request as a file of ours.

    Args:
        most: bytes that it may have.
        reserve: a place for so many bytes, where that is known: its id, and where they go.
        settle: the file of this id has come whole.
        abandon: it has not, or was refused.

    Raises:
        Refused: too large, cut off, or whatever `reserve` and `settle` refuse.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else None
    id, path = await asyncio.to_thread(reserve, size)
    try:
        await _store(request, path, most, size)
        return await asyncio.to_thread(settle, id)
    except BaseException:  # a closed tab too
        await asyncio.to_thread(abandon, id)
        raise


async def _store(request: Request, path: Path, most: int, size: int | None) -> None:
    """The body is never in memory whole."""
    came = 0
    with path.open("wb") as file:
        async for piece in request.stream():
            came += len(piece)
            if came > most:
                raise Refused(f"the file is larger than {most / 1e6:,.0f} MB, as large as this page takes", 413)
            await asyncio.to_thread(file.write, piece)
    if size is not None and came != size:
        raise Refused("the file did not come whole; send it again", 400)
