"""Training the classifier on fields that are simulated as it learns, and asking it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epistem.atoms.context import AtomContext
from epistem.atoms.dataset import Described, Image, Spec, make_field, patches_of
from epistem.atoms.encode import DETECTORS, ELEMENT_FEATURES, Encoded, encode
from epistem.atoms.kernels import Bank, Ring
from epistem.atoms.zernike import groups
from epistem.core import SettingsError
from epistem.nets.context import Columns, ContextClassifier, Kind
from epistem.nets.train import Schedule, Step, fit

_FORGOTTEN = {
    "composition": 0.15, "dopants": 0.15, "beam": 0.15, "probe": 0.3, "detectors": 0.15, "pixel size": 0.15,
    "dose": 0.4,
}  # fmt: skip
_ANGLE_ERROR_MRAD = 5.0  # of angles that are estimated


def build(kind: Kind = "attention", *, seed: int = 0) -> ContextClassifier:
    """An untrained classifier."""
    torch.manual_seed(seed)
    return ContextClassifier(kind, groups=[group.tolist() for group in groups()], element_features=ELEMENT_FEATURES)


def columns_of(
    seen: Described, known: Encoded, role: NDArray[np.int64] | None = None, element: NDArray[np.int64] | None = None,
    patches: list[Image] | None = None, held: Sequence[bool] = (),
) -> Columns:  # fmt: skip
    """Columns and their context as the network takes them."""
    none = np.zeros(0, np.int64)
    n, given = seen.moments.shape[:2]
    wide = [np.zeros((n, DETECTORS, part.shape[2]), np.float32) for part in seen]
    for out, part in zip(wide, seen, strict=True):
        out[:, :given] = part
    pixels = np.zeros((n, DETECTORS, *patches[0].shape[1:]), np.float32) if patches else np.zeros(0, np.float32)
    for slot, patch in enumerate(patches or []):
        pixels[:, slot] = patch
    arrays = [*wide, known.detectors, known.elements, known.present, known.globals, known.known, known.allowed,
              none if role is None else role, none if element is None else element, pixels,
              np.array(held, bool)]  # fmt: skip
    return Columns(*(torch.from_numpy(np.ascontiguousarray(one)) for one in arrays))


def training_sample(
    spec: Spec, bank: Bank, *, pixels: bool = False, held: Sequence[Callable[[AtomContext], bool]] = ()
) -> Callable[[np.random.Generator, int], Columns]:
    """What `nets.train.fit` asks for: one field a sample, told more or less about it.

    Args:
        held: what some networks of a comparison must not see: whether a field shows it.
    """

    def make(rng: np.random.Generator, step: int) -> Columns:
        while True:
            number = int(rng.integers(2**40))
            keep: list[Image] | None = [] if pixels else None
            try:
                found = patches_of(make_field(spec, number, bank), spec, number, keep=keep)
            except SettingsError:  # so few electrons that the host itself cannot be seen
                continue
            if len(found.role):
                break
        context, slots = _less_known(found.context, rng)
        seen = Described(*(part[:, slots] for part in found.described))
        patches = None if keep is None else [keep[slot] for slot in slots]
        kept_from = [shows(found.context) for shows in held]
        return columns_of(seen, encode(context, bank), found.role, found.element, patches, kept_from)

    return make


def _less_known(context: AtomContext, rng: np.random.Generator) -> tuple[AtomContext, list[int]]:
    """What somebody may know of a field: fewer variables, rough angles, more candidates, one detector of two."""
    slots = list(range(len(context.rings)))
    if len(slots) == 2:
        slots = ([0, 1], [0, 1], [0], [1])[rng.integers(4)]
    rings = []
    for slot in slots:
        ring = context.rings[slot]
        assert ring is not None
        error = _ANGLE_ERROR_MRAD if context.rings_estimated else 0.0
        inner = max(ring.inner_mrad + error * rng.standard_normal(), (context.semiangle_mrad or 30.0) + 2)
        rings.append(Ring(float(inner), max(ring.outer_mrad, float(inner) + 10)))
    host = context.crystal
    assert host is not None
    assert context.dopants is not None
    others = [name for name in host.dopants if name not in context.dopants]
    more = rng.choice(others, int(rng.integers(4)), replace=False).tolist() if rng.random() < 0.5 else []
    told = replace(context, rings=tuple(rings), dopants=(*context.dopants, *more))
    told = told.without(*(name for name, chance in _FORGOTTEN.items() if rng.random() < chance))
    if len(slots) == 2 and all(ring is None for ring in told.rings) and rng.random() < 0.5:
        slots = slots[::-1]
    return told, slots


def train(
    spec: Spec, bank: Bank, schedule: Schedule, folder: Path, *, kind: Kind = "attention", workers: int = 1,
    device: str = "cpu", told: Callable[[Step], None] = lambda step: None,
) -> ContextClassifier:  # fmt: skip
    """A classifier trained on simulated fields; a run in `folder` goes on where it was.

    Raises:
        TrainingError: as `nets.train.fit`.
    """
    make = training_sample(spec, bank, pixels=kind == "cnn-film")
    network = build(kind, seed=schedule.seed)
    fit(network, make, schedule, folder, device=device, workers=workers, told=told)
    return network


def posterior(
    role_logits: NDArray[np.floating[Any]], element_logits: NDArray[np.floating[Any]], allowed: NDArray[np.bool_],
    *, temperature: tuple[float, float] = (1.0, 1.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Probabilities of roles, and of roles with their element.

    Args:
        role_logits: (n, 6).
        element_logits: (n, 20).
        allowed: (6, 20) elements that each role can have; a role without one is impossible.
        temperature: of role and element logits.

    Returns:
        (n, 6) and (n, 6, 20); the second sums to the first over elements.
    """
    logits = np.where(allowed.any(axis=1), role_logits / temperature[0], -np.inf)
    role = _softmax(logits)
    within = np.where(allowed, (element_logits / temperature[1])[:, None, :], -np.inf)
    within[:, ~allowed.any(axis=1)] = 0.0
    return role, role[:, :, None] * _softmax(within)


def _softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float64)
