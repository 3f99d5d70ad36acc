"""Questions that an image cannot answer, and the right answer to them: that it cannot, why, and what could.

A family is left out where the paper's text or the data strip speaks of its subject: then an answer exists.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from epistem.ask.records import Category, Figure, Pair, identity
from epistem.core.errors import UnknownName


@dataclass(frozen=True)
class Family:
    """Questions of one kind.

    Attributes:
        questions: to draw from.
        why: the image cannot tell; the clause after "because".
        instead: what would tell.
        spoken: of a text that may hold the answer.
    """

    category: Category
    questions: tuple[str, ...]
    why: tuple[str, ...]
    instead: tuple[str, ...]
    spoken: re.Pattern[str]


def _spoken(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE)


FAMILIES: dict[str, Family] = {
    "composition": Family(
        "phase_composition",
        (
            "Which chemical elements does this sample consist of?",
            "What is the exact chemical composition of the material?",
            "How many weight percent of silicon does the material contain?",
            "Which oxide are the bright areas made of?",
        ),
        ("grey values do not name elements", "contrast alone does not identify a composition"),
        ("energy-dispersive X-ray spectroscopy would tell", "a chemical analysis is needed"),
        _spoken(r"\bEDX|\bEDS\b|energy.dispersive|compos|wt\.? ?%|mol\.? ?%|at\.? ?%|oxide|\b[A-Z][a-z]?O\d?\b"),
    ),
    "property": Family(
        "prediction_interpretation",
        (
            "What is the hardness of this material in GPa?",
            "How large is the electrical conductivity of the sample?",
            "What fracture toughness does the material have?",
            "What is the elastic modulus of this sample?",
            "What is the thermal conductivity of the material?",
        ),
        ("a picture of the surface holds no value of this property", "no property test is part of an image"),
        ("it has to be measured on the sample itself", "a separate test of the material is needed"),
        _spoken(r"hardness|conductivity|toughness|modulus|strength|GPa|MPa"),
    ),
    "history": Family(
        "processing_environment",
        (
            "At which temperature was the sample heat-treated?",
            "How many hours was the sample annealed?",
            "Which company produced the starting powder?",
            "What was the cooling rate during production?",
            "How long was the sample exposed to humid air?",
        ),
        ("different treatments leave surfaces that look alike", "the conditions of production leave no number in it"),
        ("the record of the experiment would tell", "the processing log is needed"),
        _spoken(r"°C|\bK\b|heat|anneal|sinter|cool|temperature|hours?\b|\bmin\b|expos|humid|suppl"),
    ),
    "instrument": Family(
        "general",
        (
            "Which acceleration voltage was used for this image?",
            "What was the working distance when the image was taken?",
            "Which microscope model recorded this image?",
            "What was the beam current?",
        ),
        ("no data strip is visible", "the settings are not written in the picture"),
        ("the metadata of the original file would tell", "the original data strip is needed"),
        _spoken(r"\bkV\b|working distance|beam current|microscope|\bSEM\b.*\("),
    ),
    "depth": Family(
        "microstructure",
        (
            "How thick is the sample below the visible surface?",
            "What is the volume fraction of closed pores deep inside the sample?",
            "How deep below the surface do these features reach?",
            "How are the features connected in three dimensions?",
        ),
        ("it shows one surface and nothing below it", "a single view has no depth"),
        ("cross-sections or tomography would tell", "a tomogram is needed"),
        _spoken(r"thick|depth|deep|cross.section|tomogra|three.dimension|3D|volume"),
    ),
    "time": Family(
        "prediction_interpretation",
        (
            "How fast did these features grow?",
            "Did the structure change since the day before?",
            "How old is this surface?",
            "How many days will it take until the sample fails?",
        ),
        ("one image is a single moment", "a rate cannot be seen at one point in time"),
        ("a series of images over time would tell", "repeated recordings are needed"),
        _spoken(r"rate|time|days?\b|hours?\b|grow|kinetic|evol|aging|ageing"),
    ),
    "lattice": Family(
        "phase_composition",
        (
            "Which space group does the crystal structure have?",
            "What is the lattice constant of the material?",
            "How large is the misorientation between neighbouring crystals in degrees?",
        ),
        ("the atoms are far below what is resolved", "surface contrast does not measure a crystal lattice"),
        ("diffraction would tell", "X-ray or electron backscatter diffraction is needed"),
        _spoken(r"diffract|XRD|EBSD|lattice|space group|crystal structure|orientation"),
    ),
    "identity": Family(
        "general",
        (
            "Who prepared this sample?",
            "In which laboratory was this image taken?",
            "What is the name of this sample in the sample list?",
            "In which year was this image recorded?",
        ),
        ("people, places and names leave no trace in it", "nothing in the picture says so"),
        ("the laboratory's records would tell", "the sample's documentation is needed"),
        _spoken(r"laborator|universit|prepared by|sample [A-Z]\d|\b(19|20)\d\d\b"),
    ),
    "scale": Family(
        "morphology",
        (
            "What is the diameter of the features in nanometres?",
            "How many micrometres wide is the field of view?",
            "How long is the longest feature in micrometres?",
        ),
        ("its scale is not known", "there is no scale bar and no pixel size"),
        ("the pixel size or a scale bar would tell", "the pixel size is needed"),
        _spoken(r"scale bar|\bnm\b|[µμu]m\b|micromet|nanomet"),
    ),
}  # fmt: skip

OPENINGS = (
    "This cannot be told from the image, because {why}; {instead}.",
    "The image cannot tell: {why}. For this, {instead}.",
    "That cannot be determined from this image. The reason is that {why}; {instead}.",
    "The picture alone cannot answer this, because {why}. Here {instead}.",
)


def unanswerable_pairs(
    figure: Figure, *, n: int, rng: np.random.Generator, families: Collection[str] | None = None
) -> list[Pair]:
    """Up to n questions that neither the image nor its paper's text answers, each of another family while they last.

    Args:
        figure: its text, strip and scale decide which families have no answer.
        families: names of FAMILIES to draw from; None is all.

    Raises:
        UnknownName: no such family.
    """
    unknown = sorted(set(families or ()) - set(FAMILIES))
    if unknown:
        raise UnknownName(f"no family of questions is called {unknown[0]!r}; there is {', '.join(FAMILIES)}")
    wanted = [name for name in FAMILIES if families is None or name in families]
    left = {name: list(FAMILIES[name].questions) for name in wanted if not _answered(name, figure)}
    pairs: list[Pair] = []
    while len(pairs) < n and left:
        for name in rng.permutation(sorted(left)).tolist()[: n - len(pairs)]:
            question = left[name].pop(int(rng.integers(len(left[name]))))
            pairs.append(_pair(figure, name, question, rng))
        left = {name: questions for name, questions in left.items() if questions}
    return pairs


def _answered(name: str, figure: Figure) -> bool:
    """Whether the text, the strip or the record speaks of it."""
    known = {
        "scale": figure.nm_per_px is not None,
        "property": bool(figure.properties),
        "history": bool(figure.processing),
        "composition": bool(figure.material),
        "instrument": bool(figure.strip),
    }
    return known.get(name, False) or FAMILIES[name].spoken.search(figure.text) is not None


def _pair(figure: Figure, name: str, question: str, rng: np.random.Generator) -> Pair:
    family = FAMILIES[name]
    why, instead, opening = (str(rng.choice(texts)) for texts in (family.why, family.instead, OPENINGS))
    answer = opening.format(why=why, instead=instead)
    return Pair(
        id=identity(figure.id, question, answer),
        figure=figure.id,
        paper=figure.paper.id,
        question=question,
        answer=answer,
        category=family.category,
        visual="text_only",
        answerable=False,
        maker=f"unanswerable:{name}",
        split=figure.split,
    )
