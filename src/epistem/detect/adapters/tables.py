"""Tables of boxes or ellipses: csv, tsv, json, parquet."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epistem.core import RecordError
from epistem.core.polygon import fill_ellipse
from epistem.detect.adapters.content import Content, Item, Shape, each, need_shape, numbers, read_json, read_text
from epistem.detect.adapters.names import fitting

BOX = ("row0", "col0", "row1", "col1")
ELLIPSE = ("cx", "cy", "w", "h")
IMAGE = ("image", "file_name", "filename")
SCORE, NAME = ("score", "confidence"), ("label", "class")
_GUARDED = re.compile(r"^'('*[=+\-@\t\r])")

Row = Mapping[str, Any]


def read_table(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """One object a row, in pixels: `row0, col0, row1, col1` (half-open boxes) or `cx, cy, w, h` (ellipses).

    Ellipses are upright, centre x right and y down, full widths, and become masks. `score` (or `confidence`),
    `label` (or `class`) and `image` (or `file_name`) are understood; a unit in brackets must be [px]. Other
    columns are not read.

    Raises:
        RecordError: other columns, several images and none named; no `shape`.
    """
    size = need_shape(shape, path.name, "a table")
    names, rows = table_rows(path)
    box = set(BOX) <= set(names)
    if not box and not set(ELLIPSE) <= set(names):
        raise RecordError(
            f"{path.name}: wanted columns {', '.join(BOX)} or {', '.join(ELLIPSE)} [px], "
            f"found {', '.join(names)[:80] or 'none'}; rename them"
        )
    rows = _of_image(rows, image, path.name)
    return Content(size, each(rows, "row", path.name, lambda row: _item(row, size, box=box)))


def table_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Column names (lower case, without unit) and rows."""
    if path.suffix.lower() == ".json":
        records = _json_rows(path)
    elif path.suffix.lower() == ".parquet":
        records = _parquet_rows(path)
    else:
        records = _csv_rows(path)
    header, rows = records
    names = {name: _plain(name, path.name) for name in header}
    return list(names.values()), [{names.get(key, key): value for key, value in row.items()} for row in rows]


def table_images(path: Path) -> list[str]:
    """Images that a table names; empty where it has no such column."""
    _, rows = table_rows(path)
    return list(dict.fromkeys(str(name) for row in rows if (name := _first(row, IMAGE)) is not None))


def _plain(name: str, source: str) -> str:
    plain, _, unit = name.partition("[")
    plain, unit = plain.strip().lower(), unit.strip(" ]")
    if plain in BOX + ELLIPSE and unit not in ("", "px"):
        raise RecordError(f"{source}: column {plain!r} is in {unit}, wanted pixels; divide by the pixel size")
    return plain


def _csv_rows(path: Path) -> tuple[list[str], list[Row]]:
    lines = read_text(path).splitlines()
    if not lines:
        raise RecordError(f"{path.name}: wanted a header with column names, the file is empty; export it again")
    separator = max(",;\t", key=lines[0].count)
    try:
        reader = csv.DictReader(lines, delimiter=separator, strict=True)
        rows: list[Row] = [{key: _as_written(value) for key, value in row.items()} for row in reader]
    except csv.Error as error:
        raise RecordError(f"{path.name}: wanted a table, cannot read it ({error}); export it again") from error
    return list(reader.fieldnames or ()), rows


def _as_written(cell: Any) -> Any:
    """A text without the apostrophe that keeps spreadsheets from running it as a formula."""
    return _GUARDED.sub(r"\1", cell) if isinstance(cell, str) else cell


def _json_rows(path: Path) -> tuple[list[str], list[Row]]:
    data = read_json(path)
    if isinstance(data, dict) and data and all(isinstance(column, list) for column in data.values()):
        if len({len(column) for column in data.values()}) > 1:
            raise RecordError(f"{path.name}: columns of different lengths; export the table again")
        return list(data), [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise RecordError(f"{path.name}: no format known here; wanted COCO, GeoJSON, or a list of rows of a table")
    return list(dict.fromkeys(name for row in data for name in row)) or list(BOX), data


def _parquet_rows(path: Path) -> tuple[list[str], list[Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        what = str(error).partition("\n")[0]
        raise RecordError(f"{path.name}: wanted parquet, cannot read it ({what}); export it again") from error
    return table.column_names, table.to_pylist()


def _of_image(rows: list[Row], image: str | None, source: str) -> list[Row]:
    named = [_first(row, IMAGE) for row in rows]
    images = list(dict.fromkeys(str(name) for name in named if name is not None))
    if not images:
        return rows
    if image is None:
        if len(images) > 1:
            raise RecordError(f"{source} has rows of {len(images)} images; say which with image='name'")
        return rows
    fits = fitting(image, images)
    if len(fits) > 1:
        raise RecordError(f"{source}: {' and '.join(fits[:2])} both fit {image!r}; name one by its path")
    return [row for row, name in zip(rows, named, strict=True) if str(name) in fits]


def _first(row: Row, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _item(row: Row, shape: Shape, *, box: bool) -> Item:
    score, name = _first(row, SCORE), _first(row, NAME)
    rest = (math.nan if score is None else float(score), "object" if name is None else str(name))
    values = numbers(row[key] for key in (BOX if box else ELLIPSE)).tolist()
    if box:
        row0, col0, row1, col1 = values
        if row0 >= row1 or col0 >= col1:
            raise ValueError("wanted row0 < row1 and col0 < col1")
        return Item(None, (row0, col0, row1, col1), *rest)
    x, y, width, height = values
    if width <= 0 or height <= 0:
        raise ValueError("wanted positive widths")
    return Item(fill_ellipse((y, x), height, width, shape), None, *rest)
