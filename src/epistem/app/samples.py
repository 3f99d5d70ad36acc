"""samples.csv: which image is of which specimen, and how thick the foil was."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from epistem.core import RecordError

REQUIRED = ("image", "specimen")
NUMBERS = ("thickness_nm", "thickness_error_nm")
EXAMPLE = "image,specimen,thickness_nm,thickness_error_nm"


@dataclass(frozen=True)
class SampleRow:
    """What one row says of an image.

    Attributes:
        image: file name, with or without its suffix or folder, as written.
        specimen: name of the specimen.
        thickness_nm: foil thickness, or None [nm].
        thickness_error_nm: one standard deviation of it, or None [nm].
        extra: every further column that holds something, by its header in the form `dose_dpa`.
        line: where it stands in the file.
    """

    image: str
    specimen: str
    thickness_nm: float | None = None
    thickness_error_nm: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class Samples:
    """The rows of a samples.csv, by image.

    Attributes:
        path: the file they were read from.
        rows: in the order of the file.
    """

    path: Path
    rows: tuple[SampleRow, ...]

    def row_for(self, image_name: str | Path) -> SampleRow | None:
        """The row of an image, or None.

        A row names an image by its file name, its name without suffix, or either with the last folders before
        it; the longest name that fits wins.
        """
        by_name = {_posix(row.image): row for row in self.rows}
        return next((by_name[name] for name in _names(image_name) if name in by_name), None)

    def warnings(self, image_names: Iterable[str | Path]) -> tuple[str, ...]:
        """One line for the images without a row, and one for the rows without an image."""
        found = {str(name): self.row_for(name) for name in image_names}
        used = {id(row) for row in found.values()}
        lonely = [name for name, row in found.items() if row is None]
        unused = [f"{row.image} (line {row.line})" for row in self.rows if id(row) not in used]
        texts = []
        if lonely:
            texts.append(f"no row in {self.path.name}, so in no group: {', '.join(lonely)}")
        if unused:
            texts.append(f"{self.path.name} names images that are not here: {', '.join(unused)}")
        return tuple(texts)


def read_samples(path: str | Path) -> Samples:
    """The rows of a samples.csv.

    The first line names the columns: `image` and `specimen`; `thickness_nm` and `thickness_error_nm` where
    known; and any others. "Thickness (nm)" is read as `thickness_nm`. Commas, semicolons or tabs part them.
    An empty cell is unknown.

    Raises:
        RecordError: no readable table, a column missing or there twice, an image named twice, a bad number.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: wanted a CSV file in UTF-8; {error}") from error
    first, _, _ = text.partition("\n")
    lines = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        header = _header(path, next(lines, []))
        rows = [_row(path, lines.line_num, header, cells) for cells in lines if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise RecordError(
            f"{path}, line {lines.line_num}: not a CSV table ({error}); save it as CSV again"
        ) from error
    _check_once(path, rows)
    return Samples(path, tuple(rows))


def column_name(header: str) -> str:
    """A header as a name.

    >>> column_name(" Thickness (nm)"), column_name("Dose [dpa]"), column_name("temperature_C")
    ('thickness_nm', 'dose_dpa', 'temperature_c')
    """
    return re.sub(r"\W+", "_", header.strip().lower()).strip("_")


def _posix(name: str | Path) -> str:
    return str(PurePosixPath(str(name).strip().replace("\\", "/")))


def _names(image_name: str | Path) -> Iterator[str]:
    """How a row may call the image, the most exact first."""
    path = PurePosixPath(_posix(image_name))
    for i in range(len(path.parts)):
        yield str(PurePosixPath(*path.parts[i:]))
        yield str(PurePosixPath(*path.with_suffix("").parts[i:]))


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [column_name(cell) for cell in cells]
    for name in REQUIRED:
        if name not in header:
            there = ", ".join(cell for cell in cells if cell.strip()) or "nothing"
            raise RecordError(f"{path}, line 1: wanted a column {name!r}, there is {there}; begin with {EXAMPLE}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise RecordError(f"{path}, line 1: column {twice[0]!r} is there twice; remove or rename one")
    return header


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> SampleRow:
    if len(cells) > len(header):
        raise RecordError(
            f"{path}, line {line}: {len(cells)} cells under {len(header)} columns; put text with commas in quotes"
        )
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name and cell.strip()}
    for name in REQUIRED:
        if name not in values:
            raise RecordError(f"{path}, line {line}: the {name} is empty; fill it in or delete the line")
    thickness, error = (_number(path, line, name, values.get(name)) for name in NUMBERS)
    if thickness == 0 or (error is not None and thickness is None):
        raise RecordError(f"{path}, line {line}: wanted a thickness above 0 nm; leave both cells empty if unknown")
    extra = {name: value for name, value in values.items() if name not in (*REQUIRED, *NUMBERS)}
    return SampleRow(values["image"], values["specimen"], thickness, error, extra, line)


def _number(path: Path, line: int, name: str, cell: str | None) -> float | None:
    if cell is None:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise RecordError(
            f"{path}, line {line}: {name} is a positive number such as 80.5, not {cell!r}; empty means unknown"
        )
    return value


def _check_once(path: Path, rows: list[SampleRow]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        name = _posix(row.image)
        if name in seen:
            raise RecordError(
                f"{path}, line {row.line}: {row.image} is there already in line {seen[name]}; keep one of them"
            )
        seen[name] = row.line
