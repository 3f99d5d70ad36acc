"""Forecasts and their errors as tables on the terminal and in CSV, and what of them is told as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from epistem.app.forecast import FEW_CASES, Fitted, Told
from epistem.app.forecast_check import Compared, Evaluated, Judged
from epistem.core import Interval
from epistem.trust.label_first import Pick

_SHOWN = {"f1": "F1", "precision": "precision", "recall": "recall"}


# ---------------------------------------------------------------- fit


def fit_record(fitted: Fitted, out: str) -> dict[str, Any]:
    """What `fit` tells as JSON."""
    made = fitted.forecaster
    return {
        "model": out, "about": made.about, "scores": made.how.scores, "skipped_scores": fitted.skipped,
        "coverage": made.how.coverage, "checked_at": fitted.score, "held_out": fitted.check,
    }  # fmt: skip


def fit_notes(fitted: Fitted) -> list[str]:
    """What a person must know of a fitted forecast."""
    about, notes = fitted.forecaster.about, []
    if about["cases"] < FEW_CASES:
        notes.append(f"{about['cases']} cases are few: under {FEW_CASES}, errors and intervals are rough.")
    if fitted.skipped:
        scores = ", ".join(f"{score:g}" for score in fitted.skipped)
        notes.append(f"Not fitted for a score of {scores}: too few cases have an object so sure.")
    if not about["detectors"]:
        notes.append("No --detector was told: detections of any will be taken for those of this one.")
    return notes


def print_fitted(fitted: Fitted, out: str) -> None:
    """What it was fitted on, and how far it is off on images held out."""
    made, about = fitted.forecaster, fitted.forecaster.about
    whose = ", ".join(about["detectors"]) or "a detector that was not told"
    kind = "masks" if about["masks"] else "boxes"
    seen = "with the images" if about["images"] else "without the images"
    scores = ", ".join(f"{score:g}" for score in made.how.scores)
    print(
        f"Fitted on {about['cases']} cases ({made.reference_n} images, {about['objects']} {kind} of {whose}, {seen}) "
        f"for scores of {scores}."
    )
    if fitted.check is None:
        print("Too few images to hold some out: how far its forecasts are off is not known.")
    else:
        title = f"Images held out, objects from a score of {fitted.score:g} up"
        _print_judged(title, {_SHOWN[target]: one for target, one in fitted.check.items()}, made.how.coverage)
    print(f"Forecast: {out}")


# ---------------------------------------------------------------- errors


def print_evaluated(evaluated: Evaluated, coverage: float) -> None:
    """A table for each target, a row for each subset."""
    for target, by_part in evaluated.judged.items():
        title = f"Expected {_SHOWN[target]}, objects from a score of {evaluated.score:g} up"
        _print_judged(title, by_part, coverage)


def print_compared(compared: Compared, protocol: str, coverage: float) -> None:
    """Ours and the published forest beside each other."""
    from rich.console import Console

    for target, by_part in compared.ours.items():
        if target != "f1":
            by_part = {"all": by_part["all"]}
        title = f"{_SHOWN[target]}, left out by {protocol}, objects from a score of {compared.score:g} up"
        _print_judged(title, by_part, coverage, compared.published[target])
    if compared.ratio is not None:
        told = f"Our mean absolute error of F1 is {_span(compared.ratio)} of the published forest's."
        Console().print(told, highlight=False)


def _print_judged(
    title: str, rows: Mapping[str, Judged], coverage: float, published: Mapping[str, Judged] | None = None
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    ranked = any(one.spearman for one in rows.values())
    table = Table(title=title, title_justify="left")
    table.add_column("")
    beside = ("", " published") if published else ("",)
    heads = ["n", "left out", *(f"{name}{whose}" for name in ("MAE", "RMSE", "R²") for whose in beside)]
    heads += [f"in {coverage:.0%} interval", *(["Spearman"] if ranked else [])]
    for head in heads:
        table.add_column(head, justify="right", overflow="fold")  # a number is never cut
    for name, one in rows.items():
        both = [one, published[name]] if published else [one]
        cells = [str(one.n), str(one.left_out), *(_span(each.mae) for each in both)]
        cells += [_number(each.rmse) for each in both] + [_number(each.r2) for each in both]
        cells += [_share(one.coverage), *([_span(one.spearman)] if ranked else [])]
        table.add_row(Text(name), *cells)
    Console().print(table)
    if any(one.left_out for one in rows.values()):
        print("Left out: nothing found, or no truth to compare with.")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _span(span: Interval | None) -> str:
    return "–" if span is None else f"{span.value:.3f} ({span.low:.2f}–{span.high:.2f})"


def _share(span: Interval | None) -> str:
    return "–" if span is None else f"{span.value:.0%} ({span.low:.0%}–{span.high:.0%})"


# ---------------------------------------------------------------- predict, next


def predicted_rows(told: Sequence[Told]) -> list[dict[str, Any]]:
    """One flat row an image, for CSV."""
    rows = []
    for one in told:
        said = one.forecast
        row: dict[str, Any] = {"image": one.name}
        for name in _SHOWN:
            span: Interval | None = getattr(said, name)
            row |= {name: span.value if span else None}
            row |= {f"{name}_low": span.low if span else None, f"{name}_high": span.high if span else None}
        row |= {
            "coverage": said.f1.coverage if said.f1 else None, "verdict": one.verdict or "unscored",
            "reasons": " ".join(one.reasons), "score": said.used_score, "objects": said.n_kept,
            "typicality": said.typicality,
        }  # fmt: skip
        rows.append(row)
    return rows


def predict_record(told: Sequence[Told], notes: Sequence[str]) -> dict[str, Any]:
    """What `predict` tells as JSON."""
    unscored = sum(one.verdict is None for one in told)
    return {"images": [one._asdict() for one in told], "unscored": unscored, "notes": list(notes)}


def print_predicted(told: Sequence[Told]) -> None:
    """A row an image, the reasons below, what is unscored at the end."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Expected without labels", title_justify="left")
    table.add_column("image", overflow="fold")
    for head in ("objects", "F1", "precision", "recall", "verdict"):
        table.add_column(head, justify="right", overflow="fold")
    for one in told:
        spans = (getattr(one.forecast, name) for name in _SHOWN)
        cells = ["–" if span is None else f"{span.value:.2f} ({span.low:.2f}–{span.high:.2f})" for span in spans]
        table.add_row(Text(one.name), str(one.forecast.n_kept), *cells, one.verdict or "unscored")
    console = Console()
    console.print(table)
    for one in told:
        console.print(f"{one.name}: {' '.join(one.reasons)}", markup=False, emoji=False, highlight=False)
    counts = {word: sum((one.verdict or "unscored") == word for one in told) for word in _WORDS}
    console.print(", ".join(f"{n} {_WORDS[word]}" for word, n in counts.items() if n) + ".", highlight=False)


_WORDS = {
    "accept": "accepted", "review": "to review", "refuse": "refused",
    "unscored": "unscored (no forecast: nothing was found)",
}  # fmt: skip


def next_record(told: Sequence[Told], picks: Sequence[Pick], notes: Sequence[str]) -> dict[str, Any]:
    """What `next` tells as JSON."""
    images = [{"image": told[one.row].name, "usefulness": one.usefulness, "reason": one.reason} for one in picks]
    return {"label_first": images, "notes": list(notes)}


def print_next(told: Sequence[Told], picks: Sequence[Pick]) -> None:
    """Images in the order in which to label them, with the reason for each."""
    for number, one in enumerate(picks, 1):
        print(f"{number:3d}  {told[one.row].name}: {one.reason}")
