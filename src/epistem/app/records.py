"""The records of a batch, kept in a file until somebody looks: thousands of them would fill the memory."""

from __future__ import annotations

import tempfile
import weakref
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, overload

from epistem.app.store import FileRecord


class Records(Sequence[FileRecord]):
    """Records of files in an order of one's own; each is read anew when it is asked for.

    Args:
        folder: where the file with them lies while they are needed; it has no name there.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this is
        self._places: list[tuple[int, int]] = []
        weakref.finalize(self, self._file.close)

    def add(self, record: FileRecord) -> int:
        """Keep one more at the end; its place."""
        packed = zlib.compress(record.model_dump_json().encode())
        self._places.append((self._file.seek(0, 2), len(packed)))
        self._file.write(packed)
        return len(self._places) - 1

    def order(self, places: Iterable[int]) -> None:
        """From now on those at these places, in this order."""
        self._places = [self._places[place] for place in places]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> FileRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[FileRecord]: ...
    def __getitem__(self, index: int | slice) -> FileRecord | list[FileRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, length = self._places[index]
        self._file.seek(start)
        return FileRecord.model_validate_json(zlib.decompress(self._file.read(length)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
