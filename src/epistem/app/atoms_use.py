"""`epistem atoms classify`: one field's columns with their posterior, as tables, overlay and report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem import __version__
from epistem.app.atoms_context import Person, Told, told
from epistem.app.atoms_images import stacked
from epistem.atoms.classify import METAL, Classified, WhatIf, classify, label, what_if
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import ELEMENTS
from epistem.atoms.kernels import Bank
from epistem.core import Interval, Micrograph, Provenance
from epistem.core.files import write_text, written_whole
from epistem.report.columns import Marks, columns_png
from epistem.report.document import plain
from epistem.report.export import write_table
from epistem.report.overlay import COLOURS, UNKNOWN
from epistem.stats.intervals import binomial_interval

if TYPE_CHECKING:
    from epistem.atoms.model import AtomModel

_LEAST_EXPECTED = 0.5
COVERAGE = 0.9


class Count(NamedTuple):
    """How often one label occurs.

    Attributes:
        label: "Ti on W".
        called: columns that are called so.
        expected: sum of their posteriors over all columns.
        sites: columns of the same sub-lattice.
        share: called/sites, with its binomial interval: chance alone, as if every call were right.
    """

    label: str
    called: int
    expected: float
    sites: int
    share: Interval | None


class Field(NamedTuple):
    """One field, classified.

    Attributes:
        images: one for each detector.
        told: what the classifier was told, and by whom.
        found: its columns.
        other: the answers to other contexts; None where not asked.
        provenance: to make it again.
        card: of the classifier.
    """

    images: Sequence[Micrograph]
    told: Told
    found: Classified
    other: Sequence[WhatIf] | None
    provenance: Provenance
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The field's, by its images."""
        return " + ".join(dict.fromkeys(image.name for image in self.images))

    @property
    def notes(self) -> list[str]:
        """What a person must know before believing the numbers, once each."""
        warned = [f"{image.name}: {text}" for image in self.images for text in image.warnings]
        lattice = [
            f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}" for text in self.found.notes
        ]
        return list(dict.fromkeys([*warned, *self.told.notes, *lattice]))


def classify_field(
    images: Sequence[Micrograph], person: Person, model: AtomModel, bank: Bank, *, ask_what_if: bool = True
) -> Field:
    """What every column of a field is.

    Raises:
        SettingsError, ShapeError: as `atoms.classify` and `atoms_context.told`.
        NoLattice: no lattice is found.
    """
    known = told(person, images, bank)
    pixels, valid = stacked(images)
    found = classify(pixels, known.context, model, bank)
    other = what_if(pixels, found, known.context, model, bank) if ask_what_if and found.known else None
    return Field(images, known, _on_image(found, valid), other, _provenance(images, known, model), model.card)


def counts(found: Classified) -> list[Count]:
    """Every label that occurs or is expected to, host columns first."""
    if not found.known:
        return []
    host = found.context.crystal
    metal = host.metal if host else "M"
    called = dict(zip(*np.unique(found.labels, return_counts=True), strict=True))
    role = found.role.argmax(axis=1)
    sites = {True: int(METAL[role].sum()), False: int((~METAL[role]).sum())}
    rows = []
    for r, name in enumerate(ROLES):
        for e, element in enumerate(ELEMENTS):
            words, expected = label(name, element, metal), float(found.joint[:, r, e].sum())
            n = int(called.get(words, 0))
            # A missing Se on the metal's site, which cannot be, would share its words with one that can.
            if expected > 0 and (n or expected >= _LEAST_EXPECTED):
                of = sites[bool(METAL[r])]
                rows.append(Count(words, n, expected, of, binomial_interval(min(n, of), of, coverage=COVERAGE)))
    return rows


def table(field: Field) -> dict[str, Any]:
    """One row a column, ready to be written."""
    found = field.found
    n = len(found)
    role = found.role.argmax(axis=1)
    element = found.joint[np.arange(n), role].argmax(axis=1)
    pixel = found.context.pixel_A
    place = {"row_px": found.places_px[:, 0], "col_px": found.places_px[:, 1]}
    if pixel is not None:
        place |= {"x_A": found.places_px[:, 1] * pixel, "y_A": found.places_px[:, 0] * pixel}
    known = found.known
    return {
        "site": np.arange(1, n + 1), "image_id": [field.images[0].id] * n, **place,
        "sublattice": ["AB"[one] if one < 2 else str(one) for one in found.sublattice.tolist()],
        "label": found.labels.tolist(),
        "role": [ROLES[at] if known else "unknown" for at in role.tolist()],
        "element": [ELEMENTS[at] if known else "" for at in element.tolist()],
        **{f"p_{name}": found.role[:, at] for at, name in enumerate(ROLES)},
        "entropy_bits": found.entropy_bits,
        "conformal_set": [" ".join(np.array(ROLES)[row]) for row in found.sets],
    }  # fmt: skip


def uncertain(found: Classified) -> NDArray[np.bool_]:
    """(n,) columns whose set of roles holds none or more than one."""
    return np.asarray(found.sets.sum(axis=1) != 1)


