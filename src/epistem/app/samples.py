"""samples.csv: which image is of which specimen, how thick the foil was, and whatever else sets images apart."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from epistem.core import RecordError, SettingsError
from epistem.imaging.read import SUFFIXES

REQUIRED = ("image", "specimen")
NUMBERS = ("thickness_nm", "thickness_error_nm")
_TOLD = 200  # letters of a header that is none
EXAMPLE = "image,specimen,thickness_nm,thickness_error_nm"
# 007 is a name, so a whole column is text where one cell is written so.
NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class SampleRow:
    """What one row says of an image.

    Attributes:
        image: file name, with or without its suffix or folder, as written.
        specimen: name of the specimen.
        thickness_nm: foil thickness, or None [nm].
        thickness_error_nm: one standard deviation of it, or None [nm].
        extra: every further column that holds something, by its header in the form `dose_dpa`; a float where
            each cell of the column is a number.
        line: where it stands in the file.
    """

    image: str
    specimen: str
    thickness_nm: float | None = None
    thickness_error_nm: float | None = None
    extra: Mapping[str, str | float] = field(default_factory=dict)
    line: int = 0

    def known(self) -> dict[str, str | float]:
        """What is known of the image beside its specimen: thickness, then the further columns."""
        thickness = {name: getattr(self, name) for name in NUMBERS}
        return {name: value for name, value in thickness.items() if value is not None} | dict(self.extra)


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
        return next((self._by_name[name] for name in _names(image_name) if name in self._by_name), None)

    def warnings(self, image_names: Iterable[str | Path]) -> tuple[str, ...]:
        """One line for the images without a row, and one for the rows without an image."""
        found = {str(name): self.row_for(name) for name in image_names}
        used = {id(row) for row in found.values()}
        unused = [f"{row.image} (line {row.line})" for row in self.rows if id(row) not in used]
        lonely = [name for name, row in found.items() if row is None]
        texts = []
        if lonely:
            texts.append(f"no row in {self.path.name}, so in no group: {', '.join(lonely)}")
        if unused:
            why = "names images that are not here, or that another row names more exactly"
            texts.append(f"{self.path.name} {why}: {', '.join(unused)}")
        return tuple(texts)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns by which images can be grouped, `specimen` first."""
        return ("specimen", *dict.fromkeys(name for row in self.rows for name in row.known()))

    @cached_property
    def _by_name(self) -> dict[str, SampleRow]:
        return {_posix(row.image): row for row in self.rows}


def read_samples(path: str | Path) -> Samples:
    """The rows of a samples.csv.

    The first line names the columns: `image` and `specimen`; `thickness_nm` and `thickness_error_nm` where
    known; and any others. "Thickness (nm)" is read as `thickness_nm`. Commas, semicolons or tabs part them.
    An empty cell is unknown.

    Raises:
        RecordError: no readable table, a column missing or there twice, an image named twice (also once with and
            once without its suffix), a bad number.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise RecordError(f"{path}: wanted a CSV file in UTF-8; {why}") from error
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
    return Samples(path, tuple(_with_numbers(rows)))


def check_samples(samples: Samples | None, by: str, results: Path) -> str:
    """The column to group by, as the samples call it.

    Args:
        samples: or None where no table was given.
        by: what a person typed: "Dose (dpa)" is `dose_dpa`.
        results: folder that the tables will be written to.

    Raises:
        SettingsError: no such column, or the table of the results would replace the one that was given.
    """
    columns = samples.columns if samples else ("specimen",)
    if samples and samples.path.resolve() == (results / "samples.csv").resolve():
        raise SettingsError(f"{samples.path} would be overwritten by the results; move it or choose another --out")
    column = next((name for name in columns if column_name(name) == column_name(by)), None)
    if column is None:
        there = f"{samples.path.name} has {', '.join(columns)}" if samples else "that needs --samples"
        raise SettingsError(f"no column {by!r} to group by; {there}")
    return column


def column_name(header: str) -> str:
    """A header as a name, for comparing: case and signs do not count.

    >>> column_name(" Thickness (nm)"), column_name("Dose [dpa]"), column_name("temperature_C")
    ('thickness_nm', 'dose_dpa', 'temperature_c')
    """
    return _as_name(header).lower()


def _as_name(header: str) -> str:
    return re.sub(r"\W+", "_", header.strip()).strip("_")


def _posix(name: str | Path) -> str:
    return str(PurePosixPath(str(name).strip().replace("\\", "/")))


def _names(image_name: str | Path) -> Iterator[str]:
    """How a row may call the image, the most exact first."""
    path = PurePosixPath(_posix(image_name))
    for i in range(len(path.parts)):
        yield str(PurePosixPath(*path.parts[i:]))
        yield str(PurePosixPath(*path.with_suffix("").parts[i:]))


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [column_name(cell) for cell in cells]
    # A unit keeps its case: temperature_C is in °C.
    header = [
        name if name in (*REQUIRED, *NUMBERS) else _as_name(cell) for name, cell in zip(names, cells, strict=True)
    ]
    for name in REQUIRED:
        if name not in header:
            there = ", ".join(cell for cell in cells if cell.strip()) or "nothing"
            if len(there) > _TOLD:
                there = f"{there[:_TOLD]}…"
            raise RecordError(f"{path}, line 1: wanted a column {name!r}, there is {there}; begin with {EXAMPLE}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
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
    extra: dict[str, str | float] = {
        name: value for name, value in values.items() if name not in (*REQUIRED, *NUMBERS)
    }
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


def _with_numbers(rows: list[SampleRow]) -> list[SampleRow]:
    """The rows with floats in each column that holds nothing but numbers, so that 5 and 5.0 are one dose."""
    names = {name for row in rows for name in row.extra}
    cells = {name: [str(row.extra[name]) for row in rows if name in row.extra] for name in names}
    numeric = {
        name for name in names if all(NUMBER.fullmatch(cell) and math.isfinite(float(cell)) for cell in cells[name])
    }
    return [
        replace(row, extra={n: float(value) if n in numeric else value for n, value in row.extra.items()})
        for row in rows
    ]


def _check_once(path: Path, rows: list[SampleRow]) -> None:
    seen: dict[str, dict[str, SampleRow]] = {}
    for row in rows:
        name = _posix(row.image)
        stem = _without_suffix(name)
        alike = seen.setdefault(stem, {})
        # a.tif and a.mrc are two images; a.tif and a may be one.
        before = alike.get(name) or alike.get(stem) or (next(iter(alike.values()), None) if name == stem else None)
        if before:
            raise RecordError(
                f"{path}, line {row.line}: {row.image} is there already in line {before.line} as {before.image}; "
                "keep one of them"
            )
        alike[name] = row


def _without_suffix(name: str) -> str:
    """The name without the suffix of an image file; `x1.5` has none."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name
