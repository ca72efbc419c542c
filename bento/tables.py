"""Tables in requests and answers: CSV, and Arrow or Parquet where PyArrow is installed."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from rows import RowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Table = tuple[dict[str, list[Any]], int]

CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"


class UnsupportedTypeError(ValueError):
    """Bodies of the media type are not read here."""


def read_table(body: bytes, media_type: str) -> Table:
    """Return columns by name and the number of rows.

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
        return _READERS[media_type](body)
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


def _read_csv(body: bytes) -> Table:
    text = body.decode("utf-8-sig")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(lines, None)
    if not header:
        raise RowsError([("", "the body is empty; send a header line and rows")])
    if len(set(header)) < len(header):
        raise RowsError([("line 1", "names a column twice")])
    rows = [row for row in lines if row]
    for place, row in enumerate(rows):
        if len(row) != len(header):
            wanted = f"has {len(row)} values instead of {len(header)}"
            raise RowsError([(f"row {place + 1}", wanted)])
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return {name: list(values) for name, values in zip(header, columns, strict=True)}, len(rows)


def _read_arrow(body: bytes) -> Table:
    import pyarrow as pa  # noqa: PLC0415 - as above

    with pa.ipc.open_stream(pa.BufferReader(body)) as stream:
        return _columns(stream.read_all())


def _read_parquet(body: bytes) -> Table:
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    return _columns(pq.read_table(pa.BufferReader(body)))


def _columns(table: Any) -> Table:
    names = table.column_names
    if len(set(names)) < len(names):
        raise RowsError([("", "the table names a column twice")])
    values = {name: table.column(name).to_pylist() for name in names}
    return values, table.num_rows


_READERS: dict[str, Callable[[bytes], Table]] = {
    CSV: _read_csv,
    ARROW: _read_arrow,
    PARQUET: _read_parquet,
}
ACCEPTED = ("application/json", *_READERS)
"""Media types of requests."""
