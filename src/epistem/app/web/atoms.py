"""Jobs "atoms_read" and "atoms": what the files of a field say, and what `epistem atoms classify` does with them.

::

    ITEM/atoms/file.json                      what the files say, for the form
    ITEM/atoms/picture.png, picture_2.png     one a detector
    ITEM/atoms/results/                       as `epistem atoms classify` writes them, and context.yaml
    ITEM/atoms/columns.json, told.json        what the page shows
    ITEM/atoms/posterior.npz                  for other shares of dopants
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistem.app.atoms_context import ContextFile, Person, as_yaml, told
from epistem.app.atoms_images import read_field
from epistem.app.web.detect import check_size
from epistem.app.web.jobs import Bench
from epistem.app.web.rooms import Refused, Room, read_json
from epistem.atoms.yaml_file import Entries, checked
from epistem.core import Micrograph, SettingsError
from epistem.core.files import write_text, written_whole
from epistem.report.overlay import plain_png

if TYPE_CHECKING:
    from epistem.app.atoms_use import Field
    from epistem.app.web.desk import Desk
    from epistem.atoms.model import AtomModel

LOOKS = frozenset({"picture.png", "picture_2.png"})
FORM = "the form"
DEFECTS, UNSURE = "defects", "uncertain"
"""Of columns, beside their labels."""


def queue_read(desk: Desk, room: Room, images: Sequence[str]) -> str:
    """Queues a look at what the files of a field say, and tells the job's id.

    Raises:
        Refused: there are no such images in this session.
    """
    return desk.queue_job(room, "atoms_read", {"images": _field(room, images)}, images[0])


def queue_atoms(
    desk: Desk, room: Room, images: Sequence[str], context: Mapping[str, Any], what_if: bool = True
) -> str:
    """Queues the classification of a field, and tells the job's id; one that waits with other settings is dropped.

    Args:
        images: one, or two whose detectors recorded at once.
        context: as context.yaml has it.
        what_if: ask again with less and with wrong metadata.

    Raises:
        Refused: there are no such images in this session.
        SettingsError: a value that cannot be.
    """
    person_of(context)
    asked = {"images": _field(room, images), "context": dict(context), "what_if": what_if}
    for job in desk.queue.of_room(room.name, kind="atoms", item=images[0], state="waiting"):
        desk.queue.cancel(job.id, room.name)
    return desk.queue_job(room, "atoms", asked, images[0])


def person_of(context: Mapping[str, Any]) -> Person:
    """What the form says, as `epistem atoms classify` takes it; what is empty is unknown.

    Raises:
        SettingsError: an unknown name or value.
    """
    said = checked(ContextFile, Entries(Path(FORM), dict(context), {}))
    if said.pixel_A is not None and said.pixel_nm is not None:
        raise SettingsError("pixel_A gives the pixel size already; keep one of them and pixel_nm")
    return Person(said, {name: FORM for name in context if getattr(said, name) is not None})


def atoms_of(room: Room, id: str) -> Path:
    """What was made of the field that begins with this image."""
    return room.folder_of(id) / "atoms"


def told_of(room: Room, id: str) -> dict[str, Any]:
    """What the page shows beside a classified field.

    Raises:
        Refused: it has not been classified.
    """
    found = read_json(atoms_of(room, id) / "told.json")
    if found is None:
        raise Refused("this image has not been classified yet", 404)
    return dict(found)


def columns_of(room: Room, id: str, label: str | None = None) -> dict[str, Any]:
    """Columns for the viewer: those of one label alone, or "uncertain" ones, or "defects", where that is asked for.

    Raises:
        Refused: the image has not been classified.
    """
    found = read_json(atoms_of(room, id) / "columns.json")
    if found is None:
        raise Refused("this image has not been classified yet", 404)
    if label is not None:
        found["objects"] = [one for one in found["objects"] if is_shown(one, label)]
    return dict(found)


def is_shown(column: Mapping[str, Any], label: str) -> bool:
    """Whether a column has this label, or is uncertain, or a defect: no column of the host."""
    if label == DEFECTS:
        return column["role"] not in ("M", "X2", "unknown")
    return label in (column["label"], column["sure"])


def read(bench: Bench) -> dict[str, Any]:
    """What the files say of a field, and a picture of each detector.

    Returns:
        As in file.json: names and shape of the images, values by the keys of context.yaml, who says so, notes.
    """
    from epistem.atoms.kernels import shipped_bank

    images, folder = _images(bench), atoms_of(bench.room, str(bench.item))
    folder.mkdir(exist_ok=True)
    _draw(images, folder)
    said: dict[str, Any] = {
        "images": [image.name for image in images], "shape": list(images[0].shape), "values": {}, "origin": {},
        "of": bench.what["images"], "detectors": [image.context.detector for image in images],
        "notes": [f"{image.name}: {text}" for image in images for text in image.warnings],
    }  # fmt: skip
    try:
        known = told(Person(ContextFile(), {}), images, shipped_bank())
    except SettingsError as error:  # a beam that was not simulated: the person may say another
        said["notes"].append(" ".join(str(error).split()))
    else:
        context = known.context
        values = {"beam_keV": context.keV, "pixel_A": context.pixel_A, "dose_e_per_A2": context.dose_e_per_A2}
        said |= {"values": {name: one for name, one in values.items() if one is not None}, "origin": known.origin}
    write_text(folder / "file.json", json.dumps(said, ensure_ascii=False))
    return {"images": said["images"], "values": said["values"]}


def run(bench: Bench) -> dict[str, Any]:
    """Classify one field; files and numbers are those of `epistem atoms classify` with the same context.

    Returns:
        The headline, and how many columns there are.
    """
    from epistem.app.atoms_report import headline
    from epistem.app.atoms_use import classify_field
    from epistem.atoms.kernels import shipped_bank

    person = person_of(bench.what["context"])
    bench.told("Reading the images")
    images = _images(bench)
    bench.told("Loading the classifier")
    model, bank = _shipped_model(), shipped_bank()
    bench.told("Looking for the lattice and classifying its columns")
    field = classify_field(images, person, model, bank, ask_what_if=False)
    _write(bench, field, asks=bool(bench.what.get("what_if")))
    if bench.what.get("what_if"):
        # The person looks at the answer while it is asked how far that hangs on the metadata.
        bench.told("Asking again with less and with wrong metadata")
        field = classify_field(images, person, model, bank)
        _write(bench, field, asks=False)
    return {"headline": headline(field), "columns": len(field.found), "known": field.found.known}


def _write(bench: Bench, field: Field, *, asks: bool) -> None:
    from epistem.app.atoms_use import write_field
    from epistem.app.web.atoms_looks import write_looks

    folder = atoms_of(bench.room, str(bench.item))
    folder.mkdir(exist_ok=True)
    _draw(field.images, folder)
    write_text(folder / "results" / "context.yaml", as_yaml(field.told.context))
    record = write_field(field, folder / "results")
    write_looks(folder, field, record, of=bench.what["images"], asks=asks)


def _images(bench: Bench) -> list[Micrograph]:
    """The field's; a pixel size in the form stands in the context, as in context.yaml."""
    items = [bench.room.item(id) for id in _field(bench.room, bench.what["images"])]
    typed = sorted({one.pixel_size for one in items if one.pixel_size})
    if len(typed) > 1:
        raise Refused(f"the two images have different pixel sizes, {' and '.join(typed)}; set them alike")
    images = read_field([bench.room.file_of(one) for one in items], typed[0] if typed else None)
    for image in images:
        check_size(image, bench.limits.megapixels)
    return images


def _field(room: Room, images: Sequence[str]) -> list[str]:
    if not 1 <= len(images) <= 2 or len(set(images)) != len(images):
        raise Refused(f"a field is one image, or two of detectors that recorded at once; these are {len(images)}")
    return [room.item(id).id for id in images]


def _draw(images: Sequence[Micrograph], folder: Path) -> None:
    for i, image in enumerate(images):
        with written_whole(folder / f"picture{'' if i == 0 else f'_{i + 1}'}.png") as part:
            part.write_bytes(plain_png(image))


@cache
def _shipped_model() -> AtomModel:
    from epistem.app.atoms_run import load_model

    return load_model(None)
