"""What is known beside an image of atoms: what a person writes into context.yaml and what the image's file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import HOSTS, host_of
from epistem.atoms.kernels import Bank, Ring
from epistem.atoms.yaml_file import Entries, checked, read_entries
from epistem.core import SettingsError

if TYPE_CHECKING:
    from epistem.core import Micrograph

_DISAGREES = 0.01


class Detector(BaseModel):
    """Angles of a detector [mrad]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner_mrad: float
    outer_mrad: float


class ContextFile(BaseModel):
    """What context.yaml can say; what is left out, or null, is unknown.

    Attributes:
        host: name of the crystal, "WSe2".
        dopants: metals that may stand on metal sites; an empty list: there is none; left out: any that was simulated.
        beam_keV, semiangle_mrad: of the beam.
        detectors: inner and outer angle of each detector, in the order of the images; null where unknown.
        detectors_rough: the angles are nominal, such as from a table of camera lengths.
        pixel_A, pixel_nm: distance of two pixels, in one of the two.
        dose_e_per_A2: electrons on a square ångström.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    dopants: tuple[str, ...] | None = None
    beam_keV: float | None = None
    semiangle_mrad: float | None = None
    detectors: tuple[Detector | None, ...] | None = Field(None, min_length=1, max_length=2)
    detectors_rough: bool = False
    pixel_A: float | None = None
    pixel_nm: float | None = None
    dose_e_per_A2: float | None = None


class Person(NamedTuple):
    """What a person says, and where: variable → "context.yaml, line 3" or the option."""

    said: ContextFile
    origin: Mapping[str, str]


class Told(NamedTuple):
    """What the classifier is told of an image.

    Attributes:
        context: of `atoms`.
        origin: variable → who says so; only of what is known.
        notes: where the file says otherwise.
    """

    context: AtomContext
    origin: Mapping[str, str]
    notes: tuple[str, ...]


def read_person(
    file: Path | None, *, host: str | None = None, dopants: Sequence[str] | None = None, pixel_A: float | None = None
) -> Person:
    """What context.yaml says; options win.

    Raises:
        RecordError: the file cannot be read.
        SettingsError: an unknown key or value, with its line; a pixel size said twice.
    """
    entries = Entries(Path("context.yaml"), {}, {}) if file is None else read_entries(file)
    said = checked(ContextFile, entries)
    if said.pixel_A is not None and said.pixel_nm is not None:
        raise SettingsError(f"{entries.where('pixel_nm')}: pixel_A gives the pixel size already; keep one of them")
    origin = {name: entries.where(name) for name in entries.values if getattr(said, name) is not None}
    options = {"host": host, "dopants": tuple(dopants) if dopants else None, "pixel_A": pixel_A}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "pixel_A" in given:
        given["pixel_nm"] = None
    if said.host is not None and host not in (None, said.host) and dopants is None:
        given["dopants"] = None  # those of another crystal
        origin.pop("dopants", None)
    flags = {"host": "--host", "dopants": "--dopant", "pixel_A": "--pixel-size"}
    return Person(
        said.model_copy(update=given),
        origin | {name: flags[name] for name in given if name in flags and given[name] is not None},
    )


def told(person: Person, images: Sequence[Micrograph], bank: Bank) -> Told:
    """What person and files say together: the person wins, and it is said where the file differs by more than 1 %.

    Args:
        person: from `read_person`.
        images: of one field, one for each detector.
        bank: whose beams are allowed.

    Raises:
        SettingsError: what was told contradicts itself, or lies outside what was simulated; files that disagree.
    """
    said, origin, notes = person.said, dict(person.origin), []
    rings = _rings(said, len(images), origin)
    pixel = said.pixel_A if said.pixel_A is not None else said.pixel_nm and 10 * said.pixel_nm
    if said.pixel_nm is not None:
        origin["pixel_A"] = origin.pop("pixel_nm")
    of_files = {
        "beam_keV": _one(images, "beam energy", [image.context.beam_keV for image in images], "keV"),
        "pixel_A": _one(images, "pixel size", [_pixel_A(image) for image in images], "Å"),
        "dose_e_per_A2": _one(images, "dose", [image.context.dose_e_per_A2 for image in images], "e/Å²"),
    }
    values = {"beam_keV": said.beam_keV, "pixel_A": pixel, "dose_e_per_A2": said.dose_e_per_A2}
    for name, found in of_files.items():
        value = values[name]
        if found is None:
            continue
        if value is None:
            values[name], origin[name] = found, _file_says(name, images)
        elif abs(value / found - 1) > _DISAGREES:
            notes.append(
                f"{name} is {value:.4g} by {origin[name]}, the file says {found:.4g}: {origin[name]} is used."
            )
    context = _context(said, rings, values, origin).check(bank)
    return Told(context, {name: who for name, who in origin.items() if name != "detectors_rough"}, tuple(notes))


def context_text(
    images: Sequence[Micrograph], *, host: str | None = None, dopants: Sequence[str] | None = None
) -> str:
    """A commented context.yaml with what the files say.

    Raises:
        SettingsError: files that disagree, an unknown host or dopant.
    """
    AtomContext(host, None if not dopants else tuple(dopants))
    keV = _one(images, "beam energy", [image.context.beam_keV for image in images], "keV")
    pixel = _one(images, "pixel size", [_pixel_A(image) for image in images], "Å")
    dose = _one(images, "dose", [image.context.dose_e_per_A2 for image in images], "e/Å²")
    names = ", ".join(image.name for image in images)
    metals = ", ".join(host_of(host).dopants) if host else "Ti, V, … of the host's sixteen"
    who = [image.context.detector or f"image {i + 1}" for i, image in enumerate(images)]
    listed = f"[{', '.join(dopants)}]" if dopants else "null"
    lines = [
        f"# What is known of {names}, for epistem atoms. Leave out, or write null, what is not known.",
        f"host: {host or 'null'}    # {', '.join(HOSTS)}",
        f"dopants: {listed}    # of {metals}; []: none; null: any of them",
        f"beam_keV: {_value(keV)}    # {'from the file' if keV else 'not in the file'}; 60 to 200",
        "semiangle_mrad: null    # convergence of the probe, 20 to 36",
        "detectors:    # annular dark field; null: inferred from the host's own contrast",
        *(f"  - null    # {name}; or {{inner_mrad: 40, outer_mrad: 120}}" for name in who),
        "detectors_rough: false    # true: nominal angles, such as from a table of camera lengths",
        f"pixel_A: {_value(pixel)}    # {'from the file' if pixel else 'not in the file'}",
        f"dose_e_per_A2: {_value(dose)}",
    ]
    return "\n".join(lines) + "\n"


def as_yaml(context: AtomContext) -> str:
    """A context as a file that `read_person` reads."""
    rings = [
        "null" if ring is None else f"{{inner_mrad: {ring.inner_mrad:.6g}, outer_mrad: {ring.outer_mrad:.6g}}}"
        for ring in context.rings
    ]
    dopants = "null" if context.dopants is None else f"[{', '.join(context.dopants)}]"
    lines = [
        f"host: {context.host or 'null'}", f"dopants: {dopants}", f"beam_keV: {_value(context.keV)}",
        f"semiangle_mrad: {_value(context.semiangle_mrad)}", "detectors:", *(f"  - {ring}" for ring in rings),
        f"detectors_rough: {str(context.rings_estimated).lower()}", f"pixel_A: {_value(context.pixel_A)}",
        f"dose_e_per_A2: {_value(context.dose_e_per_A2)}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _value(value: float | None) -> str:
    return "null" if value is None else f"{value:.6g}"


def _rings(said: ContextFile, images: int, origin: Mapping[str, str]) -> tuple[Ring | None, ...]:
    if said.detectors is None:
        return (None,) * images
    if len(said.detectors) != images:
        raise SettingsError(
            f"{origin['detectors']} names {len(said.detectors)} detectors, there are {images} images; wanted one for "
            "each, in their order, null where its angles are unknown"
        )
    return tuple(None if one is None else Ring(one.inner_mrad, one.outer_mrad) for one in said.detectors)


def _context(
    said: ContextFile, rings: tuple[Ring | None, ...], values: Mapping[str, float | None], origin: Mapping[str, str]
) -> AtomContext:
    try:
        return AtomContext(
            said.host, said.dopants, values["beam_keV"], said.semiangle_mrad, rings, said.detectors_rough,
            values["pixel_A"], values["dose_e_per_A2"],
        )  # fmt: skip
    except SettingsError as error:
        names = dict.fromkeys(origin.values())
        raise type(error)(f"{error}" + (f" (from {'; '.join(names)})" if names else "")) from error


def _pixel_A(image: Micrograph) -> float | None:
    """The file's pixel size [Å].

    Raises:
        SettingsError: pixels that are not square.
    """
    scale = image.calibration
    if scale is None:
        return None
    if not scale.is_square:
        raise SettingsError(
            f"{image.name}: rows lie {scale.row_nm:.4g} nm apart and columns {scale.col_nm:.4g} nm; resample it to "
            "square pixels"
        )
    return 10 * scale.col_nm


def _one(images: Sequence[Micrograph], what: str, values: Sequence[float | None], unit: str) -> float | None:
    """The value of all images; the first known.

    Raises:
        SettingsError: they differ by more than 1 %.
    """
    known = [value for value in values if value]
    if known and max(known) / min(known) - 1 > _DISAGREES:
        told = " and ".join(
            f"{value:.4g} {unit} in {image.name}" for image, value in zip(images, values, strict=True) if value
        )
        raise SettingsError(f"two detectors see one field at once, but the {what} is {told}; give images of one scan")
    return known[0] if known else None


def _file_says(name: str, images: Sequence[Micrograph]) -> str:
    scale = images[0].calibration
    if name == "pixel_A" and scale is not None:
        return f"{scale.source}{f' ({scale.detail})' if scale.detail else ''}"
    return "the file"
