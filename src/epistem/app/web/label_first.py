"""Which images of a room to label first, and why: `epistem forecast next` of what the page has looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from epistem.app.as_json import named_values
from epistem.app.forecast import Told, first_to_label
from epistem.app.web.jobs import Bench
from epistem.app.web.rooms import Room, read_json
from epistem.core import Interval
from epistem.trust.result import Beyond, Forecast

FORECAST = "forecast.json"


class _Image(NamedTuple):
    id: str
    slice: int
    name: str
    forecast: Forecast | None


def write_forecast(folder: Path, forecast: Forecast | None) -> None:
    """Keeps what was expected of one image; none where its detector has no forecast."""
    path = folder / FORECAST
    if forecast is None:
        path.unlink(missing_ok=True)
        return
    from epistem.core.files import write_text

    write_text(path, json.dumps(named_values(asdict(forecast))))


def read_forecast(folder: Path) -> Forecast | None:
    """What was kept; None where there is none."""
    told = read_json(folder / FORECAST)
    if told is None:
        return None
    spans = {name: None if told[name] is None else Interval(**told[name]) for name in ("f1", "precision", "recall")}
    # What was not known is NaN among the signals and None everywhere else.
    signals = {name: float("nan") if value is None else value for name, value in told["signals"].items()}
    beyond = tuple(_beyond(one) for one in told["beyond"])
    return Forecast(**{**told, **spans, "signals": signals, "beyond": beyond})


def run(bench: Bench) -> dict[str, Any]:
    """All images that nobody said are right yet, the most useful first.

    Returns:
        Of each: id, slice, name, reason; and how many have no forecast.
    """
    images = _images(bench.room)
    forecast = [one for one in images if one.forecast is not None]
    told = [Told(one.name, one.forecast, None, ()) for one in forecast if one.forecast is not None]
    # The images nearest to what is labelled already are among them: they are passed over below, not before.
    picks = first_to_label(told, len(told)) if told else []
    right = {(item.id, slice_) for item in bench.room.items() for slice_ in item.right}
    first = [
        {
            "id": forecast[pick.row].id, "slice": forecast[pick.row].slice, "name": forecast[pick.row].name,
            "reason": _named(pick.reason, [one.name for one in forecast]),
        }
        for pick in picks
        if (forecast[pick.row].id, forecast[pick.row].slice) not in right
    ]  # fmt: skip
    return {"first": first, "without": len(images) - len(forecast), "right": len(right)}


def _images(room: Room) -> list[_Image]:
    found = []
    for item in room.items():
        for folder in sorted((room.folder_of(item.id) / "looks").glob("*/")):
            told = read_json(folder / "thresholds.json")
            if told is not None:
                found.append(_Image(item.id, int(folder.name), told["name"], read_forecast(folder)))
    return found


def _named(reason: str, names: list[str]) -> str:
    """With the image's name where the reason has its number."""
    return re.sub(r"is image (\d+),", lambda found: f"is {names[int(found[1])]},", reason)


def _beyond(one: Any) -> Beyond:
    return Beyond(**one) if isinstance(one, Mapping) else Beyond(*one)
