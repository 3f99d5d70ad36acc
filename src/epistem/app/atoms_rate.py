"""`epistem atoms rate` and `agree`: people say what columns are, and how far they and a model agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epistem.app.atoms_context import Person, told
from epistem.app.atoms_images import stacked
from epistem.app.atoms_truth import read_table
from epistem.atoms.classify import classify, label
from epistem.atoms.context import AtomContext
from epistem.atoms.kernels import Bank
from epistem.atoms.lattice import find_lattice
from epistem.atoms.rating_page import RatingPage, write_rating_page
from epistem.atoms.ratings import Agreement, Unit, agree, labels_at, read_ratings
from epistem.core import Micrograph, RecordError, SettingsError

if TYPE_CHECKING:
    from epistem.atoms.model import AtomModel

OTHER = "another metal on"
_MOST_NAMED = 4


def choices_of(context: AtomContext) -> dict[str, str]:
    """What a rater can answer, with what it looks like.

    Raises:
        SettingsError: without a host there are no names.
    """
    host = context.crystal
    if host is None:
        raise SettingsError("raters choose between names of atoms; give --host, or a context with one")
    named = () if context.dopants is None or len(context.dopants) > _MOST_NAMED else context.dopants
    looks = {host.metal: "a column like most of its sub-lattice"}
    looks |= {label("D_M", name, host.metal): f"{name} in place of {host.metal}" for name in named}
    if context.dopants != () and not named:
        looks[f"{OTHER} {host.metal}"] = f"a metal site that looks like another metal than {host.metal}"
    soft = host.chalcogen
    looks[f"{soft}2"] = "a column like most of the other sub-lattice"
    looks[label("V_X", soft, host.metal)] = f"half of the {soft}2 column is missing"
    looks[label("V_X2", soft, host.metal)] = f"nothing where {soft}2 should be"
    looks[label("V_M", host.metal, host.metal)] = f"nothing where {host.metal} should be"
    return looks


def rate(
    images: Sequence[Micrograph],
    person: Person,
    path: Path,
    bank: Bank,
    *,
    model: AtomModel | None,
    n: int,
    seed: int,
) -> RatingPage:
    """A page that asks a person about some of the columns, as many of each label of the model as can be.

    Args:
        images: of one field.
        person: what is known; the host is needed.
        path: the .html to write.
        bank: of the classifier.
        model: whose labels spread the choice; None chooses at random among all columns.
        n: how many columns.
        seed: of the choice and its order.

    Raises:
        NoLattice: no lattice is found.
        SettingsError: no host, n out of range, or an image that was not classified.
    """
    context = told(person, images, bank).context
    choices = choices_of(context)
    host = context.crystal
    assert host is not None
    pixels, _ = stacked(images)
    if model is None:
        lattice = find_lattice(list(pixels), pixel_A=context.pixel_A, a_A=host.a_A)
        sites, keys = lattice.sites, None
    else:
        found = classify(pixels, context, model, bank)
        if not found.known or found.lattice is None:
            raise SettingsError(f"this image cannot be rated: {' '.join(found.notes)}")
        lattice, sites, keys = (
            found.lattice,
            found.places_px,
            [as_choice(one, choices) for one in found.labels.tolist()],
        )
    pixel = context.pixel_A or host.a_A / lattice.a_px
    views = {image.context.detector or f"detector {i + 1}": image.pixels for i, image in enumerate(images)}
    if len(views) < len(images):
        views = {f"detector {i + 1}": image.pixels for i, image in enumerate(images)}
    return write_rating_page(
        path, views, sites, pixel_A=pixel, patch_A=float(np.sqrt(3) * host.a_A), image_id=images[0].id,
        choices=choices, n=n, keys=keys, seed=seed,
    )  # fmt: skip


def as_choice(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """A model's label as raters were asked: any dopant is "another metal" where that was the answer to give."""
    _, on, metal = name.partition(" on ")
    other = f"{OTHER} {metal}"
    return other if on and name not in known and other in known else name


def agreement(ratings: Sequence[Path], columns: Path | None, *, seed: int) -> Agreement:
    """How far the raters of some files agree, and a model's columns.csv with them.

    Raises:
        RecordError: a file that is no such table.
        SettingsError: the model names none of the rated columns.
    """
    labels = _labels(ratings)
    held = None if columns is None else read_table(columns)
    if held is not None:
        labels += [
            one
            for one in dict.fromkeys(as_choice(name, labels) for name in held.get("label", []))
            if one not in labels
        ]
    answers = read_ratings(ratings, labels)
    model = (
        None if held is None else _model(held, list(dict.fromkeys(one.unit for one in answers)), labels, str(columns))
    )
    return agree(answers, labels, model=model, seed=seed)


def record(found: Agreement) -> dict[str, Any]:
    """For JSON: without the units, of which only the number is told."""
    held = asdict(found)
    held["units"] = len(found.units)
    held["majority"] = sum(one is not None for one in found.majority)
    return held


def _labels(ratings: Sequence[Path]) -> list[str]:
    """The labels that occur, by name."""
    names: dict[str, None] = {}
    for path in ratings:
        table = read_table(path)
        if "label" not in table:
            raise RecordError(f"{path} has no column label; give the CSV that the page of `epistem atoms rate` saved")
        names |= dict.fromkeys(one.strip() for one in table["label"] if one.strip())
    if not names:
        raise RecordError(f"no answer in {', '.join(map(str, ratings))} names a label")
    return sorted(names)


def _model(held: Mapping[str, list[str]], units: Sequence[Unit], labels: Sequence[str], path: str) -> dict[Unit, str]:
    missing = [name for name in ("image_id", "x_A", "y_A", "label") if name not in held]
    if missing:
        raise RecordError(
            f"{path} has no {', '.join(missing)}; give the columns.csv of `epistem atoms classify`, run with a pixel "
            "size"
        )
    if not held["label"]:
        return {}
    places = np.array([held["y_A"], held["x_A"]], float).T
    names = [as_choice(one, labels) for one in held["label"]]
    # Lengths in ångström stand for pixels of 1 Å.
    return labels_at(units, held["image_id"][0], places, names, pixel_A=1.0)
