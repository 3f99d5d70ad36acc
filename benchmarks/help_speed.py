"""How long `epistem --help` takes, and that it loads no heavy library: main.help_seconds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.record import record

COMMAND = "python -m benchmarks.help_speed"
RUNS = 9


def main() -> int:
    """Time the command as a person would start it; record the median."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "epistem", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    data = f"{RUNS} starts of a new process, median; low and high: the fastest and the slowest"
    record(
        "main.help_seconds",
        round(statistics.median(times), 3),
        low=round(min(times), 3),
        high=round(max(times), 3),
        target="< 0.5",
        command=COMMAND,
        data=data,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
