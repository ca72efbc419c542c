"""What a table's columns are: inferred once from the data and never guessed again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.api import types

from tasks.tabular.errors import ConstantTableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Kind = Literal["numeric", "boolean", "categorical", "datetime"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `kind` decides how it is prepared and how serving reads its values.

    `informative` is False for columns that hold one value or a different text in every row:
    they are kept in the data and left out of models. `type` is the Arrow type of the stored
    values and `format` how they were written where they were read from text; both hold for
    the versions that follow.
    """

    name: str
    kind: Kind
    nullable: bool
    informative: bool
    type: str = ""
    format: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table, in order."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All column names, in order."""
        return tuple(column.name for column in self.columns)

    def features(self, target: str) -> Schema:
        """Return the columns a model of `target` may use."""
        return Schema(
            tuple(each for each in self.columns if each.name != target and each.informative)
        )

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Return the names of the columns of these kinds."""
        return [column.name for column in self.columns if column.kind in kinds]

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON-ready values; `from_json` reads them back."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Schema:
        """Read what `to_json` wrote."""
        return cls(tuple(Column(**column) for column in content["columns"]))


MOSTLY_UNIQUE = 0.95
"""Share of distinct texts above which a text column is an identifier, not a category."""


def infer(frame: pd.DataFrame) -> Schema:
    """Infer the schema of `frame`, shape (n_rows, n_columns), from its types and values."""
    return Schema(tuple(_column(frame[name]) for name in frame.columns))


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
    return Column(
        name=field.name,
        kind=kind,
        nullable=missing > 0,
        informative=several and not (kind == "categorical" and _identifies(file, place)),
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


def _identifies(file: pq.ParquetFile, place: int) -> bool:
    """Whether nearly every row has a text of its own.

    Texts that repeat within a row group repeat in the table, so the groups are looked at only
    until enough have; a table of nothing but repetitions costs a twentieth of its rows.
    """
    rows, name = file.metadata.num_rows, file.schema_arrow.field(place).name
    if MOSTLY_UNIQUE * rows <= 20:  # noqa: PLR2004 - fewer rows prove nothing
        return False
    repeated = 0
    for group in _groups(file):
        values = _values(file, place, group)
        repeated += len(values) - pc.count_distinct(values).as_py()
        if repeated >= (1 - MOSTLY_UNIQUE) * rows:
            return False
    whole = file.read(columns=[name]).column(0)
    return bool(pc.count_distinct(whole).as_py() > MOSTLY_UNIQUE * rows)


def _stored_kind(kind: pa.DataType) -> Kind:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numeric"
    return "datetime" if pa.types.is_temporal(kind) else "categorical"


def conform(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns of `schema` in its order and in the types models are given.

    Numbers and truth values become float64, categories text, dates UTC timestamps; missing
    values stay missing. Training and serving both hand models such frames.
    """
    return pd.DataFrame(
        {column.name: _conform(frame[column.name], column.kind) for column in schema.columns},
        index=frame.index,
    )


def _conform(values: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    if kind in ("numeric", "boolean"):
        return values.astype("float64")
    if kind == "datetime":
        dates: pd.Series[Any] = pd.to_datetime(values, utc=True, format="ISO8601")
        return dates.astype("datetime64[ns, UTC]")
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        values = values.map(str, na_action="ignore")
    texts = values.to_numpy(dtype=object, copy=True)
    texts[values.isna().to_numpy()] = None  # encoders tell None from NaN, and JSON knows null
    return pd.Series(texts, index=values.index, name=values.name, dtype=object)


def _column(values: pd.Series[Any]) -> Column:
    kind = _kind(values)
    present = values.dropna()
    distinct = present.nunique()
    is_identifier = kind == "categorical" and distinct > MOSTLY_UNIQUE * len(values) > 20  # noqa: PLR2004 - fewer rows prove nothing
    return Column(
        name=str(values.name),
        kind=kind,
        nullable=len(present) < len(values),
        informative=distinct + (len(present) < len(values)) > 1 and not is_identifier,
    )


def _kind(values: pd.Series[Any]) -> Kind:
    if types.is_bool_dtype(values.dtype):
        return "boolean"
    if types.is_numeric_dtype(values.dtype):
        return "numeric"
    if types.is_datetime64_any_dtype(values.dtype):
        return "datetime"
    return "categorical"
