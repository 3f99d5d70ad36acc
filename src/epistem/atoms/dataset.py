"""Labelled patches without end: a few lines of specification, a seed, and the same bytes every time.

::

    Spec ─ number ─► make_field ─► Field (counts, truth) ─► patches_of ─► Patches (moments, labels, context)

Nothing is stored but the specification; field number i is made from the seed and i alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import (
    ATOMIC_NUMBERS,
    HOSTS,
    Host,
    Shares,
    Sheet,
    check_dopants,
    host_of,
    lattice_vectors,
    make_sheet,
)  # fmt: skip
from epistem.atoms.formation import Formation, Lens, drifted, expose, relative_transfer
from epistem.atoms.kernels import Bank, Ring, grid_of, render
from epistem.atoms.multislice import Beam
from epistem.atoms.patches import cut, levels
from epistem.atoms.yaml_file import checked, read_entries
from epistem.atoms.zernike import moments

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

ELEMENTS = tuple(sorted(ATOMIC_NUMBERS, key=ATOMIC_NUMBERS.__getitem__))


class Setting(BaseModel):
    """A beam and the detectors that record at once.

    Attributes:
        keV, semiangle_mrad: of the beam.
        detectors: inner and outer angle of one or two [mrad].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keV: float
    semiangle_mrad: float = 30.0
    detectors: tuple[tuple[float, float], ...] = Field(((40, 90), (85, 250)), min_length=1, max_length=2)

    @property
    def beam(self) -> Beam:
        """The beam."""
        return Beam(self.keV, self.semiangle_mrad)

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The detectors."""
        return tuple(Ring(*angles) for angles in self.detectors)


STANDARD = tuple(Setting(keV=keV) for keV in (60.0, 80.0, 200.0))
"""The three beams of the published study, each with its LAADF and HAADF detector: six settings."""

Range = tuple[float, float]


class Spec(BaseModel):
    """What the fields of a dataset are drawn from; each is drawn evenly, doses and shares of defects on a log scale.

    Attributes:
        seed: the same seed, the same bytes.
        hosts: names of crystals.
        dopants: metals to put in, or "all" that the host has; `per_field` of them at a time.
        settings: beams and detectors, evenly; `detector_spread_mrad` moves their angles from field to field.
        size_A: side of a field, and
        largest_px: its most pixels: of fine pixels the field is smaller, they cost the most and show the same.
        pixel_A, dose_e_per_A2, blur_A, defocus_A, astigmatism_A, coma_A, jitter_A, contamination, read_noise: ranges.
        strain: largest strain.
        shear: largest drift, in lines for each line.
        scatter: range of how much columns of one kind differ in signal, more than their electrons do: the scale of
            Student's t with four degrees of freedom, for tilt, ripples, damage and what has settled on the sheet.
        relaxation_A: standard deviation of a column's displacement from its site.
        placement_A: standard deviation of where a patch is centred from the site.
        defects: range of the share of each kind of defect among the sites that can have it.
        doubtful: share of fields whose angles are only estimated: there every column's signal is off by
            `signal_error` (standard deviation of its logarithm, on each detector), as real detectors and tilted
            crystals have it.
        patches: which are given: "balanced" has each role as often, as far as it goes round; "natural" has all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    hosts: tuple[str, ...] = tuple(HOSTS)
    dopants: tuple[str, ...] | Literal["all"] = "all"
    per_field: tuple[int, int] = (1, 1)
    settings: tuple[Setting, ...] = Field(STANDARD, min_length=1)
    detector_spread_mrad: float = Field(0.0, ge=0)
    size_A: float = Field(80.0, ge=20, le=400)
    largest_px: int = Field(320, ge=100, le=8192)
    pixel_A: Range = (0.1, 0.45)
    dose_e_per_A2: Range = (300.0, 3e5)
    blur_A: Range = (0.3, 0.55)
    defocus_A: Range = (-50.0, 50.0)
    astigmatism_A: Range = (0.0, 20.0)
    coma_A: Range = (0.0, 800.0)
    jitter_A: Range = (0.0, 0.1)
    contamination: Range = (0.0, 0.3)
    read_noise: Range = (0.0, 0.5)
    strain: float = Field(0.02, ge=0, le=0.1)
    shear: float = Field(0.02, ge=0, le=0.2)
    scatter: Range = (0.0, 0.0)
    relaxation_A: float = Field(0.03, ge=0)
    placement_A: float = Field(0.12, ge=0)
    defects: Range = (0.01, 0.12)
    doubtful: float = Field(0.0, ge=0, le=1)
    signal_error: float = Field(0.15, ge=0, le=1)
    patches: Literal["balanced", "natural"] = "balanced"

    @model_validator(mode="after")
    def _meaningful(self) -> Spec:
        for name in type(self).model_fields:
            value = getattr(self, name)
            is_range = isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], (str, Setting))
            if is_range and not value[0] <= value[1]:
                raise ValueError(f"{name} goes from low to high, not {value[0]:g} to {value[1]:g}")
        if not self.hosts:
            raise ValueError(f"hosts names at least one of {', '.join(HOSTS)}")
        for name in ("pixel_A", "dose_e_per_A2", "defects"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)[0]:g}")
        for host in self.hosts:
            known = host_of(host)
            if self.dopants != "all":
                check_dopants(known, self.dopants)
        return self

    def cases(self) -> list[tuple[str, str, Setting, int]]:
        """Every host, dopant, setting and detector: 576 for the published study."""
        return [
            (host, dopant, setting, which)
            for host in self.hosts
            for dopant in (host_of(host).dopants if self.dopants == "all" else self.dopants)
            for setting in self.settings
            for which in range(len(setting.detectors))
        ]


