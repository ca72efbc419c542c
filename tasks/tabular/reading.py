"""Read a table from a file of any usual format, or say which line is wrong.

Files are read as a stream, so memory is bounded by a few blocks and not by the file. Text
columns are read twice where a late value changes what they are, else once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from tasks.tabular import containers, dialects, parsing, records
from tasks.tabular.archives import unpack
from tasks.tabular.errors import (
    EmptyTableError,
    HeaderError,
    MalformedTableError,
    MistypedValueError,
    SourceNotFoundError,
    UnknownColumnError,
    UnknownNameError,
    UnsupportedFormatError,
)
from tasks.tabular.parsing import FORMATS, TEXT
from tasks.tabular.streams import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from tasks.tabular.containers import Contents

_TEXTS = (".csv", ".tsv", ".txt")
_OTHERS = (".parquet", ".pq", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".xls", ".feather", ".arrow")
_PACKED = (".gz", ".zip")
SUPPORTED = (*_TEXTS, *_OTHERS, *_PACKED)

ROW_GROUP = 2**17
"""Rows of a row group of the frames that are written: the unit in which they are read again."""

_GROUP_BYTES = 2**27
"""Bytes of rows that wait to be written as one group."""


class ReadOptions(BaseModel, frozen=True, extra="forbid"):
    """What to believe about a file instead of finding it out."""

    delimiter: str | None = Field(
        default=None,
        pattern=r"^[\t !#-~]$",
        title="Delimiter",
        description="Of text files: one character, no quote",
    )
    encoding: str | None = Field(
        default=None, title="Encoding", description="Of text files, by Python's name: cp1251"
    )
    header: bool | None = Field(
        default=None, title="Header", description="Whether the first line names the columns"
    )
    member: str | None = Field(
        default=None, title="Member", description="File to read from a zip archive of several"
    )
    sheet: str | None = Field(default=None, title="Sheet", description="Of an Excel workbook")
    types: dict[str, str] = Field(
        default={},
        title="Types",
        description="Formats of columns by name, such as text, whole, number, comma, d/m/y",
    )
    infer_again: bool = Field(
        default=False,
        title="Infer types again",
        description="Do not hold the file to the types of the dataset's last version",
    )
    limit_bytes: int = Field(
        default=20 * 2**30, gt=0, title="Limit", description="Bytes an archive may unpack to"
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    `formats` are how columns of text were written, `missing` counts the values that every
    column lacks, and `notes` are remarks for people.
    """

    rows: int
    columns: tuple[str, ...]
    formats: dict[str, str]
    missing: dict[str, int]
    notes: tuple[str, ...]


def read_table(source: Path, options: ReadOptions | None = None) -> pd.DataFrame:
    """Read a file into a frame, shape (n_rows, n_columns); see `convert`."""
    with tempfile.TemporaryDirectory(prefix="millrace-read-") as scratch:
        target = Path(scratch) / "frame.parquet"
        convert(source, target, options)
        frame: pd.DataFrame = pq.read_table(target).to_pandas(date_as_object=False)
    return frame


def convert(
    path: Path,
    target: Path,
    options: ReadOptions | None = None,
    *,
    source: str | None = None,
    known: Mapping[str, str] | None = None,
) -> Reading:
    """Read the table at `path` and write it to `target` as Parquet.

    Text: CSV, TSV and relatives, plain, gzipped or zipped; JSON lines. Typed: Parquet,
    Feather, Arrow, Excel. A column of text gets the narrowest type that all its values have;
    a column that could be read in two ways, or in none, stays text.

    Parameters
    ----------
    source : str, optional
        What errors call the file; by default its path.
    known : mapping of str to str, optional
        Formats of an earlier version's columns, which hold for this one.

    Raises
    ------
    TabularError
        The kind that says what is wrong, with the line or row and column where there is one.
    """
    options = options or ReadOptions()
    source = source or str(path)
    if not path.is_file():
        raise SourceNotFoundError(source)
    if path.stat().st_size == 0:
        raise EmptyTableError(source, "is empty")
    with tempfile.TemporaryDirectory(prefix="millrace-unpack-", dir=target.parent) as scratch:
        contents = _open(path, source, options, Path(scratch))
        formats = _formats(contents, options, known or {})
        return _Conversion(contents, source, formats).write(target)


