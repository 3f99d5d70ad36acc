"""From a trained network to a classifier whose probabilities hold, on simulated fields it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.classify import METAL, estimated_shares, one_metal_sublattice, with_shares
from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Described, Image, Spec, make_field, patches_of
from epistem.atoms.encode import encode
from epistem.atoms.kernels import Bank
from epistem.atoms.model import AtomModel
from epistem.core import SettingsError
from epistem.stats.posterior import calibration_error, fit_sets, fit_temperature, log_loss

Floats = NDArray[np.float64]
_IMPOSSIBLE = -1e4
_ONE_DETECTOR = 0.3
_EVEN = np.full(len(ROLES), 1 / len(ROLES))


class _Field(NamedTuple):
    """What the network said of one field, and what is true."""

    role_logits: Floats
    element_logits: Floats
    allowed: NDArray[np.bool_]
    role: NDArray[np.int64]
    element: NDArray[np.int64]


def calibrated(
    network: Any, spec: Spec, bank: Bank, *, fields: int = 100, seed: int = 1_000_003, coverage: float = 0.9,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> AtomModel:  # fmt: skip
    """A network with temperatures and prediction sets, ready to be asked; what was found is in its card.

    The fields are told as to somebody who knows the sample and has the microscope's files: composition, beam, pixel
    size, angles as well as the field has them, probe and dose or not, one detector or two. Temperatures are fitted to
    the bare posteriors, sets to those of whole images (one metal sub-lattice, shares from the image), both with every
    role as often as the others, so that a set also holds the rare ones.

    Args:
        network: trained, of `learn.build`.
        spec: of the fields; only its seed is changed.
        bank: columns that they are made of.
        fields: how many.
        seed: of the fields; not that of the specification, or the network would be tested on what it learned from.
        coverage: of the sets, 0 to 1.
        told: called with how many fields are done.

    Raises:
        SettingsError: the seed of the specification, or so few fields that a role never occurs.
    """
    from epistem.atoms.learn import posterior

    if seed == spec.seed:
        raise SettingsError(f"calibration needs fields that were not learned from: another seed than {seed}")
    network = network.cpu().eval()
    asked = list(
        _asked(network, spec.model_copy(update={"seed": seed, "patches": "natural"}), bank, fields, seed, told)
    )
    role = np.concatenate([one.role for one in asked])
    rows = _balanced(role, np.random.default_rng(seed))
    logits = np.concatenate([_possible(one.role_logits, np.asarray(one.allowed.any(axis=1))) for one in asked])
    temperature = (fit_temperature(logits[rows], role[rows]), _element_temperature(asked))
    each = (posterior(one.role_logits, one.element_logits, one.allowed, temperature=temperature) for one in asked)
    used = np.concatenate([_as_in_an_image(*said, one.role) for said, one in zip(each, asked, strict=True)])
    sets = fit_sets(used[rows], role[rows], coverage=coverage)
    # At less than one half a set would be empty where one role is likelier than all others; wider sets cover no less.
    threshold = float(np.clip(sets.threshold, 0.5, 1.0))
    model = AtomModel(network, temperature=temperature, threshold=threshold, coverage=coverage)
    model.card["calibration"] = {
        "fields": fields, "seed": seed, "columns": len(role), "columns_with_even_roles": len(rows),
        **_found(logits[rows], role[rows], temperature[0]),
        "covered": {name: float(model.sets(used[role == at])[:, at].mean()) for at, name in enumerate(ROLES)},
    }  # fmt: skip
    return model


def _asked(
    network: Any, spec: Spec, bank: Bank, fields: int, seed: int, told: Callable[[int, int], None]
) -> Iterator[_Field]:
    from epistem.atoms.learn import columns_of

    for number in range(fields):
        keep: list[Image] | None = [] if network.kind == "cnn-film" else None
        found = patches_of(make_field(spec, number, bank), spec, number, keep=keep)
        if len(found.role):
            context, slots = _as_told(found.context, np.random.default_rng([seed, number]))
            known = encode(context, bank)
            seen = Described(*(part[:, slots] for part in found.described))
            pixels = None if keep is None else [keep[slot] for slot in slots]
            role, element, _ = network.predict(columns_of(seen, known, patches=pixels))
            yield _Field(role.astype(float), element.astype(float), known.allowed, found.role, found.element)
        told(number + 1, fields)


def _as_told(context: AtomContext, rng: np.random.Generator) -> tuple[AtomContext, list[int]]:
    """The context as somebody knows it who has the files, and which of its detectors there are."""
    slots = list(range(len(context.rings)))
    if len(slots) == 2 and rng.random() < _ONE_DETECTOR:
        slots = [int(rng.integers(2))]
    known = replace(context, rings=tuple(context.rings[slot] for slot in slots))
    return (known.without("probe", "dose") if rng.random() < 0.5 else known), slots


def _balanced(role: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows in which every role is as often as the rarest."""
    count = np.bincount(role, minlength=len(ROLES))
    if not count.all():
        missing = ", ".join(name for name, n in zip(ROLES, count, strict=True) if not n)
        raise SettingsError(f"no {missing} among the {len(role)} columns of the fields; calibrate on more fields")
    few = int(count.min())
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(role == at))[:few] for at in range(len(ROLES))]))


def _possible(logits: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """The logits, next to none where a class cannot be."""
    return np.where(allowed, logits, _IMPOSSIBLE)


def _element_temperature(asked: list[_Field]) -> float:
    """Of the columns that may be of several elements; 1 where none are."""
    logits = np.concatenate([_possible(one.element_logits, one.allowed[one.role]) for one in asked])
    element = np.concatenate([one.element for one in asked])
    open_ = (logits > _IMPOSSIBLE).sum(axis=1) > 1
    return fit_temperature(logits[open_], element[open_]) if open_.any() else 1.0


def _as_in_an_image(role: Floats, joint: Floats, true_role: NDArray[np.int64]) -> Floats:
    """The posteriors as `classify` gives them; it cannot tell the two numbers of the sub-lattices apart."""
    sublattice = np.where(METAL[true_role], 0, 1).astype(np.int64)
    role, joint, _, _ = one_metal_sublattice(role, joint, sublattice)
    return with_shares(role, joint, estimated_shares(role, _EVEN), _EVEN)[0]


def _found(logits: Floats, role: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Bare posteriors of columns with even roles, before and after."""
    from scipy.special import softmax

    found: dict[str, Any] = {}
    for when, p in (("before", softmax(logits, axis=1)), ("after", softmax(logits / temperature, axis=1))):
        loss = log_loss(p, role)
        found |= {f"nll_{when}": loss and loss.nats, f"ece_{when}": calibration_error(p, role)}
    return found | {"accuracy": float((logits.argmax(axis=1) == role).mean())}
