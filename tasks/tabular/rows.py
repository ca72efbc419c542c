"""Rows as clients send them, read into typed columns: what a served model is asked.

NumPy, msgspec and the standard library are all it needs: the file travels into every Bento, where
neither pandas nor this library is imported before a request is answered.

Reading is tolerant where nothing is lost (`"5"` and `5.0` for a whole number) and refuses the
rest with the place of every value that is wrong. Well-typed JSON is read by a decoder compiled
for the model's columns; only what that refuses is looked at value by value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import astuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

MOST_FAULTS = 10
"""Faults that are told of one request."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGEST_NUMBER = 400
"""Characters: the largest float has 309 digits."""

_SHOWN = 60


class RowsError(ValueError):
    """Rows cannot be scored: `faults` are pairs of a place in the request and what is wrong."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "; ".join(f"{place}: {words}" if place else words for place, words in self.faults)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a served model reads it; `whole` numbers have no fraction."""

    name: str
    kind: str
    nullable: bool
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, column by column.

    `numbers` has shape (n_rows, n_numbers), the numeric and boolean columns in the model's
    order, gaps as NaN. `texts` and `instants` hold a list per categorical or text, and per
    datetime column; gaps are None, instants are in UTC. `single` says that one row was sent as
    such, not as a list of one.
    """

    size: int
    numbers: NDArray[np.float64]
    texts: tuple[list[str | None], ...] = ()
    instants: tuple[list[datetime | None], ...] = ()
    single: bool = False


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a schema's JSON."""
    return tuple(
        Column(
            each["name"],
            each["kind"],
            bool(each["nullable"]),
            each["kind"] == "numeric" and "int" in each.get("type", ""),
        )
        for each in schema["columns"]
    )


