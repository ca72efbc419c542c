"""Describe a table: every column over all rows, pairs of columns on a sample.

The columns of a Parquet file are read one after another, so memory is bounded by the largest
column and not by the table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.tabular import association
from tasks.tabular.association import Pair
from tasks.tabular.sampling import even_rows

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from tasks.tabular.schema import Column, Schema

TOP_VALUES = 10
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_DECILES = tuple(np.linspace(0, 1, 11)[1:-1].tolist())
BINS = 30
"""Bars of a histogram: as many as are told apart on a phone."""

FINGERPRINT_VALUES = 50
"""Texts whose shares the fingerprint keeps; the rest is one share."""

_LONG = 200
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges; dates have edges in seconds since 1970, in UTC."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column over all rows.

    `moments` are mean, deviation (of a sample, n - 1), skewness and excess kurtosis (both as
    pandas estimates them) of numbers; of texts, they are of their length in characters.
    `fingerprint` is what drift is measured against: shares of rows by bin or by value.
    """

    name: str
    kind: str
    type: str
    rows: int
    missing: int
    distinct: int
    zeros: int
    moments: dict[str, float]
    quantiles: dict[str, float]
    first: str | None
    last: str | None
    top: dict[str, int]
    histogram: Histogram | None
    fingerprint: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def mean(self) -> float | None:
        """Mean of numbers, None for other kinds."""
        return self.moments.get("mean") if self.kind == "numeric" else None

    @property
    def deviation(self) -> float | None:
        """Deviation of numbers, None for other kinds."""
        return self.moments.get("deviation") if self.kind == "numeric" else None


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """The whole table; `pairs` were compared on `sampled` rows."""

    rows: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]
    pairs: tuple[Pair, ...]
    sampled: int
    target: str | None
    leaks: dict[str, float]

    @property
    def missing_share(self) -> float:
        """Share of all cells that are missing."""
        cells = self.rows * len(self.columns)
        return sum(each.missing for each in self.columns) / cells if cells else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """Return what the catalogue keeps of the report."""
        return {
            "rows": self.rows,
            "columns": len(self.columns),
            "duplicates": self.duplicates,
            "missing_share": round(self.missing_share, 6),
            "warnings": {each.name: list(each.warnings) for each in self.columns if each.warnings},
        }


def profile(
    path: Path, schema: Schema, target: str | None = None, hidden: Collection[str] = ()
) -> ProfileReport:
    """Describe the table in a Parquet file.

    Parameters
    ----------
    target : str, optional
        Column to be predicted: columns that give it away are named.
    hidden : collection of str, optional
        Columns with personal data: they are counted, and no value of theirs is shown.
    """
    hashes: NDArray[np.uint64] | None = None
    columns = []
    with pq.ParquetFile(path) as file, np.errstate(all="ignore"):  # what overflows is left out
        rows = file.metadata.num_rows
        sample = even_rows(file)
        leaks = association.leaks(sample, schema, target)
        for column in schema.columns:
            values = file.read(columns=[column.name]).column(0)
            done = _profiled(values, column)
            done = replace(done, warnings=_warnings(done, leaks=column.name in leaks))
            columns.append(_without_values(done) if column.name in hidden else done)
            hashes = _hash(values, hashes)
        pairs = association.pairs(sample, schema)
    return ProfileReport(
        rows=rows,
        duplicates=_repeated(hashes) if hashes is not None else 0,
        columns=tuple(columns),
        pairs=pairs,
        sampled=len(sample),
        target=target,
        leaks=leaks,
    )


def _hash(values: pa.ChunkedArray, before: NDArray[np.uint64] | None) -> NDArray[np.uint64]:
    """Add a column to the hash of every row; equal rows have equal hashes."""
    if pa.types.is_string(values.type):
        values = values.cast(pa.large_string())  # a column may have more than 2 GiB
    encoded = values.combine_chunks().dictionary_encode()
    texts = pd.Series(encoded.dictionary.to_pandas()).astype(str).to_numpy(dtype=object)
    own = np.append(pd.util.hash_array(texts, categorize=False), np.uint64(0))
    places = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    hashes: NDArray[np.uint64] = own[places]
    return hashes if before is None else before * np.uint64(0x9E3779B97F4A7C15) + hashes


def _repeated(hashes: NDArray[np.uint64]) -> int:
    ordered = np.sort(hashes)
    return int((ordered[1:] == ordered[:-1]).sum())


