"""The tables of the registry. UIDs are texts in small letters; times are in seconds since the
epoch."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, MetaData, Table, Text

metadata = MetaData()

registry_items = Table(
    "registry_items",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("space", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("pipeline_uid", Text, nullable=False),
    Column("extension", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("task_uid", Text, nullable=False),
    Column("size", BigInteger),
    Column("sha256", Text, nullable=False),
    Index("ix_registry_items_listed", "space", "kind", "pipeline_uid", "created_at"),
    Index("ix_registry_items_pipeline", "pipeline_uid"),
    Index("ix_registry_items_task", "task_uid"),
)
"""All items, of whatever kind. ``details`` is a JSON object of texts. A size is there exactly
when there is a content."""

registry_uses = Table(
    "registry_uses",
    metadata,
    Column("task_uid", Text, primary_key=True),
    Column("item_uid", Text, primary_key=True),
    Column("space", Text, nullable=False),
    Index("ix_registry_uses_item", "item_uid"),
    sqlite_with_rowid=False,
)
"""Which items a task needs or makes, as long as it is not settled: it has not finished, or what
it made is not yet in its place. Rows come with the task's job and go with its outcome."""
