"""What the rules said of a job's outputs, and what waits for a reviewer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0007"
down_revision = "c0006"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    filters = sa.Column("filters", sa.Integer, nullable=False, server_default="0")
    op.add_column("jobs", filters)
    op.add_column("jobs", sa.Column("verdict", sa.Text))
    op.add_column("jobs", sa.Column("held", sa.Text))
    op.create_table(
        "job_reviewers",
        sa.Column("wallet", sa.Text, primary_key=True),
        sa.Column(
            "job",
            _row_number,
            sa.ForeignKey("jobs.sequence"),
            primary_key=True,
            autoincrement=False,
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_job_reviewers_job", "job_reviewers", ["job"])
