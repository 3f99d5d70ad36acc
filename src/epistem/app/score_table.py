"""Scores as a table on the terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from epistem.app.score import Scores
from epistem.core import Interval
from epistem.detect.match import Pooled


def as_record(scores: Scores) -> dict[str, Any]:
    """Everything in plain values; what is not defined is None."""
    return {
        "images": [
            {
                "image": name,
                "tp": one.tp,
                "fp": one.fp,
                "fn": one.fn,
                "ignored": int(one.ignored.sum()),
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
                "empty": one.empty,
            }
            for name, one in zip(scores.names, scores.matches, strict=True)
        ],
        "pooled": asdict(scores.pooled),
        "only_found": list(scores.only_found),
        "only_true": list(scores.only_true),
    }


def print_scores(scores: Scores, *, method: str, by: str, iou: float) -> None:
    """A row an image, the pooled row, and below it the means with their intervals."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{method} matching, {by} IoU ≥ {iou:g}", title_justify="left")
    table.add_column("image", overflow="fold")
    for column in ("tp", "fp", "fn", "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    for name, one in zip(scores.names, scores.matches, strict=True):
        f1 = _share(one.f1) + (" (empty)" if one.empty else "")
        counts = (str(one.tp), str(one.fp), str(one.fn))
        # As Text: a name may hold brackets, which Rich would take for its own markup.
        table.add_row(Text(name), *counts, _share(one.precision), _share(one.recall), f1)
    table.add_section()
    pooled = scores.pooled
    counts = (str(pooled.tp), str(pooled.fp), str(pooled.fn))
    table.add_row("pooled", *counts, _share(pooled.precision), _share(pooled.recall), _share(pooled.f1))
    console = Console()
    console.print(table)
    means = {"precision": pooled.mean_precision, "recall": pooled.mean_recall, "F1": pooled.mean_f1}
    told = ", ".join(f"{name} {_interval(mean)}" for name, mean in means.items())
    console.print(f"{_means_over(pooled)}: {told}", highlight=False)
    for names, side in ((scores.only_found, "found"), (scores.only_true, "true")):
        if names:
            listed = f"{len(names)} images have {side} objects only and are not scored: {', '.join(names)}"
            console.print(listed, markup=False, emoji=False)


def _means_over(pooled: Pooled) -> str:
    """What the means are over; one place has no interval."""
    if pooled.places == pooled.images:
        what = "Mean over images"
    else:
        what = f"Mean over {pooled.places} series or single images (the images of a series count as one)"
    return what if pooled.places > 1 else f"{what}; one gives no interval"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval.value:.3f} ({interval.low:.3f}–{interval.high:.3f}, {interval.coverage:.0%})"
