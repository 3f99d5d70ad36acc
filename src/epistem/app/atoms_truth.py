"""True labels of columns: read from tables and arrays, and said in the classifier's words by one rule."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.crystals import ROLES, Host
from epistem.core import RecordError, SettingsError

Floats = NDArray[np.float64]

RULE = """\
W                       host metal                      M, metal
Se2, Se                 chalcogen pair                  X2, 2Se
Ti on W, Ti_W, Ti       dopant                          D_M Ti, dopant (element not scored)
V_Se, vac Se            one chalcogen missing           V_X
V_Se2, V_2Se            both missing                    V_X2
V_W                     metal missing                   V_M
V alone is vanadium where the host can have it. Anything else is left over, and counted."""
_UNITS = {"px": "px", "angstrom": "A", "Å": "A", "nm": "nm"}
_PLACES = (
    ("row", "col", 1.0),
    ("row_px", "col_px", 1.0),
    ("y", "x", 1.0),
    ("y_px", "x_px", 1.0),
    ("y_A", "x_A", None),
)


class Truth(NamedTuple):
    """Labelled places.

    Attributes:
        places_px: (n, 2) row and column.
        labels: (n,) as they stand in the file.
    """

    places_px: Floats
    labels: tuple[str, ...]


class Meaning(NamedTuple):
    """What a label says; the element is None where it does not say it."""

    role: int
    element: str | None


def read_table(path: Path) -> dict[str, list[str]]:
    """A CSV by column; headers such as "row [px]" or "x [angstrom]" become row_px and x_A.

    Raises:
        RecordError: the file cannot be read, or a line has another number of cells.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read as a table ({error})") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows:
        raise RecordError(f"{path} is empty")
    names = [_machine_name(cell) for cell in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise RecordError(f"{path}, row {number} has {len(row)} cells, the header {len(names)}")
    return {name: [row[at] for row in rows[1:]] for at, name in enumerate(names)}


def read_truth(path: Path, *, pixel_A: float | None = None, names: Mapping[str, str] | None = None) -> Truth:
    """Places and labels of a CSV (row, col or x, y, and label) or of an .npz (xy or rowcol, and label).

    Args:
        path: the file.
        pixel_A: pixel size, for places in ångström.
        names: label in the file → what it means, such as "0" → "W".

    Raises:
        RecordError: it holds no such columns, or places that are no numbers.
        SettingsError: places in ångström without a pixel size.
    """
    if path.suffix == ".npz":
        places, labels = _of_arrays(path)
    else:
        table = read_table(path)
        if "label" not in table:
            raise _missing(path, "label", table)
        places, labels = _places(path, table, pixel_A), table["label"]
    if not len(labels):
        raise RecordError(f"{path} holds no labelled column")
    return Truth(places, tuple((names or {}).get(one.strip(), one.strip()) for one in labels))


def meanings(labels: Sequence[str], host: Host | None) -> tuple[dict[str, Meaning], Counter[str]]:
    """What each label means, and how often each occurs that means nothing here."""
    known: dict[str, Meaning] = {}
    left: Counter[str] = Counter()
    for name in labels:
        found = known.get(name) or meaning(name, host)
        if found is None:
            left[name] += 1
        else:
            known[name] = found
    return known, left


def meaning(name: str, host: Host | None) -> Meaning | None:
    """What one label says by RULE; None where nothing."""
    text = re.sub(r"[\s_]+", "", name.strip())
    of_role = {"m": 0, "metal": 0, "x2": 1, "2x": 1, "dm": 2, "dopant": 2, "vx": 3, "vx2": 4, "v2x": 4, "vm": 5}
    if text.lower() in of_role:
        return Meaning(of_role[text.lower()], None)
    if host is None:
        return None
    metal, soft = host.metal, host.chalcogen
    exact = {
        metal: (0, metal), f"{soft}2": (1, soft), f"2{soft}": (1, soft), soft: (1, soft),
        f"V{soft}": (3, soft), f"vac{soft}": (3, soft), f"V{soft}2": (4, soft), f"V2{soft}": (4, soft),
        f"vac{soft}2": (4, soft), f"V{metal}": (5, metal), f"vac{metal}": (5, metal),
    }  # fmt: skip
    if text in exact:
        return Meaning(*exact[text])
    for dopant in host.dopants:
        if text in (dopant, f"{dopant}on{metal}", f"{dopant}{metal}", f"DM{dopant}"):
            return Meaning(ROLES.index("D_M"), dopant)
    return None


def parse_names(text: str | None) -> dict[str, str]:
    """From "0=W,1=Ti on W" to a mapping.

    Raises:
        SettingsError: another form.
    """
    names: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        label, equals, words = part.partition("=")
        if not equals or not words.strip():
            raise SettingsError(f"--labels wants what each label means, such as '0=W,1=Ti on W,2=Se2', not {part!r}")
        names[label.strip()] = words.strip()
    return names


def _machine_name(header: str) -> str:
    found = re.fullmatch(r"\s*(.*?)\s*\[(.*)\]\s*", header)
    words, unit = (found[1], f"_{_UNITS.get(found[2], found[2])}") if found else (header.strip(), "")
    return words.replace(" ", "_") + unit


def _of_arrays(path: Path) -> tuple[Floats, list[str]]:
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays: dict[str, Any] = {name: held[name] for name in ("xy", "rowcol", "label") if name in held.files}
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read as arrays ({error})") from error
    key = next((name for name in ("rowcol", "xy") if name in arrays), None)
    if key is None or "label" not in arrays:
        raise RecordError(f"{path} holds no xy (or rowcol) with label; wanted (n, 2) places in px and (n,) labels")
    places, label = np.asarray(arrays[key], float), arrays["label"]
    if places.ndim != 2 or places.shape[1] != 2 or label.shape != (len(places),):
        raise RecordError(f"{path}: places are {places.shape} and labels {label.shape}; wanted (n, 2) and (n,)")
    return (places[:, ::-1] if key == "xy" else places), [str(one) for one in label.tolist()]


def _places(path: Path, table: Mapping[str, list[str]], pixel_A: float | None) -> Floats:
    for down, right, scale in _PLACES:
        if down in table and right in table:
            if scale is None and pixel_A is None:
                raise SettingsError(f"{path} has places in ångström, and no pixel size is known; give --pixel-size")
            try:
                values = np.array([table[down], table[right]], float).T
            except ValueError as error:
                raise RecordError(f"{path}: {down} and {right} are numbers ({error})") from error
            return values if scale is not None else values / (pixel_A or 1.0)
    raise _missing(path, "row and col (or x and y)", table)


def _missing(path: Path, what: str, table: Mapping[str, Any]) -> RecordError:
    return RecordError(f"{path} has no column {what}; there is {', '.join(table)}")
