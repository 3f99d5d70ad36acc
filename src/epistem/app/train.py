"""`epistem train detector`: from a spec or on own labelled images; what is told on the way and in the end."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from epistem.app.terminal import STOPPED
from epistem.core import DependencyMissing, Interval, SettingsError

if TYPE_CHECKING:
    from epistem.app.train_labels import Check, Tuned
    from epistem.nets.train import Step
    from epistem.nets.weights import Weights

GOES_ON, AGAIN = "The same command goes on from there.", "The same command begins again."
_BAR = 16  # columns
_FIRST_S, _EVERY_S = 5.0, 30.0  # to the first line of a work where there is no terminal, and between lines
# Of fewer images the spread is not known: two that happen to change alike would give an interval of no width.
_FEWEST_FOR_INTERVAL = 5


def train_detector(
    source: Path,
    out: Path,
    *,
    start: str | None,
    images: Path | None,
    category: str | None,
    kind: str | None,
    steps: int | None,
    learning_rate: float | None,
    seed: int | None,
    device: str | None,
    workers: int,
    as_json: bool,
) -> None:
    """Train, and tell what came of it.

    Raises:
        EpistemError: in one line, what it takes.
        typer.Exit: with exit code 130, after Ctrl-C.
    """
    own: dict[str, object] = {"--from": start, "--images": images, "--category": category, "--kind": kind}
    own |= {"--steps": steps, "--learning-rate": learning_rate, "--seed": seed}
    given = [name for name, value in own.items() if value is not None]
    is_spec = source.suffix.lower() == ".toml"
    if is_spec and given:
        raise SettingsError(f"{', '.join(given)} are for labelled images; {source.name} says all that a spec needs")
    if not is_spec and (start is None or images is None):
        raise SettingsError(_incomplete(source, start, images))
    need_torch()
    with Words(quiet=as_json) as words, words.stoppable(lambda: _kept(out)):
        if is_spec:
            done = _from_spec(source, out, device, workers, words)
        else:
            assert start is not None
            assert images is not None
            done = _on_labels(
                source, images, out, words, start=start, category=category, kind=kind, device=device,
                workers=workers, schedule=schedule_of(steps, learning_rate, seed),
            )  # fmt: skip
    done(as_json)


def _incomplete(source: Path, start: str | None, images: Path | None) -> str:
    """What is missing where a spec or labels are wanted."""
    begin, folder = "--from shipped (or a .safetensors file)", "--images FOLDER"
    if start is None and images is None:
        return f"{source} is no spec (.toml); labels need {begin} and {folder}"
    return f"labels need {begin} and {folder}; {'--from' if start is None else '--images'} is missing"


Finish = Callable[[bool], None]


def _from_spec(source: Path, out: Path, device: str | None, workers: int, words: Words) -> Finish:
    from epistem.app.train_spec import train_from_spec
    from epistem.nets.spec import read_spec

    weights = train_from_spec(read_spec(source), out, told=words, device=device, workers=workers)
    return lambda as_json: _tell_spec(weights, as_json)


def _on_labels(
    labels: Path,
    images: Path,
    out: Path,
    words: Words,
    *,
    start: str,
    category: str | None,
    kind: str | None,
    **how: Any,
) -> Finish:
    from epistem.app.train_labels import read_labelled, train_on_labels

    labelled = read_labelled(labels, images, out, category=category, kind=kind, told=words.say)
    tuned = train_on_labels(labelled, out, told=words, source=start, **how)
    return lambda as_json: _tell_labels(tuned, as_json)


STEPS = 300
"""Of a training on labels, unless told."""


def schedule_of(steps: int | None, learning_rate: float | None, seed: int | None) -> Any:
    """Of a training on labels, the defaults where nothing is said."""
    from epistem.nets.train import Schedule

    return Schedule(
        steps=STEPS if steps is None else steps,
        learning_rate=2e-4 if learning_rate is None else learning_rate,
        seed=seed or 0,
    )


def need_torch() -> None:
    """Raises DependencyMissing where no network can be trained."""
    missing = [name for name in ("torch", "timm", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyMissing(f'training needs {", ".join(missing)}; pip install "epistem[nets]"')


def _kept(out: Path) -> str:
    """What a run that is stopped now leaves, in words."""
    from epistem.nets.runs import steps_done

    if kept := steps_done(out):
        return f"step {kept} is kept in {out}"
    fields = any(out.glob("fields/*/*.npz"))
    return f"{'the fields made so far are' if fields else 'nothing is'} kept, no step yet in {out}"


def _tell_spec(weights: Weights, as_json: bool) -> None:
    scores = weights.card["scores"]
    if as_json:
        print(json.dumps(_record(weights) | {"scores": scores}, indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(_table(scores, "Found against true, box IoU ≥ 0.1"))
    print(f"Weights: {weights.path}\nCard: {weights.path.with_name('card.md')}")


def _tell_labels(tuned: Tuned, as_json: bool) -> None:
    if as_json:
        print(json.dumps(labels_record(tuned), indent=1, ensure_ascii=False))
        return
    print(_verdict(tuned, tuned.check))


def labels_record(tuned: Tuned) -> dict[str, Any]:
    """What a training on labels tells as JSON."""
    check = tuned.check
    return _record(tuned.weights) | {
        "from": tuned.source.hash,
        "held_out": [one.name for one in tuned.parts.held_out],
        "before": check.before if check else None,
        "after": check.after if check else None,
        "worse": check.worse if check else None,
        "gain": _gain(tuned, check.gain) if check and check.gain else None,
    }


def _verdict(tuned: Tuned, check: Check | None) -> str:
    path = tuned.weights.path
    chosen = f'"weights={path}"' if " " in str(path) else f"weights={path}"
    use = f"To use them: epistem analyze FOLDER --out RESULTS --detector {tuned.weights.network} --set {chosen}"
    if check is None:
        return f"No image was held out, so whether these weights are better is not known.\nWeights: {path}\n{use}"
    from rich.console import Console

    title = f"{len(tuned.parts.held_out)} held-out images, box IoU ≥ 0.1"
    Console().print(_table({"before": check.before, "after": check.after}, title))
    known = check.gain if _many(tuned) else None
    change = f"F1 of an image changed by {_signed(check.gain, known)} on average. " if check.gain else ""
    if check.worse:
        said = "Worse" if known is not None and known.high <= 0 else "May be worse"
        return (
            f"{change}{said} than before: keep the weights you had. The new ones are in {path}, with this in their "
            "card. More labelled images, fewer --steps or a lower --learning-rate may help."
        )
    if check.after["f1"] == check.before["f1"]:
        return f"{change}No better than before: there is no reason to change.\nWeights: {path}"
    sure = known is not None and known.low > 0
    doubt = "" if sure else "With so few held-out images that may be chance. "
    return f"{change}{doubt}\nWeights: {path}\n{use}"


def _many(tuned: Tuned) -> bool:
    return len(tuned.parts.held_out) >= _FEWEST_FOR_INTERVAL


def _gain(tuned: Tuned, gain: Interval) -> dict[str, float | None]:
    ends = dict.fromkeys(("low", "high", "coverage")) if not _many(tuned) else {}
    return asdict(gain) | ends


def _signed(gain: Interval, known: Interval | None) -> str:
    """The change, with its interval where that is known."""
    ends = f" ({known.low:+.3f} to {known.high:+.3f}, {known.coverage:.0%})" if known else ""
    return f"{gain.value:+.3f}{ends}"


def _table(rows: dict[str, dict[str, Any]], title: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    table.add_column("")
    names = ("tp", "fp", "fn", "precision", "recall", "f1")
    for name in names:
        table.add_column("F1" if name == "f1" else name, justify="right")
    for label, row in rows.items():
        table.add_row(Text(label), *(_number(row[name]) for name in names))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _record(weights: Weights) -> dict[str, Any]:
    onnx = weights.onnx
    return {
        "weights": str(weights.path),
        "onnx": str(onnx) if onnx.is_file() else None,
        "hash": weights.hash,
        "min_score": weights.min_score,
    }


class Words:
    """How far a training is: a bar on a terminal, a line now and then elsewhere, no progress where JSON is wanted.

    Attributes:
        last: the last that was told, in words.
    """

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(stderr=True)
        self.quiet, self.last = quiet, ""
        self.live = console.is_terminal and not quiet
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(_BAR), MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"), console=console, disable=not self.live,
        )  # fmt: skip
        self.tasks: dict[str, Any] = {}
        self.told_of: set[str] = set()
        self.said = time.monotonic()

    def __enter__(self) -> Words:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    @contextmanager
    def stoppable(self, kept: Callable[[], str], again: str = GOES_ON) -> Iterator[None]:
        """Ctrl-C inside ends the command with exit code 130, and says how far it came and what `kept` tells.

        `again` says what the same command does then.
        """
        try:
            yield
        except KeyboardInterrupt:
            reached = f" after {self.last}" if self.last else ""
            told = f"Stopped{reached}; {kept()}. {again}"
            self.say(told)
            if self.quiet:
                print(json.dumps({"stopped": told}, ensure_ascii=False))
            raise typer.Exit(STOPPED) from None

    def part(self, what: str, done: int, of: int) -> None:
        """So many of the fields are through."""
        self.show(what, done, of, "")

    def step(self, step: Step, of: int) -> None:
        """A number of training steps are through."""
        losses = ", ".join(f"{name} {value:.3g}" for name, value in step.losses.items())
        left = step.seconds * (of - step.number)
        self.show("Training, step", step.number, of, f"{losses}; {left:.0f} s left")

    def say(self, text: str) -> None:
        """A line of its own."""
        if self.live:
            self.bar.console.print(text, markup=False, emoji=False, highlight=False)
        else:
            print(text, file=sys.stderr)

    def show(self, what: str, done: int, of: int, more: str) -> None:
        """So much of `what` is done, and a few words."""
        self.last = f"{what[0].lower()}{what[1:]} {done} of {of}"
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=of, more=more)
        # On a narrow terminal the losses give way, not the bar and the count.
        room = max(self.bar.console.width - len(what) - _BAR - 2 * len(str(of)) - 4, 1)
        short = more if len(more) <= room else f"{more[: room - 1]}…"
        self.bar.update(self.tasks[what], completed=done, total=of, more=short)
        now = time.monotonic()
        wait = _EVERY_S if what in self.told_of else _FIRST_S
        if not self.live and not self.quiet and (now - self.said > wait or done == of):
            self.said = now
            self.told_of.add(what)
            self.say(f"{what} {done} of {of}{': ' if more else ''}{more}")
