"""Numbers, units and counts as a person reads them; the one place where anything is rounded."""

from __future__ import annotations

import math
from typing import Protocol

DASH = "–"
THIN = "\u202f"  # narrow no-break space, between groups of three digits

# Column names end in their unit; the longest ending that fits is taken.
UNITS = {
    "_C": "°C",
    "_K": "K",
    "_dpa": "dpa",
    "_per_um2": "µm⁻²",
    "_per_um3": "µm⁻³",
    "_e_per_A2": "e⁻ Å⁻²",
    "_percent": "%",
    "_nm2": "nm²",
    "_nm3": "nm³",
    "_px2": "px²",
    "_mrad": "mrad",
    "_keV": "keV",
    "_deg": "°",
    "_rad": "rad",
    "_nm": "nm",
    "_px": "px",
    "_mm": "mm",
    "_A": "Å",
}


class Ranged(Protocol):
    """What a number shown to a person carries: core's Quantity and report's Fact."""

    @property
    def value(self) -> float | int | str | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def coverage(self) -> float | None: ...
    @property
    def unit(self) -> str: ...


def number(value: float | int | None, *, width: float | None = None, decimals: int | None = None) -> str:
    """A number rounded for display: to its interval's width, to so many decimals, or to three significant digits.

    The interval's width keeps one digit, two where the first is under 5.

    >>> number(6.1234, width=0.7), number(6.1234, width=0.24), number(6.1234), number(212), number(None)
    ('6.1', '6.12', '6.12', '212', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if isinstance(value, int):
        return _grouped(f"{value}")
    if decimals is not None:
        return _grouped(f"{round(value, decimals) + 0.0:.{decimals}f}")  # + 0.0: no minus before a zero
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3) and (width is None or width < abs(value) * 10):
        return _scientific(value, width)
    return number(value, decimals=decimals_for(value, width))


def decimals_for(value: float, width: float | None = None) -> int:
    """Decimals that show a value to three significant digits, or to its interval's width."""
    if width:
        power = math.floor(math.log10(width))
        return max(0, (1 if width < 5 * 10.0**power else 0) - power)
    if not value:
        return 0
    return max(0, 2 - math.floor(math.log10(abs(value))))


def _scientific(value: float, width: float | None) -> str:
    power = math.floor(math.log10(abs(value)))
    digits = decimals_for(value / 10**power, width / 10**power if width else None)
    return f"{_minus(f'{value / 10**power:.{digits}f}')}{THIN}×{THIN}10{_superscript(power)}"


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _minus(digits: str) -> str:
    return digits.replace("-", "−")


def _grouped(digits: str) -> str:
    """Thousands set apart from five digits on, so that 2048 stays as microscopes print it."""
    whole, dot, rest = digits.partition(".")
    sign, whole = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{f'{int(whole):,}'.replace(',', THIN) if len(whole) > 4 else whole}{dot}{rest}"


def span(low: float | None, high: float | None, coverage: float | None) -> str:
    """The ends of an interval with its coverage: "5.8–6.5, 90 %"; empty where there is none."""
    if low is None or high is None:
        return ""
    width = high - low or None
    ends = [number(float(end), width=width) for end in (low, high)]
    dash = " to " if ends[0].startswith("−") or "×" in "".join(ends) else "–"
    return dash.join(ends) + (f", {percent(coverage)}" if coverage is not None else "")


def shown(quantity: Ranged) -> str:
    """The value alone, rounded to its interval; a text stays as it is."""
    value, low, high = quantity.value, quantity.low, quantity.high
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, int) or low is None or high is None:
        return number(value)
    return number(value, width=(high - low) or None)


def with_interval(quantity: Ranged) -> str:
    """Value, unit and interval in words: "6.1 nm (5.8–6.5, 90 %)"."""
    ends = span(quantity.low, quantity.high, quantity.coverage)
    unit = f" {quantity.unit}" if quantity.unit and quantity.value is not None else ""
    return f"{shown(quantity)}{unit}" + (f" ({ends})" if ends and quantity.value is not None else "")


def percent(share: float) -> str:
    """A share of 1 as percent.

    >>> percent(0.9), percent(0.042), percent(0.0004)
    ('90 %', '4.2 %', '0.04 %')
    """
    return f"{100 * share:.{3 if share >= 0.995 else 2}g} %"


def p_value(p: float | None) -> str:
    """A p-value, never as a bare zero.

    >>> p_value(0.0421), p_value(2e-7), p_value(None)
    ('0.042', '< 0.001', '–')
    """
    if p is None:
        return DASH
    if p < 0.001:
        return "< 0.001"
    return f"{p:.2g}" if p < 0.995 else "1.0"


def plural(noun: str) -> str:
    """More than one of it.

    >>> plural("cavity"), plural("pore"), plural("bubbles"), plural("mass")
    ('cavities', 'pores', 'bubbles', 'masses')
    """
    if noun.endswith("ss"):
        return noun + "es"
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def counted(n: int, noun: str) -> str:
    """How many, in words.

    >>> counted(1, "cavity"), counted(212, "cavity"), counted(0, "object")
    ('1 cavity', '212 cavities', 'no objects')
    """
    return f"{number(n) if n else 'no'} {noun if n == 1 else plural(noun)}"


def sentence(words: str) -> str:
    """The words with a capital first letter, the others as they are."""
    return words[:1].upper() + words[1:]


def label_and_unit(column: str) -> tuple[str, str]:
    """A column's name in words, and its unit.

    >>> label_and_unit("feret_max_nm"), label_and_unit("density_per_um2"), label_and_unit("circularity")
    (('Feret max', 'nm'), ('Density', 'µm⁻²'), ('Circularity', ''))
    """
    ending = next((e for e in sorted(UNITS, key=len, reverse=True) if column.endswith(e)), "")
    words = column.removesuffix(ending).replace("_", " ").strip()
    return sentence(words), UNITS.get(ending, "")
