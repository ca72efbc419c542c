"""What derived dataset versions were made by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the recipe; versions of before have none."""
    with op.batch_alter_table("dataset_versions") as table:
        table.add_column(sa.Column("recipe", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    """Forget the recipes."""
    with op.batch_alter_table("dataset_versions") as table:
        table.drop_column("recipe")