class Reader:
    """Reads requests for a model with the given columns."""

    def __init__(self, columns: Sequence[Column], *, most_rows: int = 100_000) -> None:
        self.columns = tuple(columns)
        self.most_rows = most_rows
        self._place = {column.name: place for place, column in enumerate(self.columns)}
        self.numbers = self._places("numeric", "boolean")
        self.texts = self._places("categorical", "text")
        self.instants = self._places("datetime")
        listed = self.texts + self.instants
        self._optional = [at for at, place in enumerate(listed) if self.columns[place].nullable]
        self._decoder = _decoder(self.columns)

    def read(self, body: bytes) -> Batch:
        """Read a JSON request: `rows`, `features`, or either inside `input_data`.

        Raises
        ------
        RowsError
            With the place of every value that is not what its column holds.
        """
        try:
            rows = self._decoder.decode(body).rows if self._decoder is not None else ()
            if 0 < len(rows) <= self.most_rows:
                return self._typed(rows)
        except (ValueError, OverflowError, RecursionError):  # msgspec's errors are ValueErrors
            pass
        return self._tolerant(body)

    def read_named(self, rows: Sequence[Any]) -> Batch:
        """Read named rows, column names to values; columns the model lacks are ignored."""
        self.require_size(len(rows))
        faults: list[tuple[str, str]] = []
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                faults.append((f"rows[{place}]", "is no object of column names to values"))
        _raise(faults)
        return self._coerced(
            lambda column: [row.get(column.name, _ABSENT) for row in rows],
            lambda column, place: f"rows[{place}].{column.name}",
            len(rows),
        )

    def read_features(self, features: Any) -> Batch:
        """Read positional features: one row, or a list of rows, in the order of the columns."""
        if not isinstance(features, list):
            raise RowsError([("features", "is no list")])
        single = not any(isinstance(each, list) for each in features)
        rows = [features] if single else features
        self.require_size(len(rows))
        names = [column.name for column in self.columns]
        faults = []
        for place, row in enumerate(rows):
            where = "features" if single else f"features[{place}]"
            if not isinstance(row, list):
                faults.append((where, "is no list of values"))
            elif len(row) != len(names):
                faults.append((where, _width(len(row), names)))
        _raise(faults)
        return self._coerced(
            lambda column: [row[self._place[column.name]] for row in rows],
            lambda column, place: (
                f"features[{self._place[column.name]}] ({column.name})"
                if single
                else f"features[{place}][{self._place[column.name]}] ({column.name})"
            ),
            len(rows),
            single=single,
        )

    def read_table(self, table: Mapping[str, Sequence[Any]], size: int) -> Batch:
        """Read a table, column by column; texts are coerced, and empty ones are gaps."""
        self.require_size(size)
        absent = [each for each in self.columns if each.name not in table]
        lacking = [each.name for each in absent if not each.nullable]
        if lacking:
            raise RowsError([("", f"the table lacks the columns {', '.join(lacking)}")])
        empty = [None] * size
        return self._coerced(
            lambda column: list(table.get(column.name, empty)),
            lambda column, place: f"row {place + 1}, column {column.name}",
            size,
            tabular=True,
        )

    def gaps(self, batch: Batch) -> list[str]:
        """Name the columns in which a value is missing."""
        lists: list[list[Any]] = [*batch.texts, *batch.instants]
        gaps = any(None in lists[at] for at in self._optional)
        if not gaps and not np.isnan(batch.numbers.sum()):
            return []  # nearly always, and quicker than to look where
        missing: list[bool] = np.asarray(np.isnan(batch.numbers).any(axis=0)).tolist()
        places = [place for place, gap in zip(self.numbers, missing, strict=True) if gap]
        others = zip(self.texts + self.instants, lists, strict=True)
        places += [place for place, values in others if None in values]
        return [self.columns[place].name for place in sorted(places)]

    def _places(self, *kinds: str) -> tuple[int, ...]:
        return tuple(p for p, column in enumerate(self.columns) if column.kind in kinds)

    def _typed(self, rows: Sequence[Any]) -> Batch:
        """Read rows the compiled decoder has passed: every value is of its column's type."""
        read = list(zip(*map(astuple, rows), strict=True))
        return Batch(
            len(rows),
            self._matrix(read, len(rows)),
            tuple([list(read[place]) for place in self.texts]),
            tuple([list(map(_moment, read[place])) for place in self.instants]),
        )

    def _matrix(self, read: Sequence[Sequence[Any]], size: int) -> NDArray[np.float64]:
        """Return the numbers among columns, shape (n_rows, n_numbers)."""
        numbers = np.empty((size, len(self.numbers)))
        for at, place in enumerate(self.numbers):
            numbers[:, at] = read[place]
        return numbers

    def _tolerant(self, body: bytes) -> Batch:
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RowsError([("", f"the body is no JSON: {str(error)[:200]}")]) from None
        if not isinstance(content, dict):
            raise RowsError([("", 'the body is no object; send {"rows": [{column: value}]}')])
        inner = content.get("input_data", content)
        if isinstance(inner, dict):
            if isinstance(inner.get("rows"), list):
                return self.read_named(inner["rows"])
            if "features" in inner:
                return self.read_features(inner["features"])
        raise RowsError([("", 'send {"rows": [{column: value}]} or {"features": [values]}')])

    def require_size(self, size: int) -> None:
        """Refuse no rows and more than `most_rows`."""
        if not size:
            raise RowsError([("rows", "is empty; send at least one row")])
        if size > self.most_rows:
            raise RowsError([("rows", f"{size:,} rows are more than {self.most_rows:,}")])

    def _coerced(
        self,
        values: Callable[[Column], list[Any]],
        place_of: Callable[[Column, int], str],
        size: int,
        *,
        tabular: bool = False,
        single: bool = False,
    ) -> Batch:
        faults: list[tuple[str, str]] = []
        read: list[list[Any]] = []
        for column in self.columns:
            given = values(column)
            at_once = _at_once(column, given) if tabular else None
            if at_once is not None:
                read.append(at_once)
                continue
            coerce, cells = _COERCERS[column.kind], []
            for place, value in enumerate(given):
                try:
                    empty = value is None or value is _ABSENT or (tabular and _is_blank(value))
                    cells.append(_gap(column, value) if empty else coerce(value, column))
                except (ValueError, TypeError, OverflowError, OSError) as error:
                    if len(faults) < MOST_FAULTS:
                        faults.append((place_of(column, place), _worded(error, value, column)))
            read.append(cells)
        _raise(faults)
        return Batch(
            size,
            self._matrix(read, size),
            tuple(read[place] for place in self.texts),
            tuple(read[place] for place in self.instants),
            single,
        )


class _FaultError(ValueError):
    """What is wrong with a value, in words."""


_ABSENT: Any = object()
_PYTHON = {
    "numeric": float,
    "boolean": bool,
    "categorical": str,
    "text": str,
    "datetime": str,  # ISO 8601 in all its forms, read below
}


