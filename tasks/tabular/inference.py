"""The schema of a table in a Parquet file, inferred without holding the table in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.tabular.errors import ConstantTableError
from tasks.tabular.schema import (
    MOSTLY_UNIQUE,
    PROSE_SAMPLE,
    Column,
    Kind,
    Schema,
    is_prose,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def infer_file(
    path: Path, missing: Mapping[str, int], formats: Mapping[str, str] | None = None
) -> Schema:
    """Infer the schema of the Parquet file at `path`, column by column, like `infer`.

    Parameters
    ----------
    missing : mapping of str to int
        Values that are missing in every column.
    formats : mapping of str to str, optional
        How columns of text were written, by name.
    """
    with pq.ParquetFile(path) as file:
        return Schema(
            tuple(
                _stored(file, place, each, missing[each.name], (formats or {}).get(each.name, ""))
                for place, each in enumerate(file.schema_arrow)
            )
        )


def require_informative(schema: Schema, rows: int) -> None:
    """Raise `ConstantTableError` if no column of a table tells one row from another."""
    if rows > 1 and not any(each.informative for each in schema.columns):
        raise ConstantTableError(len(schema.columns))


def _stored(
    file: pq.ParquetFile, place: int, field: pa.Field, missing: int, written: str
) -> Column:
    rows = file.metadata.num_rows
    kind = _stored_kind(field.type)
    several = missing < rows and (missing > 0 or _varies(file, place))
    differs = kind == "categorical" and _differs(file, place, rows - missing)
    if differs and _is_prose(file, place):
        kind = "text"
    identifier = kind == "categorical" and differs and missing < (1 - MOSTLY_UNIQUE) * rows
    return Column(
        name=field.name,
        kind=kind,
        nullable=missing > 0,
        informative=several and not identifier,
        type=str(field.type),
        format=written,
    )


def _values(file: pq.ParquetFile, place: int, group: int) -> pa.ChunkedArray:
    name = file.schema_arrow.field(place).name
    return file.read_row_group(group, columns=[name]).column(0)


def _groups(file: pq.ParquetFile) -> range:
    return range(file.metadata.num_row_groups)


def _statistics(file: pq.ParquetFile, place: int, group: int) -> Any:
    return file.metadata.row_group(group).column(place).statistics


def _varies(file: pq.ParquetFile, place: int) -> bool:
    """Whether a column has two values, from the least and greatest of every row group."""
    seen: set[object] = set()
    for group in _groups(file):
        found = _statistics(file, place, group)
        if found is None or not found.has_min_max:  # texts have none
            seen |= set(pc.unique(_values(file, place, group)).to_pylist()) - {None}
        else:
            seen |= {found.min, found.max} if found.min == found.min else set()
        if len(seen) > 1:
            return True
    return False


def _differs(file: pq.ParquetFile, place: int, present: int) -> bool:
    """Whether nearly every text that is there is another one.

    Texts that repeat within a row group repeat in the table, so the groups are looked at only
    until enough have; a table of nothing but repetitions costs a twentieth of its rows.
    """
    name = file.schema_arrow.field(place).name
    if MOSTLY_UNIQUE * present <= 20:  # noqa: PLR2004 - fewer rows prove nothing
        return False
    repeated = 0
    for group in _groups(file):
        values = _values(file, place, group).drop_null()
        repeated += len(values) - pc.count_distinct(values).as_py()
        if repeated >= (1 - MOSTLY_UNIQUE) * present:
            return False
    whole = file.read(columns=[name]).column(0)
    return bool(pc.count_distinct(whole, mode="only_valid").as_py() > MOSTLY_UNIQUE * present)


def _is_prose(file: pq.ParquetFile, place: int) -> bool:
    for group in _groups(file):
        present = _values(file, place, group).drop_null()
        if len(present):
            return is_prose([str(each) for each in present.slice(0, PROSE_SAMPLE).to_pylist()])
    return False


def _stored_kind(kind: pa.DataType) -> Kind:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numeric"
    return "datetime" if pa.types.is_temporal(kind) else "categorical"
