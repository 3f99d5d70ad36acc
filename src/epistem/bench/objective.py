"""From a sentence to a profile: modality and classes by lists of words. What is not said, or said twice, stays open.

>>> profile = profile_from_text("Identify grain boundaries and pores in AFM images of a fluoroelastomer")
>>> profile.dataset.modality, [one.name for one in profile.task.classes]
('AFM', ['background', 'grain boundary', 'pore'])
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from epistem.bench.profile import Class, Profile, is_placeholder

# Earlier ones are taken out of the text first: STEM holds TEM in its long form, FIB-SEM holds SEM.
_MODALITIES = {
    "FIB-SEM": r"fib[- ]?sem|focu[s]+ed[- ]ion[- ]beam",
    "STEM": r"(?:haadf|ab?df|hr|4d)?[- ]?stem|haadf|scanning transmission electron",
    "SEM": r"(?:fe|e|hr)?[- ]?sem|scanning electron|back-?scattered? electrons?|secondary electrons?|bse",
    "TEM": r"(?:hr|bf|df|cryo)?[- ]?tem|transmission electron",
    "EBSD": r"ebsd|electron back-?scatter(?:ed)? diffraction",
    "AFM": r"afm|atomic force",
    "STM": r"stm|scanning tunnell?ing",
    "XCT": r"(?:nano|micro|µ|μ|u|x)?[- ]?ct|(?:x-?ray|computed|micro-?|nano-?)[ -]*(?:computed )?tomograph\w*|xct",
    "Optical": r"optical|light microscop\w*|metallograph\w*|bright-?field light|photograph\w*",
}

# Name of the class: its singular and plural forms; longer terms before those they hold.
_CLASSES = {
    "grain boundary": r"grain[- ]boundar(?:y|ies)",
    "phase boundary": r"(?:inter)?phase[- ]boundar(?:y|ies)",
    "twin boundary": r"twin[- ]boundar(?:y|ies)",
    "impingement": r"impingements?(?: sites?)?",
    "dislocation loop": r"dislocation[- ]loops?",
    "dislocation": r"dislocations?",
    "stacking fault": r"stacking[- ]faults?",
    "melt pool": r"melt[- ]?pools?",
    "second phase": r"second(?:ary)?[- ]phases?",
    "intermetallic": r"intermetallics?(?: phases?| particles?)?",
    "nanoparticle": r"nano-?particles?",
    "particle": r"particles?|particulates?",
    "precipitate": r"precipitates?|gamma[- ]prime|γ[′']",
    "inclusion": r"inclusions?",
    "carbide": r"carbides?",
    "corrosion pit": r"corrosion pits?|pits?|pitting(?: corrosion)?",
    "corrosion": r"corrosion(?: products?)?|corroded|rust",
    "crack": r"(?:micro-?)?cracks?|cracking",
    "pore": r"pores?|porosity|porosities",
    "cavity": r"cavit(?:y|ies)",
    "void": r"voids?",
    "bubble": r"bubbles?",
    "oxide": r"oxides?(?: layers?| scales?)?",
    "spherulite": r"spherulites?",
    "crystallite": r"crystallites?",
    "dendrite": r"dendrites?",
    "lamella": r"lamellae?|lamellas",
    "twin": r"twins?",
    "grain": r"grains?",
    "fibre": r"fib(?:er|re)s?",
    "delamination": r"delaminations?",
    "scratch": r"scratch(?:es)?",
    "phase": r"phases?(?![- ](?:contrast|field|shift|image|imaging))",
    "defect": r"defects?",
}
# What follows to the end of the clause is not wanted.
_NOT = re.compile(
    r"\b(?:not|no|without|except|excluding|ignor(?:e|es|ing)|other than|instead of)\b.*?(?=[,.;]|\bbut\b|$)", re.I
)
# "pores in oxide": what comes after is where things are looked for.
_WHERE = re.compile(r"\b(?:in|on|of|within|inside|from|for|at|by|using|with)\b", re.I)


def profile_from_text(text: str, onto: Profile | None = None) -> Profile:
    """A profile with what a sentence says, where it was open before.

    Args:
        text: the objective, as one tells it to a colleague.
        onto: profile to fill in; an empty one where None.

    Returns:
        Objective, modality and classes filled in. With two modalities in the text none is taken. Classes have no mask
        values yet, but where `onto` has as many classes with placeholder names beside the background as the text
        names things, these are they, in the order of the mask values.
    """
    profile = onto or Profile()
    words = " ".join(text.split())
    task, dataset = profile.task, profile.dataset
    modalities = _found(words, _MODALITIES.items())
    if dataset.modality is None and len(modalities) == 1:
        dataset = dataset.model_copy(update={"modality": modalities[0]})
    updates: dict[str, object] = {} if task.objective is not None or not words else {"objective": words}
    if things := _things(words):
        updates |= _classes(profile, things)
    made = profile.model_copy(update={"task": task.model_copy(update=updates), "dataset": dataset})
    return _told_apart(_recounted(made, profile), things)


def _classes(profile: Profile, things: list[str]) -> dict[str, object]:
    there = profile.task.classes
    if not there:
        return {"classes": tuple(Class(name=name) for name in ("background", *things))}
    if len(there) == len(things) + 1 and all(is_placeholder(one.name) for one in there[1:]):
        named = (one.model_copy(update={"name": name}) for one, name in zip(there[1:], things, strict=True))
        return {"classes": (there[0], *named)}
    return {}


def _recounted(made: Profile, before: Profile) -> Profile:
    """The shares of the pixels under the classes' new names."""
    counted = before.dataset.metadata.counted
    if counted is None or len(made.task.classes) != len(before.task.classes):
        return made
    new = {a.name: b.name for a, b in zip(before.task.classes, made.task.classes, strict=True)}
    shares = {new.get(name, name): share for name, share in counted.class_share.items()}
    return _with_metadata(made, counted=counted.model_copy(update={"class_share": shares}))


def _told_apart(made: Profile, things: list[str]) -> Profile:
    """With a note where the text names things, and which class is which is not clear."""
    open_ones = [one.name for one in made.task.classes if is_placeholder(one.name)]
    if not things or not open_ones:
        return made
    note = f"the text names {', '.join(things)}, the masks have {', '.join(open_ones)}: which is which is for you to "
    note += "write in task.classes; values that mark pixels to ignore go to task.ignore_values"
    return _with_metadata(made, notes=(*made.dataset.metadata.notes, note))


def _with_metadata(profile: Profile, **values: object) -> Profile:
    metadata = profile.dataset.metadata.model_copy(update=values)
    return profile.model_copy(update={"dataset": profile.dataset.model_copy(update={"metadata": metadata})})


def _things(text: str) -> list[str]:
    """Classes of each sentence, from the first of its phrases that names one."""
    found: dict[str, None] = {}
    for sentence in re.split(r"[.;]\s", _NOT.sub("", text)):
        phrases = (_found(phrase, _CLASSES.items()) for phrase in _WHERE.split(sentence))
        found |= dict.fromkeys(next(filter(None, phrases), []))
    return list(found)


def _found(text: str, patterns: Iterable[tuple[str, str]]) -> list[str]:
    """Names whose words are in the text, in the order in which they come there."""
    places = {}
    for name, pattern in patterns:
        whole = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)
        if first := whole.search(text):
            places[name] = first.start()
            # Gone, so that the grain of a grain boundary is no second class.
            text = whole.sub(lambda found: " " * len(found[0]), text)
    return sorted(places, key=places.__getitem__)