def _struct(columns: Sequence[Column]) -> type[msgspec.Struct]:
    """Return the type of a well-typed row; nullable columns may be null or left out."""
    fields: list[Any] = []
    for place, column in enumerate(columns):
        kind: Any = int if column.whole else _PYTHON[column.kind]
        name = f"f{place}"
        fields.append((name, kind | None, None) if column.nullable else (name, kind))
    names = {f"f{place}": column.name for place, column in enumerate(columns)}
    return msgspec.defstruct(
        "Row", fields, rename=names, kw_only=True, gc=False, forbid_unknown_fields=True
    )


def _decoder(columns: Sequence[Column]) -> msgspec.json.Decoder[Any] | None:
    """Return the compiled decoder; None for column names that msgspec has no fields for."""
    try:
        return msgspec.json.Decoder(_payload(_struct(columns)))
    except ValueError:
        return None


def _payload(row: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Payload", [("rows", list[row])], gc=False, forbid_unknown_fields=True)  # type: ignore[valid-type]


def _raise(faults: list[tuple[str, str]]) -> None:
    if faults:
        raise RowsError(faults[:MOST_FAULTS])


def _width(width: int, names: list[str]) -> str:
    wanted = f"has {width} values instead of {len(names)}"
    if width < len(names):
        return f"{wanted}; missing: {', '.join(names[width:])}"
    return f"{wanted}: {', '.join(names)}"


def _at_once(column: Column, values: list[Any]) -> list[Any] | None:
    """Read a whole column whose cells are all well; None where they must be looked at singly."""
    kinds = set(map(type, values))
    if column.kind in ("categorical", "text"):
        return values if kinds == {str} and "" not in values else None
    if column.kind != "numeric" or not (kinds <= {int, float} or kinds == {str}):
        return None
    try:
        numbers: NDArray[np.float64] = np.array(values, dtype=np.float64)
    except (ValueError, OverflowError, UnicodeError):
        return None
    whole = not column.whole or bool((numbers == np.floor(numbers)).all())
    return numbers.tolist() if whole and np.isfinite(numbers).all() else None


def _is_blank(value: Any) -> bool:
    """Whether a cell of a table is empty: an empty text, or NaN."""
    return isinstance(value, str | float) and (value == "" or value != value)  # noqa: PLR0124 - NaN


def _gap(column: Column, value: Any) -> Any:
    if column.nullable:
        return np.nan if column.kind in ("numeric", "boolean") else None
    state = "is missing" if value is _ABSENT else "is null"
    raise _FaultError(
        f"{state}, and the model has never seen it missing; send a {column.kind} value"
    )


def _worded(error: Exception, value: Any, column: Column) -> str:
    if isinstance(error, _FaultError):
        return str(error)
    try:
        shown = repr(value)
    except RecursionError:
        shown = f"a deep {type(value).__name__}"
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return f"{shown} is no {column.kind} value"


def _number(value: Any, column: Column) -> float:
    if isinstance(value, Decimal):  # as tables have them
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST_NUMBER else ""
        if _NUMBER.fullmatch(text.strip()) is None:
            raise ValueError
    number = float(value)
    if not isfinite(number):
        if isinstance(value, float) and column.nullable:  # a table's NaN is a gap
            return np.nan
        raise ValueError
    if column.whole and not number.is_integer():
        raise _FaultError(f"{value} is no whole number, and the column holds whole numbers only")
    return number


def _truth(value: Any, _column: Column) -> float:
    if not isinstance(value, bool | int | float | str):
        raise TypeError
    number = _TRUTHS.get(str(value).strip().lower())
    if number is None:
        raise ValueError
    return number


def _text(value: Any, _column: Column) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if not isinstance(value, str | int):
        raise TypeError
    return str(value)


def _instant(value: Any, _column: Column) -> datetime | None:
    """Read ISO 8601, in UTC where it names no zone, or Unix seconds."""
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        return _moment(value.strip())
    if not isfinite(value):
        raise ValueError
    return datetime.fromtimestamp(value, UTC)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _in_utc(datetime.fromisoformat(text))


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
_COERCERS: dict[str, Callable[[Any, Column], Any]] = {
    "numeric": _number,
    "boolean": _truth,
    "categorical": _text,
    "text": _text,
    "datetime": _instant,
}
