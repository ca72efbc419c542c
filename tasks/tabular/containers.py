"""What lies in a file of each format: columns, and their values batch by batch."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from tasks.tabular import dialects, parsing
from tasks.tabular.errors import (
    ArchiveError,
    EmptyTableError,
    MalformedTableError,
    RaggedRowError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.tabular.dialects import Dialect

_BLOCK = 2**22
"""Bytes of text parsed at once: 2 ms of work, and a few blocks are all that is in memory."""

_LONGEST = 2**28
"""Bytes a single row of text may have."""

_PARQUET_ROWS = 8_192
"""Rows of a Parquet file that are unpacked at once: packed, a text costs next to nothing."""

_ROWS = 20_000
"""Rows of records (JSON, Excel) that become one batch."""

_MOST_COLUMNS = 100_000

_MOST_CELLS = 30_000_000
"""Cells of a sheet, empty ones between the others included: its library allots them all."""

_WORKBOOK = 2**30
"""Bytes a workbook may unpack to; it is read into memory by its library."""


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
        block = _BLOCK
        while True:
            try:
                yield from _parse(path, source, dialect, block)
            except _RowTooLongError:
                block *= 8
                if block > _LONGEST:
                    raise MalformedTableError(source, "a row is longer than 256 MiB") from None
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


def _parse(path: Path, source: str, dialect: Dialect, block: int) -> Iterator[pa.RecordBatch]:
    def stop(row: pa_csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    ragged: list[pa_csv.InvalidRow] = []
    names = list(dialect.names)
    started = False
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
            started = True
            yield batch.rename_columns(list(dialect.columns))
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise EmptyTableError(source, "has a header and no rows") from error
        if ragged:
            raise _ragged(path, source, dialect, ragged[0]) from error
        if not started and "straddl" in str(error):
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


def json_lines(path: Path, source: str) -> Contents:
    """Open a file with one JSON object per line."""

    def records() -> Iterator[dict[str, Any]]:
        line = 0
        with path.open("rb") as file:
            for line, content in enumerate(file, 1):
                if not content.strip():
                    continue
                try:
                    record = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
                except (ValueError, RecursionError) as error:
                    raise MalformedTableError(source, f"line {line}: {error}") from error
                if not isinstance(record, dict):
                    raise MalformedTableError(source, f"line {line} holds no JSON object")
                for name, value in record.items():
                    if isinstance(value, dict | list):
                        raise MalformedTableError(
                            source, f"line {line}: {name!r} holds nested values"
                        )
                    if isinstance(value, str) and not _is_text(value):
                        raise MalformedTableError(
                            source, f"line {line}: {name!r} holds half a character"
                        )
                yield record

    def place(row: int) -> str:
        with path.open("rb") as file:
            filled = (line for line, content in enumerate(file, 1) if content.strip())
            return f"line {next(islice(filled, row, None), 0)}"

    return _recorded(source, records, place)


def workbook(path: Path, source: str, sheet: str | None) -> Contents:
    """Open one sheet of an Excel workbook; its first row names the columns."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > _WORKBOOK:
            raise ArchiveError(source, f"the workbook unpacks to {size:,} bytes, 1 GiB at most")
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if "worksheets/" in name:
                    with archive.open(name) as content:
                        _check_extent(source, content)
    except zipfile.BadZipFile:
        pass  # an old .xls is no archive
    table = _sheet(path, source, sheet)
    # rows come from the first of the sheet, cells from the table's first column
    first = (table.start or (0, 0))[0]
    header = next(islice(table.iter_rows(), first, None))
    names = tuple("" if value is None else str(value) for value in header)
    while names and not names[-1].strip():
        names = names[:-1]
    dialects.check_names(source, names)
    columns = tuple(name.strip() for name in names)

    def records() -> Iterator[dict[str, Any]]:
        for row, values in enumerate(islice(table.iter_rows(), first + 1, None), first + 2):
            if any(value not in {"", None} for value in values[len(columns) :]):
                raise MalformedTableError(source, f"row {row} has a value without a column name")
            yield {name: _cell(value) for name, value in zip(columns, values, strict=False)}

    return _recorded(source, records, lambda row: f"row {row + first + 2}", columns)


