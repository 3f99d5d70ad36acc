"""Thousands of damaged files: each must give an image or one line of refusal, in time and within memory.

    python benchmarks/fuzz_readers.py [COUNT] [SEED]

Small files of every format (`sample_files.py`, and the real ones if EPISTEM_STUDY_DATA names their folder) are cut,
flipped, overwritten, spliced and renamed. A worker process reads them under a limit of memory; the parent kills it
where a file takes too long. A file fails if `read` raises anything but an EpistemError, warns, prints, takes longer
than TOO_LONG_S, makes the worker's memory grow by more than TOO_MUCH_GB, or ends the worker.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TOO_LONG_S = 20.0
TOO_MUCH_GB = 1.0
ADDRESS_SPACE_GB = 12
_EXTREMES = (0x00, 0xFF, 0x7F, 0x80)


class Outcome(NamedTuple):
    """What became of one damaged file."""

    file: str
    result: str
    failed: bool


def damaged(sources: list[bytes], suffixes: list[str], rng: np.random.Generator) -> tuple[bytes, str, str]:
    """One damaged file: its bytes, its suffix, and what was done to it."""
    which = int(rng.integers(len(sources)))
    data, suffix = bytearray(sources[which]), suffixes[which]
    how = str(rng.choice(["cut", "flip", "extreme", "splice", "block", "rename", "insert"]))
    # Half of the blows fall on the first KiB, where the headers are.
    reach = len(data) if rng.random() < 0.5 else min(len(data), 1024)
    at = int(rng.integers(reach))
    if how == "cut":
        del data[at:]
    elif how == "flip":
        for place in rng.integers(reach, size=int(rng.integers(1, 20))):
            data[place] ^= 1 << int(rng.integers(8))
    elif how == "extreme":
        data[at : at + 4] = bytes([int(rng.choice(_EXTREMES))]) * len(data[at : at + 4])
    elif how == "splice":
        other = sources[int(rng.integers(len(sources)))]
        data = data[:at] + bytearray(other[int(rng.integers(len(other))) :])
    elif how == "block":
        size = min(int(rng.integers(1, 512)), len(data) - at)
        data[at : at + size] = rng.bytes(size)
    elif how == "rename":
        suffix = str(rng.choice(suffixes))
    else:
        data[at:at] = rng.bytes(int(rng.integers(1, 64)))
    return bytes(data), suffix, how


def sources(folder: Path, largest: int = 400_000) -> list[Path]:
    """Sound files to damage: ours, and the study's where they are at hand."""
    from PIL import Image

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import sample_files

    found = [write(folder) for write in sample_files.SAMPLES.values()]
    found = [path for path in found if path.is_file()]
    grey = Image.fromarray((sample_files.PIXELS % 256).astype(np.uint8))
    for suffix in ("jpg", "bmp", "gif", "webp"):
        grey.save(folder / f"grey.{suffix}")
        found.append(folder / f"grey.{suffix}")
    found += _tiffs(folder, sample_files.PIXELS)
    study = os.environ.get("EPISTEM_STUDY_DATA")
    if study:
        real = sorted(Path(study, "formats").glob("*/*"))
        found += [path for path in real if path.is_file() and path.stat().st_size <= largest]
    return found


def _tiffs(folder: Path, pixels: np.ndarray[Any, Any]) -> list[Path]:
    import tifffile

    kinds: dict[str, dict[str, Any]] = {
        "deflate": {"compression": "zlib"},
        "big": {"bigtiff": True, "byteorder": ">"},
        "tiles": {"tile": (16, 16), "compression": "lzw"},
    }
    made = []
    for kind, options in kinds.items():
        made.append(folder / f"{kind}.tif")
        tifffile.imwrite(made[-1], np.stack([pixels] * 2), photometric="minisblack", **options)
    made.append(folder / "rgb.tif")
    tifffile.imwrite(made[-1], np.stack([(pixels % 256).astype(np.uint8)] * 3, axis=-1), photometric="rgb")
    return made


def fuzz(count: int, seed: int, folder: Path) -> list[Outcome]:
    """Read `count` damaged files in a worker process.

    Args:
        count: how many.
        seed: same seed, same files.
        folder: for the files; those that failed stay there.
    """
    sound = sources(folder)
    data, suffixes = [path.read_bytes() for path in sound], [path.suffix for path in sound]
    outcomes: list[Outcome] = []
    worker = _start()
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        content, suffix, how = damaged(data, suffixes, rng)
        path = folder / f"{i:05d}_{how}{suffix}"
        path.write_bytes(content)
        outcome = _ask(worker, path)
        if worker.poll() is not None:
            _end(worker)
            worker = _start()
        outcomes.append(outcome)
        if not outcome.failed:
            path.unlink()
    _end(worker)
    return outcomes


def _start() -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, str(Path(__file__).resolve()), "--worker"]
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    assert worker.stdout is not None
    worker.stdout.readline()  # it says "ready" when all is imported
    return worker


def _end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    with worker:  # closes its pipes
        pass


def _ask(worker: subprocess.Popen[str], path: Path) -> Outcome:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{path}\n")
    worker.stdin.flush()
    ready, _, _ = select.select([worker.stdout], [], [], TOO_LONG_S)
    line = worker.stdout.readline() if ready else ""
    if not line:
        worker.kill()
        worker.wait()
        return Outcome(path.name, "ended the process" if ready else f"longer than {TOO_LONG_S:g} s", True)
    try:
        told = json.loads(line)
    except ValueError:
        worker.kill()
        worker.wait()
        return Outcome(path.name, f"printed {line.strip()!r}", True)
    return Outcome(path.name, told["result"], told["failed"])


def _work() -> None:
    import resource
    import warnings

    from epistem.core import EpistemError, MicrographSeries
    from epistem.imaging import read

    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_GB * 2**30,) * 2)
    print("ready", flush=True)
    for line in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        failed = False
        try:
            found = read(line.rstrip("\n"))
            result = "series" if isinstance(found, MicrographSeries) else "image"
        except EpistemError as error:
            result = type(error).__name__
            if "\n" in str(error) or line.strip().rsplit("/", 1)[-1] not in str(error):
                result, failed = f"a message of several lines or without the file: {error!s}", True
        except BaseException as error:  # noqa: BLE001 - anything else is what this looks for
            result, failed = f"{type(error).__name__}: {error}", True
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
        if grown > TOO_MUCH_GB:
            result, failed = f"{result}, with {grown:.1f} GB more", True
        print(json.dumps({"result": result, "failed": failed}), flush=True)


def main(count: int = 3000, seed: int = 1) -> None:
    """Fuzz, list what failed, and record how many files were right."""
    from record import record

    folder = Path(tempfile.mkdtemp(prefix="fuzz_readers_"))
    outcomes = fuzz(count, seed, folder)
    for outcome in outcomes:
        if outcome.failed:
            print(f"FAILED {folder / outcome.file}: {outcome.result}")
    print(dict(Counter(outcome.result for outcome in outcomes if not outcome.failed)))
    failures = sum(outcome.failed for outcome in outcomes)
    real = "ours and real ones" if os.environ.get("EPISTEM_STUDY_DATA") else "ours"
    record(
        "main.fuzz_files",
        count if failures == 0 else 0,
        target=">= 2000 damaged files, none of which crashes, hangs or fills the memory (0 if one does)",
        command=f"python benchmarks/fuzz_readers.py {count} {seed}",
        data=f"{count} files damaged from {real}; {failures} failed",
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _work()
    else:
        main(*(int(word) for word in sys.argv[1:3]))
