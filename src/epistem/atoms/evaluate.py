"""How good the classifier is on simulated columns: by dose, dopant, context, and on what was held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0

from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ATOMIC_NUMBERS, HOSTS, ROLES, host_of, pair_name
from epistem.atoms.dataset import ELEMENTS, AtomField, Described, Patches, Setting, Spec, make_field, patches_of
from epistem.atoms.kernels import FREQUENCIES_PER_A, Bank, render
from epistem.stats.multiclass import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from epistem.stats.posterior import brier, calibration_error, log_loss, mean_entropy_bits

Floats = NDArray[np.float64]
Told = Callable[[AtomContext], AtomContext]

DOSES = (1e3, 1e4, 1e5, 1e6)
_REACH_A = 3.0


class Asked(Protocol):
    """What can be asked for posteriors: `model.AtomModel`, or a baseline."""

    def posterior(self, seen: Described, context: AtomContext, bank: Bank) -> tuple[Floats, Floats, Floats]: ...


@dataclass(frozen=True, eq=False)
class Answers:
    """Posteriors beside the truth.

    Attributes:
        role, element: (n,) truth.
        posterior: (n, 6) over roles.
        joint: (n, 120) over roles with their element.
        dopant_distance: (n,) |Z of the field's dopant − Z of the host's metal|.
    """

    role: NDArray[np.int64]
    element: NDArray[np.int64]
    posterior: Floats
    joint: Floats
    dopant_distance: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Answers:
        """Some of them."""
        return Answers(
            self.role[mask], self.element[mask], self.posterior[mask], self.joint[mask], self.dopant_distance[mask]
        )

    @property
    def truth(self) -> NDArray[np.int64]:
        """(n,) role and element as one number."""
        return self.role * len(ELEMENTS) + self.element


@dataclass(frozen=True)
class Summary:
    """What the answers are worth; n columns.

    Attributes:
        accuracy, balanced_accuracy, macro_f1: of the likeliest role.
        entropy_bits, nll_bits: of the posterior over roles with their element.
        role_entropy_bits, role_nll_bits: over roles alone.
        ece, brier: over roles.
    """

    n: int
    accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    entropy_bits: float | None
    nll_bits: float | None
    role_entropy_bits: float | None
    role_nll_bits: float | None
    ece: float | None
    brier: float | None


def summary(answers: Answers) -> Summary:
    """All numbers of some answers; None where there is nothing to count."""
    table = confusion_matrix(answers.role, answers.posterior.argmax(axis=1), classes=len(ROLES))
    joint, role = log_loss(answers.joint, answers.truth), log_loss(answers.posterior, answers.role)
    return Summary(
        len(answers.role), accuracy(table), balanced_accuracy(table), macro_f1(table),
        mean_entropy_bits(answers.joint), joint.bits if joint else None,
        mean_entropy_bits(answers.posterior), role.bits if role else None,
        calibration_error(answers.posterior, answers.role), brier(answers.posterior, answers.role),
    )  # fmt: skip


def trial_spec(dose_e_per_A2: float, *, seed: int = 7_000_003, patches: str = "balanced", **changes: object) -> Spec:
    """Fields as in training but of another seed, at one dose and with the standard detectors as they are."""
    return Spec.model_validate(
        {"seed": seed, "dose_e_per_A2": (dose_e_per_A2, dose_e_per_A2), "size_A": 60.0, "patches": patches} | changes
    )


def cases(spec: Spec) -> list[tuple[str, str, Setting]]:
    """Every host, dopant and beam; both detectors record at once, so 288 for 576 cases."""
    return list(dict.fromkeys((host, dopant, setting) for host, dopant, setting, _ in spec.cases()))


def drawn_cases(spec: Spec, every: int) -> list[tuple[str, str, Setting]]:
    """One in `every` of the cases, drawn: a stride would keep to some dopants or one energy."""
    known = cases(spec)
    order = np.random.default_rng(0).permutation(len(known))
    return [known[at] for at in np.sort(order[: -(-len(known) // every)])]


def trial_patches(spec: Spec, bank: Bank, wanted: Sequence[tuple[str, str, Setting]]) -> Iterator[Patches]:
    """Patches of one field for each case."""
    every = {case: number for number, case in enumerate(cases(spec))}
    for case in wanted:
        number = every[case]
        found = patches_of(make_field(spec, number, bank, case=case), spec, number)
        if len(found.role):
            yield found


def answers(
    model: Asked,
    fields: Sequence[Patches],
    bank: Bank,
    *,
    slots: Sequence[Sequence[int]] = ((0,), (1,)),
    told: Told | None = None,
) -> Answers:
    """The model's posteriors for all columns of some fields, once for each choice of detectors.

    Args:
        slots: which of the recorded detectors it is given; by default one at a time, as in the published study.
        told: changes what it is told.
    """
    parts = []
    for found in fields:
        for chosen in slots:
            context = AtomContext(
                found.context.host, found.context.dopants, found.context.keV, found.context.semiangle_mrad,
                tuple(found.context.rings[slot] for slot in chosen), found.context.rings_estimated,
                found.context.pixel_A,
                found.context.dose_e_per_A2,
            )  # fmt: skip
            seen = Described(*(part[:, list(chosen)] for part in found.described))
            role, joint, _ = model.posterior(seen, context if told is None else told(context), bank)
            parts.append((found.role, found.element, role, joint.reshape(len(role), -1), _distance(found)))
    return Answers(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))


def _distance(found: Patches) -> NDArray[np.int64]:
    host = found.context.crystal
    assert host is not None
    assert found.context.dopants is not None
    near = min(abs(ATOMIC_NUMBERS[name] - ATOMIC_NUMBERS[host.metal]) for name in found.context.dopants)
    return np.full(len(found.role), near)


def bound(
    spec: Spec, bank: Bank, wanted: Sequence[tuple[str, str, Setting]]
) -> tuple[int, int, dict[int, tuple[int, int]]]:
    """Columns, and how many of them an observer gets right who knows everything but what the column is.

    It knows the noise-free image, the neighbours and the place, and asks which of the three roles that the site can
    have makes the counts likeliest: nothing that looks at one detector can do better. Fields without aberrations,
    contamination, jitter and read noise, which it would have to know as well.

    Returns:
        Columns, right ones, and both by |ΔZ| of the dopant.
    """
    plain = spec.model_copy(update={
        "defocus_A": (0.0, 0.0), "astigmatism_A": (0.0, 0.0), "coma_A": (0.0, 0.0), "jitter_A": (0.0, 0.0),
        "contamination": (0.0, 0.0), "read_noise": (0.0, 0.0), "relaxation_A": 0.0, "shear": 0.0,
    })  # fmt: skip
    every = {case: number for number, case in enumerate(cases(plain))}
    by_distance: dict[int, tuple[int, int]] = {}
    for case in wanted:
        number = every[case]
        field = make_field(plain, number, bank, case=case)
        chosen = patches_of(field, plain, number).site
        for slot in range(len(field.counts)):
            right = _likeliest(field, chosen, slot, bank) == field.sheet.role[chosen]
            host = host_of(case[0])
            at = abs(ATOMIC_NUMBERS[case[1]] - ATOMIC_NUMBERS[host.metal])
            n, good = by_distance.get(at, (0, 0))
            by_distance[at] = (n + len(right), good + int(right.sum()))
    return sum(n for n, _ in by_distance.values()), sum(good for _, good in by_distance.values()), by_distance


def _likeliest(field: AtomField, chosen: NDArray[np.int64], slot: int, bank: Bank) -> NDArray[np.int64]:
    """(n,) role of the highest Poisson likelihood."""
    assert field.formation.lens.perfect
    host, setting = field.sheet.host, field.setting
    spectra = bank.spectra(setting.beam, setting.rings[slot])
    radius = np.linspace(0, _REACH_A * 1.5, 400)
    step = FREQUENCIES_PER_A[1]
    damped = np.exp(-2 * (np.pi * field.formation.blur_A * FREQUENCIES_PER_A) ** 2) * FREQUENCIES_PER_A
    matrix = 2 * np.pi * j0(2 * np.pi * np.outer(radius, FREQUENCIES_PER_A)) * damped * step
    profile = {name: matrix @ values for name, values in spectra.items()} | {"": np.zeros(len(radius))}
    scale = field.formation.dose_e_per_A2 * field.pixel_A**2
    ideal = _noise_free(field, slot, bank) * scale
    dopant = field.dopants[0]
    hypotheses = {
        0: [("M", host.metal), ("D_M", dopant), ("V_M", "")],
        1: [("X2", pair_name(host)), ("V_X", host.chalcogen), ("V_X2", "")],
    }
    column = field.sheet.column
    best = np.zeros(len(chosen), np.int64)
    reach = int(np.ceil(_REACH_A / field.pixel_A))
    grid = np.stack(np.meshgrid(*(np.arange(-reach, reach + 1),) * 2, indexing="ij"), -1).reshape(-1, 2)
    for i, site in enumerate(chosen):
        centre = np.round(field.sites_px[site]).astype(int)
        pixels = centre + grid
        inside = ((pixels >= 0) & (pixels < np.array(ideal.shape))).all(axis=1)
        pixels = pixels[inside]
        distance = np.linalg.norm(pixels - field.sites_px[site], axis=1) * field.pixel_A
        mean = ideal[pixels[:, 0], pixels[:, 1]]
        counts = field.counts[slot][pixels[:, 0], pixels[:, 1]]
        own = np.interp(distance, radius, profile[str(column[site])])
        scores = []
        for role, name in hypotheses[int(field.sublattice[site])]:
            other = np.maximum(mean + scale * (np.interp(distance, radius, profile[name]) - own), 1e-9)
            scores.append((float((counts * np.log(other) - other).sum()), ROLES.index(role)))
        best[i] = max(scores)[1]
    return best


def _noise_free(field: AtomField, slot: int, bank: Bank) -> Floats:
    spectra = bank.spectra(field.setting.beam, field.setting.rings[slot])
    shape = (field.counts.shape[1], field.counts.shape[2])
    image = render(
        field.sheet.xy_A, field.sheet.column, [spectra], shape, field.pixel_A, blur_A=field.formation.blur_A
    )
    return np.asarray(image[0], np.float64)


def wrong_context(context: AtomContext) -> AtomContext:
    """The same field under a false name: another host, the dopant of another period, another energy and detector."""
    names = list(HOSTS)
    host = HOSTS[names[(names.index(context.host or names[0]) + 3) % len(names)]]
    dopant = "Ta" if (context.dopants or ("",))[0] != "Ta" else "Cr"
    rings = tuple(
        None if ring is None else type(ring)(*((85, 250) if ring.inner_mrad < 65 else (40, 90)))
        for ring in context.rings
    )
    return replace(
        context, host=host.name, dopants=(dopant,), keV=200.0 if (context.keV or 80) < 150 else 60.0, rings=rings
    )
