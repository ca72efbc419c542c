"""Catalogue, promotions, releases and routes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables of the spine."""
    op.create_table(
        "dataset_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("frame_digest", sa.String(64), nullable=False),
        sa.Column("schema", sa.JSON, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.UniqueConstraint(
            "project", "name", "version", name="uq_dataset_versions_project_name_version"
        ),
        sa.UniqueConstraint(
            "project",
            "name",
            "source_digest",
            name="uq_dataset_versions_project_name_source_digest",
        ),
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(201), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("alias", sa.String(100), nullable=False),
        sa.Column("champion", sa.Integer),
        sa.Column("promoted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("flow_run", sa.String(100)),
        sa.Column("created_at", INSTANT, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(201), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("alias", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("flow_run", sa.String(100)),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
    )
    op.create_index(
        "uq_releases_running",
        "releases",
        ["model", "version"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "routes",
        sa.Column("model", sa.String(201), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("program", sa.String(300), nullable=False),
        sa.Column("switched_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables of the spine."""
    for table in ("routes", "releases", "promotions", "dataset_versions"):
        op.drop_table(table)
