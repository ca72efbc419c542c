"""What lies in a file of delimited text or of Arrow's: columns, and their values in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from tasks.tabular import dialects, parsing
from tasks.tabular.errors import EmptyTableError, MalformedTableError, RaggedRowError

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.tabular.dialects import Dialect

_BLOCK = 2**22
"""Bytes of text parsed at once: 2 ms of work, and a few blocks are all that is in memory."""

_LONGEST = 2**28
"""Bytes a single row of text may have."""

_PARQUET_ROWS = 8_192
"""Rows of a Parquet file that are unpacked at once: packed, a text costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A table in a file.

    `texts` are the columns whose format has to be found, with the formats to try; the others
    come with the type the file gives them. `batches` may be read more than once. `place`
    words where a row, counted from 0, is in the file.
    """

    names: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    place: Callable[[int], str]
    notes: tuple[str, ...] = ()
    header: dict[str, str] = field(default_factory=dict)


def delimited(path: Path, source: str, dialect: Dialect) -> Contents:
    """Open a file of delimited text."""
    dialects.check_quotes(path, source, dialect)
    notes = [] if dialect.encoding == "utf-8" else [f"read as {dialect.encoding}"]
    if dialect.delimiter != ",":
        notes.append(f"delimiter {dialect.delimiter!r}")

    def batches() -> Iterator[pa.RecordBatch]:
        done = 0
        for step in count():
            try:
                for batch in _parse(path, source, dialect, _BLOCK * 8**step, skip=done):
                    done += batch.num_rows
                    yield batch
            except _RowTooLongError:
                if _BLOCK * 8**step >= _LONGEST:
                    raise MalformedTableError(source, _too_long(path, dialect, done)) from None
            else:
                return

    return Contents(
        names=dialect.columns,
        texts=dict.fromkeys(dialect.columns, parsing.ANY),
        batches=batches,
        place=lambda row: f"line {dialects.line_of(path, dialect, row)}",
        notes=tuple(notes),
        header=dict(zip(dialect.columns, dialect.names, strict=True)) if dialect.header else {},
    )


class _RowTooLongError(Exception):
    """A row does not fit the block."""


def _too_long(path: Path, dialect: Dialect, row: int) -> str:
    line = dialects.line_of(path, dialect, row)
    return f"the row that ends on line {line} is longer than {_LONGEST // 2**20} MiB"


def _parse(
    path: Path, source: str, dialect: Dialect, block: int, *, skip: int
) -> Iterator[pa.RecordBatch]:
    """Yield batches of text from row `skip` on, parsed in blocks of so many bytes."""

    def stop(row: pa_csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    ragged: list[pa_csv.InvalidRow] = []
    names = list(dialect.names)
    try:
        reader = pa_csv.open_csv(
            path,
            pa_csv.ReadOptions(
                block_size=block,
                encoding=dialect.encoding,
                skip_rows=dialect.skip,
                column_names=None if dialect.header else names,
            ),
            pa_csv.ParseOptions(
                delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=stop
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(parsing.NULLS),
                strings_can_be_null=True,
                check_utf8=False,  # the whole file was checked when its encoding was found
            ),
        )
        for batch in reader:
            if batch.num_rows > skip:
                yield batch.slice(skip).rename_columns(list(dialect.columns))
            skip = max(0, skip - batch.num_rows)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise EmptyTableError(source, "has a header and no rows") from error
        if ragged:
            raise _ragged(path, source, dialect, ragged[0]) from error
        if "straddl" in str(error):
            raise _RowTooLongError from error
        raise MalformedTableError(source, str(error).splitlines()[0]) from error


def _ragged(path: Path, source: str, dialect: Dialect, row: pa_csv.InvalidRow) -> RaggedRowError:
    expected = len(dialect.names)
    wrong = (each for each in dialects.rows(path, dialect) if len(each[1]) != expected)
    line, values = next(wrong, (row.number or 0, [""] * row.actual_columns))
    text = dialect.delimiter.join(values)
    return RaggedRowError(source, line, expected, len(values), text)


def parquet(path: Path, source: str) -> Contents:
    """Open a Parquet file; its row groups are read one by one."""
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise MalformedTableError(source, str(error).splitlines()[0]) from error
    return _typed(
        source, schema, lambda: pq.ParquetFile(path).iter_batches(batch_size=_PARQUET_ROWS)
    )


def arrow(path: Path, source: str) -> Contents:
    """Open a Feather file or an Arrow stream, mapped into memory."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(path)) as mapped:
            try:
                file = pa.ipc.open_file(mapped)
            except pa.ArrowInvalid:
                mapped.seek(0)
                yield from map(_checked, pa.ipc.open_stream(mapped))
            else:
                places = range(file.num_record_batches)
                yield from (_checked(file.get_batch(place)) for place in places)

    try:
        with pa.memory_map(str(path)) as mapped:
            try:
                schema = pa.ipc.open_file(mapped).schema
            except pa.ArrowInvalid:
                mapped.seek(0)
                schema = pa.ipc.open_stream(mapped).schema
    except (pa.ArrowInvalid, OSError) as error:
        raise MalformedTableError(source, str(error).splitlines()[0]) from error
    return _typed(source, schema, batches)


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch if its buffers are what they say; Arrow itself trusts a mapped file."""
    batch.validate(full=True)
    return batch


def _typed(
    source: str, schema: pa.Schema, batches: Callable[[], Iterator[pa.RecordBatch]]
) -> Contents:
    dialects.check_names(source, tuple(schema.names))
    kinds = {each.name: _plain(source, each) for each in schema}
    columns = tuple(name.strip() for name in schema.names)

    def plain() -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches():
                _checked(batch)
                arrays = [
                    _present(pc.cast(batch.column(place), kind))
                    for place, kind in enumerate(kinds.values())
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise MalformedTableError(source, str(error).splitlines()[0]) from error

    return Contents(columns, {}, plain, lambda row: f"row {row + 1}")


def _present(values: pa.Array) -> pa.Array:
    """Return the values with what is not a number missing."""
    if not pa.types.is_floating(values.type) or not pc.any(pc.is_nan(values)).as_py():
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _plain(source: str, column: pa.Field) -> pa.DataType:
    """Return the type the column's values get: no dictionaries, decimals or nested values."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_decimal(kind):
        whole = kind.scale <= 0
        if whole and kind.precision > parsing.EXACT_DIGITS:
            return pa.string()  # a double would round it
        return pa.float64()
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pa.string() if pa.types.is_time(kind) else pa.int64()
    plain = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    dates = (pa.types.is_date, pa.types.is_timestamp)
    if not any(each(kind) for each in (*plain, *dates)):
        raise MalformedTableError(
            source, f"column {column.name!r} holds {kind}, not one value per row"
        )
    return kind
