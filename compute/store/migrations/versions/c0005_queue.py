"""Owners take turns, and what jobs take of a machine is written down."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0005"
down_revision = "c0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpu_devices", sa.Text))
    for name in ("millicpus", "memory_bytes", "disk_bytes"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("jobs", column)
    op.add_column("jobs", sa.Column("gpus", sa.Integer, nullable=False, server_default="0"))
    queued = sa.text("phase = 'queued'")
    op.create_index(
        "ix_jobs_queue",
        "jobs",
        ["environment", "owner_key", "sequence"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    _create_turns()
    _create_machines()


def _create_turns() -> None:
    op.create_table(
        "queue_turns",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("owner_key", sa.Text, primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_queue_turns_turn", "queue_turns", ["environment", "turn"])
    op.execute(
        "INSERT INTO queue_turns (environment, owner_key, turn) "
        "SELECT environment, owner_key, min(sequence) FROM jobs WHERE phase = 'queued' "
        "GROUP BY environment, owner_key"
    )


def _create_machines() -> None:
    op.create_table(
        "queue_waits",
        sa.Column("machine", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "machines",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("millicpus", sa.BigInteger, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        sa.Column("disk_bytes", sa.BigInteger, nullable=False),
        sa.Column("gpus", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
