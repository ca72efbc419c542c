"""Describe a table column by column."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from tasks.tabular.schema import Column, Schema

TOP_VALUES = 10
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column: counts, and quantiles of numbers or the most frequent texts."""

    name: str
    kind: str
    missing: int
    distinct: int
    mean: float | None
    deviation: float | None
    quantiles: dict[str, float]
    top: dict[str, int]


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """The whole table."""

    rows: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self)


def profile(frame: pd.DataFrame, schema: Schema) -> ProfileReport:
    """Describe `frame`, shape (n_rows, n_columns); the deviation is the sample's (n - 1)."""
    return ProfileReport(
        rows=len(frame),
        duplicates=int(frame.duplicated().sum()),
        columns=tuple(_column(frame[column.name], column) for column in schema.columns),
    )


def _column(values: pd.Series[Any], column: Column) -> ColumnProfile:
    present = values.dropna()
    numbers = present.to_numpy(dtype=float) if column.kind == "numeric" else np.empty(0)
    texts = present.astype(str) if not numbers.size else present.astype(str).head(0)
    counts = texts.value_counts().head(TOP_VALUES)
    return ColumnProfile(
        name=column.name,
        kind=column.kind,
        missing=len(values) - len(present),
        distinct=int(present.nunique()),
        mean=float(numbers.mean()) if numbers.size else None,
        deviation=float(numbers.std(ddof=1)) if numbers.size > 1 else None,
        quantiles=dict(
            zip(map(str, QUANTILES), map(float, np.quantile(numbers, QUANTILES)), strict=True)
        )
        if numbers.size
        else {},
        top={str(value): int(count) for value, count in counts.items()},
    )
