"""Rows made to show where a plan and its model differ: gaps, extremes, strangers, wrong types.

Every cell comes as a pair: what a client sends, and what the model should see of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.tabular.rows import Column

MUTATED = 0.35
"""Share of the cells that are changed."""

HUGE = 3e38
"""Nearly the largest float32: beyond it scikit-learn's trees refuse a row."""

_NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    -5e-324,
    1e-36,
    -1e-45,
    1e-30,
    1e15,
    -1e15,
    2.0**53,
    HUGE,
    -HUGE,
)
_WHOLE = (0, -1, 1, 255, 2**31, -(2**31), 2**53, -(2**62))
_STRANGERS = (
    "",
    " ",
    "\x00",
    "None",
    "nan",
    "NaN",
    "null",
    "(other)",
    "(missing)",
    "infrequent_sklearn",
    "日本語",
    "e\u0301",
    "😀" * 50,
    "x" * 5_000,
    "0",
    "1.0",
    "'; DROP TABLE rows; --",
)
_MOMENTS = (
    "1970-01-01T00:00:00+00:00",
    "2000-02-29T23:59:59.999999+00:00",
    "9998-12-31T23:59:59+00:00",
    "1000-01-02T00:00:00+00:00",
    "1969-12-31T23:59:59.5+00:00",
    "2024-03-31T01:30:00+00:00",
    "2024-10-27T01:30:00+00:00",
)


@dataclass(frozen=True, slots=True)
class Adversaries:
    """Rows as they are sent, and the frame they stand for."""

    sent: list[dict[str, Any]]
    meant: pd.DataFrame


def adversaries(
    columns: Sequence[Column],
    rows: Sequence[dict[str, Any]],
    count: int,
    *,
    seed: int = 0,
    largest: float = HUGE,
) -> Adversaries:
    """Change cells of known rows, permute their columns, and add columns nobody knows.

    Parameters
    ----------
    rows : sequence of dict
        Known rows as JSON values.
    count : int
        Rows to make.
    largest : float
        Numbers of this size are among them; beyond `HUGE` every row has them.
    """
    rng = np.random.default_rng(seed)
    sent: list[dict[str, Any]] = []
    meant: dict[str, list[Any]] = {column.name: [] for column in columns}
    for _ in range(count):
        known = rows[int(rng.integers(len(rows)))]
        row: dict[str, Any] = {}
        for place in rng.permutation(len(columns)):
            column = columns[place]
            value = known[column.name]
            shown, seen = value, value
            if column.kind == "numeric" and not column.whole and largest > HUGE:
                shown = seen = largest
            elif rng.random() < MUTATED:
                other = rows[int(rng.integers(len(rows)))][column.name]
                shown, seen = _cell(column, value, other, largest, rng)
            if shown is not None or rng.random() < 0.5 or not column.nullable:  # noqa: PLR2004 - a coin
                row[column.name] = shown
            meant[column.name].append(seen)
        if rng.random() < 0.3:  # noqa: PLR2004 - some of them
            row["a column\x00nobody knows"] = {"nested": [1, None]}
        sent.append(row)
    return Adversaries(sent, pd.DataFrame(meant).astype(object))


def known_texts(
    columns: Sequence[Column], rows: Sequence[dict[str, Any]], texts: Mapping[str, Sequence[str]]
) -> Adversaries:
    """Return rows in which every text that a plan's tables know is there at least once."""
    count = max((len(each) for each in texts.values()), default=0)
    sent = []
    for place in range(count):
        drawn = {name: each[place % len(each)] for name, each in texts.items() if each}
        sent.append({**rows[place % len(rows)], **drawn})
    meant = {column.name: [row[column.name] for row in sent] for column in columns}
    return Adversaries(sent, pd.DataFrame(meant).astype(object))


def wrong_types(columns: Sequence[Column], row: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return rows that must be refused, with the column at fault."""
    wrong: list[tuple[str, dict[str, Any]]] = []
    for column in columns:
        values: list[Any] = [[], {}, [1], {"a": 1}]
        if column.kind in ("numeric", "boolean"):
            values += ["abc", "", "1_000", "0x10", "NaN", "1e999", 10**400]
        if column.kind == "numeric":
            values += [True, *([5.5, "5.5"] if column.whole else [])]
        if column.kind == "boolean":
            values += [2, "perhaps"]
        if column.kind == "datetime":
            values += ["yesterday", True, "2024-13-01", 1e300]
        if not column.nullable:
            values.append(None)
            wrong.append((column.name, {k: v for k, v in row.items() if k != column.name}))
        wrong += [(column.name, {**row, column.name: value}) for value in values]
    return wrong


def _cell(
    column: Column, value: Any, other: Any, largest: float, rng: np.random.Generator
) -> tuple[Any, Any]:
    """Return a changed cell: as it is sent, and as it is meant."""
    if column.nullable and rng.random() < 0.2:  # noqa: PLR2004 - often
        return None, None
    if rng.random() < 0.3 and other is not None:  # noqa: PLR2004 - often
        return other, other
    if column.kind == "numeric":
        return _number(column, value, largest, rng)
    if column.kind == "boolean":
        truth = bool(rng.integers(2))
        shown = (truth, int(truth), str(truth), str(int(truth)))[int(rng.integers(4))]
        return shown, truth
    if column.kind == "datetime":
        return _moment(rng)
    return _text(value, rng)


def _number(
    column: Column, value: Any, largest: float, rng: np.random.Generator
) -> tuple[Any, Any]:
    if column.whole:
        whole = int(_WHOLE[int(rng.integers(len(_WHOLE)))])
        shown = (whole, float(whole), str(whole))[int(rng.integers(3))]
        return shown, float(whole)
    near = float(value) if value is not None else 0.0
    options = (
        *_NUMBERS,
        largest,
        np.nextafter(near, np.inf),
        np.nextafter(near, -np.inf),
        float(np.float32(near)),
        near * rng.normal(),
    )
    number = float(options[int(rng.integers(len(options)))])
    number = min(max(number, -largest), largest)
    return (repr(number) if rng.random() < 0.2 else number), number  # noqa: PLR2004 - some as texts


def _text(value: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    drawn = int(rng.integers(len(_STRANGERS) + 4))
    if drawn < len(_STRANGERS):
        return _STRANGERS[drawn], _STRANGERS[drawn]
    known = "" if value is None else str(value)
    changed = (known.upper(), f" {known}", f"{known}\n", known[::-1])[drawn - len(_STRANGERS)]
    return changed, changed


def _moment(rng: np.random.Generator) -> tuple[Any, Any]:
    drawn = int(rng.integers(len(_MOMENTS) + 2))
    if drawn < len(_MOMENTS):
        return _MOMENTS[drawn], _MOMENTS[drawn]
    seconds = int(rng.integers(-(2**31), 2**32))
    moment = datetime.fromtimestamp(seconds, UTC)
    if drawn == len(_MOMENTS):
        return seconds, moment.isoformat()
    return moment.isoformat().replace("+00:00", "Z"), moment.isoformat()
