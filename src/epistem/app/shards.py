"""Results of very many images: objects and records in parquet shards that many processes write at once.

::

    RESULTS/shards/
    ├── 0-<hash>.parquet     one file: its objects, and in the footer its record
    ├── 1-<hash>.parquet     PER_LEVEL of these in one
    └── 2-<hash>.parquet     PER_LEVEL of those in one

A shard is written beside its place and renamed into it, so it is there whole or not at all, and nobody waits for a
lock. Its name is the hash of what it holds: two runs that do the same write the same. When shards are put together
the new one is there before the old ones go, so a kill in between leaves some files twice, never none; readers take
each file under each key once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, overload

from pydantic import ValidationError

from epistem.app.store import Earlier, FileRecord, Job
from epistem.core import RecordError
from epistem.core.files import sweep, written_whole
from epistem.report.export_long import gathered, shared_schema

_log = logging.getLogger(__name__)

FOLDER = "shards"
PER_LEVEL, TOP = 64, 2
IDENTITY = ("file", "key", "image", "slice", "specimen")
_OF_ONE = re.compile(r"0-[0-9a-f]{24}\.parquet")
_FILES, _RECORDS = b"epistem.files", b"epistem.records"
_TRIES = 20  # another run may put shards together, and remove the old ones, while this one opens them


class Entry(NamedTuple):
    """One file in a shard.

    Attributes:
        file, key: what it is, and under what its results were made.
        rows: how many objects it has.
        shard: the shard.
        first: its first row there.
        number: which of the shard's records is its.
    """

    file: str
    key: str
    rows: int
    shard: Path
    first: int
    number: int


def place_of(results: Path, file: str, key: str) -> Path:
    """Where the shard of one file goes."""
    digest = hashlib.sha256(f"{file}\0{key}".encode()).hexdigest()[:24]
    return results / FOLDER / f"0-{digest}.parquet"


def write_shard(results: Path, record: FileRecord, tables: Sequence[Any]) -> None:
    """The results of one file.

    Args:
        results: folder of all results.
        record: of the file.
        tables: objects of each of its images (Arrow), the columns of IDENTITY among them.

    Raises:
        RecordError: the shard cannot be written.
    """
    schema = shared_schema(table.schema for table in tables)
    path = place_of(results, record.file, record.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sum(map(len, tables))
    _write(path, schema, tables, [(record.file, record.key, rows)], [record.model_dump_json()])


def _write(
    path: Path, schema: Any, tables: Iterable[Any], files: Sequence[tuple[str, str, int]], records: Sequence[str]
) -> None:
    import pyarrow.parquet as pq

    packed = base64.b64encode(zlib.compress("\n".join(records).encode()))
    with written_whole(path) as part, pq.ParquetWriter(part, schema, write_page_checksum=True) as writer:
        for table in gathered(tables, schema):
            writer.write_table(table)
        writer.add_key_value_metadata({_FILES: json.dumps(files), _RECORDS: packed})
        writer.close()
        # On the disk before it counts: those that it was put together from go after it.
        with part.open("rb+") as written:
            os.fsync(written.fileno())


def entries_of(shard: Path) -> list[Entry]:
    """What is in a shard, from its footer.

    Raises:
        FileNotFoundError: another run has put it together with others.
        RecordError: it is none of ours.
    """
    import pyarrow.parquet as pq

    with _told(shard):
        files = json.loads((pq.read_metadata(shard).metadata or {})[_FILES])
    entries, first = [], 0
    for number, (file, key, rows) in enumerate(files):
        entries.append(Entry(file, key, rows, shard, first, number))
        first += rows
    return entries


class Known:
    """Which files are there under which keys; shards that were seen are not opened again.

    Attributes:
        keys: (file, key).
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._listed: dict[Path, list[Entry]] = {}
        self.keys: set[tuple[str, str]] = set()
        self.look()

    def look(self) -> None:
        """What has come since."""
        before = self._listed
        self._listed = _listed(self._results, before)
        self.keys |= {
            (one.file, one.key) for shard, some in self._listed.items() if shard not in before for one in some
        }


def finished(results: Path, job: Job) -> FileRecord | None:
    """The record of a job whose own shard is there, or None; a damaged one counts as none."""
    shard = place_of(results, job.name, job.key)
    try:
        return FileRecord.model_validate_json(_records(shard)[0])
    except (FileNotFoundError, RecordError, ValidationError):
        return None


