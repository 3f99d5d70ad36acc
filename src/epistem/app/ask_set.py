"""What `epistem ask evaluate` asks: figures, their pictures and questions, of a set or of simulated scenes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from epistem.app.ask_folder import FIGURES, PAIRS, records_of, there
from epistem.ask.answer import picture
from epistem.ask.records import Figure, Pair, read_records, write_records
from epistem.core import Calibration, Context, Micrograph, SettingsError
from epistem.core.files import write_text

FIRST_SCENE = 1_000_000
"""Scenes from here on are in no training set."""
LEARNED_SCENES = 240


def chosen_set(
    folder: Path | None, out: Path, scenes: int, questions: int, split: str, seed: int
) -> tuple[dict[str, Figure], list[Pair]]:
    """Figures by id, their pictures in `out`, and the questions; written once, kept from then on.

    Raises:
        SettingsError: no such set, nothing in that split, or an `out` that holds another choice.
    """
    source = "scenes"
    if folder is not None:
        held_pairs = there(folder / PAIRS, "what `epistem papers questions` writes")
        source = hashlib.sha256(held_pairs.read_bytes()).hexdigest()[:16]
    wanted = {"source": source, "scenes": scenes if folder is None else None, "questions": questions,
              "split": None if folder is None else split, "seed": seed}  # fmt: skip
    held = out / "set.json"
    if held.exists() and json.loads(held.read_text("utf-8")) != wanted:
        raise SettingsError(f"{out} holds answers to another set or choice of questions; choose another --out")
    if not held.exists():
        figures, pairs = (
            scene_set(out, scenes, questions, seed)
            if folder is None
            else _from_set(folder, out, questions, split, seed)
        )
        write_records(out / FIGURES, figures)
        write_records(out / PAIRS, pairs)
        write_text(held, json.dumps(wanted))
    return {one.id: one for one in read_records(out / FIGURES, Figure)}, read_records(out / PAIRS, Pair)


def scene_set(out: Path, scenes: int, questions: int, seed: int) -> tuple[list[Figure], list[Pair]]:
    """Simulated scenes that no training has seen."""
    from epistem.ask.scene_pairs import described_scene, scene_kinds

    kinds = scene_kinds()
    figures, pairs = [], []
    for number in range(scenes):
        one = described_scene(kinds[number % len(kinds)], FIRST_SCENE + 10_000 * seed + number)
        name = f"pictures/{one.figure.id}.png"
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        picture(one.micrograph).save(out / name)
        figures.append(one.figure.model_copy(update={"image": name, "split": "test"}))
        rng = np.random.default_rng([seed, number])
        chosen = np.sort(rng.permutation(len(one.pairs))[:questions])
        pairs += [one.pairs[i].model_copy(update={"split": "test"}) for i in chosen]
    return figures, pairs


def learned_scenes() -> Iterator[tuple[Micrograph, list[Pair]]]:
    """Simulated scenes of the training set with all their questions."""
    from epistem.ask.scene_pairs import described_scene, scene_kinds

    kinds = scene_kinds()
    for number in range(LEARNED_SCENES):
        one = described_scene(kinds[number % len(kinds)], number)
        yield one.micrograph, one.pairs


def learned_part(folder: Path) -> Iterator[tuple[Micrograph, list[Pair]]]:
    """Images of a set's training papers with their questions.

    Raises:
        SettingsError: the set has none.
    """
    by_figure: dict[str, list[Pair]] = {}
    for pair in records_of(folder, PAIRS, Pair):
        if pair.split == "train":
            by_figure.setdefault(pair.figure, []).append(pair)
    found = [one for one in records_of(folder, FIGURES, Figure) if one.image and one.id in by_figure]
    if not found:
        raise SettingsError(f"baselines answer from training papers, and {folder} has no question of split 'train'")
    for one in found:
        yield as_micrograph(open_picture(folder, one), one), by_figure[one.id]


def open_picture(folder: Path, figure: Figure) -> Image.Image:
    """The picture of a figure, grey."""
    with Image.open(folder / str(figure.image)) as image:
        return image.convert("L")


def as_micrograph(image: Image.Image, figure: Figure) -> Micrograph:
    """A figure's picture with the pixel size and technique that its record tells."""
    nm = figure.nm_per_px
    drawn = figure.technique_from == "simulation"
    scale = None if nm is None else Calibration(nm, nm, "simulation" if drawn else "scale bar")
    return Micrograph(np.asarray(image), scale, Context(modality=figure.technique), name=figure.id)


def _from_set(folder: Path, out: Path, questions: int, split: str, seed: int) -> tuple[list[Figure], list[Pair]]:
    figures = [one for one in records_of(folder, FIGURES, Figure) if one.image]
    of = {one.id: one for one in figures}
    pairs = [one for one in records_of(folder, PAIRS, Pair) if one.figure in of and split in ("all", one.split)]
    if not pairs:
        raise SettingsError(f"no question of split {split!r} in {folder}; try --split all")
    rng = np.random.default_rng(seed)
    kept: list[Pair] = []
    for name in dict.fromkeys(one.figure for one in pairs):
        own = [one for one in pairs if one.figure == name]
        bare = [one for one in own if one.level == "none"]
        chosen = [bare[i] for i in np.sort(rng.permutation(len(bare))[:questions])]
        ids = {one.id for one in chosen}
        kept += chosen + [one for one in own if one.base in ids]
    asked = {pair.figure for pair in kept}
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    shown = []
    for one in figures:
        if one.id in asked:
            name = f"pictures/{one.id}.png"
            open_picture(folder, one).save(out / name)
            shown.append(one.model_copy(update={"image": name}))
    return shown, kept
