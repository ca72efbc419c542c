"""What a later version of a dataset must still look like: a Great Expectations suite."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import great_expectations as gx
import pandas as pd
import pyarrow.parquet as pq
from great_expectations.core import ExpectationSuite
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
)
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

    from tasks.tabular.schema import Column, Schema

Severity = Literal["fail", "warn"]

MAX_CATEGORIES = 50
"""Texts with more distinct values than this are not held to a list."""

TOLERATED_SHARE = 0.05
"""Share of rows that may leave a range or list before the gate fails: new values happen."""

RANGE_MARGIN = 0.5
"""How far, in widths of the observed range, numbers may leave it."""

NULL_MARGIN = 0.1
"""How much the share of missing values may grow."""

ROW_BAND = (0.5, 10.0)
"""Rows a later version has, in multiples of the reference's, without a warning."""

SAMPLED = 20
"""Failing rows that are kept of every expectation."""

_CELLS = 20_000_000
"""Values that are held in memory at once: 160 MB of numbers."""

_NUMBERS = tuple(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))
_DATES = tuple(
    f"datetime64[{unit}{zone}]" for unit in ("s", "ms", "us", "ns") for zone in ("", ", UTC")
)
_TABLE_COLUMNS = "expect_table_columns_to_match_set"
_SHAPE = (_TABLE_COLUMNS, "expect_table_column_", "expect_table_row_count_")
_STYLE = Path(__file__).parent / "pages" / "datadocs.css"
_COLUMN_KEYS = ("column", "column_A", "column_B")


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met; `rows` are places of failing rows, from 0."""

    column: str
    expectation: str
    observed: str
    severity: Severity = "fail"
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.column or 'table'}: {self.expectation} (found {self.observed})"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """How many expectations were checked and which failed.

    `page` is Great Expectations' own document of the result, as HTML that loads nothing.
    """

    checked: int
    failures: tuple[Failure, ...]
    page: str = ""

    @property
    def passed(self) -> bool:
        """Whether the gate is open: warnings leave it open."""
        return not any(each.severity == "fail" for each in self.failures)

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """What was not met and is only said."""
        return tuple(each for each in self.failures if each.severity == "warn")

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, without its page."""
        content = asdict(self)
        del content["page"]
        return {"passed": self.passed, **content}


def draft(
    path: Path, schema: Schema, name: str, *, hidden: Collection[str] = ()
) -> ExpectationSuite:
    """Draft a suite from the Parquet file of a reference version, one column at a time.

    Columns and their order of magnitude must stay: names, types, null shares, ranges of
    numbers, lists of categories and uniqueness, each with some tolerance. The number of rows
    is only warned about. Of hidden columns, which hold personal data, no value is written down.
    """
    e = gx.expectations
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        drafted: list[Expectation] = [
            e.ExpectTableColumnsToMatchSet(column_set=list(schema.names), exact_match=True),
            e.ExpectTableRowCountToBeBetween(
                min_value=int(ROW_BAND[0] * rows),
                max_value=int(ROW_BAND[1] * rows),
                severity="warning",
            ),
        ]
        for column in schema.columns:
            table = file.read(columns=[column.name])
            values = table.to_pandas(date_as_object=False)[column.name]
            drafted += _expectations(values, column, shown=column.name not in hidden)
    return ExpectationSuite(name=name, expectations=drafted)


