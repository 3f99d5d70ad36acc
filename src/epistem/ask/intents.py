"""What a question asks for: a number that can be measured, something written in the file, or words.

Rules, so that it can be read why an answer was measured or refused. Where they see nothing, the model answers in
words.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Asked = Literal["count", "density", "fraction", "size", "written", "unseen", "words"]


class Intent(NamedTuple):
    """What is asked for.

    Attributes:
        asked: kind of answer.
        thing: of what, singular, where the question names a thing; None is "features", or all that is found.
        subject: of "written": "voltage", "magnification", "pixel size"…; of "unseen": why no image shows it.
    """

    asked: Asked
    thing: str | None = None
    subject: str | None = None


_THINGS = {
    "cavity": r"cavit(?:y|ies)|voids?|bubbles?", "pore": r"pores?|holes?", "particle": r"particles?|precipitates?",
    "grain": r"grains?", "crack": r"cracks?", "spherulite": r"spherulites?", "melt pool": r"melt ?pools?",
    "loop": r"(?:dislocation )?loops?",
}  # fmt: skip
_COUNT = r"how many|\bcount\b|number of (?!days|hours)|\bhow often does"
_DENSITY = r"number density|areal density|how dense(?:ly)?|per (?:square|µm|um|nm|mm)"
_FRACTION = (
    r"(?:area|areal|surface|volume)(?: |-)?(?:fraction|share)|porosity|how much of (?:the|this) (?:image|area|field|"
    r"surface)|(?:share|fraction|percentage|part|proportion) of (?:the|this) (?:image|area|field|surface)|"
    r"what (?:fraction|share|percentage|proportion)|coverage|\bcover\b"
)
_SIZE = (
    r"(?:mean|average|median|typical|equivalent|largest|smallest|maximum|minimum) (?:size|diameter|width|length)|"
    r"(?:size|diameter) distribution|how (?:large|big|small|wide) (?:are|is) |\bwhat (?:size|diameter)|"
    r"(?:size|diameter)s? of|average size"
)
_WRITTEN = {
    "voltage": r"accelerat\w+ voltage|\bkV\b|\bkeV\b|beam energy|landing energy",
    "magnification": r"magnif",
    "working distance": r"working distance|\bWD\b",
    "pixel size": r"pixel size|scale of (?:the|this) image|nm per pixel|nanomet\w+ per pixel",
    "field of view": r"field of view|how (?:wide|large|broad) is (?:the|this) (?:image|field|picture|area shown)",
    "detector": r"which detector|what detector|detector (?:was|is) used|secondary or back",
    "instrument": r"which (?:micro\w+|instrument)|what (?:micro\w+|instrument) (?:was|is|recorded|took)|"
    r"(?:micro\w+|instrument) model",
    "beam current": r"beam current|probe current|spot size|dwell time|exposure time",
    "date": r"when was (?:the|this) (?:image|picture|micrograph)|(?:date|year|day) (?:of|was)|which year|what year",
}
_UNSEEN = {
    "grey values name no elements and no exact composition; X-ray spectroscopy would": (
        r"chemical (?:element|compos|formula)|which elements|what elements|exact compos|stoichiomet|"
        r"(?:weight|atomic|mole?)[ -]?(?:percent|fraction|%)|\b(?:wt|at|mol)\.? ?%|ppm|dopant concentration|"
        r"which (?:oxide|alloy|polymer|compound|element)|made of which|impurit|how pure|purity|oxidation state"
    ),
    "no picture holds the value of a property; a test of the sample would": (
        r"hardness|modulus|toughness|conductivit|resistivit|tensile|yield strength|fatigue|ductil|melting (?:point|"
        r"temperature)|band ?gap|permittivit|magneti[sz]ation|thermal expansion|viscosit|density in g|"
        r"(?:mass|bulk) density|refractive|transmittance|surface energy|residual stress|adhesion strength|glass "
        r"transition|heat capacity|(?:price|cost)s?\b|\bGPa\b|\bMPa\b|weight of|how heavy|colou?r of the (?:real )?"
        r"(?:sample|material)"
    ),
    "the history of a sample leaves no number in its picture; the records would": (
        r"(?:at )?(?:which|what) temperature|how (?:long|many (?:hours|minutes|days)) (?:was|were|has|have|did)|"
        r"cooling rate|heating rate|(?:anneal|sinter|heat.treat|exposure|etch|deposition|milling|aging|ageing) "
        r"(?:time|temperature|duration|pressure)|who (?:made|prepared|took|recorded|grew|synthesi[sz]ed)|"
        r"which (?:company|laborator|university|supplier|person|operator)|(?:what|which) (?:atmosphere|gas|solvent|"
        r"precursor|supplier|lab\b)|sample (?:name|number|list)|name of (?:this|the) sample|radiation dose|how many "
        r"dpa|batch (?:number|name)|what (?:pressure|load|voltage) was (?:applied|used for (?:pressing|etching))"
    ),
    "one view of one surface has no depth; cross-sections or tomography would": (
        r"below the (?:visible )?surface|beneath the surface|inside the (?:sample|bulk)|how (?:thick|deep)|"
        r"thickness of the (?:sample|foil|film|layer|coating)|three dimensions|three-dimensional|\b3D\b|"
        r"(?:internal|closed|buried) (?:pores|porosity|structure)|other side of|behind the"
    ),
    "one image is one moment; a series over time would": (
        r"how (?:fast|quickly|rapidly)|growth rate|rate of growth|how old|over time|since (?:the|yester|last)|"
        r"(?:will|would) it take|tomorrow|next (?:week|day|year)|how many (?:days|years|cycles)|lifetime|"
        r"before (?:the|it was) (?:heat|load|test|irrad)|velocity|diffusion coefficient|activation energy"
    ),
    "atoms and orientations are below what this picture resolves; diffraction would": (
        r"space group|lattice (?:constant|parameter)|misorientation|crystal(?:lographic)? (?:orientation|structure|"
        r"system|direction)|burgers vector|miller ind|unit cell|which phase (?:diagram|is this in the)|texture "
        r"index|euler angle"
    ),
}


def intent_of(question: str) -> Intent:
    """What a question asks for, by its words.

    >>> intent_of("How many pores are there?")
    Intent(asked='count', thing='pore', subject=None)
    >>> intent_of("What is the hardness in GPa?").asked
    'unseen'
    """
    text = " ".join(question.split())
    thing = next((name for name, words in _THINGS.items() if _in(rf"\b(?:{words})\b", text)), None)
    for subject, words in _WRITTEN.items():
        if _in(words, text):
            return Intent("written", thing, subject)
    for subject, words in _UNSEEN.items():
        if _in(words, text):
            return Intent("unseen", thing, subject)
    kinds: tuple[tuple[Asked, str], ...] = (
        ("density", _DENSITY), ("fraction", _FRACTION), ("count", _COUNT), ("size", _SIZE),
    )  # fmt: skip
    for asked, words in kinds:
        if _in(words, text):
            return Intent(asked, thing)
    return Intent("words", thing)


def _in(words: str, text: str) -> bool:
    return re.search(words, text, re.IGNORECASE) is not None
