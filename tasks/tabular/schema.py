"""What a table's columns are: inferred once from the data and never guessed again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from pandas.api import types

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
        return _instants(values)
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        values = values.map(str, na_action="ignore")
    texts = values.to_numpy(dtype=object, copy=True)
    texts[values.isna().to_numpy()] = None  # encoders tell None from NaN, and JSON knows null
    return pd.Series(texts, index=values.index, name=values.name, dtype=object)


def _instants(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return UTC timestamps to the microsecond, in which the year 9999 has a place."""
    if types.is_datetime64_any_dtype(values.dtype):
        zoned = (
            values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
        )
    else:
        zoned = pd.to_datetime(values, utc=True, format="ISO8601")
    instants: pd.Series[Any] = zoned.astype("datetime64[us, UTC]")
    return instants


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
