"""Answers of databases, which are asked and never written to."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from infra.errors import ServiceUnavailableError, SourceError
from infra.sources import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CursorResult, Engine, Row

    from infra.settings import SourceSettings

_ROWS = 50_000
"""Rows that are fetched, and written, at once."""

_HIDING = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL
)
"""Texts, quoted names and comments, in which a semicolon ends nothing."""

_ASKING = re.compile(r"\s*\(*\s*(?:select|with|values|table)\b", re.IGNORECASE)

_WRONG_DATABASE = ("does not exist", "password authentication", "no such file", "unable to open")


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
    label = shown(source)
    if not query:
        raise SourceError(label, "give the query to run")
    _check_query(label, query)
    engine = _engine(_address(source, settings), label)
    target = folder / f"query-{hashlib.sha256(query.encode()).hexdigest()[:8]}.parquet"
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if any(words in reason for words in _WRONG_DATABASE):
            raise SourceError(label, reason) from error
        raise ServiceUnavailableError(label, reason) from error
    except SQLAlchemyError as error:
        raise SourceError(label, str(error).splitlines()[0]) from error
    try:
        with connection.execution_options(stream_results=True, yield_per=_ROWS):
            # a colon is the query's own and names no parameter
            _write(connection.execute(text(query.replace(":", "\\:"))), label, target)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise ServiceUnavailableError(label, str(error.orig)) from error
        raise SourceError(label, str(error.orig).strip().splitlines()[0]) from error
    except (SQLAlchemyError, ValueError, OverflowError) as error:  # the last: dates before Christ
        raise SourceError(label, str(error).splitlines()[0]) from error
    finally:
        connection.close()
        engine.dispose()
    return target


def _check_query(label: str, query: str) -> None:
    """Refuse what is not one question: a second statement could end a read-only transaction."""
    plain = _HIDING.sub(" ", query).strip().rstrip(";")
    if ";" in plain:
        raise SourceError(label, "it is more than one statement; give one SELECT")
    if not _ASKING.match(plain):
        raise SourceError(label, "the statement asks for no rows; use a SELECT")


def _address(source: str, settings: SourceSettings) -> str:
    """Return the URL of a database that the settings name, or the one that is given."""
    if not source.startswith("sql://"):
        return source
    name = source.removeprefix("sql://")
    if name not in settings.databases:
        known = ", ".join(settings.databases) or "none yet"
        raise SourceError(
            source,
            f"the settings name no such database (there are: {known}); "
            f"set MILLRACE_SOURCES__DATABASES__{name.upper()} to its URL",
        )
    return settings.databases[name].get_secret_value()


def _engine(url: str, label: str) -> Engine:
    """Make an engine whose sessions read only."""
    try:
        engine = create_engine(url)
    except (ArgumentError, SQLAlchemyError, ImportError, ValueError) as error:
        # the reason may quote the URL, and the URL its password
        raise SourceError(
            label, f"its URL is none SQLAlchemy knows ({type(error).__name__})"
        ) from error
    if engine.dialect.name == "sqlite":
        path = engine.url.database
        if path and path != ":memory:" and not Path(path).is_file():
            raise SourceError(label, "there is no such file")
        event.listen(engine, "connect", _forbid_writing("PRAGMA query_only = ON"))
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _forbid_writing("SET default_transaction_read_only = on"))
    return engine


def _forbid_writing(statement: str) -> Any:
    def forbid(connection: Any, _record: object) -> None:
        with suppress(AttributeError):
            connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        with suppress(AttributeError):
            connection.autocommit = False

    return forbid


def _write(answer: CursorResult[Any], label: str, target: Path) -> None:
    """Write the answer in parts, and the parts as one file of the types that hold for all."""
    names = list(answer.keys())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(label, f"the query names {', '.join(twice)} twice; use AS")
    parts, schemas = [], [pa.schema([(name, pa.null()) for name in names])]
    for place, rows in enumerate(answer.partitions(_ROWS)):
        part = target.with_name(f"part-{place}.arrow")
        table = _table(label, names, rows)
        feather.write_feather(table, part)
        parts.append(part)
        schemas.append(table.schema)
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with pq.ParquetWriter(target, schema) as writer:
            for part in parts:
                writer.write_table(feather.read_table(part).cast(schema))
                part.unlink()
    except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(label, f"a column changes its type: {reason}; cast it") from error


def _table(label: str, names: list[str], rows: Sequence[Row[Any]]) -> pa.Table:
    arrays = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        try:
            arrays.append(pa.array([_plain(each) for each in values]))
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise SourceError(label, f"column {name!r}: {reason}; cast it in the query") from error
    return pa.table(arrays, names=names)


def _plain(value: Any) -> Any:
    """Return a value as Arrow has it: moments in UTC, identifiers as text."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return str(value) if isinstance(value, UUID) else value