def check(
    path: Path,
    suite: ExpectationSuite,
    *,
    hidden: Collection[str] = (),
    absent: Collection[str] = (),
) -> ValidationReport:
    """Hold the table in a Parquet file to a suite, as many columns at a time as fit in memory.

    Parameters
    ----------
    hidden : collection of str, optional
        Columns with personal data, whose values are not shown.
    absent : collection of str, optional
        Columns the table need not have, such as the target in a batch to be scored.
    """
    results: list[ExpectationValidationResult] = []
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = _without(suite.expectations, absent)
        for columns, expectations in _groups(wanted, names, file.metadata.num_rows):
            frame = (
                _shape(names, file.metadata.num_rows)
                if columns is None
                else file.read(columns=columns).to_pandas(date_as_object=False)
            )
            shown = [each for each in expectations if not _named(each) & set(hidden)]
            secret = [each for each in expectations if _named(each) & set(hidden)]
            results += _validated(frame, shown, SAMPLED) + _validated(frame, secret, 0)
    failures = [
        _failure(each, hidden=_is_about(each, hidden)) for each in results if not each.success
    ]
    if any(each.expectation == _TABLE_COLUMNS for each in failures):
        # that names the columns that are gone; their own expectations have nothing to look at
        failures = [each for each in failures if each.column in {"", *names}]
    for each in results:
        _make_presentable(each, hidden=_is_about(each, hidden))
    return ValidationReport(len(results), tuple(failures), _page(suite.name, results))


def _is_about(result: ExpectationValidationResult, hidden: Collection[str]) -> bool:
    return bool(_columns(result.expectation_config.kwargs) & set(hidden))


def _without(expectations: list[Expectation], absent: Collection[str]) -> list[Expectation]:
    """Return the expectations as they are for a table that lacks columns."""
    kept = []
    for each in expectations:
        if _named(each) & set(absent):
            continue
        if absent and each.expectation_type == _TABLE_COLUMNS:
            columns = [name for name in each.column_set or () if name not in absent]
            kept.append(each.copy(update={"column_set": columns, "exact_match": False}))
        else:
            kept.append(each)
    return kept


def _named(expectation: Expectation) -> set[str]:
    """Return the columns an expectation is about."""
    return _columns(expectation.configuration.kwargs)


def _columns(kwargs: dict[str, Any]) -> set[str]:
    named = {kwargs[key] for key in _COLUMN_KEYS if key in kwargs}
    return named | set(kwargs.get("column_list") or ())


def _groups(
    expectations: list[Expectation], names: list[str], rows: int
) -> Iterator[tuple[list[str] | None, list[Expectation]]]:
    """Yield columns to read and what to hold them to; None where only the shape matters."""
    shape = [each for each in expectations if each.expectation_type.startswith(_SHAPE)]
    yield None, shape
    others = [each for each in expectations if each not in shape]
    whole = [each for each in others if not _named(each)]
    if whole:
        yield names, whole
    most = max(1, _CELLS // max(1, rows))
    columns: list[str] = []
    waiting: list[Expectation] = []
    for each in sorted((e for e in others if _named(e)), key=lambda e: sorted(_named(e))):
        needed = [name for name in names if name in _named(each) and name not in columns]
        if waiting and len(columns) + len(needed) > most:
            yield columns, waiting
            columns, waiting = [], []
            needed = [name for name in names if name in _named(each)]
        columns += needed
        waiting.append(each)
    if waiting:
        yield columns, waiting


def _shape(names: list[str], rows: int) -> pd.DataFrame:
    """Return a frame of the table's shape that weighs next to nothing."""
    empty = pd.Series(False, index=pd.RangeIndex(rows))  # noqa: FBT003 - any value of one byte
    return pd.DataFrame(dict.fromkeys(names, empty), copy=False)


def _validated(
    frame: pd.DataFrame, expectations: list[Expectation], sampled: int
) -> list[ExpectationValidationResult]:
    if not expectations:
        return []
    with _context() as context:
        suite = context.suites.add(ExpectationSuite(name="part", expectations=[]))
        suite.expectations = expectations
        source = context.data_sources.add_pandas("pandas")
        batch = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
        form = {"result_format": "SUMMARY", "partial_unexpected_count": sampled}
        result = batch.get_batch({"dataframe": frame}).validate(suite, result_format=form)
    return list(result.results)


@contextmanager
def _context() -> Iterator[EphemeralDataContext]:
    """Yield a context of its own, in memory and silent."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    yield context


def _make_presentable(result: ExpectationValidationResult, *, hidden: bool) -> None:
    """Escape what came from the data, which the document would take for markup."""
    found = {"observed_value": "not shown"} if hidden and "observed_value" in result.result else {}
    result.result = _escaped(result.result | found)
    result.expectation_config.kwargs = _escaped(result.expectation_config.kwargs)
    result.exception_info = _escaped(result.exception_info)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list | tuple | set) else value


def _page(name: str, results: list[ExpectationValidationResult]) -> str:
    """Return Great Expectations' document, which otherwise loads its looks from elsewhere."""
    met = sum(bool(each.success) for each in results)
    whole = ExpectationSuiteValidationResult(
        success=met == len(results),
        results=results,
        suite_name=name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": 100 * met / len(results) if results else None,
        },
        meta={"great_expectations_version": gx.__version__, "run_id": {"run_name": name}},
    )
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(whole))
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    page = re.sub(r"<(?:link|img)\b[^>]*https?://[^>]*>", "", page)
    page = re.sub(r'<a\b[^>]*href="https?://[^"]*"[^>]*>.*?</a>', "", page, flags=re.DOTALL)
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return page.replace("</head>", f"{head}<style>{_STYLE.read_text()}</style></head>", 1)


