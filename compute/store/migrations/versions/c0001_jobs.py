"""Jobs, their specifications, assets and history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0001"
down_revision = None
branch_labels = ("compute",)
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_jobs()
    _create_specs_and_assets()
    _create_history()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", _row_number, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("owner_key", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("goal", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Double, nullable=False),
        sa.Column("image_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("termination", sa.Text),
        sa.Column("results", sa.Text),
    )
    op.create_index("ix_jobs_id", "jobs", ["id"], unique=True)
    op.create_index("ix_jobs_owner", "jobs", ["owner_key", "sequence"])
    op.create_index("ix_jobs_phase", "jobs", ["phase", "environment", "sequence"])
    undeleted = sa.text("expires_at IS NOT NULL AND phase != 'deleted'")
    deleting = sa.text("goal = 'delete' AND phase != 'deleted'")
    _create_partial_index("ix_jobs_expiring", "expires_at", undeleted)
    _create_partial_index("ix_jobs_deleting", "sequence", deleting)


def _create_partial_index(name: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, "jobs", [column], sqlite_where=where, postgresql_where=where)


def _create_specs_and_assets() -> None:
    op.create_table(
        "job_specs",
        _job_column(primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
    )
    op.create_table(
        "job_assets",
        sa.Column("did", sa.Text, primary_key=True),
        _job_column(primary_key=True),
        sqlite_with_rowid=False,
    )


def _create_history() -> None:
    op.create_table(
        "job_history",
        sa.Column("line", _row_number, primary_key=True),
        _job_column(primary_key=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("goal", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("ix_job_history_job", "job_history", ["job", "line"])


def _job_column(*, primary_key: bool) -> sa.Column[int]:
    return sa.Column(
        "job",
        _row_number,
        sa.ForeignKey("jobs.sequence"),
        primary_key=primary_key,
        autoincrement=False,
        nullable=False,
    )
