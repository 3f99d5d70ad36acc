"""What a tool measured, in one sentence with its interval, its maker and how far that maker can be trusted.

Numbers are those of `epistem analyze`: tools hand in its quantities and its reliability, nothing is measured here. A
result that analyze refuses is said to be refused before the number, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from epistem.ask.intents import THINGS, Intent, Limit, Statistic
from epistem.ask.records import Statement
from epistem.core.errors import EpistemError
from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.core.reliability import Quantity, Reliability

Floats = NDArray[np.float64]

_NM_PER_UM = 1000.0


class Looked(NamedTuple):
    """What a tool found in one image.

    Attributes:
        found: objects with the columns of `detect.measure`.
        quantities: of `detect.population`, by name.
        reliability: how far to trust them.
    """

    found: Instances
    quantities: Mapping[str, Quantity]
    reliability: Reliability = Reliability()


class Tool(Protocol):
    """Finds things of one kind.

    Attributes:
        name: with settings, for people.
        finds: the things it was made for, singular.
    """

    @property
    def name(self) -> str: ...

    @property
    def finds(self) -> tuple[str, ...]: ...

    def look(self, micrograph: Micrograph) -> Looked: ...


def measured(micrograph: Micrograph, intent: Intent, tool: Tool) -> Statement:
    """The number that was asked for; that it cannot be had is an answer too."""
    try:
        looked = tool.look(micrograph)
    except EpistemError as error:
        return Statement(text=f"This cannot be told by {tool.name}: {error}.", source="language")
    thing = intent.thing or tool.finds[0]
    by = f"(measured by {tool.name}{_expected(looked.reliability)})"
    return _trusted(_number(micrograph, intent, looked, thing, by), looked.reliability)


def plural(thing: str) -> str:
    """Of a thing's name; of a class that somebody named, its parts.

    >>> plural("cavity"), plural("pore"), plural("gamma prime")
    ('cavities', 'pores', 'parts of class "gamma prime"')
    """
    if thing not in THINGS:
        return f'parts of class "{thing}"'
    return f"{thing[:-1]}ies" if thing.endswith("ty") else f"{thing}s"


def singular(thing: str) -> str:
    """One of them."""
    return thing if thing in THINGS else f'part of class "{thing}"'


def length(value: float, unit: Literal["nm", "px"], n: int = 3) -> str:
    """A length to n digits, in µm from 1000 nm on.

    >>> length(6.1234, "nm"), length(11213.0, "nm"), length(1234.5, "px")
    ('6.12 nm', '11.2 µm', '1230 px')
    """
    in_um = unit == "nm" and value >= _NM_PER_UM
    return f"{digits(value / _NM_PER_UM if in_um else value, n)} {'µm' if in_um else unit}"


def digits(value: float, n: int = 3) -> str:
    """As many as count, without a power of ten where none is needed."""
    return f"{float(f'{value:.{n}g}'):g}"


# ---------------------------------------------------------------- trust


def _expected(reliability: Reliability) -> str:
    f1 = reliability.f1
    if f1 is None:
        return ""
    return f"; expected F1 {f1.value:.2f}, {100 * f1.coverage:.0f} % interval {f1.low:.2f}–{f1.high:.2f}"


def _trusted(said: Statement, reliability: Reliability) -> Statement:
    """The same with what to do with it; where nothing entitles to a verdict, with all reasons why."""
    text, verdict, reasons = said.text, reliability.verdict, reliability.reasons
    if verdict == "refuse" and said.value is None:
        text = f"Refuse: {reasons[0]} {text}"
    elif verdict == "refuse":
        text = f"Refuse: {reasons[0]} Found, but not backed: {text[0].lower()}{text[1:]}"
    elif verdict == "review":
        text = f"{text} Review: {reasons[0]}"
    elif verdict is None:
        text = " ".join((text, *reasons))
    spans = {name: getattr(reliability, name) for name in ("f1", "precision", "recall")}
    return said.model_copy(update={
        "text": text, "expected": {name: span for name, span in spans.items() if span is not None},
        "typicality": reliability.typicality, "verdict": verdict, "reasons": reasons,
    })  # fmt: skip


# ---------------------------------------------------------------- numbers


def _number(micrograph: Micrograph, intent: Intent, looked: Looked, thing: str, by: str) -> Statement:
    n, many = len(looked.found), plural(thing)
    if intent.limit is not None:
        return _beyond(looked.found, intent.limit, many, by)
    if intent.asked == "count":
        are = f"is 1 {singular(thing)}" if n == 1 else f"are {n} {many}"
        return Statement(text=f"There {are} in the field {by}.", source="measured", value=float(n), unit="1")
    if intent.asked == "fraction":
        share = looked.quantities["area_fraction_percent"]
        return _of(share, f"The {many} cover {_digits(share)} % of the field{_ends(share, '%')} {by}.", "%", by)
    if intent.asked == "density":
        return _density(micrograph, looked, many, by)
    if not n:
        return Statement(text=f"No {singular(thing)} was found, so none has a size {by}.", source="measured")
    return _size(micrograph, looked, intent.which, thing, by)


def _of(quantity: Quantity, text: str, unit: str, by: str) -> Statement:
    """A quantity as it was said, or why it is not known."""
    if quantity.value is None:
        return Statement(text=f"The image cannot tell: {quantity.note} {by}.", source="measured")
    return Statement(text=text, source="measured", value=quantity.value, unit=unit, low=quantity.low,
                     high=quantity.high, coverage=quantity.coverage)  # fmt: skip


def _digits(quantity: Quantity) -> str:
    return "" if quantity.value is None else digits(quantity.value)


def _ends(quantity: Quantity, unit: str) -> str:
    """Its interval in brackets, "" where it has none."""
    low, high, coverage = quantity.low, quantity.high, quantity.coverage
    if low is None or high is None or coverage is None:
        return ""
    ends = f"{digits(low)}–{digits(high)} {unit}"
    if unit == "nm" and high >= _NM_PER_UM:
        ends = f"{digits(low / _NM_PER_UM)}–{digits(high / _NM_PER_UM)} µm"
    return f" ({100 * coverage:.0f} % interval {ends})"


def _density(micrograph: Micrograph, looked: Looked, many: str, by: str) -> Statement:
    if micrograph.calibration is None:
        n, pixels = len(looked.found), micrograph.pixels.size * micrograph.valid_fraction
        return Statement(
            text=f"The image cannot tell: its pixel size is not known. There are {n} {many} in {pixels:.0f} "
            f"pixels {by}.", source="measured", value=n / pixels if pixels else None, unit="1/px²",
        )  # fmt: skip
    dense = looked.quantities["density_per_um2"]
    said = f"The {many} have a number density of {_digits(dense)} per µm²{_ends(dense, 'per µm²')} {by}."
    return _of(dense, said, "1/µm²", by)


def _size(micrograph: Micrograph, looked: Looked, which: Statistic, thing: str, by: str) -> Statement:
    """A statistic of the diameters of what is seen whole, as analyze has it."""
    unit: Literal["nm", "px"] = "px" if micrograph.calibration is None else "nm"
    whole, cut = _diameters_of_whole(looked.found, unit)
    one = looked.quantities[f"{which if which in _SAID else 'mean'}_diameter_{unit}"]
    value = one.value
    if value is None or not len(whole):
        return _of(replace(one, value=None), "", unit, by)
    if which not in _SAID:
        one = Quantity(which, "", float(whole.max() if which == "largest" else whole.min()), unit)
    smallest, largest = (length(float(end), unit) for end in (whole.min(), whole.max()))
    seen = " seen whole" if len(cut) else ""
    of = f"{len(whole)} {plural(thing)}{seen}"
    if len(whole) == 1:
        text = f"The one {singular(thing)}{seen} measures {largest}, as an area-equivalent diameter"
    elif which in _SAID:
        said = _SAID[which].format(length(value, unit)) + _ends(one, unit)
        text = f"The {of} {said}, from {smallest} to {largest}, as area-equivalent diameters"
    else:
        ends = f"{largest}, the smallest {smallest}" if which == "largest" else f"{smallest}, the largest {largest}"
        text = f"The {which} of the {of} measures {ends}, as area-equivalent diameters"
    scale = "" if unit == "nm" else " The pixel size is not known, so these are pixels."
    return _of(one, f"{text} {by}.{_cut_off(cut, whole, which, unit)}{scale}", unit, by)


_SAID: dict[Statistic, str] = {
    "mean": "measure {} on average", "median": "have a median diameter of {}",
    "sd": "have diameters with a standard deviation of {}",
}  # fmt: skip


def _cut_off(cut: Floats, whole: Floats, which: Statistic, unit: Literal["nm", "px"]) -> str:
    if not len(cut):
        return ""
    said = f" {len(cut)} more {'is' if len(cut) == 1 else 'are'} cut by the border or a mask, and left out."
    if which == "largest" and cut.max() > whole.max():
        said += f" What is seen of one of them is larger: {length(float(cut.max()), unit)}."
    return said


def _diameters_of_whole(found: Instances, unit: str) -> tuple[Floats, Floats]:
    """Area-equivalent diameters of what is seen whole, and of the visible part of what is cut."""
    diameters = np.asarray(found.columns[f"equivalent_diameter_{unit}"], float)
    is_cut = np.asarray(found.columns["touches_edge"] | found.columns["touches_invalid"], bool)
    known = np.isfinite(diameters) & (diameters > 0)
    return diameters[known & ~is_cut], diameters[known & is_cut]


def _beyond(found: Instances, limit: Limit, many: str, by: str) -> Statement:
    """How many are larger, or smaller, than a diameter."""
    column = found.columns.get(f"equivalent_diameter_{limit.unit}")
    if column is None:
        what = "its pixel size" if limit.unit == "nm" else "a diameter in pixels"
        return Statement(
            text=f"The image cannot tell: {what} is not known, so nothing can be compared with {limit.said}. There "
            f"are {len(found)} {many} of any size {by}.", source="measured",
        )  # fmt: skip
    known = np.asarray(column, float)[np.isfinite(column)]
    if len(found) and not len(known):
        return Statement(text=f"The image cannot tell: no outline of the {many} was found {by}.", source="measured")
    n = int((known > limit.diameter if limit.side == "above" else known < limit.diameter).sum())
    unknown = len(found) - len(known)
    aside = f" Of {unknown} more no outline was found." if unknown else ""
    cut = int(np.count_nonzero(found.columns["touches_edge"] | found.columns["touches_invalid"]))
    if cut:
        aside += f" {cut} cut by the border or a mask {'counts' if cut == 1 else 'count'} with the part that is seen."
    return Statement(
        text=f"Of {len(known)} {many} in the field, {n} {'is' if n == 1 else 'are'} {limit.side} {limit.said} in "
        f"area-equivalent diameter {by}.{aside}", source="measured", value=float(n), unit="1",
    )  # fmt: skip
