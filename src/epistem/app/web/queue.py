"""Jobs that wait, run and are done: in one SQLite file, so that nothing is lost when the server stops.

::

    waiting ─► running ─► done | failed
       └───────────┴────► cancelled
    a worker that dies while it runs a job puts it back once; the second time it has failed

Rooms take turns: whoever queues a hundred images does not keep the others waiting.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "running", "done", "failed", "cancelled"]
TRIES = 2
DAMAGED = ".damaged"
_READ = "BEGIN DEFERRED"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, room TEXT NOT NULL, lane TEXT NOT NULL,
    kind TEXT NOT NULL, item TEXT, what TEXT NOT NULL, state TEXT NOT NULL, words TEXT NOT NULL DEFAULT '',
    share REAL, why TEXT, tries INTEGER NOT NULL DEFAULT 0, turn INTEGER NOT NULL DEFAULT 0, worker TEXT, result TEXT
);
CREATE INDEX IF NOT EXISTS by_room ON jobs (room, number);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, lane, number);
"""
_FIELDS = "id, room, lane, kind, item, what, state, words, share, why, tries, result"
_TAKE = f"""
UPDATE jobs SET state = 'running', worker = ?, tries = tries + 1, words = 'Starting', share = NULL,
    turn = 1 + (SELECT COALESCE(MAX(turn), 0) FROM jobs)
WHERE number = (
    SELECT number FROM jobs AS one WHERE state = 'waiting' AND lane = ?
    ORDER BY (SELECT COALESCE(MAX(turn), 0) FROM jobs AS other WHERE other.room = one.room), number LIMIT 1
) RETURNING {_FIELDS}
"""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Queued:
    """One job.

    Attributes:
        room: name of the room it belongs to.
        lane: "quick" or "long".
        kind: entry of `jobs.JOBS`.
        item: the image it is about, or None.
        what: its settings.
        words: what is under way.
        share: of the work that is done, 0 to 1; None where that is not known.
        why: it failed.
        tries: how often it was begun.
        result: what the page needs at once; the rest lies in the room.
    """

    id: str
    room: str
    lane: str
    kind: str
    item: str | None
    what: Mapping[str, Any]
    state: State
    words: str
    share: float | None
    why: str | None
    tries: int
    result: Any


