"""The claims of speed in one run: which hold, and which are slower than when they were last recorded.

    make bench                                                    # python -m benchmarks.race
    python -m benchmarks.race [--quick] [--only NAME …]

All but those of many images, `scale.…`, which take so long that only --only runs them. Each benchmark is a process
of its own, one after the other in an empty build/race, and both sides take the threads they take by themselves
(OMP_NUM_THREADS and its like are not passed on); one that fails stops no other. Then benchmarks/limits.py
measures what this machine could do. Compared is with results/*.json of the last commit, so that running twice does
not hide what got slower. The exit code is 1 where a benchmark failed, a claim does not hold or one is slower.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.claims import BUILD, CLAIMS, Claim, Kind
from benchmarks.race_table import rows_of
from benchmarks.record import ROOT, record
from docs.ext.numbers_pages import reached

COMMAND = "python -m benchmarks.race"
MACHINE = "race.machine.gflops"
MARGIN: Mapping[Kind, float] = {"ratio": 0.10, "absolute": 0.25, "count": 0.05}
SAME_MACHINE = 0.10
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Row = Mapping[str, Any]


class Verdict(NamedTuple):
    """Of one claim, in words; bad where it does not hold or got slower."""

    words: str
    bad: bool


FAILED = Verdict("not measured: its benchmark failed, and its row is the old one", bad=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run, measure the limits, judge."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out what takes more than two minutes")
    names = [claim.name for claim in CLAIMS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    asked = parser.parse_args(words)
    chosen = choose(asked.only, quick=asked.quick)
    before, began = recorded(), time.perf_counter()
    whole = not (asked.only or asked.quick)
    failed = run_all(chosen, whole=whole)
    minutes = (time.perf_counter() - began) / 60
    if whole and not failed:
        record("race.minutes", round(minutes, 1), target="< 60", command=COMMAND,
               data=f"{len(chosen)} claims one after the other, limits included, by the clock")  # fmt: skip
    print(f"\n{minutes:.0f} min")
    after = rows_of(ROOT / "results")
    verdicts = {
        claim.name: FAILED if claim.run in failed else judge(claim, before, after) for claim in chosen
    }  # fmt: skip
    for name, verdict in verdicts.items():
        print(f"{name:34} {verdict.words}")
    return int(bool(failed) or any(verdict.bad for verdict in verdicts.values()))


def choose(only: Sequence[str] | None, *, quick: bool) -> list[Claim]:
    """Those named, or all that do not stand apart."""
    if only:
        return [claim for claim in CLAIMS if claim.name in only]
    return [claim for claim in CLAIMS if not claim.apart and not (quick and claim.slow)]


def run_all(chosen: Sequence[Claim], *, whole: bool) -> list[str]:
    """Every benchmark once, then the limits, in a whole run all of them; which failed."""
    build = ROOT / BUILD
    if build.exists():  # fields and checkpoints of a run before would be taken up again, and its numbers told as new
        shutil.rmtree(build)
    build.mkdir(parents=True)
    runs = list(dict.fromkeys(claim.run for claim in chosen))
    bounded = [claim.name for claim in (CLAIMS if whole else chosen) if claim.bounded]
    if bounded:
        runs.append(" ".join(("limits", "--only", *bounded)))
    failed = []
    free = {name: value for name, value in os.environ.items() if name not in THREADS}
    for number, run in enumerate(runs, 1):
        print(f"\n[{number} of {len(runs)}] python -m benchmarks.{run}", flush=True)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", *f"benchmarks.{run}".split()], cwd=ROOT, env=free)
        print(f"{time.perf_counter() - began:.0f} s, exit code {done.returncode}", flush=True)
        if done.returncode:
            failed.append(run)
    return failed


def recorded() -> dict[str, Row]:
    """Every number of the last commit by its name."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    files = git("ls-tree", "--name-only", "HEAD", "results/").split()
    return {row["name"]: row for file in files for row in json.loads(git("show", f"HEAD:{file}"))}


def judge(claim: Claim, before: Mapping[str, Row], after: Mapping[str, Row]) -> Verdict:
    """Whether a claim reaches its target, and stands where it stood."""
    row = after.get(claim.name)
    if row is None:
        return Verdict("not measured", bad=True)
    holds = reached(dict(row))
    words = f"{row['value']:.4g}, wanted {row['target']}: {holds}"
    old = before.get(claim.name)
    if old is None:
        return Verdict(f"{words}; nothing to compare with", bad=holds == "not reached")
    if claim.kind == "target":
        return Verdict(words, bad=holds == "not reached")
    if claim.kind == "absolute" and not same_machine(before, after):
        return Verdict(
            f"{words}; was {old['value']:.4g} on another or an unknown machine", bad=holds == "not reached"
        )
    worse = is_worse(claim, old, row)
    said = f"SLOWER, was {old['value']:.4g}" if worse else f"was {old['value']:.4g}"
    return Verdict(f"{words}; {said}", bad=worse or holds == "not reached")


def same_machine(before: Mapping[str, Row], after: Mapping[str, Row]) -> bool:
    """Whether both multiply matrices alike; unknown is no."""
    if MACHINE not in before or MACHINE not in after:
        return False
    return bool(abs(after[MACHINE]["value"] / before[MACHINE]["value"] - 1) <= SAME_MACHINE)


def is_worse(claim: Claim, old: Row, new: Row) -> bool:
    """Whether the new number lies beyond the worse end of the old spread by more than the margin.

    The new spread does not count: its better end is one lucky turn. An old number without one is its own end.
    """
    end = "low" if claim.better == "more" else "high"
    edge = old[end] if claim.spread and old[end] is not None else old["value"]
    beyond = edge - new["value"] if claim.better == "more" else new["value"] - edge
    return bool(beyond > MARGIN[claim.kind] * abs(edge))


if __name__ == "__main__":
    sys.exit(main())