def _open(path: Path, source: str, options: ReadOptions, scratch: Path) -> Contents:
    suffix = path.suffix.lower()
    if suffix in _PACKED:
        path = unpack(path, source, scratch, member=options.member, limit=options.limit_bytes)
        suffix = path.suffix.lower()
        if path.stat().st_size == 0:
            raise EmptyTableError(source, "is empty")
    if suffix in _TEXTS:
        dialect = dialects.detect(
            path,
            source,
            delimiter=options.delimiter,
            encoding=options.encoding,
            header=options.header,
        )
        return containers.delimited(path, source, dialect)
    if suffix in {".parquet", ".pq"}:
        return containers.parquet(path, source)
    if suffix in {".jsonl", ".ndjson"}:
        return records.json_lines(path, source)
    if suffix in {".xlsx", ".xlsm", ".xls"}:
        return records.workbook(path, source, options.sheet)
    if suffix in {".feather", ".arrow"}:
        return containers.arrow(path, source)
    raise UnsupportedFormatError(source, SUPPORTED)


def _formats(contents: Contents, options: ReadOptions, known: Mapping[str, str]) -> dict[str, str]:
    """Return the formats that are given: by the caller, else by the dataset's last version."""
    for name, wanted in options.types.items():
        if name not in contents.names:
            raise UnknownColumnError(name, contents.names)
        if wanted not in FORMATS:
            raise UnknownNameError("format", wanted, tuple(FORMATS))
    recorded = {} if options.infer_again else known
    return {
        name: given
        for name in contents.texts
        if (given := options.types.get(name, recorded.get(name))) in FORMATS
    }


