"""Servers beside the live one, aliases that are still to be set, and the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; a route of before has no server beside it."""
    op.create_table(
        "targets",
        sa.Column("model", sa.String(201), primary_key=True),
        sa.Column("program", sa.String(300), primary_key=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
    )
    op.create_table(
        "pending_aliases",
        sa.Column("model", sa.String(201), primary_key=True),
        sa.Column("alias", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("previous", name="uq_audit_previous"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])


def downgrade() -> None:
    """Forget them."""
    for table in ("audit", "pending_aliases", "targets"):
        op.drop_table(table)
