"""Tables of any length, written part by part: no more than a part of them is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from epistem.core.files import written_whole
from epistem.report.export import arrow_column, described, header, no_formulas

ROWS = 50_000  # of a row group, about


def shared_schema(schemas: Iterable[Any]) -> Any:
    """The columns of all parts, those of the widest first.

    The order does not hang on that of the parts, so that it is the same from any shards.
    """
    import pyarrow as pa

    differ = sorted({schema.remove_metadata() for schema in schemas}, key=lambda one: (-len(one), str(one)))
    whole = pa.unify_schemas(differ, promote_options="permissive") if differ else pa.schema([])
    return pa.schema([described(field) for field in whole])


def fitted(table: Any, schema: Any) -> Any:
    """A table with the columns of a schema; what it has not is empty."""
    import pyarrow as pa

    there = set(table.column_names)
    columns = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def gathered(tables: Iterable[Any], schema: Any, rows: int = ROWS) -> Iterator[Any]:
    """The same rows in fewer tables, of about so many rows each."""
    import pyarrow as pa

    waiting: list[Any] = []
    for table in tables:
        waiting.append(fitted(table, schema))
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def write_long(paths: Sequence[Path], schema: Any, tables: Iterable[Any]) -> None:
    """As `write_table`, of Arrow tables that come one after the other.

    Args:
        paths: each ends in .parquet or .csv; all get the same rows.
        schema: of all tables together, from `shared_schema`; a column without any value becomes text.
        tables: read once.

    Raises:
        RecordError: a file cannot be written.
    """
    import pyarrow as pa

    schema = pa.schema([one.with_type(pa.string()) if pa.types.is_null(one.type) else one for one in schema])
    with ExitStack() as stack:
        writers = [_writer(stack, path, schema) for path in paths]
        for table in gathered(tables, schema):
            for write in writers:
                write(table)


def _writer(stack: ExitStack, path: Path, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    part = stack.enter_context(written_whole(path))
    if path.suffix == ".parquet":
        return stack.enter_context(pyarrow.parquet.ParquetWriter(part, schema)).write_table
    plain = pa.schema([pa.field(header(field.name), field.type) for field in schema])
    writer = stack.enter_context(pyarrow.csv.CSVWriter(part, plain))

    def write(table: Any) -> None:
        writer.write_table(pa.table([no_formulas(column) for column in table.columns], schema=plain))

    return write


def tables_of(rows: Iterable[Mapping[str, Any]], at_once: int = 1000) -> Iterator[Any]:
    """Rows as Arrow tables of so many rows."""
    import pyarrow as pa

    rows = iter(rows)
    while some := list(islice(rows, at_once)):
        names = dict.fromkeys(name for row in some for name in row)
        yield pa.table({name: arrow_column(name, [row.get(name) for row in some]) for name in names})