@dataclass(frozen=True, eq=False)
class AtomField:
    """A simulated field with its truth.

    Attributes:
        counts: (detectors, H, W) electrons.
        sheet: every column, also those outside the image.
        sites_px: (n, 2) row and column where each site appears in the image.
        sublattice: (n,) 0 metal, 1 chalcogen.
        hollow_px: (k, 2) row and column of hollow centres.
        a_px: lattice constant.
        turned: direction of the first lattice vector in the image [rad].
        setting, formation, pixel_A: how it was taken.
        dopants: that may be in it.
        doubtful: the signals are not quite those of the setting.
    """

    counts: Image
    sheet: Sheet
    sites_px: Floats
    sublattice: NDArray[np.int64]
    hollow_px: Floats
    a_px: float
    turned: float
    setting: Setting
    formation: Formation
    pixel_A: float
    dopants: tuple[str, ...]
    doubtful: bool = False

    @property
    def context(self) -> AtomContext:
        """All that can be known."""
        beam = self.setting.beam
        return AtomContext(
            self.sheet.host.name, self.dopants, beam.keV, beam.semiangle_mrad, self.setting.rings, self.doubtful,
            self.pixel_A, self.formation.dose_e_per_A2,
        )  # fmt: skip

    @property
    def whole(self) -> NDArray[np.bool_]:
        """(n,) whether the whole patch of a site lies in the image."""
        edge = self.a_px * np.sqrt(3) / 2 + 1
        rows, cols = self.counts.shape[1:]
        fits = (self.sites_px >= edge) & (self.sites_px < np.array([rows, cols]) - 1 - edge)
        return np.asarray(fits.all(axis=1), np.bool_)


def make_field(spec: Spec, number: int, bank: Bank, *, case: tuple[str, str, Setting] | None = None) -> AtomField:
    """Field `number` of a dataset.

    Args:
        case: host, dopant and setting instead of drawn ones.

    Raises:
        SettingsError: a beam or detector outside the bank.
    """
    rng = np.random.default_rng([spec.seed, number])
    if case is None:
        host = host_of(spec.hosts[rng.integers(len(spec.hosts))])
        choice = host.dopants if spec.dopants == "all" else spec.dopants
        many = min(len(choice), int(rng.integers(spec.per_field[0], spec.per_field[1] + 1)))
        dopants = tuple(sorted(rng.choice(choice, many, replace=False).tolist()))
        setting = _moved_detectors(spec.settings[rng.integers(len(spec.settings))], spec.detector_spread_mrad, rng)
    else:
        host, dopants, setting = host_of(case[0]), (case[1],), case[2]
    return _draw(spec, host, check_dopants(host, dopants), setting, bank, rng)


