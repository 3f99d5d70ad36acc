"""How far each claim is from what this machine could do at best: race.<claim>.limit_share, race.machine.gflops.

    python -m benchmarks.limits [--only NAME …] [--dry]

The share is the least time that the work can take over the time that ours takes: 1 is the end. What each least time
is and why stands in benchmarks/bounds.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.bounds import BOUNDS, Share
from benchmarks.machine import flops
from benchmarks.record import forget, record

COMMAND = "python -m benchmarks.limits"


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record; where nothing is known any more, what was recorded is taken out."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BOUNDS, default=list(BOUNDS), metavar="NAME")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    gemm = flops()
    about = "best product of two matrices of 1536², single precision, one thread [10⁹/s]"
    _told("race.machine.gflops", Share(gemm / 1e9, None, None, about), asked.dry)
    for name in asked.only:
        share = BOUNDS[name](gemm)
        if share is not None:
            _told(f"race.{name}.limit_share", share, asked.dry)
            continue
        print(f"{name}: not measured yet; no limit for it")
        if not asked.dry:
            forget(f"race.{name}.limit_share")
    return 0


def _told(name: str, share: Share, dry: bool) -> None:
    value, low, high = (None if one is None else float(f"{one:.3g}") for one in share[:3])
    assert value is not None
    if dry:
        print(f"{name} = {value} ({low} to {high}); {share.words}", flush=True)
    else:
        record(name, value, low=low, high=high, target="reported", command=COMMAND, data=share.words)


if __name__ == "__main__":
    sys.exit(main())