def all_entries(results: Path) -> dict[tuple[str, str], Entry]:
    """What is in all shards, each file under each key once."""
    return _once(_listed(results))


def _once(listed: Mapping[Path, Sequence[Entry]]) -> dict[tuple[str, str], Entry]:
    # The highest level comes last, and wins: what is twice there is taken from the larger shard.
    return {(one.file, one.key): one for entries in listed.values() for one in entries}


def _listed(results: Path, seen: Mapping[Path, list[Entry]] | None = None) -> dict[Path, list[Entry]]:
    known = dict(seen or {})
    for _ in range(_TRIES):
        listed = sorted((results / FOLDER).glob("[0-9]-*.parquet"))
        try:
            for shard in listed:
                known[shard] = known.get(shard) or _entries_of(shard)
        except FileNotFoundError:
            continue
        return {shard: known[shard] for shard in listed if known[shard]}
    raise RecordError(f"the shards in {results / FOLDER} do not come to rest; wait for the other runs on it")


def _entries_of(shard: Path) -> list[Entry]:
    """What is in it; of one file's that is damaged nothing: it is taken away, and the file is done again."""
    try:
        return entries_of(shard)
    except RecordError:
        if not _OF_ONE.fullmatch(shard.name):
            raise
        _log.warning("%s is damaged, its file is done again", shard)
        shard.unlink(missing_ok=True)
        return []


class Reader:
    """Objects and records of shards, of which only a few parts are in memory."""

    def __init__(self) -> None:
        self.group = lru_cache(maxsize=16)(_group)
        self.file = lru_cache(maxsize=64)(_opened)
        self.records = lru_cache(maxsize=4)(_records)

    def close(self) -> None:
        """Hold no shard open: Windows removes none that is."""
        self.group.cache_clear()
        self.file.cache_clear()

    def record(self, entry: Entry) -> str:
        """The record as JSON."""
        return self.records(entry.shard)[entry.number]

    def objects(self, entry: Entry, first: int = 0, rows: int | None = None) -> Any:
        """Rows of a file, all unless told (Arrow)."""
        import pyarrow as pa

        start = entry.first + first
        stop = start + (entry.rows - first if rows is None else rows)
        file, at = self.file(entry.shard), 0
        pieces = [file.schema_arrow.empty_table()]
        for i in range(file.num_row_groups):
            length = file.metadata.row_group(i).num_rows
            if at < stop and at + length > start:
                low = max(start - at, 0)
                pieces.append(self.group(entry.shard, file, i).slice(low, min(stop - at, length) - low))
            at += length
        return pa.concat_tables(pieces)


def _opened(shard: Path) -> Any:
    import pyarrow.parquet as pq

    with _told(shard):
        return pq.ParquetFile(shard, page_checksum_verification=True)


def _group(shard: Path, file: Any, i: int) -> Any:
    with _told(shard):
        return file.read_row_group(i)


def _records(shard: Path) -> list[str]:
    import pyarrow.parquet as pq

    with _told(shard):
        packed = pq.read_metadata(shard).metadata[_RECORDS]
        return zlib.decompress(base64.b64decode(packed)).decode().split("\n")


@contextmanager
def _told(shard: Path) -> Iterator[None]:
    """Damage as a RecordError; that another run has put the shard together with others stays a FileNotFoundError."""
    import pyarrow as pa

    try:
        yield
    except (FileNotFoundError, MemoryError):
        raise
    except (KeyError, ValueError, OSError, zlib.error, pa.ArrowException) as error:
        raise RecordError(f"{shard} is no shard of epistem or damaged; remove it, and run again") from error


def earlier_shards(results: Path, jobs: Sequence[Job]) -> Earlier:
    """What was done in the folder before these jobs are."""
    done, wanted = all_entries(results), {job.name: job.key for job in jobs}
    kept = sum((file, key) in done for file, key in wanted.items())
    files = {file for file, _ in done}
    return Earlier(kept, len(files & wanted.keys()) - kept, len(files - wanted.keys()))


