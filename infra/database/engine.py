"""Connections to the platform's database and its migrations."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from infra.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from infra.settings import DatabaseSettings

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_236_514
"""Key of the PostgreSQL advisory lock that lets one process migrate at a time."""


@cache
def open_database(settings: DatabaseSettings) -> Engine:
    """Open the database the settings name; one engine per process and database.

    A SQLite file is made and migrated here, since nobody else would. A server database is
    migrated when the stack starts (`upgrade`).
    """
    if not settings.url.startswith("sqlite"):
        return create_engine(settings.url, pool_pre_ping=True, pool_size=3, max_overflow=5)
    engine = create_engine(settings.url)
    if engine.url.database and engine.url.database != ":memory:":
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    upgrade(engine)
    return engine


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; doing so again changes nothing."""
    from alembic import command  # noqa: PLC0415 - half a second that only migrations need
    from alembic.config import Config  # noqa: PLC0415 - as above

    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction; a database that does not answer is a `ServiceUnavailableError`."""
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, ProgrammingError) as error:  # the last: no tables yet
        raise ServiceUnavailableError("the platform's database", str(error.orig)) from error


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Let readers and one writer work side by side, and writers wait for each other."""
    connection.isolation_level = None  # type: ignore[attr-defined]  # else DDL commits by itself
    cursor = connection.cursor()  # type: ignore[attr-defined]  # sqlite3's, behind SQLAlchemy
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin as a writer, so that what is read first is still so when it is written upon."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
