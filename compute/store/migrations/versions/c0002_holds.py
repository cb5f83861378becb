"""What only one unfinished job may have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0002"
down_revision = "c0001"
branch_labels = None
depends_on = None

_row_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_holds",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("job", _row_number, sa.ForeignKey("jobs.sequence"), nullable=False),
        sqlite_with_rowid=False,
    )
