"""What the page shows of a classified field: columns with their posterior, counts, what other shares would give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epistem.app.atoms_report import LIMITS, headline, methods
from epistem.app.atoms_use import Count, Field, counts, table, uncertain
from epistem.app.web.atoms import UNSURE
from epistem.app.web.rooms import Refused, read_json
from epistem.atoms.classify import METAL, Classified, with_shares
from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ROLES
from epistem.core.files import write_text, written_whole
from epistem.report.words import percent

# In distances between neighbours: host columns small, what is rare round them, so that both are seen.
_SIZES = {"M": (0.18, 6), "X2": (0.18, 6), "D_M": (0.42, 12), "V_X": (0.42, 4), "V_X2": (0.42, 4), "V_M": (0.42, 4)}
_PLAIN = (0.25, 8)
POSTERIOR = "posterior.npz"


def write_looks(folder: Path, field: Field, record: Mapping[str, Any], *, of: Sequence[str], asks: bool) -> None:
    """Columns for the viewer, the posterior for other shares, and the numbers beside them.

    Args:
        folder: to write to; what an earlier answer for the same images left there is compared with.
        field: classified.
        record: of `atoms_use.record`.
        of: ids of its images.
        asks: more is under way: what other contexts give.
    """
    before = _before(folder, field, of)
    write_text(folder / "columns.json", json.dumps(columns_json(field), ensure_ascii=False))
    found = field.found
    with written_whole(folder / POSTERIOR) as part, part.open("wb") as file:
        np.savez_compressed(
            file, role=found.role, joint=found.joint, sets=found.sets, shares=found.shares, places=found.places_px,
            sublattice=found.sublattice,
        )  # fmt: skip
    told = {
        "of": list(of), "headline": headline(field), "asks": asks, "record": dict(record), "before": before,
        "card": card_words(field), "methods": methods(field),
        "limits": list(LIMITS), "images": [image.name for image in field.images],
    }  # fmt: skip
    write_text(folder / "told.json", json.dumps(told, ensure_ascii=False))


def columns_json(field: Field) -> dict[str, Any]:
    """Every column as the viewer takes objects: its score is the posterior of its likeliest role."""
    found, pixel_A = field.found, field.found.context.pixel_A
    rows = table(field)
    near = found.lattice.neighbour_px if found.lattice else 8.0
    unsure = uncertain(found)
    objects = [
        {
            "id": i, "score": round(float(found.role[i].max()), 4) if found.known else None, "state": "found",
            "label": rows["label"][i], "rings": [_ring(found.places_px[i], rows["role"][i], near)],
            "sure": UNSURE if unsure[i] else "", "role": rows["role"][i], "element": rows["element"][i],
            "about": {
                "sublattice": rows["sublattice"][i],
                **{f"p {name}": round(float(found.role[i, at]), 4) for at, name in enumerate(ROLES)},
                "entropy": round(float(rows["entropy_bits"][i]), 4),
                "not ruled out": rows["conformal_set"][i] or "none",
            },
        }
        for i in range(len(found))
    ]  # fmt: skip
    nm_per_px = None if pixel_A is None else pixel_A / 10
    return {"shape": list(found.shape), "aspect": 1.0, "nm_per_px": nm_per_px, "objects": objects}


def card_words(field: Field) -> list[str]:
    """How well the classifier is calibrated, by its card; nothing where the card has no scores."""
    scores = field.card.get("scores")
    if not scores:
        return []
    covered = ", ".join(f"{name} {100 * share:.0f} %" for name, share in sorted(scores["covered"].items()))
    return [
        f"On {scores['fields']} simulated fields that it had not seen, with every role as often, it calls "
        f"{100 * scores['accuracy']:.0f} % right, and its probabilities are off by {100 * scores['ece_after']:.1f} % "
        "on average (calibration error).",
        f"Its sets are meant to hold the true role in {percent(field.provenance.settings['coverage_of_sets'])} of "
        f"cases; by role they did so in {covered}.",
    ]


def with_dopants(folder: Path, share: float | None) -> dict[str, Any]:
    """What the posteriors would be if so many of the metal sites were dopants; the columns themselves say the same.

    The image's own share was estimated from it; another is put in its place: p·π/π_image, normalised.

    Args:
        folder: of a field.
        share: of the metal sites, 0 to 1; None is the image's own.

    Returns:
        The share, the counts by label, the mean entropy [bit], and the share of columns called otherwise.

    Raises:
        Refused: nothing is classified there, or no share.
    """
    found = _stored(folder)
    shares = found.shares.copy()
    own = float(shares[_DOPANT] / shares[METAL].sum())
    share = own if share is None else share
    if not 0 <= share <= 1:
        raise Refused(f"a share of the metal sites lies between 0 and 1, not {share:g}")
    metals = METAL & (np.arange(len(ROLES)) != _DOPANT)
    half = shares[METAL].sum()
    shares[_DOPANT] = half * share
    shares[metals] *= half * (1 - share) / shares[metals].sum()
    role, joint = with_shares(found.role, found.joint, shares, found.shares)
    other = replace(found, role=role, joint=joint, shares=shares)
    return {
        "share": share, "own": own, "labels": [count_json(one) for one in counts(other)],
        "entropy_bits": float(other.entropy_bits.mean()),
        "changed": float((other.labels != found.labels).mean()),
    }  # fmt: skip


_DOPANT = ROLES.index("D_M")


def count_json(one: Count) -> dict[str, Any]:
    """A count with the interval of its share."""
    share = one.share
    return {
        "label": one.label, "called": one.called, "expected": one.expected, "sites": one.sites,
        "share": None if share is None else share.value, "low": None if share is None else share.low,
        "high": None if share is None else share.high,
    }  # fmt: skip


def _stored(folder: Path) -> Classified:
    """The field's columns as they were classified, as far as counts need them."""
    told = read_json(folder / "told.json")
    try:
        with np.load(folder / POSTERIOR, allow_pickle=False) as held:
            kept = {name: held[name] for name in held.files}
    except (OSError, ValueError) as error:
        raise Refused("this image has not been classified yet", 404) from error
    if told is None or not told["record"]["known"] or not len(kept["role"]):
        raise Refused("no column of this image is classified", 404)
    context, n = told["record"]["context"], len(kept["role"])
    dopants = context["dopants"]
    known = AtomContext(context["host"], None if dopants is None else tuple(dopants))
    return Classified(
        (1, 1), None, kept["places"], kept["sublattice"], kept["role"], kept["joint"], kept["sets"], kept["shares"],
        known, 0.5, (), np.zeros((n, 0)),
    )  # fmt: skip