def _sheet(path: Path, source: str, wanted: str | None) -> CalamineSheet:
    """Load the one sheet with cells, or the one that is named."""
    try:
        book = CalamineWorkbook.from_path(str(path))
        names = [wanted] if wanted and wanted in book.sheet_names else list(book.sheet_names)
        sheets = {name: book.get_sheet_by_name(name) for name in names}
    except (CalamineError, OSError) as error:
        raise MalformedTableError(source, f"Excel: {error}") from error
    filled = [name for name, each in sheets.items() if each.height > 0]
    if not filled:
        raise EmptyTableError(source, "is empty")
    if len(filled) != 1 or (wanted is not None and filled != [wanted]):
        raise ArchiveError(
            source, f"it has the sheets {', '.join(filled)}; name the one to read as `sheet`"
        )
    return sheets[filled[0]]


_REFERENCE = re.compile(rb'<c\b[^>]*?\br="([A-Z]{1,3})([0-9]{1,7})"')


def _check_extent(source: str, sheet: IO[bytes]) -> None:
    """Refuse a sheet whose cells lie so far apart that the space between them fills memory."""
    rows = columns = 0
    rest = b""
    while chunk := sheet.read(2**20):
        text = rest + chunk
        for letters, row in _REFERENCE.findall(text):
            column = 0
            for letter in letters:
                column = 26 * column + letter - ord("A") + 1
            rows, columns = max(rows, int(row)), max(columns, column)
        if rows * columns > _MOST_CELLS:
            raise ArchiveError(
                source, f"a sheet reaches over {rows:,} rows and {columns:,} columns"
            )
        rest = text[-200:]


def _cell(value: object) -> object:
    """Return a cell's value; Excel knows decimals only, and no difference of empty and missing."""
    if isinstance(value, float) and value.is_integer() and abs(value) < parsing.EXACT:
        return int(value)
    return None if value == "" else value


_Records = Callable[[], Iterator[dict[str, Any]]]


def _recorded(
    source: str, records: _Records, place: Callable[[int], str], columns: tuple[str, ...] = ()
) -> Contents:
    """Give records columns and types: found in a first reading, made in the second."""
    kinds: dict[str, set[type]] = {name: set() for name in columns}
    for record in records():
        for name, value in record.items():
            kinds.setdefault(name, set()).add(_kind(value))
        if len(kinds) > _MOST_COLUMNS:
            raise MalformedTableError(source, f"it has more than {_MOST_COLUMNS:,} columns")
    dialects.check_names(source, tuple(kinds))
    names = tuple(name.strip() for name in kinds)
    types = {name: _type(each - {type(None)}) for name, each in kinds.items()}
    texts: dict[str, tuple[str, ...]] = {
        name.strip(): parsing.ISO_DATES for name, kind in types.items() if kind == pa.string()
    }

    def batches() -> Iterator[pa.RecordBatch]:
        stream = records()
        while rows := list(islice(stream, _ROWS)):
            yield pa.RecordBatch.from_arrays(
                [_array([row.get(name) for row in rows], types[name]) for name in types],
                names=list(names),
            )

    return Contents(names, texts, batches, place)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a name is there twice")
    return record


class _Huge:
    """Stands for whole numbers that 64 bits do not hold."""


class _Long:
    """Stands for whole numbers that a double would round."""


def _kind(value: object) -> type:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return _Huge
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= parsing.EXACT:
        return _Long
    return type(value)


def _type(kinds: set[type]) -> pa.DataType:
    if kinds and kinds <= {int, _Long}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {date}:
        return pa.date32()
    if kinds and kinds <= {date, datetime}:
        return pa.timestamp("us")
    return pa.string()


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        values = [_text(value) for value in values]
    elif kind == pa.timestamp("us"):
        values = [
            datetime.combine(value, time())
            if isinstance(value, date) and not isinstance(value, datetime)
            else value
            for value in values
        ]
    return pa.array(values, kind, from_pandas=True)  # not a number is missing


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None or value in parsing.NULLS else value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return str(value.total_seconds()) if isinstance(value, timedelta) else str(value)
