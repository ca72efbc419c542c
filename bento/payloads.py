"""What a model server is asked and what it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

JsonValue = str | int | float | bool | None


class Prediction(BaseModel):
    """What the model says of one row: a label with the probability of every class, or a value."""

    prediction: str | int | float | bool
    probabilities: dict[str, float] | None = None


class PredictionResponse(BaseModel):
    """The predictions in the order of the rows, and who made them."""

    model: str = Field(description="Registered name")
    version: int
    prediction_id: str = Field(description="Names this answer in logs and labels")
    predictions: list[Prediction]


class RowError(ValueError):
    """A row cannot be scored; the message names the place in the request and the remedy."""


def decide(scores: Sequence[float], threshold: float) -> int:
    """Return the place of the class that probabilities mean.

    `threshold` is the probability of the second of two classes from which it is that one.
    """
    if len(scores) == 2 and threshold != 0.5:  # noqa: PLR2004 - where a half is the greatest's tie
        return int(scores[1] >= threshold)
    return max(range(len(scores)), key=scores.__getitem__)


def read_rows(
    rows: Sequence[dict[str, JsonValue]], columns: Sequence[dict[str, Any]]
) -> pd.DataFrame:
    """Turn named rows into the frame the model was trained on.

    Columns the model does not use are ignored; a missing value may be null or left out where
    training data had missing values too.

    Parameters
    ----------
    rows : sequence of dict
        Column names to JSON values.
    columns : sequence of dict
        The model's columns: name, kind and whether missing values are known.

    Raises
    ------
    RowError
        At the first value that is not what its column holds.
    """
    if not rows:
        raise RowError("rows: is empty; send at least one row")
    values = {
        column["name"]: [_value(row, column, place) for place, row in enumerate(rows)]
        for column in columns
    }
    dtypes = {column["name"]: _DTYPES[column["kind"]] for column in columns}
    return pd.DataFrame({name: pd.Series(values[name], dtype=dtypes[name]) for name in values})


_DTYPES = {
    "numeric": "float64",
    "boolean": "float64",
    "categorical": "object",
    "text": "object",
    "datetime": "datetime64[us, UTC]",
}


def _value(row: dict[str, JsonValue], column: dict[str, Any], place: int) -> Any:
    name = column["name"]
    value = row.get(name)
    if value is None:
        if column["nullable"]:
            return None
        state = "is null" if name in row else "is missing"
        raise RowError(
            f"rows[{place}].{name}: {state}, and the model has never seen it missing; "
            f"send a {column['kind']} value"
        )
    try:
        return _READERS[column["kind"]](value)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        raise RowError(f"rows[{place}].{name}: {value!r} is no {column['kind']} value") from None


def _number(value: JsonValue) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)  # type: ignore[arg-type]  # None was handled
    if not isfinite(number):
        raise ValueError
    return number


def _truth(value: JsonValue) -> float:
    return _TRUTHS[str(value).lower()]


def _instant(value: JsonValue) -> datetime:
    """Read ISO 8601, in UTC where it names no zone, or Unix seconds."""
    if isinstance(value, bool):
        raise TypeError
    if not isinstance(value, str):
        return datetime.fromtimestamp(_number(value), UTC)
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}

_READERS = {
    "numeric": _number,
    "boolean": _truth,
    "categorical": str,
    "text": str,
    "datetime": _instant,
}