def _expectations(values: pd.Series[Any], column: Column, *, shown: bool) -> list[Expectation]:
    e, name = gx.expectations, column.name
    present = values.dropna()
    present_share = float(values.notna().mean())  # a plain number, which YAML can hold
    mostly = max(0.0, present_share - NULL_MARGIN) if column.nullable else 1.0
    drafted: list[Expectation] = [e.ExpectColumnValuesToNotBeNull(column=name, mostly=mostly)]
    if column.kind == "numeric" and len(present):
        drafted.append(e.ExpectColumnValuesToBeInTypeList(column=name, type_list=list(_NUMBERS)))
    if column.kind == "numeric" and len(present) and shown:
        low, high = float(present.min()), float(present.max())
        margin = RANGE_MARGIN * (high - low)
        drafted.append(
            e.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=low - margin,
                max_value=high + margin,
                mostly=1 - TOLERATED_SHARE,
            )
        )
    if column.kind == "datetime":
        drafted.append(e.ExpectColumnValuesToBeInTypeList(column=name, type_list=list(_DATES)))
    distinct = present.nunique()
    if column.kind == "categorical" and 0 < distinct <= MAX_CATEGORIES and shown:
        drafted.append(
            e.ExpectColumnValuesToBeInSet(
                column=name, value_set=sorted(present.unique(), key=str), mostly=1 - TOLERATED_SHARE
            )
        )
    if _is_key(column, values, distinct):
        drafted.append(e.ExpectColumnValuesToBeUnique(column=name))
    return drafted


_KEY = re.compile(r"(?:.*[_\W])?(?:id|key|uuid|guid|no|number)", re.IGNORECASE)


def _is_key(column: Column, values: pd.Series[Any], distinct: int) -> bool:
    """Whether every row has a value of its own, and means to: by its name, or as a text."""
    if distinct < len(values) or distinct < MAX_CATEGORIES:
        return False
    whole = pd.api.types.is_integer_dtype(values.dtype)
    return column.kind == "categorical" or (whole and _KEY.fullmatch(column.name) is not None)


def _failure(result: ExpectationValidationResult, *, hidden: bool) -> Failure:
    told = result.to_json_dict()
    config, found = told["expectation_config"], told.get("result") or {}
    observed = (
        found.get("partial_unexpected_list")
        or found.get("details", {}).get("mismatched")
        or found.get("observed_value")
        or (told.get("exception_info") or {}).get("exception_message")
        or "something else"
    )
    observed = "personal data, not shown" if hidden else observed
    share = (
        f", {found['unexpected_percent']:.1f} % of rows" if found.get("unexpected_percent") else ""
    )
    return Failure(
        column=str(config["kwargs"].get("column", "")),
        expectation=str(config["type"]),
        observed=f"{str(observed)[:120]}{share}",
        severity="warn" if config.get("severity") in {"warning", "info"} else "fail",
        rows=tuple(found.get("partial_unexpected_index_list") or ())[:SAMPLED],
    )
