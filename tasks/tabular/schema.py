"""What a table's columns are: inferred once from the data and never guessed again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

from tasks.tabular.errors import ColumnValueError, MissingColumnsError

Kind = Literal["numeric", "boolean", "categorical", "text", "datetime"]


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


_LAST_SECOND = 253_402_300_799.0
"""Of the year 9999, in Unix seconds."""

PROSE_WORDS = 3
"""Mean number of words from which on texts that identify rows are read as texts."""

PROSE_SAMPLE = 1_000
"""Texts looked at to tell."""


def infer(frame: pd.DataFrame) -> Schema:
    """Infer the schema of `frame`, shape (n_rows, n_columns), from its types and values."""
    return Schema(tuple(_column(frame[name]) for name in frame.columns))


def conform(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns of `schema` in its order and in the types models are given.

    Numbers and truth values become float64, categories objects, free texts pandas strings,
    dates UTC timestamps; missing and infinite values are missing. Training and serving both
    hand models such frames.

    Raises
    ------
    MissingColumnsError
        If a column is not there.
    ColumnValueError
        If a value is not what its column holds.
    """
    there = set(frame.columns)
    twice = set(frame.columns[frame.columns.duplicated()])
    for each in schema.columns:
        if each.name in twice:
            raise ColumnValueError(each.name, "a second column of that name", each.kind)
    absent = tuple(each.name for each in schema.columns if each.name not in there)
    if absent:
        raise MissingColumnsError(absent, tuple(map(str, frame.columns)))
    return pd.DataFrame(
        {column.name: _conform(frame[column.name], column.kind) for column in schema.columns},
        index=frame.index,
    )


def _conform(values: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    try:
        if kind in ("numeric", "boolean"):
            return _finite(values)
        if kind == "datetime":
            return instants(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise _blamed(values, kind) from error
    texts = _texts(values)
    return texts.astype("string") if kind == "text" else texts


def _finite(values: pd.Series[Any]) -> pd.Series[Any]:
    if types.is_datetime64_any_dtype(values.dtype):
        raise TypeError
    numbers: pd.Series[Any] = values.astype("float64")
    infinite = np.isinf(numbers.to_numpy())
    return numbers.mask(infinite) if infinite.any() else numbers


def _blamed(values: pd.Series[Any], kind: Kind) -> ColumnValueError:
    """Find the first value that is not of the kind."""
    for value in values.dropna():
        try:
            _finite(pd.Series([value])) if kind != "datetime" else instants(pd.Series([value]))
        except (ValueError, TypeError, OverflowError):
            return ColumnValueError(str(values.name), repr(value), kind)
    return ColumnValueError(str(values.name), f"a {values.dtype}", kind)


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        values = values.map(str, na_action="ignore")
    texts = values.to_numpy(dtype=object, copy=True)
    texts[values.isna().to_numpy()] = None  # encoders tell None from NaN, and JSON knows null
    return pd.Series(texts, index=values.index, name=values.name, dtype=object)


def instants(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return UTC timestamps to the microsecond, in which the year 9999 has a place.

    Numbers are Unix seconds.
    """
    if types.is_datetime64_any_dtype(values.dtype):
        zoned = (
            values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
        )
    else:
        zoned = _since(values) if types.is_numeric_dtype(values.dtype) else _parsed(values)
    instants: pd.Series[Any] = zoned.astype("datetime64[us, UTC]")
    return instants


def _since(seconds: pd.Series[Any]) -> pd.Series[Any]:
    if (seconds.abs() > _LAST_SECOND).any():
        raise ValueError
    return pd.to_datetime((seconds * 1e6).round().astype("Int64"), unit="us", utc=True)


def _parsed(texts: pd.Series[Any]) -> pd.Series[Any]:
    try:
        return pd.to_datetime(texts, utc=True, format="ISO8601")
    except pd.errors.OutOfBoundsDatetime:  # nanoseconds end in 2262: one by one, then
        moments = [None if pd.isna(each) else _moment(str(each)) for each in texts]
        instants = pd.Series(moments, index=texts.index, dtype="datetime64[us]", name=texts.name)
        zoned: pd.Series[Any] = instants.dt.tz_localize("UTC")
        return zoned


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _column(values: pd.Series[Any]) -> Column:
    kind = _kind(values)
    present = values.dropna()
    distinct = present.nunique()
    differs = kind == "categorical" and distinct > MOSTLY_UNIQUE * len(present) > 20  # noqa: PLR2004 - fewer rows prove nothing
    if differs and is_prose(present.astype(str).head(PROSE_SAMPLE).tolist()):
        kind = "text"
    is_identifier = kind == "categorical" and differs and distinct > MOSTLY_UNIQUE * len(values)
    return Column(
        name=str(values.name),
        kind=kind,
        nullable=len(present) < len(values),
        informative=distinct + (len(present) < len(values)) > 1 and not is_identifier,
    )


def is_prose(texts: list[str]) -> bool:
    """Whether texts that are all different are something to read, not the names of rows."""
    return bool(texts) and sum(len(each.split()) for each in texts) >= PROSE_WORDS * len(texts)


def _kind(values: pd.Series[Any]) -> Kind:
    if types.is_bool_dtype(values.dtype):
        return "boolean"
    if types.is_numeric_dtype(values.dtype):
        return "numeric"
    if types.is_datetime64_any_dtype(values.dtype) or _are_dates(values):
        return "datetime"
    return "categorical"


def _are_dates(values: pd.Series[Any]) -> bool:
    """Whether texts are ISO dates, all of them, as frames have them that a CSV reader left so."""
    present = values.dropna()
    if types.infer_dtype(present) != "string":
        return False
    import pyarrow as pa  # noqa: PLC0415 - model servers have none, and infer nothing

    from tasks.tabular.parsing import is_written  # noqa: PLC0415 - needs it

    head = pa.array(present.head(PROSE_SAMPLE), pa.string())
    found = [each for each in ("timestamp", "instant") if is_written(each, head)]
    whole = pa.array(present, pa.string()) if found else head
    return any(is_written(each, whole) for each in found)
