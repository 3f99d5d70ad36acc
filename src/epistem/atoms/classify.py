"""From an image and what is known of it to a posterior for every column.

::

    images ─► find_lattice ─► moments of patches ┐
    context ─► (angles from the host's contrast) ┴─► network ─► one sub-lattice is metal ─► this image's shares ─►
    posterior
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.context import VARIABLES, AtomContext
from epistem.atoms.crystals import ATOMIC_NUMBERS, HOSTS, METAL_ROLES, ROLES
from epistem.atoms.dataset import ELEMENTS, Described, Image, describe
from epistem.atoms.detectors import effective_angles
from epistem.atoms.kernels import Bank, Ring
from epistem.atoms.lattice import Lattice, find_lattice
from epistem.atoms.multislice import OUTER_MRAD
from epistem.atoms.patches import levels
from epistem.core import Instances, SettingsError, ShapeError
from epistem.stats.posterior import entropy_bits

if TYPE_CHECKING:
    from epistem.atoms.model import AtomModel

Floats = NDArray[np.float64]

METAL = np.isin(ROLES, METAL_ROLES)
UNNAMED = {"M": "metal", "X2": "X2", "D_M": "dopant", "V_X": "V_X", "V_X2": "V_X2", "V_M": "V_M"}
"""What columns are called where the host is unknown."""
_LATTICE_ERROR = 0.08
_LEAST = 0.6  # of the likeliest role, or the column has no label
_SURE = 3.0  # log odds of which sub-lattice is the metal's, below which it is said
# Of all columns together. Where the detectors' angles were inferred, the inference chose a sub-lattice already, and
# the classifier was told what it expects of these angles: it is no independent witness then.
_MOST, _MOST_INFERRED = 10.0, 3.0
_CONTRAST_ERROR = 0.05  # of the logarithm of a contrast: a standard deviation of what simulation leaves open
_NO_HOST = 0.15  # of the same: more is another material, or a detector that was not simulated
_EQUAL = 0.07  # both sub-lattices as bright as each other, as the lattice's own warning has it


@dataclass(frozen=True, eq=False)
class Classified:
    """Columns of an image with what they are, and how sure that is.

    Attributes:
        shape: rows and columns of the image.
        lattice: where columns stand; None if there is none that this can be asked of.
        places_px: (n, 2) row and column.
        sublattice: (n,) of the lattice.
        role: (n, 6) posterior over ROLES.
        joint: (n, 6, 20) posterior over roles with their element.
        sets: (n, 6) bool: roles that the wanted coverage cannot rule out.
        shares: (6,) how often each role is in this image, estimated from it.
        context: what the classifier was told.
        metal_is: probability that sub-lattice 0 is the metal's.
        notes: what was inferred or is doubtful, in sentences.
        embedding: (n, D) what the classifier saw, for maps.
        known: False where the image is not of a kind that was simulated: then every posterior is flat.
        seen: what the patches look like, whatever is told of them: for the same question in another context.
    """

    shape: tuple[int, int]
    lattice: Lattice | None
    places_px: Floats
    sublattice: NDArray[np.int64]
    role: Floats
    joint: Floats
    sets: NDArray[np.bool_]
    shares: Floats
    context: AtomContext
    metal_is: float
    notes: tuple[str, ...]
    embedding: Floats
    known: bool = True
    seen: Described | None = None

    def __len__(self) -> int:
        return len(self.role)

    @property
    def entropy_bits(self) -> Floats:
        """(n,) of the posterior over roles with their element [bit]."""
        return entropy_bits(self.joint.reshape(len(self), -1)) if len(self) else np.zeros(0)

    @property
    def labels(self) -> NDArray[np.str_]:
        """(n,) the likeliest: "W", "Ti on W", "Se2", "V_Se", "V_Se2", "V_W"; "unknown" below 0.6."""
        if not self.known or not len(self):
            return np.full(len(self), "unknown")
        roles, sure = self.role.argmax(axis=1), self.role.max(axis=1) >= _LEAST
        elements = self.joint[np.arange(len(self)), roles].argmax(axis=1)
        host = self.context.crystal
        metal = host.metal if host else "M"
        if host is None:  # one sheet has one host; column by column it would get several
            names = [UNNAMED[ROLES[r]] for r in roles]
        else:
            names = [label(ROLES[r], ELEMENTS[e], metal) for r, e in zip(roles, elements, strict=True)]
        return np.where(sure, names, "unknown")

    @property
    def instances(self) -> Instances:
        """The columns as objects; the classes are the labels that occur."""
        half = (self.lattice.neighbour_px / 2) if self.lattice else 1.0
        low, high = np.zeros(2), np.array(self.shape, float)
        boxes = np.concatenate(
            [np.clip(self.places_px - half, low, high - 1e-3), np.clip(self.places_px + half, low + 1e-3, high)],
            axis=1,
        )
        names, number = np.unique(self.labels, return_inverse=True)
        roles = {f"p_{name}": self.role[:, at] for at, name in enumerate(ROLES)}
        set_words = [" ".join(np.array(ROLES)[row]) for row in self.sets]
        return Instances(
            self.shape, boxes, self.role.max(axis=1) if len(self) else np.zeros(0), number.astype(np.int64),
            tuple(names.tolist()) or ("unknown",),
            columns={
                "row_px": self.places_px[:, 0], "col_px": self.places_px[:, 1], "sublattice": self.sublattice,
                **roles,
                "entropy_bits": self.entropy_bits, "conformal_set": np.array(set_words, dtype="U32"),
            },
        )  # fmt: skip


def label(role: str, element: str, metal: str) -> str:
    """How a column is called.

    >>> label("D_M", "Ti", "W"), label("V_X2", "Se", "W")
    ('Ti on W', 'V_Se2')
    """
    return {
        "M": element, "X2": f"{element}2", "D_M": f"{element} on {metal}", "V_X": f"V_{element}",
        "V_X2": f"V_{element}2", "V_M": f"V_{element}",
    }[role]  # fmt: skip


class _NotTheHost(Exception):
    """What the image shows cannot be the host."""


def classify(
    images: Sequence[NDArray[Any]],
    context: AtomContext,
    model: AtomModel,
    bank: Bank,
    *,
    shares: Floats | None = None,
    lattice: Lattice | None = None,
    seen: Described | None = None,
) -> Classified:
    """What every column of an image is.

    Args:
        images: (H, W) of one detector, or of two that recorded at once.
        context: what is known.
        model: a trained classifier.
        shares: (6,) how often each role is expected; None estimates it from the image.
        lattice: of these images, where it was found before.
        seen: of these images and this lattice, where they were described before.

    Raises:
        NoLattice: no lattice is found.
        ShapeError: images of different shape.
        SettingsError: more than two, or as many detectors in the context as images; a beam outside the bank.
    """
    stack = _stacked(images, context)
    host = context.crystal
    if lattice is None:
        lattice = find_lattice(list(stack), pixel_A=context.pixel_A, a_A=host.a_A if host else None)
    why = _not_of_this_kind(lattice, context)
    if why:
        return _unknown(stack.shape[1:], lattice, context, why)
    try:
        context, notes, evidence = _completed(stack, lattice, context, bank)
    except _NotTheHost as reason:
        return _unknown(stack.shape[1:], lattice, context, str(reason))
    notes += model.not_learned(context)
    chosen = np.flatnonzero(lattice.inside)
    if seen is None:
        turned = np.deg2rad(lattice.turn)
        seen = describe(
            stack, lattice.sites, lattice.sublattice.astype(np.int64), lattice.hollow, lattice.a_px, turned, chosen
        )
    role, joint, embedding = model.posterior(seen, context, bank)
    kind = lattice.sublattice[chosen].astype(np.int64)
    most = _MOST_INFERRED if evidence else _MOST
    role, joint, metal_is, odds = one_metal_sublattice(role, joint, kind, evidence=evidence, most=most)
    if evidence is not None and abs(odds) < _SURE:
        notes.append(
            "Which sub-lattice is the metal's is uncertain from this contrast; give the detector's angles, or a "
            "second detector"
        )
    found = estimated_shares(role, model.trained_shares) if shares is None else shares
    role, joint = with_shares(role, joint, found, model.trained_shares)
    sets = model.sets(role)
    return Classified(
        stack.shape[1:], lattice, lattice.sites[chosen], kind, role, joint, sets, found, context, metal_is,
        (*lattice.warnings, *notes), embedding, seen=seen,
    )  # fmt: skip


def one_metal_sublattice(
    role: Floats, joint: Floats, sublattice: NDArray[np.int64], *, evidence: float | None = 0.0, most: float = _MOST
) -> tuple[Floats, Floats, float, float]:
    """The posteriors, given that all metal columns stand on one sub-lattice and all chalcogens on the other.

    Each column is a witness, at half weight, but what is wrong with an image is wrong with all of them: together
    they say no more than `most`. Both answers stay in as far as the odds leave them open.

    Args:
        evidence: log odds that sub-lattice 0 is the metal's, from elsewhere; None: the image fits both, and no
            witness is believed.
        most: limit of the columns' log odds.

    Returns:
        (n, 6) and (n, 6, 20) posteriors, the probability that sub-lattice 0 is the metal's, and its log odds.
    """
    metal = np.clip(role[:, METAL].sum(axis=1), 1e-6, 1 - 1e-6)
    said = float(0.5 * np.where(sublattice == 0, 1, -1) @ np.log(metal / (1 - metal)))
    odds = 0.0 if evidence is None else evidence + float(np.clip(said, -most, most))
    first = float(1 / (1 + np.exp(-odds)))
    chance = np.where(sublattice == 0, first, 1 - first)
    weight = np.where(METAL, (chance / metal)[:, None], ((1 - chance) / (1 - metal))[:, None])
    weighted = role * weight
    total = weighted.sum(axis=1, keepdims=True)
    return weighted / total, joint * (weight / total)[:, :, None], first, odds


def estimated_shares(role: Floats, trained: Floats, *, steps: int = 100) -> Floats:
    """How often each role occurs in this image, from the posteriors alone.

    Args:
        role: (n, 6) posteriors of a classifier trained on `trained` shares.

    Returns:
        (6,), nearly 1/n each at the least: what was not seen may still be there once. Half of the sites are metal's.

    Source: Saerens, Latinne, Decaestecker, Neural Computation 14, 21 (2002): expectation maximisation.
    """
    shares = trained.copy()
    for _ in range(steps):
        weighted = role * (shares / trained)
        mean = _halves((weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0))
        if np.abs(mean - shares).max() < 1e-6:
            break
        shares = mean
    return _halves(np.maximum(shares, 1 / max(1, len(role))))


def _halves(shares: Floats) -> Floats:
    """The shares with half of the sites metal's and half chalcogen's, as the honeycomb has them."""
    total = np.where(METAL, shares[METAL].sum(), shares[~METAL].sum())
    return np.asarray(shares / np.maximum(2 * total, 1e-12))


def with_shares(role: Floats, joint: Floats, shares: Floats, trained: Floats) -> tuple[Floats, Floats]:
    """Posteriors for an image with these shares, from those of balanced training: p·π/π_train, normalised."""
    weight = shares / trained
    total = (role * weight).sum(axis=1, keepdims=True)
    return role * weight / total, joint * (weight / total)[:, :, None]


@dataclass(frozen=True)
class WhatIf:
    """The same image, told something else.

    Attributes:
        told: in words.
        changed: share of the columns whose likeliest role is another, 0 to 1: a new name for the same role is none.
        entropy_bits: mean, of the posterior over roles with their element.
        refused: why it could not be told, else "".
    """

    told: str
    changed: float | None
    entropy_bits: float | None
    refused: str = ""


def what_if(
    images: Sequence[NDArray[Any]], first: Classified, context: AtomContext, model: AtomModel, bank: Bank
) -> list[WhatIf]:
    """The image classified again with each variable unknown, and with wrong ones.

    Args:
        first: the answer that the others are compared with.
        context: what was told for it.
    """
    rows = []
    for words, told in _other_contexts(context):
        try:
            other = classify(images, told, model, bank, lattice=first.lattice, seen=first.seen)
        except SettingsError as error:
            rows.append(WhatIf(words, None, None, str(error)))
            continue
        if len(other) != len(first):
            rows.append(WhatIf(words, None, None, "another lattice is found"))
            continue
        if not other.known:
            rows.append(WhatIf(words, None, None, "not classified: " + other.notes[0]))
            continue
        changed = other.role.argmax(axis=1) != first.role.argmax(axis=1)
        rows.append(WhatIf(words, float(changed.mean()), float(other.entropy_bits.mean())))
    return rows


def _other_contexts(context: AtomContext) -> list[tuple[str, AtomContext]]:
    rows = [(f"{name} unknown", context.without(name)) for name in VARIABLES if context.without(name) != context]
    rows.append(("nothing known", context.without(*VARIABLES)))
    host = context.crystal
    if host is not None:
        others = [one for one in HOSTS.values() if (one.metal == host.metal) != (one.chalcogen == host.chalcogen)]
        rows += [(f"host {one.name}", replace(context, host=one.name, dopants=None)) for one in others]
        nearest = sorted(
            (name for name in host.dopants if name not in context.candidates),
            key=lambda name: abs(ATOMIC_NUMBERS[name] - ATOMIC_NUMBERS[host.metal]),
        )
        if nearest:
            rows.append((f"dopant {nearest[0]} only", replace(context, dopants=(nearest[0],))))
        rows.append(("no dopant", replace(context, dopants=())))
    if len(context.rings) == 2 and all(context.rings):
        rows.append(("detectors exchanged", replace(context, rings=context.rings[::-1])))
    return rows + _other_optics(context)


def _other_optics(context: AtomContext) -> list[tuple[str, AtomContext]]:
    """Beam, angles and dose as they are easily written down wrongly."""
    rows = []
    if context.keV is not None:
        keV = 200.0 if context.keV < 150 else 80.0
        rows.append((f"{keV:g} keV", replace(context, keV=keV)))
    if any(context.rings):
        wider = tuple(
            ring and Ring(1.3 * ring.inner_mrad, min(1.3 * ring.outer_mrad, OUTER_MRAD)) for ring in context.rings
        )
        rows.append(("angles 30 % wider", replace(context, rings=wider)))
    if context.dose_e_per_A2 is not None:
        rows.append(("a tenth of the dose", replace(context, dose_e_per_A2=context.dose_e_per_A2 / 10)))
    return rows


def _stacked(images: Sequence[NDArray[Any]], context: AtomContext) -> Image:
    shapes = {np.shape(image) for image in images}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeError(
            f"images of one field have one shape (H, W); these are {', '.join(map(str, sorted(shapes)))}"
        )
    if len(images) != len(context.rings):
        raise SettingsError(f"the context names {len(context.rings)} detectors, there are {len(images)} images")
    return np.stack([np.asarray(image, np.float32) for image in images])


def _not_of_this_kind(lattice: Lattice, context: AtomContext) -> str:
    """Why this lattice cannot be one of the hosts, in a sentence; "" if it can."""
    if lattice.kind != "honeycomb":
        return (
            f"The lattice is {lattice.kind}, no honeycomb of two kinds of columns: not a monolayer that was simulated"
        )
    if context.pixel_A is None:
        return (
            "The pixel size is unknown, so nothing shows that this is the host's lattice and not another material's; "
            "give the pixel size"
        )
    measured = lattice.a_px * context.pixel_A
    told = context.crystal
    if told is not None and abs(measured / told.a_A - 1) > _LATTICE_ERROR:
        return (
            f"The lattice constant is {measured:.2f} Å by this pixel size, {told.name} has {told.a_A:.2f} Å: another "
            "material, or a wrong pixel size or host"
        )
    constants = [host.a_A for host in HOSTS.values()]
    low, high = min(constants) * (1 - _LATTICE_ERROR), max(constants) * (1 + _LATTICE_ERROR)
    if low <= measured <= high:
        return ""
    return (
        f"The lattice constant is {measured:.2f} Å by this pixel size; the hosts that were simulated have "
        f"{min(constants):.2f} to {max(constants):.2f} Å: another material, or a wrong pixel size"
    )


def _unknown(shape: tuple[int, ...], lattice: Lattice, context: AtomContext, why: str) -> Classified:
    """Every column with a flat posterior."""
    n = len(lattice.sites)
    role = np.full((n, len(ROLES)), 1 / len(ROLES))
    joint = np.full((n, len(ROLES), len(ELEMENTS)), 1 / (len(ROLES) * len(ELEMENTS)))
    return Classified(
        (shape[0], shape[1]), lattice, lattice.sites, lattice.sublattice.astype(np.int64), role, joint,
        np.ones((n, len(ROLES)), bool), np.full(len(ROLES), 1 / len(ROLES)), context, 0.5,
        (*lattice.warnings, why + "."),
        np.zeros((n, 0)), known=False,
    )  # fmt: skip


def _completed(
    stack: Image, lattice: Lattice, context: AtomContext, bank: Bank
) -> tuple[AtomContext, list[str], float | None]:
    """The context with what the image itself says, notes, and log odds that sub-lattice 0 is the metal's.

    Angles come from contrast. None instead of odds: either may be. A contrast that no detector gives the host raises.
    """
    notes: list[str] = []
    host, beam = context.crystal, context.beam
    if host is None:
        notes.append("The host is unknown: columns are called by their role, not by an element; name the host")
    ratios = _ratios(stack, lattice)
    if all(abs(np.log(ratio)) < _EQUAL for ratio in ratios):
        notes.append(
            "Both sub-lattices are equally bright: which is the metal's, and whether this is the host, is open"
        )
        return context, notes, None
    if host is None or beam is None or all(ring is not None for ring in context.rings):
        return context, notes, 0.0
    angles = effective_angles(host, beam, ratios, bank)
    if angles.misfit > _NO_HOST:
        raise _NotTheHost(
            f"No detector that was simulated gives {host.name} this contrast (off by "
            f"{100 * (np.exp(angles.misfit) - 1):.0f} %): another material, host or imaging mode"
        )
    if angles.ambiguous:
        notes.append(
            "The detector angles are unknown, and the host's contrast fits either sub-lattice as the metal's: give "
            "the angles, or the image of a second detector"
        )
        return context, notes, None
    words = " and ".join(f"{ring.inner_mrad:.0f} to {ring.outer_mrad:.0f} mrad" for ring in angles.rings)
    notes.append(
        f"Detector angles unknown: {words} inferred from {host.name}'s own contrast, which they miss by "
        f"{100 * (np.exp(angles.misfit) - 1):.0f} %"
    )
    rings: tuple[Ring | None, ...] = tuple(
        known or inferred for known, inferred in zip(context.rings, angles.rings, strict=True)
    )
    evidence = (angles.other_misfit**2 - angles.misfit**2) / (2 * _CONTRAST_ERROR**2)
    evidence = float(np.clip(evidence, -_MOST, _MOST)) * (1 if angles.metal == 0 else -1)
    return replace(context, rings=rings, rings_estimated=True), notes, evidence


def _ratios(stack: Image, lattice: Lattice) -> list[float]:
    """Height of sub-lattice 1 over that of sub-lattice 0, for every detector."""
    found = [
        levels(image, lattice.sites, lattice.sublattice.astype(np.int64), lattice.hollow, lattice.a_px)
        for image in stack
    ]
    return [one.dim if one.bright_is == 0 else 1 / one.dim for one in found]
