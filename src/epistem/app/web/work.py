"""A worker of the page: `python -m epistem.app.web.work ROOT LANE NAME LIMITS`, started and watched by the crew."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from epistem.app.terminal import say
from epistem.app.web.jobs import JOBS, Bench, without_paths
from epistem.app.web.limits import Limits
from epistem.app.web.queue import Queue, Queued
from epistem.app.web.rooms import Room
from epistem.core import EpistemError
from epistem.core.errors import wants_memory

IDLE_S = 0.1
BLOCKED_S = 2.0
FAULTS = "faults.log"
_TELL_S = 0.2  # between two lines of progress


def work(root: Path, lane: str, name: str, limits: Limits) -> None:
    """Takes jobs for ever."""
    queue = Queue(root / "queue.sqlite")
    if lane == "quick":
        _warm()
    while True:
        try:
            job = queue.take(name, lane)
        except sqlite3.OperationalError:  # a full disk may have room again
            time.sleep(BLOCKED_S)
            continue
        if job is None:
            time.sleep(IDLE_S)
        else:
            do(queue, job, Room(root / "rooms" / job.room), limits, root / FAULTS)
            queue.leave(name)


def do(queue: Queue, job: Queued, room: Room, limits: Limits, faults: Path) -> None:
    """One job; whatever happens, the queue is told."""
    last = 0.0

    def told(words: str, share: float | None = None) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_S:
            last = time.monotonic()
            queue.tell(job.id, words, share)

    try:
        queue.finish(job.id, JOBS[job.kind](Bench(room, job.item, job.what, limits, told)))
    except EpistemError as error:
        queue.fail(job.id, without_paths(str(error), room))
    except OSError as error:
        if not room.folder.is_dir():  # removed while it was worked on
            queue.fail(job.id, "the image was removed meanwhile")
            return
        queue.fail(job.id, f"the results could not be written: {error.strerror or 'no reason given'}")
        _keep(faults)
    except Exception as error:  # noqa: BLE001 - one job must not end the worker; the traceback is kept
        if wants_memory(error):
            queue.fail(job.id, "it needs more memory than this machine has; bin or crop the image")
            return
        queue.fail(job.id, f"{type(error).__name__}: a fault of epistem; whoever runs this page finds it in {FAULTS}")
        _keep(faults)


def _keep(faults: Path) -> None:
    with suppress(OSError), faults.open("a", encoding="utf-8") as log:
        log.write(f"{traceback.format_exc()}\n")
    say(f"A job failed by a fault of epistem; {faults} has its traceback.")


def _warm() -> None:
    """Loads what the first image would wait for."""
    import numpy as np

    from epistem.app.analyze import analyze_image
    from epistem.app.settings import Settings
    from epistem.core import Micrograph

    settings = Settings()
    image = Micrograph(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32))
    analyze_image(image, settings, settings.looker())


def _end_with_the_server() -> None:
    """The crew holds the other end of the standard input; when it is gone, so is whoever wants the results."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """As started by the crew: the limits come as JSON, the name after the lane."""
    root, lane, name, limits = sys.argv[1:5]
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    # Whole: jobs leave the folder that the page was started in.
    work(Path(root).absolute(), lane, name, Limits(**json.loads(limits)))


if __name__ == "__main__":
    main()
