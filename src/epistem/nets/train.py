"""One training loop for every network: seeded, resumable at any step, on CPU or GPU.

Sample i of step s depends on the seed, s and i alone, so a run that was killed goes on with the same samples. The
checkpoint is written beside the old one and renamed: there is never half a one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from epistem.core.errors import SettingsError, TrainingError, wants_memory
from epistem.core.files import written_whole
from epistem.nets.judge import Judge, Judged

CHECKPOINT = "checkpoint.pt"
CURVES = "curves.jsonl"
_NONSENSE = 20  # steps in a row without a finite loss before a run gives up
_NONSENSE_LAST = 3  # the same at the end of a run: weights that went astray stay so, one bad sample does not
_SEEDS = 2**63
Decay = Literal["cosine", "plateau", "constant"]


class Network(Protocol):
    """What can be trained: an nn.Module with these."""

    def losses(self, batch: Any) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns.

    Attributes:
        steps: of `batch` samples each.
        batch: samples a step.
        learning_rate: at its highest; it warms up over the first 3 %.
        weight_decay: of the optimizer.
        clip: largest norm of the gradient.
        average: decay of the running mean of the weights, which is what is kept in the end.
        seed: of samples and new weights.
        half: losses in bfloat16 where torch holds it safe (autocast); weights and optimizer stay in single precision.
        decay: how the rate falls: as a cosine to a hundredth, by halves where judgements stop rising, or not.
        optimizer: "adamw", or "adam" with the weight decay in its gradient.

    Raises:
        SettingsError: a value outside what is meaningful; it is named.
    """

    steps: int
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 5.0
    average: float = 0.998
    seed: int = 0
    half: bool = False
    decay: Decay = "cosine"
    optimizer: Literal["adamw", "adam"] = "adamw"

    def __post_init__(self) -> None:
        good = {
            "steps": (self.steps >= 1, "a whole number of at least 1"),
            "batch": (self.batch >= 1, "a whole number of at least 1"),
            "learning_rate": (0 < self.learning_rate < np.inf, "a number above 0"),
            "weight_decay": (0 <= self.weight_decay < np.inf, "a number of at least 0"),
            "clip": (0 < self.clip < np.inf, "a number above 0"),
            "average": (0 <= self.average < 1, "at least 0 and below 1"),
            "seed": (0 <= self.seed < _SEEDS, "a whole number from 0 to 2^63 - 1"),
            "decay": (self.decay in get_args(Decay), "cosine, plateau or constant"),
            "optimizer": (self.optimizer in ("adamw", "adam"), "adamw or adam"),
        }
        for name, (is_good, wanted) in good.items():
            if not is_good:
                raise SettingsError(f"{name} is {wanted}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Step:
    """What happened in one step: number from 1, mean losses since the last word, seconds a step."""

    number: int
    losses: Mapping[str, float]
    seconds: float


Make = Callable[[np.random.Generator, int], Any]
"""One example for a network of its kind, from a generator and the number of the step."""


class Samples(Dataset[Any]):
    """Sample i is made by `make` with a generator of its own."""

    def __init__(self, make: Make, seed: int, batch: int) -> None:
        self.make, self.seed, self.batch = make, seed, batch

    def __getitem__(self, index: int) -> Any:
        return self.make(np.random.default_rng([self.seed, index]), index // self.batch + 1)


def fit(
    network: nn.Module,
    make: Make,
    schedule: Schedule,
    folder: Path,
    *,
    device: str = "cpu",
    workers: int = 1,
    save_every: int = 100,
    word_every: int = 20,
    told: Callable[[Step], None] = lambda step: None,
    judge: Judge | None = None,
) -> nn.Module:
    """The network trained; its weights are the running mean, of the step judged best where there is a judge.

    Args:
        network: has `losses(batch)` and, where its targets are dear, a static `collate(samples)`.
        make: one sample from a generator; runs in the workers.
        schedule: how long and how fast.
        folder: of checkpoint and curves; a run found there goes on.
        device: "cpu", "cuda", "cuda:1"…
        workers: processes that make samples; 0 makes them in this one.
        save_every: steps between checkpoints.
        word_every: steps between calls of `told` and lines of the curves.
        told: called now and then.
        judge: looks at the network on images it does not learn from; the curves then hold its "score", null where it
            gave no number.

    Raises:
        TrainingError: the losses or weights are not finite, the disk or the GPU is full, or the folder holds another
            run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _on_gpu("the network"):
        network.to(device).train()
        kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
        mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
        judged = Judged()
        done, drawn = _resume(folder, network, optimizer, mean, schedule, device, judged)
    _cut_curves(folder / CURVES, done)
    sums: dict[str, float] = {}
    nonsense, pieces, good, began, said, kept = 0, 1, 0, time.monotonic(), done, done
    batches = _batches(network, make, schedule, done, workers)
    # Only now: the loader has drawn a number of its own.
    _draw_on(drawn, device)
    for number, batch in enumerate(batches, done + 1):
        if judge and judged.over(judge):
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _rate(number, schedule, judged)
        losses, pieces = _step(network, optimizer, batch, schedule, device, pieces)
        nonsense, good = (0, good + 1) if losses else (nonsense + 1, good)
        last = number == schedule.steps
        if nonsense >= (min(_NONSENSE_LAST, number) if last else _NONSENSE):
            raise _astray(f"no finite loss in {nonsense} steps up to step {number}", schedule, folder, kept)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value
        _follow(mean, network, min(schedule.average, number / (number + 10)))
        looks = judge is not None and (number % judge.every == 0 or last) and _finite(mean)
        if looks:
            assert judge is not None
            score = judged.look(judge, network, mean, number)
        if number % word_every == 0 or last or looks:
            now = time.monotonic()
            means = {k: v / good for k, v in sums.items()} | ({"score": score} if looks else {})
            step = Step(number, means, (now - began) / (number - said))
            known = {name: value if np.isfinite(value) else None for name, value in means.items()}
            _append(folder / CURVES, {"step": number, **known, "seconds": round(step.seconds, 4)})
            told(step)
            sums, good, began, said = {}, 0, now, number
        if last or (number % save_every == 0 and not nonsense):
            if not _finite(mean):
                raise _astray(f"the weights are not finite at step {number}", schedule, folder, kept)
            _save(folder, number, network, optimizer, mean, schedule, judged, device)
            kept = number
    network.load_state_dict(mean if judged.best is None else judged.best)
    return network.eval()


def _finite(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in weights.values())


def _astray(what: str, schedule: Schedule, folder: Path, kept: int) -> TrainingError:
    there = f"{folder} holds the state of step {kept}" if kept else f"no step is kept in {folder}"
    return TrainingError(
        f"{what}; take a learning_rate below {schedule.learning_rate} and choose another --out, or look at the "
        f"training images; {there}"
    )


@contextlib.contextmanager
def _on_gpu(what: str) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU has no room for {what}; end what else runs on it, or train with --device cpu"
        ) from error


def _batches(network: nn.Module, make: Make, schedule: Schedule, done: int, workers: int) -> Iterator[Any]:
    """Batches of the steps that are left, made ahead by other processes."""
    order = range(done * schedule.batch, schedule.steps * schedule.batch)
    if not len(order):
        return iter(())
    return iter(
        DataLoader(
            Samples(make, schedule.seed, schedule.batch),
            batch_size=schedule.batch,
            sampler=order,
            collate_fn=getattr(network, "collate", list),
            num_workers=workers,
            prefetch_factor=3 if workers else None,
            worker_init_fn=_one_thread if workers else None,
        )
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _step(
    network: Any, optimizer: torch.optim.Optimizer, batch: Any, schedule: Schedule, device: str, pieces: int
) -> tuple[dict[str, float], int]:
    """One step; the losses, none if they were not finite, and in how many pieces the batch went through the GPU."""
    size = _size(batch)
    norms = [value.clone() for value in network.buffers()]
    while True:
        try:
            optimizer.zero_grad(set_to_none=True)
            sums: dict[str, float] = {}
            for piece in _pieces(batch, pieces):
                share = _size(piece) / size
                with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=schedule.half):
                    losses = network.losses(piece)
                total = torch.stack(list(losses.values())).sum() * share
                total.backward()  # type: ignore[no-untyped-call]
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * share
            break
        except torch.cuda.OutOfMemoryError as error:
            if pieces >= size:
                raise TrainingError("the GPU has no room for a single sample; take smaller windows") from error
            pieces = min(pieces * 2, size)
            torch.cuda.empty_cache()
            _put_back(network, norms)
    with _on_gpu("the gradients and the optimizer"):
        norm = nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        if not (all(np.isfinite(list(sums.values()))) and bool(torch.isfinite(norm))):
            # The means that norms keep have seen the nonsense, and one NaN would stay in them for ever.
            _put_back(network, norms)
            return {}, pieces
        optimizer.step()
    return sums, pieces


@torch.no_grad()
def _put_back(network: nn.Module, buffers: Sequence[Tensor]) -> None:
    for value, before in zip(network.buffers(), buffers, strict=True):
        value.copy_(before)


def _size(batch: Any) -> int:
    return len(batch[0]) if isinstance(batch, tuple) else len(batch)


def _pieces(batch: Any, number: int) -> list[Any]:
    """A batch in parts: a list of samples, or a tuple of stacked tensors and tuples of such."""
    if number == 1:
        return [batch]
    if isinstance(batch, list):
        return [batch[i::number] for i in range(number)]

    def part(value: Any, i: int) -> Any:
        if isinstance(value, Tensor):
            return value[i::number]
        parts = [part(one, i) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)

    return [part(batch, i) for i in range(number)]


def _rate(number: int, schedule: Schedule, judged: Judged) -> float:
    warm = max(1.0, 0.03 * schedule.steps)
    if number <= warm:
        return number / warm
    if schedule.decay != "cosine":
        return judged.slowed() if schedule.decay == "plateau" else 1.0
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * (number - warm) / max(schedule.steps - warm, 1))))


@torch.no_grad()
def _follow(mean: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - decay)
        else:
            mean[name].copy_(value)


def _save(
    folder: Path,
    number: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: dict[str, Tensor],
    schedule: Schedule,
    judged: Judged,
    device: str,
) -> None:
    state = {
        "step": number,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "mean": mean,
        "schedule": asdict(schedule),
        "judged": judged.state(),
        "drawn": _drawn(device),
    }
    part = folder / f"{CHECKPOINT}.part"
    # In memory first: torch tells of a full disk in its own words, the system in everybody's.
    held = io.BytesIO()
    torch.save(state, held)
    try:
        with part.open("wb") as file:
            file.write(held.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / CHECKPOINT)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise TrainingError(
            f"the checkpoint of step {number} could not be written to {folder}: {error.strerror or error}; make room "
            "and run the same command again, it goes on from the checkpoint before"
        ) from error


def _resume(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: dict[str, Tensor],
    schedule: Schedule,
    device: str,
    judged: Judged,
) -> tuple[int, dict[str, Tensor]]:
    """Steps already done and where chance was; weights, optimizer and judgements as they were then."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0, {}
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        # One of an earlier version lacks what was not to be chosen then.
        if Schedule(**state["schedule"]) != schedule:
            raise TrainingError(
                f"{folder} holds a run with {state['schedule']}; choose another folder or that schedule"
            )
        if state["mean"].keys() != mean.keys():
            raise KeyError("mean")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        for name, value in state["mean"].items():
            mean[name].copy_(value)
        if "judged" in state:
            judged.take(state["judged"])
        return int(state["step"]), state.get("drawn", {})
    except (TrainingError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        if wants_memory(error):
            raise
        # Not torch's own words: they advise to load the file unsafely.
        raise TrainingError(
            f"{path} is no whole checkpoint of this network ({type(error).__name__}); delete it to begin anew"
        ) from error


def _drawn(device: str) -> dict[str, Tensor]:
    """Where the generators stand that dropout draws from."""
    found = {"cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.startswith("cuda") else {})


def _draw_on(drawn: Mapping[str, Tensor], device: str) -> None:
    if "cpu" in drawn:
        torch.set_rng_state(drawn["cpu"].cpu())
    if "cuda" in drawn and device.startswith("cuda"):
        torch.cuda.set_rng_state(drawn["cuda"].cpu(), device)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise TrainingError(f"the curves could not be written to {path}: {error}; make room and run again") from error


def read_curves(path: Path) -> list[dict[str, float]]:
    """Lines of the curves; those that a kill or a disk has damaged are left out.

    Raises:
        TrainingError: they cannot be read.
    """
    try:
        texts = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise TrainingError(
            f"the curves in {path} cannot be read: {error.strerror or error}; move them away and run again"
        ) from error
    lines: list[dict[str, float]] = []
    for text in texts:
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and all(
                isinstance(line.get(name), int | float) for name in ("step", "seconds")
            ):
                lines.append(line)
    return lines


def _cut_curves(path: Path, done: int) -> None:
    """Drop what was written after the checkpoint: it comes again."""
    if not path.exists():
        return
    kept = [line for line in read_curves(path) if line["step"] <= done]
    with written_whole(path, TrainingError) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")


def device_or_best(device: str | None) -> str:
    """The device asked for, or a GPU where there is one, else the CPU.

    Raises:
        SettingsError: it is no device, or not there.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if not (asked := re.fullmatch(r"cuda(?::([0-9]{1,4}))?", device)):
        raise SettingsError(f"device is cpu, cuda or cuda:N, not {device!r}")
    if not torch.cuda.is_available():
        raise SettingsError(
            f"device {device!r} was asked for and there is no CUDA GPU here; leave it out or take cpu"
        )
    there = torch.cuda.device_count()
    if int(asked[1] or 0) >= there:
        raise SettingsError(
            f"device {device!r} was asked for and the last GPU here is cuda:{there - 1}; take that one"
        )
    return device


__all__: Sequence[str] = ("Network", "Samples", "Schedule", "Step", "device_or_best", "fit", "read_curves")
