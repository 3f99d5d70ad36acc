"""Pieces that several tabs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from nicegui import ui

from epistem.core import EpistemError, Quantity
from epistem.report.words import DASH, number, percent, with_interval

T = TypeVar("T")

VERDICTS = {
    "accept": ("Accept", "positive", "check_circle"), "review": ("Review", "warning", "visibility"),
    "refuse": ("Refuse", "negative", "block"), None: ("No verdict", "grey-7", "help"),
}  # fmt: skip
SHOWN = (
    "count", "mean_diameter_nm", "mean_diameter_px", "median_diameter_nm", "density_per_um2", "area_fraction_percent",
    "swelling_percent",
)  # fmt: skip
"""Quantities of the card; the report has all."""


def quantity_of(told: Mapping[str, Any]) -> Quantity:
    """A quantity from what `looks.quantity_json` wrote."""
    return Quantity(
        **{name: told[name] for name in ("name", "label", "value", "unit", "low", "high", "coverage", "note")}
    )


def trust_card(row: Mapping[str, Any]) -> None:
    """Verdict, expected scores, reasons: how far to trust what one threshold gives."""
    words, colour, icon = VERDICTS[row["verdict"]]
    with ui.row().classes("items-center gap-2"):
        ui.icon(icon, color=colour, size="sm")
        ui.label(words).classes(f"text-lg font-bold text-{colour}")
    for name, label in (("f1", "Expected F1"), ("precision", "Expected precision"), ("recall", "Expected recall")):
        span = row["expected"][name]
        if span is not None:
            ui.label(
                f"{label} {span['value']:.2f} ({span['low']:.2f}–{span['high']:.2f}, {percent(span['coverage'])})"
            )
    if row["expected"]["f1"] is None:
        ui.label("Expected F1 not known").classes("epi-note")
    for reason in row["reasons"]:
        ui.label(reason).classes("epi-note")
    if row["reference"]:
        ui.label(f"Forecast from {row['reference']}.").classes("epi-note")


def quantities_table(quantities: Sequence[Mapping[str, Any]]) -> None:
    """Name, value with its interval; what is not known says why."""
    by_name = {one["name"]: quantity_of(one) for one in quantities}
    with ui.grid(columns="auto auto").classes("gap-x-4 gap-y-1 items-baseline"):
        for name in SHOWN:
            one = by_name.get(name)
            if one is None or (one.value is None and _in_px(one, by_name)):
                continue
            in_nm = by_name.get(name.removesuffix("_px") + "_nm")
            if name.endswith("_px") and in_nm is not None and (one.value is None or in_nm.value is not None):
                continue
            ui.label(one.label)
            text = with_interval(one) if one.value is not None else DASH
            ui.label(text).tooltip(one.note or one.label)


def _in_px(one: Quantity, by_name: Mapping[str, Quantity]) -> bool:
    """Whether a length that is not known in nm is shown in pixels."""
    other = by_name.get(f"{one.name.removesuffix('_nm')}_px")
    return one.name.endswith("_nm") and other is not None and other.name in SHOWN and other.value is not None


def short(value: float | None, unit: str = "") -> str:
    """A number with its unit for a table."""
    return DASH if value is None else f"{number(value)} {unit}".strip()


def tried(do: Callable[[], T]) -> T | None:
    """What was asked for; where it is refused, None, and the page says why."""
    try:
        return do()
    except EpistemError as error:
        ui.notify(" ".join(str(error).split()), type="warning", multi_line=True)
        return None


def last_told(jobs: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The last job of a kind that nobody took back, as `Desk.state` tells it."""
    own = [job for job in jobs if job["kind"] == kind and job["state"] != "cancelled"]
    return own[-1] if own else None


def attribute(name: str) -> str:
    """For an HTML attribute in NiceGUI's props."""
    return name.replace('"', "'").replace("\\", "")
