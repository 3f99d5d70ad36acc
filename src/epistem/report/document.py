"""A report as data: sections of text, numbers, tables and pictures, the same in JSON and on the page.

::

    Report
    └── Section
        └── Block = Text | Notice | Facts | Table | Figure | Links
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from epistem.core import Quantity, RecordError

SCHEMA = "epistem.report/1"
MediaType = Literal["image/png", "image/webp", "image/jpeg", "image/svg+xml"]
Level = Literal["info", "warning", "error"]
_MAGIC: tuple[tuple[bytes, int, MediaType], ...] = (
    (b"\x89PNG\r\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"WEBP", 8, "image/webp"),
    (b"<svg", 0, "image/svg+xml"),
    (b"<?xml", 0, "image/svg+xml"),
)


def finite(value: Any) -> float | None:
    """The number, or None for NaN and infinity: JSON has neither, and unknown is null."""
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def plain(value: Any) -> Any:
    """The same value in what JSON knows: settings hold tuples, paths and numpy numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return finite(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Fact(_Model):
    """One number or word with its label; as a table cell, a number with its interval.

    A value of None is unknown, and `note` says why.
    """

    kind: Literal["fact"] = "fact"
    name: str = ""
    label: str = ""
    value: float | int | str | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    note: str = ""

    @classmethod
    def of(cls, quantity: Quantity) -> Fact:
        """The same number as core knows it; NaN becomes unknown."""
        value: float | int | None = finite(quantity.value)
        if quantity.name == "count" and value is not None:
            value = int(value)
        return cls(
            name=quantity.name,
            label=quantity.label,
            value=value,
            unit=quantity.unit,
            low=finite(quantity.low),
            high=finite(quantity.high),
            coverage=finite(quantity.coverage),
            note=quantity.note,
        )


class Link(_Model):
    """A place in this document ("#image-3") or a file beside it ("images/a/objects.csv"); never another host."""

    kind: Literal["link"] = "link"
    text: str
    href: str

    @model_validator(mode="after")
    def _stays_here(self) -> Self:
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|[/\\]|.*[\x00-\x1f]", self.href):
            raise ValueError(f"a report links to itself or to files beside it, not to {self.href!r}")
        return self

    @classmethod
    def to_file(cls, text: str, path: str | PurePath) -> Link:
        """A link to a file, by its path relative to the report."""
        parts = path.parts if isinstance(path, PurePath) else PurePosixPath(path).parts
        return cls(text=text, href="/".join(quote(part, safe="") for part in parts))


class Text(_Model):
    """Paragraphs, parted by empty lines: set large as a headline, as points of a list, or to be quoted in a paper."""

    kind: Literal["text"] = "text"
    title: str = ""
    text: str
    role: Literal["body", "headline", "list", "quotation"] = "body"


class Notice(_Model):
    """Something to know before believing the numbers."""

    kind: Literal["notice"] = "notice"
    level: Level
    text: str


class Facts(_Model):
    """Numbers with their labels: the important ones as cards, the others as a list."""

    kind: Literal["facts"] = "facts"
    title: str = ""
    facts: tuple[Fact, ...]
    style: Literal["cards", "list"] = "cards"


class Figure(_Model):
    """A picture with its bytes inside (base64)."""

    kind: Literal["figure"] = "figure"
    title: str = ""
    media_type: MediaType
    data: str = Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")
    alt: str
    caption: str = ""

    @classmethod
    def of(cls, image: bytes, *, alt: str, caption: str = "", title: str = "") -> Figure:
        """A PNG, JPEG, WebP or SVG picture; which one is read from its bytes.

        Raises:
            RecordError: another format.
        """
        for magic, offset, media_type in _MAGIC:
            if image[offset : offset + len(magic)] == magic:
                data = base64.b64encode(image).decode("ascii")
                return cls(media_type=media_type, data=data, alt=alt, caption=caption, title=title)
        raise RecordError(f"a figure is a PNG, JPEG, WebP or SVG file; these bytes start with {image[:8]!r}")

    @property
    def image(self) -> bytes:
        """The picture's file."""
        return base64.b64decode(self.data)


class Links(_Model):
    """Files that belong to the report."""

    kind: Literal["links"] = "links"
    title: str = ""
    links: tuple[Link, ...]


Cell = Fact | Link | Figure | str | int | float | None


ColumnKind = Literal["text", "number", "p_value", "picture"]


class Column(_Model):
    """A table's column.

    `missing` tells why a cell may be empty (a Fact tells it for itself); `decimals` are those shown, so that numbers
    line up; without it each is rounded on its own.
    """

    label: str
    unit: str = ""
    align: Literal["left", "right"] = "right"
    kind: ColumnKind = "number"
    decimals: int | None = None
    missing: str = ""
    note: str = ""


class Table(_Model):
    """Rows under columns; the page can sort them."""

    kind: Literal["table"] = "table"
    title: str = ""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {i} has {len(row)} cells, the table has {len(self.columns)} columns")
        return self


Block = Annotated[Text | Notice | Facts | Table | Figure | Links, Field(discriminator="kind")]


class Section(_Model):
    """A heading and what stands under it. `id` is its anchor: letters, digits and hyphens."""

    title: str
    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    blocks: tuple[Block, ...] = ()


class Report(_Model):
    """Everything one HTML page shows; `kind` says above its title what it is."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["epistem.report/1"] = Field(default="epistem.report/1", alias="schema")
    kind: str = "Micrograph report"
    title: str
    subtitle: str = ""
    provenance: Annotated[dict[str, JsonValue], BeforeValidator(plain)] = Field(default_factory=dict)
    sections: tuple[Section, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = [section.id for section in self.sections]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"section ids are anchors and must differ; twice: {', '.join(twice)}")
        return self

    def to_json(self) -> str:
        """The report as JSON text; the same report gives the same bytes."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """The report that `to_json` wrote.

        Raises:
            RecordError: not JSON, or not a report of this schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise RecordError(
                f"wanted JSON of schema {SCHEMA}; {where}: {first['msg']}; make the report again"
            ) from error
