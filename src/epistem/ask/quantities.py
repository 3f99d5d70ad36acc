"""Numbers in a text, with what they count or measure, in one unit for each dimension."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from epistem.ask.vocabulary import FUNCTION, lemma

TOLERANCE = 0.1
"""Relative difference up to which two numbers are called alike."""

# What one of the unit is in the dimension's own unit.
_UNITS: dict[str, tuple[str, float]] = {
    "pm": ("nm", 1e-3), "Å": ("nm", 0.1), "angstrom": ("nm", 0.1), "nm": ("nm", 1), "nanometre": ("nm", 1),
    "µm": ("nm", 1e3), "um": ("nm", 1e3), "micron": ("nm", 1e3), "micrometre": ("nm", 1e3), "mm": ("nm", 1e6),
    "millimetre": ("nm", 1e6), "cm": ("nm", 1e7), "centimetre": ("nm", 1e7), "m": ("nm", 1e9), "metre": ("nm", 1e9),
    "nm2": ("nm2", 1), "µm2": ("nm2", 1e6), "um2": ("nm2", 1e6), "mm2": ("nm2", 1e12), "cm2": ("nm2", 1e14),
    "µm-2": ("nm-2", 1e-6), "nm-2": ("nm-2", 1), "mm-2": ("nm-2", 1e-12),
    "s": ("s", 1), "sec": ("s", 1), "second": ("s", 1), "min": ("s", 60), "minute": ("s", 60), "h": ("s", 3600),
    "hr": ("s", 3600), "hour": ("s", 3600), "day": ("s", 86400), "week": ("s", 604800), "year": ("s", 31557600),
    "°C": ("K", 1), "celsius": ("K", 1), "K": ("K", 1), "kelvin": ("K", 1),
    "Pa": ("Pa", 1), "kPa": ("Pa", 1e3), "MPa": ("Pa", 1e6), "GPa": ("Pa", 1e9), "bar": ("Pa", 1e5),
    "V": ("V", 1), "kV": ("V", 1e3), "eV": ("eV", 1), "keV": ("eV", 1e3), "mN": ("N", 1e-3), "N": ("N", 1),
    "kN": ("N", 1e3), "mg": ("g", 1e-3), "g": ("g", 1), "kg": ("g", 1e3), "%": ("%", 1), "percent": ("%", 1),
    "wt%": ("%", 1), "at%": ("%", 1), "vol%": ("%", 1), "mol%": ("%", 1), "ppm": ("%", 1e-4), "rpm": ("rpm", 1),
    "px": ("px", 1), "pixel": ("px", 1), "°": ("°", 1), "degree": ("°", 1),
}  # fmt: skip
_ZERO_CELSIUS_K = 273.15
_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100,
}  # fmt: skip
_IN_WORDS = re.compile(
    rf"(?i)\b(?:(?:{'|'.join(one for one in _WORDS if one != 'hundred')})\shundred|(?:twenty|thirty|forty|fifty)[\s-]"
    rf"(?:{'|'.join(one for one, value in _WORDS.items() if value < 10)})|{'|'.join(_WORDS)})\b"
)
_NUMBER = r"[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:\s?[×x]\s?10\^?[-−]?\d+|[eE][-+−]?\d+)?"
_SIGNS = {"μ": "µ", "º": "°", "Â": "", "−": "-", "⁻": "-", "²": "2", "³": "3", "¹": "1", "Å": "Å"}
_METER = re.compile(r"(?i)\b(nano|micro|milli|centi|)meter(?=s?\b)")
_LONG = sorted((name for name in _UNITS if len(name) > 3 and "%" not in name), key=len, reverse=True)
_SHORT = sorted((name for name in _UNITS if len(name) <= 3 or "%" in name), key=len, reverse=True)
_UNIT = (
    r"(?:(?:wt|at|vol|mol|weight|atomic|volume)\.?\s?%|(?i:" + "|".join(_LONG) + r")s?\b|(?:"
    + "|".join(re.escape(name) for name in _SHORT) + r")(?![A-Za-z]))"
)  # fmt: skip
QUANTITY = re.compile(
    rf"(?<![\w.])(?P<low>{_NUMBER})(?:\s?(?P<unit0>{_UNIT}))?"
    rf"(?:\s?(?:–|—|-|to|and(?=\s?{_NUMBER}\s?{_UNIT}))\s?(?P<high>{_NUMBER})\b)?(?:\s?±\s?{_NUMBER})?[\s-]?"
    rf"(?P<unit>{_UNIT})?"
)
_NARROW = 0.25
_ENDS = (("low", "unit0"), ("high", "unit"))


class Quantity(NamedTuple):
    """A number, or a range of numbers.

    Attributes:
        low, high: in the dimension's unit; the same for a single number.
        dimension: "nm", "K", "%"…; "count" where there is no unit.
        noun: what it counts: the words after a number without unit.
        start: where it begins in the text.
    """

    low: float
    high: float
    dimension: str
    noun: frozenset[str]
    start: int

    def alike(self, other: Quantity) -> bool:
        """Whether both are the same number of the same thing: a range is alike to its ends and to what fills it."""
        if not self.comparable(other):
            return False
        ours, theirs = (self.low, self.high), (other.low, other.high)
        if self.low == self.high or other.low == other.high:
            middle = abs(sum(ours) - sum(theirs)) / 2 <= _NARROW * self._reach(other) / TOLERANCE
            wide = max(self.high - self.low, other.high - other.low) / 2 > _NARROW * self._reach(other) / TOLERANCE
            ends = any(abs(one - another) <= self._reach(other) for one in ours for another in theirs)
            return ends or (middle and not wide and not self.differs(other))
        return all(abs(one - another) <= self._reach(other) for one, another in zip(ours, theirs, strict=True))

    def differs(self, other: Quantity) -> bool:
        """Whether both speak of the same thing and cannot both be right: ranges that do not meet."""
        reach = self._reach(other)
        return self.comparable(other) and not (self.low - reach <= other.high and other.low - reach <= self.high)

    def _reach(self, other: Quantity) -> float:
        # Relative to absolute zero, 20 °C and 40 °C would be alike.
        zero = _ZERO_CELSIUS_K if self.dimension == "K" else 0.0
        return TOLERANCE * max(abs(self.high - zero), abs(other.high - zero))

    def comparable(self, other: Quantity) -> bool:
        """Whether both are of one dimension, and count the same where they count."""
        if self.dimension == "count" == other.dimension:
            return bool(self.noun & other.noun) or not (self.noun or other.noun)
        return self.dimension == other.dimension


def plain(text: str) -> str:
    """The text with one sign for each meaning: µ, °, -, superscripts as digits.

    >>> plain("5 μm² at 300ºC")
    '5 µm2 at 300°C'
    """
    for sign, instead in _SIGNS.items():
        text = text.replace(sign, instead)
    return _METER.sub(r"\1metre", unicodedata.normalize("NFC", text))


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text, in their order.

    >>> [(q.low, q.dimension) for q in quantities("Three pores of 0.5 µm, held at 100 °C")]
    [(3.0, 'count'), (500.0, 'nm'), (373.15, 'K')]
    """
    said = plain(text)
    found = [number for one in QUANTITY.finditer(said) for number in _numbers(said, one)]
    for one in _IN_WORDS.finditer(said):
        value = _in_words(one[0].lower())
        unit = re.match(rf"\s({_UNIT})", said[one.end() :])
        if unit is not None:
            found.append(_measured(value, value, unit[1], one.start()))
        else:
            found.append(Quantity(value, value, "count", _noun(said[one.end() :]), one.start()))
    return sorted(found, key=lambda one: one.start)


