"""Words of micrographs: which mean the same, which the opposite, which name a defect, deny or hedge."""

from __future__ import annotations

import re
from functools import cache

_FUNCTION = """
a an the this that these those it its they their them he she we our us i you your is are was were be been being am
do does did done has have had having can could may might must shall should will would of in on at to for from by
with without within into onto over under between among through during as and or nor but if then than so such because
since while where when which who whom whose what why how not no never none neither very quite rather also both
either each every all any some more most less least much many few other another same own only just too there here
again further once out up down off about above below against per via yes thus hence therefore however although
though whereas yet cannot lack lacks lacking absence absent devoid free whether isn aren wasn weren doesn don didn
hasn haven likely probably possibly perhaps maybe potentially seem seems suggest suggests suggesting presumably
presence detected found identified noticeable evidence sign signs trace traces instead fail fails approximately
roughly additionally following nearly almost mostly mainly nm µm um mm cm micron microns nanometre nanometres
micrometre micrometres millimetre millimetres sec second seconds min minute minutes hr hour hours day days week
weeks celsius kelvin pa kpa mpa gpa bar kv ev kev mn kn mg kg percent wt at vol mol ppm rpm px pixel pixels degree
degrees two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred itself
themselves one ones based due well along across around after before still
"""
# Talk about the picture, not about what is in it.
_TALK = """
image picture micrograph photograph figure photo view field show shown display depict illustrate present visible see
seen observe observed appear appearance look evident apparent note example typical clear clearly feature describe
description identify question answer provide indicate reveal exhibit contain include consist give scan electron
microscope microscopy sem tem optical give make use take state overall interesting generally various several lie
locate occur measure corresponding
"""
_COMMON = """
sample specimen material structure microstructure surface region area part form formation phase process property
high low large small size different result type kind nature alloy particle grain composition temperature boundary
component detail system number scale bar wide width size diameter length long mean average area height extension
range increase decrease change condition section matrix distribution
"""
_SAME = """
crack fissure microcrack
fracture break rupture breakage broken
pore void cavity hole porosity porous
bubble blister
inclusion impurity contaminant
grain crystallite
spherical round rounded globular spheroidal sphere spheroid
lamellar lamella lamellae
dendrite dendritic
homogeneous uniform uniformly homogeneously even evenly
heterogeneous inhomogeneous nonuniform
dark black darker
bright white light brighter
big large larger
small fine tiny smaller
fibre fiber fibrous
grey gray
aluminium aluminum
sulphur sulfur
colour color
anneal annealed annealing
sinter sintered sintering
amorphous glassy noncrystalline
crystalline crystallised crystallized
elongated acicular needle
thickness thick
defect flaw anomaly imperfection irregularity abnormality
delamination debonding detachment
agglomerate cluster aggregate clump
brittle brittleness
ductile ductility
strength strong
rough roughness rugged
smooth smoothness
"""
_OPPOSITE = """
smooth rough
dense porous
homogeneous heterogeneous
brittle ductile
large small
coarse fine
amorphous crystalline
dark bright
thick thin
high low
higher lower
increase decrease
regular irregular
spherical angular
spherical elongated
isotropic anisotropic
transgranular intergranular
hypoeutectic hypereutectic
equiaxed columnar
order disorder
hard soft
strong weak
fast slow
rapid slow
open closed
single multiple
wide narrow
long short
continuous discontinuous
parallel perpendicular
aligned random
connected isolated
sharp blunt
flat curved
convex concave
stable unstable
soluble insoluble
many few
magnetic nonmagnetic
positive negative
internal external
early late
hot cold
"""
_DEFECTS = """
defect fracture crack pore bubble delamination inclusion scratch pit dislocation damage failure cleavage chip spall
spallation corrosion crater tear burr distortion hackle shrinkage segregation fault vacancy craze crazing weld notch
wear erosion deformation buckling misorientation collapse degradation breakdown
"""
_ANY_DEFECT = "defect damage failure"

_IRREGULAR = {
    "grew": "grow", "grown": "grow", "axes": "axis", "matrices": "matrix", "broke": "break", "tore": "tear",
    "torn": "tear", "lamellae": "lamella", "nuclei": "nucleus", "dendritic": "dendrite", "cavities": "cavity",
    "spalled": "spall", "indices": "index", "vertices": "vertex", "bigger": "big", "cracking": "crack",
    "cracked": "crack", "porosities": "porosity", "phases": "phase", "bases": "base", "defective": "defect",
    "flawed": "flaw", "defects": "defect",
}  # fmt: skip
_ENDINGS = (
    ("sses", "ss"), ("ies", "y"), ("ied", "y"), ("isations", "is"), ("izations", "is"), ("isation", "is"),
    ("ization", "is"), ("ations", "at"), ("ation", "at"), ("ising", "is"), ("izing", "is"), ("ised", "is"),
    ("ized", "is"), ("ically", "ic"), ("ingly", ""), ("edly", ""), ("ness", ""), ("ments", "ment"), ("ings", ""),
    ("ing", ""), ("ed", ""), ("ly", ""), ("s", ""),
)  # fmt: skip
_VOWEL = re.compile("[aeiouy]")


