"""A training's folder and machine: which run it holds, how far that is, how long it took, and on what.

::

    FOLDER/run.json          what is trained, on what, how; another run is refused
    FOLDER/run.lock          held while a process works here; a second one is refused
    FOLDER/fields/…          simulated fields
    FOLDER/checkpoint.pt     the last state kept
    FOLDER/curves.jsonl      losses
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epistem import __version__
from epistem.core.errors import EpistemError, TrainingError
from epistem.core.files import written_whole
from epistem.nets.judge import Judge
from epistem.nets.restore import build, restore
from epistem.nets.spec import DetectorSpec
from epistem.nets.train import CHECKPOINT, CURVES, Make, Schedule, Step, fit, read_curves
from epistem.nets.weights import Weights

RUN = "run.json"
LOCK = "run.lock"
_held: dict[Path, int] = {}  # open lock files of this process, by folder


def claim(folder: Path, what: Mapping[str, Any]) -> None:
    """Mark the folder as this run's, or see that it is; it stays this process's until `release` or its end.

    Args:
        folder: made if missing.
        what: all that the run depends on, as plain values.

    Raises:
        TrainingError: it holds another run, another process works in it, or it cannot be written to.
    """
    mine = json.loads(json.dumps({"epistem": __version__, **what}))
    path = folder / RUN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        if path.exists():
            _same(json.loads(path.read_text("utf-8")), mine, folder)
            return
        with written_whole(path, TrainingError) as part:
            part.write_text(json.dumps(mine, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        why = error.strerror or error
        raise TrainingError(f"{folder} cannot be written to: {why}; make room or choose another --out") from error
    except ValueError as error:
        raise TrainingError(f"{path} is damaged ({error}); choose another --out, or delete the folder") from error


@contextmanager
def claimed(folder: Path, what: Mapping[str, Any]) -> Iterator[None]:
    """`claim` for as long as it is needed."""
    claim(folder, what)
    try:
        yield
    finally:
        release(folder)


def release(folder: Path) -> None:
    """Let other processes work in the folder."""
    if (held := _held.pop(folder.resolve(), None)) is not None:
        os.close(held)


def _lock(folder: Path) -> None:
    """The system lets go of it however this process ends; processes that it has started do not hold it."""
    release(folder)
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock_file(file)
    except (BlockingIOError, PermissionError) as error:
        os.close(file)
        raise TrainingError(f"another run is working in {folder}; wait for it, or choose another --out") from error
    except OSError:  # a disk that knows no locks
        pass
    _held[folder.resolve()] = file


def _lock_file(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same(there: Any, mine: Mapping[str, Any], folder: Path) -> None:
    before, now = _flat(there), _flat(mine)
    other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if other:
        first = other[0]
        raise TrainingError(
            f"{folder} holds another run: {first} was {before.get(first, 'not set')!r} and is now "
            f"{now.get(first, 'not set')!r}" + (f" ({len(other)} differences)" if len(other) > 1 else "")
            + "; choose another --out, or go on with what was"
        )  # fmt: skip


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: one for k, v in value.items() for key, one in _flat(v, f"{name}.{k}".lstrip(".")).items()}


def new_network(spec: DetectorSpec) -> nn.Module:
    """The network that the spec begins with, always the same."""
    torch.manual_seed(spec.schedule.seed)
    return _channels_last(build(spec.network, spec.settings))


def begun_from(weights: Weights, seed: int) -> nn.Module:
    """A trained network, to be trained further."""
    torch.manual_seed(seed)
    return _channels_last(restore(weights))


def _channels_last(network: nn.Module) -> nn.Module:
    # The faster way to hold maps on a CPU; results differ in the last digit, so every training has it.
    turned: nn.Module = network.to(memory_format=torch.channels_last)
    return turned


def learn(
    network: nn.Module,
    make: Make,
    schedule: Schedule,
    folder: Path,
    *,
    device: str,
    workers: int,
    told: Callable[[Step], None],
    judge: Judge | None = None,
    save_every: int | None = None,
) -> nn.Module:
    """`fit`, with what happens in the processes that make samples told in one line.

    Raises:
        TrainingError: as `fit` does; or a sample could not be made.
    """
    try:
        # A short run is worth going on with, too.
        save_every = save_every or min(100, max(1, schedule.steps // 10))
        return fit(
            network, make, schedule, folder, device=device, workers=workers, save_every=save_every, told=told,
            judge=judge,
        )  # fmt: skip
    except EpistemError as error:
        text = str(error)
        if not text.startswith("Caught"):
            raise
        # From a worker torch brings its whole traceback; what was said is its last line.
        said = text.strip().splitlines()[-1].partition(": ")[2]
        raise TrainingError(said) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            "a process that makes samples died, most often for want of memory; run again with --workers 0, it goes on"
        ) from error


def steps_done(folder: Path) -> int:
    """Step of the checkpoint, 0 without one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"])
    except Exception:  # noqa: BLE001 - torch raises a dozen kinds for a damaged file, and `fit` will tell of it
        return 0


def seconds_spent(folder: Path) -> float:
    """Time of all steps by the curves, whatever number of starts they took [s]."""
    total, before = 0.0, 0.0
    for line in read_curves(folder / CURVES):
        total += line["seconds"] * (line["step"] - before)
        before = line["step"]
    return total


def hardware(device: str) -> dict[str, Any]:
    """What it runs on: the processor, and the GPU if it is used."""
    found: dict[str, Any] = {"cpu": _cpu(), "threads": torch.get_num_threads()}
    return found | ({"gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {})


def versions() -> dict[str, str]:
    """Of what the numbers rest on."""
    return {"epistem": __version__, "python": platform.python_version(), "torch": torch.__version__}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
