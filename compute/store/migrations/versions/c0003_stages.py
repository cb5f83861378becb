"""Jobs of several stages, and jobs that their owners name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0003"
down_revision = "c0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("namespace", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("stage", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("pid", sa.BigInteger))
    op.add_column("jobs", sa.Column("runs", sa.Text))
    named = sa.text("namespace != '' AND phase != 'deleted'")
    for name, columns, unique in (
        ("ix_jobs_name", ["namespace", "name"], True),
        ("ix_jobs_namespace", ["namespace", "sequence"], False),
    ):
        op.create_index(
            name, "jobs", columns, unique=unique, sqlite_where=named, postgresql_where=named
        )
