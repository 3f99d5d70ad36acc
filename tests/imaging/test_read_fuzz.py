"""2,000 damaged files: what `benchmarks/fuzz_readers.py` does, on files of ours alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("zarr")
pytest.importorskip("igor2")
pytest.importorskip("gwyfile")


@pytest.fixture(scope="module")
def fuzzing() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(1200)
def test_damaged_files_give_an_image_or_one_line(
    fuzzing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EPISTEM_STUDY_DATA", raising=False)
    outcomes = fuzzing.fuzz(2000, 3, tmp_path)
    assert [outcome for outcome in outcomes if outcome.failed] == []
    results = {outcome.result for outcome in outcomes}
    assert {"image", "ReadError"} <= results  # some damage is harmless, some is not


def test_the_same_seed_damages_the_same_way(fuzzing: ModuleType) -> None:
    import numpy as np

    sound = [b"abc" * 100, b"def" * 100]
    one, two = (fuzzing.damaged(sound, [".a", ".b"], np.random.default_rng([1, 2])) for _ in range(2))
    assert one == two


def test_a_hang_is_noticed(fuzzing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    monkeypatch.setattr(fuzzing, "TOO_LONG_S", 0.2)
    pipe = subprocess.PIPE
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=pipe, stdout=pipe, text=True
    )
    with sleeper:
        outcome = fuzzing._ask(sleeper, tmp_path / "any.tif")
    assert outcome.failed
    assert "longer than" in outcome.result
