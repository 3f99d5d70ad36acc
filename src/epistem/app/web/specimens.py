"""Which image is of which specimen: the room's samples.csv, and what its groups amount to."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from epistem.app.samples import NUMBERS, SampleRow, Samples, read_samples
from epistem.app.store import FileRecord
from epistem.app.web.lock import locked
from epistem.app.web.looks import quantity_json
from epistem.app.web.rooms import Refused, Room
from epistem.core import RecordError
from epistem.core.files import write_text
from epistem.report.compose import Grouping

LARGEST = 1_000_000
"""Of an uploaded table [characters]."""
LONGEST = 80
"""Of a specimen's name [characters]."""


def read_specimens(room: Room) -> Samples | None:
    """The table of the room; None where there is none."""
    path = room.folder / "samples.csv"
    return read_samples(path) if path.is_file() else None


def keep_table(room: Room, text: str) -> Samples:
    """A table that a person uploaded, in place of the one before.

    Raises:
        Refused: it is too large, or no table that `epistem analyze --samples` reads.
    """
    if len(text) > LARGEST:
        raise Refused(f"a table of samples has up to {LARGEST:,} characters", 413)
    part = room.folder / "coming" / "samples.csv"
    write_text(part, text)
    try:
        samples = read_samples(part)
        with locked(room.folder / ".samples"):
            part.replace(room.folder / "samples.csv")
    except RecordError as error:
        raise Refused(str(error).replace(str(part), "the table")) from error
    finally:
        part.unlink(missing_ok=True)
    return samples


def set_specimen(room: Room, image: str, specimen: str) -> None:
    """Says of one image what specimen it is of; an empty name takes that back.

    Raises:
        Refused: the name is too long, or no text of one line.
    """
    name = specimen.strip()
    if len(name) > LONGEST or not name.isprintable():
        raise Refused(f"a specimen's name has up to {LONGEST} characters on one line")
    with locked(room.folder / ".samples"):
        samples = read_specimens(room)
        rows = list(samples.rows) if samples else []
        row = samples.row_for(image) if samples else None
        known = row.known() if row else {}
        rows = [one for one in rows if one is not row]
        if name:
            rows.append(SampleRow(image, name, extra=known))
        write_text(room.folder / "samples.csv", _as_csv(rows))


def specimen_of(samples: Samples | None, image: str) -> str:
    """Of an image; empty where none is said."""
    row = samples.row_for(image) if samples else None
    return row.specimen if row else ""


def thickness_of(samples: Samples | None, image: str) -> dict[str, float]:
    """What the table says of the foil of an image [nm]."""
    row = samples.row_for(image) if samples else None
    return {name: value for name in NUMBERS if row and (value := getattr(row, name)) is not None}


def with_specimens(records: Sequence[FileRecord], samples: Samples | None) -> list[FileRecord]:
    """Each record with its specimen, as `epistem analyze --samples` has it."""
    return [one.model_copy(update={"specimen": specimen_of(samples, one.file) or None}) for one in records]


def grouping_json(grouping: Grouping) -> dict[str, Any]:
    """Groups and their differences, for the page."""
    groups = [
        {
            "name": group.name, "images": group.n_images, "objects": group.n_objects,
            "quantities": [quantity_json(one) for one in group.quantities.values()],
        }
        for group in grouping.groups
    ]  # fmt: skip
    compared = [
        {
            "a": one.a, "b": one.b, "what": one.quantity, "difference": quantity_json(one.difference),
            "p_value": one.p_value, "note": one.note,
        }
        for one in grouping.comparisons
    ]  # fmt: skip
    return {"groups": groups, "compared": compared, "without": grouping.left_out}


def _as_csv(rows: Sequence[SampleRow]) -> str:
    known: list[Mapping[str, Any]] = [{"image": row.image, "specimen": row.specimen, **row.known()} for row in rows]
    names = dict.fromkeys(["image", "specimen", *(name for row in known for name in row)])
    out = io.StringIO()
    table = csv.DictWriter(out, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(known)
    return out.getvalue()