def _profiled(values: pa.ChunkedArray, column: Column) -> ColumnProfile:
    counted = pc.value_counts(pc.drop_null(values))
    counts = counted.field("counts").to_numpy(zero_copy_only=False)
    best = np.argsort(-counts, kind="stable")[:FINGERPRINT_VALUES]
    common = {
        _shown(counted.field("values")[int(place)].as_py()): int(counts[place]) for place in best
    }
    numbers = _numbers(values, column)
    bins = _histogram(numbers) if column.kind in ("numeric", "datetime") else None
    missing = values.null_count
    stats = numbers if column.kind != "datetime" else numbers[:0]
    moments = _moments(stats)
    levels, deciles = _levels(stats if column.kind == "numeric" else stats[:0])
    extremes = pc.min_max(values).as_py() if column.kind == "datetime" else {}
    return ColumnProfile(
        name=column.name,
        kind=column.kind,
        type=str(values.type),
        rows=len(values),
        missing=missing,
        distinct=len(counts),
        zeros=int((stats == 0).sum()) if column.kind == "numeric" else 0,
        moments=moments,
        quantiles=dict(zip(map(str, QUANTILES), levels, strict=False)),
        first=str(extremes["min"]) if extremes.get("min") is not None else None,
        last=str(extremes["max"]) if extremes.get("max") is not None else None,
        top=dict(list(common.items())[:TOP_VALUES]),
        histogram=bins,
        fingerprint=_fingerprint(stats, deciles, common, len(values), missing),
        warnings=(),
    )


def _without_values(done: ColumnProfile) -> ColumnProfile:
    return replace(
        done,
        quantiles={},
        first=None,
        last=None,
        top={},
        histogram=None,
        fingerprint={"missing": done.fingerprint["missing"]},
    )


def _numbers(values: pa.ChunkedArray, column: Column) -> NDArray[np.floating]:
    """Return the present values as numbers: texts by their length, dates by their seconds."""
    present = pc.drop_null(values)
    if column.kind in ("categorical", "text"):
        present = pc.utf8_length(present.cast(pa.string()))
    elif column.kind == "datetime":
        present = present.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        seconds: NDArray[np.floating] = present.to_numpy() / 1e6
        return seconds
    numbers: NDArray[np.floating] = present.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _histogram(numbers: NDArray[np.floating]) -> Histogram | None:
    if not len(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    try:
        counts, edges = np.histogram(numbers, bins=BINS)
    except ValueError:  # so near to each other, or so far apart, that no bars fit between
        return Histogram((low, high), (len(numbers),))
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)))


def _moments(numbers: NDArray[np.floating]) -> dict[str, float]:
    series = pd.Series(numbers)
    moments: dict[str, Any] = {
        "mean": series.mean(),
        "deviation": series.std(),
        "skewness": series.skew(),
        "kurtosis": series.kurt(),
    }
    return {name: float(value) for name, value in moments.items() if np.isfinite(value)}


def _levels(numbers: NDArray[np.floating]) -> tuple[list[float], list[float]]:
    """Return the quantiles that are shown, and the deciles, in one pass; none of no numbers."""
    if not len(numbers):
        return [], []
    found = np.quantile(numbers, (*QUANTILES, *_DECILES)).tolist()
    return found[: len(QUANTILES)], found[len(QUANTILES) :]


def _fingerprint(
    numbers: NDArray[np.floating],
    deciles: list[float],
    common: dict[str, int],
    rows: int,
    missing: int,
) -> dict[str, Any]:
    """Return shares of all rows that another window of the column can be compared with."""
    missing_share = missing / rows if rows else 0.0
    if deciles:
        edges = sorted(set(deciles))
        places = np.searchsorted(edges, numbers, side="right")
        shares = np.bincount(places, minlength=len(edges) + 1) / rows
        return {"missing": missing_share, "edges": edges, "shares": shares.tolist()}
    return {
        "missing": missing_share,
        "values": {value: count / rows for value, count in common.items()},
    }


_UNIQUE = 0.95
_SKEWED = 10.0


def _warnings(done: ColumnProfile, *, leaks: bool) -> tuple[str, ...]:
    present = done.rows - done.missing
    whole = done.kind == "categorical" or "int" in done.type
    several = present > 20  # noqa: PLR2004 - fewer prove nothing
    said = {
        "constant": done.distinct <= 1,
        "likely an identifier": whole and several and done.distinct > _UNIQUE * present,
        "mostly missing": done.missing > present,
        "gives the target away": leaks,
        "very skewed": done.kind == "numeric" and abs(done.moments.get("skewness", 0)) > _SKEWED,
    }
    return tuple(text for text, holds in said.items() if holds)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