def compact(results: Path) -> None:
    """Put PER_LEVEL shards of a level into one of the next, where there are so many."""
    for level in range(TOP):
        shards = sorted((results / FOLDER).glob(f"{level}-*.parquet"))
        for i in range(0, len(shards) - PER_LEVEL + 1, PER_LEVEL):
            with suppress(FileNotFoundError):  # another run was faster
                _merge(shards[i : i + PER_LEVEL], level + 1)


def tidy(results: Path, wanted: Mapping[str, str]) -> None:
    """Leave each file once, under the key that is wanted, with the same columns everywhere, in few shards.

    Args:
        results: folder of all results.
        wanted: key by file; files that are not in it stay as they are.
    """
    sweep(results / FOLDER)
    for _ in range(_TRIES):
        try:
            return _tidied(_listed(results), wanted)
        except FileNotFoundError:  # another run tidies too; what it has not seen is left to this one
            continue
    return None


def _tidied(shards: Mapping[Path, Sequence[Entry]], wanted: Mapping[str, str]) -> None:
    """Only what is listed is touched: another run may write more meanwhile."""
    import pyarrow.parquet as pq

    kept = {one for one in _once(shards).values() if wanted.get(one.file, one.key) == one.key}
    schemas = {shard: pq.read_schema(shard) for shard in shards}
    whole = shared_schema(schemas.values())
    low = [shard for shard in shards if int(shard.name[0]) < TOP]
    for some in [low, *([shard] for shard in shards if shard not in low)]:
        right = all(schemas[one].equals(whole) and set(shards[one]) <= kept for one in some)
        if some and not (right and len(some) == 1):
            _merge(some, TOP, kept, whole)


def _merge(shards: Sequence[Path], level: int, kept: set[Entry] | None = None, schema: Any = None) -> None:
    """One shard in place of several, in the order of its files.

    Raises:
        FileNotFoundError: another run has removed one of them.
    """
    import pyarrow.parquet as pq

    reader = Reader()
    inside = {(one.file, one.key): one for shard in shards for one in entries_of(shard)}
    entries = sorted(one for one in inside.values() if kept is None or one in kept)
    whole = schema or shared_schema(pq.read_schema(shard) for shard in shards)
    files = [(one.file, one.key, one.rows) for one in entries]
    digest = hashlib.sha256(json.dumps([files, str(whole.remove_metadata())]).encode()).hexdigest()[:24]
    path = shards[0].with_name(f"{level}-{digest}.parquet")
    if entries and path not in shards:
        records = [reader.record(one) for one in entries]
        try:
            _write(path, whole, (reader.objects(one) for one in entries), files, records)
        except RecordError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise error.__cause__ from None
            raise
    reader.close()
    for shard in shards:
        if shard != path:
            # On Windows another run may read it just now. What is twice there counts once, and goes next time.
            with suppress(PermissionError):
                shard.unlink(missing_ok=True)


class ShardRecords(Sequence[FileRecord]):
    """Records of some files of a folder of shards, read when they are asked for.

    Args:
        results: folder of all results.
        jobs: the files, in order; those that are not there are left out.
    """

    def __init__(self, results: Path, jobs: Sequence[Job]) -> None:
        self.results, self.reader = results, Reader()
        self._load()
        self._keys = [key for job in jobs if (key := (job.name, job.key)) in self.entries]

    def _load(self) -> None:
        self.entries = all_entries(self.results)

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> FileRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[FileRecord]: ...
    def __getitem__(self, index: int | slice) -> FileRecord | list[FileRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return FileRecord.model_validate_json(self._tried(self._keys[index], self.reader.record))

    def _tried(self, key: tuple[str, str], get: Any) -> Any:
        """What `get` gives of an entry; again where another run has moved it."""
        for _ in range(_TRIES):
            try:
                return get(self.entries[key])
            except FileNotFoundError:
                self._load()
        raise RecordError(f"the shards in {self.results / FOLDER} do not come to rest; wait for the other runs on it")

    def objects(self, key: tuple[str, str], first: int, rows: int) -> Any:
        """Rows of a file (Arrow)."""
        return self._tried(key, lambda entry: self.reader.objects(entry, first, rows))

    def schemas(self) -> Iterator[Any]:
        """Columns of every shard that these files lie in."""
        one_of_each = {self.entries[key].shard: key for key in self._keys}
        for key in one_of_each.values():
            yield self._tried(key, lambda entry: self.reader.file(entry.shard).schema_arrow)