def stem(word: str) -> str:
    """A word without its ending: "cracks", "cracked" and "cracking" are one.

    >>> stem("cracks"), stem("annealed"), stem("glass"), stem("quenching")
    ('crack', 'anneal', 'glass', 'quench')
    """
    base = _IRREGULAR.get(word, word)
    if len(base) > 3 and not base.endswith(("ss", "us", "is")):
        for ending, instead in _ENDINGS:
            rest = base.removesuffix(ending)
            if rest != base and len(rest) >= 2 and _VOWEL.search(rest):
                base = rest + instead
                break
    if len(base) > 4 and base[-1] == base[-2] and base[-1] not in "slz":
        base = base[:-1]
    return base[:-1] if len(base) > 3 and base.endswith("e") else base


def _groups(text: str) -> list[list[str]]:
    return [[stem(word) for word in line.split()] for line in text.strip().splitlines()]


_CANONICAL = {word: group[0] for group in _groups(_SAME) for word in group}


@cache
def lemma(word: str) -> str:
    """What a word is counted as: its stem, or the first of those that mean the same.

    >>> lemma("voids"), lemma("porosity"), lemma("Fissures")
    ('pore', 'pore', 'crack')
    """
    base = stem(word.lower())
    found = _CANONICAL.get(base, base)
    return "pore" if found == "por" else found


FUNCTION = frozenset(_FUNCTION.split())
TALK = frozenset(lemma(word) for word in _TALK.split())
COMMON = frozenset(lemma(word) for word in _COMMON.split())
DEFECTS = frozenset(lemma(word) for word in _DEFECTS.split())
ANY_DEFECT = frozenset(lemma(word) for word in _ANY_DEFECT.split())
OPPOSITES: dict[str, frozenset[str]] = {}
for _one, _other in _groups(_OPPOSITE):
    _a, _b = lemma(_one), lemma(_other)
    OPPOSITES[_a] = OPPOSITES.get(_a, frozenset()) | {_b}
    OPPOSITES[_b] = OPPOSITES.get(_b, frozenset()) | {_a}

DENY = re.compile(
    r"\b(no|not|never|none|neither|nor|without|cannot|lacks?|lacking|absence of|lack of|devoid of|free (?:of|from)"
    r"|rather than|instead of|fails? to|\w+n't)\b(?! only\b| just\b)"
)
DENY_BEFORE = re.compile(
    r"\b(?:(?:is|are|was|were|be|been|do|does|did|can|could|has|have)\s*(?:not|never|n't)|cannot|\w+n't)\s+"
    r"(?:\w+\s+){0,2}?(?:visible|seen|observed|present|detected|found|evident|apparent|exist|there|noticeable|occur\w*"
    r"|appear|identified|discernible)\b|\b(?:is|are|was|were|be)\s+(?:\w+ly\s+)?(?:absent|lacking|missing)\b"
)
HEDGE = re.compile(
    r"\b(may|might|possibl[ey]|perhaps|probabl[ey]|potential(?:ly)?|likely|seems?|appears? to|suggest(?:s|ing)?"
    r"|could(?! (?:also |clearly |easily )?be (?:seen|observed|identified|found))|presumabl[ey]|suspected|maybe"
    r"|hints? (?:at|of)|suspicion|cannot be (?:ruled out|excluded)|conceivabl[ey]|unclear whether"
    r"|not (?:certain|sure|clear))\b"
)
# "Fracture surface" names a place, and no defect on it.
ADJUNCT = re.compile(r"\bfracture (?=(?:surface|toughness|strength|stress|energy|mechanic)s?\b)")
PLACE = re.compile(r"\b(?:on|in|at|along|between|within|near|around|inside|across|after|during|into|under|over)\b")
EXISTS = re.compile(r"\W+(?:\w+\W+){0,2}?(?:present|visible|exist\w*|there|seen|occur\w*|found)\b")
ABSTAIN = re.compile(
    r"(?:cannot|can not|can't|could not|not possible to|impossible to|unable to|difficult to|hard to)\s+"
    r"(?:\w+\s+){0,3}?(?:determine|tell|say|infer|assess|conclude|judge|know|answer|be determined|be told|be inferred"
    r"|be said|be assessed|be identified from|be read from|be answered)\b"
    r"|(?:more|further|additional) (?:information|context|detail|data)s? (?:\w+ )?(?:is|are|would be|needed|required"
    r"|necessary)|(?:need|require)s? (?:\w+ )?(?:more|further|additional) (?:information|context|data|details)"
    r"|(?:insufficient|not enough) (?:information|data|context)"
    r"|(?:image|micrograph|picture)(?: alone)? (?:does|do) not (?:tell|say|allow|reveal whether|provide enough)"
    r"|i do not know|not determinable|is not known from"
)
VERB = re.compile(
    r"\b(is|are|was|were|has|have|had|shows?|contains?|exhibits?|appears?|can|consists?|displays?|reveals?|forms?|grows?"
    r"|indicates?|includes?|occurs?|exists?|remains?|lies?|surrounds?|gives?|there)\b"
)
