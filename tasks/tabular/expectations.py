"""What a later version of a dataset must still look like: a Great Expectations suite."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import great_expectations as gx
from great_expectations.core import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from great_expectations.data_context import EphemeralDataContext

    from tasks.tabular.schema import Column, Schema

MAX_CATEGORIES = 50
"""Texts with more distinct values than this are not held to a list."""

TOLERATED_SHARE = 0.05
"""Share of rows that may leave a range or list before the gate fails: new values happen."""

RANGE_MARGIN = 0.5
"""How far, in widths of the observed range, numbers may leave it."""

NULL_MARGIN = 0.1
"""How much the share of missing values may grow."""


_NUMBERS = tuple(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))
_TABLE_COLUMNS = "expect_table_columns_to_match_set"


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met."""

    column: str
    expectation: str
    observed: str

    def __str__(self) -> str:
        return f"{self.column or 'table'}: {self.expectation} (found {self.observed})"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """How many expectations were checked and which failed."""

    checked: int
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Whether the gate is open."""
        return not self.failures


def draft(frame: pd.DataFrame, schema: Schema, name: str) -> dict[str, Any]:
    """Draft a suite from a reference version, as Great Expectations' own JSON.

    Columns and their order of magnitude must stay: names, null shares, ranges of numbers and
    lists of categories, each with some tolerance.
    """
    columns = gx.expectations.ExpectTableColumnsToMatchSet(
        column_set=list(schema.names), exact_match=True
    )
    drafted = [
        each for column in schema.columns for each in _expectations(frame[column.name], column)
    ]
    suite = ExpectationSuite(name=name, expectations=[columns, *drafted])
    content: dict[str, Any] = suite.to_json_dict()
    return content


def check(frame: pd.DataFrame, suite: dict[str, Any]) -> ValidationReport:
    """Hold `frame` to a suite that `draft` or a person wrote."""
    with _context() as context:
        loaded = context.suites.add(ExpectationSuite(**suite))
        source = context.data_sources.add_pandas("pandas")
        batch = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
        result = batch.get_batch({"dataframe": frame}).validate(loaded)
    failures = [_failure(each.to_json_dict()) for each in result.results if not each.success]
    if any(each.expectation == _TABLE_COLUMNS for each in failures):
        # that names the columns that are gone; their own expectations have nothing to look at
        looked_at = {"", *map(str, frame.columns)}
        failures = [each for each in failures if each.column in looked_at]
    return ValidationReport(len(result.results), tuple(failures))


@contextmanager
def _context() -> Iterator[EphemeralDataContext]:
    """Yield a context of its own, in memory and silent."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    yield context


def _expectations(values: pd.Series[Any], column: Column) -> list[gx.expectations.Expectation]:
    name = column.name
    mostly = max(0.0, 1 - values.isna().mean() - NULL_MARGIN) if column.nullable else 1.0
    drafted: list[gx.expectations.Expectation] = [
        gx.expectations.ExpectColumnValuesToNotBeNull(column=name, mostly=mostly)
    ]
    present = values.dropna()
    if column.kind == "numeric" and len(present):
        low, high = float(present.min()), float(present.max())
        margin = RANGE_MARGIN * (high - low)
        drafted += [
            gx.expectations.ExpectColumnValuesToBeInTypeList(column=name, type_list=list(_NUMBERS)),
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=low - margin,
                max_value=high + margin,
                mostly=1 - TOLERATED_SHARE,
            ),
        ]
    if column.kind == "categorical" and 0 < present.nunique() <= MAX_CATEGORIES:
        drafted.append(
            gx.expectations.ExpectColumnValuesToBeInSet(
                column=name, value_set=sorted(present.unique(), key=str), mostly=1 - TOLERATED_SHARE
            )
        )
    return drafted


def _failure(result: dict[str, Any]) -> Failure:
    config = result["expectation_config"]
    found = result.get("result") or {}
    observed = (
        found.get("partial_unexpected_list")
        or found.get("details", {}).get("mismatched")
        or found.get("observed_value")
        or (result.get("exception_info") or {}).get("exception_message")
        or "something else"
    )
    share = (
        f", {found['unexpected_percent']:.1f} % of rows" if found.get("unexpected_percent") else ""
    )
    return Failure(
        column=str(config["kwargs"].get("column", "")),
        expectation=str(config["type"]),
        observed=f"{str(observed)[:120]}{share}",
    )
