"""Tables in requests and answers: CSV, and Arrow or Parquet where PyArrow is installed."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec
from rows import RowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rows import Batch, Column

Table = tuple[dict[str, list[Any]], int]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"

UNPACKED_BYTES = 500_000_000
"""Size of a table in memory, at most."""


class UnsupportedTypeError(ValueError):
    """Bodies of the media type are not read here."""


def read_table(body: bytes, media_type: str, most_rows: int) -> Table:
    """Return columns by name and the number of rows, which are `most_rows` at most.

    Raises
    ------
    RowsError
        If the body is no table of the type.
    UnsupportedTypeError
        If the type is unknown, or PyArrow is not installed.
    """
    if media_type not in _READERS:
        raise UnsupportedTypeError(f"{media_type!r}; send {', '.join(ACCEPTED)}")
    try:
        return _READERS[media_type](body, most_rows)
    except RowsError:
        raise
    except ImportError as error:
        raise UnsupportedTypeError(f"{media_type!r}: this server lacks {error.name}") from error
    except Exception as error:  # noqa: BLE001 - readers of hostile bytes raise what they like
        reason = " ".join(str(error).split())[:200]
        raise RowsError([("", f"the body is no {media_type}: {reason}")]) from None


def write_csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as CSV with a header."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return stream.getvalue().encode()


def write_arrow(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as an Arrow stream."""
    import pyarrow as pa  # noqa: PLC0415 - forty megabytes that few requests need

    columns = [list(each) for each in zip(*rows, strict=True)]
    table = pa.table(dict(zip(names, columns, strict=True)))
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def columns_json(columns: Sequence[Column], batch: Batch) -> bytes:
    """Return rows that came as a table in JSON, column by column, as they are logged."""
    numbers, texts, instants = iter(batch.numbers.T), iter(batch.texts), iter(batch.instants)
    made: dict[str, list[Any]] = {}
    for column in columns:
        if column.kind in ("numeric", "boolean"):
            made[column.name] = [None if v != v else v for v in next(numbers).tolist()]  # noqa: PLR0124 - NaN
        else:
            made[column.name] = next(instants if column.kind == "datetime" else texts)
    return msgspec.json.encode({"columns": made})


def _read_csv(body: bytes, most_rows: int) -> Table:
    text = body.decode("utf-8-sig")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(lines, None)
    if not header:
        raise RowsError([("", "the body is empty; send a header line and rows")])
    if len(set(header)) < len(header):
        raise RowsError([("line 1", "names a column twice")])
    rows = [row for row in lines if row]
    _require_bounds(len(rows), 0, most_rows)
    for place, row in enumerate(rows):
        if len(row) != len(header):
            wanted = f"has {len(row)} values instead of {len(header)}"
            raise RowsError([(f"row {place + 1}", wanted)])
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return {name: list(values) for name, values in zip(header, columns, strict=True)}, len(rows)


def _read_arrow(body: bytes, most_rows: int) -> Table:
    import pyarrow as pa  # noqa: PLC0415 - as above

    batches, rows, size = [], 0, 0
    with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
        for batch in stream:
            rows, size = rows + batch.num_rows, size + batch.nbytes
            _require_bounds(rows, size, most_rows)
            batches.append(batch)
        return _columns(pa.Table.from_batches(batches, stream.schema))


def _read_parquet(body: bytes, most_rows: int) -> Table:
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    file = pq.ParquetFile(pa.BufferReader(body))
    said = file.metadata
    groups = (said.row_group(place) for place in range(said.num_row_groups))
    _require_bounds(said.num_rows, sum(each.total_byte_size for each in groups), most_rows)
    return _columns(file.read())


def _require_bounds(rows: int, size: int, most_rows: int) -> None:
    """Refuse tables that are small packed and huge unpacked, before they are."""
    if rows > most_rows:
        raise RowsError([("", f"more than {most_rows:,} rows; send them in several requests")])
    if size > UNPACKED_BYTES:
        raise RowsError([("", f"more than {UNPACKED_BYTES:,} bytes when unpacked")])


def _columns(table: Any) -> Table:
    table.validate(full=True)  # offsets that lead outside are read otherwise
    names = table.column_names
    if len(set(names)) < len(names):
        raise RowsError([("", "the table names a column twice")])
    return {name: _values(table.column(name)) for name in names}, table.num_rows


def _values(column: Any) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - as above

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's dates end at microseconds, as models' do
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


_READERS: dict[str, Callable[[bytes, int], Table]] = {
    CSV: _read_csv,
    ARROW: _read_arrow,
    PARQUET: _read_parquet,
}
ACCEPTED = (JSON, *_READERS)
"""Media types of requests."""
