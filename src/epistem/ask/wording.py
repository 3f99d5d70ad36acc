"""Abbreviations, formulas and names of samples in a text, and what a text says they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
Pt Au Hg Tl Pb Bi Po At Rn Th Pa U Np Pu Am
"""
_MOLECULES = "H2 O2 O3 N2 F2 Cl2 Br2 I2 P4 S8 C60"
# Written in capitals, and no abbreviation that a reader has to know.
_FREE = "II III IV VI VII VIII IX XI XII OH CO NO HF BN USA UK AC DC"
ELEMENTS = frozenset(_ELEMENTS.split())
MOLECULES = frozenset(_MOLECULES.split())
FREE = frozenset(_FREE.split())
COMMON: dict[str, str] = {
    "SEM": "scanning electron microscopy",
    "FESEM": "field emission scanning electron microscopy",
    "FE-SEM": "field emission scanning electron microscopy",
    "TEM": "transmission electron microscopy",
    "EDS": "energy-dispersive X-ray spectroscopy",
    "EDX": "energy-dispersive X-ray spectroscopy",
    "XRD": "X-ray diffraction",
    "BSE": "backscattered electron",
    "SE": "secondary electron",
    "FTIR": "Fourier-transform infrared spectroscopy",
    "XPS": "X-ray photoelectron spectroscopy",
    "DSC": "differential scanning calorimetry",
    "AFM": "atomic force microscopy",
    "SBF": "simulated body fluid",
    "HA": "hydroxyapatite",
    "EBSD": "electron backscatter diffraction",
}
_CAPITALS = re.compile(r"\b(?:[A-Z]{1,3}-)?[A-Z]{2,}s?\d*\b")
_PARTS = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_SAMPLE = re.compile(r"\b[A-Z]{1,3}[a-z]?-?\d{1,3}[A-Za-z]?\b(?![-+−–⁺]|\d)")
_CALLED = re.compile(
    r"\b(?:samples?|specimens?|glass(?:es)?|compositions?|batch(?:es)?|series|coatings?|alloys?)\s+"
    r"([A-Z](?:-?\d{1,3})?|#?\d{1,2})\b(?!\s*(?:%|nm|µm|mm|°|wt|mol|at|h\b|days))"
)
_BRACKET = re.compile(r"\(([A-Z][A-Za-z-]{1,9})\)")


def formula(word: str) -> bool:
    """Whether a word can be a chemical formula: elements only, and no bare element with a number behind it.

    >>> formula("SiO2"), formula("S1"), formula("XRD"), formula("O2")
    (True, False, False, True)
    """
    parts = _PARTS.findall(word)
    if "".join(name + count for name, count in parts) != word or not all(name in ELEMENTS for name, _ in parts):
        return False
    if len(parts) == 1:
        return word in MOLECULES or not parts[0][1]
    return any(count for _, count in parts) or any(len(name) == 2 for name, _ in parts)


def abbreviations(text: str) -> list[str]:
    """Words of capitals that a reader would have to know, each once.

    >>> abbreviations("SEM of SiO2 at 5 MPa and NaCl, with EDS maps")
    ['SEM', 'EDS']
    """
    found = (one.group() for one in _CAPITALS.finditer(text))
    return list(dict.fromkeys(word for word in found if word not in FREE and not formula(word)))


def sample_names(text: str) -> list[str]:
    """Names that only one paper gives its samples, each once.

    >>> sample_names("S1 and glass B hold 45 % SiO2 and Ca2+ at 20 °C")
    ['S1', 'B']
    """
    found = [one.group() for one in _SAMPLE.finditer(text) if not formula(one.group()) and one.group() not in FREE]
    return list(dict.fromkeys([*found, *(one[1] for one in _CALLED.finditer(text) if not formula(one[1] + "x"))]))


def long_forms(text: str) -> dict[str, str]:
    """What each abbreviation in brackets stands for, where the words before it begin with its letters.

    >>> long_forms("soaked in simulated body fluid (SBF)")
    {'SBF': 'simulated body fluid'}
    """
    found = {}
    for one in _BRACKET.finditer(text):
        letters = [sign for sign in one[1].removesuffix("s") if sign.isupper()]
        words = re.findall(r"[A-Za-z]+", text[max(0, one.start() - 120) : one.start()])[-len(letters) :]
        if len(letters) >= 2 and [word[0].upper() for word in words] == letters:
            begin = text.rfind(words[0], 0, one.start())
            found[one[1]] = " ".join(text[begin : one.start()].split())
    return found


def expanded(text: str, known: dict[str, str]) -> str:
    """The text with each known abbreviation written out, and without the brackets that introduce one.

    >>> expanded("Simulated body fluid (SBF) was used; SBF is salty.", {"SBF": "simulated body fluid"})
    'Simulated body fluid was used; simulated body fluid is salty.'
    """
    for short, long in known.items():
        text = re.sub(rf"\s*\({re.escape(short)}s?\)", "", text)
        text = re.sub(rf"(?<![\w-]){re.escape(short)}(?![\w-])", long, text)
    return text


def common_subsequence_f1(first: Sequence[str], second: Sequence[str]) -> float:
    """F1 of the longest common subsequence of two lists of words, 0 to 1; 0 where one is empty."""
    if not first or not second:
        return 0.0
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for j, other in enumerate(second, 1):
            before, row[j] = row[j], before + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(first) + len(second))
