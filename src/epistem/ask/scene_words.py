"""The words in which simulated scenes are spoken of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epistem.ask.records import ContextType


class Kind(NamedTuple):
    """How a kind of scene is called.

    Attributes:
        one, many: of its objects.
        surface: what the image shows.
        class_many: of the class whose share is told: the objects, or the lines between them.
        rest: all but that class.
        told_by: sentence on how they are recognised.
    """

    one: str
    many: str
    surface: str
    class_many: str
    rest: str
    told_by: str


KINDS: dict[str, Kind] = {
    "grains": Kind(
        "grain", "grains", "a polycrystalline structure of closely packed grains", "grain boundaries", "grains",
        "Thin boundaries separate them.",
    ),
    "pores": Kind(
        "pore", "pores", "a porous material with rounded holes in a continuous matrix", "pores", "matrix regions",
        "Their outlines are closed and rounded.",
    ),
    "cracks": Kind(
        "crack", "cracks", "a fractured surface with kinked, narrow cracks", "cracks", "matrix regions",
        "They are narrow, kinked lines that taper and branch.",
    ),
    "spherulites": Kind(
        "spherulite", "spherulites", "a spherulitic structure of radial lamellae", "impingement lines", "spherulites",
        "Fine lamellae radiate from their centres until neighbours meet.",
    ),
    "particles": Kind(
        "particle", "particles", "rounded particles on a flat substrate", "particles", "substrate regions",
        "They stand out from the substrate, and many touch each other.",
    ),
    "meltpools": Kind(
        "melt pool", "melt pools", "a section across overlapping melt pools", "melt pool boundaries", "melt pools",
        "Curved boundaries like fish scales separate them.",
    ),
}  # fmt: skip

FROM: dict[str, str] = {
    "grains": "Such a structure forms when crystals grow until they meet, as in casting, annealing or sintering, and "
    "grooves at the boundaries come from thermal or chemical etching.",
    "pores": "Such pores remain from trapped gas or from incomplete densification.",
    "cracks": "Such cracks open when stresses exceed the strength, as in loading, drying or fast cooling.",
    "spherulites": "Spherulites grow radially from nuclei in a cooling melt or a crystallising glass or polymer.",
    "particles": "Such particles are deposited on a substrate from a suspension, a vapour or as a powder.",
    "meltpools": "Melt pools are left by a laser or electron beam that melts track after track, as in additive "
    "manufacturing.",
}
AFTERWARDS: dict[str, str] = {
    "grains": "The grain boundaries hinder dislocations, so finer grains usually make a metal stronger.",
    "pores": "Pores reduce the load-bearing section and concentrate stress, so strength usually falls as they grow.",
    "cracks": "Stress concentrates at the crack tips, so failure would most likely start from the longest crack.",
    "spherulites": "The lines where spherulites meet are weak points, so fracture often follows them.",
    "particles": "Loosely attached particles carry hardly any load, so the substrate decides the strength.",
    "meltpools": "Melt pool boundaries are places where properties change, so cracks often follow them.",
}

# What a laboratory may know besides the image: of several kinds each, so that it does not name the kind.
MATERIALS: dict[str, tuple[str, ...]] = {
    "grains": ("a metal", "a ceramic", "an alloy"),
    "pores": ("a ceramic", "a metal", "a glass"),
    "cracks": ("a glass", "a ceramic", "an alloy"),
    "spherulites": ("a polymer", "a glass ceramic"),
    "particles": ("an oxide", "a metal", "a polymer"),
    "meltpools": ("a metal", "an alloy"),
}
PROCESSED: dict[str, tuple[str, ...]] = {
    "grains": ("annealed for two hours", "hot pressed", "etched"),
    "pores": ("hot pressed", "sintered at low pressure", "dried slowly"),
    "cracks": ("quenched", "dried in air", "loaded in bending"),
    "spherulites": ("cooled slowly", "annealed for two hours"),
    "particles": ("dried in air", "washed with ethanol"),
    "meltpools": ("built in layers", "etched", "polished"),
}
PROPERTIES: dict[str, tuple[str, ...]] = {
    "grains": ("ductile", "hard"),
    "pores": ("light", "brittle"),
    "cracks": ("brittle", "hard"),
    "spherulites": ("tough", "translucent"),
    "particles": ("insulating", "conductive"),
    "meltpools": ("ductile", "hard"),
}


TECHNIQUES: dict[str, str] = {
    "SEM": "scanning electron microscopy",
    "TEM": "transmission electron microscopy",
    "AFM": "atomic force microscopy",
    "XCT": "X-ray computed tomography",
    "Optical": "light microscopy",
}
# What captions of such images begin with.
CALLED: dict[str, tuple[str, str]] = {
    "SEM": ("Electron micrograph of {}", "SEM image: {}"),
    "AFM": ("Atomic force micrograph of {}", "AFM image: {}"),
    "XCT": ("Tomographic section of {}", "XCT slice: {}"),
    "Optical": ("Light micrograph of {}", "Optical image: {}"),
}

UNITS: tuple[tuple[str, float], ...] = (("mm", 1e6), ("µm", 1e3), ("nm", 1.0))


def pick(rng: np.random.Generator, *texts: str) -> str:
    """One of the texts."""
    return texts[int(rng.integers(len(texts)))]


def absent(rng: np.random.Generator, kind: str) -> str:
    """Another kind."""
    return str(rng.choice([other for other in KINDS if other != kind]))


def scene_attributes(kind: str, rng: np.random.Generator) -> list[tuple[ContextType, str]]:
    """What may be known of a simulated sample: material, treatment, a property, looks; one sentence each."""
    return [
        ("material_type", f"The material is {pick(rng, *MATERIALS[kind])}."),
        ("processing_conditions", f"The sample was {pick(rng, *PROCESSED[kind])}."),
        ("properties", f"It is known to be {pick(rng, *PROPERTIES[kind])}."),
        ("appearance", "The picture is in shades of grey."),
    ]


def number(value: float) -> str:
    """Two digits, never in powers of ten.

    >>> [number(value) for value in (0.034, 1.26, 12.6, 126.0)]
    ['0.034', '1.3', '13', '130']
    """
    rounded = float(f"{value:.2g}")
    digits = 1 - int(np.floor(np.log10(abs(rounded)))) if rounded else 0
    return f"{rounded:.{max(0, digits)}f}"


def length(value_nm: float) -> str:
    """A length of two digits in the unit that suits it.

    >>> length(2345.0), length(23.0)
    ('2.3 µm', '23 nm')
    """
    unit, size = next((unit, size) for unit, size in UNITS if float(f"{value_nm:.2g}") >= size or size == 1)
    return f"{number(value_nm / size)} {unit}"


def density(per_um2: float) -> str:
    """A number density of two digits in the unit that suits it.

    >>> density(0.5), density(5e-5)
    ('0.50 per µm²', '50 per mm²')
    """
    return f"{number(per_um2)} per µm²" if per_um2 >= 0.01 else f"{number(per_um2 * 1e6)} per mm²"


def plural(count: int, kind: Kind) -> str:
    """The count with its noun.

    >>> plural(1, KINDS["pores"])
    '1 pore'
    """
    return f"{count} {kind.one if count == 1 else kind.many}"


def amount(count: int, kind: Kind) -> str:
    """The count in words.

    >>> amount(50, KINDS["pores"])
    'many pores'
    """
    words = ((1, "a single"), (5, "a few"), (20, "several"), (80, "many"))
    word = next((word for most, word in words if count <= most), "a great many")
    return f"{word} {kind.one if count == 1 else kind.many}"
