"""A Dask scheduler and two workers as processes of their own, and a batch on them with one worker killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from epistem.app import batch
from epistem.app.settings import make_settings
from epistem.app.store import FileError, FileRecord, Job, folder_of

ROOT = Path(__file__).resolve().parent.parent
LOG = "EPISTEM_SCALE_LOG"  # file in which the workers write what they begin and end
_attempt = batch.attempt


class Killed(NamedTuple):
    """What a killed worker cost.

    Attributes:
        held: the image it had begun.
        lost: results that are missing or other than those of one process.
        again: images that were begun twice without having been held.
    """

    held: str
    lost: int
    again: int


@contextmanager
def two_workers(root: Path, *, threads: int = 1) -> Iterator[str]:
    """The scheduler's address; its two workers come again when they are killed."""
    told = root / "scheduler.json"
    told.unlink(missing_ok=True)
    processes = [_start("scheduler", "--port", "0", "--scheduler-file", str(told))]
    try:
        while not (told.is_file() and told.stat().st_size):
            time.sleep(0.05)
        address: str = json.loads(told.read_text("utf-8"))["address"]
        for _ in range(2):
            processes.append(_start("worker", address, "--nthreads", str(threads), "--local-directory", str(root)))
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def _start(what: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", "--no-dashboard", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_run(images: Sequence[Path], root: Path, good: Path) -> Killed:
    """The images on two workers, one killed when half of them are done, against results of one process."""
    settings, out, log = make_settings(), root / "results-killed", root / "log"
    jobs = batch.make_jobs(batch.list_files(images, out), settings)
    os.environ[LOG] = str(log)
    batch.attempt = noted_attempt
    try:
        with two_workers(root) as address:
            killer = _Killer(log, after=len(jobs) // 2)
            batch.run_batch(jobs, settings, out, cluster=address)
            killer.join()
    finally:
        batch.attempt = _attempt
    lost = sum(not _same(folder_of(out, job.name), folder_of(good, job.name)) for job in jobs)
    begun = Counter(name for what, name, _ in _lines(log) if what == "begun")
    again = sum(often - 1 - (name == killer.held) for name, often in begun.items())
    return Killed(killer.held, lost, again)


def noted_attempt(job: Job, **how: Any) -> FileRecord | FileError:
    """`batch.attempt`, with a line before it and one after it."""
    _note("begun", job.name)
    outcome = _attempt(job, **how)
    _note("ended", job.name)
    return outcome


def _note(what: str, name: str) -> None:
    with Path(os.environ[LOG]).open("a") as file:
        file.write(f"{what} {name} {os.getpid()}\n")


def _lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.is_file() else []


def _same(mine: Path, good: Path) -> bool:
    """Every file of an image's folder, byte for byte."""
    names = {path.name for path in good.iterdir()}
    if not mine.is_dir() or {path.name for path in mine.iterdir()} != names:
        return False
    return all((mine / name).read_bytes() == (good / name).read_bytes() for name in names)


class _Killer(threading.Thread):
    """Kills one worker while it holds an image."""

    def __init__(self, log: Path, after: int) -> None:
        super().__init__(daemon=True)
        self.log, self.after, self.held = log, after, "none"
        self.start()

    def run(self) -> None:
        while True:
            lines = _lines(self.log)
            done = {name for what, name, _ in lines if what == "ended"}
            holds = [(int(pid), name) for what, name, pid in lines if what == "begun" and name not in done]
            if len(done) >= self.after and holds:
                pid, self.held = holds[0]
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)
