"""What a question asks for: a number that can be measured, something written in the file, or words.

Rules, so that it can be read why an answer was measured or refused; the first that holds decides:

==============  ==================================================================================================
visibility      "are … visible?", "does it look …?" ask what a picture shows, whatever the thing is called
number, thing   beats what is written: "how many pores at 15 kV?" does not ask for the voltage
written         the file or its data strip says it
unseen          no image shows it; before numbers, for "how many pores are below the surface?"
words           a reason, a comparison, yes or no: no number is an answer to them
number          only where thing, quantity and filler words are all that is said; what else is said is `left`, because
                a number of everything is the wrong answer to a question on a part
==============  ==================================================================================================

Where no rule holds, the model answers in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

Asked = Literal["count", "density", "fraction", "size", "written", "unseen", "words"]
Statistic = Literal["mean", "median", "largest", "smallest", "sd"]


class Limit(NamedTuple):
    """A diameter that the counted things are compared with.

    Attributes:
        side: which are counted.
        diameter: in `unit`.
        unit: "nm" or "px".
        said: as the question has it.
    """

    side: Literal["above", "below"]
    diameter: float
    unit: Literal["nm", "px"]
    said: str


class Intent(NamedTuple):
    """What is asked for.

    Attributes:
        asked: kind of answer.
        thing: of what, singular, where the question names a thing; None is "features", or all that is found.
        subject: of "written": "voltage", "magnification", "pixel size"…; of "unseen": why no image shows it.
        which: of "size": the statistic that is the value.
        limit: of "count": only those above or below it.
        left: of a number: words of the question that no measurement here takes into account; "" where there are none.
    """

    asked: Asked
    thing: str | None = None
    subject: str | None = None
    which: Statistic = "mean"
    limit: Limit | None = None
    left: str = ""


THINGS = {
    "cavity": r"cavit(?:y|ies)|voids?|bubbles?", "pore": r"pores?|holes?", "particle": r"particles?|precipitates?",
    "grain": r"grains?", "crack": r"cracks?", "spherulite": r"spherulites?", "melt pool": r"melt ?pools?",
    "loop": r"(?:dislocation )?loops?",
}  # fmt: skip

# Far longer than wide: their width is not the diameter of a disc of their area.
_LONG = ("crack", "melt pool")

# What stands between the words of a quantity: "mean pore size". `¤` is the thing, once it is found.
_T = r"(?:¤ )?"
_IMAGE = r"(?:the|this) (?:whole |entire |total )?(?:image|area|field|surface|picture|micrograph)"
_SHARE = r"(?:share|fraction|percentage|part|proportion|percent)\b"
# First those that hold the words of another: "how many per µm²", "what area share".
_QUANTITIES: dict[Asked, str] = {
    "density": (
        rf"(?:number|areal) {_T}density|¤ density|density of (?:the )?(?=¤)|how dense(?:ly)?\b|"
        r"per (?:square |unit )?(?:µm|μm|um|nm|mm|micro\w+|nano\w+|milli\w+|area)(?:\^?2|²)?(?!\w)"
    ),
    "fraction": (
        rf"(?:area|areal|surface|volume)(?: |-){_T}{_SHARE}|¤ {_SHARE}|"
        rf"{_SHARE} of (?:{_IMAGE}(?: area)?|(?=(?:the )?¤))|"
        rf"how much of {_IMAGE}|what {_SHARE}(?: of {_IMAGE})?|(?:surface |areal? )?coverage|\bcover(?:s|ed)?\b"
    ),
    "count": r"how many|\bcount\b|number of (?!days|hours)|\bhow often does",
    "size": (
        r"how (?:large|big|small|wide|thick) (?:are|is)\b|(?<!pixel )(?<!spot )\bsizes?\b|\bdiameters?\b|"
        r"\b(?:mean|average|median|typical|largest|smallest|maximum|minimum) (?:¤ )?(?:width|length|thickness)|"
        r"\b(?:largest|biggest|smallest) ¤"
    ),
}
# What belongs to a quantity and takes nothing away from it.
_BESIDE: dict[Asked, str] = {
    "density": r"how many|number(?: of)?",
    "fraction": r"\b(?:occupied|occupy|taken up|percent|made up)\b|%",
    "count": r"\b(?:occurs?|appears?|number)\b",
    "size": r"\b(?:distribution|range|(?:area|circle)?[ -]?equivalent(?: circular)?)\b|"
    r"\bin (?:nm|µm|μm|um|nano\w+|micro\w+)\b",
}
_STATISTICS: dict[Statistic, str] = {
    "mean": r"mean|average|typical(?:ly)?", "median": r"median", "largest": r"largest|biggest|maximum|maximal|max",
    "smallest": r"smallest|minimum|minimal|min", "sd": r"standard deviation",
}  # fmt: skip
_LIMIT = re.compile(
    r"(?:(?:with|have|having|of) (?:an? )?(?:equivalent )?(?:diameters?|sizes?) )?"
    r"\b(?:(?P<above>larger than|bigger than|greater than|above|over)|(?P<below>smaller than|less than|below|under)) "
    r"(?P<value>\d+(?:\.\d+)?) ?(?P<unit>nm|nanomet\w+|µm|μm|um|micromet\w+|microns?|px|pixels?)(?![\w²^])"
    r"(?: in (?:diameter|size))?",
    re.IGNORECASE,
)
# They choose none of the things and add nothing to what is asked.
_FILLER = re.compile(
    r"an?|the|this|that|these|those|any|all|total|altogether|overall|it|its|they|their|them|there|here|features|objects|"
    r"of|in|on|at|by|from|to|is|are|was|were|be|do|does|can|could|you|we|i|me|us|what|what's|which|please|tell|give|say|"
    r"estimate|determine|measure|calculate|find|found|detected|see|seen|shows?|shown|visible|present|contains?|have|has|"
    r"images?|picture|micrograph|photo|field|approximately|roughly|about",
    re.IGNORECASE,
)
# Said of the picture, not asked: "visible at this magnification", "in the field of view".
_CIRCUMSTANCE = (
    r"\b(?:in|at|on|with|within|under) (?:this|the|the given|such a) (?:magnification|field of view|"
    r"(?:accelerating )?voltage|pixel size|working distance|scale|cross[ -]?section)\b"
)
_YES_OR_NO = r"^(?:please )?(?:is|are|was|were|do|does|did|has|have|can|could|would|will)\b"
_NUMBER_WANTED = (
    r"\bhow (?!does|do\b|did)\w+|\bwhat\b|\bwhich\b|\bcount\b|\bnumber\b|\d|percent|%|"
    r"\b(?:mean|average|median|estimate|measure|determine|calculate|give)\b"
)
_VISIBILITY = (
    r"\b(?:visible|seen?|recogni[sz]\w+|discern\w*|distinguish\w*|apparent|looks?|appears?|shows?|signs? of|"
    r"evidence of)\b"
)
# A reason, a manner, a comparison: the number may be in it, but is not what is asked.
_WORDS = (
    r"^(?:why|how come|how (?:do|does|did|would|uniform\w*|homogen\w+)\b|explain|describe|compare|discuss|"
    r"what (?:do|does|did|would|causes?|caused|explains?)\b|"
    r"which (?!fraction|share|percentage|proportion|area|size|diameter|volume))"
)
_DEPTH = "one view of one surface has no depth; cross-sections or tomography would"
_SECTION = r"cross[ -]?section"
_BAR = "scale bar"
_WRITTEN = {
    _BAR: r"\b(?:scale|micron|measuring)[ -]?(?:bar|marker)s?\b",
    "voltage": r"accelerat\w+ voltage|\bkV\b|\bkeV\b|beam energy|landing energy",
    "magnification": r"magnif",
    "working distance": r"working distance|\bWD\b",
    "pixel size": r"pixel size|scale of (?:the|this) image|what is the scale\b|nm per pixel|nanomet\w+ per pixel",
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
        r"which (?:oxide|alloy|polymer|compound|element)|made of which|(?:which|what) impurit|"
        r"impurity (?:content|conc|level)|how pure|purity|oxidation state"
    ),
    "no picture holds the value of a property; a test of the sample would": (
        r"hardness|modulus|toughness|conductivit|resistivit|tensile|yield strength|fatigue (?:life|limit|strength|"
        r"resist)|ductility|how ductile|melting (?:point|"
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
    _DEPTH: (
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


def thing_called(name: str) -> str | None:
    """The thing that a word means; None where no rule knows it.

    >>> thing_called("Precipitates"), thing_called("gamma_prime")
    ('particle', None)
    """
    said = name.replace("_", " ").strip()
    return next((one for one, words in THINGS.items() if re.fullmatch(words, said, re.IGNORECASE)), None)


def intent_of(question: str, own: Sequence[str] = ()) -> Intent:
    """What a question asks for, by its words.

    Args:
        question: in English.
        own: things that somebody has a tool for, beside those that the rules know.

    >>> intent_of("How many pores are there?")[:2]
    ('count', 'pore')
    >>> intent_of("How many pores are in the largest grain?").left
    'largest grain'
    >>> intent_of("What is the hardness in GPa?").asked
    'unseen'
    """
    text = re.sub(_CIRCUMSTANCE, " ", " ".join(question.split()), flags=re.IGNORECASE)
    yes_or_no = _in(_YES_OR_NO, text) and not _in(_NUMBER_WANTED, text)
    number = None if yes_or_no or _in(_WORDS, text) else _number(text, own)
    thing = number.thing if number else _first_thing(text, own)[0]
    # "Is the crack longer than the scale bar?" asks for no length of the bar.
    bar = thing is None and _in(_WRITTEN[_BAR], text)
    if yes_or_no and _in(_VISIBILITY, text) and not bar:
        return Intent("words", thing)
    for subject, words in _WRITTEN.items():
        if _in(words, text) and not (number and number.thing) and (bar or subject != _BAR):
            return Intent("written", thing, subject)
    for subject, words in _UNSEEN.items():
        if _in(words, text) and not (subject == _DEPTH and _in(_SECTION, question)):
            return Intent("unseen", thing, subject)
    return number or Intent("words", thing)


def _number(text: str, own: Sequence[str]) -> Intent | None:
    """What is to be measured, and what of the question no measurement takes into account."""
    thing, text = _first_thing(re.sub(r"\bporosity\b", "area fraction of pores", text, flags=re.IGNORECASE), own)
    asked = next((asked for asked, words in _QUANTITIES.items() if _in(words, text)), None)
    if asked is None:
        return None
    limit: Limit | None = None
    which: Statistic = "mean"
    if asked == "count":
        limit, text = _limit(text)
    rest = text
    for words in (_QUANTITIES[asked], _BESIDE[asked]):
        rest = re.sub(words, _measures, rest, flags=re.IGNORECASE)
    if asked == "size":
        which, rest = _statistic(rest)
        rest = rest if thing in _LONG else re.sub(r"\b(?:width|wide)\b", " ", rest, flags=re.IGNORECASE)
    return Intent(asked, thing, which=which, limit=limit, left=_left(rest))


def _measures(found: re.Match[str]) -> str:
    """What stays of a quantity: its statistic, and a length that is no diameter."""
    kept = re.findall(
        rf"\b(?:{'|'.join(_STATISTICS.values())}|length|thickness|thick|width|wide)\b", found[0], re.IGNORECASE
    )
    return f" {' '.join(kept)} "


def _first_thing(text: str, own: Sequence[str]) -> tuple[str | None, str]:
    """The thing that is named first, and the text with `¤` in its place; another one says which, and stays."""
    # Own names first, the longest before the others: a "grain boundary" is no grain.
    known = {name: _one_or_more(name) for name in sorted(own, key=len, reverse=True)} | THINGS
    hits = [(found, name) for name, words in known.items()
            if (found := re.search(rf"\b(?:{words})\b", text, re.IGNORECASE))]  # fmt: skip
    if not hits:
        return None, text
    found, thing = min(hits, key=lambda hit: hit[0].start())
    return thing, f"{text[: found.start()]}¤{text[found.end() :]}"


def _one_or_more(name: str) -> str:
    return rf"{re.escape(name[:-1])}(?:y|ies)" if name.endswith("y") else rf"{re.escape(name)}(?:e?s)?"


def _limit(text: str) -> tuple[Limit | None, str]:
    found = _LIMIT.search(text)
    if found is None:
        return None, text
    unit = found["unit"].lower()
    in_px, in_nm = unit.startswith("p"), unit.startswith("n")
    limit = Limit(
        "above" if found["above"] else "below", float(found["value"]) * (1 if in_px or in_nm else 1000),
        "px" if in_px else "nm", f"{found['value']} {found['unit']}",
    )  # fmt: skip
    return limit, f"{text[: found.start()]} {text[found.end() :]}"


def _statistic(text: str) -> tuple[Statistic, str]:
    """The statistic named first; a second one stays, since an answer has one value."""
    named = [(found, name) for name, words in _STATISTICS.items()
             if (found := re.search(rf"\b(?:{words})\b", text, re.IGNORECASE))]  # fmt: skip
    if not named:
        return "mean", text
    found, name = min(named, key=lambda one: one[0].start())
    return name, f"{text[: found.start()]} {text[found.end() :]}"


def _left(text: str) -> str:
    """From the first word that is no filler to the last, as it is written."""
    words = [one for one in re.finditer(r"[^\s?!.,;:¤\"()]+", text) if not _FILLER.fullmatch(one[0])]
    return " ".join(text[words[0].start() : words[-1].end()].replace("¤", " ").split()) if words else ""


def _in(words: str, text: str) -> bool:
    return re.search(words, text, re.IGNORECASE) is not None