class _Conversion:
    """One file on its way to Parquet."""

    def __init__(self, contents: Contents, source: str, given: Mapping[str, str]) -> None:
        self._contents = contents
        self._source = source
        self._given = given
        self._columns = {
            name: parsing.Column(name, roots, (given[name],) if name in given else None)
            for name, roots in contents.texts.items()
        }
        self._plan: dict[str, str] | None = None
        self._rows = 0
        self._rounded: set[str] = set()
        self._missing: Counter[str] = Counter()
        self._long: set[str] = set()

    def write(self, target: Path) -> Reading:
        """Write the table, a second time where the first found that a format had to change."""
        stale = False
        with _Parquet(target) as writer:
            for batch, converted in ahead(self._converted(ahead(self._contents.batches()))):
                stale = stale or converted is None
                if not stale:
                    writer.add(converted)
                self._rows += batch
        formats = parsing.resolve(self._columns.values())
        self._rounded = {name for name in self._long if self._missing[name]}
        stale = stale or bool(self._rounded)
        self._check(formats)
        if self._rows == 0:
            raise EmptyTableError(self._source, "has a header and no rows")
        if stale or formats != self._plan:
            self._missing.clear()
            with _Parquet(target) as writer:
                for final in ahead(self._final(ahead(self._contents.batches()), formats)):
                    writer.add(final)
        return Reading(
            rows=self._rows,
            columns=self._contents.names,
            formats=formats,
            missing=dict(self._missing),
            notes=(*self._contents.notes, *self._undecided(formats)),
        )

    def _converted(
        self, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[tuple[int, pa.RecordBatch | None]]:
        """Yield the rows of every batch, and the batch in its types while these still hold."""
        start = 0
        for batch in batches:
            arrays: dict[str, pa.Array | None] = {}
            for name, column in self._columns.items():
                arrays[name] = column.meet(batch.column(name))
                if name in self._given:
                    self._hold(name, batch.column(name), start)
            formats = parsing.resolve(self._columns.values())
            self._plan = self._plan or formats
            same = formats == self._plan
            yield batch.num_rows, self._typed(batch, formats, arrays, start) if same else None
            start += batch.num_rows

    def _final(
        self, batches: Iterator[pa.RecordBatch], formats: dict[str, str]
    ) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in batches:
            yield self._typed(batch, formats, {}, start)
            start += batch.num_rows

    def _typed(
        self,
        batch: pa.RecordBatch,
        formats: dict[str, str],
        done: Mapping[str, pa.Array | None],
        start: int,
    ) -> pa.RecordBatch:
        arrays = []
        for name in self._contents.names:
            values = self._values(batch.column(name), formats.get(name, TEXT), done.get(name))
            self._check_finite(name, values, start)
            self._missing[name] += values.null_count
            if name not in self._columns and parsing.is_long(values):
                self._long.add(name)
            arrays.append(values.cast(pa.string()) if name in self._rounded else values)
        return pa.RecordBatch.from_arrays(arrays, names=list(self._contents.names))

    def _values(self, texts: pa.Array, wanted: str, done: pa.Array | None) -> pa.Array:
        """Return a column in its type: as it is, as it was converted, or converted now."""
        return texts if wanted == TEXT else parsing.fit(wanted, texts) if done is None else done

    def _check_finite(self, name: str, values: pa.Array, start: int) -> None:
        if pa.types.is_floating(values.type) and pc.any(pc.is_inf(values)).as_py():
            row = start + pc.index(pc.is_inf(values), pa.scalar(True)).as_py()  # noqa: FBT003
            place = self._contents.place(row)
            raise MalformedTableError(self._source, f"{name!r} is infinite in {place}")

    def _hold(self, name: str, values: pa.Array, start: int) -> None:
        """Refuse values that are not of the format the column is known to have."""
        given = self._given[name]
        kept = parsing.resolve([self._columns[name]])[name]
        if FORMATS[kept].type == FORMATS[given].type or (given, kept) == ("whole", "number"):
            return
        if parsing.fit(given, values) is not None:
            raise MalformedTableError(
                self._source,
                f"{name!r} has whole numbers of more than {parsing.EXACT_DIGITS} digits beside "
                "missing values, which would be rounded; give its type as text",
            )
        row = parsing.first_misfit(values, given)
        raise MistypedValueError(
            self._source,
            self._contents.place(start + row),
            name,
            str(values[row].as_py()),
            given,
        )

    def _check(self, formats: dict[str, str]) -> None:
        """Refuse a table whose first row is data: names that are decimals, dates and fit."""
        header = self._contents.header
        cells = {name: header[name] for name in header if formats.get(name, TEXT) != TEXT}
        if any(parsing.is_data(cell, formats[name]) for name, cell in cells.items()) and all(
            parsing.fit(formats[name], pa.array([cell])) is not None for name, cell in cells.items()
        ):
            raise HeaderError(
                self._source, "looks like a row of data; set the option `header` to say what it is"
            )

    def _undecided(self, formats: dict[str, str]) -> Iterator[str]:
        for name, column in self._columns.items():
            if column.formats and len(column.formats) > 1 and formats[name] == TEXT:
                yield (
                    f"{name!r} stays text: its values could be {' or '.join(column.formats)}; "
                    "say which as its type"
                )


class _Parquet:
    """A Parquet file in the making, cut in row groups of one size whatever the batches.

    Only rows so wide that a group would fill memory are cut as they come.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROW_GROUP or self._bytes >= _GROUP_BYTES:
            self._flush(whole=self._rows < ROW_GROUP)

    def _flush(self, *, whole: bool) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        end = table.num_rows if whole else table.num_rows - table.num_rows % ROW_GROUP
        if self._writer is None:
            ordered = [each.name for each in table.schema if not pa.types.is_string(each.type)]
            self._writer = pq.ParquetWriter(
                self._target, table.schema, compression="zstd", write_statistics=ordered
            )
        self._writer.write_table(table.slice(0, end), row_group_size=ROW_GROUP)
        self._waiting = table.slice(end).to_batches()
        self._rows = table.num_rows - end
        self._bytes = sum(each.nbytes for each in self._waiting)

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush(whole=True)
        if self._writer is not None:
            self._writer.close()
