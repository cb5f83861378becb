"""The registry of pipelines, datasets, configurations, build files and models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "p0004"
down_revision = "p0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "registry_items",
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("space", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("pipeline_uid", sa.Text, nullable=False),
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("task_uid", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("sha256", sa.Text, nullable=False),
    )
    op.create_index(
        "ix_registry_items_listed",
        "registry_items",
        ["space", "kind", "pipeline_uid", "created_at"],
    )
    op.create_index("ix_registry_items_pipeline", "registry_items", ["pipeline_uid"])
    op.create_index("ix_registry_items_task", "registry_items", ["task_uid"])
    op.create_table(
        "registry_uses",
        sa.Column("task_uid", sa.Text, primary_key=True),
        sa.Column("item_uid", sa.Text, primary_key=True),
        sa.Column("space", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_registry_uses_item", "registry_uses", ["item_uid"])
