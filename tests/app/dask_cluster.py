"""A real Dask cluster of processes of its own, and work on it that is written down, so that it can be counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a benchmark has clusters too
    import pytest

_MORE = {
    # Where the workers find the functions that write down what they do; and the same epistem as here.
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]),
    # What kills every worker kills two of them and not four.
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}


class DaskCluster:
    """A scheduler, and workers; one that is killed is replaced, as `dask worker` does it."""

    def __init__(self, folder: Path, workers: int, threads: int = 1) -> None:
        self.folder, self.threads = folder, threads
        folder.mkdir(exist_ok=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        told = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(told))
        wait_until(lambda: told.is_file() and told.stat().st_size > 0)
        address = told.read_text("utf-8").partition('"address": "')[2]
        self.address = address.partition('"')[0]
        for _ in range(workers):
            self.join()

    def join(self, *more: str) -> None:
        """One more worker."""
        words = ("--nthreads", str(self.threads), "--local-directory", str(self.folder))
        self._start("worker", self.address, *words, *more)

    def _start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *words],
                cwd=self.folder, env={**os.environ, **_MORE}, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def end(self) -> None:
        """Workers first: without a scheduler they would wait for one."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: int, threads: int = 1) -> Iterator[DaskCluster]:
    """Ended with the block; its folder is made, and has had no scheduler before."""
    cluster = DaskCluster(folder, workers, threads)
    try:
        yield cluster
    finally:
        cluster.end()


def wait_until(done: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Noted:
    """A function of epistem that writes down when it begins and ends an item, and takes its time.

    Attributes:
        where: "module:function".
        log: one line "begun NAME PID" or "ended NAME PID" each.
        wait_s: before each item [s].
    """

    where: str
    log: Path
    wait_s: float = 0.3

    def __call__(self, *given: Any, **more: Any) -> Any:
        called = _name_of(given)
        self._note("begun", called)
        time.sleep(self.wait_s)
        outcome = _true(self.where)(*given, **more)
        self._note("ended", called)
        return outcome

    def _note(self, what: str, name: str) -> None:
        with self.log.open("a") as file:  # short lines of several processes do not mix
            file.write(f"{what} {name} {os.getpid()}\n")


_replaced: dict[str, Any] = {}  # functions that this process runs noted


def _true(where: str) -> Any:
    module, _, name = where.partition(":")
    return _replaced.get(where) or getattr(import_module(module), name)


def note(monkeypatch: pytest.MonkeyPatch, where: str, log: Path, wait_s: float = 0.3) -> None:
    """From here on the function "module:function" is run noted."""
    module, _, name = where.partition(":")
    monkeypatch.setitem(_replaced, where, _true(where))
    monkeypatch.setattr(import_module(module), name, Noted(where, log, wait_s))


def _name_of(given: tuple[Any, ...]) -> str:
    """An item is a number, or has one, or has a name."""
    for one in given:
        if isinstance(one, int | float):
            return str(one)
    return str(getattr(given[0], "name", None) or given[0].number).replace(" ", "_")


class Lines:
    """What a log of `Noted` says."""

    def __init__(self, log: Path) -> None:
        self.rows = [line.split() for line in log.read_text().splitlines()] if log.is_file() else []

    def count(self, what: str) -> Counter[str]:
        return Counter(name for one, name, _ in self.rows if one == what)

    def held(self) -> dict[int, str]:
        """Process → the item that it has begun and not ended."""
        holds: dict[int, str] = {}
        for what, name, pid in self.rows:
            if what == "begun":
                holds[int(pid)] = name
            else:
                holds.pop(int(pid), None)
        return holds


class Killer(threading.Thread):
    """Kills, once some items are done, one worker that holds an item; `held` is the item, "" if none was killed."""

    def __init__(self, log: Path, after: int = 1, seconds: float = 60) -> None:
        super().__init__(daemon=True)
        self.log, self.after, self.seconds, self.held, self.pid = log, after, seconds, "", 0
        self.start()

    def run(self) -> None:
        self.pid, self.held = wait_until(self._holder, self.seconds)
        os.kill(self.pid, signal.SIGKILL)

    def _holder(self) -> tuple[int, str] | None:
        lines = Lines(self.log)
        return next(iter(lines.held().items()), None) if lines.count("ended").total() >= self.after else None


def begun_again(log: Path, killed: int) -> int:
    """How often an item was begun again though the kill of this process does not explain it.

    It held the last that it had begun; what came of the one before may not have been fetched yet.
    """
    lines = Lines(log)
    explained = [name for what, name, pid in lines.rows if what == "begun" and int(pid) == killed][-2:]
    return sum(max(0, often - 1 - (name in explained)) for name, often in lines.count("begun").items())


def assert_nothing_lost_or_done_twice(log: Path, killer: Killer, names: set[str]) -> None:
    """Each item is done; begun again is what the killed worker held, and an outcome that was not fetched yet."""
    killer.join()
    lines = Lines(log)
    assert killer.held in names
    assert set(lines.count("ended")) == names
    assert lines.count("begun")[killer.held] > 1
    assert begun_again(log, killer.pid) == 0