def overlays(field: Field) -> list[bytes]:
    """PNG of each image with dopants, vacancies and uncertain columns marked."""
    found = field.found
    marks = _marks(found)
    near = found.lattice.neighbour_px if found.lattice else 8.0
    return [columns_png(image, marks, neighbour_px=near) for image in field.images]


def _marks(found: Classified) -> list[Marks]:
    labels, places = found.labels, found.places_px
    if not found.known:
        return [Marks(f"{len(found)} columns, unknown", places, UNKNOWN, "dot")]
    role = np.asarray(ROLES)[found.role.argmax(axis=1)]

    def marked(name: str, which: NDArray[np.bool_], colour: Any, shape: Any) -> Marks:
        return Marks(f"{name}: {int(which.sum())}", places[which], colour, shape)

    host = found.context.crystal
    marks = [marked(host.metal if host else "metal", role == "M", COLOURS[1], "dot")]
    unsure = uncertain(found)
    marks.append(marked("uncertain", unsure, UNKNOWN, "diamond"))
    dopants = sorted(set(labels[role == "D_M"].tolist()))
    ring = [COLOURS[0], COLOURS[3], COLOURS[4], COLOURS[5]]
    marks += [marked(name, labels == name, ring[i % len(ring)], "circle") for i, name in enumerate(dopants)]
    gone = sorted(set(labels[np.isin(role, ("V_X", "V_X2", "V_M"))].tolist()))
    holes = [COLOURS[2], COLOURS[1], COLOURS[4]]
    marks += [marked(name, labels == name, holes[i % len(holes)], "square") for i, name in enumerate(gone)]
    return [one for one in marks if len(one.places_px)]


def record(field: Field) -> dict[str, Any]:
    """What came out, for JSON."""
    found = field.found
    told: dict[str, Any] = plain({
        "images": [image.name for image in field.images],
        "columns": len(found),
        "known": found.known,
        "labels": {
            one.label: {
                "called": one.called, "expected": one.expected, "sites": one.sites,
                "share": one.share and one.share.value, "low": one.share and one.share.low,
                "high": one.share and one.share.high, "coverage": COVERAGE,
            }
            for one in counts(found)
        },
        "uncertain": int(uncertain(found).sum()),
        "mean_entropy_bits": float(found.entropy_bits.mean()) if len(found) else None,
        "shares": dict(zip(ROLES, found.shares.tolist(), strict=True)),
        "context": context_values(found),
        "context_from": dict(field.told.origin),
        "notes": field.notes,
        "what_if": None if field.other is None else [asdict(one) for one in field.other],
        "provenance": field.provenance.as_dict(),
    })  # fmt: skip
    return told


def context_values(found: Classified) -> dict[str, Any]:
    """What the classifier used, by the keys of context.yaml."""
    known = found.context
    return {
        "host": known.host, "dopants": known.dopants, "beam_keV": known.keV, "semiangle_mrad": known.semiangle_mrad,
        "detectors": [None if ring is None else list(ring) for ring in known.rings],
        "detectors_rough": known.rings_estimated, "pixel_A": known.pixel_A, "dose_e_per_A2": known.dose_e_per_A2,
    }  # fmt: skip


def write_field(field: Field, out: Path) -> dict[str, Any]:
    """Tables, overlays, JSON and report into a folder.

    Returns:
        What `record` tells.

    Raises:
        RecordError: a file cannot be written.
    """
    from epistem.app.atoms_report import field_report
    from epistem.report.render import render_html

    rows, told_ = table(field), record(field)
    write_text(out / "classification.json", json.dumps(told_, indent=1, ensure_ascii=False) + "\n")
    for name in ("columns.csv", "columns.parquet"):
        write_table(out / name, rows)
    pictures = overlays(field)
    for i, png in enumerate(pictures):
        with written_whole(out / f"overlay{'' if i == 0 else f'_{i + 1}'}.png") as part:
            part.write_bytes(png)
    write_text(out / "report.html", render_html(field_report(field, pictures)))
    return told_


@cache
def bank_hash() -> str:
    """First 16 hex digits of the shipped bank's SHA-256."""
    file = files("epistem.atoms") / "shipped" / "columns.npz"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _provenance(images: Sequence[Micrograph], known: Told, model: AtomModel) -> Provenance:
    context = known.context
    settings = {
        "bank": bank_hash(), "host": context.host, "dopants": context.dopants, "beam_keV": context.keV,
        "semiangle_mrad": context.semiangle_mrad, "detectors": context.rings,
        "detectors_rough": context.rings_estimated, "pixel_A": context.pixel_A,
        "dose_e_per_A2": context.dose_e_per_A2,
        "temperature": model.temperature, "coverage_of_sets": model.coverage,
    }  # fmt: skip
    return Provenance(
        "epistem atoms classify", __version__, plain(settings), tuple(image.id for image in images), model.identity
    )


def _on_image(found: Classified, valid: NDArray[np.bool_] | None) -> Classified:
    """Without the columns that stand in a data strip and the like."""
    if valid is None:
        return found
    at = np.clip(np.round(found.places_px).astype(int), 0, np.array(valid.shape) - 1)
    kept = valid[at[:, 0], at[:, 1]]
    parts = {
        name: getattr(found, name)[kept] for name in ("places_px", "sublattice", "role", "joint", "sets", "embedding")
    }
    return replace(found, **parts)
