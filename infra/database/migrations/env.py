"""Alembic's entry: migrate over the connection that `infra.database.engine.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from infra.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
