"""Which category a sentence or a pair belongs to, by the words that it uses."""

from __future__ import annotations

import re

from epistem.ask.records import CATEGORIES, Category


def _words(*stems: str) -> re.Pattern[str]:
    """Words that begin with one of these; a stem that ends in $ is the whole word."""
    parts = (stem.removesuffix("$") + (r"\b" if stem.endswith("$") else "") for stem in stems)
    return re.compile(r"\b(?:micro|nano|meso|macro|non|un)?-?(?:" + "|".join(parts) + ")", re.IGNORECASE)


SUPPORT: dict[Category, re.Pattern[str]] = {
    "microstructure": _words(
        "microstructur", "nanostructur", "structur", "grain", "crystall", "dendrit", "matri", "homogene",
        "heterogene", "distribut", "dispers", "dens", "network", "layer", "textur", "arrang", "agglomerat",
        "cluster", "interface", "boundar", "spherulit", "precipitat", "number$", "count", "area$", "fraction",
        "packed", "separat",
    ),
    "morphology": _words(
        "morpholog", "shape", "spher", "round", "elongat", "needle", "plate", "rod$", "rods$", "fib", "rough",
        "smooth", "size", "diameter", "length", "width", "thick", "irregular", "angular", "facet", "flake",
        "leaf", "surface topograph", "aspect ratio", "large", "small", "long", "globul", "droplet", "lamell",
        "extend",
    ),
    "phase_composition": _words(
        "phase", "composition", "element", "oxide", "silica", "contain", "rich", "crystal", "amorphous",
        "glassy", "contrast", "bright", "dark", "grey", "gray", "x-ray", "spectroscop", "content", "atomic",
        "apatite", "precipitat", "chemical", "weight percent", "mol$", "mole", "lattice", "space group",
    ),
    "defect_fracture": _words(
        "crack", "fractur", "pore", "poros", "void", "defect", "flaw", "damage", "break", "broken", "bubble",
        "scratch", "delaminat", "fail", "hole", "cavit", "fissur", "debond", "spall", "pit$", "pits$",
        "pitting", "impurit", "inclusion", "dense", "free of",
    ),
    "processing_environment": _words(
        "sinter", "anneal", "heat", "quench", "cool", "melt", "temperature", "treat", "process", "etch",
        "polish", "irradiat", "corro", "immers", "soak", "leach", "humid", "environment", "atmospher", "prepar",
        "synthes", "deposit", "expos", "press", "mill", "solution", "hour", "dried", "drying", "aging",
        "ageing", "laser", "form", "produc", "fired", "firing", "cast", "weather",
    ),
    "prediction_interpretation": _words(
        "suggest", "indicat", "impl", "due to", "because", "attribut", "result", "therefore", "thus", "lead",
        "led$", "caus", "explain", "improv", "enhanc", "reduc", "increas", "decreas", "affect", "influenc",
        "expect", "predict", "likely", "strength", "tough", "hard", "performance", "propert", "mechanis",
        "stronger", "weak", "conductiv", "depend", "modul", "grow", "fast", "days",
    ),
}  # fmt: skip


def supports(category: Category, text: str) -> bool:
    """Whether a text uses a word of the category; every text is general."""
    return category == "general" or SUPPORT[category].search(text) is not None


def categories_of(text: str) -> dict[Category, int]:
    """Different words of each category that a text uses, where it uses any; general is not among them."""
    found = {
        name: len({word.lower() for word in SUPPORT[name].findall(text)}) for name in CATEGORIES if name != "general"
    }
    return {name: count for name, count in found.items() if count}
