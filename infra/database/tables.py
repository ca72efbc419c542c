"""The platform's own tables: catalogue, routes, ledger and the index of predictions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class Instant(TypeDecorator[datetime]):
    """A point in time in UTC; SQLite, which drops the zone, gets it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Attach UTC to what the database returned."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_digest", String(64), nullable=False),
    Column("frame_digest", String(64), nullable=False),
    Column("schema", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("file", String(300)),  # what the original was called; none was kept of derived data
    Column("rows", BigInteger),  # None in versions of before it was kept
    Column("owner", String(200), nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("tags", JSON, nullable=False, server_default="{}"),
    Column("notes", JSON, nullable=False, server_default="[]"),
    Column("recipe", JSON, nullable=False, server_default="{}"),  # what derived data was made by
    Column("statistics", JSON),
    Column("findings", JSON),
    Column("deleted_at", Instant),
    Column("deleted_because", Text),
    UniqueConstraint("project", "name", "version"),
)
Index(
    "uq_dataset_versions_living",
    dataset_versions.c.project,
    dataset_versions.c.name,
    dataset_versions.c.source_digest,
    dataset_versions.c.frame_digest,
    unique=True,
    sqlite_where=text("deleted_at IS NULL"),
    postgresql_where=text("deleted_at IS NULL"),
)

dataset_parents = Table(
    "dataset_parents",
    metadata,
    Column("child", Integer, ForeignKey("dataset_versions.id"), primary_key=True),
    Column("parent", Integer, ForeignKey("dataset_versions.id"), primary_key=True, index=True),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(201), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("alias", String(100), nullable=False),
    Column("champion", Integer),
    Column("promoted", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("flow_run", String(100)),
    Column("created_at", Instant, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(201), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("alias", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("flow_run", String(100)),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
)
Index(
    "uq_releases_running",
    releases.c.model,
    releases.c.version,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

targets = Table(
    "targets",
    metadata,
    Column("model", String(201), primary_key=True),
    Column("program", String(300), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("weight", Float, nullable=False),
    Column("since", Instant, nullable=False),
)

pending_aliases = Table(
    "pending_aliases",
    metadata,
    Column("model", String(201), primary_key=True),
    Column("alias", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("since", Instant, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(50), nullable=False),
    Column("subject", String(300), nullable=False, index=True),
    Column("detail", JSON, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),  # two entries cannot follow one
    Column("digest", String(64), nullable=False),
)

routes = Table(
    "routes",
    metadata,
    Column("model", String(201), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("program", String(300), nullable=False),
    Column("switched_at", Instant, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("time", Instant, nullable=False),
    Column("model", String(201), nullable=False),
    Column("version", Integer, nullable=False),
    Column("caller", Text, nullable=False),
    Column("latency_seconds", Float, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("archive", Text, nullable=False),  # key of the Parquet file that holds the rest
    Index("ix_predictions_model_time", "model", "time"),
)

labels = Table(
    "labels",
    metadata,
    Column("prediction_id", String(64), primary_key=True),  # of a prediction still to be archived
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("label", Text, nullable=False),  # JSON
    Column("labelled_at", Instant, nullable=False),
)