class Queue:
    """The jobs of all rooms; any number of processes may use one file.

    Args:
        path: of the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            _prepare(path)
        except sqlite3.OperationalError:  # a full disk, a lock: nothing is wrong with what is there
            raise
        except sqlite3.DatabaseError as error:
            log.warning(
                "%s is damaged (%s): it is kept as %s, and no job waits now", path, error, path.name + DAMAGED
            )
            _put_aside(path)
            _prepare(path)

    def add(
        self, room: str, kind: str, what: Mapping[str, Any], *, item: str | None = None, lane: str = "quick"
    ) -> str:
        """Queues a job, and tells its id."""
        id = secrets.token_hex(8)
        with self._open() as base:
            base.execute(
                "INSERT INTO jobs (id, room, lane, kind, item, what, state) VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
                (id, room, lane, kind, item, json.dumps(what)),
            )
        return id

    def take(self, worker: str, lane: str) -> Queued | None:
        """The next job, which now runs; None where none waits."""
        with self._open() as base:
            if base.execute("SELECT 1 FROM jobs WHERE state = 'waiting' AND lane = ?", (lane,)).fetchone() is None:
                return None
            row = base.execute(_TAKE, (worker, lane)).fetchone()
        return None if row is None else _queued(row)

    def tell(self, id: str, words: str, share: float | None) -> None:
        """How far it is."""
        self._set(id, "words = ?, share = ?", (words, share), only="running")

    def finish(self, id: str, result: Any = None) -> None:
        """It is done."""
        self._set(id, "state = 'done', words = '', share = 1, result = ?", (json.dumps(result),), only="running")

    def fail(self, id: str, why: str) -> None:
        """It came to nothing."""
        self._set(id, "state = 'failed', words = '', why = ?", (why,), only="running")

    def cancel(self, id: str, room: str) -> bool:
        """Takes a job back; whether it was there to take back. Who runs it has to be stopped by the crew."""
        with self._open() as base:
            done = base.execute(
                "UPDATE jobs SET state = 'cancelled', words = '' WHERE id = ? AND room = ? "
                "AND state IN ('waiting', 'running')",
                (id, room),
            )
        return done.rowcount > 0

    def taken_back(self, worker: str) -> bool:
        """Whether this worker still works on a job that was cancelled."""
        with self._open(_READ) as base:
            found = base.execute("SELECT 1 FROM jobs WHERE worker = ? AND state = 'cancelled'", (worker,))
            return found.fetchone() is not None

    def leave(self, worker: str) -> None:
        """This worker works on nothing now."""
        with self._open() as base:
            base.execute("UPDATE jobs SET worker = NULL WHERE worker = ? AND state = 'cancelled'", (worker,))

    def released(self, worker: str, why: str) -> None:
        """What a worker that died was running waits once more, or has failed the second time."""
        with self._open() as base:
            base.execute(
                "UPDATE jobs SET state = CASE WHEN tries < ? THEN 'waiting' ELSE 'failed' END, words = '', why = ? "
                "WHERE worker = ? AND state = 'running'",
                (TRIES, why, worker),
            )

    def restart(self) -> None:
        """At the start of a server: what ran when the one before stopped waits again, and that is no try."""
        with self._open() as base:
            base.execute(
                "UPDATE jobs SET state = 'waiting', words = '', tries = MAX(tries - 1, 0) WHERE state = 'running'"
            )

    def forget(self, room: str) -> None:
        """Drops all jobs of a room that is gone."""
        with self._open() as base:
            base.execute("DELETE FROM jobs WHERE room = ?", (room,))

    def of_room(
        self, room: str, *, kind: str | None = None, item: str | None = None, state: State | None = None
    ) -> list[Queued]:
        """The jobs of a room in the order they came: all, or those of a kind, about an image, in a state."""
        asked = {"room": room, "kind": kind, "item": item, "state": state}
        given = {name: value for name, value in asked.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given)
        with self._open(_READ) as base:
            rows = base.execute(f"SELECT {_FIELDS} FROM jobs WHERE {where} ORDER BY number", (*given.values(),))
            return [_queued(row) for row in rows]

    def waiting(self, room: str) -> int:
        """How many jobs of a room wait."""
        with self._open(_READ) as base:
            row = base.execute("SELECT COUNT(*) FROM jobs WHERE room = ? AND state = 'waiting'", (room,)).fetchone()
        return int(row[0])

    def drop_ended(self, room: str, kind: str, item: str) -> None:
        """Forgets the jobs of one kind about an image that have ended, all but the last that was done."""
        own = "room = ? AND kind = ? AND item = ?"
        last = f"SELECT MAX(number) FROM jobs WHERE {own} AND state = 'done'"
        ended = (
            f"state = 'failed' OR (state = 'cancelled' AND worker IS NULL) OR (state = 'done' AND number < ({last}))"
        )
        with self._open() as base:
            base.execute(f"DELETE FROM jobs WHERE {own} AND ({ended})", (room, kind, item) * 2)

    def running(self) -> dict[str, Queued]:
        """By worker."""
        with self._open(_READ) as base:
            rows = base.execute(f"SELECT worker, {_FIELDS} FROM jobs WHERE state = 'running'").fetchall()
        return {row[0]: _queued(row[1:]) for row in rows}

    def state_of(self, id: str) -> State | None:
        """Of a job; None where there is none."""
        with self._open(_READ) as base:
            row = base.execute("SELECT state FROM jobs WHERE id = ?", (id,)).fetchone()
        return row[0] if row else None

    def ahead(self, id: str) -> int:
        """How many jobs of the same lane wait before this one came, or run; the turns of rooms may move it up."""
        with self._open(_READ) as base:
            row = base.execute(
                "SELECT COUNT(*) FROM jobs AS one, jobs AS own WHERE own.id = ? AND one.lane = own.lane "
                "AND one.state IN ('waiting', 'running') AND one.number < own.number",
                (id,),
            ).fetchone()
        return int(row[0])

    def is_busy(self, room: str) -> bool:
        """Whether a job of the room waits or runs."""
        with self._open(_READ) as base:
            found = base.execute(
                "SELECT 1 FROM jobs WHERE room = ? AND state IN ('waiting', 'running') LIMIT 1", (room,)
            )
            return found.fetchone() is not None

    def _set(self, id: str, what: str, values: tuple[Any, ...], *, only: State) -> None:
        with self._open() as base:
            base.execute(f"UPDATE jobs SET {what} WHERE id = ? AND state = ?", (*values, id, only))

    @contextmanager
    def _open(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """One transaction, which takes the lock at once: two workers cannot take one job."""
        base = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            base.execute("PRAGMA synchronous = NORMAL")
            base.execute(begin)
            yield base
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise
        finally:
            base.close()


def _prepare(path: Path) -> None:
    """
    Raises:
        sqlite3.DatabaseError: this is no queue, or a damaged one.
    """
    base = sqlite3.connect(path, timeout=30)
    try:
        base.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
        base.executescript(_SCHEMA)
        (told,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if told != "ok":
            raise sqlite3.DatabaseError(str(told).splitlines()[-1])
    finally:
        base.close()


def _put_aside(path: Path) -> None:
    os.replace(path, path.with_name(path.name + DAMAGED))
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)


def _queued(row: tuple[Any, ...]) -> Queued:
    id, room, lane, kind, item, what, state, words, share, why, tries, result = row
    kept = None if result is None else json.loads(result)
    return Queued(id, room, lane, kind, item, json.loads(what), state, words, share, why, tries, kept)
