"""What lies in a file of records, which name and type their values one by one: JSON, Excel."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from tasks.tabular import dialects, parsing
from tasks.tabular.containers import Contents
from tasks.tabular.errors import ArchiveError, EmptyTableError, MalformedTableError

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 20_000
"""Rows of records (JSON, Excel) that become one batch."""

_MOST_COLUMNS = 100_000

_MOST_CELLS = 30_000_000
"""Cells of a sheet, empty ones between the others included: its library allots them all."""

_WORKBOOK = 2**30
"""Bytes a workbook may unpack to; it is read into memory by its library."""


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
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:  # an old .xls is none
        _check_size(source, archive)
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


def _check_size(source: str, archive: zipfile.ZipFile) -> None:
    size = sum(each.file_size for each in archive.infolist())
    if size > _WORKBOOK:
        raise ArchiveError(source, f"the workbook unpacks to {size:,} bytes, 1 GiB at most")
    for name in archive.namelist():
        if "worksheets/" in name:
            with archive.open(name) as content:
                _check_extent(source, content)


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
