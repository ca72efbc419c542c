"""Answers of databases."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from infra.errors import ServiceUnavailableError, SourceError
from infra.sources import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import CursorResult, Row

    from infra.settings import SourceSettings

_ROWS = 50_000
"""Rows that are fetched, and written, at once."""


def run_query(source: str, query: str | None, folder: Path, settings: SourceSettings) -> Path:
    """Run a query and keep its answer as Parquet, streamed in both directions.

    Rows keep the order in which the database gives them: a query without `ORDER BY` may give
    the same rows as another version.

    Raises
    ------
    SourceError
        If no query is given, the database is not known, or it refuses the query.
    ServiceUnavailableError
        If it does not answer.
    """
    if not query:
        raise SourceError(shown(source), "give the query to run")
    name = source.removeprefix("sql://")
    if source.startswith("sql://"):
        if name not in settings.databases:
            known = ", ".join(settings.databases) or "none yet"
            raise SourceError(
                source,
                f"the settings name no such database (there are: {known}); "
                f"set MILLRACE_SOURCES__DATABASES__{name.upper()} to its URL",
            )
        source = settings.databases[name].get_secret_value()
    target = folder / f"query-{hashlib.sha256(query.encode()).hexdigest()[:8]}.parquet"
    try:
        engine = create_engine(source)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SourceError(shown(source), str(error)) from error
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=_ROWS) as connection:
            _write(connection.execute(text(query)), shown(source), target)
    except DBAPIError as error:
        if error.connection_invalidated or "connect" in str(error.orig).lower():
            raise ServiceUnavailableError(shown(source), str(error.orig)) from error
        raise SourceError(shown(source), str(error.orig).splitlines()[0]) from error
    except SQLAlchemyError as error:
        raise SourceError(shown(source), str(error).splitlines()[0]) from error
    finally:
        engine.dispose()
    return target


def _write(answer: CursorResult[Any], source: str, target: Path) -> None:
    """Write the answer in parts, and the parts as one file of the types that hold for all."""
    if not answer.returns_rows:
        raise SourceError(source, "the statement returns no rows; use a SELECT")
    names = list(answer.keys())
    parts, schemas = [], [pa.schema([(name, pa.null()) for name in names])]
    for place, rows in enumerate(answer.partitions(_ROWS)):
        part = target.with_name(f"part-{place}.arrow")
        table = _table(source, names, rows)
        feather.write_feather(table, part)
        parts.append(part)
        schemas.append(table.schema)
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise SourceError(source, f"a column changes its type: {error}; cast it") from error
    with pq.ParquetWriter(target, schema) as writer:
        for part in parts:
            writer.write_table(feather.read_table(part).cast(schema))
            part.unlink()


def _table(source: str, names: list[str], rows: Sequence[Row[Any]]) -> pa.Table:
    arrays = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        plain = [float(each) if isinstance(each, Decimal) else each for each in values]
        plain = [str(each) if isinstance(each, UUID) else each for each in plain]
        try:
            arrays.append(pa.array(plain))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SourceError(source, f"column {name!r}: {error}; cast it in the query") from error
    return pa.table(arrays, names=names)
