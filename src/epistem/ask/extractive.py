"""Questions from a paper's own sentences, without any model: a sentence finds its category, a template asks for it.

What the answers say is what the paper says, sentence by sentence, with references to figures cut out and
abbreviations written out; the evidence is the sentence as printed. Such questions are plainer than a language
model's, and an answer to a simple one is one sentence, where the published rule wants three.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from epistem.ask.checks import Rules
from epistem.ask.mentions import cited, sentences
from epistem.ask.questions import Draft, Written
from epistem.ask.records import CATEGORIES, Category, Figure, Subcategory
from epistem.ask.support import categories_of
from epistem.ask.wording import COMMON, expanded, long_forms

TEMPLATES: dict[tuple[Category, Subcategory], tuple[str, ...]] = {
    ("general", "simple"): (
        "What does this micrograph show?", "Describe briefly what is visible in this image.",
        "What is the main subject of this image?", "Summarise what can be seen here.",
    ),
    ("microstructure", "simple"): (
        "Describe the microstructure with regard to the {topic}.", "What stands out in the structure of the {topic}?",
    ),
    ("microstructure", "complex"): (
        "Analyse the microstructure in detail, in particular the {topic}.",
        "Explain how the microstructure is built up, with regard to the {topic}.",
    ),
    ("morphology", "simple"): (
        "Describe the morphology of the {topic}.", "Which shape, size or surface is found for the {topic}?",
    ),
    ("morphology", "complex"): (
        "Characterise shape, size and surface in detail, in particular those of the {topic}.",
        "Discuss the morphology and what is remarkable about the {topic}.",
    ),
    ("phase_composition", "simple"): (
        "Which phases or components are present with regard to the {topic}?",
        "What is known of the composition of the {topic}?",
    ),
    ("phase_composition", "complex"): (
        "Discuss phases and composition in detail, in particular those of the {topic}.",
        "Explain which phases can be told apart, with regard to the {topic}.",
    ),
    ("defect_fracture", "simple"): (
        "Which defects or signs of fracture are there with regard to the {topic}?",
        "What does the image reveal about damage to the {topic}?",
    ),
    ("defect_fracture", "complex"): (
        "Assess defects and fracture in detail, in particular in relation to the {topic}.",
        "Explain which defects are present and what they say about the {topic}.",
    ),
    ("processing_environment", "simple"): (
        "How did processing or the environment act on the {topic}?",
        "Which treatment stands behind the {topic} seen here?",
    ),
    ("processing_environment", "complex"): (
        "Explain in detail how processing and environment shaped the {topic}.",
        "Discuss the treatment of the material and its effect on the {topic}.",
    ),
    ("prediction_interpretation", "simple"): (
        "What can be concluded about the {topic}?", "How is what is seen of the {topic} to be interpreted?",
    ),
    ("prediction_interpretation", "complex"): (
        "Interpret the observations in detail and say what follows for the {topic}.",
        "Which conclusions follow from the {topic}, and why?",
    ),
}  # fmt: skip
_TOPIC = re.compile(
    r"\b(?:(?:[a-z]+(?:al|ic|ous|ed|ine|ar|y)|glass|oxide|silica|crystal|grain|surface|pore|crack|fracture|fib(?:re|er)|"
    r"particle)\s)?(?:crystals?|crystallites?|grains?|particles?|nanoparticles?|pores?|cracks?|microcracks?|voids?|"
    r"bubbles?|phases?|layers?|coatings?|fib(?:re|er)s?|surfaces?|boundar(?:y|ies)|interfaces?|matrix|precipitates?|"
    r"dendrites?|spherulites?|droplets?|inclusions?|agglomerates?|structures?|films?|glass(?:es)?|oxides?|"
    r"nanotubes?|nanowires?|rods?|needles?|plates?|flakes?|platelets?|wires?|walls?|regions?|areas?|features?|powders?|"
    r"scratch(?:es)?|holes?|cavit(?:y|ies)|porosity|roughness|strength|toughness|hardness|composite|network)\b"
)
_CITED = re.compile(
    r"\s*\[\s*\d+(?:\s*[,–-]\s*\d+)*\s*\]|\s*\((?:see |cf\. )?(?:Figs?\.?|Figures?|Tables?)[^()]*\)", re.I
)
_PANELS = re.compile(r"\s*\([a-h](?:\s*(?:,|and|[-–])\s*[a-h])*\)", re.IGNORECASE)
_OPENING = re.compile(
    r"^(?:(?:As|It)\s(?:is\s|can\sbe\s|was\s)?(?:seen|shown|observed|depicted|illustrated|presented|evident)\s"
    r"(?:in|from|by)\s(?:the\s)?(?:Figs?\.?|Figures?)\s*S?\d+\s*\(?[a-z]?\)?(?:\s*(?:,|and|[-–])\s*\(?[a-h]\b\)?)*,?\s*(?:that\s)?"
    r"|(?:Figs?\.?|Figures?)\s*S?\d+\s*\(?[a-z]?\)?(?:\s*(?:,|and|[-–])\s*\(?[a-h]\b\)?)*\s+(?:clearly\s)?"
    r"(?:shows?|displays?|presents?|depicts?|illustrates?|reveals?|indicates?)\s(?:that\s)?"
    r"|(?:Fig|Figure)\.?\s*S?\d+\s*[.:|]\s*|\(?[a-h]\)\s*)",
    re.IGNORECASE,
)
_LEAST_WORDS = 5
_VISIBLE: tuple[Category, ...] = ("general", "microstructure", "morphology", "defect_fracture")


class _Sentence(NamedTuple):
    printed: str
    answer: str
    found: dict[Category, int]
    best: Category


class Extractive:
    """Writes questions from a figure's own sentences; needs no model and no network."""

    name = "extractive"
    rules = Rules(fewest_sentences=1, fewest_signs=40)

    def __call__(self, figure: Figure, categories: Sequence[Category], n: int) -> Written:
        """All that the sentences give, the best of each category first; n only bounds how many of the best."""
        said = _sentences_of(figure)
        drafts: list[Draft] = []
        for category in categories:
            drafts += _simple(said, category, 3 * n)
            if category != "general":
                drafts += _complex(said, category)
        return Written(drafts, self.name)


