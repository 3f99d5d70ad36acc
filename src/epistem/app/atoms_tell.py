"""What `epistem atoms` prints of an evaluation and of ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epistem.atoms.ratings import Agreement, PairAgreement
    from epistem.core import Interval


def print_evaluation(told: Mapping[str, Any]) -> None:
    """Numbers with intervals, each class, and the confusion table."""
    from rich.console import Console

    console = Console()
    left = ", ".join(f"{name} ({n})" for name, n in told["left_over"].items())
    print(
        f"{told['scored']} of {told['labels']} labels scored; {told['without_column']} without a classified column"
        f"{f'; left over: {left}' if left else ''}."
    )
    rows = [
        ("Cohen κ, all columns", _number(told["kappa"])), ("Cohen κ, metal columns", _number(told["kappa_metal"])),
        ("PABAK", _plain(told["pabak"])), ("accuracy", _number(told["accuracy"])),
        ("balanced accuracy", _plain(told["balanced_accuracy"])), ("macro-F1", _plain(told["macro_f1"])),
        ("ECE", _number(told["ece"])), ("Brier", _plain(told["brier"])), ("NLL [bit]", _plain(told["nll_bits"])),
        ("mean entropy [bit]", _plain(told["mean_entropy_bits"])),
        ("covered by sets", _plain(told["covered_by_sets"])),
    ]  # fmt: skip
    element = told["dopant_element"]
    if element["n"]:
        rows.append(("element of dopants right", f"{element['right']} of {element['n']}"))
    console.print(_grid(("", f"{told['coverage']:.0%} interval by blocks of {told['block']}"), rows))
    classes = [
        (name, str(one["n"]), _plain(one["precision"]), _plain(one["recall"]), _number(one["f1_interval"]))
        for name, one in told["classes"].items()
        if one["n"] or one["precision"] is not None
    ]
    console.print(_grid(("", "n", "precision", "recall", "F1"), classes))
    names, counts = told["confusion"]["rows_true_columns_called"], told["confusion"]["counts"]
    used = [i for i in range(len(names)) if sum(counts[i]) or sum(row[i] for row in counts)]
    console.print(
        _grid(
            ("true \\ called", *(names[i] for i in used)),
            [(names[i], *(str(counts[i][j]) for j in used)) for i in used],
        )
    )


def print_agreement(found: Agreement) -> None:
    """Each rater, each two, all together, and the model."""
    from rich.console import Console

    console = Console()
    raters = [
        (name, str(found.rated[name]), str(found.cannot_tell[name]), _plain(found.median_seconds[name]))
        for name in found.raters
    ]
    console.print(_grid((f"{len(found.units)} columns", "answers", "cannot tell", "median s"), raters))
    head = ("", "n", "agree", "Cohen κ", "", "PABAK")
    for title, pairs in (
        ("with themselves", found.intra),
        ("with each other", found.pairs),
        ("with the model", found.model),
    ):
        if pairs:
            console.print(_grid((title, *head[1:]), [_pair(one) for one in pairs]))
    for name, group in (("Fleiss κ", found.fleiss), ("Krippendorff α", found.krippendorff)):
        if group is not None:
            print(f"{name} over {group.n} columns: {_ends(group.value, group.interval)}")


def _ends(value: float | None, interval: Interval | None) -> str:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return _number({"value": value, "low": low, "high": high})


def _pair(one: PairAgreement) -> Sequence[str]:
    return (
        " – ".join(dict.fromkeys(one.names)),
        str(one.n),
        _plain(one.observed),
        _ends(one.kappa, one.interval),
        one.band or "",
        _plain(one.pabak),
    )


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for i, name in enumerate(head):
        table.add_column(Text(name), justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(one: Mapping[str, float | None]) -> str:
    if one["value"] is None:
        return "–"
    ends = "" if one["low"] is None else f" ({one['low']:.3f} to {one['high']:.3f})"
    return f"{one['value']:.3f}{ends}"