def _draw(
    spec: Spec, host: Host, dopants: tuple[str, ...], setting: Setting, bank: Bank, rng: np.random.Generator
) -> AtomField:
    def even(bounds: Range) -> float:
        return float(rng.uniform(*bounds))

    def logarithmic(bounds: Range) -> float:
        return float(np.exp(rng.uniform(*np.log(bounds))))

    pixel = even(spec.pixel_A)
    strain = rng.uniform(-spec.strain, spec.strain, 3)
    vectors = lattice_vectors(host, turned=even((0, np.pi / 3)), strain=(strain[0], strain[1], strain[2] / 2))
    formation = Formation(
        logarithmic(spec.dose_e_per_A2), even(spec.blur_A),
        Lens(even(spec.defocus_A), even(spec.astigmatism_A), even((0, np.pi)), even(spec.coma_A), even((0, 2 *
        np.pi))),
        even(spec.jitter_A), (even((-spec.shear, spec.shear)), even((-spec.shear, spec.shear))),
        even(spec.contamination), even((1.0, 3.0)), even(spec.read_noise),
    )  # fmt: skip
    share = [logarithmic(spec.defects) for _ in range(4)]
    shares = Shares({name: share[0] / len(dopants) for name in dopants}, *share[1:])
    side = min(spec.size_A, spec.largest_px * pixel)
    sheet = make_sheet(host, vectors, (side, side), shares, rng, margin_A=side * spec.shear + 9.0)
    error = spec.signal_error if rng.random() < spec.doubtful else 0.0
    return expose_sheet(sheet, setting, formation, pixel, (round(side / pixel),) * 2, bank, rng,
                        dopants=dopants, relaxation_A=spec.relaxation_A, signal_error=error,
                        scatter=even(spec.scatter) if spec.scatter[1] else 0.0)  # fmt: skip


def expose_sheet(
    sheet: Sheet, setting: Setting, formation: Formation, pixel_A: float, shape: tuple[int, int], bank: Bank,
    rng: np.random.Generator, *, dopants: tuple[str, ...], relaxation_A: float = 0.0, signal_error: float = 0.0,
    scatter: float = 0.0,
) -> AtomField:  # fmt: skip
    """An image of a sheet, with its truth in pixels."""
    moved = sheet.xy_A + relaxation_A * rng.standard_normal(sheet.xy_A.shape)
    spectra = [bank.spectra(setting.beam, ring) for ring in setting.rings]
    if signal_error:
        spectra = [{k: v * np.exp(signal_error * rng.standard_normal()) for k, v in one.items()} for one in spectra]
    transfer = relative_transfer(formation.lens, setting.beam, grid_of(shape, pixel_A))
    # No column takes electrons away, or gives thrice its own.
    strength = np.clip(1 + scatter * rng.standard_t(4, len(moved)), 0, 3) if scatter else None
    ideal = render(
        drifted(moved, formation.shear), sheet.column, spectra, shape, pixel_A,
        transfer=transfer, blur_A=formation.blur_A, strength=strength,
    )  # fmt: skip
    counts = expose(ideal, formation.checked(), pixel_A, rng)
    vectors = drifted(sheet.vectors_A, formation.shear)
    metal = np.isin(sheet.role, (0, 2, 5))
    hollow = drifted(sheet.xy_A[metal] + sheet.vectors_A.sum(axis=0) * (2 / 3), formation.shear)[:, ::-1] / pixel_A
    inside = ((hollow >= 0) & (hollow < np.array(shape) - 1)).all(axis=1)
    return AtomField(
        counts, sheet, drifted(sheet.xy_A, formation.shear)[:, ::-1] / pixel_A, np.where(metal, 0, 1), hollow[inside],
        float(np.sqrt(abs(np.linalg.det(vectors)) * 2 / np.sqrt(3))) / pixel_A,
        float(np.arctan2(vectors[0, 1], vectors[0, 0])), setting, formation, pixel_A, dopants, signal_error > 0,
    )  # fmt: skip


def _moved_detectors(setting: Setting, spread_mrad: float, rng: np.random.Generator) -> Setting:
    """The setting with its detectors a little wider or narrower, within what can be rendered."""
    if not spread_mrad:
        return setting
    rings = []
    for inner, outer in setting.detectors:
        inner = float(np.clip(inner + spread_mrad * rng.uniform(-1, 1), setting.semiangle_mrad + 2, 200))
        outer = float(np.clip(outer + 4 * spread_mrad * rng.uniform(-1, 1), inner + 30, 270))
        rings.append((inner, outer))
    return setting.model_copy(update={"detectors": tuple(rings)})


class Described(NamedTuple):
    """What the classifier sees of columns.

    Attributes:
        moments: (n, detectors, 66) Zernike moments of the patches, in units of the host's contrast.
        scalars: (n, detectors, 4): share of the dim sub-lattice's height, whether the column's is the bright one,
            log₁₀ of the noise, and the column's own height.
    """

    moments: Image
    scalars: Image