def _sentences_of(figure: Figure) -> list[_Sentence]:
    long = COMMON | long_forms(figure.text)
    found: dict[str, _Sentence] = {}
    pieces = (figure.caption_panel or figure.caption, *figure.mentions)
    for printed in (sentence for piece in pieces for sentence in sentences(piece)):
        of = cited(printed)
        # A mention comes with its neighbours, and these may speak of another figure.
        if of and figure.figure.upper() not in of:
            continue
        answer = _told(printed, long)
        if len(answer.split()) >= _LEAST_WORDS:
            words = categories_of(answer)
            # The first sentence of a caption says what is shown. Of equals the later category is the rarer one.
            best: Category = max(words, key=lambda name: (words[name], CATEGORIES.index(name)), default="general")
            found.setdefault(answer.lower(), _Sentence(printed, answer, words, best if found else "general"))
    return list(found.values())


def _told(printed: str, long: dict[str, str]) -> str:
    """The sentence as one would say it before the image: without references, abbreviations written out."""
    text = _OPENING.sub("", _CITED.sub("", " ".join(printed.split())))
    text = " ".join(_PANELS.sub("", expanded(text, long)).split()).strip(" ,;")
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _simple(said: Sequence[_Sentence], category: Category, most: int) -> list[Draft]:
    """Each sentence asked for once, in the category that most of its words belong to."""
    chosen = [one for one in said if one.best == category]
    if category != "general":
        chosen.sort(key=lambda one: -one.found[category])
    return [_draft(category, "simple", [one], i) for i, one in enumerate(chosen[:most])]


def _complex(said: Sequence[_Sentence], category: Category) -> list[Draft]:
    """Three sentences or more of the category, in the order in which the paper has them."""
    chosen = [one for one in said if category in one.found]
    groups = [chosen[i : i + 4] for i in range(0, len(chosen), 4)]
    return [_draft(category, "complex", group, i) for i, group in enumerate(groups) if len(group) >= 3]


def _draft(category: Category, subcategory: Subcategory, chosen: Sequence[_Sentence], number: int) -> Draft:
    asked = TEMPLATES[category, subcategory]
    return Draft(
        question=asked[number % len(asked)].format(topic=_topic(chosen)),
        answer=" ".join(one.answer for one in chosen),
        category=category,
        subcategory=subcategory,
        evidence=[one.printed for one in chosen],
        visual="visible" if category in _VISIBLE else "partly",
    )


def _topic(chosen: Sequence[_Sentence]) -> str:
    """What the sentences speak of: their first thing that a micrograph shows."""
    found = _TOPIC.search(" ".join(one.answer for one in chosen).lower())
    return found[0] if found else "material"
