"""What the command line says, and its progress bar."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from epistem.report.words import counted, sentence

if TYPE_CHECKING:
    from epistem.app.batch import BatchResult
    from epistem.app.store import Earlier, ImageRecord
    from epistem.core import Micrograph, MicrographSeries

SOME_FAILED, USAGE, STOPPED = 1, 2, 130
"""Exit codes: some files failed, the command was wrong, ended by Ctrl-C."""

_STAGE_S = 10.0
_TOLD = 20  # images named on the terminal
_WARNED = 200  # images whose warnings are told there


def tell_earlier(before: Earlier, out: Path) -> None:
    """What becomes of the results that are in the folder already; nothing where there are none."""
    told = (
        (before.kept, "kept"),
        (before.replaced, "replaced, as the image, the settings or the version differ"),
        (before.left, f"not asked for now: they stay in {out}, not in the tables"),
    )
    parts = [f"{counted(n, 'file')} {what}" for n, what in told if n]
    if parts:
        say(f"Results of an earlier run in {out}: {'; '.join(parts)}.")


def tell_batch(result: BatchResult, out: Path, *, as_json: bool) -> None:
    """What was found, what failed, where to look."""
    if as_json:
        images = [image for record in result.records for image in record.images]
        told = {
            "out": str(out),
            "images": [image.model_dump() for image in images],
            "errors": [error.model_dump() for error in result.errors],
            "reused": result.reused,
        }
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for error in result.errors:
        say(f"{error.file}: {error.why}")
    n_images, n_objects = _tell_images(image for record in result.records for image in record.images)
    were = "was" if result.reused == 1 else "were"
    before = f" ({result.reused} of the files {were} done before)" if result.reused else ""
    failed = f", {len(result.errors)} failed (errors.csv says why)" if result.errors else ""
    found = sentence(f"{counted(n_objects, 'object')} in {counted(n_images, 'image')}")
    if n_objects and not (out / "objects.csv").exists():
        say("The objects are in objects.parquet alone: they are more rows than a spreadsheet takes.")
    print(f"{found}{before}{failed}.\nReport: {out / 'report.html'}")


def _tell_images(images: Iterable[ImageRecord]) -> tuple[int, int]:
    """Warnings, expected F1 and verdict of the first images, those to look at with their reasons.

    Returns:
        How many images, and how many objects in them.
    """
    lines: list[str] = []
    last: tuple[str, ...] = ()
    counts: Counter[str] = Counter()
    n_images = n_objects = n_warned = 0
    forecast = False
    for n_images, image in enumerate(images, 1):
        n_objects += image.n_objects
        counts[image.verdict or "no verdict"] += 1
        forecast = forecast or bool(image.expected or image.verdict)
        n_warned += bool(image.warnings)
        for warning in image.warnings if n_warned <= _WARNED else ():
            say(f"{image.name}: {warning}")
        if n_images <= _TOLD:
            lines += trust_lines(image, last)
            last = image.reasons
    if n_warned > _WARNED:
        say(f"… and warnings for {counted(n_warned - _WARNED, 'more image')}, in images.csv")
    if forecast:
        print("\n".join(lines))
    if forecast and n_images > _TOLD:
        print(f"… and {counted(n_images - _TOLD, 'more image')}, in images.csv")
    if forecast and n_images > 1:
        print("Verdicts: " + ", ".join(f"{n} {name}" for name, n in counts.most_common()))
    return n_images, n_objects


def trust_lines(image: ImageRecord, last: tuple[str, ...] = ()) -> list[str]:
    """One image, with its reasons where they are not those of the one before, `last`."""
    f1 = image.expected.get("f1")
    expected = "unscored" if f1 is None else f"expected F1 {f1.value:.2f} ({f1.low:.2f} to {f1.high:.2f})"
    line = f"{image.name}: {image.n_objects} found, {expected}, {image.verdict or 'no verdict'}"
    if image.verdict == "accept" or not image.reasons:
        return [line]
    if image.reasons == last:
        return [f"{line}, for the same reasons"]
    return [line, *(f"  {reason}" for reason in image.reasons)]


def facts_of(image: Micrograph | MicrographSeries) -> dict[str, Any]:
    """What `epistem read` prints of one file."""
    from epistem.core import Micrograph

    first = image if isinstance(image, Micrograph) else image[0]
    scale = first.calibration
    facts: dict[str, Any] = {
        "kind": "image",
        "shape": list(first.shape),
        "dtype": str(first.pixels.dtype),
        "row_nm": scale.row_nm if scale else None,
        "col_nm": scale.col_nm if scale else None,
        "pixel_size_source": f"{scale.source}: {scale.detail}".rstrip(": ") if scale else None,
        "valid_fraction": first.valid_fraction,
        "context": first.context.known(),
        "id": image.id,
        "warnings": list(dict.fromkeys([*image.warnings, *first.warnings])),
    }
    if not isinstance(image, Micrograph):
        labels = [one.slice.label if one.slice else "" for one in image]
        facts |= {"kind": "series", "axis": image.axis, "images": len(image), "labels": labels}
    return facts


def print_facts(facts: dict[str, Any]) -> None:
    """The same for people."""
    if "error" in facts:
        say(facts["error"])
        return
    rows, cols = facts["shape"]
    many = f"{facts['images']} images along {facts['axis']}, each " if facts["kind"] == "series" else ""
    print(f"{facts['file']}\n  {many}{rows} × {cols} pixels, {facts['dtype']}")
    if facts["col_nm"] is None:
        print("  pixel size unknown")
    else:
        row, col = facts["row_nm"], facts["col_nm"]
        size = f"{col:.6g} nm" if row == col else f"{row:.6g} nm between rows, {col:.6g} nm between columns"
        print(f"  pixel size {size} ({facts['pixel_size_source']})")
    for name, value in facts["context"].items():
        print(f"  {name.replace('_', ' ')}: {value}")
    for warning in facts["warnings"]:
        print(f"  note: {warning}")


def say(text: str) -> None:
    """A line for people, beside the results."""
    print(text, file=sys.stderr)


class Bar:
    """A progress bar on the terminal; silent where there is none or where JSON is wanted."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self.live, self.said = False, time.monotonic()

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.live = console.is_terminal and not self.quiet
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=self.quiet or not console.is_terminal,
        )
        self.task = self.progress.add_task("Analysing", total=self.total)
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.progress.stop()
        if kind is KeyboardInterrupt:  # typer would end it without a word
            say("Stopped; files that are done are kept. The same command goes on from there.")
            raise typer.Exit(STOPPED) from None

    def stage(self, what: str) -> None:
        """What is under way: on the bar, or a line now and then where there is no terminal."""
        self.progress.update(self.task, description=what)
        if not self.quiet and not self.live and time.monotonic() - self.said > _STAGE_S:
            self.said = time.monotonic()
            say(what)

    def advance(self, done: int, _total: int, _outcome: object) -> None:
        """One more file is through."""
        self.progress.update(self.task, completed=done)
