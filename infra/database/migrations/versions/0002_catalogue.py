"""Metadata, lineage, findings and tombstones of dataset versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

INSTANT = sa.DateTime(timezone=True)
LIVING = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    """Widen the catalogue; a deleted version's bytes may come again as a new version."""
    with op.batch_alter_table("dataset_versions") as table:
        table.add_column(sa.Column("file", sa.String(300)))
        table.add_column(sa.Column("rows", sa.BigInteger))
        table.add_column(sa.Column("owner", sa.String(200), nullable=False, server_default=""))
        table.add_column(sa.Column("description", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("tags", sa.JSON, nullable=False, server_default="{}"))
        table.add_column(sa.Column("notes", sa.JSON, nullable=False, server_default="[]"))
        table.add_column(sa.Column("statistics", sa.JSON))
        table.add_column(sa.Column("findings", sa.JSON))
        table.add_column(sa.Column("deleted_at", INSTANT))
        table.add_column(sa.Column("deleted_because", sa.Text))
        table.drop_constraint("uq_dataset_versions_project_name_source_digest", type_="unique")
    op.execute("UPDATE dataset_versions SET file = substr(source, 1, 300)")  # an original is kept
    op.create_index(
        "uq_dataset_versions_living",
        "dataset_versions",
        ["project", "name", "source_digest", "frame_digest"],
        unique=True,
        sqlite_where=LIVING,
        postgresql_where=LIVING,
    )
    op.create_table(
        "dataset_parents",
        sa.Column("child", sa.Integer, sa.ForeignKey("dataset_versions.id"), primary_key=True),
        sa.Column(
            "parent",
            sa.Integer,
            sa.ForeignKey("dataset_versions.id"),
            primary_key=True,
            index=True,
        ),
    )
    op.execute(
        """CREATE VIEW "DatasetCatalog" AS
        SELECT project || '.' || name || ' v' || version AS id, name, description,
               'frames/' || frame_digest AS location, created_at, deleted_at
        FROM dataset_versions"""
    )
