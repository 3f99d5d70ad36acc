"""The tables of a whole folder: a row an image, a row an object; written part by part, whatever their length."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, tee
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from epistem.app.samples import Samples
from epistem.app.shards import IDENTITY, ShardRecords
from epistem.app.store import BRIEF, FileRecord, ImageRecord
from epistem.core import Quantity
from epistem.report.compose import MOST_SECTIONS, Brief, Entry
from epistem.report.document import Fact, Report
from epistem.report.export_long import shared_schema, tables_of, write_long
from epistem.report.methods_text import Foil
from epistem.report.sections import NO_PIXEL_SIZE, main_names

CSV_ROWS = 1_048_575
"""The most rows that a spreadsheet takes under a header; a longer table of objects is parquet only."""
OWN = ("image", "slice", "specimen")


class Source(Protocol):
    """Where the results of single images are."""

    def schemas(self, records: Iterable[FileRecord]) -> Iterable[Any]:
        """Columns of the objects of these files (Arrow), at least once each."""

    def objects(self, record: FileRecord, image: ImageRecord) -> Any:
        """Objects of one image with all their columns (Arrow)."""

    def entry(self, record: FileRecord, image: ImageRecord) -> Entry | Brief:
        """What the report of the folder takes of the image."""


class Folders(NamedTuple):
    """Each image in a folder of its own.

    Attributes:
        many: so many that none is shown whole in the folder's report.
    """

    results: Path
    many: bool = False

    def schemas(self, records: Iterable[FileRecord]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        for _, image in images_in(records):
            if image.n_objects:
                yield pq.read_schema(self.results / image.folder / "objects.parquet")

    def objects(self, record: FileRecord, image: ImageRecord) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.results / image.folder / "objects.parquet").read()

    def entry(self, record: FileRecord, image: ImageRecord) -> Entry | Brief:
        folder, page = self.results / image.folder, f"{image.folder}/report.html"
        if self.many and (folder / BRIEF).is_file():  # a run before may have left none
            return Brief.from_json((folder / BRIEF).read_text("utf-8"))._replace(path=page)
        return Entry(Report.from_json((folder / "report.json").read_text("utf-8")), page)


def folders_of(results: Path, records: Iterable[FileRecord]) -> Folders:
    """The folders of these records' images."""
    more = next(islice(images_in(records), MOST_SECTIONS, None), None)
    return Folders(results, more is not None)


class Shards(NamedTuple):
    """All images in shards, whose objects have no folder and no page."""

    kept: ShardRecords

    def schemas(self, records: Iterable[FileRecord]) -> Iterator[Any]:
        import pyarrow as pa

        for schema in self.kept.schemas():
            yield pa.schema([field for field in schema if field.name not in IDENTITY])

    def objects(self, record: FileRecord, image: ImageRecord) -> Any:
        before = sum(one.n_objects for one in record.images[: record.images.index(image)]) if image.slice else 0
        table = self.kept.objects((record.file, record.key), before, image.n_objects)
        return table.drop_columns([*IDENTITY])

    def entry(self, record: FileRecord, image: ImageRecord) -> Brief:
        quantities = [*image.quantities.values(), *image.expected.values()]
        facts = {quantity.name: Fact.of(quantity) for quantity in quantities}
        if image.verdict is not None:
            facts["verdict"] = Fact(name="verdict", label="Verdict", value=image.verdict)
        first = main_names([name for name, fact in facts.items() if fact.value is not None])
        facts = {name: facts[name] for name in dict.fromkeys([*first, *facts])}
        warnings = (*image.warnings, *(() if image.row_nm else (NO_PIXEL_SIZE,)))
        return Brief(image.name, facts, warnings, image.scale_source or "", image.noun, Foil(*image.foil))


def images_in(records: Iterable[FileRecord]) -> Iterator[tuple[FileRecord, ImageRecord]]:
    """Every image with the record of its file."""
    return ((record, image) for record in records for image in record.images)


