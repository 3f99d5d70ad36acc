"""One thread a test process: as many processes as cores run beside each other, and sums come in one order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes is the machine's affair.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the modules that tests/slow.txt lists")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What takes long is not even imported."""
    if not config.getoption("--quick"):
        return None
    slow = {HERE.parent / line for line in (HERE / "slow.txt").read_text("utf-8").split()}
    return True if collection_path in slow else None
