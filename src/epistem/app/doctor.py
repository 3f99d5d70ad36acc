"""What works on this machine, and how to mend what does not; each trial has a process of its own.

::

    machine      doctor_machine      what runs this, and what it may use
    libraries    doctor_libraries    the extras, and whether the files are as they were installed
    jobs         doctor_trials       every job done once in small, in a process that may hang or crash
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from epistem.app.doctor_source import reinstall_line

State = Literal["ok", "note", "missing", "broken"]

TRIALS = {
    "analyze": "analyze: find and measure",
    "formats": "read: every file format",
    "segment": "segment: score masks",
    "atoms": "atoms: simulate a field",
    "ask": "ask: a question on an image",
    "serve": "serve: the page",
    "onnxruntime": "onnxruntime, runs networks",
    "torch": "torch, trains networks",
}
"""Name of a trial → what it shows to work."""

LIMIT_S = 60.0  # of one trial [s]
_AT_ONCE = 2


@dataclass(frozen=True)
class Finding:
    """What was seen of one thing.

    Attributes:
        group: machine, libraries or jobs.
        name: of the thing.
        state: ok; note, works with a drawback; missing, not installed; broken, is there and does not work.
        said: what was seen.
        mend: what to do; None where nothing is to be done.
    """

    group: str
    name: str
    state: State
    said: str
    mend: str | None = None


Check = Callable[[], Iterator[Finding]]


def examine(trials: Sequence[str] = tuple(TRIALS), *, limit_s: float = LIMIT_S) -> list[Finding]:
    """All that can be found out in some seconds.

    Args:
        trials: names in `TRIALS`.
        limit_s: of each trial [s].
    """
    from epistem.app.doctor_libraries import LIBRARIES
    from epistem.app.doctor_machine import MACHINE

    checks = [("machine", *one) for one in MACHINE.items()] + [("libraries", *one) for one in LIBRARIES.items()]
    found = [finding for group, name, check in checks for finding in guarded(group, name, check)]
    # Two at once, as each waits for the disk while it imports; more would only wait for each other.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*found, *pool.map(lambda name: tried(name, limit_s=limit_s), trials)]


def guarded(group: str, name: str, check: Check) -> list[Finding]:
    """What a check finds; that it failed, where it does."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 - what fails here is what the doctor was asked to tell
        return [Finding(group, name, "broken", f"{type(error).__name__}: {one_line(error)}", _report())]


def tried(name: str, *, limit_s: float = LIMIT_S) -> Finding:
    """A job done in small in a process of its own: a library that crashes or hangs ends that one only.

    Args:
        name: in `TRIALS`.
        limit_s: after which it is given up [s].
    """
    title = TRIALS[name]
    words = [sys.executable, "-P", "-m", "epistem.app.doctor_trials", name]  # -P: no module of the folder we are in
    started = time.monotonic()
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=limit_s, check=False, env=os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        mend = "close other programs and try again; if it stays, " + _report()
        return Finding("jobs", title, "broken", f"no end after {limit_s:g} s, given up", mend)
    except OSError as error:
        return Finding("jobs", title, "broken", f"no process could be started: {one_line(error)}", _report())
    told = _told(done.stdout)
    if told is None:
        last = _last(done.stderr)
        return Finding(
            "jobs", title, "broken", f"ended {_ended(done.returncode)}{f': {last}' if last else ''}", _report()
        )
    said = f"{told['said']} ({time.monotonic() - started:.1f} s)" if told["state"] == "ok" else told["said"]
    return Finding("jobs", title, told["state"], said, told["mend"])


def works(found: Sequence[Finding]) -> bool:
    """Whether nothing that is installed is broken."""
    return all(finding.state != "broken" for finding in found)


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or "no more is said"


def _report() -> str:
    again = reinstall_line()
    return f"run `epistem doctor --json` and send what it prints to the developers, or install again: {again}"


def _told(text: str) -> dict[str, Any] | None:
    try:
        told = json.loads(_last(text))
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.keys() == {"state", "said", "mend"} else None


def _ended(code: int) -> str:
    """How a process ended, in words: below 0 is a signal, on Windows a status from 0xC0000000 a crash."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"by signal {name}"
    return f"with status 0x{code:X}" if code > 255 else f"with status {code}"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