def _in_words(said: str) -> float:
    """'three hundred' → 300, 'twenty-five' → 25."""
    first, *rest = (_WORDS[one] for one in re.split(r"[\s-]", said))
    return float(first * rest[0] if rest == [100] else first + sum(rest))


def _numbers(text: str, one: re.Match[str]) -> list[Quantity]:
    start, nothing = one.start(), frozenset[str]()
    if not one["high"]:
        unit = one["unit"] or one["unit0"]
        low = _value(one["low"])
        return [
            _measured(low, low, unit, start) if unit else Quantity(low, low, "count", _noun(text[one.end() :]), start)
        ]
    if one["unit0"] and one["unit"]:
        first, last = (_measured(_value(one[end]), _value(one[end]), one[of], start) for end, of in _ENDS)
        if first.dimension != last.dimension:
            return [first, last]
        low, high = sorted((first.low, last.low))
        return [Quantity(low, high, first.dimension, nothing, start)]
    low, high = sorted((_value(one["low"]), _value(one["high"])))
    unit = one["unit"] or one["unit0"]
    if unit is None:
        return [Quantity(low, high, "count", _noun(text[one.end() :]), start)]
    return [_measured(low, high, unit, start)]


def _measured(low: float, high: float, unit: str, start: int) -> Quantity:
    dimension, factor = _unit(unit)
    # A bare 25 K and 25 °C differ by where zero is, not by a factor.
    zero = _ZERO_CELSIUS_K if unit in ("°C",) or unit.lower().startswith("celsius") else 0.0
    return Quantity(low * factor + zero, high * factor + zero, dimension, frozenset(), start)


def _unit(written: str) -> tuple[str, float]:
    if written in _UNITS:
        return _UNITS[written]
    if "%" in written:
        return _UNITS["%"]
    low = written.lower()
    return _UNITS[low] if low in _UNITS else _UNITS[low.removesuffix("s")]


def _value(written: str) -> float:
    number = written.replace(",", "").replace("−", "-")
    power = re.search(r"\s?[×x]\s?10\^?(-?\d+)$", number)
    return float(number[: power.start()]) * 10.0 ** int(power[1]) if power else float(number)


def _noun(after: str) -> frozenset[str]:
    """The next words up to a sign or a function word, three at most."""
    words = []
    for word in re.match(r"[\s]*([^.,;:()]*)", after)[1].split()[:4]:  # type: ignore[index]
        bare = word.strip("'\"").lower()
        if not bare.isalpha() or bare in FUNCTION:
            break
        words.append(lemma(bare))
    return frozenset(words)
