"""Read a table from a file, or say which line is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from tasks.tabular.errors import (
    ConstantTableError,
    EmptyTableError,
    EncodingError,
    HeaderError,
    MalformedTableError,
    RaggedRowError,
    SourceNotFoundError,
    UnsupportedFormatError,
)
from tasks.tabular.schema import infer

if TYPE_CHECKING:
    import pandas as pd

SUPPORTED = (".csv", ".csv.gz", ".parquet")
_MAX_BYTES = 2**31 - 1
"""One block is parsed at once, and Arrow counts its bytes in 32 bits."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read, and the bytes it was read from."""

    frame: pd.DataFrame
    content: bytes


def read_table(source: Path) -> Table:
    """Read a CSV (UTF-8, comma, header line; plain or gzipped) or Parquet file.

    Types are inferred over all rows: a column whose values are not all numbers, dates or
    truth values is text.

    Raises
    ------
    TabularError
        The kind that says what is wrong, with the line number where there is one.
    """
    name = source.name.lower()
    suffix = next((each for each in SUPPORTED if name.endswith(each)), None)
    if not source.is_file():
        raise SourceNotFoundError(str(source))
    if suffix is None:
        raise UnsupportedFormatError(str(source), SUPPORTED)
    if source.stat().st_size == 0:
        raise EmptyTableError(str(source), "is empty")
    content = source.read_bytes()  # once: frame, digest and original are of the same bytes
    read = _read_parquet if suffix == ".parquet" else _read_csv
    table = read(source, content)
    _check_header(source, table.column_names)
    if table.num_rows == 0:
        raise EmptyTableError(str(source), "has a header and no rows")
    # what pandas noted in the file would turn an index column into no column
    frame = _plain(source, table).to_pandas(date_as_object=False, ignore_metadata=True)
    _check_finite(source, frame)
    if len(frame) > 1 and not any(column.informative for column in infer(frame).columns):
        raise ConstantTableError(frame.shape[1])
    return Table(frame, content)


def _read_parquet(source: Path, content: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(content))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise MalformedTableError(str(source), str(error).splitlines()[0]) from error


def _plain(source: Path, table: pa.Table) -> pa.Table:
    """Return the table in types a frame can hold: no dictionaries, decimals or nested values."""
    for place, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            table = table.set_column(place, field.name, table[place].cast(kind.value_type))
        elif pa.types.is_decimal(kind):
            table = table.set_column(place, field.name, table[place].cast(pa.float64()))
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise MalformedTableError(
                str(source), f"column {field.name!r} holds {kind}, not one value per row"
            )
    return table


def _read_csv(source: Path, raw: bytes) -> pa.Table:
    content = _text(source, raw)
    _check_encoding(source, content)
    _check_header(source, _header(source, content))
    ragged: list[pa_csv.InvalidRow] = []

    def stop_at(row: pa_csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    try:
        return pa_csv.read_csv(
            io.BytesIO(content),
            # one block and one thread: types are inferred over all rows, lines are counted
            pa_csv.ReadOptions(use_threads=False, block_size=len(content) + 1),
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=stop_at),
            pa_csv.ConvertOptions(strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        if ragged:
            row = ragged[0]
            line = _line(content, row.expected_columns) or row.number or 0
            raise RaggedRowError(
                str(source), line, row.expected_columns, row.actual_columns, row.text
            ) from error
        raise MalformedTableError(str(source), str(error).splitlines()[0]) from error


def _line(content: bytes, expected: int) -> int | None:
    """Return the line on which the first row with another number of values ends."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
    try:
        return next((reader.line_num for row in reader if row and len(row) != expected), None)
    except csv.Error:  # a value too long for this reader: Arrow's own count has to do
        return None


def _check_finite(source: Path, frame: pd.DataFrame) -> None:
    for name in frame.select_dtypes(np.floating):
        infinite = np.isinf(frame[name].to_numpy())
        if infinite.any():
            row = int(infinite.argmax()) + 1
            raise MalformedTableError(str(source), f"{name!r} is infinite in row {row}")


def _text(source: Path, raw: bytes) -> bytes:
    try:
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise MalformedTableError(str(source), f"gzip: {error}") from error
    if not content.strip():
        raise EmptyTableError(str(source), "holds nothing but white space")
    if len(content) >= _MAX_BYTES:
        raise MalformedTableError(str(source), "it is larger than 2 GiB; convert it to Parquet")
    return content


def _check_encoding(source: Path, content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EncodingError(str(source), line, content[error.start]) from error
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise EncodingError(str(source), line, 0)


def _header(source: Path, content: bytes) -> list[str]:
    try:
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
        return next(csv.reader(text, strict=True))
    except (csv.Error, StopIteration) as error:
        raise MalformedTableError(str(source), f"header: {error}") from error


def _check_header(source: Path, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise HeaderError(str(source), f"repeats {', '.join(map(repr, repeated))}")
    blank = [str(place) for place, name in enumerate(names, 1) if not name.strip()]
    if blank:
        raise HeaderError(str(source), f"has no name in column {', '.join(blank)}")