def _before(folder: Path, field: Field, of: Sequence[str]) -> dict[str, Any] | None:
    """The earlier answer for the same images to another context, beside this one; None where there is none."""
    earlier = read_json(folder / "told.json")
    if earlier is None or earlier["of"] != list(of):
        return None
    from epistem.app.atoms_use import context_values

    was, now = earlier["record"]["context"], json.loads(json.dumps(context_values(field.found)))
    differs = {name: [was[name], now[name]] for name in now if was.get(name) != now[name]}
    if not differs:  # the same again, now with what other contexts give
        return dict(earlier["before"]) if earlier["before"] else None
    changed = None
    with np.load(folder / POSTERIOR, allow_pickle=False) as held:
        if earlier["record"]["known"] and field.found.known and len(held["role"]) == len(field.found):
            changed = float((held["role"].argmax(1) != field.found.role.argmax(1)).mean())
    return {
        "differs": differs, "changed": changed, "entropy_bits": earlier["record"]["mean_entropy_bits"],
        "labels": {
            name: {"called": one["called"], "expected": one["expected"]}
            for name, one in earlier["record"]["labels"].items()
        },
    }  # fmt: skip


def _ring(place: np.ndarray[Any, Any], role: str, near: float) -> list[float]:
    """Corners x0, y0, … around the middle of a column, whose pixel's own middle is half a pixel on."""
    size, corners = _SIZES.get(role, _PLAIN)
    turn = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    row, col = place + 0.5
    ring = np.stack([col + size * near * np.cos(turn), row + size * near * np.sin(turn)], axis=1)
    return [round(float(value), 2) for value in ring.ravel()]