def describe(
    images: Image, sites_px: Floats, sublattice: NDArray[np.int64], hollow_px: Floats, a_px: float, turned: float,
    chosen: NDArray[np.int64], *, centres_px: Floats | None = None, keep: list[Image] | None = None,
) -> Described:  # fmt: skip
    """Moments of patches round chosen sites, the same for simulated and real images.

    Args:
        images: (detectors, H, W).
        sites_px, sublattice, hollow_px, a_px: the lattice, of all sites.
        turned: direction of a lattice vector [rad]; patches lie along it.
        chosen: (n,) which sites.
        centres_px: (n, 2) centres of their patches, where they are not the sites.
        keep: patches of each detector are put here, (n, 32, 32), for classifiers that look at pixels.

    Raises:
        SettingsError: no contrast of a host.
    """
    inside = ((sites_px >= 0) & (sites_px < np.array(images.shape[1:]) - 1)).all(axis=1)
    number = np.cumsum(inside) - 1
    centres = sites_px[chosen] if centres_px is None else centres_px
    found, scalars = [], []
    for image in images:
        host = levels(image, sites_px[inside], sublattice[inside], hollow_px, a_px)
        patch = cut(image, centres, side_px=a_px * np.sqrt(3), turned=turned)
        own = number[chosen]
        patch = (patch - host.hollow[own, None, None].astype(np.float32)) / np.float32(host.bright)
        if keep is not None:
            keep.append(patch)
        found.append(moments(patch))
        bright = (sublattice[chosen] == host.bright_is).astype(float)
        noise = np.log10(max(host.noise, 1e-4))
        scalars.append(
            np.stack([np.full_like(bright, host.dim), bright, np.full_like(bright, noise), host.height[own]], 1)
        )
    return Described(np.stack(found, 1).astype(np.float32), np.stack(scalars, 1).astype(np.float32))


class Patches(NamedTuple):
    """Labelled columns of one field.

    Attributes:
        described: what is seen of them.
        role: (n,) index into ROLES.
        element: (n,) index into ELEMENTS: of the atom that makes the role, or of the missing one.
        context: what can be known of the field.
        site: (n,) which site of the field.
    """

    described: Described
    role: NDArray[np.int64]
    element: NDArray[np.int64]
    context: AtomContext
    site: NDArray[np.int64]


def patches_of(field: AtomField, spec: Spec, number: int, *, keep: list[Image] | None = None) -> Patches:
    """The patches of a field that the specification asks for."""
    rng = np.random.default_rng([spec.seed, number, 1])
    usable = np.flatnonzero(field.whole)
    chosen = usable if spec.patches == "natural" else _balanced(field.sheet.role, usable, rng)
    off = spec.placement_A / field.pixel_A * rng.standard_normal((len(chosen), 2))
    # By 60° turns: nobody knows which of a triangular lattice's three directions is the first.
    turned = field.turned + rng.integers(6) * np.pi / 3
    seen = describe(
        field.counts, field.sites_px, field.sublattice, field.hollow_px, field.a_px, turned, chosen,
        centres_px=field.sites_px[chosen] + off, keep=keep,
    )  # fmt: skip
    index = {name: at for at, name in enumerate(ELEMENTS)}
    element = np.array([index[name] for name in field.sheet.element[chosen].tolist()], np.int64)
    return Patches(seen, field.sheet.role[chosen], element, field.context, chosen)


def _balanced(
    role: NDArray[np.int64], usable: NDArray[np.int64], rng: np.random.Generator, most: int = 60
) -> NDArray[np.int64]:
    """As many of each role as the roles have on the median, at most; all of a rarer one."""
    of_role = [usable[role[usable] == kind] for kind in range(6)]
    want = min(most, max(4, int(np.median([len(one) for one in of_role if len(one)]))))
    return np.sort(np.concatenate([rng.permutation(one)[:want] for one in of_role]))


def stream(spec: Spec, bank: Bank, numbers: Sequence[int] | range) -> Iterator[Patches]:
    """Patches field by field, in order; a field of which no whole patch lies inside is skipped."""
    for number in numbers:
        found = patches_of(make_field(spec, number, bank), spec, number)
        if len(found.role):
            yield found


def read_spec(path: Path) -> Spec:
    """A specification from its YAML or JSON file.

    Raises:
        RecordError: the file cannot be read.
        SettingsError: a name or value that there is not, with its line.
    """
    return checked(Spec, read_entries(path))
