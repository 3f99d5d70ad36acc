"""Questions and answers on simulated scenes, exactly true: to learn from, and to test whether a model looks.

What is drawn (kind, number, size, share) varies far more than in one laboratory, and most questions do not name it,
so that the answer to one image is wrong for another. Phrases vary with the seed. Numbers in an answer are rounded to
two digits, counts are exact; `Pair.exact` holds them unrounded:

=========================  ==========================================================================
count                      objects of at least 9 px
number_density_per_um2     count over the area of the field [1/µm²]
area_percent               of the field that the class looked for covers [%]
dark_percent               of the field that the darker of the two classes covers [%]; bright_percent the other
mean_diameter_nm           equivalent diameter, mean over objects wholly in the field [nm]
smallest_diameter_nm       the smallest of those [nm]
largest_diameter_nm        the largest of those [nm]
aspect_ratio               median over those
longest_extent_nm          largest calliper of all objects [nm]
=========================  ==========================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from epistem.ask.records import Figure, Pair, Paper, identity
from epistem.ask.scene_facts import Facts, scene_facts
from epistem.ask.scene_sayings import Saying, scene_caption, scene_sayings
from epistem.ask.unanswerable import unanswerable_pairs
from epistem.core.micrograph import Micrograph
from epistem.synth.scenes import SCENES, draw_scene

Range = tuple[float, float]
# Wider than what suits each kind best: a field of 224 px then holds from one object to some hundred.
SIZES_PX: dict[str, Range] = {
    "grains": (16, 75),
    "pores": (7, 45),
    "cracks": (2, 7),
    "spherulites": (30, 110),
    "particles": (9, 48),
    "meltpools": (45, 120),
}
SHARES: dict[str, Range] = {"pores": (0.01, 0.35), "cracks": (0.006, 0.09), "particles": (0.03, 0.5)}


class Described(NamedTuple):
    """A simulated image with its record (caption in it), its questions and answers, and what is true of it."""

    micrograph: Micrograph
    figure: Figure
    pairs: list[Pair]
    facts: Facts


def scene_pairs(
    kind: str,
    seed: int,
    *,
    shape: tuple[int, int] = (224, 224),
    look: str = "sem",
    strength: float | None = None,
    unanswerable: int = 1,
) -> tuple[Micrograph, list[Pair]]:
    """A simulated image of this kind and all that can be asked of it, see `described_scene`."""
    found = described_scene(kind, seed, shape=shape, look=look, strength=strength, unanswerable=unanswerable)
    return found.micrograph, found.pairs


def described_scene(
    kind: str,
    seed: int,
    *,
    shape: tuple[int, int] = (224, 224),
    look: str = "sem",
    strength: float | None = None,
    unanswerable: int = 1,
) -> Described:
    """A simulated image with record, questions and answers.

    Args:
        kind: in synth.scenes.SCENES.
        seed: of the scene and of the phrases.
        shape: rows and columns [px].
        look: in synth.scenes.LOOKS.
        strength: of all that disturbs; None draws it between 0.3 and 1.1.
        unanswerable: questions besides that the image cannot answer.

    Raises:
        UnknownName: no such kind or look.
    """
    rng = np.random.default_rng([seed, *f"ask: {kind}".encode()])
    drawn = float(rng.uniform(0.3, 1.1))
    scene = draw_scene(
        kind,
        seed=seed,
        shape=shape,
        look=look,
        strength=drawn if strength is None else strength,
        size_px=SIZES_PX.get(kind),
        share=SHARES.get(kind),
    )
    facts = scene_facts(kind, scene)
    pixels = scene.micrograph.needs_calibration()
    source = identity("scene", kind, str(seed), look, f"{shape} {strength}")
    figure = Figure(
        id=source,
        paper=Paper(id=f"scene:{source}", title="a simulated scene", licence="GPL-3.0-or-later"),
        figure="1",
        caption=scene_caption(facts, rng),
        technique=scene.micrograph.context.modality,
        technique_from="simulation",
        nm_per_px=pixels.col_nm,
    )
    pairs = [_pair(figure, one) for one in scene_sayings(facts, rng)]
    return Described(scene.micrograph, figure, pairs + unanswerable_pairs(figure, n=unanswerable, rng=rng), facts)


def scene_kinds() -> tuple[str, ...]:
    """The kinds that there are."""
    return tuple(SCENES)


def _pair(figure: Figure, said: Saying) -> Pair:
    return Pair(
        id=identity(figure.id, said.question, said.answer),
        figure=figure.id,
        paper=figure.paper.id,
        question=said.question,
        answer=said.answer,
        category=said.category,
        subcategory=said.subcategory,
        exact={name: float(f"{value:.6g}") for name, value in said.exact.items()},
        maker="scene",
    )
