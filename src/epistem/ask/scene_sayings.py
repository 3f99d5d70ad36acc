"""What can be said of a simulated scene, as a question and its answer, in phrases that chance varies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from epistem.ask.records import Category, Subcategory
from epistem.ask.scene_facts import Facts
from epistem.ask.scene_words import (
    AFTERWARDS,
    CALLED,
    FROM,
    KINDS,
    TECHNIQUES,
    absent,
    amount,
    density,
    length,
    number,
    pick,
    plural,
)


class Saying(NamedTuple):
    """A question, its answer, and the unrounded numbers in it."""

    category: Category
    question: str
    answer: str
    exact: dict[str, float]
    subcategory: Subcategory = "simple"


def scene_sayings(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    """All questions that these facts answer."""
    return [one for make in _MAKERS for one in make(facts, rng)]


def scene_caption(facts: Facts, rng: np.random.Generator) -> str:
    """One sentence on the whole image."""
    kind = KINDS[facts.kind]
    start = pick(rng, *CALLED.get(facts.technique or "", ()), "{}", "Micrograph showing {}").format(kind.surface)
    rest = pick(
        rng,
        f"with {amount(facts.count, kind)} in the field",
        f"with {plural(facts.count, kind)}",
        f"where {kind.class_many} cover {number(facts.share_percent)} % of the area",
    )
    return f"{start[0].upper()}{start[1:]}, {rest}."


def _general(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    kind = KINDS[facts.kind]
    shown = pick(
        rng,
        "What does this image show?",
        "Describe this micrograph briefly.",
        "What kind of structure is visible here?",
        "What can be seen in this image?",
        "Give a short description of the picture.",
    )
    first = pick(rng, "The image shows {}.", "This is {}.", "{} is visible.", "One sees {}.").format(kind.surface)
    second = pick(
        rng,
        f"There are {plural(facts.count, kind)} in the field.",
        f"It holds {amount(facts.count, kind)}, {facts.count} in all.",
        f"About {number(facts.share_percent)} % of the area is taken by {kind.class_many}.",
    )
    exact = {"area_percent": facts.share_percent} if " % " in second else {"count": float(facts.count)}
    named = pick(
        rng,
        "Which features dominate the image?",
        "What are the main objects in this image called?",
        "Name the features seen here.",
    )
    names = pick(rng, f"They are {kind.many}.", f"The features are {kind.many}.", f"{kind.many.capitalize()}.")
    return [
        Saying("general", shown, f"{first[0].upper()}{first[1:]} {second}", exact),
        Saying("general", named, f"{names} {kind.told_by}", {}),
    ]


def _counts(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    kind = KINDS[facts.kind]
    asked = pick(rng, kind.many, "features", "objects", "features")
    how_many = pick(
        rng,
        f"How many {asked} are visible?",
        f"Count the {asked} in this image.",
        f"What is the number of {asked} in the field?",
        f"How many {asked} does the image contain?",
    )
    counted = pick(
        rng,
        f"There are {plural(facts.count, kind)} in the field.",
        f"The image contains {plural(facts.count, kind)}.",
        f"I count {plural(facts.count, kind)}.",
        f"The field holds {amount(facts.count, kind)}, {facts.count} in all.",
    )
    dense = pick(
        rng,
        f"The field is {length(facts.field_nm)} wide and {length(facts.height_nm)} high. How dense are the features?",
        f"With a field of {length(facts.field_nm)} by {length(facts.height_nm)}, what is the number density here?",
    )
    density_text = (
        f"The {kind.many} have a number density of about {density(facts.density_per_um2)}: "
        f"{plural(facts.count, kind)} lie in the field."
    )
    covers = pick(
        rng,
        f"What area fraction do the {kind.class_many} cover?",
        f"How much of the image is covered by {kind.class_many}?",
        f"Estimate the areal share of the {kind.class_many}.",
    )
    share = f"{number(facts.share_percent)} %"
    covered = pick(
        rng,
        f"The {kind.class_many} cover about {share} of the field.",
        f"About {share} of the area belongs to the {kind.class_many}.",
        f"Their area fraction is about {share}.",
    )
    whole = pick(
        rng,
        "Describe the microstructure with numbers.",
        "Summarise quantitatively what the microstructure looks like.",
        "Analyse how many features there are and how much area they take.",
    )
    both = f"The field shows {kind.surface}. It contains {plural(facts.count, kind)}. {_covering(facts)}"
    count, area = {"count": float(facts.count)}, {"area_percent": facts.share_percent}
    return [
        Saying("microstructure", how_many, counted, count),
        Saying("microstructure", dense, density_text, {"number_density_per_um2": facts.density_per_um2} | count),
        Saying("microstructure", covers, covered, area),
        Saying("microstructure", whole, both, count | area, "complex"),
    ]


def _covering(facts: Facts) -> str:
    kind = KINDS[facts.kind]
    return f"The {kind.class_many} take up about {number(facts.share_percent)} % of the area."


def _where(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    if facts.quarter is None or facts.count < 2:
        return []
    kind = KINDS[facts.kind]
    asked = pick(rng, kind.one, "feature", "object")
    question = pick(rng, f"In which quarter of the image lies the largest {asked}?", f"Where is the largest {asked}?")
    answer = pick(
        rng,
        f"The largest {kind.one} lies in the {facts.quarter} quarter of the image.",
        f"It is in the {facts.quarter} part of the field.",
    )
    return [Saying("morphology", question, answer, {})]


def _shapes(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    if facts.aspect is None:
        return []
    kind = KINDS[facts.kind]
    asked = pick(rng, kind.many, "features", "objects")
    question = pick(
        rng,
        f"Are the {asked} round or elongated?",
        f"What shape do the {asked} have?",
        f"Describe the shape of the {asked}.",
    )
    word = "nearly round" if facts.aspect < 1.2 else "slightly elongated" if facts.aspect < 1.6 else "elongated"
    ratio = f"{facts.aspect:.1f}"
    answer = pick(
        rng,
        f"The {kind.many} are {word}; their typical aspect ratio is about {ratio}.",
        f"They are {word}, with a median aspect ratio of about {ratio}.",
    )
    return [Saying("morphology", question, answer, {"aspect_ratio": facts.aspect})]


def _sizes(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    if facts.mean_nm is None or facts.smallest_nm is None or facts.largest_nm is None or facts.spread is None:
        return _extents(facts, rng)
    kind = KINDS[facts.kind]
    asked, field = pick(rng, kind.many, "features", "objects"), length(facts.field_nm)
    how_large = pick(
        rng,
        f"The field is {field} wide. How large are the {asked} on average?",
        f"What is the mean diameter of the {asked}, if the image is {field} wide?",
        f"The image is {field} across. Estimate the average size of the {asked}.",
    )
    mean = pick(
        rng,
        f"The {kind.many} measure about {length(facts.mean_nm)} on average.",
        f"Their mean equivalent diameter is about {length(facts.mean_nm)}.",
    )
    span = f"{length(facts.smallest_nm)} to {length(facts.largest_nm)}"
    even = "much the same size" if facts.spread < 0.25 else "of moderately varied size" if facts.spread < 0.5 else (
        "of very different sizes"
    )  # fmt: skip
    how_varied = pick(
        rng,
        f"The field is {field} wide. Describe the size distribution of the {asked}.",
        f"How uniform are the {asked} in size, if the image is {field} wide?",
    )
    varied = (
        f"The {kind.many} are {even}. Those that lie wholly in the field measure {span}. "
        f"Their mean equivalent diameter is about {length(facts.mean_nm)}."
    )
    ends = {"smallest_diameter_nm": facts.smallest_nm, "largest_diameter_nm": facts.largest_nm}
    of_mean = {"mean_diameter_nm": facts.mean_nm}
    return [
        Saying("morphology", how_large, mean, of_mean),
        Saying("morphology", how_varied, varied, of_mean | ends, "complex"),
    ]


def _extents(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    """Of objects that mostly end outside the field, as cracks do, only the extent is told."""
    if facts.extent_nm is None:
        return []
    kind, field = KINDS[facts.kind], length(facts.field_nm)
    asked = pick(rng, kind.one, "feature")
    question = pick(
        rng,
        f"The field is {field} wide. How far does the longest {asked} extend?",
        f"How long is the longest {asked} within this field of {field}?",
    )
    answer = pick(
        rng,
        f"The longest {kind.one} extends over about {length(facts.extent_nm)} within the field.",
        f"Within the field it spans about {length(facts.extent_nm)}.",
    )
    return [Saying("morphology", question, answer, {"longest_extent_nm": facts.extent_nm})]


def _phases(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    if facts.dark is None:
        return []
    kind = KINDS[facts.kind]
    tone, other = ("dark", "bright") if facts.dark else ("bright", "dark")
    inside, outside = facts.share_percent, 100 - facts.share_percent
    share, rest = number(inside), f"{outside:.{0 if outside < 98 else 1}f}"
    asked = pick(rng, "dark", "bright")
    question = pick(
        rng,
        f"Which share of the area is {asked}, and what is it?",
        f"How much of the image belongs to the {asked} phase?",
        f"Estimate the area fraction of the {asked} regions.",
    )
    what, its = (kind.class_many, share) if asked == tone else (kind.rest, rest)
    answer = pick(
        rng,
        f"The {asked} regions are the {what}; they take up about {its} % of the area.",
        f"About {its} % of the field is {asked}: this is where the {what} lie.",
    )
    both = pick(
        rng,
        "Describe the bright and the dark phase and their shares.",
        "Which phases can be told apart by contrast, and how much of each is there?",
    )
    told = (
        f"Two regions differ in contrast. The {kind.class_many} are {tone} and cover about {share} % of the field. "
        f"The {kind.rest} appear {other} and make up the remaining {rest} %."
    )
    exact = {f"{tone}_percent": inside, f"{other}_percent": outside}
    return [
        Saying("phase_composition", question, answer, {f"{asked}_percent": exact[f"{asked}_percent"]}),
        Saying("phase_composition", both, told, exact, "complex"),
    ]


def _defects(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    own = facts.kind in ("cracks", "pores")
    wanted = facts.kind if own and rng.random() < 2 / 3 else str(rng.choice(["cracks", "pores"]))
    asked = KINDS[wanted]
    question = pick(
        rng, f"Are there any {asked.many} in this image?", f"Is a {asked.one} visible?", f"Do you see {asked.many}?"
    )
    defects = pick(
        rng, "Is the material free of cracks and pores?", "Which defects are visible?", "Assess the defects."
    )
    kind = KINDS[facts.kind]
    if own:
        found = (
            f"The material has defects: {plural(facts.count, kind)} {'is' if facts.count == 1 else 'are'} visible. "
            f"{_covering(facts)}"
        )
        exact = {"count": float(facts.count), "area_percent": facts.share_percent}
    else:
        found = f"Neither cracks nor pores are visible. The field shows {kind.surface}, with {kind.many} only."
        exact = {}
    pairs = [Saying("defect_fracture", defects, found, exact, "complex")]
    if wanted == facts.kind:
        yes = pick(rng, f"Yes, there {'is' if facts.count == 1 else 'are'} {plural(facts.count, kind)}.",
                   f"Yes. The image shows {plural(facts.count, kind)}.")  # fmt: skip
        return [*pairs, Saying("defect_fracture", question, yes, {"count": float(facts.count)})]
    if own or rng.random() < 0.5:
        no = pick(rng, f"No, there are no {asked.many}. The image shows {kind.many}.",
                  f"No {asked.one} is visible; the features are {kind.many}.")  # fmt: skip
        pairs.append(Saying("defect_fracture", question, no, {}))
    return pairs


def _missing(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    """A question that takes for granted what is not there, now and then."""
    if rng.random() > 0.3:
        return []
    asked, kind = KINDS[absent(rng, facts.kind)], KINDS[facts.kind]
    question = pick(rng, f"How many {asked.many} are visible?", f"Count the {asked.many} in this image.")
    answer = pick(rng, f"There are no {asked.many} here; the image shows {kind.many}.",
                  f"None. This is {kind.surface}, without {asked.many}.")  # fmt: skip
    return [Saying("microstructure", question, answer, {"count": 0.0})]


def _meaning(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    kind = KINDS[facts.kind]
    made = pick(
        rng,
        "By which process does such a structure form?",
        "How may this structure have formed?",
        "What processing leads to a surface like this?",
    )
    ahead = pick(
        rng,
        "What does this structure mean for the strength of the material?",
        "Which feature here would most likely decide how the material fails?",
        "Interpret the structure with regard to mechanical behaviour.",
    )
    exact = {"area_percent": facts.share_percent}
    return [
        Saying("processing_environment", made, f"The image shows {kind.many}. {FROM[facts.kind]}", {}),
        Saying("prediction_interpretation", ahead, f"{_covering(facts)} {AFTERWARDS[facts.kind]}", exact, "complex"),
    ]


def _technique(facts: Facts, rng: np.random.Generator) -> list[Saying]:
    if facts.technique not in TECHNIQUES:
        return []
    question = pick(
        rng,
        "Which technique recorded this image?",
        "With which kind of microscope was this image taken?",
        "How was this image recorded?",
    )
    many = KINDS[facts.kind].many
    answer = pick(
        rng,
        f"It was recorded by {TECHNIQUES[facts.technique]} and shows {many}.",
        f"By {TECHNIQUES[facts.technique]}. The image shows {many}.",
    )
    return [Saying("general", question, answer, {})]


_MAKERS: tuple[Callable[[Facts, np.random.Generator], list[Saying]], ...] = (
    _general, _counts, _missing, _where, _shapes, _sizes, _phases, _defects, _meaning, _technique,
)  # fmt: skip
