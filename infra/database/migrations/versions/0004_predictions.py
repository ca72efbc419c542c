"""Archived predictions and what came true."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the index of the archive; labels may come before their prediction is in it."""
    op.create_table(
        "predictions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("time", INSTANT, nullable=False),
        sa.Column("model", sa.String(201), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("latency_seconds", sa.Float, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("archive", sa.Text, nullable=False),
    )
    op.create_index("ix_predictions_model_time", "predictions", ["model", "time"])
    op.create_table(
        "labels",
        sa.Column("prediction_id", sa.String(64), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("labelled_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    """Forget the index and the labels."""
    op.drop_table("labels")
    op.drop_table("predictions")
