"""The workers of a page: started, watched, stopped when a job takes too long, and replaced when they die."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from epistem.app.web.jobs import limit_s
from epistem.app.web.limits import Limits
from epistem.app.web.queue import Queue, Queued
from epistem.app.web.rooms import Rooms

EVERY_S = 0.3
SWEEP_S = 600.0
_DIED = "its worker process died, most often for want of memory; bin or crop the image"

log = logging.getLogger(__name__)


@dataclass
class _Hand:
    lane: str
    name: str
    process: subprocess.Popen[bytes]
    job: str | None = None
    since: float = 0.0


class Crew:
    """Workers in processes of their own, so that the page answers whatever they do.

    Args:
        root: folder of the page.
        limits: of time, among others.
        lanes: one worker an entry.
    """

    def __init__(self, root: Path, limits: Limits, lanes: Sequence[str] = ("quick", "long")) -> None:
        self._root, self._limits, self._lanes = root, limits, tuple(lanes)
        self._queue, self._rooms = Queue(root / "queue.sqlite"), Rooms(root, limits)
        self._hands: list[_Hand] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watching, daemon=True)

    def __enter__(self) -> Crew:
        self._queue.restart()
        self._hands = [self._hire(lane) for lane in self._lanes]
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()
        for hand in self._hands:
            _stop(hand.process)
        self._queue.restart()

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [hand.process.pid for hand in self._hands]

    def _hire(self, lane: str) -> _Hand:
        name = f"{lane}-{secrets.token_hex(4)}"
        limits = json.dumps(asdict(self._limits))
        # One thread each, and below the page: it has to answer while they work.
        own = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            # -P: no module of the folder that the page was started in.
            [sys.executable, "-P", "-m", "epistem.app.web.work", str(self._root), lane, name, limits],
            stdin=subprocess.PIPE, env={**os.environ, **own},
        )  # fmt: skip
        return _Hand(lane, name, process)

    def _watching(self) -> None:
        swept, ahead = -SWEEP_S, _ahead_s()
        while not self._over.wait(EVERY_S):
            try:
                self._look_after()
                if time.monotonic() - swept > SWEEP_S:
                    swept = time.monotonic()
                    if abs(_ahead_s() - ahead) > SWEEP_S:
                        # The clock was set, or the machine slept: nobody has left a room for that.
                        ahead = _ahead_s()
                        self._rooms.touch_all()
                    for room in self._rooms.sweep(self._queue.is_busy):
                        self._queue.forget(room)
            except (sqlite3.Error, OSError) as error:  # a full disk may have room again
                log.warning("the page's workers cannot be looked after: %s", error)

    def _look_after(self) -> None:
        running = self._queue.running()
        for at, hand in enumerate(self._hands):
            job = running.get(hand.name)
            if (job and self._is_late(hand, job)) or (job is None and self._queue.taken_back(hand.name)):
                _stop(hand.process)
            if hand.process.poll() is not None:
                _stop(hand.process)
                self._queue.leave(hand.name)
                self._queue.released(hand.name, _DIED)
                self._hands[at] = self._hire(hand.lane)

    def _is_late(self, hand: _Hand, job: Queued) -> bool:
        """Whether the job took longer than it may; it has failed then."""
        if hand.job != job.id:
            hand.job, hand.since = job.id, time.monotonic()
        limit = limit_s(hand.lane, self._limits)
        if time.monotonic() - hand.since <= limit:
            return False
        self._queue.fail(job.id, f"it took longer than {limit:,.0f} s, as long as this page allows")
        return True


def _ahead_s() -> float:
    """How far the clock on the wall is ahead of the one that nobody sets [s]."""
    return time.time() - time.monotonic()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