def write_images(path: Path, records: Sequence[FileRecord], samples: Samples | None) -> None:
    """One row an image."""

    def tables() -> Iterator[Any]:
        return tables_of(_image_row(record, image, samples) for record, image in images_in(records))

    write_long([path], shared_schema(table.schema for table in tables()), tables())


def write_objects(results: Path, records: Sequence[FileRecord], samples: Samples | None, source: Source) -> None:
    """All objects of all images in one table, as parquet and, up to CSV_ROWS, as CSV.

    Images without an object are in images.csv.
    """
    import pyarrow as pa

    schemas, again = tee(dict.fromkeys(source.schemas(records)))
    measured = {name for schema in again for name in schema.names} - set(OWN)
    empty = (_first_columns(record, image, samples, measured, 0) for record, image in images_in(records))
    first, others = shared_schema(table.schema for table in empty), shared_schema(schemas)
    fields = [*first, *(field for field in others if field.name not in first.names)]
    schema = pa.schema(fields) if fields else pa.schema([(name, pa.string()) for name in OWN])

    def tables() -> Iterator[Any]:
        for record, image in images_in(records):
            if image.n_objects:
                own = _first_columns(record, image, samples, measured, image.n_objects)
                found = source.objects(record, image)
                kept = [name for name in found.column_names if name not in own.column_names]
                yield pa.table([*own.columns, *(found[name] for name in kept)], [*own.column_names, *kept])

    n = sum(image.n_objects for _, image in images_in(records))
    suffixes = (".csv", ".parquet") if n <= CSV_ROWS else (".parquet",)
    write_long([results / f"objects{suffix}" for suffix in suffixes], schema, tables())
    if ".csv" not in suffixes:
        (results / "objects.csv").unlink(missing_ok=True)


def said(samples: Samples | None, file: str, taken: Collection[str]) -> dict[str, str | float | None]:
    """What the samples say of a file: the same columns for every file, None where its row says nothing.

    A name that is taken by a column of ours gets a prefix: `count` becomes `sample_count`.
    """
    row = samples.row_for(file) if samples else None
    known = row.known() if row else {}
    names = samples.columns[1:] if samples else ()
    return {f"sample_{name}" if name in taken else name: known.get(name) for name in names}


def _first_columns(
    record: FileRecord, image: ImageRecord, samples: Samples | None, measured: Collection[str], n: int
) -> Any:
    """What is the same for all n objects of an image."""
    import pyarrow as pa

    values: dict[str, Any] = {"image": image.name, "slice": image.slice, "specimen": record.specimen}
    values |= said(samples, record.file, {*OWN, *measured})
    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), type(None): pa.null()}
    return pa.table({name: pa.array([value] * n, types[type(value)]) for name, value in values.items()})


def _image_row(record: FileRecord, image: ImageRecord, samples: Samples | None) -> dict[str, object]:
    row: dict[str, object] = {
        "image": image.name,
        "file": record.file,
        "axis": image.axis,
        "slice": image.slice,
        "specimen": record.specimen,
    }
    numbers: dict[str, object] = {
        "rows": image.shape[0],
        "columns": image.shape[1],
        "row_nm": image.row_nm,
        "col_nm": image.col_nm,
    }
    for name, quantity in image.quantities.items():
        numbers |= _with_ends(name, quantity)
    for name in ("f1", "precision", "recall"):
        one = image.expected.get(name)
        low, value, high = (one.low, one.value, one.high) if one else (None, None, None)
        numbers |= {f"expected_{name}": value, f"expected_{name}_low": low, f"expected_{name}_high": high}
    numbers |= {"typicality": image.typicality, "verdict": image.verdict, "reasons": " | ".join(image.reasons)}
    numbers["warnings"] = " | ".join(image.warnings)
    return row | said(samples, record.file, {*row, *numbers}) | numbers


def _with_ends(name: str, quantity: Quantity) -> dict[str, object]:
    return {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
