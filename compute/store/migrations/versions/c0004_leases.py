"""Jobs belong to the process that operates them.

What runs while this is carried out belongs to a process that has ended.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0004"
down_revision = "c0003"
branch_labels = None
depends_on = None

_EARLIER = (
    "UPDATE jobs SET operator = 'earlier' WHERE phase IN ('started', 'configuring_volumes',"
    " 'provisioned', 'running', 'filtering', 'publishing')"
)


def upgrade() -> None:
    op.create_table(
        "operators",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.add_column("jobs", sa.Column("operator", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("machine", sa.Text, nullable=False, server_default=""))
    owned = sa.text("operator != ''")
    op.create_index(
        "ix_jobs_owned", "jobs", ["operator"], sqlite_where=owned, postgresql_where=owned
    )
    op.execute(_EARLIER)
