"""Processes that operate jobs say for which environments.

Of those that run while this is carried out it is not known; they say so with their next start.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c0006"
down_revision = "c0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    known = sa.Column("environments", sa.Text, nullable=False, server_default="[]")
    op.add_column("operators", known)
